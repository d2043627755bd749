//! Idempotent requests: a repeated request with the same `Idempotency-Key` gets the recorded response.

use jiff::Timestamp;
use store::StoreError;
use workflow::duration::Duration;
use workflow::{EngineResponse, Entry, ErrorCode, Refusal, RequestKey};

use crate::engine::{Engine, EngineError};

/// How long a key identifies the same request.
const KEY_LIFETIME: Duration = Duration::from_secs(24 * 3600);

impl Engine {
    /// Returns the recorded response of a repeated request, or an error if its key was used for a different request.
    pub(crate) async fn recorded_response(
        &self,
        request: &RequestKey,
        now: Timestamp,
    ) -> Result<Option<EngineResponse>, EngineError> {
        let records = self.store.stream(&request.stream()).await?;
        let Some(last) = records.last().filter(|record| record.at + KEY_LIFETIME.signed() > now)
        else {
            return Ok(None);
        };
        let Entry::RequestAnswered { request: before, response: answer } =
            last.entry().map_err(StoreError::from)?
        else {
            return Ok(None);
        };
        if before.body == request.body {
            return Ok(Some(answer));
        }
        let reused = Refusal::invalid(
            ErrorCode::IdempotencyKeyReused,
            "this Idempotency-Key was used for a different request within the last 24 hours",
            "use a new key for each request, and reuse a key only to repeat the same request",
        );
        Ok(Some(reused.into()))
    }
}
