//! The command line: what can be said, and where each word leads.

mod demo;
mod eval;
mod tale;
mod workflow;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Plans, runs and learns remediations of Kubernetes alerts.
#[derive(Parser)]
#[command(name = "chiron", version, about, after_help = "EXAMPLES\n  chiron demo\n  chiron demo --once --seed 42 --json\n  chiron workflow lint workflow.yaml")]
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
    /// Plays scenarios with several policies side by side, offline.
    #[command(subcommand)]
    Eval(eval::Command),
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

/// Simulated time begins here.
pub(crate) const START: &str = "2026-01-01T00:00:00Z";

/// Runs the command that the arguments ask for.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match cli.verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(!cli.no_color).init();
    let done = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Eval(command) => eval::run(&command),
        Command::Workflow(WorkflowCommand::Lint { paths, format }) => workflow::lint(&paths, format),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
