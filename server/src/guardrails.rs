//! Guardrails: the active ones and their history.

use std::sync::Arc;

use api::{GuardrailItem, GuardrailResponse, ListResponse, ProblemResponse};
use axum::Json;
use axum::extract::{Path, State};
use store::{PageRequest, Queries};

use crate::problem::Problem;
use crate::request::{ListParams, QueryParams};
use crate::resource;
use crate::server_state::ServerState;

/// Lists every activation of guardrails, newest first.
#[utoipa::path(get, path = "/api/v1/guardrails", tag = "guardrails", params(ListParams),
    responses((status = 200, description = "A page of guardrails.", body = ListResponse<GuardrailItem>), (status = 400, description = "A parameter is invalid.", body = ProblemResponse)))]
pub(crate) async fn guardrails(
    State(state): State<Arc<ServerState>>,
    QueryParams(params): QueryParams<ListParams>,
) -> Result<Json<ListResponse<GuardrailItem>>, Problem> {
    let page = params.page(&[])?;
    let active = state.store.guardrails().await?.map(|guardrails| guardrails.version());
    let loaded = state.store.guardrails_history(&page).await?;
    Ok(Json(resource::list(loaded, |guardrails| {
        resource::guardrail_item(guardrails, active.as_deref())
    })))
}

/// Returns guardrails by name (the newest with that name) or by version (`sha256:…`), as plans refer to them.
#[utoipa::path(get, path = "/api/v1/guardrails/{name}", tag = "guardrails", params(("name" = String, Path, description = "Name or version of the guardrails.")),
    responses((status = 200, description = "The guardrails, with `version` and `active`.", body = GuardrailResponse), (status = 404, description = "The guardrails do not exist.", body = ProblemResponse)))]
pub(crate) async fn guardrail(
    State(state): State<Arc<ServerState>>,
    Path(name): Path<String>,
) -> Result<Json<GuardrailResponse>, Problem> {
    let active = state.store.guardrails().await?.map(|guardrails| guardrails.version());
    let mut page = PageRequest { limit: PageRequest::MAX, ..PageRequest::default() };
    if name.starts_with("sha256:") {
        page.status = Some(name.clone());
    }
    loop {
        let loaded = state.store.guardrails_history(&page).await?;
        let found = loaded
            .items
            .into_iter()
            .find(|guardrails| page.status.is_some() || guardrails.metadata.name == name);
        if let Some(guardrails) = found {
            return Ok(Json(resource::guardrail(guardrails, active.as_deref())));
        }
        if loaded.next.is_none() {
            let name: String = name.chars().take(80).collect();
            return Err(Problem::not_found("guardrail", name));
        }
        page.after = loaded.next;
    }
}
