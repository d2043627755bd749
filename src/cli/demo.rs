//! `chiron demo`: injects a fault into a simulated cluster and shows the incident from alert to outcome.

mod break_fault;
mod interactive;
pub(crate) mod locator;
mod single;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use engine::{Folds, IncidentCase, IncidentStage};
use simulator::ScenarioFile;
use workflow::guardrail::Autonomy;

use crate::bootstrap::EngineOptions;
use crate::cli::policy::PolicyName;
use crate::datasets;

/// Injects a fault into a simulated cluster and remediates it.
///
/// On a terminal, the demo then continues until Ctrl-C: it serves the API, so that all other commands work in another
/// terminal, and it prints each further incident.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "EXAMPLES\n  chiron demo\n  chiron demo break wrong-target-port      # in another terminal, while the demo runs\n  chiron demo --data-dir state             # run again to continue from this state\n  chiron demo --once --seed 42 --json"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Fault family of the starter suite that is injected first. Default: selected by the seed.
    #[arg(long, value_name = "FAMILY")]
    fault: Option<String>,
    /// Random seed of names, the faulty workload, the fault time, and decisions. Default for a new world: 42.
    #[arg(long)]
    seed: Option<u64>,
    /// Exits after one incident. Default if standard output is not a terminal.
    #[arg(long)]
    once: bool,
    /// Continues to serve after the first incident, also without a terminal.
    #[arg(long, conflicts_with_all = ["once", "json"])]
    serve: bool,
    /// Prints a JSON object instead of the progress; implies --once.
    #[arg(long, conflicts_with = "data_dir")]
    json: bool,
    /// Simulated seconds per second.
    #[arg(long, default_value_t = 30.0, value_parser = super::serve::speed)]
    speed: f64,
    /// Policy that chooses among the candidates.
    #[arg(long, value_enum, default_value_t)]
    policy: PolicyName,
    /// Data directory, from which a later demo continues. Default: a temporary folder, removed at exit.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of the API. Default: 127.0.0.1:7420, or a free port if that one is in use.
    #[arg(long)]
    listen: Option<SocketAddr>,
}

/// Commands for a running demo.
#[derive(Subcommand)]
enum Command {
    /// Injects another fault into the running demo.
    Break(break_fault::Args),
}

impl Args {
    /// Returns the engine options.
    fn engine_options(&self) -> EngineOptions {
        EngineOptions::at(Autonomy::Auto, self.policy.policy())
    }

    /// Returns the scenario of the `n`th fault, from 0: the requested family, or all families in turn.
    fn scenario(&self, seed: u64, n: u64) -> Result<ScenarioFile> {
        if let Some(name) = &self.fault {
            return datasets::scenario(name);
        }
        let families = datasets::starter()?;
        // The last family, `nothing-wrong`, is used only if it is requested.
        let index = seed.wrapping_add(n) % (families.len() as u64 - 1);
        Ok(families[index as usize].clone())
    }
}

/// Runs the demo, or sends a command to a running one.
///
/// # Errors
/// If an embedded file is invalid, the record cannot be written, or no demo is running.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if let Some(Command::Break(args)) = &args.command {
        return break_fault::run(args);
    }
    let is_once = args.once || args.json || !std::io::stdout().is_terminal();
    match (args.serve || !is_once, &args.data_dir) {
        (false, None) => single::run(args),
        (keep_serving, _) => interactive::run(args, keep_serving),
    }
}

/// Whether a case has ended or is escalated to an operator.
pub(crate) fn is_reported(case: &IncidentCase) -> bool {
    matches!(
        case.stage,
        IncidentStage::RecurrenceWatch { .. } | IncidentStage::Escalated | IncidentStage::Closed
    )
}

/// Whether there are more than `known` cases, and each has ended or is escalated to an operator.
fn are_reported(folds: &Folds, known: usize) -> bool {
    folds.cases.cases.len() > known && folds.cases.cases.values().all(is_reported)
}
