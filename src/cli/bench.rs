//! `chiron bench`: figures of speed and size, each beside the machine's own floor.

mod first;
mod multiplied;
mod simulator;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;

/// What is measured.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Start to plan, plan with many past executions, steps a second, load at the required rate, memory, simulator.
    First {
        /// One JSON object in place of lines.
        #[arg(long)]
        json: bool,
        /// Seconds for which the required load is held.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Past executions in memory.
        #[arg(long, default_value_t = 10_000)]
        executions: usize,
    },
    /// How fast simulated time passes, and how large a simulated cluster is: the shop, and 10, 100 and 1,000 workloads.
    Simulator {
        /// One JSON object in place of lines.
        #[arg(long)]
        json: bool,
        /// Runs a day of the busy shop twice, once with nothing skipped, and compares the digests of the two records.
        #[arg(long)]
        every_tick: bool,
        /// Measures one row in this process and prints it as JSON: `quiet:15`, `busy:1000`.
        #[arg(long, hide = true)]
        row: Option<String>,
    },
}

/// Runs a `bench` command.
///
/// # Errors
/// Where a file cannot be written or an embedded one is damaged.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let (figures, json, code) = match command {
        Command::First { json, seconds, executions } => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            let figures = runtime.block_on(first::first(*seconds, *executions))?;
            (figures, *json, ExitCode::SUCCESS)
        }
        Command::Simulator { row: Some(row), .. } => {
            (simulator::row(row)?, true, ExitCode::SUCCESS)
        }
        Command::Simulator { json, every_tick: true, row: None } => {
            let (figures, is_equal) = simulator::every_tick()?;
            (figures, *json, if is_equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Simulator { json, every_tick: false, row: None } => {
            (simulator::rows()?, *json, ExitCode::SUCCESS)
        }
    };
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&figures)?)?;
    } else {
        for (name, value) in figures.as_object().expect("figures are an object") {
            match value {
                serde_json::Value::Array(rows) => {
                    rows.iter().try_for_each(|row| writeln!(out, "{name:<28} {row}"))?;
                }
                value => writeln!(out, "{name:<28} {value}")?,
            }
        }
    }
    Ok(code)
}

/// Seconds of processor time that this process has used.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    // utime and stime, in ticks of a hundredth of a second on every Linux that we build for.
    (ticks(11) + ticks(12)) / 100.0
}

/// A figure of this process' memory, in bytes: `VmRSS`, `VmHWM`; 0 where the system does not say.
fn memory_bytes(figure: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(0, |kib| kib * 1024)
}
