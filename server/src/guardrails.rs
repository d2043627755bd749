//! Guardrails: those in force, and those that were.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Page, Queries};
use utoipa::ToSchema;
use workflow::Guardrails;
use workflow::guardrail::Autonomy;

use crate::api::Api;
use crate::item::List;
use crate::problem::Problem;
use crate::request::{ListParams, Params};

/// Guardrails, in a line.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GuardrailItem {
    name: String,
    /// Digest of all that they say; plans name it.
    version: String,
    /// Whether they are in force now.
    is_in_force: bool,
    /// How far Chiron goes by itself.
    #[schema(value_type = String)]
    autonomy: Autonomy,
    description: String,
}

impl GuardrailItem {
    fn of(guardrails: &Guardrails, in_force: Option<&str>) -> Self {
        let version = guardrails.version();
        Self {
            name: guardrails.metadata.name.clone(),
            is_in_force: in_force == Some(&version),
            version,
            autonomy: guardrails.spec.autonomy,
            description: guardrails.metadata.description.clone(),
        }
    }
}

/// Lists guardrails: each time that some came into force, newest first.
#[utoipa::path(get, path = "/api/v1/guardrails", tag = "guardrails", params(ListParams),
    responses((status = 200, description = "A page of guardrails.", body = List<GuardrailItem>), (status = 400, description = "A parameter is wrong.", body = Problem)))]
pub(crate) async fn guardrails(
    State(api): State<Arc<Api>>,
    Params(params): Params<ListParams>,
) -> Result<Json<List<GuardrailItem>>, Problem> {
    let page = params.page(&[])?;
    let in_force = api.store.guardrails().await?.map(|guardrails| guardrails.version());
    let loaded = api.store.guardrails_history(&page).await?;
    Ok(Json(List::of(loaded, |guardrails| GuardrailItem::of(guardrails, in_force.as_deref()))))
}

/// Shows guardrails whole: by name, the newest of that name; by version (`sha256:…`), as a plan names them.
#[utoipa::path(get, path = "/api/v1/guardrails/{name}", tag = "guardrails", params(("name" = String, Path, description = "Their name or version.")),
    responses((status = 200, description = "The guardrails, with `version` and `isInForce`.", body = Object), (status = 404, description = "There are none.", body = Problem)))]
pub(crate) async fn guardrail(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let in_force = api.store.guardrails().await?.map(|guardrails| guardrails.version());
    let mut page = Page { limit: Page::MAX, ..Page::default() };
    if name.starts_with("sha256:") {
        page.status = Some(name.clone());
    }
    loop {
        let loaded = api.store.guardrails_history(&page).await?;
        let found = loaded
            .items
            .iter()
            .find(|guardrails| page.status.is_some() || guardrails.metadata.name == name);
        if let Some(guardrails) = found {
            let version = guardrails.version();
            let mut shown = serde_json::to_value(guardrails).expect("guardrails are plain data");
            shown["isInForce"] = json!(in_force.as_ref() == Some(&version));
            shown["version"] = version.into();
            return Ok(Json(shown));
        }
        if loaded.next.is_none() {
            let name: String = name.chars().take(80).collect();
            return Err(Problem::not_found("guardrail", name));
        }
        page.after = loaded.next;
    }
}
