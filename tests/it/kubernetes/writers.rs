//! Somebody else who writes to what Chiron wants to change.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::json;

use super::given;

/// Somebody who annotates an object without end, through `kubectl proxy`.
pub(super) struct Writers {
    proxy: Child,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl Writers {
    /// Starts writing to the object at this path of the API.
    pub(super) fn start(path: &'static str) -> Self {
        let mut proxy = Command::new(given("CHIRON_TEST_KUBECTL"))
            .args(["--kubeconfig", &given("CHIRON_TEST_KUBECONFIG"), "proxy", "--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(proxy.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address = said.trim().rsplit(' ').next().unwrap().to_string();
        let ends = Arc::new(AtomicBool::new(false));
        let writer = |writer: u8| {
            let (address, ends) = (address.clone(), ends.clone());
            std::thread::spawn(move || {
                let mut count = 0;
                while !ends.load(Ordering::Relaxed) {
                    count += 1;
                    annotate(&address, path, &format!("writer-{writer}"), count);
                }
                count
            })
        };
        let threads = [writer(0), writer(1)].into();
        Self { proxy, ends, threads }
    }

    /// Ends them; gives how often they wrote.
    pub(super) fn end(mut self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        let written = self.threads.drain(..).map(|thread| thread.join().unwrap()).sum();
        self.proxy.kill().unwrap();
        self.proxy.wait().unwrap();
        written
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // It has ended already where the test went well.
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

fn annotate(address: &str, path: &str, name: &str, count: u64) {
    let body = json!({"metadata": {"annotations": {name: count.to_string()}}}).to_string();
    let length = body.len();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "PATCH {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/merge-patch+json\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.lines().next().is_some_and(|line| line.contains(" 200 ")), "{answer}");
}
