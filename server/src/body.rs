//! Reading bodies: a bounded number of decoded bytes within a bounded time, whatever the sender does.

use std::io::{self, Write};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use flate2::write::MultiGzDecoder;
use futures::StreamExt;

use crate::problem::Problem;

/// Reads a body, plain or gzip.
///
/// # Errors
/// 413 above `limit` bytes, encoded or decoded, as soon as the first byte too many is there; 408 where it takes longer
/// than `patience`; 415 for another coding; 400 for what ends too early or is no gzip.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    patience: Duration,
) -> Result<Vec<u8>, Problem> {
    match tokio::time::timeout(patience, gather(headers, body, limit)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            format!("the body did not arrive within {patience:?}"),
            "send the body in one go",
        )
        .closing()),
    }
}

async fn gather(headers: &HeaderMap, body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut sink = Sink::new(headers, limit)?;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse::<u64>().ok()).is_some_and(|n| n > limit as u64) {
        return Err(too_large(limit));
    }
    let mut chunks = body.into_data_stream();
    let mut taken = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            let detail = format!("the body broke off: {error}");
            Problem::new(StatusCode::BAD_REQUEST, "body_broken", detail, "send it again").closing()
        })?;
        // Encoded bytes count too: a stream of empty gzip members decodes to nothing for ever.
        taken += chunk.len();
        if taken > limit {
            return Err(too_large(limit));
        }
        sink.take(&chunk).map_err(|error| refusal(&error, limit))?;
    }
    sink.finish().map_err(|error| refusal(&error, limit))
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the body is larger than {limit} bytes after decoding"),
        "send less at a time; for Alertmanager set `max_alerts` of the receiver, or group by more labels",
    )
    .closing()
}

fn refusal(error: &io::Error, limit: usize) -> Problem {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return too_large(limit);
    }
    let detail = format!("the body is not the gzip that it is said to be: {error}");
    let hint = "send valid gzip, or leave out the header Content-Encoding";
    Problem::new(StatusCode::BAD_REQUEST, "bad_gzip", detail, hint).closing()
}

/// Where decoded bytes gather.
enum Sink {
    Plain(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

impl Sink {
    fn new(headers: &HeaderMap, limit: usize) -> Result<Self, Problem> {
        let room = Bounded { bytes: Vec::new(), limit };
        let coding = headers.get(header::CONTENT_ENCODING).map_or(Ok("identity"), |v| v.to_str());
        match coding.map(|coding| coding.trim().to_ascii_lowercase()).as_deref() {
            Ok("identity" | "") => Ok(Self::Plain(room)),
            Ok("gzip" | "x-gzip") => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(room)))),
            Ok(_) | Err(_) => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                "the body has a Content-Encoding other than gzip and identity",
                "send the body as it is, or as gzip",
            )
            .closing()),
        }
    }

    fn take(&mut self, chunk: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(room) => room.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(room) => Ok(room.bytes),
            Self::Gzip(decoder) => Ok(decoder.finish()?.bytes),
        }
    }
}

/// A buffer that never holds more than `limit` bytes.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + chunk.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gzip_bomb_stops_at_the_limit_of_decoded_bytes() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..64 {
            encoder.write_all(&[0; 1 << 20]).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        let mut decoder = MultiGzDecoder::new(Bounded { bytes: Vec::new(), limit: 100_000 });
        let error = decoder.write_all(&bomb).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(decoder.get_ref().bytes.len() <= 100_000);
        assert!(decoder.get_ref().bytes.capacity() <= 200_000, "memory is bounded with the bytes");
    }

    #[tokio::test]
    async fn gzip_that_ends_too_early_is_refused() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(br#"{"alerts": []}"#).unwrap();
        let whole = encoder.finish().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
        let read_of = |bytes: Vec<u8>| {
            let headers = headers.clone();
            async move { read(&headers, Body::from(bytes), 1_000, Duration::from_secs(5)).await }
        };
        assert_eq!(read_of(whole.clone()).await.unwrap(), br#"{"alerts": []}"#);
        let error = read_of(whole[..whole.len() - 9].to_vec()).await.unwrap_err();
        assert_eq!((error.status, error.code.as_str()), (400, "bad_gzip"));
    }
}
