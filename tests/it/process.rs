//! A server in a data directory that outlives it, spoken to over HTTP.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A server under test; it does not outlive the test.
pub(crate) struct Process {
    child: Child,
    dir: PathBuf,
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Process {
    /// Starts `chiron serve --data-dir DIR` with `more`, and waits until it listens. What it logs goes to DIR.log.
    pub(crate) fn start(dir: &Path, more: &[&str]) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.with_extension("log"))
            .expect("the log can be opened");
        let mut child = Command::new(env!("CARGO_BIN_EXE_chiron"))
            .args(["serve", "--data-dir"])
            .arg(dir)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("it says where it is");
        let url = line
            .split([' ', ','])
            .find(|word| word.starts_with("http://"))
            .unwrap_or_else(|| panic!("no address in {line:?}"))
            .to_string();
        let token = std::fs::read_to_string(dir.join("token")).expect("the token is there");
        Self { child, dir: dir.into(), http: reqwest::Client::new(), url, token }
    }

    /// A request to the API: path below /api/v1, token and all.
    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/api/v1{path}", self.url);
        self.http.request(method, url).bearer_auth(&self.token)
    }

    /// What `GET` of a path gives.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self.request(reqwest::Method::GET, path).send().await.expect("it answers");
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.expect("it answers in JSON")
    }

    /// Status and body of a `POST`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.request(reqwest::Method::POST, path).json(body);
        let response = request.send().await.expect("it answers");
        (response.status().as_u16(), response.json().await.expect("it answers in JSON"))
    }

    /// Ends it at once, in the middle of whatever it does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it was alive");
        self.child.wait().expect("it ends");
    }

    /// Asks it to end, waits until it has, and checks what it leaves behind.
    pub(crate) fn end(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.expect("kill is there").success());
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                break status;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "the server does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "{status}");
        let verified = Command::new(env!("CARGO_BIN_EXE_chiron"))
            .args(["admin", "verify", "--data-dir"])
            .arg(&self.dir)
            .output()
            .expect("the binary runs");
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until there is an answer.
pub(crate) async fn within<T>(
    seconds: u64,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(seconds), "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The effect keys in the journal of the world in `dir`, each with the run that it belongs to.
pub(crate) fn effects(dir: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(dir.join("world.jsonl")).unwrap_or_default();
    // The last line may be under way.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("a line is JSON");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
            let agent = &line["request"]["agent"];
            (text(&agent["effectKey"]), text(&agent["run"]))
        })
        .collect()
}
