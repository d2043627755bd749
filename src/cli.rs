//! The command line: arguments, and dispatch to the commands.

mod admin;
mod alert;
mod autonomy;
mod bench;
mod chaos;
mod client;
mod cluster;
mod demo;
mod emergency_stop;
mod eval;
mod experiment;
mod guardrail;
mod input_file;
mod lint;
mod output;
mod plan;
mod policy;
mod progress;
mod run;
mod sanitize;
mod serve;
mod simulate;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use store::StoreError;
use tracing_subscriber::EnvFilter;

use crate::data_dir_identity::ClusterMismatch;

/// Plans and runs remediations of Kubernetes alerts, and learns from their outcomes.
#[derive(Parser)]
#[command(
    name = "chiron",
    version,
    about,
    after_help = "EXAMPLES\n  chiron demo\n  chiron demo --once --seed 42 --json\n  chiron lint workflow.yaml"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Increases the log level: `-v` for info, `-vv` for debug. Default: warnings.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Disables colored output.
    #[arg(long, global = true)]
    no_color: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Injects a fault into a simulated cluster and remediates it.
    Demo(demo::Args),
    /// Runs the server: API, engine, executor and learner.
    Serve(serve::Args),
    /// Ingests and lists alerts.
    #[command(subcommand)]
    Alert(alert::Command),
    /// Lists and shows incidents.
    #[command(subcommand)]
    Incident(alert::IncidentCommand),
    /// Creates, explains, reviews and rates plans.
    #[command(subcommand)]
    Plan(plan::Command),
    /// Shows and controls runs.
    #[command(subcommand)]
    Run(run::Command),
    /// Sets, clears and lists emergency stops.
    #[command(subcommand)]
    EmergencyStop(emergency_stop::Command),
    /// Creates, starts, stops and evaluates experiments.
    #[command(subcommand)]
    Experiment(experiment::Command),
    /// Lists and shows guardrails.
    #[command(subcommand)]
    Guardrail(guardrail::Command),
    /// Validates workflows, templates and guardrails.
    ///
    /// Prints each finding with its code, its line and column, and a hint. Exits with 6 if a file has errors; warnings
    /// alone exit with 0.
    Lint {
        /// Files and folders; `-` reads standard input.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Output format of the findings.
        #[arg(long, value_enum, default_value_t = lint::LintFormat::Human)]
        format: lint::LintFormat,
    },
    /// Prints what Chiron needs on a real cluster.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Maintains a data directory.
    #[command(subcommand)]
    Admin(admin::Command),
    /// Evaluates policies on simulated scenarios.
    #[command(subcommand)]
    Eval(eval::Command),
    /// Measures performance and memory, together with the machine's baseline.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Serves a simulated cluster as a Kubernetes API.
    #[command(subcommand)]
    Simulate(simulate::Command),
    /// Interrupts runs and injects API faults, and compares the record with the cluster.
    #[command(subcommand)]
    Chaos(chaos::Command),
}

/// Default random seed.
pub(crate) const SEED: u64 = 42;

/// Runs the command given by the arguments.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match cli.verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        // The caller of the Kubernetes client reports its errors once.
        EnvFilter::new(format!("{level},kube_client=off"))
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that cannot be written, for example after the terminal closed, must not end the process.
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
        Command::EmergencyStop(command) => emergency_stop::run(&command),
        Command::Experiment(command) => experiment::run(&command),
        Command::Guardrail(command) => guardrail::run(&command),
        Command::Cluster(command) => cluster::run(&command),
        Command::Admin(command) => admin::run(&command),
        Command::Eval(command) => eval::run(&command),
        Command::Bench(command) => bench::run(&command),
        Command::Chaos(command) => chaos::run(&command),
        Command::Simulate(command) => simulate::run(&command),
        Command::Lint { paths, format } => lint::lint(&paths, format),
    };
    done.unwrap_or_else(|error| {
        // If the terminal is closed, only the exit code reports the error.
        let text = sanitize::sanitize_lines(&format!("{error:#}"));
        let _ = writeln!(std::io::stderr(), "error: {text}");
        let store = error.chain().find_map(|cause| cause.downcast_ref::<StoreError>());
        if let Some(store) = store {
            let _ = writeln!(std::io::stderr(), "hint: {}", store.hint());
        }
        let request = error.downcast_ref::<client::RequestError>();
        let unavailable = error.downcast_ref::<serve::ClusterUnavailable>();
        let mismatch = error.downcast_ref::<ClusterMismatch>();
        request
            .map(client::RequestError::exit_code)
            .or(unavailable.map(serve::ClusterUnavailable::exit_code))
            .or(mismatch.map(ClusterMismatch::exit_code))
            .or(store.and_then(store_exit_code))
            .unwrap_or(ExitCode::FAILURE)
    })
}

/// Returns 5 for a data directory of another format version, as for one of another cluster.
fn store_exit_code(error: &StoreError) -> Option<ExitCode> {
    matches!(error, StoreError::UnsupportedSchema { .. }).then(|| ExitCode::from(5))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Returns the subcommand with these names.
    fn command(words: &[&str]) -> clap::Command {
        words.iter().fold(Cli::command(), |command, word| {
            command.find_subcommand(word).unwrap_or_else(|| panic!("no {words:?}")).clone()
        })
    }

    /// Returns the flag with this name, if the command has it.
    fn flag<'a>(command: &'a clap::Command, name: &str) -> Option<&'a clap::Arg> {
        command.get_arguments().find(|arg| arg.get_long() == Some(name))
    }

    #[test]
    fn list_commands_have_only_the_filters_that_apply() {
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
    fn required_flags_are_marked_and_no_default_is_empty() {
        fn check(command: &clap::Command) {
            for arg in command.get_arguments() {
                let is_empty = arg.get_default_values().iter().any(|value| value.is_empty());
                assert!(!is_empty, "{}: {arg}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
        for (words, is_required) in [
            (&["emergency-stop", "set"][..], true),
            (&["emergency-stop", "clear"], true),
            (&["run", "resume"], false),
        ] {
            let command = command(words);
            let reason = flag(&command, "reason").unwrap();
            assert_eq!(reason.is_required_set(), is_required, "{words:?}");
        }
    }
}
