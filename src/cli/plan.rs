//! `chiron plan`: what is proposed, why, and what people say to it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cli::alert::{read, show, show_list};
use crate::cli::client::{Connection, More, OfIncidentArgs, Reason, name, segment, talk};
use crate::cli::harmless;
use crate::cli::shown::{lines, rows};

/// Plans.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Lists plans.
    List {
        #[command(flatten)]
        list: OfIncidentArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Makes another plan for an incident, from what is seen now; one that waited for approval is withdrawn.
    Create {
        /// The incident's id.
        #[arg(long)]
        incident: String,
        /// Who.
        #[arg(long, env = "USER", value_name = "NAME")]
        by: Option<String>,
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
    /// Explains one: what was seen, what else there was, and how it was chosen.
    Explain {
        /// Its id.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Approves one as it was seen.
    Approve(Review),
    /// Rejects one as it was seen.
    Reject(Review),
    /// Says what one thinks of a plan; it moves the learner.
    Feedback {
        /// The plan's id.
        id: String,
        /// Whether it was the right plan.
        #[arg(long, value_enum)]
        opinion: Option<Opinion>,
        /// What should have been done: a file with a workflow.
        #[arg(long, value_name = "FILE")]
        correction: Option<PathBuf>,
        /// Words.
        #[arg(long)]
        comment: Option<String>,
        /// Who.
        #[arg(long, env = "USER", value_name = "NAME")]
        by: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

/// An answer to a plan.
#[derive(clap::Args)]
pub(crate) struct Review {
    /// The plan's id.
    id: String,
    /// The digest that was seen; the plan is refused if it is another one by now. Read from the server where absent.
    #[arg(long)]
    digest: Option<String>,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    connection: Connection,
}

/// What somebody thinks of a plan.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Opinion {
    /// It was right.
    Right,
    /// It was wrong.
    Wrong,
}

/// Runs it.
///
/// # Errors
/// Where the server says no or cannot be reached.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::List { list, connection } => show_list(
            connection,
            "/plans",
            list.query(),
            &[
                ("ID", "id"),
                ("STATUS", "status"),
                ("WORKFLOW", "workflow"),
                ("SOURCE", "source"),
                ("CONFIDENCE", "confidence"),
                ("STEPS", "steps"),
                ("INCIDENT", "incident"),
                ("RUN", "run"),
            ],
        ),
        Command::Create { incident, by, connection } => {
            let mut body = json!({"incident": incident});
            name(&mut body, by.as_deref());
            talk(connection, async |client| {
                let answer = client.post("/plans", &body).await?;
                let text = |name: &str| answer[name].as_str().unwrap_or_default().to_string();
                client.print(&answer, |_| {
                    let next = client.next(&format!("plan explain {}", text("id")));
                    format!("{}  {}\n{next}", text("id"), text("status"))
                })?;
                Ok(ExitCode::SUCCESS)
            })
        }
        Command::Get { id, connection } => show(connection, &format!("/plans/{}", segment(id))),
        Command::Explain { id, connection } => talk(connection, async |client| {
            let answer = client.get(&format!("/plans/{}/explain", segment(id))).await?;
            client.print(&answer, explanation)?;
            Ok(ExitCode::SUCCESS)
        }),
        Command::Approve(review) => self::review(review, "approve"),
        Command::Reject(review) => self::review(review, "reject"),
        Command::Feedback { id, opinion, correction, comment, by, connection } => {
            let mut body = json!({"comment": comment.as_deref().unwrap_or_default()});
            name(&mut body, by.as_deref());
            if let Some(opinion) = opinion {
                body["opinion"] = match opinion {
                    Opinion::Right => "right".into(),
                    Opinion::Wrong => "wrong".into(),
                };
            }
            if let Some(file) = correction {
                body["correction"] = String::from_utf8(read(file)?)
                    .with_context(|| format!("{} is not UTF-8", file.display()))?
                    .into();
            }
            talk(connection, async |client| {
                let answer =
                    client.post(&format!("/plans/{}/feedback", segment(id)), &body).await?;
                client.print(&answer, lines)?;
                Ok(ExitCode::SUCCESS)
            })
        }
    }
}

fn review(review: &Review, verb: &str) -> Result<ExitCode> {
    talk(&review.connection, async |client| {
        let path = format!("/plans/{}", segment(&review.id));
        let digest = match &review.digest {
            Some(digest) => digest.clone(),
            None => client.get(&path).await?["digest"]
                .as_str()
                .context("the plan has no digest: is this a Chiron server?")?
                .into(),
        };
        let more = More {
            if_match: Some(digest),
            body: Some(review.reason.body().to_string().into_bytes()),
            ..More::default()
        };
        let answer = client.post_with(&format!("{path}/{verb}"), more).await?;
        client.print(&answer, |answer| {
            let next =
                answer["run"].as_str().map_or("run list".into(), |run| format!("run watch {run}"));
            let status = answer["status"].as_str().unwrap_or("?");
            format!("{}  {status}\n{}", review.id, client.next(&next))
        })?;
        Ok(ExitCode::SUCCESS)
    })
}

fn explanation(answer: &Value) -> String {
    let text = |value: &Value| {
        harmless::line(&value.as_str().map_or_else(|| value.to_string(), Into::into))
    };
    let mut parts = vec![lines(&json!({
        "plan": answer["plan"], "digest": answer["digest"], "incident": answer["incident"], "status": answer["status"],
        "confidence": answer["confidence"], "needsApproval": answer["needsApproval"],
    }))];
    parts.push("\nwhy".into());
    match answer["explanation"].as_array() {
        Some(lines) => parts.extend(lines.iter().map(|line| format!("  {}", text(line)))),
        None => parts.push(format!("  {}", text(&answer["explanation"]))),
    }
    if let Some(seen) = answer["evidence"]["lines"].as_array() {
        parts.push("\nwhat was seen".into());
        parts.extend(seen.iter().map(|line| {
            format!("  {}", text(line.get("text").filter(|text| text.is_string()).unwrap_or(line)))
        }));
    }
    parts.push("\nwhat else there was".into());
    parts.push(rows(
        answer["candidates"].as_array().map_or(&[], Vec::as_slice),
        &[
            ("CHOSEN", "isChosen"),
            ("ARM", "arm"),
            ("ESTIMATE", "estimate"),
            ("PROPENSITY", "propensity"),
            ("BECAUSE", "because"),
            ("REFUSED", "refused/message"),
        ],
    ));
    parts.join("\n")
}
