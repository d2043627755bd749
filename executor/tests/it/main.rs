//! Runs against the simulated cluster, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test whose world cannot be set up has failed")]

mod alerts;
mod control;
mod faults;
mod purity;
mod replay;
mod rig;
mod runs;
mod sweep;
mod transitions;
