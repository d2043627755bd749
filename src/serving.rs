//! The server in front of an engine, from the first request to the orderly end of both.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use engine::{Engine, Stop};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// How long the engine may take to end what it has begun.
const DRAIN: Duration = Duration::from_secs(30);

/// Whether a person, or who started the process, wants it to end.
#[derive(Clone)]
pub(crate) struct Interruption(watch::Receiver<bool>);

impl Interruption {
    /// Listens for an interrupt, a request to end, or the end of the terminal from now on. A second interrupt or request
    /// ends the process at once. The end of a terminal never does: its shell often says it again, right after the system.
    ///
    /// # Errors
    /// Where signals cannot be had.
    pub(crate) fn listen() -> Result<Self> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // Whoever was started under `nohup` is to outlive its terminal.
        let heeds = !is_ignored(SignalKind::hangup());
        let mut hangup = heeds.then(|| signal(SignalKind::hangup())).transpose()?;
        let (say, heard) = watch::channel(false);
        tokio::spawn(async move {
            let mut was_asked = false;
            loop {
                let hung_up = async {
                    match &mut hangup {
                        Some(hangup) => hangup.recv().await,
                        None => std::future::pending().await,
                    }
                };
                let is_asked = tokio::select! {
                    _ = interrupt.recv() => true,
                    _ = terminate.recv() => true,
                    _ = hung_up => false,
                };
                if is_asked && was_asked {
                    // The terminal may be gone.
                    let _ =
                        writeln!(io::stderr(), "ended at once: temporary files may be left behind");
                    std::process::exit(130);
                }
                was_asked |= is_asked;
                say.send_replace(true);
            }
        });
        Ok(Self(heard))
    }

    /// Whether it came.
    pub(crate) fn has_come(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it comes.
    pub(crate) async fn came(mut self) {
        // Nobody is left to say so only while the process ends.
        drop(self.0.wait_for(|has_come| *has_come).await);
    }
}

/// Whether the process was started with this signal ignored, as far as the system tells.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}

/// Where a server listens.
///
/// # Errors
/// Where the address cannot be had.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; hint: a demo or another server may be there, name another address with --listen (port 0 takes a free one)")
    })
}

/// The values of `Host` that a server at `address` answers to.
pub(crate) fn hosts(address: SocketAddr, more: &[String]) -> Vec<String> {
    let port = address.port();
    let own = [address.to_string(), format!("localhost:{port}"), format!("127.0.0.1:{port}")];
    own.into_iter().chain(more.iter().cloned()).collect()
}

/// A server that answers.
pub(crate) struct Serving {
    task: JoinHandle<io::Result<()>>,
    end: oneshot::Sender<()>,
}

impl Serving {
    /// Serves `router` from now on, until it is interrupted or the engine stops.
    pub(crate) fn start(
        listener: TcpListener,
        router: axum::Router,
        interruption: Interruption,
    ) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        let shutdown = async {
            tokio::select! {
                () = interruption.came() => {}
                _ = ended => tracing::error!("the engine stopped"),
            }
        };
        Self { task: tokio::spawn(server::serve(listener, router, shutdown)), end }
    }

    /// Runs the engine behind it until both have come to their end.
    ///
    /// # Errors
    /// Where the server or the engine breaks off, or the engine does not end in time.
    pub(crate) async fn run(mut self, engine: &mut Engine) -> Result<()> {
        let mut running = std::pin::pin!(engine.run(Stop::WhenClosed));
        let ran = tokio::select! {
            ran = running.as_mut() => {
                drop(self.end);
                self.task.await.context("the server broke off")??;
                ran
            }
            served = &mut self.task => {
                served.context("the server broke off")??;
                // The router is gone, and with it the last sender of inputs: the engine ends.
                match tokio::time::timeout(DRAIN, running).await {
                    Ok(ran) => ran,
                    Err(_) => bail!("the engine did not end within {} s; the record is whole, start again to go on", DRAIN.as_secs()),
                }
            }
        };
        ran.context("the engine stopped; the record is whole, start again to go on")
    }
}
