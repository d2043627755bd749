//! `chiron guardrail`: what Chiron may and may not do, as the server has it.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::alert::{show, show_list};
use crate::cli::client::{Connection, PageArgs, segment};

/// Guardrails.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Lists each time that guardrails came into force, newest first.
    List {
        #[command(flatten)]
        list: PageArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Shows guardrails whole.
    Get {
        /// Their name, or their version as a plan names it.
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Runs it.
///
/// # Errors
/// Where the server says no or cannot be reached.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::List { list, connection } => show_list(
            connection,
            "/guardrails",
            list.query(),
            &[
                ("NAME", "name"),
                ("AUTONOMY", "autonomy"),
                ("IN FORCE", "isInForce"),
                ("VERSION", "version"),
                ("DESCRIPTION", "description"),
            ],
        ),
        Command::Get { name, connection } => {
            show(connection, &format!("/guardrails/{}", segment(name)))
        }
    }
}
