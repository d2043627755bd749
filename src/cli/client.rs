//! The HTTP client of all commands that send requests to a server: its address, its token, responses and errors.

use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use api::{ListResponse, ProblemResponse, ReasonRequest};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use workflow::ErrorCode;

use crate::cli::demo::locator;
use crate::cli::sanitize;
use crate::data_dir::{self, DataDir};

/// Arguments that select the server and the output format.
#[derive(Clone, clap::Args)]
pub(crate) struct Connection {
    /// URL of the server. Default: the server of --data-dir, else http://127.0.0.1:7420.
    #[arg(short, long, env = "CHIRON_SERVER", value_name = "URL")]
    server: Option<String>,
    /// File that contains the bearer token. Default: the file `token` in --data-dir. Without --server, --token-file and
    /// --data-dir, the command uses the running demo.
    #[arg(long, env = "CHIRON_TOKEN_FILE", value_name = "PATH")]
    token_file: Option<PathBuf>,
    /// Data directory of the server.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Output format; `json` prints the response of the API.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Connection {
    /// Returns the flags that select the server, for use in another command. Values from the environment are omitted.
    fn flags(&self) -> String {
        let is_from_env =
            |name: &str, value: &str| std::env::var(name).is_ok_and(|set| set == value);
        let text = |path: &PathBuf| path.display().to_string();
        let server = self.server.clone().filter(|server| !is_from_env("CHIRON_SERVER", server));
        let token = self.token_file.as_ref().map(text);
        let token = token.filter(|file| !is_from_env("CHIRON_TOKEN_FILE", file));
        let dir = self.data_dir.as_ref().map(text);
        let flags = [("--server", server), ("--token-file", token), ("--data-dir", dir)];
        let flag = |(name, value): (&str, Option<String>)| {
            Some(format!(" {name} {}", shell_quote(&value?)))
        };
        flags.into_iter().filter_map(flag).collect()
    }
}

/// Quotes `text` for a shell, if necessary.
pub(crate) fn shell_quote(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Output format of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// Tables and lines of text.
    Table,
    /// JSON.
    Json,
}

/// Arguments that give the actor of a request and the reason for it.
#[derive(clap::Args)]
pub(crate) struct Reason {
    /// Reason for the request; it is kept in the record.
    #[arg(long)]
    reason: Option<String>,
    /// Who makes the request.
    #[arg(long, env = "USER", value_name = "NAME")]
    actor: Option<String>,
}

impl Reason {
    /// Returns the request body.
    pub(crate) fn body(&self) -> ReasonRequest {
        let reason = self.reason.clone().unwrap_or_default();
        ReasonRequest { reason, actor: known_actor(self.actor.as_deref()) }
    }
}

/// Returns the actor, if it is known.
pub(crate) fn known_actor(actor: Option<&str>) -> Option<String> {
    actor.filter(|actor| !actor.trim().is_empty()).map(Into::into)
}

/// Arguments that select a page of a list.
#[derive(clap::Args)]
pub(crate) struct PageArgs {
    /// Maximum number of items.
    #[arg(long, default_value_t = 100)]
    limit: u16,
    /// `nextCursor` of the previous page.
    #[arg(long)]
    cursor: Option<String>,
}

/// Arguments that select a page of a list, by status.
#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// Lists only items with this status.
    #[arg(long)]
    status: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// Arguments that select a page of a list, by status and incident.
#[derive(clap::Args)]
pub(crate) struct OfIncidentArgs {
    /// Lists only items of this incident.
    #[arg(long)]
    incident: Option<String>,
    #[command(flatten)]
    list: ListArgs,
}

/// Query parameters of a request.
pub(crate) type Query = Vec<(&'static str, String)>;

impl PageArgs {
    /// Returns the query parameters.
    pub(crate) fn query(&self) -> Query {
        let cursor = self.cursor.clone().map(|cursor| ("cursor", cursor));
        [("limit", self.limit.to_string())].into_iter().chain(cursor).collect()
    }
}

impl ListArgs {
    /// Returns the query parameters.
    pub(crate) fn query(&self) -> Query {
        let status = self.status.clone().map(|status| ("status", status));
        self.page.query().into_iter().chain(status).collect()
    }
}

impl OfIncidentArgs {
    /// Returns the query parameters.
    pub(crate) fn query(&self) -> Query {
        let incident = self.incident.clone().map(|incident| ("incident", incident));
        self.list.query().into_iter().chain(incident).collect()
    }
}

/// An error response of the server.
#[derive(Debug)]
pub(crate) struct RequestError {
    status: StatusCode,
    /// Absent if the response is not from a Chiron server, for example from a proxy.
    problem: Option<ProblemResponse>,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.as_u16();
        let Some(problem) = &self.problem else {
            return write!(f, "the server gave no reason ({status})");
        };
        write!(f, "{} ({status} {})", problem.detail, problem.code)?;
        for error in &problem.errors {
            write!(f, "\n  {}: {}", error.code, error.message)?;
        }
        write!(f, "\nhint: {}", problem.hint)
    }
}

impl std::error::Error for RequestError {}

impl RequestError {
    /// Whether the route does not exist on the server.
    pub(crate) fn is_route_not_found(&self) -> bool {
        self.problem
            .as_ref()
            .is_some_and(|problem| problem.code == ErrorCode::RouteNotFound.as_str())
    }

    /// Returns the exit code of the process.
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

/// A client of one server.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
    /// Output format of responses.
    pub(crate) output: Output,
    /// Flags that select the same server in another command.
    flags: String,
}

/// Optional parts of a request.
#[derive(Default)]
pub(crate) struct RequestOptions {
    /// Query parameters.
    pub(crate) query: Query,
    /// Expected digest, sent in `If-Match`.
    pub(crate) if_match: Option<String>,
    /// A JSON body, as bytes.
    pub(crate) body: Option<Vec<u8>>,
}

impl RequestOptions {
    /// Returns options with a JSON body.
    pub(crate) fn json(body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("a request body is plain data");
        Self { body: Some(body), ..Self::default() }
    }
}

impl Client {
    fn new(connection: &Connection) -> Result<Self> {
        let Connection { server, token_file, data_dir, output } = connection;
        let dir = match (server, token_file, data_dir) {
            (None, None, None) => Some(locator::find()?.context(
                "no server is given, and no demo is running: start `chiron demo` in another terminal, or set --data-dir to the server's data directory",
            )?),
            (_, _, dir) => dir.clone(),
        };
        let file = match (token_file, &dir) {
            (Some(file), _) => file.clone(),
            (None, Some(dir)) => dir.join(DataDir::TOKEN),
            (None, None) => bail!(
                "no token is given: set --token-file or CHIRON_TOKEN_FILE, or set --data-dir to the server's data directory"
            ),
        };
        let announced = dir.as_deref().and_then(|dir| Some((dir, DataDir::address(dir)?)));
        if let (None, Some((dir, address))) = (server, &announced)
            && !data_dir::is_locked(dir)
        {
            bail!(
                "the server of {} at {address} is not running: start it again, or set --server to another one",
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

    /// Creates a client of the server at `base`.
    ///
    /// # Errors
    /// If `base` is not a URL with the scheme `http`.
    pub(crate) fn at(base: &str, token: &str, output: Output) -> Result<Self> {
        let url = reqwest::Url::parse(base)
            .with_context(|| format!("the server address `{base}` is not a URL: fix --server"))?;
        ensure!(
            url.scheme() == "http",
            "the server address `{base}` does not begin with http://: the client supports only http://; use a tunnel to reach other servers"
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

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        options: RequestOptions,
    ) -> Result<T> {
        let url = format!("{}/api/v1{path}", self.base);
        let mut url = reqwest::Url::parse(&url)
            .with_context(|| format!("{url} is not a URL: fix --server"))?;
        if !options.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&options.query);
        }
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(digest) = options.if_match {
            request = request.header("If-Match", format!("\"{digest}\""));
        }
        if let Some(body) = options.body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("cannot reach the server at {}: is it running?", self.base))?;
        let status = response.status();
        let bytes = response.bytes().await.context("the response ended early")?;
        if !status.is_success() {
            return Err(
                RequestError { status, problem: serde_json::from_slice(&bytes).ok() }.into()
            );
        }
        serde_json::from_slice(&bytes).with_context(|| {
            format!("the response to {path} is not as expected: is this a Chiron server of this version?")
        })
    }

    /// Sends a GET request.
    ///
    /// # Errors
    /// [`RequestError`] if the server refuses the request; another error if it cannot be reached.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(Method::GET, path, RequestOptions::default()).await
    }

    /// Requests a page of a list.
    ///
    /// # Errors
    /// Same as [`get`](Self::get).
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query,
    ) -> Result<ListResponse<T>> {
        self.send(Method::GET, path, RequestOptions { query, ..RequestOptions::default() }).await
    }

    /// Sends a POST request with a JSON body.
    ///
    /// # Errors
    /// Same as [`get`](Self::get).
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        self.post_with(path, RequestOptions::json(body)).await
    }

    /// Sends a DELETE request with a JSON body.
    ///
    /// # Errors
    /// Same as [`get`](Self::get).
    pub(crate) async fn delete<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        self.send(Method::DELETE, path, RequestOptions::json(body)).await
    }

    /// Sends a POST request with the given options.
    ///
    /// # Errors
    /// Same as [`get`](Self::get).
    pub(crate) async fn post_with<T: DeserializeOwned>(
        &self,
        path: &str,
        options: RequestOptions,
    ) -> Result<T> {
        self.send(Method::POST, path, options).await
    }

    /// Returns the line that suggests the next command, with the flags that select the same server.
    pub(crate) fn next_command(&self, command: &str) -> String {
        format!("next: chiron {command}{}", self.flags)
    }

    /// Prints a response: as JSON, or formatted by `table`.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn print<T: Serialize>(
        &self,
        answer: &T,
        table: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        let text = match self.output {
            // By way of a `Value`, so that the members are in alphabetical order.
            Output::Json => serde_json::to_string_pretty(&serde_json::to_value(answer)?)?,
            Output::Table => sanitize::sanitize_lines(&table(answer)),
        };
        writeln!(std::io::stdout().lock(), "{}", text.trim_end())?;
        Ok(())
    }
}

/// Runs `command` with a client of the selected server.
///
/// # Errors
/// If the client cannot be created, and those of `command`.
pub(crate) fn with_client<F: Future<Output = Result<ExitCode>>>(
    connection: &Connection,
    command: impl FnOnce(Client) -> F,
) -> Result<ExitCode> {
    let client = Client::new(connection)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command(client))
}

/// Percent-encodes an id for use as a path segment.
pub(crate) fn encode_segment(id: &str) -> String {
    // Without `.`, so that no id is a relative segment.
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
    utf8_percent_encode(id, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_command_selects_the_same_server() {
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
    fn client_supports_only_http_and_suggests_a_tunnel() {
        for base in ["https://chiron.example", "localhost:7420", "unix:///run/chiron"] {
            let refused = Client::at(base, "token", Output::Json).err().unwrap().to_string();
            assert!(refused.contains(base) && refused.contains("use a tunnel"), "{refused}");
        }
        let refused = Client::at("127.0.0.1:7420", "token", Output::Json).err().unwrap();
        assert!(refused.to_string().contains("fix --server"), "{refused}");
        Client::at("http://127.0.0.1:7420/", "token", Output::Json).unwrap();
    }
}
