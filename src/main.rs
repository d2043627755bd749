//! Chiron: from an alert to a checked, durable, undoable fix, learning from outcomes.

mod about;
mod cli;
mod data_dir;
mod datasets;
mod journal;
mod journaled_cluster;
mod kept_world;
mod kubeconfig;
mod origin;
mod poster;
mod private_file;
mod serving;
mod story;
mod striker;
mod unmeasured;
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
