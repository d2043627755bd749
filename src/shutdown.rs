//! Shutdown requests: signals of the operator or of the process manager, and the end of the terminal.

use std::io::{self, Write as _};

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A request to end the process.
#[derive(Clone)]
pub(crate) struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Listens for SIGINT, SIGTERM and SIGHUP. A second SIGINT or SIGTERM ends the process immediately. A second SIGHUP
    /// does not, because the shell often repeats the SIGHUP of the system.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed.
    pub(crate) fn listen() -> Result<Self> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // A process started with `nohup` keeps running after its terminal closes.
        let handles_hangup = !is_ignored(SignalKind::hangup());
        let mut hangup = handles_hangup.then(|| signal(SignalKind::hangup())).transpose()?;
        let (request_tx, request_rx) = watch::channel(false);
        tokio::spawn(async move {
            let mut was_explicit = false;
            loop {
                let hung_up = async {
                    match &mut hangup {
                        Some(hangup) => hangup.recv().await,
                        None => std::future::pending().await,
                    }
                };
                let is_explicit = tokio::select! {
                    _ = interrupt.recv() => true,
                    _ = terminate.recv() => true,
                    _ = hung_up => false,
                };
                if is_explicit && was_explicit {
                    // The terminal may be closed.
                    let _ = writeln!(io::stderr(), "ended immediately; temporary files may remain");
                    std::process::exit(130);
                }
                was_explicit |= is_explicit;
                request_tx.send_replace(true);
            }
        });
        Ok(Self(request_rx))
    }

    /// Whether a shutdown is requested.
    pub(crate) fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the request.
    pub(crate) async fn recv(mut self) {
        // The sender is dropped only while the process ends.
        drop(self.0.wait_for(|is_requested| *is_requested).await);
    }
}

/// Whether the process was started with this signal ignored. Returns `false` if the system does not report it.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
