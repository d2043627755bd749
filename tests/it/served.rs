//! A server of ours as a process of its own, spoken to over the command line.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A process under test that serves the API, ended with the test.
pub(crate) struct Server {
    child: Child,
    /// Where it serves.
    pub(crate) url: String,
    said: Arc<Mutex<Vec<String>>>,
    env: Vec<(&'static str, PathBuf)>,
}

impl Server {
    /// Starts `chiron` with `args`, `env` about it, and waits until it says where it serves.
    pub(crate) fn start(args: &[&str], env: &[(&'static str, PathBuf)]) -> Self {
        let mut child =
            command(env).args(args).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let (stdout, heard) = (child.stdout.take().expect("it is piped"), said.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        let mut server = Self { child, url: String::new(), said, env: env.to_vec() };
        let line = within(Duration::from_secs(60), "it says where it serves", || {
            assert!(
                server.child.try_wait().unwrap().is_none(),
                "it has ended: {:?}",
                server.said()
            );
            server.said().into_iter().find(|line| line.contains("http://"))
        });
        assert!(line.contains("token"), "{line}");
        let is_url = |word: &&str| word.starts_with("http://");
        server.url = line.split([' ', ',']).find(is_url).unwrap().to_string();
        server
    }

    /// What it has said on standard output so far.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Runs `chiron` in the same surroundings.
    pub(crate) fn chiron(&self, args: &[&str]) -> Output {
        command(&self.env).args(args).output().expect("the binary runs")
    }

    /// As [`chiron`](Self::chiron): what it says as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.chiron(&[args, &["-o", "json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("it prints JSON")
    }

    /// Asks it to end, and waits until it has; gives what it said.
    pub(crate) fn end(mut self) -> Vec<String> {
        self.tell("-TERM");
        let status = within(Duration::from_secs(60), "it ends", || {
            self.child.try_wait().expect("it can be asked")
        });
        assert!(status.success(), "{status}");
        self.said()
    }

    /// Closes its terminal, and says so as often as systems and shells may; gives what it said.
    pub(crate) fn hang_up(mut self) -> Vec<String> {
        let status = within(Duration::from_secs(60), "it ends", || {
            self.tell("-HUP");
            self.tell("-HUP");
            self.child.try_wait().expect("it can be asked")
        });
        assert!(status.success(), "{status}");
        self.said()
    }

    fn tell(&self, signal: &str) {
        let told = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(told.expect("kill is there").success());
    }

    /// Ends it without a word.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, with nothing of the surroundings that could lead it to another server.
pub(crate) fn command(env: &[(&'static str, PathBuf)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chiron"));
    command.env_remove("CHIRON_SERVER").env_remove("CHIRON_TOKEN_FILE");
    command.envs(env.iter().map(|(name, value)| (*name, value)));
    command
}

/// Looks again and again until there is something to see.
pub(crate) fn within<T>(most: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < most, "not within {most:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
