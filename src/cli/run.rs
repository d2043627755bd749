//! `chiron run`, `chiron stop` and `chiron resume`: what is being done, and how people hold it.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::cli::client::{Client, Connection, OfIncidentArgs, Output, Reason, segment, talk};
use crate::cli::harmless;
use crate::cli::shown::{lines, rows, table};

/// Runs.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Lists runs.
    List {
        #[command(flatten)]
        list: OfIncidentArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Shows one.
    Get {
        /// Its id.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Follows one to its end; exit code 8 where it did not succeed.
    Watch {
        /// Its id.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Pauses one: nothing new is started.
    Pause(Order),
    /// Lets a paused one go on.
    Resume(Order),
    /// Cancels one: what was applied is undone.
    Cancel(Order),
}

/// What a person wants of a run.
#[derive(clap::Args)]
pub(crate) struct Order {
    /// The run's id.
    id: String,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    connection: Connection,
}

/// Stops everything, or one run, at once.
#[derive(clap::Args)]
#[command(mut_arg("reason", |reason| reason.required(true)))]
pub(crate) struct StopArgs {
    /// `global`, or the id of a run.
    #[arg(long, default_value = "global")]
    scope: String,
    /// `L1`: finish the current request, verify, hold. `L2`: no new intents from now on.
    #[arg(long, default_value = "L1", value_parser = ["L1", "L2"])]
    level: String,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    connection: Connection,
}

/// Lifts a stop.
#[derive(clap::Args)]
#[command(mut_arg("reason", |reason| reason.required(true)))]
pub(crate) struct ResumeArgs {
    /// `global`, or the id of a run.
    #[arg(long, default_value = "global")]
    scope: String,
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
        Command::List { list, connection } => talk(connection, async |client| {
            let answer = client.list("/runs", list.query()).await?;
            let is_paused = |run: &Value| run["status"] == "paused";
            // A run's line does not say whether a person or a stop holds it.
            let stops = match answer["items"].as_array() {
                Some(runs) if runs.iter().any(is_paused) => stops_that_hold(&client).await?,
                Some(_) | None => Vec::new(),
            };
            client.print(&answer, |answer| {
                let scopes = stops.iter().filter(|stop| {
                    let runs = answer["items"].as_array().into_iter().flatten();
                    runs.filter(|run| is_paused(run)).any(|run| holds(stop, &run["id"]))
                });
                let next = lifting(&client, scopes);
                format!("{}{next}", table(&with_holds(answer, &stops), &COLUMNS))
            })?;
            Ok(ExitCode::SUCCESS)
        }),
        Command::Get { id, connection } => talk(connection, async |client| {
            let answer = client.get(&format!("/runs/{}", segment(id))).await?;
            let next = ways_on(&client, &answer).await?;
            client.print(&answer, |answer| {
                format!("{}{next}\n\n{}", standing(answer), lines(answer))
            })?;
            Ok(ExitCode::SUCCESS)
        }),
        Command::Watch { id, connection } => {
            talk(connection, async |client| watch(&client, id).await)
        }
        Command::Pause(order) => self::order(order, "pause"),
        Command::Resume(order) => self::order(order, "resume"),
        Command::Cancel(order) => self::order(order, "cancel"),
    }
}

fn order(order: &Order, verb: &str) -> Result<ExitCode> {
    talk(&order.connection, async |client| {
        let answer = client
            .post(&format!("/runs/{}/{verb}", segment(&order.id)), &order.reason.body())
            .await?;
        let ways_on = ways_on(&client, &answer).await?;
        client.print(&answer, |answer| {
            let next = client.next(&format!("run watch {}", order.id));
            format!("{}{ways_on}\n{next}", standing(answer))
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
    ("WHY", "why"),
];

fn standing(run: &Value) -> String {
    let text = |name: &str| run[name].as_str().unwrap_or_default();
    let status = match (is_held(run), run["isPaused"] == true) {
        (true, true) => {
            format!("paused by a person, and held by an emergency stop ({})", text("held"))
        }
        (true, false) => format!("held by an emergency stop ({})", text("held")),
        (false, _) => text("status").into(),
    };
    format!("{}  {status}  {}", text("run"), text("why")).trim_end().into()
}

/// Whether an emergency stop holds the run.
fn is_held(run: &Value) -> bool {
    run["held"].is_string() && run["endedAt"].is_null()
}

/// The stops that hold now.
async fn stops_that_hold(client: &Client) -> Result<Vec<Value>> {
    let mut answer = client.get("/stops").await?;
    Ok(answer["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

/// Whether the stop is one of everything, or of this run.
fn holds(stop: &Value, run: &Value) -> bool {
    stop["scope"] == "global" || stop["scope"] == *run
}

/// A page of runs, those that one of `stops` holds told from those that only a person paused.
fn with_holds(page: &Value, stops: &[Value]) -> Value {
    let mut page = page.clone();
    for run in page["items"].as_array_mut().into_iter().flatten() {
        if run["status"] == "paused" && stops.iter().any(|stop| holds(stop, &run["id"])) {
            run["status"] = "held by a stop".into();
        }
    }
    page
}

/// How these stops are lifted: a line each, each on a line of its own.
fn lifting<'a>(client: &Client, stops: impl Iterator<Item = &'a Value>) -> String {
    let scopes = stops.filter_map(|stop| stop["scope"].as_str());
    let next = scopes.map(|scope| client.next(&format!("resume --scope {scope} --reason WHY")));
    next.map(|line| format!("\n{line}")).collect()
}

/// What makes a run go on that a stop holds: nothing where none does.
async fn ways_on(client: &Client, run: &Value) -> Result<String> {
    if !is_held(run) {
        return Ok(String::new());
    }
    let stops = stops_that_hold(client).await?;
    let mut next = lifting(client, stops.iter().filter(|stop| holds(stop, &run["run"])));
    if run["isPaused"] == true {
        let id = run["run"].as_str().unwrap_or_default();
        next = format!("{next}\n{}", client.next(&format!("run resume {id}")));
    }
    Ok(next)
}

/// One line for each change of the run or of a step.
async fn watch(client: &Client, id: &str) -> Result<ExitCode> {
    let path = format!("/runs/{}", segment(id));
    let mut said: Vec<String> = Vec::new();
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
                    text("why")
                )
                .trim_end()
                .to_string()
            };
            let now = standing(&run);
            let ways_on = match said.first() == Some(&now) {
                true => String::new(),
                false => ways_on(client, &run).await?,
            };
            let mut lines = vec![now];
            lines.extend(run["steps"].as_array().into_iter().flatten().map(step));
            let mut out = std::io::stdout().lock();
            for (i, line) in lines.iter().enumerate().filter(|(i, line)| said.get(*i) != Some(line))
            {
                if i == 0 {
                    writeln!(out, "{}{ways_on}", harmless::line(line))?;
                } else if !line.ends_with("pending") {
                    writeln!(out, "{}", harmless::line(line))?;
                }
            }
            said = lines;
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

/// Stops.
///
/// # Errors
/// Where the server says no or cannot be reached.
pub(crate) fn stop(args: &StopArgs) -> Result<ExitCode> {
    let mut body = args.reason.body();
    body["scope"] = args.scope.as_str().into();
    body["level"] = args.level.as_str().into();
    stops(&args.connection, "/stop", &body)
}

/// Lifts a stop.
///
/// # Errors
/// Where the server says no or cannot be reached.
pub(crate) fn resume(args: &ResumeArgs) -> Result<ExitCode> {
    let mut body = args.reason.body();
    body["scope"] = args.scope.as_str().into();
    stops(&args.connection, "/resume", &body)
}

fn stops(connection: &Connection, path: &str, body: &Value) -> Result<ExitCode> {
    talk(connection, async |client| {
        let answer = client.post(path, body).await?;
        client.print(&answer, |answer| {
            let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
            let held = rows(
                items,
                &[
                    ("STOPPED", "scope"),
                    ("LEVEL", "level"),
                    ("BY", "by"),
                    ("REASON", "reason"),
                    ("SINCE", "at"),
                ],
            );
            if items.is_empty() {
                "nothing is stopped now".into()
            } else {
                format!("{held}{}", lifting(&client, items.iter()))
            }
        })?;
        Ok(ExitCode::SUCCESS)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_that_a_stop_holds_is_told_from_one_that_a_person_paused() {
        let run = |held: Value, is_paused: bool, ended_at: Value| {
            standing(&json!({"run": "run_1", "status": "paused", "why": "a flood", "held": held,
                "isPaused": is_paused, "endedAt": ended_at}))
        };
        let held = "held by an emergency stop (L1)";
        for (run, expected) in [
            (run(json!("L1"), false, Value::Null), format!("run_1  {held}  a flood")),
            (
                run(json!("L1"), true, Value::Null),
                format!("run_1  paused by a person, and {held}  a flood"),
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
    fn in_a_list_a_run_is_held_by_the_stop_of_everything_or_by_its_own() {
        let page = json!({"items": [
            {"id": "run_1", "status": "paused"}, {"id": "run_2", "status": "paused"}, {"id": "run_3", "status": "failed"},
        ]});
        let statuses = |scopes: &[&str]| {
            let stops: Vec<Value> = scopes.iter().map(|scope| json!({"scope": scope})).collect();
            let shown = with_holds(&page, &stops);
            let runs = shown["items"].as_array().unwrap().iter();
            runs.map(|run| run["status"].as_str().unwrap().to_string()).collect::<Vec<_>>()
        };
        let held = "held by a stop";
        assert_eq!(statuses(&[]), ["paused", "paused", "failed"]);
        assert_eq!(statuses(&["run_2", "run_3"]), ["paused", held, "failed"]);
        assert_eq!(statuses(&["global"]), [held, held, "failed"]);
    }

    #[test]
    fn each_stop_is_lifted_by_a_line_of_its_own() {
        let client = Client::at("http://127.0.0.1:1", "token", Output::Table).unwrap();
        let stops = [json!({"scope": "global"}), json!({"scope": "run_1"})];
        assert_eq!(
            lifting(&client, stops.iter()),
            "\nnext: chiron resume --scope global --reason WHY\nnext: chiron resume --scope run_1 --reason WHY"
        );
    }
}
