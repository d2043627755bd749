//! Whole incidents in the simulated shop, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod autonomy;
mod batch;
mod calls;
mod escalated;
mod experiment;
mod house;
mod merged;
mod recurred;
mod resolved;
