//! `chiron alert` and `chiron incident`: ingests and lists alerts, and lists incidents.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::cli::client::{
    Connection, ListArgs, OfIncidentArgs, Query, RequestOptions, encode_segment, with_client,
};
use crate::cli::output::{lines, table};

/// Ingests and lists alerts.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Ingests a delivery in the format of the Alertmanager webhook.
    Ingest {
        /// File with the delivery as JSON; `-` reads standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        connection: Connection,
    },
    /// Lists alert episodes.
    List {
        #[command(flatten)]
        list: OfIncidentArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Shows an alert.
    Get {
        /// Id of the alert.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Lists and shows incidents.
#[derive(clap::Subcommand)]
pub(crate) enum IncidentCommand {
    /// Lists incidents.
    List {
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Shows an incident, with its newest plan, run and outcome.
    Get {
        /// Id of the incident.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Reads a file, or standard input if `file` is `-`.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(bytes)
}

/// Runs an `alert` command.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Ingest { file, connection } => {
            let body = read(file)?;
            with_client(connection, async |client| {
                let answer = client
                    .post_with(
                        "/ingest/alertmanager",
                        RequestOptions { body: Some(body), ..RequestOptions::default() },
                    )
                    .await?;
                client.print(&answer, |answer| {
                    let ids = |member: &str| {
                        let ids = answer[member]
                            .as_array()
                            .into_iter()
                            .flatten()
                            .filter_map(Value::as_str);
                        ids.collect::<Vec<_>>().join(" ")
                    };
                    let (alerts, incidents) = (ids("alertIds"), ids("incidentIds"));
                    format!(
                        "alerts     {alerts}\nincidents  {incidents}\n{}",
                        client.next_command(&format!(
                            "incident get {}",
                            incidents.split(' ').next().unwrap_or_default()
                        ))
                    )
                })?;
                Ok(ExitCode::SUCCESS)
            })
        }
        Command::List { list, connection } => show_list(
            connection,
            "/alerts",
            list.query(),
            &[
                ("ID", "id"),
                ("STATUS", "status"),
                ("ALERT", "name"),
                ("NAMESPACE", "namespace"),
                ("SUBJECT", "subject"),
                ("INCIDENT", "incident"),
                ("SINCE", "startsAt"),
            ],
        ),
        Command::Get { id, connection } => {
            show(connection, &format!("/alerts/{}", encode_segment(id)))
        }
    }
}

/// Runs an `incident` command.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
pub(crate) fn run_incident(command: &IncidentCommand) -> Result<ExitCode> {
    match command {
        IncidentCommand::List { list, connection } => show_list(
            connection,
            "/incidents",
            list.query(),
            &[
                ("ID", "id"),
                ("STATUS", "status"),
                ("ALERT", "alert"),
                ("NAMESPACE", "namespace"),
                ("SUBJECT", "subject"),
                ("PLAN", "plan"),
                ("RUN", "run"),
                ("OUTCOME", "outcome"),
            ],
        ),
        IncidentCommand::Get { id, connection } => {
            show(connection, &format!("/incidents/{}", encode_segment(id)))
        }
    }
}

/// Prints a page of a list.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
pub(crate) fn show_list(
    connection: &Connection,
    path: &str,
    query: Query,
    columns: &[(&str, &str)],
) -> Result<ExitCode> {
    with_client(connection, async |client| {
        let answer = client.list(path, query).await?;
        client.print(&answer, |answer| table(answer, columns))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Prints one resource.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
pub(crate) fn show(connection: &Connection, path: &str) -> Result<ExitCode> {
    with_client(connection, async |client| {
        let answer = client.get(path).await?;
        client.print(&answer, lines)?;
        Ok(ExitCode::SUCCESS)
    })
}
