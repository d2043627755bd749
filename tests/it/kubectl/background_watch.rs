//! `kubectl … --watch` in the background of a session.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use super::kubectl;
use crate::server_process::wait_for;

/// Time limit for the start of a watch and for its last event.
const WATCH_TIMEOUT: Duration = Duration::from_secs(60);

/// A running `kubectl … --watch` with its output in files; killed when dropped.
pub(super) struct BackgroundWatch {
    /// The command as written in the session.
    pub(super) command: String,
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

impl BackgroundWatch {
    /// Starts kubectl and waits until the watch is open: it does not receive earlier events.
    pub(super) fn start(home: &Path, command: &str, arguments: &[String]) -> Self {
        let (output, log) = (home.join("watch.out"), home.join("watch.log"));
        let mut kubectl = kubectl(home, arguments);
        // Level 6 logs every response of the API server.
        kubectl.arg("-v=6");
        kubectl.stdout(File::create(&output).unwrap()).stderr(File::create(&log).unwrap());
        let child = kubectl.spawn().expect("kubectl starts");
        let watch = Self { command: command.into(), child, output, log };
        let is_open = |line: &str| line.contains("watch=true") && line.contains("200 OK");
        wait_for(WATCH_TIMEOUT, "the watch is open", || {
            read(&watch.log).lines().any(is_open).then_some(())
        });
        watch
    }

    /// Waits until the output contains a deletion, the last event of the watched object, and ends kubectl.
    ///
    /// Returns the exit code and the output. The code is 0 if kubectl was still watching.
    pub(super) fn end(mut self) -> (i32, String) {
        wait_for(WATCH_TIMEOUT, "the watch prints the deletion", || {
            let has_exited = self.child.try_wait().unwrap().is_some();
            (has_exited || read(&self.output).contains("DELETED")).then_some(())
        });
        // If kubectl has exited by itself, the watch failed, whatever its exit code.
        let exited = self.child.try_wait().unwrap();
        let code = exited.map_or(0, |status| status.code().unwrap_or(-1).max(1));
        let _ = self.child.kill();
        self.child.wait().unwrap();
        let log = read(&self.log);
        // Lines of klog start with a level and the date, such as `I0131`.
        let is_logged = |line: &&str| {
            let mut characters = line.chars();
            characters.next().is_some_and(|level| "IWEF".contains(level))
                && characters.take(4).all(|character| character.is_ascii_digit())
        };
        let errors: Vec<&str> = log.lines().filter(|line| !is_logged(line)).collect();
        (code, read(&self.output) + &errors.join("\n"))
    }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}

impl Drop for BackgroundWatch {
    fn drop(&mut self) {
        // Errors are expected: `end` has already ended the process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
