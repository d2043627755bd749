//! Behaviour that shows only on a real socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::harness::{HOST, ServerHarness, TOKEN, delivery};
use crate::{Timeouts, serve_with};

/// Time after which a client stops waiting for the server.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

fn short_timeouts() -> Timeouts {
    Timeouts {
        request_head: Duration::from_millis(200),
        body: Duration::from_millis(200),
        ..Timeouts::default()
    }
}

/// Serves the router on a free port until the returned sender is used or dropped.
async fn open(
    server: &ServerHarness,
    timeouts: Timeouts,
) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel();
    let router = server.router.clone();
    let served = tokio::spawn(async move {
        serve_with(listener, router, async { drop(ended.await) }, timeouts).await
    });
    (address, end, served)
}

/// Opens a connection on a thread of its own, writes with `write`, and returns all bytes that the server sends.
async fn exchange(
    address: SocketAddr,
    write: impl FnOnce(&mut TcpStream) + Send + 'static,
) -> String {
    let received = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        write(&mut stream);
        let (mut bytes, mut chunk) = (Vec::new(), [0; 4_096]);
        // A connection that is closed while the client still sends ends in an error; the bytes before it count.
        while let Ok(n @ 1..) = stream.read(&mut chunk) {
            bytes.extend_from_slice(&chunk[..n]);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    });
    received.await.unwrap()
}

fn head(more: &str) -> String {
    format!(
        "POST /api/v1/ingest/alertmanager HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n{more}\r\n\r\n"
    )
}

/// Bad-input row A2: an endless chunked body is refused at the size limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_chunked_body_is_413_and_closes_the_connection() {
    let server = ServerHarness::new().await;
    let (address, _end, _served) = open(&server, Timeouts::default()).await;
    let answer = exchange(address, |stream| {
        stream.write_all(head("Transfer-Encoding: chunked").as_bytes()).unwrap();
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        // Sixteen chunks are the limit; one more is refused.
        (0..17).for_each(|_| drop(stream.write_all(chunk.as_bytes())));
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    assert!(
        matches!(&server.inputs()[..], [workflow::Input::IngestAlerts(delivery)] if delivery.alerts[0].name == "AlertGroupTooLarge")
    );
}

/// Bad-input row A17: a body that arrives too slowly is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_that_is_never_completed_is_408_and_closes_the_connection() {
    let timeouts = Timeouts { request_head: Timeouts::default().request_head, ..short_timeouts() };
    let server = ServerHarness::unanswered(1, timeouts.clone()).await;
    let (address, _end, _served) = open(&server, timeouts).await;
    let answer = exchange(address, |stream| {
        stream.write_all(head("Content-Length: 1000").as_bytes()).unwrap();
        stream.write_all(b"{").unwrap();
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body_timeout"), "{answer}");
}

/// Bad-input row A17: a request head that never ends does not keep its connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_request_head_closes_the_connection() {
    let server = ServerHarness::new().await;
    let timeouts = Timeouts { request_head: Duration::from_secs(1), ..Timeouts::default() };
    let (address, _end, _served) = open(&server, timeouts.clone()).await;
    let unfinished = format!("GET /api/v1/alerts HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bea");
    let rest = format!("rer {TOKEN}\r\nConnection: close\r\n\r\n");

    // The same head is answered if its rest arrives in time.
    let head = unfinished.clone();
    let answer = exchange(address, move |stream| {
        stream.write_all(head.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        stream.write_all(rest.as_bytes()).unwrap();
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let begun = Instant::now();
    let answer = exchange(address, move |stream| {
        stream.write_all(unfinished.as_bytes()).unwrap();
    })
    .await;
    let waited = begun.elapsed();
    assert_eq!(answer, "", "no request was received, so there is none to answer");
    // A connection whose task fails is closed at once, and one without a limit when the client gives up.
    assert!(waited >= timeouts.request_head && waited < READ_TIMEOUT, "{waited:?}");
}

/// Bad-input row A17: idle connections do not keep out a client that sends a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_beyond_the_limit_are_evicted() {
    let server = ServerHarness::new().await;
    // The timeout is an hour, so none of them is closed by it.
    let timeouts = Timeouts {
        connections: 4,
        request_head: Duration::from_secs(3_600),
        ..Timeouts::default()
    };
    let (address, _end, _served) = open(&server, timeouts).await;
    let mut idle: Vec<_> = (0..16).map(|_| TcpStream::connect(address).unwrap()).collect();
    // A kept-alive connection that has sent a request is evicted too.
    idle[15].write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    idle[15].read_exact(&mut [0; 12]).unwrap();
    idle.extend((0..16).map(|_| TcpStream::connect(address).unwrap()));
    let answer = exchange(address, |stream| {
        let body = delivery("A");
        let text = format!(
            "{}{body}",
            head(&format!("Connection: close\r\nContent-Length: {}", body.len()))
        );
        stream.write_all(text.as_bytes()).unwrap();
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_ends_event_streams_and_drains_requests() {
    let server = ServerHarness::new().await;
    let (address, end, served) = open(&server, Timeouts::default()).await;
    let (opened, is_open) = oneshot::channel();
    let followed = tokio::spawn(exchange(address, move |stream| {
        let text = format!(
            "GET /api/v1/events?after=0 HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        );
        stream.write_all(text.as_bytes()).unwrap();
        // The head of the response: the stream is open.
        stream.read_exact(&mut [0; 12]).unwrap();
        opened.send(()).unwrap();
    }));
    is_open.await.unwrap();
    end.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), served)
        .await
        .expect("no connection keeps the server open")
        .unwrap();
    assert!(followed.await.unwrap().contains("event"), "the stream was open until then");
}
