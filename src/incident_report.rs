//! The report of one incident, built from the record, for the JSON output of the demo.

use serde::Serialize;
use serde_json::{Value, json};
use store::{EntryError, Record};
use workflow::id::IncidentId;
use workflow::incident::IncidentEvent;
use workflow::{Alert, Decision, Entry, Evidence, Outcome, Plan, RunView};

/// One incident from its first alert to its last outcome.
#[derive(Default)]
pub(crate) struct IncidentReport {
    /// The alert that opened the incident.
    pub(crate) alert: Option<Alert>,
    pub(crate) incident: Option<IncidentId>,
    /// Decisions with their results, in order.
    pub(crate) attempts: Vec<Attempt>,
    evidence: Option<Evidence>,
}

/// One decision with its plan, run and outcomes.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    /// Evidence at the time of the decision.
    #[serde(skip)]
    pub(crate) evidence: Option<Evidence>,
    pub(crate) decision: Decision,
    pub(crate) plan: Option<Plan>,
    pub(crate) run: Option<RunView>,
    /// Outcomes after the stabilization window and after the recurrence window.
    pub(crate) outcomes: Vec<Outcome>,
}

impl IncidentReport {
    /// Builds the report of the first incident in `records`.
    pub(crate) fn of(records: &[Record]) -> Result<Self, EntryError> {
        let mut report = Self::default();
        for record in records {
            report.apply(&record.entry()?);
        }
        Ok(report)
    }

    fn is_ours(&self, incident: &IncidentId) -> bool {
        self.incident.as_ref() == Some(incident)
    }

    fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Incident(IncidentEvent::Opened { incident }) if self.incident.is_none() => {
                self.incident = Some(incident.id.clone());
                self.alert = Some(incident.first.clone());
            }
            Entry::EvidenceGathered(evidence) if self.is_ours(&evidence.incident) => {
                self.evidence = Some(evidence.clone())
            }
            Entry::Decided(decision) if self.is_ours(&decision.incident) => {
                self.attempts.push(Attempt {
                    evidence: self.evidence.clone(),
                    decision: decision.clone(),
                    plan: None,
                    run: None,
                    outcomes: Vec::new(),
                })
            }
            Entry::PlanFrozen(plan) if self.is_ours(&plan.incident) => {
                if let Some(attempt) = self.attempts.last_mut() {
                    attempt.plan = Some(plan.clone());
                }
            }
            Entry::Run { run, event } => {
                if let Some(attempt) = self.attempts.last_mut() {
                    match &mut attempt.run {
                        Some(view) if view.run == *run => view.apply(event),
                        Some(_) => {}
                        None => {
                            attempt.run = RunView::begin(run, event).filter(|view| {
                                attempt.plan.as_ref().is_some_and(|plan| plan.id == view.plan)
                            })
                        }
                    }
                }
            }
            Entry::Observed(outcome) if self.is_ours(&outcome.incident) => {
                if let Some(attempt) = self.attempts.last_mut() {
                    attempt.outcomes.push(outcome.clone());
                }
            }
            _ => {}
        }
    }

    /// Whether the last outcome is resolved.
    pub(crate) fn is_resolved(&self) -> bool {
        let outcomes = self.attempts.iter().flat_map(|attempt| &attempt.outcomes);
        outcomes.last().is_some_and(|outcome| outcome.status.is_resolved())
    }

    /// Returns the object printed by `demo --once --json`, without `timing` and `learner`, which the caller adds.
    pub(crate) fn to_json(&self) -> Value {
        let last = self.attempts.last();
        let earlier = self.attempts.len().saturating_sub(1);
        json!({
            "alert": self.alert,
            "incident": {"id": self.incident, "attempts": self.attempts.len()},
            "plan": last.and_then(Attempt::plan_json),
            "decision": last.map(Attempt::decision_json),
            "run": last.and_then(|attempt| attempt.run.as_ref()),
            "outcome": last.and_then(|attempt| attempt.outcomes.last()),
            "attempts": self.attempts[..earlier].iter().map(Attempt::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Attempt {
    fn to_json(&self) -> Value {
        json!({"plan": self.plan_json(), "decision": self.decision_json(), "run": self.run, "outcome": self.outcomes.last()})
    }

    fn plan_json(&self) -> Option<Value> {
        let plan = self.plan.as_ref()?;
        let steps = plan.workflow.spec.steps.iter().map(|step| {
            let estimate = plan.estimates.steps.iter().find(|estimate| estimate.step == step.id);
            json!({"id": step.id, "action": step.action, "arguments": step.arguments, "needs": step.needs, "estimate": estimate})
        });
        let candidates = self.decision.candidates.iter().map(|scored| {
            json!({"id": scored.candidate, "workflow": scored.workflow, "source": scored.source, "arm": scored.arm,
                "estimate": scored.estimates.plan, "propensity": scored.propensity, "rejection": scored.rejection})
        });
        Some(json!({
            "id": plan.id,
            "digest": plan.digest,
            "workflow": plan.workflow.metadata.name,
            "source": plan.source.as_str(),
            "confidence": plan.estimates.plan,
            "evidence": self.evidence.as_ref().map(|evidence| &evidence.summary),
            "explanation": plan.explanation,
            "candidates": candidates.collect::<Vec<_>>(),
            "steps": steps.collect::<Vec<_>>(),
            "optimization": plan.optimization,
            "targets": plan.targets,
            "attempt": plan.attempt,
        }))
    }

    fn decision_json(&self) -> Value {
        let propensities = self.decision.candidates.iter().map(|scored| json!({"candidate": scored.candidate, "arm": scored.arm, "propensity": scored.propensity}));
        json!({
            "id": self.decision.id,
            "policy": self.decision.policy,
            "propensities": propensities.collect::<Vec<_>>(),
            "chosen": self.decision.chosen,
            "propensity": self.decision.propensity,
            "seed": self.decision.seed,
            "randomDraw": self.decision.random_draw,
            "model": self.decision.model,
        })
    }
}
