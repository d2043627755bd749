//! Another process of this program, that ends with us.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// How long a process may take to say its first line.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process of this program. Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    /// The first line that it said.
    pub(crate) greeting: String,
}

impl Process {
    /// Starts `chiron ARGS`, and waits until it says its first line. What it logs goes to `NAME.log` in `folder`.
    ///
    /// # Errors
    /// Where it cannot be started, or ends or 30 s pass before it says anything; then with the end of its log.
    pub(crate) fn start(name: &str, args: &[String], folder: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("this program's own file is not known")?;
        let mut command = Command::new(program);
        command.args(args);
        Self::greeted(name, command, folder, PATIENCE)
    }

    /// Starts `command`, which must say something within `patience`.
    fn greeted(
        name: &str,
        mut command: Command,
        folder: &Path,
        patience: Duration,
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().expect("it is piped");
        // From here on whatever goes wrong ends the child.
        let mut process = Self { child, name: name.into(), log, greeting: String::new() };
        let (say, heard) = mpsc::channel();
        // It reads on after the first line, for a closed pipe would end the process at its next one.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody listens after the first.
                let _ = say.send(line);
            }
        });
        process.greeting = match heard.recv_timeout(patience) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                bail!("{name} said nothing within {patience:?}:\n{}", process.end_of_log())
            }
            Err(RecvTimeoutError::Disconnected) => {
                bail!("{name} ended while it started:\n{}", process.end_of_log())
            }
        };
        Ok(process)
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// Where it was gone already, which it should not.
    pub(crate) fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended by itself ({status}):\n{}", self.name, self.end_of_log());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn end_of_log(&self) -> String {
        let Ok(file) = File::open(&self.log) else { return String::new() };
        let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a shell script as the child that is waited for so long, and the folder that it ran in.
    fn play(script: &str, seconds: u64) -> (Result<Process>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(folder.path());
        (Process::greeted("child", command, folder.path(), Duration::from_secs(seconds)), folder)
    }

    #[test]
    fn a_child_that_never_speaks_is_killed_and_its_log_shown() {
        let (started, folder) = play("echo $$ >id; echo no route >&2; exec sleep 60", 2);
        let message = started.err().unwrap().to_string();
        assert_eq!(message, "child said nothing within 2s:\nno route");
        let id = std::fs::read_to_string(folder.path().join("id")).unwrap();
        assert!(!Path::new("/proc").join(id.trim()).exists(), "{id}");
    }

    #[test]
    fn a_child_that_ends_at_once_is_told_from_one_that_speaks() {
        let (ended, _folder) = play("echo no route >&2", 60);
        assert_eq!(ended.err().unwrap().to_string(), "child ended while it started:\nno route");
        let (spoke, _folder) = play("echo here; exec sleep 60", 60);
        assert_eq!(spoke.unwrap().greeting, "here");
    }
}
