//! Reads of state that no projection contains.

use std::collections::BTreeMap;

use planner::Retrieval as _;
use serde_json::json;
use workflow::input::Query;
use workflow::{EngineResponse, Refusal};

use crate::folds::Folds;

/// Answers a query. `policy` is the name of the learner's policy.
pub(crate) fn handle(
    folds: &Folds,
    policy: &str,
    query: &Query,
) -> Result<EngineResponse, Refusal> {
    let value = match query {
        Query::ExperimentResults { id } => match folds.experiments.results(id) {
            Some(results) => json!(results),
            None => return Err(Refusal::not_found("experiment", id.as_str())),
        },
        Query::Similar { incident, top_k } => {
            let Some(case) = folds.cases.cases.get(incident) else {
                return Err(Refusal::not_found("incident", incident.as_str()));
            };
            json!(folds.retrieval.similar(&case.evidence.signature, *top_k))
        }
        Query::Learner => {
            let model = folds.learner.model();
            let arms: BTreeMap<&str, _> = model.arms().collect();
            json!({"observations": model.outcomes(), "digest": model.digest(), "policy": policy, "arms": arms})
        }
    };
    Ok(EngineResponse::Result { value })
}
