use serde::{Deserialize, Serialize};

/// What befalls one request on its way to the cluster and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Interference {
    /// Nothing: the request that it stands for passes.
    Pass,
    /// It is applied, and the answer is lost: the sender sees `Unknown`.
    UnknownAfterApply,
    /// It is lost on the way: the sender sees `Unknown`.
    UnknownBeforeApply,
    /// The cluster answers that a precondition no longer holds.
    Conflict,
    /// The cluster asks to come again later.
    Throttled {
        /// Seconds to wait.
        retry_after_seconds: u32,
    },
    /// The cluster forbids it.
    Forbidden,
}
