use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use workflow::ErrorCode;

use crate::access::{self, Authenticator};
use crate::problem::Problem;
use crate::server_state::{ServerConfig, ServerState};
use crate::timeouts::Timeouts;
use crate::{
    emergency_stops, events, experiments, guardrails, health, incidents, ingest, learner, openapi,
    plans, runs, validations,
};

/// Returns the API's router with the default timeouts.
pub fn router(server: ServerConfig) -> Router {
    router_with(server, Timeouts::default())
}

/// Returns the API's router with the given timeouts for bodies and engine responses.
pub fn router_with(server: ServerConfig, timeouts: Timeouts) -> Router {
    let ServerConfig { inputs, controls, store, catalogue, token, limits, hosts, now, extra } =
        server;
    let limits = limits.clamped();
    let document = Arc::new(openapi::openapi(guarded().merge(probes()).into_openapi()));
    let state = Arc::new(ServerState {
        inputs,
        controls,
        store,
        catalogue,
        limits,
        timeouts,
        now,
        document,
    });
    let authenticator = Arc::new(Authenticator::new(hosts, &token));
    let mut guarded: Router = guarded().with_state(Arc::clone(&state)).into();
    if let Some(extra) = extra {
        guarded = guarded.merge(extra);
    }
    let guarded = guarded
        .fallback(route_not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(authenticator, access::check));
    let open: Router = probes().with_state(state).into();
    // Rejected load must not flood the log, so a 5xx is logged where it arises and not once per response.
    let trace = TraceLayer::new_for_http().make_span_with(span).on_failure(());
    guarded.merge(open).layer(trace)
}

fn probes() -> OpenApiRouter<Arc<ServerState>> {
    OpenApiRouter::new().routes(routes!(health::livez)).routes(routes!(health::readyz))
}

fn guarded() -> OpenApiRouter<Arc<ServerState>> {
    OpenApiRouter::new()
        .routes(routes!(openapi::document))
        .routes(routes!(ingest::alertmanager))
        .routes(routes!(incidents::alerts))
        .routes(routes!(incidents::alert))
        .routes(routes!(incidents::incidents))
        .routes(routes!(incidents::incident))
        .routes(routes!(incidents::similar))
        .routes(routes!(plans::plans, plans::create))
        .routes(routes!(plans::plan))
        .routes(routes!(plans::explain))
        .routes(routes!(plans::approve))
        .routes(routes!(plans::reject))
        .routes(routes!(plans::feedback))
        .routes(routes!(runs::runs))
        .routes(routes!(runs::run))
        .routes(routes!(events::run_events))
        .routes(routes!(runs::pause))
        .routes(routes!(runs::resume))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::approve_step))
        .routes(routes!(runs::reject_step))
        .routes(routes!(emergency_stops::list, emergency_stops::set, emergency_stops::clear))
        .routes(routes!(experiments::experiments, experiments::create))
        .routes(routes!(experiments::experiment))
        .routes(routes!(experiments::start))
        .routes(routes!(experiments::stop))
        .routes(routes!(experiments::results))
        .routes(routes!(guardrails::guardrails))
        .routes(routes!(guardrails::guardrail))
        .routes(routes!(learner::learner))
        .routes(routes!(events::events))
        .routes(routes!(validations::validate))
}

/// Returns the span of a request. Handlers record the ids in its path.
fn span(request: &Request) -> tracing::Span {
    tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        incident = tracing::field::Empty,
        plan = tracing::field::Empty,
        run = tracing::field::Empty,
        step = tracing::field::Empty,
    )
}

async fn route_not_found() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        ErrorCode::RouteNotFound,
        "this path does not exist",
        "see /api/openapi.json for the routes",
    )
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::MethodNotAllowed,
        "this path does not support the method",
        "see /api/openapi.json for the routes",
    )
}
