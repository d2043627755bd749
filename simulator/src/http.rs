//! The Kubernetes API of a simulated cluster, over TLS on loopback.
//!
//! [`serve`] creates a certificate authority and an administrator token and returns both in a kubeconfig. It serves
//! discovery, objects and their subresources, tables, watches, logs and reviews.
//! This module is an adapter: [`World::call`] makes every decision of the API.

mod agent;
mod authenticate;
mod body;
mod change;
mod clock;
mod discovery;
mod fault;
mod kubeconfig;
mod log;
mod media;
mod openapi;
mod options;
mod patch;
mod payload;
mod protobuf;
mod query;
mod read;
mod respond;
mod review;
mod route;
mod schema;
mod server;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod upstream;
mod validate;
mod watch;
mod wire;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, rustls};

pub use clock::{ChangeHook, ClockSource};
pub use fault::{FaultProxy, FaultSchedule, NetworkFault};
pub use kubeconfig::KUBECONFIG_MARK;
pub use upstream::fetch_effects;

use crate::world::World;
use authenticate::Credentials;
use clock::ServerClock;
use server::ApiServer;

/// The maximum number of open connections. Further connections wait until one is closed.
const MAX_CONNECTIONS: usize = 4096;
/// The maximum duration of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum time that a connection waits for the head of the next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// The delay after a failed `accept`, for example when file descriptors are exhausted.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Server options.
pub struct ServerOptions {
    /// The name of the cluster in the kubeconfig.
    pub name: String,
    /// The source of simulated time.
    pub clock: ClockSource,
    /// The added latency of each request: half before the change, half after it.
    pub delay: Duration,
    /// Called before each call that is not a dry run.
    pub change_hook: Option<ChangeHook>,
}

/// The server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A certificate could not be created.
    #[error("cannot create a certificate")]
    Certificate(#[from] rcgen::Error),
    /// TLS could not be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The operating system returned no random bytes.
    #[error("cannot read random bytes from the operating system: {0}")]
    Random(getrandom::Error),
    /// The listener has no address.
    #[error("cannot determine the address of the listener")]
    Address(#[source] io::Error),
    /// The kubeconfig was not written by `serve`, or its server does not respond.
    #[error("cannot use the kubeconfig {path}: {message}")]
    Kubeconfig {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        message: String,
    },
}

/// A running server. Dropping the handle stops it.
#[derive(Debug)]
pub struct ServerHandle {
    /// The address that the server listens on.
    pub address: SocketAddr,
    /// The text of the administrator kubeconfig. It contains a token, so treat it as a secret.
    pub kubeconfig: String,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Serves the API of `world` on `listener`, which should be bound to loopback.
///
/// # Errors
/// Returns [`ServeError`] if the server cannot be started. No request is served in that case.
pub fn serve(
    world: Arc<Mutex<World>>,
    listener: TcpListener,
    options: ServerOptions,
) -> Result<ServerHandle, ServeError> {
    let address = listener.local_addr().map_err(ServeError::Address)?;
    let authority = tls::authority()?;
    let mut random = [0; 64];
    getrandom::fill(&mut random).map_err(ServeError::Random)?;
    let credentials = Credentials::new(&random);
    let url = format!("https://{address}");
    let kubeconfig =
        kubeconfig::text(&options.name, &url, &authority.certificate, &credentials.admin);
    let clock = ServerClock::new(world, options.clock);
    let server = Arc::new(ApiServer::new(
        clock,
        credentials,
        address.to_string(),
        options.delay,
        options.change_hook,
    ));
    let clock_owner = server.clone();
    let tasks = vec![
        tokio::spawn(async move { clock_owner.clock.run().await }),
        tokio::spawn(accept(server, listener, authority.acceptor)),
    ];
    Ok(ServerHandle { address, kubeconfig, tasks })
}

async fn accept(server: Arc<ApiServer>, listener: TcpListener, acceptor: TlsAcceptor) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The set aborts the connections when the server stops.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let (server, acceptor) = (server.clone(), acceptor.clone());
        connections.spawn(async move {
            serve_connection(server, stream, &acceptor).await;
            drop(permit);
        });
    }
}

/// Serves the requests of one connection until either side closes it.
async fn serve_connection(server: Arc<ApiServer>, stream: TcpStream, acceptor: &TlsAcceptor) {
    // Without Nagle's algorithm small responses are sent immediately. A failure only adds latency.
    drop(stream.set_nodelay(true));
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await
    else {
        return;
    };
    let service = service_fn(move |request| {
        let server = server.clone();
        async move { Ok::<_, Infallible>(server.respond(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // A client that closes the connection early is not an error of the server.
    drop(served);
}
