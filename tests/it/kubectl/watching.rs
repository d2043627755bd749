//! kubectl in the background of a session, watching.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use super::kubectl;
use crate::served::within;

/// One `kubectl … --watch`, what it says in files.
pub(super) struct Watching {
    /// As the session has it.
    pub(super) command: String,
    child: Child,
    told: PathBuf,
    log: PathBuf,
}

impl Watching {
    /// Starts it, and waits until the API server lets it watch: what happens before that is not told to it.
    pub(super) fn start(home: &Path, command: &str, arguments: &[String]) -> Self {
        let (told, log) = (home.join("watch.out"), home.join("watch.log"));
        let mut watch = kubectl(home, arguments);
        // At this level it logs each answer of the API server.
        watch.arg("-v=6").stdout(File::create(&told).unwrap()).stderr(File::create(&log).unwrap());
        let child = watch.spawn().expect("kubectl runs");
        let watching = Self { command: command.into(), child, told, log };
        let is_open = |line: &str| line.contains("watch=true") && line.contains("200 OK");
        within(Duration::from_secs(60), "the watch is open", || {
            read(&watching.log).lines().any(is_open).then_some(())
        });
        watching
    }

    /// Ends it once it has told of a deletion, which is the last thing that happens to what is watched. Gives its exit
    /// code, 0 where it still watched, and what it said.
    pub(super) fn end(mut self) -> (i32, String) {
        within(Duration::from_secs(60), "the deletion is told", || {
            let has_ended = self.child.try_wait().unwrap().is_some();
            (has_ended || read(&self.told).contains("DELETED")).then_some(())
        });
        // One that ended by itself did not watch.
        let ended = self.child.try_wait().unwrap();
        let code = ended.map_or(0, |status| status.code().unwrap_or(-1).max(1));
        let _ = self.child.kill();
        self.child.wait().unwrap();
        let log = read(&self.log);
        let is_logged = |line: &&str| {
            let mut signs = line.chars();
            signs.next().is_some_and(|level| "IWEF".contains(level))
                && signs.take(4).all(|sign| sign.is_ascii_digit())
        };
        let errors: Vec<&str> = log.lines().filter(|line| !is_logged(line)).collect();
        (code, read(&self.told) + &errors.join("\n"))
    }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It has ended already where the session went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
