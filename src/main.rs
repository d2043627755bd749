//! Chiron: from an alert to a checked, durable, undoable fix, learning from outcomes.

mod cli;
mod datasets;
mod journal;
mod poster;
mod story;
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
