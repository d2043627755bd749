//! End-to-end tests, and tests of the repository itself. One binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod alertmanager;
mod api_schema;
mod architecture;
mod bad_inputs;
mod chaos;
mod contract;
mod demo;
mod deploy;
mod error_codes;
mod evaluation;
mod fuzz;
mod http_api;
mod kubeconfig;
mod kubectl;
mod kubernetes;
mod language;
mod load;
mod reports;
mod requirements;
mod serve;
mod server_process;
mod test_index;
