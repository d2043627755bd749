//! The command line: what can be said, and where each word leads.

mod admin;
mod alert;
mod autonomy;
mod bench;
mod chaos;
mod client;
mod demo;
mod eval;
mod experiment;
mod guardrail;
mod harmless;
mod plan;
mod policy;
mod run;
mod serve;
mod shown;
mod simulate;
mod tale;
mod workflow;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jiff::Timestamp;
use tracing_subscriber::EnvFilter;

use crate::about::OtherCluster;

/// Plans, runs and learns remediations of Kubernetes alerts.
#[derive(Parser)]
#[command(
    name = "chiron",
    version,
    about,
    after_help = "EXAMPLES\n  chiron demo\n  chiron demo --once --seed 42 --json\n  chiron workflow lint workflow.yaml"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Says more; twice for more still.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// No colour, also where the terminal has it.
    #[arg(long, global = true)]
    no_color: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Breaks something in a simulated cluster and heals it before your eyes.
    Demo(demo::Args),
    /// Runs the server: API, engine, executor, learner.
    Serve(serve::Args),
    /// Hands in alerts, and shows them.
    #[command(subcommand)]
    Alert(alert::Command),
    /// Shows incidents.
    #[command(subcommand)]
    Incident(alert::IncidentCommand),
    /// Shows plans, explains them, and takes what people say to them.
    #[command(subcommand)]
    Plan(plan::Command),
    /// Shows and holds runs.
    #[command(subcommand)]
    Run(run::Command),
    /// Stops everything, or one run, at once.
    Stop(run::StopArgs),
    /// Lifts a stop.
    Resume(run::ResumeArgs),
    /// Makes, starts, stops and reads experiments.
    #[command(subcommand)]
    Experiment(experiment::Command),
    /// Shows guardrails: what Chiron may and may not do.
    #[command(subcommand)]
    Guardrail(guardrail::Command),
    /// Looks after a data directory.
    #[command(subcommand)]
    Admin(admin::Command),
    /// Plays scenarios with several policies side by side, offline.
    #[command(subcommand)]
    Eval(eval::Command),
    /// Measures speed and size, beside the machine's own floor.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Serves a simulated cluster by itself.
    #[command(subcommand)]
    Simulate(simulate::Command),
    /// Cuts runs off in every place, and counts at the cluster what came of them.
    #[command(subcommand)]
    Chaos(chaos::Command),
    /// Works on workflow definitions.
    #[command(subcommand)]
    Workflow(WorkflowCommand),
}

#[derive(Subcommand)]
enum WorkflowCommand {
    /// Checks workflows, templates and guardrails; says code, line, column and how to mend it.
    Lint {
        /// Files and folders.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// How findings are printed.
        #[arg(long, value_enum, default_value_t = workflow::LintFormat::Human)]
        format: workflow::LintFormat,
    },
}

/// What draws names, chances and choices where nobody says.
pub(crate) const SEED: u64 = 42;

/// When simulated time begins.
pub(crate) fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a timestamp of our own")
}

/// Runs the command that the arguments ask for.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match cli.verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        // What the client of a cluster fails with is told by whoever called it, once.
        EnvFilter::new(format!("{level},kube_client=off"))
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that cannot be written, as after the terminal is gone, ends nothing.
        .log_internal_errors(false)
        .with_ansi(
            !cli.no_color
                && std::io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none(),
        )
        .init();
    let done = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Alert(command) => alert::run(&command),
        Command::Incident(command) => alert::run_incident(&command),
        Command::Plan(command) => plan::run(&command),
        Command::Run(command) => run::run(&command),
        Command::Stop(args) => run::stop(&args),
        Command::Resume(args) => run::resume(&args),
        Command::Experiment(command) => experiment::run(&command),
        Command::Guardrail(command) => guardrail::run(&command),
        Command::Admin(command) => admin::run(&command),
        Command::Eval(command) => eval::run(&command),
        Command::Bench(command) => bench::run(&command),
        Command::Chaos(command) => chaos::run(&command),
        Command::Simulate(command) => simulate::run(&command),
        Command::Workflow(WorkflowCommand::Lint { paths, format }) => {
            workflow::lint(&paths, format)
        }
    };
    done.unwrap_or_else(|error| {
        // Where the terminal is gone, the exit code is all that is left to say it.
        let _ = writeln!(std::io::stderr(), "error: {}", harmless::lines(&format!("{error:#}")));
        let refused = error.downcast_ref::<client::Refused>().map(client::Refused::exit_code);
        let no_cluster = error.downcast_ref::<serve::NoCluster>().map(serve::NoCluster::exit_code);
        let other = error.downcast_ref::<OtherCluster>().map(OtherCluster::exit_code);
        refused.or(no_cluster).or(other).unwrap_or(ExitCode::FAILURE)
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// The command of these words.
    fn command(words: &[&str]) -> clap::Command {
        words.iter().fold(Cli::command(), |command, word| {
            command.find_subcommand(word).unwrap_or_else(|| panic!("no {words:?}")).clone()
        })
    }

    /// The flag of this name, if the command has it.
    fn flag<'a>(command: &'a clap::Command, name: &str) -> Option<&'a clap::Arg> {
        command.get_arguments().find(|arg| arg.get_long() == Some(name))
    }

    #[test]
    fn a_list_offers_the_filters_that_mean_something_to_it_and_no_others() {
        for (noun, filters) in [
            ("alert", ["status", "incident"].as_slice()),
            ("incident", &["status"]),
            ("plan", &["status", "incident"]),
            ("run", &["status", "incident"]),
            ("experiment", &["status"]),
            ("guardrail", &[]),
        ] {
            let list = command(&[noun, "list"]);
            for name in ["status", "incident"] {
                assert_eq!(flag(&list, name).is_some(), filters.contains(&name), "{noun} {name}");
            }
            assert!(["limit", "cursor", "data-dir"].iter().all(|name| flag(&list, name).is_some()));
        }
    }

    #[test]
    fn a_flag_that_must_be_given_says_so_and_none_shows_an_empty_default() {
        fn check(command: &clap::Command) {
            for arg in command.get_arguments() {
                let is_empty = arg.get_default_values().iter().any(|value| value.is_empty());
                assert!(!is_empty, "{}: {arg}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
        for (words, is_required) in
            [(&["stop"][..], true), (&["resume"], true), (&["run", "resume"], false)]
        {
            let command = command(words);
            let reason = flag(&command, "reason").unwrap();
            assert_eq!(reason.is_required_set(), is_required, "{words:?}");
        }
    }
}
