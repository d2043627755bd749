//! Lines of lists: what a person needs to choose one, and no step, log or payload.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use store::{AlertRow, ExperimentRow, IncidentRow, Listing, PlanRow};
use utoipa::ToSchema;
use workflow::{Estimate, Incident, RunView};

/// A page of a list, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List<T> {
    /// The lines.
    pub(crate) items: Vec<T>,
    /// `cursor` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A page of rows, each told in a line.
    pub(crate) fn of<R>(rows: Listing<R>, line: impl Fn(&R) -> T) -> Self {
        Self { items: rows.items.iter().map(line).collect(), next_cursor: rows.next }
    }
}

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlertItem {
    id: String,
    name: String,
    severity: String,
    /// `firing`, `resolved`, or `unseen`: it ended before it was ever seen firing.
    status: &'static str,
    namespace: Option<String>,
    /// Label and value: `deployment=checkout`.
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
    match (&row.incident, row.is_firing) {
        (None, _) => "unseen",
        (Some(_), true) => "firing",
        (Some(_), false) => "resolved",
    }
}

fn equation((label, value): &(String, String)) -> String {
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
            namespace: alert.hints.namespace.clone(),
            subject: equation(&alert.hints.subject),
            incident: row.incident.as_ref().map(ToString::to_string),
            episode: row.episode,
            deliveries: row.deliveries,
            defects: alert.defects.len(),
            starts_at: alert.starts_at,
            received_at: alert.received_at,
            resolved_at: row.resolved_at,
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
    /// Name of the alert that began it.
    alert: String,
    severity: String,
    namespace: String,
    /// Label and value: `deployment=checkout`.
    subject: String,
    /// Alerts of it that fire now.
    firing: usize,
    /// Every alert of it.
    alerts: usize,
    deliveries: u64,
    /// Its newest plan.
    plan: Option<String>,
    /// Its newest run.
    run: Option<String>,
    /// What was last observed.
    #[schema(value_type = Option<String>)]
    outcome: Option<workflow::outcome::Verdict>,
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
            subject: equation(&incident.subject),
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
    /// What approval binds to.
    digest: String,
    incident: String,
    /// `proposed`, `needs-approval`, `approved`, `rejected`, `running`, `done` or `withdrawn`.
    status: &'static str,
    /// Name of its workflow.
    workflow: String,
    /// Where it came from, in one word.
    source: &'static str,
    /// Probability that it resolves the incident: `{estimate, low, high}`.
    #[schema(value_type = Object)]
    confidence: Estimate,
    /// How many steps it has.
    steps: usize,
    /// Which attempt on the incident, from 1.
    attempt: u32,
    /// Why a person must approve it, where one must.
    needs_approval: Option<String>,
    run: Option<String>,
    /// How its run ended.
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
            status: row.status.as_str(),
            workflow: plan.workflow.metadata.name.clone(),
            source: plan.source.word(),
            confidence: plan.confidence,
            steps: plan.workflow.spec.steps.len(),
            attempt: plan.attempt,
            needs_approval: plan.needs_approval.clone(),
            run: row.run.as_ref().map(ToString::to_string),
            ended: row.ended,
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
    /// Why it stands there.
    why: String,
    /// How many steps it has.
    steps: usize,
    /// How many of them nothing follows for any more.
    steps_ended: usize,
    by: String,
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
            why: view.why.clone(),
            steps: view.steps.len(),
            steps_ended: view.steps.iter().filter(|step| step.ended_at.is_some()).count(),
            by: view.by.clone(),
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
    /// Alert names that take part; all where empty.
    alerts: Vec<String>,
    /// Incidents exposed, by variant.
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
