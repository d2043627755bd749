//! `chiron run`: shows and controls runs.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::cli::client::{
    Client, Connection, OfIncidentArgs, Output, Reason, encode_segment, with_client,
};
use crate::cli::emergency_stop::{active_stops, clear_commands};
use crate::cli::output::{lines, table};
use crate::cli::sanitize;

/// Shows and controls runs.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Lists runs.
    List {
        #[command(flatten)]
        list: OfIncidentArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Shows a run.
    Get {
        /// Id of the run.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Follows a run until it ends. Exits with 8 if it did not succeed.
    Watch {
        /// Id of the run.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Pauses a run: no new step starts.
    Pause(RunControlArgs),
    /// Resumes a paused run.
    Resume(RunControlArgs),
    /// Cancels a run: applied changes are rolled back.
    Cancel(RunControlArgs),
}

/// A control command for a run.
#[derive(clap::Args)]
pub(crate) struct RunControlArgs {
    /// Id of the run.
    id: String,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    connection: Connection,
}

/// Runs a `run` command.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::List { list, connection } => with_client(connection, async |client| {
            let answer = client.list("/runs", list.query()).await?;
            let is_paused = |run: &Value| run["status"] == "paused";
            // A list item does not show whether an operator or an emergency stop paused the run.
            let stops = match answer["items"].as_array() {
                Some(runs) if runs.iter().any(is_paused) => active_stops(&client).await?,
                Some(_) | None => Vec::new(),
            };
            client.print(&answer, |answer| {
                let scopes = stops.iter().filter(|stop| {
                    let runs = answer["items"].as_array().into_iter().flatten();
                    runs.filter(|run| is_paused(run)).any(|run| applies_to(stop, &run["id"]))
                });
                let next = clear_commands(&client, scopes);
                format!("{}{next}", table(&mark_stopped(answer, &stops), &COLUMNS))
            })?;
            Ok(ExitCode::SUCCESS)
        }),
        Command::Get { id, connection } => with_client(connection, async |client| {
            let answer = client.get(&format!("/runs/{}", encode_segment(id))).await?;
            let next = next_steps(&client, &answer).await?;
            client.print(&answer, |answer| {
                format!("{}{next}\n\n{}", status_line(answer), lines(answer))
            })?;
            Ok(ExitCode::SUCCESS)
        }),
        Command::Watch { id, connection } => {
            with_client(connection, async |client| watch(&client, id).await)
        }
        Command::Pause(args) => control(args, "pause"),
        Command::Resume(args) => control(args, "resume"),
        Command::Cancel(args) => control(args, "cancel"),
    }
}

fn control(args: &RunControlArgs, verb: &str) -> Result<ExitCode> {
    with_client(&args.connection, async |client| {
        let answer = client
            .post(&format!("/runs/{}/{verb}", encode_segment(&args.id)), &args.reason.body())
            .await?;
        let steps = next_steps(&client, &answer).await?;
        client.print(&answer, |answer| {
            let next = client.next_command(&format!("run watch {}", args.id));
            format!("{}{steps}\n{next}", status_line(answer))
        })?;
        Ok(ExitCode::SUCCESS)
    })
}

/// The columns of a list of runs.
const COLUMNS: [(&str, &str); 8] = [
    ("ID", "id"),
    ("STATUS", "status"),
    ("STEPS", "steps"),
    ("ENDED", "stepsEnded"),
    ("PLAN", "plan"),
    ("INCIDENT", "incident"),
    ("STARTED", "startedAt"),
    ("MESSAGE", "message"),
];

fn status_line(run: &Value) -> String {
    let text = |name: &str| run[name].as_str().unwrap_or_default();
    let status = match (is_stopped(run), run["isPaused"] == true) {
        (true, true) => {
            format!("paused by an operator and by an emergency stop ({})", text("emergencyStop"))
        }
        (true, false) => format!("paused by an emergency stop ({})", text("emergencyStop")),
        (false, _) => text("status").into(),
    };
    format!("{}  {status}  {}", text("run"), text("message")).trim_end().into()
}

/// Whether an emergency stop applies to the run.
fn is_stopped(run: &Value) -> bool {
    run["emergencyStop"].is_string() && run["endedAt"].is_null()
}

/// Whether the scope of `stop` includes `run`.
fn applies_to(stop: &Value, run: &Value) -> bool {
    stop["scope"] == "global" || stop["scope"] == *run
}

/// Replaces the status of the paused runs to which one of `stops` applies, so that they differ from runs that only an
/// operator paused.
fn mark_stopped(page: &Value, stops: &[Value]) -> Value {
    let mut page = page.clone();
    for run in page["items"].as_array_mut().into_iter().flatten() {
        if run["status"] == "paused" && stops.iter().any(|stop| applies_to(stop, &run["id"])) {
            run["status"] = "emergency-stopped".into();
        }
    }
    page
}

/// Returns the commands that let a stopped run continue; empty if no emergency stop applies to it.
async fn next_steps(client: &Client, run: &Value) -> Result<String> {
    if !is_stopped(run) {
        return Ok(String::new());
    }
    let stops = active_stops(client).await?;
    let mut next =
        clear_commands(client, stops.iter().filter(|stop| applies_to(stop, &run["run"])));
    if run["isPaused"] == true {
        let id = run["run"].as_str().unwrap_or_default();
        next = format!("{next}\n{}", client.next_command(&format!("run resume {id}")));
    }
    Ok(next)
}

/// Prints one line for each change of the run or of a step.
async fn watch(client: &Client, id: &str) -> Result<ExitCode> {
    let path = format!("/runs/{}", encode_segment(id));
    let mut printed: Vec<String> = Vec::new();
    loop {
        let run = client.get(&path).await?;
        if client.output == Output::Table {
            let step = |step: &Value| {
                let text = |name: &str| step[name].as_str().unwrap_or_default();
                format!(
                    "  {}  {}  {}  {}",
                    text("step"),
                    text("action"),
                    text("status"),
                    text("message")
                )
                .trim_end()
                .to_string()
            };
            let now = status_line(&run);
            let steps = match printed.first() == Some(&now) {
                true => String::new(),
                false => next_steps(client, &run).await?,
            };
            let mut lines = vec![now];
            lines.extend(run["steps"].as_array().into_iter().flatten().map(step));
            let mut out = std::io::stdout().lock();
            for (i, line) in
                lines.iter().enumerate().filter(|(i, line)| printed.get(*i) != Some(line))
            {
                if i == 0 {
                    writeln!(out, "{}{steps}", sanitize::sanitize_line(line))?;
                } else if !line.ends_with("pending") {
                    writeln!(out, "{}", sanitize::sanitize_line(line))?;
                }
            }
            printed = lines;
        }
        if !run["endedAt"].is_null() {
            if client.output == Output::Json {
                client.print(&run, |_| String::new())?;
            }
            let is_well = run["status"].as_str() == Some("succeeded");
            return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(8) });
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn status_line_distinguishes_emergency_stop_from_pause() {
        let run = |stop: Value, is_paused: bool, ended_at: Value| {
            status_line(
                &json!({"run": "run_1", "status": "paused", "message": "a flood", "emergencyStop": stop,
                "isPaused": is_paused, "endedAt": ended_at}),
            )
        };
        let stopped = "paused by an emergency stop (L1)";
        for (run, expected) in [
            (run(json!("L1"), false, Value::Null), format!("run_1  {stopped}  a flood")),
            (
                run(json!("L1"), true, Value::Null),
                "run_1  paused by an operator and by an emergency stop (L1)  a flood".into(),
            ),
            (run(Value::Null, true, Value::Null), "run_1  paused  a flood".into()),
            (
                run(json!("L1"), false, json!("2026-01-01T00:00:00Z")),
                "run_1  paused  a flood".into(),
            ),
        ] {
            assert_eq!(run, expected);
        }
    }

    #[test]
    fn list_marks_runs_stopped_globally_or_individually() {
        let page = json!({"items": [
            {"id": "run_1", "status": "paused"}, {"id": "run_2", "status": "paused"}, {"id": "run_3", "status": "failed"},
        ]});
        let statuses = |scopes: &[&str]| {
            let stops: Vec<Value> = scopes.iter().map(|scope| json!({"scope": scope})).collect();
            let shown = mark_stopped(&page, &stops);
            let runs = shown["items"].as_array().unwrap().iter();
            runs.map(|run| run["status"].as_str().unwrap().to_string()).collect::<Vec<_>>()
        };
        let stopped = "emergency-stopped";
        assert_eq!(statuses(&[]), ["paused", "paused", "failed"]);
        assert_eq!(statuses(&["run_2", "run_3"]), ["paused", stopped, "failed"]);
        assert_eq!(statuses(&["global"]), [stopped, stopped, "failed"]);
    }
}
