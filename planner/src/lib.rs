//! Proposes and verifies remediation plans for an incident.
//!
//! [`evidence::collect`] reads the cluster, [`propose`] creates candidates from the evidence, [`dry_run`] sends their
//! changes to the cluster as server-side dry runs, and [`verify`] rejects the candidates that must not be chosen.
//! Choosing among the remaining candidates is the learner's task.

mod limits;
mod relation;

pub mod evidence;
mod known_good;

pub mod retrieval;
mod signature;

mod propose;
mod reversal;
mod step;
mod template;

mod dry_run;
mod explain;
mod features;
mod verify;

pub use dry_run::{DryRunFailure, DryRunResult, dry_run};
pub use explain::explain;
pub use features::{arm, features, schema};
pub use known_good::{KnownGood, related_objects};
pub use limits::ReadLimits;
pub use propose::{CandidateSources, ReversalMode, neighbours, propose};
pub use relation::{EdgeFilter, MAX_HOPS, distances, target_and_neighbours};
pub use retrieval::{HybridIndex, Neighbour, Retrieval};
pub use signature::signature;
pub use verify::{needs_approval, verify};
