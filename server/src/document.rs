//! JSON representation of single resources (entity plus status).

use serde::Serialize;
use serde_json::{Value, json};
use store::{AlertRow, ExperimentRow, IncidentRow, PlanRow};
use workflow::RunView;

use crate::list_item::{alert_status, incident_status};

/// Returns `base` with the members of `more` added; on equal keys `more` wins.
fn with_members(base: &impl Serialize, more: Value) -> Value {
    let mut value = serde_json::to_value(base).expect("a row is plain data");
    if let (Value::Object(base), Value::Object(more)) = (&mut value, more) {
        base.extend(more);
    }
    value
}

pub(crate) fn alert(row: &AlertRow) -> Value {
    let more = json!({
        "status": alert_status(row),
        "incident": row.episode.incident,
        "episode": row.episode.number,
        "deliveries": row.episode.deliveries,
        "resolvedAt": row.episode.resolved_at,
    });
    with_members(&row.alert, more)
}

pub(crate) fn incident(row: &IncidentRow) -> Value {
    let more = json!({
        "status": incident_status(&row.incident),
        "deliveries": row.deliveries,
        "plan": row.plan,
        "run": row.run,
        "outcome": row.outcome,
    });
    with_members(&row.incident, more)
}

pub(crate) fn plan(row: &PlanRow) -> Value {
    let more = json!({
        "status": row.state.status,
        "review": row.state.review,
        "withdrawn": row.state.withdrawn,
        "run": row.state.run,
        "ended": row.state.ended,
    });
    with_members(&row.plan, more)
}

pub(crate) fn run(view: &RunView) -> Value {
    with_members(view, json!({"id": view.run}))
}

pub(crate) fn experiment(row: &ExperimentRow) -> Value {
    let more = json!({"exposures": row.exposures, "stopReason": row.stop_reason});
    with_members(&row.experiment, more)
}
