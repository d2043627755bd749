//! Outcomes of escalations.

use cluster::Digest;
use engine::{IncidentStage, LearnerFold};
use store::VerifiedFold as _;
use workflow::guardrail::Autonomy;
use workflow::outcome::{ObservationWindow, Outcome, OutcomeStatus};
use workflow::{Entry, Source};

use crate::harness::{EngineHarness, HarnessConfig};

/// A harness without candidates for its fault: the engine does nothing once, then escalates.
fn escalated_harness() -> EngineHarness {
    let plan =
        HarnessConfig { family: "bad-image", seed: 8, autonomy: Autonomy::Auto, templates: &[] };
    let mut harness = EngineHarness::build(&plan);
    harness.run_until_first_case(|case| case.stage == IncidentStage::Escalated);
    assert_eq!(harness.first_case().plan().unwrap().source, Source::Escalate);
    harness
}

/// Outcomes of the first incident's last plan.
fn outcomes(harness: &EngineHarness) -> Vec<Outcome> {
    let plan = harness.first_case().plan().unwrap().id.clone();
    let of_it = |entry| match entry {
        Entry::Observed(outcome) if outcome.plan == plan => Some(outcome),
        _ => None,
    };
    harness.entries().into_iter().filter_map(of_it).collect()
}

fn estimate(harness: &EngineHarness) -> f64 {
    let plan = harness.first_case().plan().unwrap();
    learner::estimate(harness.engine.folds().learner.model(), &plan.features).plan.estimate
}

/// Asserts that a replay of the record gives exactly the same learner.
fn assert_replays(harness: &EngineHarness) {
    let mut fold = LearnerFold::new(&actions::catalogue()).unwrap();
    for record in harness.records() {
        fold.apply(&record).unwrap();
    }
    let live = harness.engine.folds().learner.snapshot();
    assert_eq!(Digest::of(&fold.bytes()), Digest::of(&live));
}

/// A fix by an operator after an escalation is recorded as a manual resolution, and the escalation gets a small reward.
#[test]
fn manual_fix_after_escalation_earns_a_small_reward() {
    let mut harness = escalated_harness();
    let before = harness.engine.folds().learner.model().outcomes();
    harness.apply_fix();
    harness.run_until_first_case(|case| case.stage == IncidentStage::Closed);
    let recorded = outcomes(&harness);
    let last = recorded.last().unwrap();
    assert_eq!(
        (last.window, last.status),
        (ObservationWindow::Recurrence, OutcomeStatus::ResolvedManually),
        "{last:#?}"
    );
    assert!(last.reward.is_some_and(|reward| 0.0 < reward && reward <= 0.25), "{:?}", last.reward);
    assert!(harness.engine.folds().learner.model().outcomes() > before);
    // An escalation leaves no execution that could be retrieved.
    let is_it = |entry: &Entry| matches!(entry, Entry::Executed(execution) if !execution.workflow.spec.steps.is_empty());
    assert!(!harness.entries().iter().any(is_it));
    let incidents = &harness.engine.folds().incidents.incidents;
    assert!(incidents[&harness.first_case().incident].closed_at.is_some());
    assert_replays(&harness);
}

/// An escalation without a reaction counts as a failure; a later fix corrects what was learned.
#[test]
fn unanswered_escalation_fails_until_incident_closes() {
    let mut harness = escalated_harness();
    let before = estimate(&harness);
    harness.run_until_first_case(|case| {
        case.outcome()
            .is_some_and(|outcome| case.plan().is_some_and(|plan| plan.id == outcome.plan))
    });
    let recorded = outcomes(&harness);
    assert_eq!(recorded.len(), 1);
    assert_eq!((recorded[0].status, recorded[0].reward), (OutcomeStatus::NotResolved, Some(0.0)));
    assert_eq!(
        harness.first_case().stage,
        IncidentStage::Escalated,
        "nothing happens automatically"
    );
    let unanswered = estimate(&harness);
    assert!(unanswered < before, "{unanswered} is not below {before}");

    // A later fix corrects what was learned.
    harness.run_for_seconds(3_600);
    assert_eq!(outcomes(&harness).len(), 1, "the outcome is recorded once");
    harness.apply_fix();
    harness.run_until_first_case(|case| case.stage == IncidentStage::Closed);
    assert_eq!(outcomes(&harness).last().unwrap().status, OutcomeStatus::ResolvedManually);
    assert!(estimate(&harness) > unanswered);
    assert_replays(&harness);
}
