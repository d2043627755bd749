//! A server of one screen: answers each request with the bytes that a test gives it, when the test wants them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What becomes of a request.
pub(super) enum Deed {
    /// An answer.
    Say(u16, Value),
    /// An answer with one more header.
    SayWith(u16, (&'static str, &'static str), Value),
    /// Lines one after another, so many milliseconds apart, and then silence.
    Stream(Vec<Value>, u64),
    /// The head and the first half of an answer of success, and then silence.
    Half,
    /// No answer, for as long as anybody waits.
    Hang,
    /// The connection ends without an answer.
    Reset,
}

type Script = Arc<dyn Fn(&Seen) -> Option<Deed> + Send + Sync>;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    /// Answers as `script` says, and as a cluster with pods, Deployments and Secrets where it says nothing.
    pub(super) fn new(script: impl Fn(&Seen) -> Option<Deed> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, seen: Arc::default(), is_over: Arc::default() };
        let (seen, is_over) = (server.seen.clone(), server.is_over.clone());
        let script: Script = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, script) = (seen.clone(), script.clone());
                thread::spawn(move || serve(stream.unwrap(), &seen, &script));
            }
        });
        server
    }

    /// Takes no connection any more.
    pub(super) fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        while TcpStream::connect(self.address).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The requests whose path contains `part`.
    pub(super) fn seen(&self, part: &str) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.path.contains(part)).cloned().collect()
    }

    pub(super) fn kubeconfig(&self, user: &Value) -> String {
        json!({"apiVersion": "v1", "kind": "Config", "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "u", "user": user}]})
        .to_string()
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>, script: &Script) {
    let Some(request) = read(&stream) else { return };
    seen.lock().unwrap().push(request.clone());
    let deed = script(&request).unwrap_or_else(|| usual(&request));
    let head = |status: u16, more: &str| {
        format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\nconnection: close\r\n{more}\r\n"
        )
    };
    // Whoever waits no longer has gone: that a write fails is no matter.
    let mut say = |text: String| {
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.flush();
    };
    match deed {
        Deed::Say(status, body) => say(head(status, "") + &text(&body)),
        Deed::SayWith(status, (name, value), body) => {
            say(head(status, &format!("{name}: {value}\r\n")) + &text(&body));
        }
        Deed::Stream(lines, apart) => {
            say(head(200, ""));
            for line in lines {
                thread::sleep(Duration::from_millis(apart));
                say(format!("{line}\n"));
            }
            thread::sleep(Duration::from_secs(30));
        }
        Deed::Half => {
            say(head(200, "content-length: 1000\r\n") + r#"{"apiVersion": "v1","#);
            thread::sleep(Duration::from_secs(30));
        }
        Deed::Hang => thread::sleep(Duration::from_secs(30)),
        Deed::Reset => {}
    }
}

/// A string is said as it stands.
fn text(body: &Value) -> String {
    body.as_str().map_or_else(|| body.to_string(), str::to_string)
}

fn read(stream: &TcpStream) -> Option<Seen> {
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
    let mut seen = Seen { method, path, headers, body: Vec::new() };
    let length = seen.header("content-length").parse().unwrap_or(0);
    seen.body = vec![0; length];
    reader.read_exact(&mut seen.body).ok()?;
    Some(seen)
}

/// A cluster that lets everything be read and has nothing.
fn usual(request: &Seen) -> Deed {
    match request.path.as_str() {
        "/version" => Deed::Say(200, json!({"gitVersion": "v1.36.0"})),
        "/api" | "/apis" => Deed::Say(200, json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/api/v1" => Deed::Say(
            200,
            json!({"resources": [{"name": "pods", "kind": "Pod", "namespaced": true},
                {"name": "pods/log", "kind": "Pod", "namespaced": true},
                {"name": "secrets", "kind": "Secret", "namespaced": true},
                {"name": "configmaps", "kind": "ConfigMap", "namespaced": true},
                {"name": "nodes", "kind": "Node", "namespaced": false}]}),
        ),
        "/apis/apps/v1" => Deed::Say(
            200,
            json!({"resources": [{"name": "deployments", "kind": "Deployment", "namespaced": true}]}),
        ),
        path if path.ends_with("selfsubjectaccessreviews") => {
            Deed::Say(201, json!({"status": {"allowed": true}}))
        }
        path if path.ends_with("selfsubjectreviews") => {
            Deed::Say(201, json!({"status": {"userInfo": {"username": "jane"}}}))
        }
        _ => Deed::Say(404, status(404, "NotFound", "not found")),
    }
}

pub(super) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message})
}
