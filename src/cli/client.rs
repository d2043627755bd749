//! What every command that talks to a server shares: where it is, the token, answers and refusals.

use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::cli::demo::place;
use crate::cli::harmless;
use crate::data_dir::{self, DataDir};

/// Which server, and how answers are printed.
#[derive(Clone, clap::Args)]
pub(crate) struct Connection {
    /// The server; where absent the one that --data-dir belongs to, or http://127.0.0.1:7420.
    #[arg(short, long, env = "CHIRON_SERVER", value_name = "URL")]
    server: Option<String>,
    /// The file that holds the token; the file `token` in --data-dir where absent. With none of the three, the
    /// running demo is meant.
    #[arg(long, env = "CHIRON_TOKEN_FILE", value_name = "PATH")]
    token_file: Option<PathBuf>,
    /// The server's data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How answers are printed; `json` is the API's own.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Connection {
    /// The flags that name the server, as somebody wrote them; what the environment says, it goes on saying.
    fn flags(&self) -> String {
        let is_said = |name: &str, value: &str| std::env::var(name).is_ok_and(|said| said == value);
        let text = |path: &PathBuf| path.display().to_string();
        let server = self.server.clone().filter(|server| !is_said("CHIRON_SERVER", server));
        let token = self.token_file.as_ref().map(text);
        let token = token.filter(|file| !is_said("CHIRON_TOKEN_FILE", file));
        let dir = self.data_dir.as_ref().map(text);
        let flags = [("--server", server), ("--token-file", token), ("--data-dir", dir)];
        let flag =
            |(name, value): (&str, Option<String>)| Some(format!(" {name} {}", word(&value?)));
        flags.into_iter().filter_map(flag).collect()
    }
}

/// A word as a shell takes it.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// One JSON value.
    Json,
}

/// Who says something, and why.
#[derive(clap::Args)]
pub(crate) struct Reason {
    /// Why; it stands in the record.
    #[arg(long)]
    reason: Option<String>,
    /// Who.
    #[arg(long, env = "USER", value_name = "NAME")]
    by: Option<String>,
}

impl Reason {
    /// As the API takes it.
    pub(crate) fn body(&self) -> Value {
        let mut body = serde_json::json!({"reason": self.reason.as_deref().unwrap_or_default()});
        name(&mut body, self.by.as_deref());
        body
    }
}

/// Says in `body` who it is, where that is known.
pub(crate) fn name(body: &mut Value, by: Option<&str>) {
    if let Some(by) = by.filter(|by| !by.trim().is_empty()) {
        body["by"] = by.into();
    }
}

/// Which part of a list.
#[derive(clap::Args)]
pub(crate) struct PageArgs {
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: u16,
    /// `nextCursor` of the page before.
    #[arg(long)]
    cursor: Option<String>,
}

/// Which part of a list of things that have a status.
#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// Only those of this status.
    #[arg(long)]
    status: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// Which part of a list of things that belong to incidents.
#[derive(clap::Args)]
pub(crate) struct OfIncidentArgs {
    /// Only those about this incident.
    #[arg(long)]
    incident: Option<String>,
    #[command(flatten)]
    list: ListArgs,
}

/// Query parameters of a request.
pub(crate) type Query = Vec<(&'static str, String)>;

impl PageArgs {
    /// As the API takes it.
    pub(crate) fn query(&self) -> Query {
        let cursor = self.cursor.clone().map(|cursor| ("cursor", cursor));
        [("limit", self.limit.to_string())].into_iter().chain(cursor).collect()
    }
}

impl ListArgs {
    /// As the API takes it.
    pub(crate) fn query(&self) -> Query {
        let status = self.status.clone().map(|status| ("status", status));
        self.page.query().into_iter().chain(status).collect()
    }
}

impl OfIncidentArgs {
    /// As the API takes it.
    pub(crate) fn query(&self) -> Query {
        let incident = self.incident.clone().map(|incident| ("incident", incident));
        self.list.query().into_iter().chain(incident).collect()
    }
}

/// The server said no.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    problem: Value,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |member: &str| self.problem[member].as_str().unwrap_or_default();
        let detail =
            if text("detail").is_empty() { "the server gave no reason" } else { text("detail") };
        write!(f, "{detail} ({} {})", self.status.as_u16(), text("code"))?;
        for error in self.problem["errors"].as_array().into_iter().flatten() {
            let message = error["message"].as_str().unwrap_or_default();
            write!(f, "\n  {}: {message}", error["code"].as_str().unwrap_or("error"))?;
        }
        if text("hint").is_empty() { Ok(()) } else { write!(f, "\nhint: {}", text("hint")) }
    }
}

impl std::error::Error for Refused {}

impl Refused {
    /// Whether the server has nothing at that path.
    pub(crate) fn is_no_route(&self) -> bool {
        self.problem["code"] == "no_route"
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.status.as_u16() {
            404 => 3,
            401 | 403 | 421 => 4,
            409 | 412 | 428 => 5,
            400 | 413 | 415 | 422 => 6,
            408 | 504 => 7,
            _ => 1,
        })
    }
}

/// A server to talk to.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
    /// How answers are printed.
    pub(crate) output: Output,
    /// The flags by which it was named, to be named by them again.
    flags: String,
}

/// What comes with a request beside its path.
#[derive(Default)]
pub(crate) struct More {
    /// Query parameters.
    pub(crate) query: Query,
    /// The digest that was seen.
    pub(crate) if_match: Option<String>,
    /// A JSON body, as bytes.
    pub(crate) body: Option<Vec<u8>>,
}

impl Client {
    fn new(connection: &Connection) -> Result<Self> {
        let Connection { server, token_file, data_dir, output } = connection;
        let dir = match (server, token_file, data_dir) {
            (None, None, None) => Some(place::find()?.context(
                "no server is named, and no demo runs here: start `chiron demo` in another terminal, or name the server's folder with --data-dir",
            )?),
            (_, _, dir) => dir.clone(),
        };
        let file = match (token_file, &dir) {
            (Some(file), _) => file.clone(),
            (None, Some(dir)) => dir.join(DataDir::TOKEN),
            (None, None) => bail!(
                "no token: name its file with --token-file or CHIRON_TOKEN_FILE, or the server's folder with --data-dir"
            ),
        };
        let announced = dir.as_deref().and_then(|dir| Some((dir, DataDir::address(dir)?)));
        if let (None, Some((dir, address))) = (server, &announced)
            && !data_dir::is_held(dir)
        {
            bail!(
                "the server over {} said that it listens at {address}, but it has ended: start it again, or name another one with --server",
                dir.display()
            );
        }
        let base = server
            .clone()
            .or(announced.map(|(_, address)| address))
            .unwrap_or_else(|| "http://127.0.0.1:7420".into());
        let token = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read the token in {}", file.display()))?;
        Ok(Self { flags: connection.flags(), ..Self::at(&base, &token, *output)? })
    }

    /// Talks to the server at `base`, with its token.
    ///
    /// # Errors
    /// Where `base` is no URL of the scheme `http`.
    pub(crate) fn at(base: &str, token: &str, output: Output) -> Result<Self> {
        let url = reqwest::Url::parse(base).with_context(|| {
            format!("the server's address `{base}` is not a URL: mend --server")
        })?;
        ensure!(
            url.scheme() == "http",
            "the server's address `{base}` does not begin with http://: this client speaks http:// only: put a tunnel before it"
        );
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').into(),
            token: token.trim().into(),
            output,
            flags: String::new(),
        })
    }

    async fn send(&self, method: Method, path: &str, more: More) -> Result<Value> {
        let url = format!("{}/api/v1{path}", self.base);
        let mut url = reqwest::Url::parse(&url)
            .with_context(|| format!("{url} is not a URL: mend --server"))?;
        if !more.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&more.query);
        }
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(digest) = more.if_match {
            request = request.header("If-Match", format!("\"{digest}\""));
        }
        if let Some(body) = more.body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("cannot reach the server at {}: is it running?", self.base))?;
        let status = response.status();
        let bytes = response.bytes().await.context("the answer broke off")?;
        if !status.is_success() {
            return Err(Refused {
                status,
                problem: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            }
            .into());
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).context("the answer is not JSON: is this a Chiron server?")
    }

    /// Reads something.
    ///
    /// # Errors
    /// [`Refused`] where the server says no; others where it cannot be reached.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, More::default()).await
    }

    /// Reads a page.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn list(&self, path: &str, query: Query) -> Result<Value> {
        self.send(Method::GET, path, More { query, ..More::default() }).await
    }

    /// Asks for something.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.post_with(path, More { body: Some(body.to_string().into_bytes()), ..More::default() })
            .await
    }

    /// Asks for something, with headers or a body of one's own.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn post_with(&self, path: &str, more: More) -> Result<Value> {
        self.send(Method::POST, path, more).await
    }

    /// What may be done next, as a line that can be copied: it goes to the same server.
    pub(crate) fn next(&self, command: &str) -> String {
        format!("next: chiron {command}{}", self.flags)
    }

    /// Prints an answer: the API's JSON, or what `people` makes of it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn print(
        &self,
        answer: &Value,
        people: impl FnOnce(&Value) -> String,
    ) -> Result<()> {
        let text = match self.output {
            Output::Json => serde_json::to_string_pretty(answer)?,
            Output::Table => harmless::lines(&people(answer)),
        };
        writeln!(std::io::stdout().lock(), "{}", text.trim_end())?;
        Ok(())
    }
}

/// Runs what talks to a server.
///
/// # Errors
/// Those of `talk`.
pub(crate) fn talk<F: Future<Output = Result<ExitCode>>>(
    connection: &Connection,
    talk: impl FnOnce(Client) -> F,
) -> Result<ExitCode> {
    let client = Client::new(connection)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(talk(client))
}

/// An id as part of a path: what is not of an id's letters is escaped.
pub(crate) fn segment(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    id.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_done_next_goes_to_the_server_that_was_named() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            connection: Connection,
        }
        let flags = |args: &[&str]| {
            <Command as clap::Parser>::parse_from([&["chiron"], args].concat()).connection.flags()
        };
        assert_eq!(flags(&[]), "");
        assert_eq!(flags(&["--data-dir", "state"]), " --data-dir state");
        let named = ["--server", "http://a:1", "--token-file", "my token's"];
        assert_eq!(flags(&named), r" --server http://a:1 --token-file 'my token'\''s'");
    }

    #[test]
    fn only_a_server_at_http_is_talked_to_and_the_others_are_told_of_a_tunnel() {
        for base in ["https://chiron.example", "localhost:7420", "unix:///run/chiron"] {
            let refused = Client::at(base, "token", Output::Json).err().unwrap().to_string();
            assert!(
                refused.contains(base) && refused.contains("put a tunnel before it"),
                "{refused}"
            );
        }
        let refused = Client::at("127.0.0.1:7420", "token", Output::Json).err().unwrap();
        assert!(refused.to_string().contains("mend --server"), "{refused}");
        Client::at("http://127.0.0.1:7420/", "token", Output::Json).unwrap();
    }
}
