//! Another process of this program, that ends with us.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A process of this program. Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    /// Kept open, for a closed pipe would end the process at its next line.
    _stdout: BufReader<ChildStdout>,
    /// The first line that it said.
    pub(crate) greeting: String,
}

impl Process {
    /// Starts `chiron ARGS`, and waits until it says its first line. What it logs goes to `NAME.log` in `folder`.
    ///
    /// # Errors
    /// Where it cannot be started or ends before it says anything; then with the end of its log.
    pub(crate) fn start(name: &str, args: &[String], folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log)?;
        let program = std::env::current_exe().context("this program's own file is not known")?;
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut greeting = String::new();
        stdout.read_line(&mut greeting)?;
        let process = Self { child, name: name.into(), log, _stdout: stdout, greeting };
        if process.greeting.is_empty() {
            bail!("{name} ended while it started:\n{}", process.end_of_log());
        }
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
