//! `chiron run`: shows and controls runs.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use api::{EmergencyStopItem, ListResponse, RunItem, RunResponse};
use jiff::Timestamp;
use serde::Serialize;
use workflow::RunStatus;
use workflow::id::{IncidentId, PlanId, RunId};
use workflow::run::StepView;

use crate::cli::client::{
    Client, Connection, OfIncidentArgs, Output, Reason, encode_segment, with_client,
};
use crate::cli::emergency_stop::{active_stops, clear_commands};
use crate::cli::output::{lines, name, table};
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
            let page: ListResponse<RunItem> = client.list("/runs", list.query()).await?;
            // A list item does not show whether an operator or an emergency stop paused the run.
            let stops = match page.items.iter().any(is_paused) {
                true => active_stops(&client).await?,
                false => Vec::new(),
            };
            client.print(&page, |page| {
                let scopes = stops.iter().filter(|stop| {
                    page.items
                        .iter()
                        .filter(|run| is_paused(run))
                        .any(|run| applies_to(stop, &run.id))
                });
                let next = clear_commands(&client, scopes);
                let items = page.items.iter().map(|run| RunRow::of(run, &stops)).collect();
                let rows = ListResponse { items, next_cursor: page.next_cursor.clone() };
                format!("{}{next}", table(&rows, &COLUMNS))
            })?;
            Ok(ExitCode::SUCCESS)
        }),
        Command::Get { id, connection } => with_client(connection, async |client| {
            let run: RunResponse = client.get(&format!("/runs/{}", encode_segment(id))).await?;
            let next = next_steps(&client, &run).await?;
            client.print(&run, |run| format!("{}{next}\n\n{}", status_line(run), lines(run)))?;
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
        let path = format!("/runs/{}/{verb}", encode_segment(&args.id));
        let run: RunResponse = client.post(&path, &args.reason.body()).await?;
        let steps = next_steps(&client, &run).await?;
        client.print(&run, |run| {
            let next = client.next_command(&format!("run watch {}", args.id));
            format!("{}{steps}\n{next}", status_line(run))
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

/// A run in the table of runs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RunRow<'a> {
    id: &'a RunId,
    /// The status, or `emergency-stopped` for a paused run to which an emergency stop applies, so that it differs from a
    /// run that only an operator paused.
    status: String,
    steps: usize,
    steps_ended: usize,
    plan: &'a PlanId,
    incident: &'a IncidentId,
    started_at: Timestamp,
    message: &'a str,
}

impl<'a> RunRow<'a> {
    fn of(run: &'a RunItem, stops: &[EmergencyStopItem]) -> Self {
        let is_stopped = is_paused(run) && stops.iter().any(|stop| applies_to(stop, &run.id));
        Self {
            id: &run.id,
            status: if is_stopped { "emergency-stopped".into() } else { name(&run.status) },
            steps: run.steps,
            steps_ended: run.steps_ended,
            plan: &run.plan,
            incident: &run.incident,
            started_at: run.started_at,
            message: &run.message,
        }
    }
}

fn is_paused(run: &RunItem) -> bool {
    run.status == RunStatus::Paused
}

fn status_line(run: &RunResponse) -> String {
    // No emergency stop applies to a run that has ended.
    let stop = run.emergency_stop.filter(|_| run.ended_at.is_none());
    let status = match (stop, run.is_paused) {
        (Some(level), true) => {
            format!("paused by an operator and by an emergency stop ({})", name(&level))
        }
        (Some(level), false) => format!("paused by an emergency stop ({})", name(&level)),
        (None, _) => name(&run.status),
    };
    format!("{}  {status}  {}", run.run, run.message).trim_end().into()
}

/// Whether the scope of `stop` includes `run`.
fn applies_to(stop: &EmergencyStopItem, run: &RunId) -> bool {
    stop.scope == "global" || stop.scope == run.as_str()
}

/// Returns the commands that let a stopped run continue; empty if no emergency stop applies to it.
async fn next_steps(client: &Client, run: &RunResponse) -> Result<String> {
    if run.emergency_stop.is_none() || run.ended_at.is_some() {
        return Ok(String::new());
    }
    let stops = active_stops(client).await?;
    let mut next = clear_commands(client, stops.iter().filter(|stop| applies_to(stop, &run.run)));
    if run.is_paused {
        next = format!("{next}\n{}", client.next_command(&format!("run resume {}", run.run)));
    }
    Ok(next)
}

/// Prints one line for each change of the run or of a step.
async fn watch(client: &Client, id: &str) -> Result<ExitCode> {
    let path = format!("/runs/{}", encode_segment(id));
    let mut printed: Vec<String> = Vec::new();
    loop {
        let run: RunResponse = client.get(&path).await?;
        if client.output == Output::Table {
            let step = |step: &StepView| {
                let StepView { step, action, status, message, .. } = step;
                format!("  {step}  {action}  {}  {message}", name(status)).trim_end().to_string()
            };
            let now = status_line(&run);
            let steps = match printed.first() == Some(&now) {
                true => String::new(),
                false => next_steps(client, &run).await?,
            };
            let mut lines = vec![now];
            lines.extend(run.steps.iter().map(step));
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
        if run.ended_at.is_some() {
            if client.output == Output::Json {
                client.print(&run, |_| String::new())?;
            }
            let has_succeeded = run.status == RunStatus::Succeeded;
            return Ok(if has_succeeded { ExitCode::SUCCESS } else { ExitCode::from(8) });
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use workflow::run::StopLevel;

    use super::*;

    const RUNS: [&str; 3] = [
        "run_00000000000000000000000001",
        "run_00000000000000000000000002",
        "run_00000000000000000000000003",
    ];

    fn run() -> RunResponse {
        let digest = format!("sha256:{}", "1".repeat(64));
        serde_json::from_value(json!({
            "id": RUNS[0], "run": RUNS[0], "plan": "pln_00000000000000000000000001", "planDigest": digest,
            "incident": "inc_00000000000000000000000001", "status": "paused", "message": "a flood", "steps": [],
            "effects": [], "guarded": [], "healthBefore": [], "healthNow": [], "success": {},
            "statusAfterRollback": null, "isPaused": false, "emergencyStop": null, "requestsReplan": false,
            "actor": "ada", "startedAt": "2026-01-01T00:00:00Z", "endedAt": null,
        }))
        .unwrap()
    }

    #[test]
    fn status_line_distinguishes_emergency_stop_from_pause() {
        let ended = Some("2026-01-01T00:01:00Z".parse().unwrap());
        let stopped = "paused by an emergency stop (L1)";
        for (emergency_stop, is_paused, ended_at, expected) in [
            (Some(StopLevel::L1), false, None, stopped),
            (
                Some(StopLevel::L1),
                true,
                None,
                "paused by an operator and by an emergency stop (L1)",
            ),
            (None, true, None, "paused"),
            (Some(StopLevel::L1), false, ended, "paused"),
        ] {
            let shown = status_line(&RunResponse { emergency_stop, is_paused, ended_at, ..run() });
            assert_eq!(shown, format!("{}  {expected}  a flood", RUNS[0]));
        }
    }

    #[test]
    fn list_marks_runs_stopped_globally_or_individually() {
        let run = run();
        let item = |id: &str, status| RunItem {
            id: id.parse().unwrap(),
            plan: run.plan.clone(),
            incident: run.incident.clone(),
            status,
            message: String::new(),
            steps: 1,
            steps_ended: 0,
            actor: "ada".into(),
            started_at: run.started_at,
            ended_at: None,
        };
        let items = [
            item(RUNS[0], RunStatus::Paused),
            item(RUNS[1], RunStatus::Paused),
            item(RUNS[2], RunStatus::Failed),
        ];
        let statuses = |scopes: &[&str]| {
            let stop = |scope: &&str| EmergencyStopItem {
                scope: (*scope).into(),
                level: StopLevel::L1,
                actor: "ada".into(),
                reason: "a test".into(),
                at: run.started_at,
            };
            let stops: Vec<_> = scopes.iter().map(stop).collect();
            items.iter().map(|run| RunRow::of(run, &stops).status).collect::<Vec<_>>()
        };
        let stopped = "emergency-stopped";
        assert_eq!(statuses(&[]), ["paused", "paused", "failed"]);
        assert_eq!(statuses(&[RUNS[1], RUNS[2]]), ["paused", stopped, "failed"]);
        assert_eq!(statuses(&["global"]), [stopped, stopped, "failed"]);
    }
}
