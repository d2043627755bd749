//! `chiron guardrail`: lists and shows the guardrails of a server.

use std::process::ExitCode;

use anyhow::Result;
use api::{GuardrailItem, GuardrailResponse};

use crate::cli::client::{Connection, PageArgs, encode_segment};
use crate::cli::output::{show, show_list};

/// Lists and shows guardrails.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Lists every activation of guardrails, newest first.
    List {
        #[command(flatten)]
        list: PageArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Shows guardrails.
    Get {
        /// Name of the guardrails, or a version as in a plan.
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Runs a `guardrail` command.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::List { list, connection } => show_list::<GuardrailItem>(
            connection,
            "/guardrails",
            list.query(),
            &[
                ("NAME", "name"),
                ("AUTONOMY", "autonomy"),
                ("ACTIVE", "active"),
                ("VERSION", "version"),
                ("DESCRIPTION", "description"),
            ],
        ),
        Command::Get { name, connection } => {
            show::<GuardrailResponse>(connection, &format!("/guardrails/{}", encode_segment(name)))
        }
    }
}
