//! Over a real socket: what only a connection shows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::house::{HOST, House, TOKEN, delivery};
use crate::{Bounds, serve_within};

fn hasty() -> Bounds {
    Bounds {
        header: Duration::from_millis(200),
        body: Duration::from_millis(200),
        ..Bounds::default()
    }
}

/// Serves a house; the sender ends it.
async fn open(
    house: &House,
    bounds: Bounds,
) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel();
    let router = house.router.clone();
    let served = tokio::spawn(async move {
        serve_within(listener, router, async { drop(ended.await) }, bounds).await
    });
    (address, end, served)
}

/// Talks to the server on a thread of its own: `talk` writes, and what comes back until the end is given.
async fn talk(address: SocketAddr, talk: impl FnOnce(&mut TcpStream) + Send + 'static) -> String {
    let spoken = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        talk(&mut stream);
        let (mut bytes, mut chunk) = (Vec::new(), [0; 4_096]);
        // A connection that is cut while we still send ends in an error: what came before it counts.
        while let Ok(n @ 1..) = stream.read(&mut chunk) {
            bytes.extend_from_slice(&chunk[..n]);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    });
    spoken.await.unwrap()
}

fn head(more: &str) -> String {
    format!(
        "POST /api/v1/ingest/alertmanager HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n{more}\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_a_chunked_endless_body_is_413_at_the_limit_and_the_connection_is_closed() {
    let house = House::new().await;
    let (address, _end, _served) = open(&house, Bounds::default()).await;
    let answer = talk(address, |stream| {
        stream.write_all(head("Transfer-Encoding: chunked").as_bytes()).unwrap();
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        // Sixteen chunks are the limit; one more is refused.
        (0..17).for_each(|_| drop(stream.write_all(chunk.as_bytes())));
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    assert!(
        matches!(&house.seen()[..], [workflow::Input::Deliver(delivery)] if delivery.alerts[0].name == "AlertGroupTooLarge")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_a_body_that_trickles_in_is_408_and_the_connection_is_closed() {
    let bounds = Bounds { header: Bounds::default().header, ..hasty() };
    let house = House::silent(1, bounds.clone()).await;
    let (address, _end, _served) = open(&house, bounds).await;
    let answer = talk(address, |stream| {
        stream.write_all(head("Content-Length: 1000").as_bytes()).unwrap();
        stream.write_all(b"{").unwrap();
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body_timeout"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_a_head_that_never_ends_is_cut_off() {
    let house = House::new().await;
    let (address, _end, _served) = open(&house, hasty()).await;
    let answer =
        talk(address, |stream| stream.write_all(b"POST /api/v1/stop HTTP/1.1\r\nHost: a").unwrap())
            .await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_idle_connections_beyond_the_cap_give_way_to_those_that_speak() {
    let house = House::new().await;
    // None of them is cut off by a timeout: they would have an hour to say something.
    let bounds = Bounds { connections: 4, header: Duration::from_secs(3_600), ..Bounds::default() };
    let (address, _end, _served) = open(&house, bounds).await;
    let mut idle: Vec<_> = (0..16).map(|_| TcpStream::connect(address).unwrap()).collect();
    // One that has spoken, and is kept alive, gives way too.
    idle[15].write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    idle[15].read_exact(&mut [0; 12]).unwrap();
    idle.extend((0..16).map(|_| TcpStream::connect(address).unwrap()));
    let answer = talk(address, |stream| {
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
async fn a_shutdown_ends_those_who_follow_and_lets_the_rest_finish() {
    let house = House::new().await;
    let (address, end, served) = open(&house, Bounds::default()).await;
    let (opened, is_open) = oneshot::channel();
    let followed = tokio::spawn(talk(address, move |stream| {
        let text = format!(
            "GET /api/v1/events?after=0 HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        );
        stream.write_all(text.as_bytes()).unwrap();
        // The head of the answer: the stream is open.
        stream.read_exact(&mut [0; 12]).unwrap();
        opened.send(()).unwrap();
    }));
    is_open.await.unwrap();
    end.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), served)
        .await
        .expect("nobody holds the server open")
        .unwrap()
        .unwrap();
    assert!(followed.await.unwrap().contains("event"), "the stream was open until then");
}
