//! `chiron admin`: maintains a data directory, without a server.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::cli::client::Output;

/// Maintains a data directory.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Verifies the hash chain of the record, and that a replay reproduces the projections. The server may be running.
    Verify {
        /// The data directory.
        #[arg(long)]
        data_dir: PathBuf,
        /// Output format.
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
}

/// Runs an `admin` command.
///
/// # Errors
/// If the record cannot be read.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let Command::Verify { data_dir, output } = command;
    let learner = engine::LearnerFold::new(&actions::catalogue())?;
    let report = store::verify(data_dir, &mut [Box::new(learner)])
        .with_context(|| format!("cannot verify the record in {}", data_dir.display()))?;
    let mut out = std::io::stdout().lock();
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        Output::Table => {
            for error in &report.errors {
                writeln!(out, "{error}")?;
            }
            if report.more_errors > 0 {
                writeln!(out, "and {} more", report.more_errors)?;
            }
            let rows: u64 = report.rows.values().sum();
            let chain = if report.is_intact() { "intact" } else { "BROKEN" };
            let replay = if report.is_replayed {
                let folds = report.folds.len();
                format!("{rows} rows and {folds} folds compared with a replay")
            } else {
                "not replayed".into()
            };
            writeln!(
                out,
                "{chain}: {} records, head {}, {} blobs, {replay}",
                report.records, report.head, report.blobs
            )?;
        }
    }
    Ok(if report.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
