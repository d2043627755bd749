//! Orders, prunes and schedules the steps of a candidate and reports every change.
//!
//! [`optimize`] is the entry point. It never changes what a workflow achieves: a step or an edge is kept unless the
//! facts that actions declare prove that the change is harmless. It is pure and idempotent: the same input gives the
//! same output, and a second pass changes nothing.

mod access;
mod alternative;
mod dependency;
mod elimination;
mod graph;
mod optimize;
mod schedule;

pub use optimize::optimize;
