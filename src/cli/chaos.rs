//! `chiron chaos`: interrupts runs and injects API faults, and compares the record with the cluster.

mod cluster;
mod kill;
mod process;
mod proxy;
mod report;
mod run_observer;
mod server;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use crate::shutdown::Shutdown;

/// Interrupts runs and injects API faults.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Kills the server (SIGKILL) at each position of a ten-step run in turn, and restarts it.
    ///
    /// The simulated cluster runs in its own process and responds to each call after 30 ms. Prints `cycles`; `lost`
    /// (changes recorded as made that the cluster does not have, and runs that did not succeed); `duplicated` (effect
    /// keys that changed the cluster twice); `stuck` (runs that did not end); `unrecorded` (effect keys that changed
    /// the cluster and are not in the record); and `killPositions`: the number of kills by the number of appends of
    /// the run at the kill.
    Kill {
        /// Number of runs to interrupt.
        #[arg(long, default_value_t = 200)]
        cycles: u32,
        #[command(flatten)]
        shared: Shared,
    },
    /// Executes ten-step runs through a proxy that injects faults between server and cluster.
    ///
    /// The proxy refuses connections, hangs, resets the connection after the change, responds with 429, 503 or 504
    /// before or after the change, or responds slowly.
    Proxy {
        /// Minimum number of changes made through the proxy.
        #[arg(long, default_value_t = 500)]
        effects: u32,
        #[command(flatten)]
        shared: Shared,
    },
}

/// Arguments of both commands.
#[derive(clap::Args)]
pub(crate) struct Shared {
    /// Random seed for the order of the positions, the delays and the faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints a JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// Runs a `chaos` command. Returns exit code 1 if anything was lost, duplicated, stuck or unrecorded, and 130 if the
/// command was interrupted.
///
/// # Errors
/// If a process cannot be started or gives an unexpected response.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let reported = runtime.block_on(async {
        let shutdown = Shutdown::listen()?;
        // The interrupted future is dropped, and with it its processes and its folder.
        tokio::select! {
            reported = report(command) => reported.map(Some),
            () = shutdown.recv() => Ok(None),
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
            writeln!(out, "{name:<14} {value}")?;
        }
    }
    let violations = ["lost", "duplicated", "stuck", "unrecorded"];
    let is_clean = violations.iter().all(|violation| report[violation] == 0);
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn report(command: &Command) -> Result<Value> {
    match command {
        Command::Kill { cycles, shared } => kill::kill(*cycles, shared.seed).await,
        Command::Proxy { effects, shared } => proxy::proxy(*effects, shared.seed).await,
    }
}
