//! How far Chiron goes by itself.

use engine::Stage;
use workflow::guardrail::Autonomy;
use workflow::input::RefusedBecause;
use workflow::run::RunStatus;
use workflow::{Answer, Entry, Input};

use crate::house::{House, Plan, guardrails};

fn house(autonomy: Autonomy) -> House {
    House::build(&Plan {
        family: "bad-image",
        seed: 8,
        autonomy,
        templates: &["undo-bad-image", "restore-image", "undo-rollout"],
    })
}

fn approval(house: &House) -> Input {
    let plan = house.first().plan.as_ref().unwrap();
    Input::Review {
        plan: plan.id.clone(),
        digest: plan.digest,
        is_approved: true,
        by: "ada".into(),
        reason: "it looks right".into(),
    }
}

#[test]
fn what_is_suggested_is_shown_and_cannot_be_run_until_autonomy_is_raised() {
    let mut house = house(Autonomy::Suggest);
    house.until_first(|case| case.plan.is_some());
    let plan = house.first().plan.clone().unwrap();
    assert!(plan.source.acts() && !plan.workflow.spec.steps.is_empty(), "{:?}", plan.source);
    assert!(plan.needs_approval.as_ref().is_some_and(|why| why.contains("suggest")));
    let grounds = plan.explanation.last().unwrap();
    assert_eq!(grounds, "Nothing was learned yet: its confidence is where every plan begins.");

    house.until(20);
    assert_eq!(house.first().stage, Stage::AwaitingApproval);
    let input = approval(&house);
    match house.ask(input.clone()) {
        Answer::Refused { because, code, hint, .. } => {
            assert_eq!((because, code.as_str()), (RefusedBecause::Conflict, "suggested_only"));
            assert!(hint.contains("autonomy"), "{hint}");
        }
        other => panic!("{other:?}"),
    }
    let is_run = |entry: &Entry| matches!(entry, Entry::Run { .. } | Entry::PlanReviewed(_));
    assert!(!house.entries().iter().any(is_run));

    // Another level lets the same plan run.
    assert_eq!(house.ask(Input::Guardrails(guardrails(Autonomy::Approve))), Answer::Done);
    assert_eq!(house.ask(input), Answer::Done);
    house.until_first(|case| matches!(case.stage, Stage::Watching(_)));
    let run = house.first().run.clone().unwrap();
    assert_eq!(house.engine.fleet().view(&run).unwrap().status, RunStatus::Succeeded);
}

#[test]
fn a_suggestion_goes_with_its_incident_and_is_not_made_again() {
    let mut house = house(Autonomy::Suggest);
    house.until_first(|case| case.plan.is_some());
    // Somebody mends it by hand: the engine sees the alert end, and nothing else.
    house.mend();
    house.until(60);
    let (mut decided, mut withdrawn) = (0, 0);
    for entry in house.entries() {
        match entry {
            Entry::Decided(decision) if decision.incident == house.first().incident => decided += 1,
            Entry::PlanWithdrawn { .. } => withdrawn += 1,
            _ => {}
        }
    }
    assert_eq!(decided, 1);
    assert!(withdrawn >= 1);
    assert_eq!(house.first().stage, Stage::Settled);
    let incidents = &house.engine.folds().incidents.incidents;
    assert!(incidents.values().all(|incident| !incident.is_open()), "{incidents:?}");
}

#[test]
fn who_observes_gathers_evidence_and_proposes_nothing() {
    let mut house = house(Autonomy::Observe);
    house.until(40);
    let mut evidence = 0;
    for entry in house.entries() {
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
    let incidents = house.engine.folds().incidents.incidents.len();
    assert_eq!(evidence, incidents, "each incident is looked at once");
    assert!(house.first().target.is_some());
}
