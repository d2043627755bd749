//! Items of lists: what an operator needs to select one, without steps, logs or payloads.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use store::{AlertRow, ExperimentRow, IncidentRow, ListPage, PlanRow};
use utoipa::ToSchema;
use workflow::{Estimate, Incident, RunView};

/// A page of a list, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListResponse<T> {
    pub(crate) items: Vec<T>,
    /// `cursor` of the next page; omitted on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

impl<T> ListResponse<T> {
    /// Converts a page of rows with `item`.
    pub(crate) fn of<R>(rows: ListPage<R>, item: impl Fn(&R) -> T) -> Self {
        Self { items: rows.items.iter().map(item).collect(), next_cursor: rows.next }
    }
}

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlertItem {
    id: String,
    name: String,
    severity: String,
    /// `firing`, `resolved`, or `never-fired`: it was resolved before a firing notification was received.
    status: &'static str,
    namespace: Option<String>,
    /// Label and value that identify the subject, for example `deployment=checkout`.
    subject: String,
    incident: Option<String>,
    episode: u64,
    deliveries: u64,
    defects: usize,
    #[schema(value_type = String, format = DateTime)]
    starts_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    resolved_at: Option<Timestamp>,
}

pub(crate) fn alert_status(row: &AlertRow) -> &'static str {
    match (&row.episode.incident, row.episode.is_firing) {
        (None, _) => "never-fired",
        (Some(_), true) => "firing",
        (Some(_), false) => "resolved",
    }
}

fn label_equals_value((label, value): &(String, String)) -> String {
    format!("{label}={value}")
}

impl AlertItem {
    pub(crate) fn of(row: &AlertRow) -> Self {
        let alert = &row.alert;
        Self {
            id: alert.id.to_string(),
            name: alert.name.clone(),
            severity: alert.severity.clone(),
            status: alert_status(row),
            namespace: alert.subject.namespace.clone(),
            subject: label_equals_value(&alert.subject.label),
            incident: row.episode.incident.as_ref().map(ToString::to_string),
            episode: row.episode.number,
            deliveries: row.episode.deliveries,
            defects: alert.defects.len(),
            starts_at: alert.starts_at,
            received_at: alert.received_at,
            resolved_at: row.episode.resolved_at,
        }
    }
}

/// An incident.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IncidentItem {
    id: String,
    /// `open`, `closed` or `merged`.
    status: &'static str,
    /// Name of the alert that opened the incident.
    alert: String,
    severity: String,
    namespace: String,
    /// Label and value that identify the subject, for example `deployment=checkout`.
    subject: String,
    /// Number of its alerts that are firing.
    firing: usize,
    /// Number of all its alerts.
    alerts: usize,
    deliveries: u64,
    /// Id of its newest plan.
    plan: Option<String>,
    /// Id of its newest run.
    run: Option<String>,
    /// Status of its last observed outcome.
    #[schema(value_type = Option<String>)]
    outcome: Option<workflow::outcome::OutcomeStatus>,
    #[schema(value_type = String, format = DateTime)]
    opened_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    closed_at: Option<Timestamp>,
}

pub(crate) fn incident_status(incident: &Incident) -> &'static str {
    match (&incident.merged_into, incident.is_open()) {
        (Some(_), _) => "merged",
        (None, true) => "open",
        (None, false) => "closed",
    }
}

impl IncidentItem {
    pub(crate) fn of(row: &IncidentRow) -> Self {
        let incident = &row.incident;
        Self {
            id: incident.id.to_string(),
            status: incident_status(incident),
            alert: incident.first.name.clone(),
            severity: incident.first.severity.clone(),
            namespace: incident.namespace.clone(),
            subject: label_equals_value(&incident.subject),
            firing: incident.firing.len(),
            alerts: incident.alerts.len(),
            deliveries: row.deliveries,
            plan: row.plan.as_ref().map(ToString::to_string),
            run: row.run.as_ref().map(ToString::to_string),
            outcome: row.outcome,
            opened_at: incident.opened_at,
            closed_at: incident.closed_at,
        }
    }
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanItem {
    id: String,
    /// Digest of the plan; an approval names it.
    digest: String,
    incident: String,
    /// `proposed`, `needs-approval`, `approved`, `rejected`, `running`, `done` or `withdrawn`.
    status: &'static str,
    /// Name of its workflow.
    workflow: String,
    /// Source of the plan, for example `template` or `retrieval`.
    source: &'static str,
    /// Probability that the plan resolves the incident: `{estimate, low, high}`.
    #[schema(value_type = Object)]
    confidence: Estimate,
    /// Number of steps.
    steps: usize,
    /// Number of the attempt on the incident, from 1.
    attempt: u32,
    /// Reason why an operator must approve the plan; omitted if no approval is needed.
    needs_approval: Option<String>,
    run: Option<String>,
    /// Final status of its run.
    #[schema(value_type = Option<String>)]
    ended: Option<workflow::RunStatus>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl PlanItem {
    pub(crate) fn of(row: &PlanRow) -> Self {
        let plan = &row.plan;
        Self {
            id: plan.id.to_string(),
            digest: plan.digest.to_string(),
            incident: plan.incident.to_string(),
            status: row.state.status.as_str(),
            workflow: plan.workflow.metadata.name.clone(),
            source: plan.source.as_str(),
            confidence: plan.confidence,
            steps: plan.workflow.spec.steps.len(),
            attempt: plan.attempt,
            needs_approval: plan.needs_approval.clone(),
            run: row.state.run.as_ref().map(ToString::to_string),
            ended: row.state.ended,
            created_at: plan.created_at,
        }
    }
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunItem {
    id: String,
    plan: String,
    incident: String,
    #[schema(value_type = String)]
    status: workflow::RunStatus,
    /// Explains the status.
    message: String,
    /// Number of steps.
    steps: usize,
    /// Number of steps that have ended.
    steps_ended: usize,
    /// Who started the run.
    actor: String,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
}

impl RunItem {
    pub(crate) fn of(view: &RunView) -> Self {
        Self {
            id: view.run.to_string(),
            plan: view.plan.to_string(),
            incident: view.incident.to_string(),
            status: view.status,
            message: view.message.clone(),
            steps: view.steps.len(),
            steps_ended: view.steps.iter().filter(|step| step.ended_at.is_some()).count(),
            actor: view.actor.clone(),
            started_at: view.started_at,
            ended_at: view.ended_at,
        }
    }
}

/// An experiment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExperimentItem {
    id: String,
    name: String,
    #[schema(value_type = String)]
    status: workflow::experiment::ExperimentStatus,
    /// Names of its variants.
    variants: Vec<String>,
    /// Alert names that the experiment includes; empty means all.
    alerts: Vec<String>,
    /// Number of exposed incidents, by variant.
    exposures: BTreeMap<String, u64>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    stopped_at: Option<Timestamp>,
}

impl ExperimentItem {
    pub(crate) fn of(row: &ExperimentRow) -> Self {
        let experiment = &row.experiment;
        Self {
            id: experiment.id.to_string(),
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
}
