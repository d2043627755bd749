//! Chiron: an adaptive remediation planner for Kubernetes.

mod alert_forwarder;
mod bootstrap;
mod cli;
mod data_dir;
mod data_dir_identity;
mod datasets;
mod fault_injector;
mod incident_report;
mod injection_request;
mod journal;
mod journaled_cluster;
mod kubeconfig;
mod no_metrics;
mod persistent_world;
mod private_file;
mod server_task;
mod shutdown;
mod simulation_spec;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
