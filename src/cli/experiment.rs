//! `chiron experiment`: two variants side by side.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::cli::alert::{read, show, show_list};
use crate::cli::client::{Connection, ListArgs, Reason, segment, talk};
use crate::cli::shown::lines;

/// Experiments.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Makes one; it is a draft until it is started.
    Create {
        /// The experiment, as YAML or JSON: name, hypothesis, two variants with shares; `-` is standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        connection: Connection,
    },
    /// Lists experiments.
    List {
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Starts one: incidents are exposed from now on.
    Start(Order),
    /// Stops one.
    Stop(Order),
    /// Shows results: first whether there is enough data, then the intervals.
    Results {
        /// The experiment's id.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// What a person wants of an experiment.
#[derive(clap::Args)]
pub(crate) struct Order {
    /// The experiment's id.
    id: String,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    connection: Connection,
}

/// Runs it.
///
/// # Errors
/// Where the server says no or cannot be reached.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Create { file, connection } => {
            let text = String::from_utf8(read(file)?)
                .with_context(|| format!("{} is not UTF-8", file.display()))?;
            let body: Value = serde_saphyr::from_str(&text)
                .with_context(|| format!("{} is neither YAML nor JSON", file.display()))?;
            // As the server reads it, but here the place of what is wrong is known.
            serde_saphyr::from_str::<server::ExperimentBody>(&text)
                .with_context(|| format!("{} is no experiment", file.display()))?;
            talk(connection, async |client| {
                let answer = client.post("/experiments", &body).await?;
                client.print(&answer, |answer| {
                    let id = answer["id"].as_str().unwrap_or_default();
                    format!("{}\n{}", lines(answer), client.next(&format!("experiment start {id}")))
                })?;
                Ok(ExitCode::SUCCESS)
            })
        }
        Command::List { list, connection } => show_list(
            connection,
            "/experiments",
            list,
            &[
                ("ID", "id"),
                ("STATUS", "status"),
                ("NAME", "name"),
                ("VARIANTS", "variants"),
                ("EXPOSURES", "exposures"),
            ],
        ),
        Command::Start(order) => self::order(order, "start"),
        Command::Stop(order) => self::order(order, "stop"),
        Command::Results { id, connection } => {
            show(connection, &format!("/experiments/{}/results", segment(id)))
        }
    }
}

fn order(order: &Order, verb: &str) -> Result<ExitCode> {
    talk(&order.connection, async |client| {
        let answer = client
            .post(&format!("/experiments/{}/{verb}", segment(&order.id)), &order.reason.body())
            .await?;
        client.print(&answer, lines)?;
        Ok(ExitCode::SUCCESS)
    })
}
