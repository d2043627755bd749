//! Bodies: what is answered, whole or as a stream, and what is sent, bounded.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::api::Refusal;

/// How large a body may be, as in a real API server.
pub(super) const LIMIT: usize = 3 * 1024 * 1024;

/// The body of an answer.
pub(super) enum Body {
    /// All of it at once.
    Whole(Option<Bytes>),
    /// Piece by piece, as they come; ends when the sender is gone.
    Stream(mpsc::Receiver<Bytes>),
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Whole(Some(bytes.into()))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(pieces) => {
                pieces.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// Reads what was sent.
///
/// # Errors
/// 413 where it is larger than [`LIMIT`], 400 where it breaks off.
pub(super) async fn read(incoming: Incoming) -> Result<Bytes, Refusal> {
    if incoming.size_hint().lower() > LIMIT as u64 {
        return Err(Refusal::too_large(LIMIT));
    }
    match Limited::new(incoming, LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::too_large(LIMIT)),
        Err(error) => Err(Refusal::bad_request(format!("the body broke off: {error}"))),
    }
}
