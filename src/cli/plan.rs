//! `chiron plan`: creates, explains, reviews and rates plans.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cli::alert::{read, show, show_list};
use crate::cli::client::{
    Connection, OfIncidentArgs, Reason, RequestOptions, encode_segment, set_actor, with_client,
};
use crate::cli::output::{lines, rows};
use crate::cli::sanitize;

/// Creates, explains, reviews and rates plans.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Lists plans.
    List {
        #[command(flatten)]
        list: OfIncidentArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Creates a new plan for an incident from fresh evidence. A plan that waits for approval is withdrawn.
    Create {
        /// Id of the incident.
        #[arg(long)]
        incident: String,
        /// Who makes the request.
        #[arg(long, env = "USER", value_name = "NAME")]
        actor: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Shows a plan.
    Get {
        /// Id of the plan.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Explains a plan: the evidence, the other candidates, and the decision.
    Explain {
        /// Id of the plan.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Approves a plan.
    Approve(Review),
    /// Rejects a plan.
    Reject(Review),
    /// Rates a plan; the rating is used as training data.
    Feedback {
        /// Id of the plan.
        id: String,
        /// Whether the plan was right.
        #[arg(long, value_enum)]
        rating: Option<RatingArg>,
        /// File with the workflow that would have been right.
        #[arg(long, value_name = "FILE")]
        correction: Option<PathBuf>,
        /// Comment on the plan.
        #[arg(long)]
        comment: Option<String>,
        /// Who makes the request.
        #[arg(long, env = "USER", value_name = "NAME")]
        actor: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

/// The approval or rejection of a plan.
#[derive(clap::Args)]
pub(crate) struct Review {
    /// Id of the plan.
    id: String,
    /// Digest of the plan that you reviewed. The command fails if the plan has another digest. Default: the digest on
    /// the server.
    #[arg(long)]
    digest: Option<String>,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    connection: Connection,
}

/// The rating of a plan.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum RatingArg {
    /// The plan was right.
    Right,
    /// The plan was wrong.
    Wrong,
}

/// Runs a `plan` command.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
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
        Command::Create { incident, actor, connection } => {
            let mut body = json!({"incident": incident});
            set_actor(&mut body, actor.as_deref());
            with_client(connection, async |client| {
                let answer = client.post("/plans", &body).await?;
                let text = |name: &str| answer[name].as_str().unwrap_or_default().to_string();
                client.print(&answer, |_| {
                    let next = client.next_command(&format!("plan explain {}", text("id")));
                    format!("{}  {}\n{next}", text("id"), text("status"))
                })?;
                Ok(ExitCode::SUCCESS)
            })
        }
        Command::Get { id, connection } => {
            show(connection, &format!("/plans/{}", encode_segment(id)))
        }
        Command::Explain { id, connection } => with_client(connection, async |client| {
            let answer = client.get(&format!("/plans/{}/explain", encode_segment(id))).await?;
            client.print(&answer, explanation)?;
            Ok(ExitCode::SUCCESS)
        }),
        Command::Approve(review) => self::review(review, "approve"),
        Command::Reject(review) => self::review(review, "reject"),
        Command::Feedback { id, rating, correction, comment, actor, connection } => {
            let mut body = json!({"comment": comment.as_deref().unwrap_or_default()});
            set_actor(&mut body, actor.as_deref());
            if let Some(rating) = rating {
                body["rating"] = match rating {
                    RatingArg::Right => "right".into(),
                    RatingArg::Wrong => "wrong".into(),
                };
            }
            if let Some(file) = correction {
                body["correction"] = String::from_utf8(read(file)?)
                    .with_context(|| format!("{} is not UTF-8", file.display()))?
                    .into();
            }
            with_client(connection, async |client| {
                let answer =
                    client.post(&format!("/plans/{}/feedback", encode_segment(id)), &body).await?;
                client.print(&answer, lines)?;
                Ok(ExitCode::SUCCESS)
            })
        }
    }
}

fn review(review: &Review, verb: &str) -> Result<ExitCode> {
    with_client(&review.connection, async |client| {
        let path = format!("/plans/{}", encode_segment(&review.id));
        let digest = match &review.digest {
            Some(digest) => digest.clone(),
            None => client.get(&path).await?["digest"]
                .as_str()
                .context("the plan has no digest: is this a Chiron server?")?
                .into(),
        };
        let options = RequestOptions {
            if_match: Some(digest),
            body: Some(review.reason.body().to_string().into_bytes()),
            ..RequestOptions::default()
        };
        let answer = client.post_with(&format!("{path}/{verb}"), options).await?;
        client.print(&answer, |answer| {
            let next =
                answer["run"].as_str().map_or("run list".into(), |run| format!("run watch {run}"));
            let status = answer["status"].as_str().unwrap_or("?");
            format!("{}  {status}\n{}", review.id, client.next_command(&next))
        })?;
        Ok(ExitCode::SUCCESS)
    })
}

fn explanation(answer: &Value) -> String {
    let text = |value: &Value| {
        sanitize::sanitize_line(&value.as_str().map_or_else(|| value.to_string(), Into::into))
    };
    let mut parts = vec![lines(&json!({
        "plan": answer["plan"], "digest": answer["digest"], "incident": answer["incident"], "status": answer["status"],
        "confidence": answer["confidence"], "needsApproval": answer["needsApproval"],
    }))];
    parts.push("\nreasons".into());
    match answer["explanation"].as_array() {
        Some(lines) => parts.extend(lines.iter().map(|line| format!("  {}", text(line)))),
        None => parts.push(format!("  {}", text(&answer["explanation"]))),
    }
    if let Some(summary) = answer["evidence"]["summary"].as_array() {
        parts.push("\nevidence".into());
        parts.extend(summary.iter().map(|line| {
            format!("  {}", text(line.get("text").filter(|text| text.is_string()).unwrap_or(line)))
        }));
    }
    parts.push("\ncandidates".into());
    parts.push(rows(
        answer["candidates"].as_array().map_or(&[], Vec::as_slice),
        &[
            ("CHOSEN", "isChosen"),
            ("CANDIDATE", "arm"),
            ("SUCCESS", "estimate"),
            ("SELECTION PROBABILITY", "propensity"),
            ("REASONS", "reasons"),
            ("REJECTION", "rejection/message"),
        ],
    ));
    parts.join("\n")
}
