//! `chiron alert` and `chiron incident`: ingests and lists alerts, and lists incidents.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use api::{AlertItem, AlertResponse, IncidentItem, IncidentResponse, IngestResponse};

use crate::cli::client::{
    Connection, ListArgs, OfIncidentArgs, RequestOptions, encode_segment, with_client,
};
use crate::cli::input_file;
use crate::cli::output::{show, show_list};

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

/// Runs an `alert` command.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Ingest { file, connection } => {
            let body = input_file::read(file)?;
            with_client(connection, async |client| {
                let options = RequestOptions { body: Some(body), ..RequestOptions::default() };
                let received: IngestResponse =
                    client.post_with("/ingest/alertmanager", options).await?;
                client.print(&received, |received| {
                    let alerts: Vec<_> = received.alert_ids.iter().map(|id| id.as_str()).collect();
                    let incidents: Vec<_> =
                        received.incident_ids.iter().map(|id| id.as_str()).collect();
                    let first = incidents.first().copied().unwrap_or_default();
                    format!(
                        "alerts     {}\nincidents  {}\n{}",
                        alerts.join(" "),
                        incidents.join(" "),
                        client.next_command(&format!("incident get {first}"))
                    )
                })?;
                Ok(ExitCode::SUCCESS)
            })
        }
        Command::List { list, connection } => show_list::<AlertItem>(
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
            show::<AlertResponse>(connection, &format!("/alerts/{}", encode_segment(id)))
        }
    }
}

/// Runs an `incident` command.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
pub(crate) fn run_incident(command: &IncidentCommand) -> Result<ExitCode> {
    match command {
        IncidentCommand::List { list, connection } => show_list::<IncidentItem>(
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
            show::<IncidentResponse>(connection, &format!("/incidents/{}", encode_segment(id)))
        }
    }
}
