//! From an incident to verified candidates: evidence, known-good memory, four sources, verification, explanation.
//!
//! [`evidence::collect`] reads the cluster, [`propose`] makes candidates of what was seen, [`dry_run`] asks the cluster
//! about each and [`verify`] says which may be chosen. Nothing here decides.

mod limits;
mod relation;

pub mod evidence;
mod knowngood;

pub mod retrieval;
mod signature;

mod adapt;
mod propose;
mod reversal;
mod step;
mod template;

mod dry_run;
mod explain;
mod features;
mod verify;

pub use dry_run::dry_run;
pub use explain::explain;
pub use features::{arm, features, schema};
pub use knowngood::{KnownGood, surroundings};
pub use limits::ReadLimits;
pub use propose::{Reversal, Sources, neighbours, propose};
pub use relation::{Following, REACH, distances, focus};
pub use retrieval::{HybridIndex, Neighbour, Retrieval};
pub use signature::signature;
pub use verify::{needs_approval, verify};
