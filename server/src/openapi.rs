use std::sync::Arc;

use api::OpenApiResponse;
use axum::Json;
use axum::extract::State;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, Info, OpenApi, SecurityRequirement};

use crate::server_state::ServerState;

/// Returns the OpenAPI 3.1 document of routes: adds what applies to all of them, which is title, version and
/// authentication.
pub(crate) fn openapi(mut document: OpenApi) -> Value {
    let mut info = Info::new("Chiron", env!("CARGO_PKG_VERSION"));
    info.description = Some("Adaptive remediation planner for Kubernetes alerts.".into());
    document.info = info;
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    document
        .components
        .get_or_insert_with(Components::new)
        .add_security_scheme("token", SecurityScheme::Http(token));
    document.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]);
    serde_json::to_value(document).expect("an OpenAPI document is plain data")
}

/// Returns this document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "openapi", responses((status = 200, description = "This document.", body = OpenApiResponse)))]
pub(crate) async fn document(State(state): State<Arc<ServerState>>) -> Json<Value> {
    Json(Value::clone(&state.document))
}
