//! The API on a socket: bounded in connections and in the time that each may take, drained at the end.

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

use crate::bounds::Bounds;
use crate::events::Closing;
use crate::places::{Place, Places};

/// How long a connection that gives way may take to send the end of its last answer.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until `shutdown`, then lets requests under way end.
///
/// # Errors
/// None today: a connection that cannot be accepted is logged, and the next one is waited for.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_within(listener, router, shutdown, Bounds::default()).await
}

/// Serves until `shutdown`, with bounds of one's own.
///
/// # Errors
/// As [`serve`].
pub async fn serve_within(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    bounds: Bounds,
) -> io::Result<()> {
    let (closing, closed) = watch::channel(false);
    let router = router.layer(Extension(Closing(closed.clone())));
    let places = Places::new(bounds.connections);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let (stream, _) = listener.accept().await?;
            io::Result::Ok((stream, places.take().await))
        };
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, place)) => {
                let (router, closed, header) = (router.clone(), closed.clone(), bounds.header);
                connections.spawn(hold(stream, place, router, closed, header));
            }
            Err(error) => {
                // Mostly "too many open files": others must end before the next can be had.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    closing.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(bounds.drain, drained).await.is_err() {
        tracing::warn!(left = connections.len(), "requests were cut off by the shutdown");
    }
    Ok(())
}

async fn hold(
    stream: TcpStream,
    place: Arc<Place>,
    router: Router,
    mut closed: watch::Receiver<bool>,
    header: Duration,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small answers may be delayed");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header)
        .serve_connection(TokioIo::new(stream), noticed(router, &place));
    let mut connection = pin!(connection);
    let is_closing = async { drop(closed.wait_for(|is_closing| *is_closing).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = is_closing => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        has_spoken = place.gives_way() => {
            if !has_spoken {
                return;
            }
            // What it was answered last may still be on its way out.
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_WORDS, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// The router, and each request under way noticed at its place until its answer has been taken.
fn noticed(
    router: Router,
    place: &Arc<Place>,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + use<>
{
    let (service, place) = (TowerToHyperService::new(router), Arc::clone(place));
    service_fn(move |request| {
        let (speech, answer) = (place.speak(), service.call(request));
        async move {
            let answer = answer.await?;
            Ok(answer.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _until_the_end = &speech;
                    frame
                }))
            }))
        }
    })
}
