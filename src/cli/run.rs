//! `chiron run`, `chiron stop` and `chiron resume`: what is being done, and how people hold it.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::cli::alert::show_list;
use crate::cli::client::{Client, Connection, OfIncidentArgs, Output, Reason, segment, talk};
use crate::cli::shown::{lines, rows};

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
        Command::List { list, connection } => show_list(
            connection,
            "/runs",
            list,
            &[
                ("ID", "id"),
                ("STATUS", "status"),
                ("STEPS", "steps"),
                ("ENDED", "stepsEnded"),
                ("PLAN", "plan"),
                ("INCIDENT", "incident"),
                ("STARTED", "startedAt"),
                ("WHY", "why"),
            ],
        ),
        Command::Get { id, connection } => talk(connection, async |client| {
            let answer = client.get(&format!("/runs/{}", segment(id))).await?;
            client.print(&answer, |answer| format!("{}\n\n{}", standing(answer), lines(answer)))?;
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
        client.print(&answer, |answer| {
            let next = client.next(&format!("run watch {}", order.id));
            format!("{}\n{next}", standing(answer))
        })?;
        Ok(ExitCode::SUCCESS)
    })
}

fn standing(run: &Value) -> String {
    let text = |name: &str| run[name].as_str().unwrap_or_default();
    let held = match (run["held"].as_str(), run["endedAt"].is_null()) {
        (Some(level), true) => {
            format!("  held by an emergency stop ({level}): `chiron resume` lifts it")
        }
        (Some(_) | None, _) => String::new(),
    };
    format!("{}  {}  {}{held}", text("run"), text("status"), text("why")).trim_end().into()
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
            let mut lines = vec![standing(&run)];
            lines.extend(run["steps"].as_array().into_iter().flatten().map(step));
            let mut out = std::io::stdout().lock();
            for (i, line) in lines.iter().enumerate().filter(|(i, line)| said.get(*i) != Some(line))
            {
                if i == 0 || !line.ends_with("pending") {
                    writeln!(out, "{line}")?;
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
                let scope = items[0]["scope"].as_str().unwrap_or("global");
                let next = client.next(&format!("resume --scope {scope} --reason WHY"));
                format!("{held}\n{next}")
            }
        })?;
        Ok(ExitCode::SUCCESS)
    })
}
