//! Chiron as people have it: the server as a process of its own, and the commands that talk to it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A server, ended with the test.
pub(super) struct Server {
    child: Child,
    dir: PathBuf,
}

impl Server {
    /// Starts `chiron` with its data in `dir`, and waits until it says that it serves.
    pub(super) fn start(dir: &Path, arguments: &[&str]) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let said = dir.with_extension("out");
        let child = chiron()
            .args(arguments)
            .arg("--data-dir")
            .arg(dir)
            .stdout(File::create(&said).unwrap())
            .stderr(File::create(dir.with_extension("log")).unwrap())
            .spawn()
            .expect("the binary starts");
        let mut server = Self { child, dir: dir.to_path_buf() };
        within(60, "the server says that it serves", || {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "it has ended: {}", server.log());
            std::fs::read_to_string(&said).unwrap().contains("serving http").then_some(())
        });
        server
    }

    /// What it has said of itself so far.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.with_extension("log")).unwrap_or_default()
    }

    /// Runs `chiron` against it.
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        chiron().args(arguments).arg("--data-dir").arg(&self.dir).output().unwrap()
    }

    /// What a command says, as JSON.
    pub(super) fn ask(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("it prints JSON")
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn end(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.unwrap().success());
        let status = within(60, "the server ends", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", self.log());
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
pub(super) fn chiron() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chiron"));
    command.env_remove("CHIRON_SERVER").env_remove("CHIRON_TOKEN_FILE");
    command
}

/// Looks again and again until there is something to see.
pub(super) fn within<T>(seconds: u64, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(seconds), "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
