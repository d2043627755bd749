//! Tests of the planner against the simulated cluster.

#![expect(clippy::unwrap_used, reason = "a test fails at the first unexpected value")]

mod families;
mod harness;
mod hostile;
mod names;
