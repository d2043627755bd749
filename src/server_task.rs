//! Runs the HTTP server together with the engine until both have ended.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use engine::{Engine, RunUntil};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::shutdown::Shutdown;

/// Time for the engine to finish after the server ended.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Binds a listener.
///
/// # Errors
/// If the address cannot be bound.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; hint: another demo or server may use it; set --listen to another address (port 0 selects a free port)")
    })
}

/// Returns the accepted values of `Host` for a server at `address`.
pub(crate) fn hosts(address: SocketAddr, more: &[String]) -> Vec<String> {
    let port = address.port();
    let own = [address.to_string(), format!("localhost:{port}"), format!("127.0.0.1:{port}")];
    own.into_iter().chain(more.iter().cloned()).collect()
}

/// A running HTTP server.
pub(crate) struct ServerTask {
    task: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl ServerTask {
    /// Starts to serve `router`, until a shutdown is requested or the engine stops.
    pub(crate) fn start(
        listener: TcpListener,
        router: axum::Router,
        shutdown_request: Shutdown,
    ) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        let shutdown = async {
            tokio::select! {
                () = shutdown_request.recv() => {}
                _ = ended => tracing::error!("the engine stopped"),
            }
        };
        Self { task: tokio::spawn(server::serve(listener, router, shutdown)), end }
    }

    /// Runs the engine until it and the server have ended.
    ///
    /// # Errors
    /// If the server or the engine fails, or the engine does not end in time.
    pub(crate) async fn run(mut self, engine: &mut Engine) -> Result<()> {
        let mut running = std::pin::pin!(engine.run(RunUntil::InboxClosed));
        let ran = tokio::select! {
            ran = running.as_mut() => {
                drop(self.end);
                self.task.await.context("the server panicked")?;
                ran
            }
            served = &mut self.task => {
                served.context("the server panicked")?;
                // The router is dropped, and with it the last sender of inputs, so the engine ends.
                match tokio::time::timeout(DRAIN_TIMEOUT, running).await {
                    Ok(ran) => ran,
                    Err(_) => bail!("the engine did not end within {} s; the record is intact, restart to continue", DRAIN_TIMEOUT.as_secs()),
                }
            }
        };
        ran.context("the engine stopped; the record is intact, restart to continue")
    }
}
