//! The simulated cluster as a Kubernetes API over TLS on loopback.
//!
//! [`serve`] makes a certificate authority and the token of an administrator, writes both into a kubeconfig, and
//! answers what clients of Kubernetes ask: discovery, objects and their subresources, tables, watches, logs, reviews.
//! It is an adapter: everything that the API decides is decided by [`World::call`].

mod agent;
mod authenticate;
mod body;
mod change;
mod clock;
mod discovery;
mod door;
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

pub use clock::{Note, Pace};
pub use fault::{Fault, FaultProxy, Schedule};
pub use kubeconfig::KUBECONFIG_MARK;
pub use upstream::effects;

use crate::world::World;
use authenticate::Credentials;
use clock::Clock;
use door::Door;

/// How many connections are open at once; more wait until one is closed.
const CONNECTIONS: usize = 4096;
/// How long a client may take to agree on a key.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may be silent before a request.
const SILENCE: Duration = Duration::from_secs(120);
/// How long to wait when no more connections can be had.
const BREATH: Duration = Duration::from_millis(50);

/// How the door is opened.
pub struct Options {
    /// What the cluster is called in the kubeconfig.
    pub name: String,
    /// Who moves the world.
    pub pace: Pace,
    /// How long each answer takes: half of it before the effect, half after.
    pub delay: Duration,
    /// Called before each call that is meant.
    pub note: Option<Note>,
}

/// Why the door could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// TLS could not be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The operating system gave no chance.
    #[error("the operating system gives no random bytes: {0}")]
    Chance(getrandom::Error),
    /// The listener has no address.
    #[error("cannot tell where the server listens")]
    Address(#[source] io::Error),
    /// The kubeconfig is not one that was written here, or nobody answers where it leads.
    #[error("cannot use the kubeconfig {path}: {why}")]
    NoKubeconfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

/// The open door; it closes when this is dropped.
#[derive(Debug)]
pub struct Handle {
    /// Where it listens.
    pub address: SocketAddr,
    /// The text of a kubeconfig whose user may do everything: a secret of whoever opened the door.
    pub kubeconfig: String,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Opens the door to `world` at `listener`, which should be on loopback.
///
/// # Errors
/// [`ServeError`], before anything is served.
pub fn serve(
    world: Arc<Mutex<World>>,
    listener: TcpListener,
    options: Options,
) -> Result<Handle, ServeError> {
    let address = listener.local_addr().map_err(ServeError::Address)?;
    let authority = tls::authority()?;
    let mut chance = [0; 64];
    getrandom::fill(&mut chance).map_err(ServeError::Chance)?;
    let credentials = Credentials::new(&chance);
    let server = format!("https://{address}");
    let kubeconfig =
        kubeconfig::text(&options.name, &server, &authority.certificate, &credentials.admin);
    let clock = Clock::new(world, options.pace);
    let door =
        Arc::new(Door::new(clock, credentials, address.to_string(), options.delay, options.note));
    let mover = door.clone();
    let tasks = vec![
        tokio::spawn(async move { mover.clock.run().await }),
        tokio::spawn(accept(door, listener, authority.acceptor)),
    ];
    Ok(Handle { address, kubeconfig, tasks })
}

async fn accept(door: Arc<Door>, listener: TcpListener, acceptor: TlsAcceptor) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    // Connections end with the door, not after it.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let seat = seats.clone().acquire_owned().await.expect("the seats are never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let (door, acceptor) = (door.clone(), acceptor.clone());
        connections.spawn(async move {
            converse(door, stream, &acceptor).await;
            drop(seat);
        });
    }
}

/// Answers whatever comes over one connection, until either side ends it.
async fn converse(door: Arc<Door>, stream: TcpStream, acceptor: &TlsAcceptor) {
    // Small answers leave at once; that it cannot be set only makes them slower.
    drop(stream.set_nodelay(true));
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        return;
    };
    let service = service_fn(move |request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // A client that hangs up in the middle is nobody's failure.
    drop(served);
}
