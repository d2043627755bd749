//! `chiron chaos`: cuts runs off in every place, and counts at the cluster what came of them.

mod ground;
mod kill;
mod play;
mod process;
mod proxy;
mod tally;
mod witness;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use crate::serving::Interruption;

/// How runs are disturbed.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Kills the server (SIGKILL) at every position of a ten-step run in turn, and starts it again.
    ///
    /// The simulated cluster runs in a process of its own and answers each call after 30 ms. Prints `cycles`, `lost`
    /// (changes that the record says were made and the cluster never saw, and runs that did not succeed), `doubled`
    /// (effect keys that changed the cluster twice), `stuck` (runs that did not end), `unannounced` (effect keys that
    /// changed the cluster and stand nowhere in the record), and `atPosition`: how often the record held so many
    /// appends of the run after the kill.
    Kill {
        /// How many runs are cut off.
        #[arg(long, default_value_t = 200)]
        cycles: u32,
        #[command(flatten)]
        shared: Shared,
    },
    /// Puts a proxy between server and cluster that refuses, hangs, resets after the change is made, answers 429, 503
    /// or 504 before and after it, and sends slowly; plays ten-step runs through it.
    Proxy {
        /// At least so many changes are made through it.
        #[arg(long, default_value_t = 500)]
        effects: u32,
        #[command(flatten)]
        shared: Shared,
    },
}

/// What both have.
#[derive(clap::Args)]
pub(crate) struct Shared {
    /// Draws the order of the positions, the delays and the faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object in place of lines.
    #[arg(long)]
    json: bool,
}

/// Runs it: exit code 1 where anything was lost, doubled, stuck or unannounced, 130 where it was interrupted.
///
/// # Errors
/// Where a process cannot be started or answers what it should not.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let reported = runtime.block_on(async {
        let interruption = Interruption::listen()?;
        // Whichever is cut off is dropped, and with it the processes and the folder that it made.
        tokio::select! {
            reported = report(command) => reported.map(Some),
            () = interruption.came() => Ok(None),
        }
    })?;
    let Some(report) = reported else {
        return Ok(ExitCode::from(130));
    };
    let (Command::Kill { shared, .. } | Command::Proxy { shared, .. }) = command;
    let mut out = std::io::stdout().lock();
    if shared.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        for (name, value) in report.as_object().into_iter().flatten() {
            writeln!(out, "{name:<12} {value}")?;
        }
    }
    let harms = ["lost", "doubled", "stuck", "unannounced"];
    let is_sound = harms.iter().all(|harm| report[harm] == 0);
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn report(command: &Command) -> Result<Value> {
    match command {
        Command::Kill { cycles, shared } => kill::kill(*cycles, shared.seed).await,
        Command::Proxy { effects, shared } => proxy::proxy(*effects, shared.seed).await,
    }
}
