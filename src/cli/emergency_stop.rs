//! `chiron emergency-stop`: sets, clears and lists emergency stops.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

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
    #[arg(long, default_value = "L1", value_parser = ["L1", "L2"])]
    level: String,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    connection: Connection,
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
            let mut body = args.reason.body();
            body["scope"] = args.scope.as_str().into();
            body["level"] = args.level.as_str().into();
            print_stops(&args.connection, async |client| client.post(PATH, &body).await)
        }
        Command::Clear(args) => {
            let mut body = args.reason.body();
            body["scope"] = args.scope.as_str().into();
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
    send: impl AsyncFnOnce(&Client) -> Result<Value>,
) -> Result<ExitCode> {
    with_client(connection, async |client| {
        let answer = send(&client).await?;
        client.print(&answer, |answer| {
            let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
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
pub(crate) async fn active_stops(client: &Client) -> Result<Vec<Value>> {
    let mut answer = client.get(PATH).await?;
    Ok(answer["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

/// Returns the commands that clear these stops, each after a line break.
pub(crate) fn clear_commands<'a>(
    client: &Client,
    stops: impl Iterator<Item = &'a Value>,
) -> String {
    let scopes = stops.filter_map(|stop| stop["scope"].as_str());
    let next = scopes.map(|scope| {
        client.next_command(&format!("emergency-stop clear --scope {scope} --reason REASON"))
    });
    next.map(|line| format!("\n{line}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::Output;

    #[test]
    fn each_stop_gets_its_own_clear_command() {
        let client = Client::at("http://127.0.0.1:1", "token", Output::Table).unwrap();
        let stops = [json!({"scope": "global"}), json!({"scope": "run_1"})];
        assert_eq!(
            clear_commands(&client, stops.iter()),
            "\nnext: chiron emergency-stop clear --scope global --reason REASON\nnext: chiron emergency-stop clear --scope run_1 --reason REASON"
        );
    }
}
