//! Requests that a client names by a key: asked for again they are answered as they were, out of the record.

use jiff::Timestamp;
use store::StoreError;
use workflow::duration::Span;
use workflow::input::RefusedBecause;
use workflow::{Answer, Entry, RequestKey};

use crate::answering::refused;
use crate::engine::{Engine, Failure};

/// For how long a key stands for the same request.
const KEPT: Span = Span::from_secs(24 * 3600);

impl Engine {
    /// What a request was answered, if it was there before; refused where its key stands for another one.
    pub(crate) async fn answered(
        &self,
        request: &RequestKey,
        now: Timestamp,
    ) -> Result<Option<Answer>, Failure> {
        let kept = self.store.stream(&request.stream()).await?;
        let Some(last) = kept.last().filter(|record| record.at + KEPT.signed() > now) else {
            return Ok(None);
        };
        let Entry::Answered { request: before, answer } = last.entry().map_err(StoreError::from)?
        else {
            return Ok(None);
        };
        if before.body == request.body {
            return Ok(Some(answer));
        }
        Ok(Some(refused(
            RefusedBecause::Invalid,
            "idempotency_key_reused",
            "this Idempotency-Key stands for another request of the last 24 hours",
            "send a key of its own with each request; the same one only to repeat what was sent",
        )))
    }

    /// Records what was decided, in one append with its answer where the request is named.
    pub(crate) async fn conclude(
        &mut self,
        now: Timestamp,
        request: Option<RequestKey>,
        entry: Entry,
        answer: Answer,
    ) -> Result<Answer, Failure> {
        let kept = request.map(|request| Entry::Answered { request, answer: answer.clone() });
        self.record(now, [entry].into_iter().chain(kept).collect()).await?;
        Ok(answer)
    }
}
