//! Retrieval of similar past executions, and their adaptation to the current incident.

mod adapt;
mod embedding;
mod index;
mod skeleton;

pub(crate) use adapt::{from_corrections, from_history};
pub(crate) use skeleton::skeleton_of;

use serde::{Deserialize, Serialize};
use workflow::outcome::OutcomeStatus;
use workflow::{PastExecution, Provenance};

pub use embedding::{DIMENSIONS, embed};
pub use index::HybridIndex;
pub use skeleton::{ObjectRole, PlanSkeleton, SkeletonStep};

/// Number of similar past executions that are retrieved for one incident.
pub const TOP_K: usize = 20;

/// A past execution of a similar incident. Failed executions are included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Neighbour {
    /// Id of the past execution.
    pub execution: String,
    /// Arm of the plan that was executed.
    pub arm: String,
    /// Outcome of the execution.
    pub outcome: OutcomeStatus,
    /// Actions and target roles of the plan, without names and values.
    pub skeleton: PlanSkeleton,
    /// Cosine similarity of the signatures, in (0, 1].
    pub similarity: f64,
    /// Rank among the retrieved executions, from 1.
    pub rank: usize,
    /// Where the execution was recorded.
    pub origin: Provenance,
}

/// A searchable index of past executions. It is derived from the record and can be rebuilt at any time.
pub trait Retrieval: Send + Sync {
    /// Adds one execution to the index.
    fn add(&mut self, execution: &PastExecution);

    /// Returns the `top_k` executions whose signatures are most similar to `signature`, most similar first.
    ///
    /// Of executions with the same signature, the latest comes first.
    fn similar(&self, signature: &[String], top_k: usize) -> Vec<Neighbour>;

    /// Returns the number of executions in the index.
    fn len(&self) -> usize;

    /// Returns whether the index contains no executions.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
