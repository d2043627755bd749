//! Chiron: from an alert to a checked, durable, undoable fix, learning from outcomes.

mod cli;
mod data_dir;
mod datasets;
mod journal;
mod kept_world;
mod origin;
mod poster;
mod serving;
mod story;
mod unmeasured;
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
