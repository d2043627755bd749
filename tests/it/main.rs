//! End-to-end stories, and the tests that hold the house together. One binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod alertmanager;
mod architecture;
mod chaos;
mod demo;
mod doors;
mod evaluation;
mod kubeconfig;
mod kubectl;
mod kubernetes;
mod orders;
mod process;
mod reports;
mod requirements;
mod serve;
mod served;
mod storm;
