//! Retrieval: executions that were like this one.

mod embedding;
mod index;
mod shape;

pub(crate) use shape::shape;

use serde::{Deserialize, Serialize};
use workflow::outcome::Verdict;
use workflow::{PastExecution, Provenance};

pub use embedding::{DIMENSIONS, embed};
pub use index::HybridIndex;
pub use shape::{Role, Shape, ShapeStep};

/// How many neighbours a plan is made from.
pub const TOP_K: usize = 20;

/// One past execution that was like this one, successes and failures alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Neighbour {
    /// Id of the past execution.
    pub execution: String,
    /// Its arm.
    pub arm: String,
    /// What came of it.
    pub verdict: Verdict,
    /// What was done, without the names and values of its place.
    pub shape: Shape,
    /// How alike, in (0, 1].
    pub similarity: f64,
    /// Rank, from 1.
    pub rank: usize,
    /// Where it was made.
    pub origin: Provenance,
}

/// A memory of executions that can be searched. A cache of the record: a fold, rebuildable at any time.
pub trait Retrieval: Send + Sync {
    /// Remembers one execution.
    fn add(&mut self, execution: &PastExecution);

    /// The `top_k` executions whose signatures are most like `signature`, most alike first; at the same likeness the
    /// later one first.
    fn similar(&self, signature: &[String], top_k: usize) -> Vec<Neighbour>;

    /// How many executions are remembered.
    fn len(&self) -> usize;

    /// Whether none is remembered.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
