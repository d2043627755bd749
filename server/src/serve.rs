//! Serves the API on a socket, with limits on connections and their time, and drains it on shutdown.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::{Extension, Router};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection_limiter::{ConnectionLimiter, ConnectionSlot};
use crate::events::ShutdownSignal;
use crate::timeouts::Timeouts;

/// Time for an evicted connection to send the rest of its last response.
const EVICTION_GRACE: Duration = Duration::from_secs(1);

/// Serves until `shutdown`, then waits for the requests in flight. A connection that cannot be accepted is logged.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    serve_with(listener, router, shutdown, Timeouts::default()).await;
}

/// Serves until `shutdown`, with the given timeouts.
pub async fn serve_with(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    timeouts: Timeouts,
) {
    let (closing, closed) = watch::channel(false);
    let router = router.layer(Extension(ShutdownSignal(closed.clone())));
    let limiter = ConnectionLimiter::new(timeouts.connections);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let (stream, _) = listener.accept().await?;
            io::Result::Ok((stream, limiter.acquire().await))
        };
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, slot)) => {
                let (router, closed) = (router.clone(), closed.clone());
                let head_timeout = timeouts.request_head;
                connections.spawn(serve_connection(stream, slot, router, closed, head_timeout));
            }
            Err(error) => {
                // Usually "too many open files": an open connection must close before the next one can be accepted.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    closing.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(timeouts.drain, drained).await.is_err() {
        tracing::warn!(
            left = connections.len(),
            "the shutdown closed connections with requests in flight"
        );
    }
}

async fn serve_connection(
    stream: TcpStream,
    slot: Arc<ConnectionSlot>,
    router: Router,
    mut closed: watch::Receiver<bool>,
    head_timeout: Duration,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small responses may be delayed");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(stream), track_in_flight(router, &slot));
    let mut connection = pin!(connection);
    let is_closing = async { drop(closed.wait_for(|is_closing| *is_closing).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = is_closing => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        had_request = slot.evicted() => {
            if !had_request {
                return;
            }
            // The last response may not be fully sent.
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(EVICTION_GRACE, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// Wraps the router so that each request counts as in flight until its response body is sent.
fn track_in_flight(
    router: Router,
    slot: &Arc<ConnectionSlot>,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + use<>
{
    let (service, slot) = (TowerToHyperService::new(router), Arc::clone(slot));
    service_fn(move |request| {
        let (in_flight, response) = (slot.begin_request(), service.call(request));
        async move {
            let response = response.await?;
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _until_the_end = &in_flight;
                    frame
                }))
            }))
        }
    })
}
