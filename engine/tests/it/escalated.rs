//! What is learned from asking a person.

use cluster::Digest;
use engine::{LearnerFold, Stage};
use store::Fold as _;
use workflow::guardrail::Autonomy;
use workflow::outcome::{Outcome, Stage as Judged, Verdict};
use workflow::{Entry, Source};

use crate::house::{House, Plan};

/// The shop with a fault that nothing is known against: it is watched once, and then a person is asked.
fn escalated() -> House {
    let plan = Plan { family: "bad-image", seed: 8, autonomy: Autonomy::Auto, templates: &[] };
    let mut house = House::build(&plan);
    house.until_first(|case| case.stage == Stage::WithPerson);
    assert_eq!(house.first().plan.as_ref().unwrap().source, Source::Escalate);
    house
}

/// What was judged of the first incident's last plan.
fn outcomes(house: &House) -> Vec<Outcome> {
    let plan = house.first().plan.as_ref().unwrap().id.clone();
    let of_it = |entry| match entry {
        Entry::Observed(outcome) if outcome.plan == plan => Some(outcome),
        _ => None,
    };
    house.entries().into_iter().filter_map(of_it).collect()
}

fn estimate(house: &House) -> f64 {
    let plan = house.first().plan.as_ref().unwrap();
    learner::estimate(house.engine.folds().learner.model(), &plan.features).plan.estimate
}

/// The learner is what a replay of the record gives, bit for bit.
fn assert_replays(house: &House) {
    let mut fold = LearnerFold::new(&actions::catalogue()).unwrap();
    for record in house.records() {
        fold.apply(&record).unwrap();
    }
    let live = house.engine.folds().learner.snapshot();
    assert_eq!(Digest::of(&fold.bytes()), Digest::of(&live));
}

#[test]
fn what_a_person_mended_is_theirs_and_asking_them_was_worth_a_little() {
    let mut house = escalated();
    let before = house.engine.folds().learner.model().outcomes();
    house.mend();
    house.until_first(|case| case.stage == Stage::Settled);
    let judged = outcomes(&house);
    let last = judged.last().unwrap();
    assert_eq!((last.stage, last.verdict), (Judged::Recurrence, Verdict::ByPerson), "{last:#?}");
    assert!(last.reward.is_some_and(|reward| 0.0 < reward && reward <= 0.25), "{:?}", last.reward);
    assert!(house.engine.folds().learner.model().outcomes() > before);
    // It is no execution that could be done again.
    let is_it = |entry: &Entry| matches!(entry, Entry::Executed(execution) if !execution.workflow.spec.steps.is_empty());
    assert!(!house.entries().iter().any(is_it));
    let incidents = &house.engine.folds().incidents.incidents;
    assert!(incidents[&house.first().incident].closed_at.is_some());
    assert_replays(&house);
}

#[test]
fn an_escalation_that_nobody_takes_up_is_a_failure_until_its_incident_closes() {
    let mut house = escalated();
    let asked = estimate(&house);
    house.until_first(|case| {
        case.outcome
            .as_ref()
            .is_some_and(|outcome| case.plan.as_ref().is_some_and(|plan| plan.id == outcome.plan))
    });
    let judged = outcomes(&house);
    assert_eq!(judged.len(), 1);
    assert_eq!((judged[0].verdict, judged[0].reward), (Verdict::NotResolved, Some(0.0)));
    assert_eq!(house.first().stage, Stage::WithPerson, "nothing follows by itself");
    let unanswered = estimate(&house);
    assert!(unanswered < asked, "{unanswered} is not below {asked}");

    // Later somebody does: what was learned is put right.
    house.seconds(3_600);
    assert_eq!(outcomes(&house).len(), 1, "it is not judged over and over");
    house.mend();
    house.until_first(|case| case.stage == Stage::Settled);
    assert_eq!(outcomes(&house).last().unwrap().verdict, Verdict::ByPerson);
    assert!(estimate(&house) > unanswered);
    assert_replays(&house);
}
