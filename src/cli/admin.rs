//! `chiron admin`: looks after a data directory, without a server.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::cli::client::Output;

/// Looks after a data directory.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Checks the record's chain, and that replaying it gives what the projections hold; may run beside the server.
    Verify {
        /// The data directory.
        #[arg(long)]
        data_dir: PathBuf,
        /// How it is printed.
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
}

/// Runs it.
///
/// # Errors
/// Where the record cannot be read at all.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let Command::Verify { data_dir, output } = command;
    let learner = engine::LearnerFold::new(&actions::catalogue())?;
    let report = store::verify(data_dir, &mut [Box::new(learner)])
        .with_context(|| format!("cannot check the record in {}", data_dir.display()))?;
    let mut out = std::io::stdout().lock();
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        Output::Table => {
            for flaw in &report.flaws {
                writeln!(out, "{flaw}")?;
            }
            if report.more_flaws > 0 {
                writeln!(out, "and {} more", report.more_flaws)?;
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
