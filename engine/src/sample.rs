//! One incident with its alert, plan and run as entries, for unit tests.

use cluster::Digest;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use workflow::id::{CandidateId, DecisionId, PlanId, RunId};
use workflow::incident::{self, IncidentEvent, IncidentInput};
use workflow::{Entry, Event, Incident, Incidents, Limits, Plan, RunStatus, alertmanager};

use crate::Settings;
use crate::case::IncidentCases;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

/// The incident and its first alert.
pub(crate) fn opened() -> Vec<Entry> {
    let delivery = json!({"version": "4", "alerts": [{"status": "firing", "startsAt": at(0).to_string(),
        "labels": {"alertname": "KubePodNotReady", "namespace": "shop", "pod": "a"}}]});
    let delivery =
        alertmanager::parse(delivery.to_string().as_bytes(), &Limits::default(), at(0)).unwrap();
    let alert = IncidentInput::Alert(delivery.alerts[0].clone());
    let events = incident::decide(&Incidents::default(), &alert, at(0));
    events.into_iter().map(Entry::Incident).collect()
}

pub(crate) fn incident() -> Incident {
    match opened().remove(0) {
        Entry::Incident(IncidentEvent::Opened { incident }) => *incident,
        other => panic!("{other:?}"),
    }
}

/// The incident, folded.
pub(crate) fn incidents() -> Incidents {
    let mut incidents = Incidents::default();
    for entry in opened() {
        if let Entry::Incident(event) = entry {
            incidents.apply(&event);
        }
    }
    incidents
}

fn from_json<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn workflow() -> Value {
    json!({"apiVersion": "chiron.dev/v1alpha1", "kind": "RemediationWorkflow", "metadata": {"name": "restart"},
        "spec": {"steps": [{"id": "restart", "action": "rollout-restart", "arguments": {"replicas": 2}}]}})
}

fn features() -> Value {
    json!({"schema": Digest::ZERO, "arm": "template/restart", "values": [0.25, 1.0], "steps": []})
}

fn estimates() -> Value {
    let estimate = json!({"estimate": 0.5, "low": 0.25, "high": 0.75});
    json!({"plan": estimate, "optimistic": 0.8, "observations": 3.5, "steps": [], "model": Digest::ZERO})
}

fn template() -> Value {
    json!({"source": "template", "name": "restart", "digest": Digest::ZERO})
}

fn candidate_id(attempt: u32) -> CandidateId {
    CandidateId::derive(at(0), "sample", attempt.into())
}

fn decision_id(attempt: u32) -> DecisionId {
    DecisionId::derive(at(0), "sample", attempt.into())
}

/// The plan of the `attempt`-th decision. It needs approval.
pub(crate) fn plan(attempt: u32) -> Plan {
    from_json(
        json!({"id": PlanId::derive(at(0), "sample", attempt.into()), "digest": Digest::of(&attempt.to_be_bytes()),
        "incident": incident().id, "workflow": workflow(), "targets": [], "guardrailsVersion": "v",
        "candidate": candidate_id(attempt), "source": template(), "decision": decision_id(attempt),
        "confidence": {"estimate": 0.5, "low": 0.25, "high": 0.75}, "steps": [], "estimates": estimates(),
        "features": features(), "explanation": ["matches the facts"],
        "optimization": {"changes": [], "before": [], "after": [], "removed": [], "expectedSecondsBefore": 1.5, "expectedSecondsAfter": 1},
        "attempt": attempt, "needsApproval": "autonomy is approve", "createdAt": at(0)}),
    )
}

/// Folds a proposal and a decision, and then this plan.
pub(crate) fn freeze(cases: &mut IncidentCases, plan: Plan) {
    let incident = incident().id;
    let candidate = json!({"id": plan.candidate, "incident": incident, "source": template(), "workflow": workflow(),
        "targets": [], "features": features(), "reasons": ["it restarts"]});
    let scored = json!({"candidate": plan.candidate, "arm": "template/restart", "source": "template", "workflow": "restart",
        "features": features(), "estimates": estimates(), "propensity": 1});
    let decision = json!({"id": plan.decision, "incident": incident, "fingerprint": "f", "at": at(0), "schema": Digest::ZERO,
        "candidates": [scored], "chosen": plan.candidate, "propensity": 1, "policy": "igw", "policyDigest": Digest::ZERO,
        "model": Digest::ZERO, "seed": "00", "randomDraw": 0.125, "mode": "live", "retrieved": [], "attempt": plan.attempt});
    let proposed = Entry::Proposed { incident, candidates: vec![from_json(candidate)] };
    let entries = vec![proposed, Entry::Decided(from_json(decision)), Entry::PlanFrozen(plan)];
    apply(cases, entries);
}

/// Folds entries.
pub(crate) fn apply(cases: &mut IncidentCases, entries: Vec<Entry>) {
    entries.iter().for_each(|entry| cases.apply(at(0), entry, &Settings::default()));
}

/// The incident with its first plan, which awaits approval.
pub(crate) fn cases_with_plan() -> IncidentCases {
    let mut cases = IncidentCases::default();
    apply(&mut cases, opened());
    freeze(&mut cases, plan(1));
    cases
}

pub(crate) fn run() -> RunId {
    RunId::derive(at(0), "sample", 0)
}

/// The start of the run of a plan.
pub(crate) fn started_run(plan: &Plan) -> Entry {
    let event = Event::Started {
        plan: Box::new(plan.clone()),
        machine: 1,
        guarded: Vec::new(),
        actor: "ada".into(),
        at: at(0),
    };
    Entry::Run { run: run(), event }
}

/// A run of a plan that an operator cancelled.
pub(crate) fn cancelled_run(plan: &Plan) -> Vec<Entry> {
    let event = Event::Ended {
        status: RunStatus::Cancelled,
        message: String::new(),
        requests_replan: false,
        at: at(1),
    };
    vec![started_run(plan), Entry::Run { run: run(), event }]
}
