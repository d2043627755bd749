//! `chiron plan`: creates, explains, reviews and rates plans.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use api::{
    CreatePlanRequest, ExplainPlanResponse, FeedbackRequest, FeedbackResponse, PlanItem,
    PlanResponse,
};
use serde_json::json;
use workflow::feedback::Rating;

use crate::cli::client::{
    Connection, OfIncidentArgs, Reason, RequestOptions, encode_segment, known_actor, with_client,
};
use crate::cli::output::{lines, rows, show, show_list};
use crate::cli::{input_file, sanitize};

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
        Command::List { list, connection } => show_list::<PlanItem>(
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
            let actor = known_actor(actor.as_deref());
            let body = CreatePlanRequest { incident: incident.clone(), actor };
            with_client(connection, async |client| {
                let created: PlanResponse = client.post("/plans", &body).await?;
                client.print(&created, |PlanResponse { plan, state, .. }| {
                    let next = client.next_command(&format!("plan explain {}", plan.id));
                    format!("{}  {}\n{next}", plan.id, state.status.as_str())
                })?;
                Ok(ExitCode::SUCCESS)
            })
        }
        Command::Get { id, connection } => {
            show::<PlanResponse>(connection, &format!("/plans/{}", encode_segment(id)))
        }
        Command::Explain { id, connection } => with_client(connection, async |client| {
            let explained: ExplainPlanResponse =
                client.get(&format!("/plans/{}/explain", encode_segment(id))).await?;
            client.print(&explained, explanation)?;
            Ok(ExitCode::SUCCESS)
        }),
        Command::Approve(review) => self::review(review, "approve"),
        Command::Reject(review) => self::review(review, "reject"),
        Command::Feedback { id, rating, correction, comment, actor, connection } => {
            let correction = match correction {
                Some(file) => {
                    let text = String::from_utf8(input_file::read(file)?)
                        .with_context(|| format!("{} is not UTF-8", file.display()))?;
                    Some(text.into())
                }
                None => None,
            };
            let body = FeedbackRequest {
                rating: rating.map(|rating| match rating {
                    RatingArg::Right => Rating::Right,
                    RatingArg::Wrong => Rating::Wrong,
                }),
                correction,
                comment: comment.clone().unwrap_or_default(),
                actor: known_actor(actor.as_deref()),
            };
            with_client(connection, async |client| {
                let path = format!("/plans/{}/feedback", encode_segment(id));
                let given: FeedbackResponse = client.post(&path, &body).await?;
                client.print(&given, lines)?;
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
            None => client.get::<PlanResponse>(&path).await?.plan.digest.to_string(),
        };
        let options = RequestOptions {
            if_match: Some(digest),
            ..RequestOptions::json(&review.reason.body())
        };
        let reviewed: PlanResponse = client.post_with(&format!("{path}/{verb}"), options).await?;
        client.print(&reviewed, |PlanResponse { state, .. }| {
            let next =
                state.run.as_ref().map_or("run list".into(), |run| format!("run watch {run}"));
            let status = state.status.as_str();
            format!("{}  {status}\n{}", review.id, client.next_command(&next))
        })?;
        Ok(ExitCode::SUCCESS)
    })
}

fn explanation(explained: &ExplainPlanResponse) -> String {
    let indented = |line: &String| format!("  {}", sanitize::sanitize_line(line));
    let mut parts = vec![lines(&json!({
        "plan": explained.plan, "digest": explained.digest, "incident": explained.incident, "status": explained.status,
        "confidence": explained.confidence, "needsApproval": explained.needs_approval,
    }))];
    parts.push("\nreasons".into());
    parts.extend(explained.explanation.iter().map(indented));
    if let Some(evidence) = &explained.evidence {
        parts.push("\nevidence".into());
        parts.extend(evidence.summary.iter().map(indented));
    }
    parts.push("\ncandidates".into());
    parts.push(rows(
        &explained.candidates,
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
