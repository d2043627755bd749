//! Reads request bodies with a limit on their decoded size and on the time they take.

use std::io::{self, Write};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use flate2::write::MultiGzDecoder;
use futures::StreamExt;
use workflow::ErrorCode;

use crate::problem::Problem;

/// Reads a body, plain or gzip.
///
/// # Errors
/// 413 as soon as the body exceeds `limit` bytes, encoded or decoded; 408 if it takes longer than `timeout`; 415 for
/// another content encoding; 400 if the body ends early or is not valid gzip.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    timeout: Duration,
) -> Result<Vec<u8>, Problem> {
    match tokio::time::timeout(timeout, read_to_end(headers, body, limit)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            ErrorCode::BodyTimeout,
            format!("the body did not arrive within {timeout:?}"),
            "send the body without pauses",
        )
        .closing()),
    }
}

async fn read_to_end(headers: &HeaderMap, body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut sink = BodyDecoder::new(headers, limit)?;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse::<u64>().ok()).is_some_and(|n| n > limit as u64) {
        return Err(too_large(limit));
    }
    let mut chunks = body.into_data_stream();
    let mut taken = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            let detail = format!("the body ended early: {error}");
            Problem::new(
                StatusCode::BAD_REQUEST,
                ErrorCode::BodyIncomplete,
                detail,
                "send it again",
            )
            .closing()
        })?;
        // Encoded bytes count too: an endless stream of empty gzip members decodes to no bytes.
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
        ErrorCode::BodyTooLarge,
        format!("the body is larger than {limit} bytes after decoding"),
        "send a smaller body; for Alertmanager set `max_alerts` of the receiver, or group by more labels",
    )
    .closing()
}

fn refusal(error: &io::Error, limit: usize) -> Problem {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return too_large(limit);
    }
    let detail = format!("Content-Encoding is gzip, but the body is not valid gzip: {error}");
    let hint = "send valid gzip, or leave out the header Content-Encoding";
    Problem::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidGzip, detail, hint).closing()
}

/// Decodes a body into a buffer of limited size.
enum BodyDecoder {
    Plain(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

impl BodyDecoder {
    fn new(headers: &HeaderMap, limit: usize) -> Result<Self, Problem> {
        let room = Bounded { bytes: Vec::new(), limit };
        let coding = headers.get(header::CONTENT_ENCODING).map_or(Ok("identity"), |v| v.to_str());
        match coding.map(|coding| coding.trim().to_ascii_lowercase()).as_deref() {
            Ok("identity" | "") => Ok(Self::Plain(room)),
            Ok("gzip" | "x-gzip") => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(room)))),
            Ok(_) | Err(_) => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ErrorCode::UnsupportedEncoding,
                "the body has a Content-Encoding other than gzip and identity",
                "send the body unencoded, or as gzip",
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

/// A buffer of at most `limit` bytes.
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
    fn gzip_decoder_stops_at_the_decoded_size_limit() {
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
    async fn truncated_gzip_is_refused() {
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
        assert_eq!((error.body.status, error.body.code.as_str()), (400, "invalid_gzip"));
    }
}
