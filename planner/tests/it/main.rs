//! The planner against the simulated cluster.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as it should be"
)]

mod families;
mod hostile;
mod names;
mod shop;
