//! Orders, prunes and schedules the steps of a candidate, and accounts for what it changed.
//!
//! [`optimize`] is all that others call. It never changes what a workflow achieves: whatever it cannot prove harmless
//! from the facts that actions declare stays as it was written. Pure: the same input gives the same bytes, and a second
//! pass finds nothing left to do.

mod alternative;
mod dependency;
mod elimination;
mod graph;
mod optimize;
mod role;
mod schedule;
mod touch;

pub use alternative::{expected_cost, order};
pub use optimize::optimize;
pub use role::{Role, roles};
