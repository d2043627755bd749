//! A `chiron` server as a child process, used over the command line or over HTTP.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Time limit for the start and for the end of a process.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two polls of a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A `chiron` process that serves the API; killed when dropped.
pub(crate) struct ServerProcess {
    child: Child,
    /// Base URL of the API.
    pub(crate) url: String,
    stdout_lines: Arc<Mutex<Vec<String>>>,
    env: Vec<(&'static str, PathBuf)>,
}

impl ServerProcess {
    /// Starts `chiron` with `args` and `env`, and waits until it prints its URL.
    pub(crate) fn start(args: &[&str], env: &[(&'static str, PathBuf)]) -> Self {
        let mut command = command(env);
        command.args(args);
        Self::spawn(command, env)
    }

    fn spawn(mut command: Command, env: &[(&'static str, PathBuf)]) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let stdout_lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (stdout, lines) = (child.stdout.take().expect("it is piped"), stdout_lines.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let mut server = Self { child, url: String::new(), stdout_lines, env: env.to_vec() };
        let line = wait_for(PROCESS_TIMEOUT, "the server prints its URL", || {
            assert!(
                server.child.try_wait().unwrap().is_none(),
                "the server has exited: {:?}",
                server.stdout_lines()
            );
            server.stdout_lines().into_iter().find(|line| line.contains("http://"))
        });
        assert!(line.contains("token"), "{line}");
        let is_url = |word: &&str| word.starts_with("http://");
        server.url = line.split([' ', ',']).find(is_url).unwrap().to_string();
        server
    }

    /// Returns the lines that the process has printed to standard output so far.
    pub(crate) fn stdout_lines(&self) -> Vec<String> {
        self.stdout_lines.lock().unwrap().clone()
    }

    /// Runs another `chiron` command with the environment of this process.
    pub(crate) fn chiron(&self, args: &[&str]) -> Output {
        command(&self.env).args(args).output().expect("the binary runs")
    }

    /// Runs another `chiron` command with `-o json`, and parses its output.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.chiron(&[args, &["-o", "json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the command prints JSON")
    }

    /// Sends SIGTERM and waits until the process has exited with 0. Returns its standard output.
    pub(crate) fn end(mut self) -> Vec<String> {
        self.signal("-TERM");
        let status = wait_for(PROCESS_TIMEOUT, "the server exits", || {
            self.child.try_wait().expect("the process can be polled")
        });
        assert!(status.success(), "{status}");
        self.stdout_lines()
    }

    /// Sends SIGHUP until the process has exited with 0, as when its terminal is closed. Returns its standard output.
    ///
    /// The signal is repeated because the kernel and the shell may each send one.
    pub(crate) fn hang_up(mut self) -> Vec<String> {
        let status = wait_for(PROCESS_TIMEOUT, "the server exits", || {
            self.signal("-HUP");
            self.signal("-HUP");
            self.child.try_wait().expect("the process can be polled")
        });
        assert!(status.success(), "{status}");
        self.stdout_lines()
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("`kill` is installed").success());
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the process was running");
        self.child.wait().expect("the process exits");
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Errors are expected: a successful test has already ended the process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `chiron serve` process with a data directory that outlives it, used over HTTP; killed when dropped.
pub(crate) struct HttpServer {
    process: ServerProcess,
    dir: PathBuf,
    http: reqwest::Client,
    token: String,
}

impl HttpServer {
    /// Starts `chiron serve --data-dir DIR` with `more` arguments, and waits until it listens. Its log is DIR.log.
    pub(crate) fn start(dir: &Path, more: &[&str]) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.with_extension("log"))
            .expect("the log can be opened");
        let mut command = command(&[]);
        command.args(["serve", "--data-dir"]).arg(dir).args(more).stderr(log);
        let process = ServerProcess::spawn(command, &[]);
        let token = std::fs::read_to_string(dir.join("token")).expect("the token file exists");
        Self { process, dir: dir.into(), http: reqwest::Client::new(), token }
    }

    /// Returns a request with the bearer token. `path` is relative to /api/v1.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.request_root(method, &format!("/api/v1{path}"))
    }

    /// Returns a request with the bearer token. `path` is the whole path.
    pub(crate) fn request_root(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.process.url)).bearer_auth(&self.token)
    }

    /// Sends a `GET` and returns the body of its successful response.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.read(path).await
    }

    /// Sends a `GET` and returns the body of its successful response, as the type of the API.
    pub(crate) async fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        let response = self.request(Method::GET, path).send().await.expect("the server responds");
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.expect("the response has the type of the API")
    }

    /// Sends a request with a JSON body. Returns the status and the body of the response.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self.request(method, path).json(body);
        let response = request.send().await.expect("the server responds");
        (response.status().as_u16(), response.json().await.expect("the response is JSON"))
    }

    /// Sends a `POST`. Returns the status and the body of the response.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::POST, path, body).await
    }

    /// Runs another `chiron` command against this server with `-o json`, and parses its output.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let dir = self.dir.to_str().expect("the path is UTF-8");
        self.process.json(&[args, &["--data-dir", dir]].concat())
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn kill(self) {
        self.process.kill();
    }

    /// Sends SIGTERM, waits until the process has exited with 0, and verifies its data directory.
    pub(crate) fn end(self) {
        self.process.end();
        let verified = command(&[])
            .args(["admin", "verify", "--data-dir"])
            .arg(&self.dir)
            .output()
            .expect("the binary runs");
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}

/// Returns the command `chiron` without the environment variables that could select another server.
pub(crate) fn command(env: &[(&'static str, PathBuf)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chiron"));
    command.env_remove("CHIRON_SERVER").env_remove("CHIRON_TOKEN_FILE");
    command.envs(env.iter().map(|(name, value)| (*name, value)));
    command
}

/// Polls until `poll` returns a value, and panics after `timeout`.
pub(crate) fn wait_for<T>(timeout: Duration, what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(start.elapsed() < timeout, "not within {timeout:?}: {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Polls until `poll` returns a value, and panics after `timeout`.
pub(crate) async fn wait_for_async<T>(
    timeout: Duration,
    what: &str,
    mut poll: impl AsyncFnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = poll().await {
            return found;
        }
        assert!(start.elapsed() < timeout, "not within {timeout:?}: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Returns the effect keys in the journal of the simulated cluster in `dir`, each with the id of its run.
pub(crate) fn effects(dir: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(dir.join("world.jsonl")).unwrap_or_default();
    // The server may be writing the last line.
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("a line is JSON");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
            let agent = &line["request"]["agent"];
            (text(&agent["effectKey"]), text(&agent["run"]))
        })
        .collect()
}
