//! `chiron demo break`: injects another fault into the running demo over its API.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router, body::Bytes};
use jiff::Timestamp;
use runtime::Runtime;
use serde::{Deserialize, Serialize};
use server::Problem;
use simulator::InvalidFile;
use workflow::ErrorCode;

use crate::cli::client::{Connection, RequestError, with_client};
use crate::datasets;
use crate::fault_injector::FaultInjector;

/// Injects another fault into the running demo.
#[derive(clap::Args)]
#[command(
    after_help = "EXAMPLES\n  chiron demo break wrong-target-port\n  chiron demo break bad-image --data-dir state"
)]
pub(crate) struct Args {
    /// Fault family of the starter suite. The workload is selected at random.
    family: String,
    #[command(flatten)]
    connection: Connection,
}

/// Requests the fault from the running demo.
///
/// # Errors
/// If no demo is running, or the fault cannot be injected.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    with_client(&args.connection, async |client| {
        let request = BreakRequest { family: args.family.clone() };
        let injected: BreakResponse = match client.post("/demo/break", &request).await {
            Err(error)
                if error
                    .downcast_ref::<RequestError>()
                    .is_some_and(RequestError::is_route_not_found) =>
            {
                return Err(anyhow!(
                    "the server is not a demo: faults can be injected only into `chiron demo`"
                ));
            }
            answered => answered?,
        };
        client.print(&injected, |injected| {
            format!(
                "injected {} into {}/{}; Chiron does not know which fault it is\n{}",
                injected.family,
                injected.namespace.as_deref().unwrap_or_default(),
                injected.workload,
                client.next_command("incident list")
            )
        })?;
        Ok(ExitCode::SUCCESS)
    })
}

/// State of the route.
#[derive(Clone)]
struct Breaker {
    fault_injector: FaultInjector,
    runtime: Arc<dyn Runtime>,
}

/// Returns the route that injects a fault.
pub(crate) fn route(fault_injector: FaultInjector, runtime: Arc<dyn Runtime>) -> Router {
    let breaker = Arc::new(Breaker { fault_injector, runtime });
    Router::new().route("/api/v1/demo/break", post(inject)).with_state(breaker)
}

/// The fault to inject.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakRequest {
    family: String,
}

/// The injected fault.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BreakResponse {
    family: String,
    seed: u64,
    namespace: Option<String>,
    workload: String,
    at: Timestamp,
}

async fn inject(
    State(breaker): State<Arc<Breaker>>,
    body: Bytes,
) -> Result<Json<BreakResponse>, Problem> {
    let BreakRequest { family } = serde_json::from_slice(&body).map_err(|error| {
        let detail = format!("the body is not a valid request: {error}");
        Problem::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::InvalidBody,
            detail,
            r#"send {"family": "bad-image"}"#,
        )
    })?;
    let families = datasets::families();
    if !families.contains(&family.as_str()) {
        let detail = format!("the fault family `{family}` does not exist");
        let hint = format!("use one of: {}", families.join(", "));
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::UnknownFamily,
            detail,
            hint,
        ));
    }
    let fault_injector = breaker.fault_injector.clone();
    // The injection waits for the disk, which would block a thread that serves other requests.
    let injected = tokio::task::spawn_blocking(move || fault_injector.inject(&family)).await;
    let injected = injected
        .map_err(|error| {
            tracing::error!(%error, "the injection panicked");
            let detail = "the injection panicked";
            let hint = "check the cluster: the fault may have been injected; the log of the demo contains the panic";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::InternalError, detail, hint)
        })?
        .map_err(injection_problem)?;
    // The engine sleeps until its next deadline and does not know that the world changed.
    breaker.runtime.wake();
    Ok(Json(BreakResponse {
        family: injected.injection.family,
        seed: injected.injection.seed,
        namespace: injected.workload.namespace,
        workload: injected.workload.name,
        at: injected.at,
    }))
}

/// Returns the problem of a failed injection: no workload can have the fault, or the journal cannot be written.
fn injection_problem(error: anyhow::Error) -> Problem {
    let detail = format!("no fault was injected: {error:#}");
    if error.downcast_ref::<InvalidFile>().is_some() {
        let hint = format!("try another family: {}", datasets::families().join(", "));
        return Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::FaultNotApplicable,
            detail,
            hint,
        );
    }
    tracing::error!(error = %format!("{error:#}"), "no fault was injected");
    let hint = "check that the data directory of the demo is writable";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::FaultInjectionFailed, detail, hint)
}
