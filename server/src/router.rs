use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{self, Door};
use crate::api::{Api, Server};
use crate::bounds::Bounds;
use crate::problem::Problem;
use crate::{
    events, experiments, guardrails, health, incidents, ingest, learner, openapi, plans, runs,
    stops, validations,
};

/// The whole API.
pub fn router(server: Server) -> Router {
    router_within(server, Bounds::default())
}

/// The whole API, with bounds of one's own on the time of a body and of an answer.
pub fn router_within(server: Server, bounds: Bounds) -> Router {
    let Server { inputs, store, catalogue, token, limits, hosts, now, extra } = server;
    let limits = limits.clamped();
    let api = Arc::new(Api { inputs, store, catalogue, limits, bounds, now });
    let door = Arc::new(Door::new(hosts, &token));
    let mut guarded: Router = guarded().with_state(Arc::clone(&api)).into();
    if let Some(extra) = extra {
        guarded = guarded.merge(extra);
    }
    let guarded = guarded
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(door, access::check));
    let open: Router = probes().with_state(api).into();
    // A storm that is shed must not become a storm of lines in the log: 5xx are told where they arise.
    let trace = TraceLayer::new_for_http().make_span_with(span).on_failure(());
    guarded.merge(open).layer(trace)
}

/// Every route, for the document.
pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    guarded().merge(probes())
}

fn probes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(health::livez)).routes(routes!(health::readyz))
}

fn guarded() -> OpenApiRouter<Arc<Api>> {
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
        .routes(routes!(stops::stop))
        .routes(routes!(stops::resume))
        .routes(routes!(stops::stops))
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

/// The span of a request; handlers fill in the ids that its path names.
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

async fn no_route() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_route",
        "there is nothing at this path",
        "see /api/openapi.json for the routes",
    )
}

async fn no_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "no_method",
        "this path does not have this method",
        "see /api/openapi.json for the routes",
    )
}
