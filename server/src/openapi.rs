use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, Info, OpenApi, SecurityRequirement};

use crate::router::routes;

/// Returns the OpenAPI 3.1 document of all routes, generated from their registrations.
pub fn openapi() -> serde_json::Value {
    let value = serde_json::to_value(complete(routes().into_openapi()));
    value.expect("an OpenAPI document is plain data")
}

/// Adds what applies to all routes: title, version and authentication.
fn complete(mut document: OpenApi) -> OpenApi {
    let mut info = Info::new("Chiron", env!("CARGO_PKG_VERSION"));
    info.description = Some("Adaptive remediation planner for Kubernetes alerts.".into());
    document.info = info;
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    document
        .components
        .get_or_insert_with(Components::new)
        .add_security_scheme("token", SecurityScheme::Http(token));
    document.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]);
    document
}

/// Returns this document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "openapi", responses((status = 200, description = "This document.", body = Object)))]
pub(crate) async fn document() -> axum::Json<serde_json::Value> {
    axum::Json(openapi())
}
