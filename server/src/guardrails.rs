//! Guardrails: the active ones and their history.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::{Value, json};
use store::{PageRequest, Queries};
use utoipa::ToSchema;
use workflow::Guardrails;
use workflow::guardrail::Autonomy;

use crate::api::Api;
use crate::list_item::ListResponse;
use crate::problem::Problem;
use crate::request::{ListParams, QueryParams};

/// A guardrails document in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GuardrailItem {
    name: String,
    /// Digest of the content; plans refer to it.
    version: String,
    /// Whether these guardrails are in effect.
    active: bool,
    /// What Chiron does without an approval.
    #[schema(value_type = String)]
    autonomy: Autonomy,
    description: String,
}

impl GuardrailItem {
    fn of(guardrails: &Guardrails, active: Option<&str>) -> Self {
        let version = guardrails.version();
        Self {
            name: guardrails.metadata.name.clone(),
            active: active == Some(&version),
            version,
            autonomy: guardrails.spec.autonomy,
            description: guardrails.metadata.description.clone(),
        }
    }
}

/// Lists every activation of guardrails, newest first.
#[utoipa::path(get, path = "/api/v1/guardrails", tag = "guardrails", params(ListParams),
    responses((status = 200, description = "A page of guardrails.", body = ListResponse<GuardrailItem>), (status = 400, description = "A parameter is invalid.", body = Problem)))]
pub(crate) async fn guardrails(
    State(api): State<Arc<Api>>,
    QueryParams(params): QueryParams<ListParams>,
) -> Result<Json<ListResponse<GuardrailItem>>, Problem> {
    let page = params.page(&[])?;
    let active = api.store.guardrails().await?.map(|guardrails| guardrails.version());
    let loaded = api.store.guardrails_history(&page).await?;
    Ok(Json(ListResponse::of(loaded, |guardrails| {
        GuardrailItem::of(guardrails, active.as_deref())
    })))
}

/// Returns guardrails by name (the newest with that name) or by version (`sha256:…`), as plans refer to them.
#[utoipa::path(get, path = "/api/v1/guardrails/{name}", tag = "guardrails", params(("name" = String, Path, description = "Name or version of the guardrails.")),
    responses((status = 200, description = "The guardrails, with `version` and `active`.", body = Object), (status = 404, description = "The guardrails do not exist.", body = Problem)))]
pub(crate) async fn guardrail(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let active = api.store.guardrails().await?.map(|guardrails| guardrails.version());
    let mut page = PageRequest { limit: PageRequest::MAX, ..PageRequest::default() };
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
            let mut body = serde_json::to_value(guardrails).expect("guardrails are plain data");
            body["active"] = json!(active.as_ref() == Some(&version));
            body["version"] = version.into();
            return Ok(Json(body));
        }
        if loaded.next.is_none() {
            let name: String = name.chars().take(80).collect();
            return Err(Problem::not_found("guardrail", name));
        }
        page.after = loaded.next;
    }
}
