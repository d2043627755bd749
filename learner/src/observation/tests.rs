use workflow::Features;
use workflow::outcome::ObservationWindow;

use super::*;
use crate::testing::{chosen, config, decision_id, features, feedback, model, outcome, schema};
use crate::{Config, MergeError, Model, estimate};

fn observe(
    model: &mut Model,
    n: u64,
    features: &Features,
    stage: ObservationWindow,
    status: OutcomeStatus,
) -> Result<LearningResult, InvalidObservation> {
    let (chosen, outcome) = (chosen(n, features), outcome(n, stage, status));
    update(model, &Observation::Outcome { chosen: &chosen, outcome: &outcome })
}

fn rate(
    model: &mut Model,
    n: u64,
    features: &Features,
    actor: &str,
    rating: Rating,
) -> Result<LearningResult, InvalidObservation> {
    let (chosen, feedback) = (chosen(n, features), feedback(n, actor, Some(rating)));
    update(model, &Observation::Feedback { chosen: &chosen, feedback: &feedback })
}

fn is_near(a: &Model, b: &Model, features: &Features) -> bool {
    let (a, b) = (estimate(a, features), estimate(b, features));
    (a.plan.estimate - b.plan.estimate).abs() < 1e-9
        && (a.optimistic - b.optimistic).abs() < 1e-9
        && (a.observations - b.observations).abs() < 1e-9
}

fn candidate() -> Features {
    features("template/good", &[1.0, 0.25, 0.5])
}

#[test]
fn manual_resolution_counts_as_escalation_reward_not_success() {
    let asked = features("escalate", &[1.0, 0.25, 0.5]);
    let after = |status| {
        let mut model = model(3);
        for n in 0..40 {
            observe(&mut model, n, &asked, ObservationWindow::Stabilization, status).unwrap();
        }
        estimate(&model, &asked).plan.estimate
    };
    let [by_person, resolved, not] =
        [OutcomeStatus::ResolvedManually, OutcomeStatus::Resolved, OutcomeStatus::NotResolved]
            .map(after);
    assert!(not < 0.1 && 0.1 < by_person && by_person < 0.3, "{not} {by_person}");
    assert!(resolved > 0.8, "{resolved}");

    // A failure that is corrected to a manual resolution gives the same model as a manual resolution from the start.
    let (mut corrected, mut right) = (model(3), model(3));
    observe(
        &mut corrected,
        1,
        &asked,
        ObservationWindow::Stabilization,
        OutcomeStatus::NotResolved,
    )
    .unwrap();
    let late = observe(
        &mut corrected,
        1,
        &asked,
        ObservationWindow::Recurrence,
        OutcomeStatus::ResolvedManually,
    )
    .unwrap();
    observe(
        &mut right,
        1,
        &asked,
        ObservationWindow::Stabilization,
        OutcomeStatus::ResolvedManually,
    )
    .unwrap();
    assert_eq!(late, LearningResult::Corrected);
    assert!(is_near(&corrected, &right, &asked));
}

#[test]
fn recurrence_outcome_replaces_stabilization_outcome_exactly() {
    let (mut corrected, mut right) = (model(3), model(3));
    for n in 0..40 {
        let values = [workflow::seed::uniform01("v", &n.to_string()), 0.5, 0.25];
        for model in [&mut corrected, &mut right] {
            observe(
                model,
                n,
                &features("template/good", &values),
                ObservationWindow::Stabilization,
                OutcomeStatus::Resolved,
            )
            .unwrap();
        }
        if n == 10 {
            // One model learns the recurrence immediately, the other as a later correction. The step outcomes are the
            // same.
            let mut immediate =
                outcome(100, ObservationWindow::Stabilization, OutcomeStatus::Resolved);
            immediate.status = OutcomeStatus::Recurred;
            immediate.reward = Some(0.0);
            let chosen = chosen(100, &candidate());
            update(&mut right, &Observation::Outcome { chosen: &chosen, outcome: &immediate })
                .unwrap();
            observe(
                &mut corrected,
                100,
                &candidate(),
                ObservationWindow::Stabilization,
                OutcomeStatus::Resolved,
            )
            .unwrap();
        }
    }
    assert!(!is_near(&corrected, &right, &candidate()));
    assert_eq!(
        observe(
            &mut corrected,
            100,
            &candidate(),
            ObservationWindow::Recurrence,
            OutcomeStatus::Recurred
        ),
        Ok(LearningResult::Corrected)
    );
    assert!(
        is_near(&corrected, &right, &candidate()),
        "{:?} {:?}",
        estimate(&corrected, &candidate()),
        estimate(&right, &candidate())
    );
}

/// Bad-input row M5: a duplicate outcome is learned once.
#[test]
fn duplicate_outcome_is_learned_once() {
    let mut model = model(3);
    assert_eq!(
        observe(
            &mut model,
            1,
            &candidate(),
            ObservationWindow::Stabilization,
            OutcomeStatus::Resolved
        ),
        Ok(LearningResult::Added)
    );
    let once = model.clone();
    for _ in 0..50 {
        assert_eq!(
            observe(
                &mut model,
                1,
                &candidate(),
                ObservationWindow::Stabilization,
                OutcomeStatus::Resolved
            ),
            Ok(LearningResult::Duplicate)
        );
        assert_eq!(
            observe(
                &mut model,
                1,
                &candidate(),
                ObservationWindow::Stabilization,
                OutcomeStatus::Worse
            ),
            Ok(LearningResult::Duplicate)
        );
    }
    assert_eq!(model, once);
    assert_eq!(
        observe(
            &mut model,
            1,
            &candidate(),
            ObservationWindow::Recurrence,
            OutcomeStatus::Resolved
        ),
        Ok(LearningResult::Corrected)
    );
    assert!(is_near(&model, &once, &candidate()));
    assert_eq!(
        observe(
            &mut model,
            1,
            &candidate(),
            ObservationWindow::Stabilization,
            OutcomeStatus::Worse
        ),
        Ok(LearningResult::Duplicate)
    );
}

/// Bad-input row M5: the ratings of a decision are capped, and a second rating by the same operator replaces the first.
#[test]
fn ratings_are_capped_and_second_rating_replaces_first() {
    let mut model = model(3);
    let before = estimate(&model, &candidate()).plan.estimate;
    assert_eq!(rate(&mut model, 1, &candidate(), "ana", Rating::Right), Ok(LearningResult::Added));
    let pleased = estimate(&model, &candidate()).plan.estimate;
    assert!(pleased > before);
    assert_eq!(
        rate(&mut model, 1, &candidate(), "ana", Rating::Right),
        Ok(LearningResult::Duplicate)
    );
    assert_eq!(
        rate(&mut model, 1, &candidate(), "ana", Rating::Wrong),
        Ok(LearningResult::Corrected)
    );
    assert!(estimate(&model, &candidate()).plan.estimate < before);
    for actor in ["bo", "cy", "di"] {
        assert_eq!(
            rate(&mut model, 1, &candidate(), actor, Rating::Wrong),
            Ok(LearningResult::Added)
        );
    }
    let capped = model.clone();
    for n in 0..100 {
        assert_eq!(
            rate(&mut model, 1, &candidate(), &format!("sock{n}"), Rating::Wrong),
            Ok(LearningResult::Capped)
        );
    }
    assert_eq!(model, capped);
}

#[test]
fn rating_weighs_less_than_outcome() {
    let (mut rated, mut observed) = (model(3), model(3));
    rate(&mut rated, 1, &candidate(), "ana", Rating::Wrong).unwrap();
    observe(
        &mut observed,
        1,
        &candidate(),
        ObservationWindow::Stabilization,
        OutcomeStatus::NotResolved,
    )
    .unwrap();
    let of = |model: &Model| estimate(model, &candidate()).plan.estimate;
    assert!(of(&observed) < of(&rated) && of(&rated) < of(&model(3)));
}

#[test]
fn correction_without_rating_counts_as_wrong_and_comment_is_ignored() {
    let mut model = model(3);
    let chosen = chosen(1, &candidate());
    let mut comment = feedback(1, "ana", None);
    assert_eq!(
        update(&mut model, &Observation::Feedback { chosen: &chosen, feedback: &comment }),
        Ok(LearningResult::Ignored)
    );
    let before = estimate(&model, &candidate()).plan.estimate;
    comment.correction = Some(workflow::Workflow {
        api_version: workflow::manifest::API_VERSION.into(),
        kind: "RemediationWorkflow".into(),
        metadata: workflow::manifest::ManifestMetadata::default(),
        spec: workflow::manifest::WorkflowSpec::default(),
    });
    assert_eq!(
        update(&mut model, &Observation::Feedback { chosen: &chosen, feedback: &comment }),
        Ok(LearningResult::Added)
    );
    assert!(estimate(&model, &candidate()).plan.estimate < before);
}

#[test]
fn unknown_outcome_is_censored() {
    let mut model = model(3);
    let before = estimate(&model, &candidate());
    let (chosen, mut censored) = (
        chosen(1, &candidate()),
        outcome(1, ObservationWindow::Stabilization, OutcomeStatus::Unknown),
    );
    censored.steps.clear();
    assert_eq!(
        update(&mut model, &Observation::Outcome { chosen: &chosen, outcome: &censored }),
        Ok(LearningResult::Censored)
    );
    assert_eq!(estimate(&model, &candidate()), before);
    assert_eq!(model.outcomes(), 0);
    // An outcome that is known only at the end of the recurrence window is added then.
    assert_eq!(
        observe(
            &mut model,
            1,
            &candidate(),
            ObservationWindow::Recurrence,
            OutcomeStatus::Resolved
        ),
        Ok(LearningResult::Added)
    );
    // An outcome without a reward is censored too, whatever its status.
    let mut unrewarded = outcome(2, ObservationWindow::Stabilization, OutcomeStatus::NotResolved);
    unrewarded.reward = None;
    let chosen = self::chosen(2, &candidate());
    assert_eq!(
        update(&mut model, &Observation::Outcome { chosen: &chosen, outcome: &unrewarded }),
        Ok(LearningResult::Censored)
    );
}

/// Bad-input row M3: observations with non-finite features or rewards out of range leave the model unchanged.
#[test]
fn update_rejects_invalid_features_and_rewards() {
    let mut model = model(3);
    observe(&mut model, 0, &candidate(), ObservationWindow::Stabilization, OutcomeStatus::Resolved)
        .unwrap();
    let before = model.clone();
    for bad in [f64::NAN, f64::INFINITY, 1e308] {
        let features = features("template/good", &[bad, 0.0, 0.0]);
        assert!(matches!(
            observe(
                &mut model,
                1,
                &features,
                ObservationWindow::Stabilization,
                OutcomeStatus::Resolved
            ),
            Err(InvalidObservation::Features { .. })
        ));
        assert!(matches!(
            rate(&mut model, 1, &features, "ana", Rating::Right),
            Err(InvalidObservation::Features { .. })
        ));
    }
    for bad in [f64::NAN, -0.1, 1.5, f64::INFINITY] {
        let (chosen, mut outcome) = (
            chosen(1, &candidate()),
            outcome(1, ObservationWindow::Stabilization, OutcomeStatus::Resolved),
        );
        outcome.reward = Some(bad);
        assert!(matches!(
            update(&mut model, &Observation::Outcome { chosen: &chosen, outcome: &outcome }),
            Err(InvalidObservation::Reward { .. })
        ));
    }
    let (chosen, mismatched) = (
        chosen(1, &candidate()),
        outcome(2, ObservationWindow::Stabilization, OutcomeStatus::Resolved),
    );
    let refused =
        update(&mut model, &Observation::Outcome { chosen: &chosen, outcome: &mismatched });
    assert_eq!(
        refused,
        Err(InvalidObservation::DecisionMismatch {
            expected: decision_id(1),
            found: decision_id(2)
        })
    );
    assert_eq!(model, before);
}

#[test]
fn faster_of_two_successful_arms_has_higher_optimistic_value() {
    let mut model = model(3);
    for n in 0..40 {
        let arm = if n % 2 == 0 { "template/quick" } else { "template/slow" };
        let (chosen, mut outcome) = (
            chosen(n, &features(arm, &[1.0, 0.0, 0.0])),
            outcome(n, ObservationWindow::Stabilization, OutcomeStatus::Resolved),
        );
        outcome.reward = Some(if n % 2 == 0 { 1.0 } else { 0.4 });
        update(&mut model, &Observation::Outcome { chosen: &chosen, outcome: &outcome }).unwrap();
    }
    let (quick, slow) = (
        estimate(&model, &features("template/quick", &[1.0, 0.0, 0.0])),
        estimate(&model, &features("template/slow", &[1.0, 0.0, 0.0])),
    );
    assert!(quick.optimistic > slow.optimistic + 0.2);
    // The success probability is the same.
    assert!((quick.plan.estimate - slow.plan.estimate).abs() < 0.02);
}

#[test]
fn merged_model_equals_model_trained_on_both_histories() {
    let plain = || Model::new(schema(3), Config { arm_discount: 1.0, ..config() }).unwrap();
    let (mut first, mut second, mut both) = (plain(), plain(), plain());
    for n in 0..60u64 {
        let values = [workflow::seed::uniform01("v", &n.to_string()), 0.5, 0.25];
        let status = if n % 3 == 0 { OutcomeStatus::NotResolved } else { OutcomeStatus::Resolved };
        let one = if n % 2 == 0 { &mut first } else { &mut second };
        for model in [one, &mut both] {
            observe(
                model,
                n,
                &features("template/good", &values),
                ObservationWindow::Stabilization,
                status,
            )
            .unwrap();
        }
    }
    first.merge(&second).unwrap();
    assert!(is_near(&first, &both, &candidate()));
    assert_eq!(first.outcomes(), both.outcomes());
    let of = |model: &Model| estimate(model, &candidate()).steps[0].seconds.estimate;
    assert!((of(&first) - of(&both)).abs() < 1e-9);
    let discounted = model(3);
    assert!(matches!(
        first.merge(&discounted),
        Err(MergeError::Different { what: "configuration" })
    ));
    assert!(matches!(model(3).merge(&discounted), Err(MergeError::Discounted)));
}

#[test]
fn pending_decisions_are_bounded() {
    let mut model =
        Model::new(schema(3), Config { max_pending_decisions: 10, ..config() }).unwrap();
    for n in 0..50 {
        observe(
            &mut model,
            n,
            &candidate(),
            ObservationWindow::Stabilization,
            OutcomeStatus::Resolved,
        )
        .unwrap();
    }
    assert_eq!(model.credited.len(), 10);
    assert!(
        model.credited.contains_key(&decision_id(49))
            && !model.credited.contains_key(&decision_id(0))
    );
}
