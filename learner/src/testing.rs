//! Builders of test data.

use workflow::decision::{Decision, DecisionMode, ScoredCandidate};
use workflow::features::StepFeatures;
use workflow::feedback::Rating;
use workflow::id::{CandidateId, DecisionId, FeedbackId, IncidentId, OutcomeId, PlanId};
use workflow::outcome::{ObservationWindow, OutcomeStatus, StepOutcome};
use workflow::{Digest, FeatureSchema, Features, Feedback, Outcome};

use crate::{ActionPrior, Beta, ChosenArm, Config, Model, estimate};

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

pub(crate) fn chosen(n: u64, features: &Features) -> ChosenArm {
    ChosenArm { decision: decision_id(n), features: features.clone() }
}

pub(crate) fn outcome(n: u64, stage: ObservationWindow, status: OutcomeStatus) -> Outcome {
    let reward = match status {
        OutcomeStatus::Resolved => Some(0.9),
        OutcomeStatus::ResolvedManually => Some(0.2),
        OutcomeStatus::NotResolved | OutcomeStatus::Recurred | OutcomeStatus::Worse => Some(0.0),
        OutcomeStatus::Unknown => None,
    };
    let is_resolved = status == OutcomeStatus::Resolved;
    Outcome {
        id: OutcomeId::derive(
            now(),
            decision_id(n).as_str(),
            u64::from(stage == ObservationWindow::Recurrence),
        ),
        decision: decision_id(n),
        incident: incident_id(n),
        plan: PlanId::derive(now(), "inc_test", n),
        run: None,
        window: stage,
        status,
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
        reasons: vec![],
        at: now(),
    }
}

pub(crate) fn feedback(n: u64, actor: &str, rating: Option<Rating>) -> Feedback {
    Feedback {
        id: FeedbackId::derive(now(), actor, n),
        plan: PlanId::derive(now(), "inc_test", n),
        rating,
        correction: None,
        comment: String::new(),
        actor: actor.into(),
        at: now(),
    }
}

pub(crate) fn decision(n: u64, features: &Features, model: &Model) -> Decision {
    let candidate = CandidateId::derive(now(), "inc_test", n);
    let considered = ScoredCandidate {
        candidate: candidate.clone(),
        arm: features.arm.clone(),
        source: "template".into(),
        workflow: "w".into(),
        features: features.clone(),
        estimates: estimate(model, features),
        rejection: None,
        propensity: 1.0,
    };
    Decision {
        id: decision_id(n),
        incident: incident_id(n),
        fingerprint: "0011223344556677".into(),
        at: now(),
        exposure: None,
        schema: features.schema,
        candidates: vec![considered],
        chosen: candidate,
        propensity: 1.0,
        policy: "first".into(),
        policy_digest: Digest::ZERO,
        model: model.digest(),
        seed: "00".repeat(32),
        random_draw: 0.5,
        mode: DecisionMode::Live,
        retrieved: vec![],
        attempt: 1,
    }
}
