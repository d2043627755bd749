//! A minimal fake API server whose responses and timing are defined by a test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// A received request.
#[derive(Clone, Debug)]
pub(super) struct RecordedRequest {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl RecordedRequest {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The reaction to a request.
pub(super) enum FakeResponse {
    /// A JSON response.
    Json(u16, Value),
    /// A JSON response with an additional header.
    JsonWithHeader(u16, (&'static str, &'static str), Value),
    /// A response with these lines at an interval in milliseconds; then the connection stays open for 30 s.
    Stream(Vec<Value>, u64),
    /// The head and a part of the body of a successful response; then the connection stays open for 30 s.
    Incomplete,
    /// No response for 30 s.
    Hang,
    /// The connection is closed without a response.
    Reset,
}

type Responder = Arc<dyn Fn(&RecordedRequest) -> Option<FakeResponse> + Send + Sync>;

pub(super) struct FakeApiServer {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
    is_stopped: Arc<AtomicBool>,
}

impl FakeApiServer {
    /// Starts a server that responds with `responder`, or as an empty cluster if that returns `None`.
    pub(super) fn new(
        responder: impl Fn(&RecordedRequest) -> Option<FakeResponse> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, requests: Arc::default(), is_stopped: Arc::default() };
        let (requests, is_stopped) = (server.requests.clone(), server.is_stopped.clone());
        let responder: Responder = Arc::new(responder);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (requests, responder) = (requests.clone(), responder.clone());
                thread::spawn(move || serve(stream.unwrap(), &requests, &responder));
            }
        });
        server
    }

    /// Stops accepting connections.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        while TcpStream::connect(self.address).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the received requests whose path contains `part`.
    pub(super) fn requests(&self, part: &str) -> Vec<RecordedRequest> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.path.contains(part)).cloned().collect()
    }

    pub(super) fn kubeconfig(&self, user: &Value) -> String {
        json!({"apiVersion": "v1", "kind": "Config", "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "u", "user": user}]})
        .to_string()
    }
}

fn serve(mut stream: TcpStream, requests: &Mutex<Vec<RecordedRequest>>, responder: &Responder) {
    let Some(request) = read(&stream) else { return };
    requests.lock().unwrap().push(request.clone());
    let response = responder(&request).unwrap_or_else(|| default_response(&request));
    let head = |status: u16, more: &str| {
        format!(
            "HTTP/1.1 {status} Fake\r\ncontent-type: application/json\r\nconnection: close\r\n{more}\r\n"
        )
    };
    // A write fails if the client has timed out; that is expected.
    let mut write = |text: String| {
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.flush();
    };
    match response {
        FakeResponse::Json(status, body) => write(head(status, "") + &text(&body)),
        FakeResponse::JsonWithHeader(status, (name, value), body) => {
            write(head(status, &format!("{name}: {value}\r\n")) + &text(&body));
        }
        FakeResponse::Stream(lines, apart) => {
            write(head(200, ""));
            for line in lines {
                thread::sleep(Duration::from_millis(apart));
                write(format!("{line}\n"));
            }
            thread::sleep(Duration::from_secs(30));
        }
        FakeResponse::Incomplete => {
            write(head(200, "content-length: 1000\r\n") + r#"{"apiVersion": "v1","#);
            thread::sleep(Duration::from_secs(30));
        }
        FakeResponse::Hang => thread::sleep(Duration::from_secs(30)),
        FakeResponse::Reset => {}
    }
}

/// Serializes the body; a string is sent verbatim.
fn text(body: &Value) -> String {
    body.as_str().map_or_else(|| body.to_string(), str::to_string)
}

fn read(stream: &TcpStream) -> Option<RecordedRequest> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_string(), value.to_string()));
    }
    let mut request = RecordedRequest { method, path, headers, body: Vec::new() };
    let length = request.header("content-length").parse().unwrap_or(0);
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// Returns the default response of an empty cluster.
fn default_response(request: &RecordedRequest) -> FakeResponse {
    match request.path.as_str() {
        "/version" => FakeResponse::Json(200, json!({"gitVersion": "v1.36.0"})),
        "/api" | "/apis" => {
            FakeResponse::Json(200, json!({"kind": "APIVersions", "versions": ["v1"]}))
        }
        "/api/v1" => FakeResponse::Json(
            200,
            json!({"resources": [{"name": "pods", "kind": "Pod", "namespaced": true},
                {"name": "pods/log", "kind": "Pod", "namespaced": true},
                {"name": "secrets", "kind": "Secret", "namespaced": true},
                {"name": "configmaps", "kind": "ConfigMap", "namespaced": true},
                {"name": "nodes", "kind": "Node", "namespaced": false}]}),
        ),
        "/apis/apps/v1" => FakeResponse::Json(
            200,
            json!({"resources": [{"name": "deployments", "kind": "Deployment", "namespaced": true}]}),
        ),
        path if path.ends_with("selfsubjectaccessreviews") => {
            FakeResponse::Json(201, json!({"status": {"allowed": true}}))
        }
        path if path.ends_with("selfsubjectreviews") => {
            FakeResponse::Json(201, json!({"status": {"userInfo": {"username": "jane"}}}))
        }
        _ => FakeResponse::Json(404, status(404, "NotFound", "not found")),
    }
}

pub(super) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message})
}
