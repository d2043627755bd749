//! Runs against the simulated cluster, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test reports failed setup by panicking")]

mod alerts;
mod control;
mod faults;
mod harness;
mod purity;
mod replay;
mod runs;
mod sweep;
mod transitions;
