//! Effects of the autonomy levels.

use engine::IncidentStage;
use workflow::guardrail::Autonomy;
use workflow::input::ErrorKind;
use workflow::run::RunStatus;
use workflow::{EngineResponse, Entry, Input};

use crate::harness::{EngineHarness, HarnessConfig, guardrails};

fn harness(autonomy: Autonomy) -> EngineHarness {
    EngineHarness::build(&HarnessConfig {
        family: "bad-image",
        seed: 8,
        autonomy,
        templates: &["undo-bad-image", "restore-image", "undo-rollout"],
    })
}

fn approval(harness: &EngineHarness) -> Input {
    let plan = harness.first_case().plan().unwrap();
    Input::Review {
        plan: plan.id.clone(),
        digest: plan.digest,
        is_approved: true,
        actor: "ada".into(),
        reason: "it looks right".into(),
    }
}

/// A plan made under `autonomy: suggest` cannot be approved until the autonomy is raised.
#[test]
fn suggested_plan_cannot_run_until_autonomy_is_raised() {
    let mut harness = harness(Autonomy::Suggest);
    harness.run_until_first_case(|case| case.plan().is_some());
    let plan = harness.first_case().plan().cloned().unwrap();
    assert!(plan.source.has_effects() && !plan.workflow.spec.steps.is_empty(), "{:?}", plan.source);
    assert!(plan.needs_approval.as_ref().is_some_and(|message| message.contains("suggest")));
    let confidence_basis = plan.explanation.last().unwrap();
    assert_eq!(
        confidence_basis,
        "No outcomes have been observed yet: its confidence is the initial value."
    );

    harness.run_until_minutes(20);
    assert!(matches!(harness.first_case().stage, IncidentStage::AwaitingApproval { .. }));
    let input = approval(&harness);
    match harness.send(input.clone()) {
        EngineResponse::Refused { kind, code, hint, .. } => {
            assert_eq!((kind, code.as_str()), (ErrorKind::Conflict, "suggested_only"));
            assert!(hint.contains("autonomy"), "{hint}");
        }
        other => panic!("{other:?}"),
    }
    let is_run = |entry: &Entry| matches!(entry, Entry::Run { .. } | Entry::PlanReviewed(_));
    assert!(!harness.entries().iter().any(is_run));

    // After raising the autonomy, the same plan can be approved and executed.
    assert_eq!(
        harness.send(Input::Guardrails(guardrails(Autonomy::Approve))),
        EngineResponse::Done
    );
    assert_eq!(harness.send(input), EngineResponse::Done);
    harness
        .run_until_first_case(|case| matches!(case.stage, IncidentStage::RecurrenceWatch { .. }));
    let run = harness.first_case().run().cloned().unwrap();
    assert_eq!(harness.engine.fleet().view(&run).unwrap().status, RunStatus::Succeeded);
}

/// A suggested plan is withdrawn when its incident closes, and no second decision is made.
#[test]
fn suggested_plan_is_withdrawn_when_incident_closes() {
    let mut harness = harness(Autonomy::Suggest);
    harness.run_until_first_case(|case| case.plan().is_some());
    // An operator fixes it manually: the engine only sees the alert resolve.
    harness.apply_fix();
    harness.run_until_minutes(60);
    let (mut decided, mut withdrawn) = (0, 0);
    for entry in harness.entries() {
        match entry {
            Entry::Decided(decision) if decision.incident == harness.first_case().incident => {
                decided += 1
            }
            Entry::PlanWithdrawn { .. } => withdrawn += 1,
            _ => {}
        }
    }
    assert_eq!(decided, 1);
    assert!(withdrawn >= 1);
    assert_eq!(harness.first_case().stage, IncidentStage::Closed);
    let incidents = &harness.engine.folds().incidents.incidents;
    assert!(incidents.values().all(|incident| !incident.is_open()), "{incidents:?}");
}

#[test]
fn observe_collects_evidence_and_proposes_nothing() {
    let mut harness = harness(Autonomy::Observe);
    harness.run_until_minutes(40);
    let mut evidence = 0;
    for entry in harness.entries() {
        match entry {
            Entry::EvidenceGathered(_) => evidence += 1,
            Entry::Proposed { .. }
            | Entry::Decided(_)
            | Entry::PlanFrozen(_)
            | Entry::Run { .. } => {
                panic!("{entry:?}")
            }
            _ => {}
        }
    }
    let incidents = harness.engine.folds().incidents.incidents.len();
    assert_eq!(evidence, incidents, "evidence is collected once per incident");
    assert!(harness.first_case().evidence.target.is_some());
}
