//! Conversions of stored rows to the API's types: a list item, and the whole resource.

use api::{
    AlertItem, AlertResponse, AlertState, EmergencyStopItem, EventItem, ExperimentItem,
    ExperimentResponse, GuardrailItem, GuardrailResponse, IncidentItem, IncidentResponse,
    IncidentState, ListResponse, PlanItem, PlanResponse, RunItem, RunResponse,
};
use store::{AlertRow, ExperimentRow, IncidentRow, ListPage, PlanRow, Record};
use workflow::run::StopScope;
use workflow::{EmergencyStop, Guardrails, Incident, RunView};

/// A larger payload of an event is omitted: its resource has a route of its own.
const MAX_PAYLOAD_BYTES: usize = 4_096;

/// Converts a page of rows with `item`.
pub(crate) fn list<R, T>(rows: ListPage<R>, item: impl Fn(&R) -> T) -> ListResponse<T> {
    ListResponse { items: rows.items.iter().map(item).collect(), next_cursor: rows.next }
}

fn label_equals_value((label, value): &(String, String)) -> String {
    format!("{label}={value}")
}

fn alert_state(row: &AlertRow) -> AlertState {
    match (&row.episode.incident, row.episode.is_firing) {
        (None, _) => AlertState::NeverFired,
        (Some(_), true) => AlertState::Firing,
        (Some(_), false) => AlertState::Resolved,
    }
}

pub(crate) fn alert_item(row: &AlertRow) -> AlertItem {
    let alert = &row.alert;
    AlertItem {
        id: alert.id.clone(),
        name: alert.name.clone(),
        severity: alert.severity.clone(),
        status: alert_state(row),
        namespace: alert.subject.namespace.clone(),
        subject: label_equals_value(&alert.subject.label),
        incident: row.episode.incident.clone(),
        episode: row.episode.number,
        deliveries: row.episode.deliveries,
        defects: alert.defects.len(),
        starts_at: alert.starts_at,
        received_at: alert.received_at,
        resolved_at: row.episode.resolved_at,
    }
}

pub(crate) fn alert(row: AlertRow) -> AlertResponse {
    let status = alert_state(&row);
    let AlertRow { alert, episode } = row;
    AlertResponse {
        id: alert.id,
        source: alert.source,
        source_id: alert.source_id,
        fingerprint: alert.fingerprint,
        status,
        name: alert.name,
        severity: alert.severity,
        subject: alert.subject,
        labels: alert.labels,
        annotations: alert.annotations,
        starts_at: alert.starts_at,
        starts_at_sent: alert.starts_at_sent,
        ends_at: alert.ends_at,
        link: alert.link,
        received_at: alert.received_at,
        defects: alert.defects,
        incident: episode.incident,
        episode: episode.number,
        deliveries: episode.deliveries,
        resolved_at: episode.resolved_at,
    }
}

fn incident_state(incident: &Incident) -> IncidentState {
    match (&incident.merged_into, incident.is_open()) {
        (Some(_), _) => IncidentState::Merged,
        (None, true) => IncidentState::Open,
        (None, false) => IncidentState::Closed,
    }
}

pub(crate) fn incident_item(row: &IncidentRow) -> IncidentItem {
    let incident = &row.incident;
    IncidentItem {
        id: incident.id.clone(),
        status: incident_state(incident),
        alert: incident.first.name.clone(),
        severity: incident.first.severity.clone(),
        namespace: incident.namespace.clone(),
        subject: label_equals_value(&incident.subject),
        firing: incident.firing.len(),
        alerts: incident.alerts.len(),
        deliveries: row.deliveries,
        plan: row.plan.clone(),
        run: row.run.clone(),
        outcome: row.outcome,
        opened_at: incident.opened_at,
        closed_at: incident.closed_at,
    }
}

pub(crate) fn incident(row: IncidentRow) -> IncidentResponse {
    let status = incident_state(&row.incident);
    let IncidentRow { incident, deliveries, plan, run, outcome } = row;
    IncidentResponse { incident, status, deliveries, plan, run, outcome }
}

pub(crate) fn plan_item(row: &PlanRow) -> PlanItem {
    let plan = &row.plan;
    PlanItem {
        id: plan.id.clone(),
        digest: plan.digest,
        incident: plan.incident.clone(),
        status: row.state.status,
        workflow: plan.workflow.metadata.name.clone(),
        source: plan.source.as_str().into(),
        confidence: plan.estimates.plan,
        steps: plan.workflow.spec.steps.len(),
        attempt: plan.attempt,
        needs_approval: plan.needs_approval.clone(),
        run: row.state.run.clone(),
        ended: row.state.ended,
        created_at: plan.created_at,
    }
}

pub(crate) fn plan(row: PlanRow) -> PlanResponse {
    let PlanRow { plan, state } = row;
    let (confidence, steps) = (plan.estimates.plan, plan.estimates.steps.clone());
    PlanResponse { plan, state, confidence, steps }
}

pub(crate) fn run_item(view: &RunView) -> RunItem {
    RunItem {
        id: view.run.clone(),
        plan: view.plan.clone(),
        incident: view.incident.clone(),
        status: view.status,
        message: view.message.clone(),
        steps: view.steps.len(),
        steps_ended: view.steps.iter().filter(|step| step.ended_at.is_some()).count(),
        actor: view.actor.clone(),
        started_at: view.started_at,
        ended_at: view.ended_at,
    }
}

pub(crate) fn run(view: RunView) -> RunResponse {
    let RunView {
        run,
        plan,
        plan_digest,
        incident,
        status,
        message,
        steps,
        effects,
        guarded,
        health_before,
        health_now,
        success,
        status_after_rollback,
        is_paused,
        emergency_stop,
        requests_replan,
        actor,
        started_at,
        ended_at,
    } = view;
    RunResponse {
        id: run.clone(),
        run,
        plan,
        plan_digest,
        incident,
        status,
        message,
        steps,
        effects,
        guarded,
        health_before,
        health_now,
        success,
        status_after_rollback,
        is_paused,
        emergency_stop,
        requests_replan,
        actor,
        started_at,
        ended_at,
    }
}

pub(crate) fn experiment_item(row: &ExperimentRow) -> ExperimentItem {
    let experiment = &row.experiment;
    ExperimentItem {
        id: experiment.id.clone(),
        name: experiment.name.clone(),
        status: experiment.status,
        variants: experiment.variants.iter().map(|variant| variant.name.clone()).collect(),
        alerts: experiment.alerts.clone(),
        exposures: row.exposures.clone(),
        created_at: experiment.created_at,
        started_at: experiment.started_at,
        stopped_at: experiment.stopped_at,
    }
}

pub(crate) fn experiment(row: ExperimentRow) -> ExperimentResponse {
    let ExperimentRow { experiment, exposures, stop_reason } = row;
    ExperimentResponse { experiment, exposures, stop_reason }
}

/// `active` is the version of the guardrails in effect.
pub(crate) fn guardrail_item(guardrails: &Guardrails, active: Option<&str>) -> GuardrailItem {
    let version = guardrails.version();
    GuardrailItem {
        name: guardrails.metadata.name.clone(),
        active: active == Some(&version),
        version,
        autonomy: guardrails.spec.autonomy,
        description: guardrails.metadata.description.clone(),
    }
}

/// `active` is the version of the guardrails in effect.
pub(crate) fn guardrail(guardrails: Guardrails, active: Option<&str>) -> GuardrailResponse {
    let version = guardrails.version();
    let Guardrails { api_version, kind, metadata, spec } = guardrails;
    let active = active == Some(&version);
    GuardrailResponse { api_version, kind, metadata, spec, version, active }
}

/// Returns `None` if the stop is cleared.
pub(crate) fn emergency_stop_item(stop: EmergencyStop) -> Option<EmergencyStopItem> {
    let EmergencyStop { scope, level, actor, reason, at } = stop;
    let scope = match scope {
        StopScope::Global => "global".into(),
        StopScope::Run { run } => run.into(),
    };
    Some(EmergencyStopItem { scope, level: level?, actor, reason, at })
}

pub(crate) fn event_item(record: Record) -> EventItem {
    let event_type = record.payload.as_ref().and_then(|payload| {
        payload.get("event").map(|event| event.get("event").unwrap_or(event))?.as_str()
    });
    EventItem {
        seq: record.seq,
        event_type: event_type.map(Into::into),
        kind: record.kind,
        stream: record.stream,
        at: record.at,
        payload: record.payload.filter(|payload| payload.to_string().len() <= MAX_PAYLOAD_BYTES),
    }
}
