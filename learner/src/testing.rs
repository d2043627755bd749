//! Words of the line for tests, made by a few numbers.

use workflow::decision::{Considered, Decision, DecisionMode};
use workflow::features::StepFeatures;
use workflow::feedback::Opinion;
use workflow::id::{CandidateId, DecisionId, FeedbackId, IncidentId, OutcomeId, PlanId};
use workflow::outcome::{Stage, StepOutcome, Verdict};
use workflow::{Digest, FeatureSchema, Features, Feedback, Outcome};

use crate::{ActionPrior, Beta, Chosen, Config, Model, estimate};

pub(crate) fn now() -> jiff::Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn schema(names: usize) -> FeatureSchema {
    FeatureSchema { version: 1, names: (0..names).map(|i| format!("f{i}")).collect() }
}

pub(crate) fn config() -> Config {
    let prior = |successes, failures, seconds| ActionPrior {
        success: Beta { successes, failures },
        seconds,
    };
    let actions =
        [("set-image".into(), prior(8.0, 1.0, 40.0)), ("scale".into(), prior(9.0, 1.0, 20.0))]
            .into();
    Config { actions, ..Config::default() }
}

pub(crate) fn model(names: usize) -> Model {
    Model::new(schema(names), config()).unwrap()
}

pub(crate) fn features(arm: &str, values: &[f64]) -> Features {
    let steps = match arm {
        "do-nothing" | "escalate" => vec![],
        _ => vec![StepFeatures {
            step: "s1".into(),
            action: "set-image".into(),
            bucket: "KubePodNotReady".into(),
        }],
    };
    Features {
        schema: schema(values.len()).digest(),
        arm: arm.into(),
        values: values.to_vec(),
        steps,
    }
}

pub(crate) fn decision_id(n: u64) -> DecisionId {
    let at = now() + jiff::SignedDuration::from_secs(n as i64);
    DecisionId::derive(at, "inc_test", n)
}

pub(crate) fn incident_id(n: u64) -> IncidentId {
    let at = now() + jiff::SignedDuration::from_secs(n as i64);
    IncidentId::derive(at, "test", n)
}

pub(crate) fn chosen(n: u64, features: &Features) -> Chosen {
    Chosen { decision: decision_id(n), features: features.clone() }
}

pub(crate) fn outcome(n: u64, stage: Stage, verdict: Verdict) -> Outcome {
    let reward = match verdict {
        Verdict::Resolved => Some(0.9),
        Verdict::ByPerson => Some(0.2),
        Verdict::NotResolved | Verdict::Recurred | Verdict::Worse => Some(0.0),
        Verdict::Unknown => None,
    };
    let is_resolved = verdict == Verdict::Resolved;
    Outcome {
        id: OutcomeId::derive(
            now(),
            decision_id(n).as_str(),
            u64::from(stage == Stage::Recurrence),
        ),
        decision: decision_id(n),
        incident: incident_id(n),
        plan: PlanId::derive(now(), "inc_test", n),
        run: None,
        stage,
        verdict,
        resolved: is_resolved,
        reward,
        seconds_to_resolve: None,
        steps: vec![StepOutcome {
            step: "s1".into(),
            action: "set-image".into(),
            succeeded: Some(is_resolved),
            seconds: 35.0,
        }],
        health_before: vec![],
        health_after: vec![],
        because: vec![],
        at: now(),
    }
}

pub(crate) fn feedback(n: u64, by: &str, opinion: Option<Opinion>) -> Feedback {
    Feedback {
        id: FeedbackId::derive(now(), by, n),
        plan: PlanId::derive(now(), "inc_test", n),
        opinion,
        correction: None,
        comment: String::new(),
        by: by.into(),
        at: now(),
    }
}

pub(crate) fn decision(n: u64, features: &Features, model: &Model) -> Decision {
    let candidate = CandidateId::derive(now(), "inc_test", n);
    let considered = Considered {
        candidate: candidate.clone(),
        arm: features.arm.clone(),
        source: "template".into(),
        workflow: "w".into(),
        features: features.clone(),
        estimates: estimate(model, features),
        refused: None,
        propensity: 1.0,
    };
    Decision {
        id: decision_id(n),
        incident: incident_id(n),
        fingerprint: "0011223344556677".into(),
        at: now(),
        exposure: None,
        schema: features.schema,
        options: vec![considered],
        chosen: candidate,
        propensity: 1.0,
        policy: "first".into(),
        policy_digest: Digest::ZERO,
        model: model.digest(),
        seed: "00".repeat(32),
        draw: 0.5,
        mode: DecisionMode::Live,
        retrieved: vec![],
        attempt: 1,
    }
}
