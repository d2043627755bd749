//! Response bodies, complete or streamed, and size-limited request bodies.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::api::StatusError;

/// The maximum size of a request body in bytes, as on a real API server.
pub(super) const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;

/// The body of a response.
pub(super) enum ResponseBody {
    /// A complete body.
    Full(Option<Bytes>),
    /// A stream of chunks that ends when the sender is dropped.
    Stream(mpsc::Receiver<Bytes>),
}

impl From<Vec<u8>> for ResponseBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Full(Some(bytes.into()))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(chunks) => {
                chunks.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// Reads a request body.
///
/// # Errors
/// Returns 413 if the body is larger than [`MAX_BODY_BYTES`], and 400 if it is incomplete.
pub(super) async fn read(incoming: Incoming) -> Result<Bytes, StatusError> {
    if incoming.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(StatusError::too_large(MAX_BODY_BYTES));
    }
    match Limited::new(incoming, MAX_BODY_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(StatusError::too_large(MAX_BODY_BYTES)),
        Err(error) => {
            Err(StatusError::bad_request(format!("cannot read the request body: {error}")))
        }
    }
}
