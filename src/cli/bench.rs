//! `chiron bench`: measures performance and memory, together with the machine's baseline.

mod core;
mod delayed_cluster;
mod planning;
mod scaled_world;
mod simulator;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

/// Measures performance and memory.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Measures startup, planning with many past executions, step throughput, CPU load at the required rate, and
    /// memory.
    Core {
        /// Prints a JSON object instead of lines.
        #[arg(long)]
        json: bool,
        /// Duration of the load measurement in seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Number of past executions in memory.
        #[arg(long, default_value_t = 10_000)]
        executions: usize,
    },
    /// Measures planning of many incidents at once, and emergency stops meanwhile, on a cluster that responds slowly.
    Planning {
        /// Prints a JSON object instead of lines.
        #[arg(long)]
        json: bool,
        /// Number of incidents whose alerts arrive in one delivery.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        incidents: u16,
        /// Response time of each call to the cluster in milliseconds.
        #[arg(long, default_value_t = 50)]
        latency_ms: u64,
    },
    /// Measures the speed of simulated time and the memory of clusters with 10, 15, 100 and 1,000 workloads.
    Simulator {
        /// Prints a JSON object instead of lines.
        #[arg(long)]
        json: bool,
        /// Simulates a day of the busy shop with and without skipping idle ticks, and compares the digests of the
        /// traces.
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
/// If a file cannot be written or an embedded file is invalid.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let (figures, json, code) = match command {
        Command::Core { json, seconds, executions } => {
            let figures = runtime()?.block_on(core::measure(*seconds, *executions))?;
            (figures, *json, ExitCode::SUCCESS)
        }
        Command::Planning { json, incidents, latency_ms } => {
            let latency = Duration::from_millis(*latency_ms);
            let measured = planning::measure(usize::from(*incidents), latency);
            (runtime()?.block_on(measured)?, *json, ExitCode::SUCCESS)
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

/// Returns a runtime with two threads, whatever the number of cores.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Returns the CPU time of this process in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    // utime and stime, in ticks of 1/100 s on every supported Linux.
    (ticks(11) + ticks(12)) / 100.0
}

/// Returns a memory figure of this process, `VmRSS` or `VmHWM`, in bytes; 0 if it is not available.
fn memory_bytes(figure: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(0, |kib| kib * 1024)
}
