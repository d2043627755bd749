//! `chiron demo break`: something else breaks in the demo that stands, asked for over its API.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router, body::Bytes};
use engine::Message;
use serde::Deserialize;
use serde_json::{Value, json};
use server::Problem;
use simulator::BadFile;
use tokio::sync::{mpsc, oneshot};
use workflow::Input;
use workflow::input::Query;

use crate::cli::client::{Connection, Refused, talk};
use crate::datasets;
use crate::striker::Striker;

/// Breaks something else in the running demo.
#[derive(clap::Args)]
#[command(
    after_help = "EXAMPLES\n  chiron demo break wrong-target-port\n  chiron demo break bad-image --data-dir state"
)]
pub(crate) struct Args {
    /// What breaks: a fault family of the starter suite, on a workload that is drawn.
    family: String,
    #[command(flatten)]
    connection: Connection,
}

/// Asks the running demo to break something.
///
/// # Errors
/// Where no demo runs, or it has no such family.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    talk(&args.connection, async |client| {
        let answer = match client.post("/demo/break", &json!({"family": args.family})).await {
            Err(error) if error.downcast_ref::<Refused>().is_some_and(Refused::is_no_route) => {
                return Err(anyhow!(
                    "the server there is no demo: only the cluster of `chiron demo` can be broken on request"
                ));
            }
            answered => answered?,
        };
        client.print(&answer, |answer| {
            let of = |name: &str| answer[name].as_str().unwrap_or_default().to_string();
            format!(
                "broke {} in {}/{}; whoever plans is not told\n{}",
                of("family"),
                of("namespace"),
                of("workload"),
                client.next("incident list")
            )
        })?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What the route needs.
#[derive(Clone)]
struct Breaker {
    striker: Striker,
    inputs: mpsc::Sender<Message>,
}

/// The route over which a running demo is asked to break something.
pub(crate) fn route(striker: Striker, inputs: mpsc::Sender<Message>) -> Router {
    let breaker = Arc::new(Breaker { striker, inputs });
    Router::new().route("/api/v1/demo/break", post(break_something)).with_state(breaker)
}

/// Wakes an engine that sleeps until the next thing it knows of: the world has changed beside it.
pub(crate) fn wake(inputs: &mpsc::Sender<Message>) {
    // A full queue keeps it awake by itself, and a closed one has no engine behind it.
    let _ = inputs.try_send((Input::Query(Query::Learner), oneshot::channel().0));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    family: String,
}

async fn break_something(
    State(breaker): State<Arc<Breaker>>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let Wish { family } = serde_json::from_slice(&body).map_err(|error| {
        let detail = format!("the body does not say what to break: {error}");
        Problem::new(StatusCode::BAD_REQUEST, "bad_wish", detail, r#"send {"family": "bad-image"}"#)
    })?;
    let families = datasets::families();
    if !families.contains(&family.as_str()) {
        let detail = format!("there is no family `{family}`");
        let hint = format!("there are: {}", families.join(", "));
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_such_family", detail, hint));
    }
    let striker = breaker.striker.clone();
    // Waiting for the disk is no work for a thread that serves others.
    let struck = tokio::task::spawn_blocking(move || striker.strike(&family)).await;
    let struck = struck
        .map_err(|error| {
            tracing::error!(%error, "the thread that should break something broke off");
            let detail = "the thread that should break something broke off";
            let hint = "whether something broke is not known: the log of the demo says where the thread ended";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "broken_off", detail, hint)
        })?
        .map_err(not_struck)?;
    wake(&breaker.inputs);
    Ok(Json(json!({
        "family": struck.strike.family,
        "seed": struck.strike.seed,
        "namespace": struck.workload.namespace,
        "workload": struck.workload.name,
        "at": struck.at,
    })))
}

/// Why nothing broke: the world has nothing that could, or the journal did not take it.
fn not_struck(error: anyhow::Error) -> Problem {
    let detail = format!("nothing was broken: {error:#}");
    if error.downcast_ref::<BadFile>().is_some() {
        let hint = format!("try another family; there are: {}", datasets::families().join(", "));
        return Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "does_not_fit", detail, hint);
    }
    tracing::error!(error = %format!("{error:#}"), "nothing was broken");
    let hint = "see whether the folder of the demo's state can be written";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "not_broken", detail, hint)
}
