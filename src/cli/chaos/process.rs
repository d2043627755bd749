//! A child process of this program, killed on drop.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Time for a process to print its first line.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A child process of this program. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    /// First line that the process printed.
    pub(crate) first_line: String,
}

impl Process {
    /// Starts `chiron ARGS` and waits for its first line. Its log is written to `NAME.log` in `folder`.
    ///
    /// # Errors
    /// If it cannot be started, or if it ends or 30 s pass before it prints a line; the error contains the end of its
    /// log.
    pub(crate) fn start(name: &str, args: &[String], folder: &Path) -> Result<Self> {
        let program =
            std::env::current_exe().context("cannot determine the path of this program")?;
        let mut command = Command::new(program);
        command.args(args);
        Self::spawn(name, command, folder, START_TIMEOUT)
    }

    /// Starts `command`, which must print a line within `timeout`.
    fn spawn(name: &str, mut command: Command, folder: &Path, timeout: Duration) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().expect("stdout is piped");
        // From here on an error drops `process`, which kills the child.
        let mut process = Self { child, name: name.into(), log, first_line: String::new() };
        let (line_tx, line_rx) = mpsc::channel();
        // Reads on after the first line, because a closed pipe would end the process at its next line.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The receiver is dropped after the first line.
                let _ = line_tx.send(line);
            }
        });
        process.first_line = match line_rx.recv_timeout(timeout) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                bail!("{name} printed nothing within {timeout:?}:\n{}", process.end_of_log())
            }
            Err(RecvTimeoutError::Disconnected) => {
                bail!("{name} ended during startup:\n{}", process.end_of_log())
            }
        };
        Ok(process)
    }

    /// Kills the process with SIGKILL and waits for it.
    ///
    /// # Errors
    /// If it had already ended.
    pub(crate) fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended unexpectedly ({status}):\n{}", self.name, self.end_of_log());
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
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts a shell script as the child. Returns the result and the folder in which it runs.
    fn start_script(script: &str, seconds: u64) -> (Result<Process>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(folder.path());
        (Process::spawn("child", command, folder.path(), Duration::from_secs(seconds)), folder)
    }

    #[test]
    fn silent_child_is_killed_and_its_log_is_reported() {
        let (started, folder) = start_script("echo $$ >id; echo no route >&2; exec sleep 60", 2);
        let message = started.err().unwrap().to_string();
        assert_eq!(message, "child printed nothing within 2s:\nno route");
        let id = std::fs::read_to_string(folder.path().join("id")).unwrap();
        assert!(!Path::new("/proc").join(id.trim()).exists(), "{id}");
    }

    #[test]
    fn child_that_ends_during_startup_is_reported() {
        let (ended, _folder) = start_script("echo no route >&2", 60);
        assert_eq!(ended.err().unwrap().to_string(), "child ended during startup:\nno route");
        let (spoke, _folder) = start_script("echo here; exec sleep 60", 60);
        assert_eq!(spoke.unwrap().first_line, "here");
    }
}
