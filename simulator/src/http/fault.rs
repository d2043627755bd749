//! A proxy for a Kubernetes API server that injects faults of networks and overloaded servers into changes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::upstream::{KubeconfigInfo, Upstream, UpstreamError};
use super::{ServeError, kubeconfig, tls};
use crate::api::StatusError;

/// A fault injected into one changing request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NetworkFault {
    /// The proxy stops listening for half a second. The change does not reach the server.
    Refused,
    /// The change does not reach the server, and the client gets no response.
    Hangs,
    /// The change is applied, and the client gets no response.
    HangsAfter,
    /// The change is applied, and the connection is reset before the response.
    ResetAfter,
    /// 429 with `Retry-After: 1`. The change does not reach the server.
    Throttled,
    /// 503. The change does not reach the server.
    Unavailable,
    /// 504. The change does not reach the server.
    TimedOut,
    /// The change is applied, and the response is 504.
    TimedOutAfter,
    /// The change is applied, and the response is sent in small chunks.
    Slow,
}

impl NetworkFault {
    /// Every fault.
    pub const ALL: [Self; 9] = [
        Self::Refused,
        Self::Hangs,
        Self::HangsAfter,
        Self::ResetAfter,
        Self::Throttled,
        Self::Unavailable,
        Self::TimedOut,
        Self::TimedOutAfter,
        Self::Slow,
    ];

    /// Returns the name of the fault in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Hangs => "hangs",
            Self::HangsAfter => "hangsAfterApplying",
            Self::ResetAfter => "resetAfterApplying",
            Self::Throttled => "429",
            Self::Unavailable => "503",
            Self::TimedOut => "504",
            Self::TimedOutAfter => "504AfterApplying",
            Self::Slow => "slowBytes",
        }
    }

    fn reaches_server(self) -> bool {
        match self {
            Self::HangsAfter | Self::ResetAfter | Self::TimedOutAfter | Self::Slow => true,
            Self::Refused | Self::Hangs | Self::Throttled | Self::Unavailable | Self::TimedOut => {
                false
            }
        }
    }
}

/// Returns the fault of the change with this number, counted from 0. `None`: no fault.
pub type FaultSchedule = Arc<dyn Fn(u64) -> Option<NetworkFault> + Send + Sync>;

/// A running proxy. Dropping it stops it. Reads pass unchanged.
pub struct FaultProxy {
    /// The text of a kubeconfig whose server is the proxy.
    pub kubeconfig: String,
    task: JoinHandle<()>,
    shared: Arc<ProxyState>,
}

struct ProxyState {
    upstream: Upstream,
    schedule: FaultSchedule,
    changes: AtomicU64,
    injected: Mutex<BTreeMap<NetworkFault, u32>>,
    shut: Notify,
}

impl FaultProxy {
    /// Starts a proxy on loopback for the API server in the kubeconfig file `upstream` of a simulated cluster.
    ///
    /// # Errors
    /// Returns [`ServeError`] if the file cannot be read or the proxy cannot listen.
    pub async fn start(upstream: &Path, schedule: FaultSchedule) -> Result<Self, ServeError> {
        let info = KubeconfigInfo::read(upstream)?;
        let authority = tls::authority()?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(ServeError::Address)?;
        let address = listener.local_addr().map_err(ServeError::Address)?;
        let kubeconfig = kubeconfig::text(
            "proxied",
            &format!("https://{address}"),
            &authority.certificate,
            &info.token,
        );
        let shared = Arc::new(ProxyState {
            upstream: Upstream::new(&info, upstream)?,
            schedule,
            changes: AtomicU64::new(0),
            injected: Mutex::default(),
            shut: Notify::new(),
        });
        let task = tokio::spawn(listen(listener, address, authority.acceptor, shared.clone()));
        Ok(Self { kubeconfig, task, shared })
    }

    /// Returns how often each fault was injected so far.
    pub fn injected(&self) -> BTreeMap<NetworkFault, u32> {
        self.shared.injected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(
    mut listener: TcpListener,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    shared: Arc<ProxyState>,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                tokio::spawn(serve_connection(stream, acceptor.clone(), shared.clone()));
            }
            () = shared.shut.notified() => {
                drop(listener);
                tokio::time::sleep(Duration::from_millis(500)).await;
                listener = loop {
                    match TcpListener::bind(address).await {
                        Ok(listener) => break listener,
                        // Another process may use the port briefly.
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                };
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<ProxyState>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| forward(request, shared.clone()));
    // An error means that the client or the proxy closed the connection.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

pub(super) type ProxyResponse = Response<BoxBody<Bytes, hyper::Error>>;

/// A connection that is closed without a response.
#[derive(Debug, thiserror::Error)]
enum ConnectionAborted {
    #[error("the fault proxy closed the connection")]
    Injected,
    #[error("the API server behind the proxy did not respond: {0}")]
    Upstream(#[from] UpstreamError),
}

async fn forward(
    request: Request<Incoming>,
    shared: Arc<ProxyState>,
) -> Result<ProxyResponse, ConnectionAborted> {
    let fault = if is_change(&request) {
        let ordinal = shared.changes.fetch_add(1, Ordering::Relaxed);
        (shared.schedule)(ordinal)
    } else {
        None
    };
    let Some(fault) = fault else { return Ok(shared.upstream.send(request).await?) };
    *shared.injected.lock().unwrap_or_else(PoisonError::into_inner).entry(fault).or_default() += 1;
    let response =
        if fault.reaches_server() { Some(shared.upstream.send(request).await?) } else { None };
    match fault {
        NetworkFault::Refused => {
            shared.shut.notify_one();
            Err(ConnectionAborted::Injected)
        }
        NetworkFault::ResetAfter => Err(ConnectionAborted::Injected),
        NetworkFault::Hangs | NetworkFault::HangsAfter => {
            // Longer than any client timeout.
            tokio::time::sleep(Duration::from_secs(120)).await;
            Err(ConnectionAborted::Injected)
        }
        NetworkFault::Throttled => {
            Ok(error_response(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"))
        }
        NetworkFault::Unavailable => {
            Ok(error_response(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"))
        }
        NetworkFault::TimedOut | NetworkFault::TimedOutAfter => {
            Ok(error_response(StatusCode::GATEWAY_TIMEOUT, "Timeout"))
        }
        NetworkFault::Slow => slow(response.expect("`Slow` reaches the server")).await,
    }
}

/// Whether a request changes objects.
fn is_change(request: &Request<Incoming>) -> bool {
    let path = request.uri().path();
    let is_review = path.starts_with("/apis/authorization.k8s.io/")
        || path.starts_with("/apis/authentication.k8s.io/");
    let is_dry = request.uri().query().is_some_and(|query| query.contains("dryRun="));
    request.method() != Method::GET && !is_review && !is_dry
}

fn error_response(status: StatusCode, reason: &str) -> ProxyResponse {
    let body = StatusError::new(status.as_u16(), reason, "injected by the fault proxy").status();
    let mut response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    if status == StatusCode::TOO_MANY_REQUESTS {
        response = response.header(RETRY_AFTER, "1");
    }
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never: Infallible| match never {});
    response.body(body.boxed()).expect("the status and the headers are valid")
}

/// Sends the same response in chunks of 64 bytes, one every few milliseconds.
async fn slow(response: ProxyResponse) -> Result<ProxyResponse, ConnectionAborted> {
    let (mut head, body) = response.into_parts();
    let Ok(collected) = body.collect().await else { return Err(ConnectionAborted::Injected) };
    head.headers.remove(CONTENT_LENGTH);
    let chunks: Vec<Bytes> = collected.to_bytes().chunks(64).map(Bytes::copy_from_slice).collect();
    let stream = futures::stream::unfold(chunks.into_iter(), |mut chunks| async {
        let chunk = chunks.next()?;
        tokio::time::sleep(Duration::from_millis(5)).await;
        Some((Ok::<_, hyper::Error>(Frame::data(chunk)), chunks))
    });
    Ok(Response::from_parts(head, StreamBody::new(stream).boxed()))
}
