//! A proxy before a Kubernetes API server that does what networks and overloaded servers do to changes.

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

use super::upstream::{Known, Lost, Upstream};
use super::{ServeError, kubeconfig, tls};
use crate::api::Refusal;

/// What befalls one change on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nobody listens for half a second; the change never arrives.
    Refused,
    /// The change never arrives, and no answer comes.
    Hangs,
    /// The change is made, and no answer comes.
    HangsAfter,
    /// The change is made, and the connection is reset before the answer.
    ResetAfter,
    /// 429 with `Retry-After: 1`; the change does not arrive.
    Throttled,
    /// 503; the change does not arrive.
    Unavailable,
    /// 504; the change does not arrive.
    TimedOut,
    /// The change is made, and the answer is 504.
    TimedOutAfter,
    /// The change is made, and the answer comes in small pieces.
    Slow,
}

impl Fault {
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

    /// Its name in a report.
    pub fn word(self) -> &'static str {
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

    fn lets_it_through(self) -> bool {
        match self {
            Self::HangsAfter | Self::ResetAfter | Self::TimedOutAfter | Self::Slow => true,
            Self::Refused | Self::Hangs | Self::Throttled | Self::Unavailable | Self::TimedOut => {
                false
            }
        }
    }
}

/// Says what befalls the change of this ordinal, from 0; nothing where `None`.
pub type Schedule = Arc<dyn Fn(u64) -> Option<Fault> + Send + Sync>;

/// The running proxy; it ends when it is dropped. What only reads passes unharmed.
pub struct FaultProxy {
    /// The text of the kubeconfig of whoever is to come through here.
    pub kubeconfig: String,
    task: JoinHandle<()>,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Upstream,
    schedule: Schedule,
    changes: AtomicU64,
    met: Mutex<BTreeMap<Fault, u32>>,
    shut: Notify,
}

impl FaultProxy {
    /// Listens on loopback before the API server of `upstream`, a file with a kubeconfig of the simulated cluster.
    ///
    /// # Errors
    /// [`ServeError`] where the file or the address cannot be had.
    pub async fn start(upstream: &Path, schedule: Schedule) -> Result<Self, ServeError> {
        let known = Known::read(upstream)?;
        let authority = tls::authority()?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(ServeError::Address)?;
        let address = listener.local_addr().map_err(ServeError::Address)?;
        let kubeconfig = kubeconfig::text(
            "proxied",
            &format!("https://{address}"),
            &authority.certificate,
            &known.token,
        );
        let shared = Arc::new(Shared {
            upstream: Upstream::new(&known, upstream)?,
            schedule,
            changes: AtomicU64::new(0),
            met: Mutex::default(),
            shut: Notify::new(),
        });
        let task = tokio::spawn(listen(listener, address, authority.acceptor, shared.clone()));
        Ok(Self { kubeconfig, task, shared })
    }

    /// How often each fault was met so far.
    pub fn met(&self) -> BTreeMap<Fault, u32> {
        self.shared.met.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
    shared: Arc<Shared>,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                tokio::spawn(converse(stream, acceptor.clone(), shared.clone()));
            }
            () = shared.shut.notified() => {
                drop(listener);
                tokio::time::sleep(Duration::from_millis(500)).await;
                listener = loop {
                    match TcpListener::bind(address).await {
                        Ok(listener) => break listener,
                        // Somebody else may hold the port for a moment.
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                };
            }
        }
    }
}

async fn converse(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| pass(request, shared.clone()));
    // An error here is a connection that was cut off, by the client or on purpose.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

pub(super) type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// A connection that ends without an answer.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("cut off on purpose")]
    OnPurpose,
    #[error("the API server behind the proxy did not answer: {0}")]
    Upstream(#[from] Lost),
}

async fn pass(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Answer, Cut> {
    let fault = if is_change(&request) {
        let ordinal = shared.changes.fetch_add(1, Ordering::Relaxed);
        (shared.schedule)(ordinal)
    } else {
        None
    };
    let Some(fault) = fault else { return Ok(shared.upstream.send(request).await?) };
    *shared.met.lock().unwrap_or_else(PoisonError::into_inner).entry(fault).or_default() += 1;
    let answer =
        if fault.lets_it_through() { Some(shared.upstream.send(request).await?) } else { None };
    match fault {
        Fault::Refused => {
            shared.shut.notify_one();
            Err(Cut::OnPurpose)
        }
        Fault::ResetAfter => Err(Cut::OnPurpose),
        Fault::Hangs | Fault::HangsAfter => {
            // Longer than any deadline of a client.
            tokio::time::sleep(Duration::from_secs(120)).await;
            Err(Cut::OnPurpose)
        }
        Fault::Throttled => Ok(refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests")),
        Fault::Unavailable => Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")),
        Fault::TimedOut | Fault::TimedOutAfter => {
            Ok(refusal(StatusCode::GATEWAY_TIMEOUT, "Timeout"))
        }
        Fault::Slow => slow(answer.expect("it lets the change through")).await,
    }
}

/// Whether a request is meant to change something.
fn is_change(request: &Request<Incoming>) -> bool {
    let path = request.uri().path();
    let is_question = path.starts_with("/apis/authorization.k8s.io/")
        || path.starts_with("/apis/authentication.k8s.io/");
    let is_dry = request.uri().query().is_some_and(|query| query.contains("dryRun="));
    request.method() != Method::GET && !is_question && !is_dry
}

fn refusal(status: StatusCode, reason: &str) -> Answer {
    let body = Refusal::new(status.as_u16(), reason, "the fault proxy says so").status();
    let mut response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    if status == StatusCode::TOO_MANY_REQUESTS {
        response = response.header(RETRY_AFTER, "1");
    }
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never: Infallible| match never {});
    response.body(body.boxed()).expect("its parts are written above")
}

/// The same answer, 64 bytes every few milliseconds.
async fn slow(answer: Answer) -> Result<Answer, Cut> {
    let (mut head, body) = answer.into_parts();
    let Ok(whole) = body.collect().await else { return Err(Cut::OnPurpose) };
    head.headers.remove(CONTENT_LENGTH);
    let pieces: Vec<Bytes> = whole.to_bytes().chunks(64).map(Bytes::copy_from_slice).collect();
    let stream = futures::stream::unfold(pieces.into_iter(), |mut pieces| async {
        let piece = pieces.next()?;
        tokio::time::sleep(Duration::from_millis(5)).await;
        Some((Ok::<_, hyper::Error>(Frame::data(piece)), pieces))
    });
    Ok(Response::from_parts(head, StreamBody::new(stream).boxed()))
}
