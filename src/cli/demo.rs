//! `chiron demo`: a simulated cluster, something broken in it, and the whole line from alert to lesson.

mod once;
pub(crate) mod place;
mod standing;
mod strike;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use engine::{Case, Folds, Stage};
use simulator::ScenarioFile;
use workflow::guardrail::Autonomy;

use crate::cli::policy::Choice;
use crate::datasets;
use crate::wiring::Conduct;

/// Breaks something in a simulated cluster and heals it before your eyes.
///
/// On a terminal the demo then stays up: it serves the API, so that every other command works against it from another
/// terminal, and tells each further incident until Ctrl-C.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "EXAMPLES\n  chiron demo\n  chiron demo break wrong-target-port      # in another terminal, while the demo stands\n  chiron demo --data-dir state             # and again, to go on from there\n  chiron demo --once --seed 42 --json"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// What is broken first: a fault family of the starter suite; drawn by the seed where absent.
    #[arg(long, value_name = "FAMILY")]
    fault: Option<String>,
    /// Draws names, the workload at fault, the time, and every choice; 42 for a new world.
    #[arg(long)]
    seed: Option<u64>,
    /// One incident, then the end, as without a terminal.
    #[arg(long)]
    once: bool,
    /// Stays up and serves, also without a terminal.
    #[arg(long, conflicts_with_all = ["once", "json"])]
    stay: bool,
    /// One JSON object in place of the tale; implies --once.
    #[arg(long, conflicts_with = "data_dir")]
    json: bool,
    /// Simulated seconds a second.
    #[arg(long, default_value_t = 30.0, value_parser = super::serve::speed)]
    speed: f64,
    /// Who chooses among the candidates.
    #[arg(long, value_enum, default_value_t)]
    policy: Choice,
    /// Where state is kept, for another demo to go on from; a temporary folder, removed at the end, where absent.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the API listens while the demo stands; 127.0.0.1:7420, or a free port where that one is taken.
    #[arg(long)]
    listen: Option<SocketAddr>,
}

/// What can be said to a demo that stands.
#[derive(Subcommand)]
enum Command {
    /// Breaks something else in the running demo.
    Break(strike::Args),
}

impl Args {
    /// How the engine goes about its work.
    fn conduct(&self) -> Conduct {
        Conduct::at(Autonomy::Auto, self.policy.policy())
    }

    /// What breaks as the `n`th, the first being 0: what was asked for, else each family in its turn.
    fn family(&self, seed: u64, n: u64) -> Result<ScenarioFile> {
        if let Some(name) = &self.fault {
            return datasets::scenario(name);
        }
        let families = datasets::starter()?;
        // The last one is where nothing is wrong: it is shown when it is asked for.
        let drawn = seed.wrapping_add(n) % (families.len() as u64 - 1);
        Ok(families[drawn as usize].clone())
    }
}

/// Runs the demo, or says something to the one that runs.
///
/// # Errors
/// Where an embedded file is damaged, the record cannot be written, or no demo runs.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if let Some(Command::Break(strike)) = &args.command {
        return strike::run(strike);
    }
    let is_once = args.once || args.json || !std::io::stdout().is_terminal();
    match (args.stay || !is_once, &args.data_dir) {
        (false, None) => once::run(args),
        (stays, _) => standing::run(args, stays),
    }
}

/// Whether a case has come to an end, or to a person.
pub(crate) fn is_told(case: &Case) -> bool {
    matches!(case.stage, Stage::Watching(_) | Stage::WithPerson | Stage::Settled)
}

/// Whether there are more than `known` cases, and each has come to an end, or to a person.
fn are_told(folds: &Folds, known: usize) -> bool {
    folds.cases.cases.len() > known && folds.cases.cases.values().all(is_told)
}
