//! Incidents from alert to outcome in the simulated `shop` world, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test reports failed setup by panicking")]

mod autonomy;
mod batch;
mod calls;
mod escalated;
mod experiment;
mod harness;
mod intercepted;
mod interrupted;
mod merged;
mod projection;
mod recurred;
mod resolved;
mod wall;
