//! A whole incident as entries, so that every projection gets rows.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use workflow::entry::Review;
use workflow::experiment::ExperimentEvent;
use workflow::id::{
    AlertId, CandidateId, DecisionId, EvidenceId, ExperimentId, FeedbackId, IncidentId, OutcomeId,
    PlanId, RunId,
};
use workflow::incident::IncidentEvent;
use workflow::run::{FleetEvent, StopLevel, StopScope};
use workflow::{Digest, Draft, Entry, Event, Feedback, Guardrails, ObjectRef, Plan, RunStatus};

/// Returns the time `seconds` after 2026-01-01.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + seconds as i64).expect("a time in this century")
}

/// Builds a small entry in the stream `clock`.
pub(crate) fn tick(seconds: f64) -> Draft {
    Draft::new(at(0), Entry::ClockJumped { seconds })
}

/// Builds a small entry in `stream`.
pub(crate) fn note(stream: &str, seconds: f64) -> Draft {
    Draft { stream: stream.into(), ..tick(seconds) }
}

/// Builds an entry with a payload of at least `bytes` bytes.
pub(crate) fn large(bytes: usize) -> Draft {
    let mut guardrails = Guardrails::default();
    guardrails.metadata.description = "x".repeat(bytes);
    Draft::new(at(0), Entry::GuardrailsLoaded(guardrails))
}

fn from_json<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the sample matches its type")
}

/// Builds the records of a whole incident, from its first alert to its outcome. Each `n` has different ids.
pub(crate) fn incident_history(n: u64) -> Vec<Draft> {
    let names = SampleIds::new(n);
    let mut entries = vec![Entry::GuardrailsLoaded(Guardrails::default())];
    entries.extend(incident_events(&names).into_iter().map(Entry::Incident));
    entries.extend(planning_entries(&names));
    entries.extend(run_entries(&names));
    entries.extend(outcome_entries(&names));
    entries
        .into_iter()
        .enumerate()
        .map(|(i, entry)| Draft::new(at(n * 1_000 + i as u64), entry))
        .collect()
}

/// Ids of one sample incident.
struct SampleIds {
    n: u64,
    alerts: [AlertId; 2],
    incidents: [IncidentId; 2],
    plan: PlanId,
    run: RunId,
    decision: DecisionId,
    candidate: CandidateId,
    experiment: ExperimentId,
}

impl SampleIds {
    fn new(n: u64) -> Self {
        let now = at(n * 1_000);
        Self {
            n,
            alerts: [AlertId::derive(now, "sample", n), AlertId::derive(now, "other", n)],
            incidents: [IncidentId::derive(now, "sample", n), IncidentId::derive(now, "other", n)],
            plan: PlanId::derive(now, "sample", n),
            run: RunId::derive(now, "sample", n),
            decision: DecisionId::derive(now, "sample", n),
            candidate: CandidateId::derive(now, "sample", n),
            experiment: ExperimentId::derive(now, "sample", n),
        }
    }

    fn alert(&self, which: usize) -> Value {
        let now = at(self.n * 1_000);
        json!({"id": self.alerts[which], "source": "alertmanager", "fingerprint": format!("{:016x}", self.n), "status": "firing",
            "name": "KubePodCrashLooping", "severity": "critical", "subject": {"label": ["deployment", "checkout"]},
            "labels": {"alertname": "KubePodCrashLooping"}, "annotations": {}, "startsAt": now, "startsAtSent": now, "receivedAt": now})
    }

    fn target(&self) -> ObjectRef {
        ObjectRef {
            cluster: "sim".into(),
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: Some("shop".into()),
            name: format!("checkout-{}", self.n),
            uid: Some(format!("uid-{}", self.n)),
        }
    }

    fn features() -> Value {
        json!({"schema": Digest::ZERO, "arm": "template/restart", "values": [0.25, 1.0], "steps": []})
    }

    fn workflow() -> Value {
        json!({"apiVersion": "chiron.dev/v1alpha1", "kind": "RemediationWorkflow", "metadata": {"name": "restart"},
            "spec": {"steps": [{"id": "restart", "action": "rollout-restart", "arguments": {"replicas": 2}}]}})
    }

    fn estimates() -> Value {
        let estimate = json!({"estimate": 0.5, "low": 0.25, "high": 0.75});
        json!({"plan": estimate, "optimistic": 0.8, "observations": 3.5, "steps": [], "model": Digest::ZERO})
    }

    fn plan(&self) -> Plan {
        from_json(
            json!({"id": self.plan, "digest": Digest::ZERO, "incident": self.incidents[0], "workflow": Self::workflow(),
            "targets": [self.target()], "guardrailsVersion": "v", "candidate": self.candidate,
            "source": {"source": "escalate"}, "decision": self.decision,
            "estimates": Self::estimates(),
            "features": Self::features(), "explanation": ["matches the facts"],
            "optimization": {"changes": [], "before": [], "after": [], "removed": [], "expectedSecondsBefore": 1.5, "expectedSecondsAfter": 1},
            "attempt": 1, "needsApproval": "autonomy is approve", "createdAt": at(self.n * 1_000)}),
        )
    }
}

fn incident_events(names: &SampleIds) -> Vec<IncidentEvent> {
    let now = at(names.n * 1_000);
    let opened = |which: usize| {
        let incident = from_json(
            json!({"id": names.incidents[which], "cluster": "sim", "namespace": "shop", "subject": ["deployment", "checkout"],
            "owner": null, "first": names.alert(which), "firing": [], "alerts": [], "previous": null, "mergedInto": null,
            "openedAt": now, "quietSince": null, "closedAt": null}),
        );
        IncidentEvent::Opened { incident }
    };
    let fired = |which: usize| IncidentEvent::AlertFired {
        incident: names.incidents[which].clone(),
        alert: from_json(names.alert(which)),
        episode: 1,
    };
    let [first, second] = names.incidents.clone();
    let resolved = |which: usize| IncidentEvent::AlertResolved {
        incident: names.incidents[which].clone(),
        alert: names.alerts[which].clone(),
        delivery: "d2".into(),
        at: now,
    };
    vec![
        opened(0),
        fired(0),
        opened(1),
        fired(1),
        IncidentEvent::AlertRepeated {
            incident: first.clone(),
            alert: names.alerts[0].clone(),
            count: 3,
            delivery: "d1".into(),
        },
        IncidentEvent::OwnerFound { incident: second.clone(), owner: names.target() },
        IncidentEvent::Merged { incident: second, into: first.clone(), at: now },
        resolved(0),
        resolved(1),
        IncidentEvent::Closed { incident: first, at: now },
    ]
}

fn planning_entries(names: &SampleIds) -> Vec<Entry> {
    let now = at(names.n * 1_000);
    let incident = &names.incidents[0];
    let target = names.target();
    let evidence = json!({"id": EvidenceId::derive(now, "sample", names.n), "incident": incident, "alert": "KubePodCrashLooping",
        "target": target, "inventory": [target], "objects": [], "facts": [], "differences": [], "health": [], "logExcerpts": [],
        "summary": ["it restarts"], "missing": [], "apiCalls": 4, "at": now});
    let candidate = json!({"id": names.candidate, "incident": incident, "source": {"source": "escalate"}, "workflow": SampleIds::workflow(),
        "targets": [target], "features": SampleIds::features(), "reasons": ["it restarts"]});
    let scored = json!({"candidate": names.candidate, "arm": "template/restart", "source": "template", "workflow": "restart",
        "features": SampleIds::features(), "estimates": SampleIds::estimates(), "propensity": 1});
    let decision = json!({"id": names.decision, "incident": incident, "fingerprint": "f", "at": now, "schema": Digest::ZERO,
        "candidates": [scored], "chosen": names.candidate, "propensity": 1, "policy": "igw", "policyDigest": Digest::ZERO,
        "model": Digest::ZERO, "seed": "00", "randomDraw": 0.125, "mode": "live", "retrieved": [], "attempt": 1});
    vec![
        Entry::EvidenceGathered(from_json(evidence)),
        Entry::Proposed { incident: incident.clone(), candidates: vec![from_json(candidate)] },
        Entry::Decided(from_json(decision)),
        Entry::PlanFrozen(names.plan()),
    ]
}

fn run_entries(names: &SampleIds) -> Vec<Entry> {
    let now = at(names.n * 1_000);
    let plan = names.plan();
    let step = || "restart".to_string();
    let review = Review {
        plan: plan.id.clone(),
        digest: plan.digest,
        is_approved: true,
        actor: "ada".into(),
        reason: "fits".into(),
    };
    let stopped = FleetEvent::Stopped {
        scope: StopScope::Global,
        level: StopLevel::L1,
        actor: "ada".into(),
        reason: "drill".into(),
        at: now,
    };
    let cleared = FleetEvent::StopCleared {
        scope: StopScope::Global,
        actor: "ada".into(),
        reason: "over".into(),
        at: now,
    };
    let events = [
        Event::Started {
            plan: Box::new(plan),
            machine: 1,
            guarded: vec![names.target()],
            actor: "engine".into(),
            at: now,
        },
        Event::StepStarted { step: step(), attempt: 1, at: now },
        Event::StepSucceeded { step: step(), at: now },
        Event::Ended {
            status: RunStatus::Succeeded,
            message: "all steps succeeded".into(),
            requests_replan: false,
            at: now,
        },
    ];
    let mut entries = vec![
        Entry::PlanReviewed(review),
        Entry::Fleet(FleetEvent::Locked { object: names.target(), run: names.run.clone() }),
        Entry::Fleet(stopped),
        Entry::Fleet(cleared),
    ];
    entries.extend(events.into_iter().map(|event| Entry::Run { run: names.run.clone(), event }));
    entries
}

fn outcome_entries(names: &SampleIds) -> Vec<Entry> {
    let now = at(names.n * 1_000);
    let outcome = json!({"id": OutcomeId::derive(now, "sample", names.n), "decision": names.decision, "incident": names.incidents[0],
        "plan": names.plan, "run": names.run, "window": "stabilization", "status": "resolved", "reward": 0.875,
        "secondsToResolve": 61.5, "steps": [], "healthBefore": [], "healthAfter": [], "reasons": ["the alert ended"], "at": now});
    let execution = json!({"id": names.run, "alert": "KubePodCrashLooping", "target": names.target(), "facts": [], "signature": ["crash"],
        "workflow": SampleIds::workflow(), "features": SampleIds::features(), "outcome": "resolved", "reward": 0.875, "steps": [],
        "secondsToResolve": 61.5, "at": now, "origin": "live"});
    let feedback = Feedback {
        id: FeedbackId::derive(now, "sample", names.n),
        plan: names.plan.clone(),
        rating: None,
        correction: None,
        comment: "ok".into(),
        actor: "ada".into(),
        at: now,
    };
    let variant =
        |name: &str| json!({"name": name, "share": 0.5, "treatment": {"kind": "baseline"}});
    let experiment = from_json(
        json!({"id": names.experiment, "name": "a-b", "variants": [variant("a"), variant("b")], "alpha": 0.05,
        "minimum": 20, "status": "draft", "createdAt": now}),
    );
    let id = names.experiment.clone();
    let events = [
        ExperimentEvent::Created { experiment },
        ExperimentEvent::Started { id: id.clone(), at: now },
        ExperimentEvent::Exposed {
            id: id.clone(),
            incident: names.incidents[0].clone(),
            variant: "a".into(),
            at: now,
        },
        ExperimentEvent::Stopped { id, at: now, reason: "enough".into() },
    ];
    let mut entries = vec![
        Entry::Observed(from_json(outcome)),
        Entry::Executed(from_json(execution)),
        Entry::FeedbackGiven(feedback),
        Entry::ObjectHealthy { object: names.target(), related: Vec::new() },
    ];
    entries.extend(events.into_iter().map(Entry::Experiment));
    entries
}
