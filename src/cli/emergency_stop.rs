//! `chiron emergency-stop`: sets, clears and lists emergency stops.

use std::process::ExitCode;

use anyhow::Result;
use api::{
    ClearEmergencyStopRequest, EmergencyStopItem, EmergencyStopsResponse, ReasonRequest,
    SetEmergencyStopRequest,
};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use workflow::run::StopLevel;

use crate::cli::client::{Client, Connection, Reason, with_client};
use crate::cli::output::rows;

/// Path of the emergency stops in the API.
const PATH: &str = "/emergency-stops";

/// Sets, clears and lists emergency stops.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Stops all runs, or one run, immediately.
    Set(SetArgs),
    /// Clears an emergency stop.
    Clear(ClearArgs),
    /// Lists the active emergency stops.
    List {
        #[command(flatten)]
        connection: Connection,
    },
}

/// The emergency stop to set.
#[derive(clap::Args)]
#[command(mut_arg("reason", |reason| reason.required(true)))]
pub(crate) struct SetArgs {
    /// `global`, or the id of a run.
    #[arg(long, default_value = "global")]
    scope: String,
    /// `L1`: finish the current request, verify it, then wait. `L2`: send no new requests.
    #[arg(long, default_value = "L1", value_parser = level_parser())]
    level: StopLevel,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    connection: Connection,
}

fn level_parser() -> impl clap::builder::TypedValueParser<Value = StopLevel> {
    let level = |text: String| if text == "L1" { StopLevel::L1 } else { StopLevel::L2 };
    PossibleValuesParser::new(["L1", "L2"]).map(level)
}

/// The emergency stop to clear.
#[derive(clap::Args)]
#[command(mut_arg("reason", |reason| reason.required(true)))]
pub(crate) struct ClearArgs {
    /// `global`, or the id of a run.
    #[arg(long, default_value = "global")]
    scope: String,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    connection: Connection,
}

/// Runs an `emergency-stop` command.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Set(args) => {
            let ReasonRequest { reason, actor } = args.reason.body();
            let (scope, level) = (args.scope.clone(), args.level);
            let body = SetEmergencyStopRequest { scope, level, reason, actor };
            print_stops(&args.connection, async |client| client.post(PATH, &body).await)
        }
        Command::Clear(args) => {
            let ReasonRequest { reason, actor } = args.reason.body();
            let body = ClearEmergencyStopRequest { scope: args.scope.clone(), reason, actor };
            print_stops(&args.connection, async |client| client.delete(PATH, &body).await)
        }
        Command::List { connection } => {
            print_stops(connection, async |client| client.get(PATH).await)
        }
    }
}

/// Sends a request and prints the active emergency stops of its response.
fn print_stops(
    connection: &Connection,
    send: impl AsyncFnOnce(&Client) -> Result<EmergencyStopsResponse>,
) -> Result<ExitCode> {
    with_client(connection, async |client| {
        let active = send(&client).await?;
        client.print(&active, |EmergencyStopsResponse { items }| {
            if items.is_empty() {
                return "no emergency stop is active".into();
            }
            let stops = rows(
                items,
                &[
                    ("SCOPE", "scope"),
                    ("LEVEL", "level"),
                    ("ACTOR", "actor"),
                    ("REASON", "reason"),
                    ("SINCE", "at"),
                ],
            );
            format!("{stops}{}", clear_commands(&client, items.iter()))
        })?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Returns the active emergency stops.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
pub(crate) async fn active_stops(client: &Client) -> Result<Vec<EmergencyStopItem>> {
    let EmergencyStopsResponse { items } = client.get(PATH).await?;
    Ok(items)
}

/// Returns the commands that clear these stops, each after a line break.
pub(crate) fn clear_commands<'a>(
    client: &Client,
    stops: impl Iterator<Item = &'a EmergencyStopItem>,
) -> String {
    let next = stops.map(|EmergencyStopItem { scope, .. }| {
        client.next_command(&format!("emergency-stop clear --scope {scope} --reason REASON"))
    });
    next.map(|line| format!("\n{line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::Output;

    #[test]
    fn each_stop_gets_its_own_clear_command() {
        let client = Client::at("http://127.0.0.1:1", "token", Output::Table).unwrap();
        let stop = |scope: &str| EmergencyStopItem {
            scope: scope.into(),
            level: StopLevel::L1,
            actor: "ada".into(),
            reason: "a test".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        let stops = [stop("global"), stop("run_1")];
        assert_eq!(
            clear_commands(&client, stops.iter()),
            "\nnext: chiron emergency-stop clear --scope global --reason REASON\nnext: chiron emergency-stop clear --scope run_1 --reason REASON"
        );
    }
}
