use proptest::prelude::*;
use workflow::outcome::{ObservationWindow, OutcomeStatus};
use workflow::{Features, Mask};

use super::*;
use crate::testing::{chosen, config, decision_id, features, model, outcome, schema};
use crate::{Config, InvalidFeatures, Model, Observation, policy, update};

fn observe(model: &mut Model, n: u64, features: &Features, status: OutcomeStatus) {
    let (chosen, outcome) =
        (chosen(n, features), outcome(n, ObservationWindow::Stabilization, status));
    update(model, &Observation::Outcome { chosen: &chosen, outcome: &outcome }).unwrap();
}

/// Returns a model trained with one arm that always succeeds and one that always fails.
fn trained_model(outcomes: u64) -> Model {
    let mut model = model(3);
    for n in 0..outcomes {
        let (arm, status) = if n % 2 == 0 {
            ("template/good", OutcomeStatus::Resolved)
        } else {
            ("template/bad", OutcomeStatus::NotResolved)
        };
        let wobble = workflow::seed::uniform01("past", &n.to_string());
        observe(
            &mut model,
            n,
            &features(arm, &[if n % 2 == 0 { 1.0 } else { 0.0 }, wobble, 1.0]),
            status,
        );
    }
    model
}

#[test]
fn estimate_falls_below_interval_after_twenty_failures() {
    for outcomes in [0, 10, 80, 400] {
        let mut model = trained_model(outcomes);
        let candidate = features("template/good", &[1.0, 0.5, 1.0]);
        let before = estimate(&model, &candidate).plan;
        for n in 0..20 {
            observe(&mut model, 10_000 + n, &candidate, OutcomeStatus::NotResolved);
        }
        let after = estimate(&model, &candidate).plan;
        assert!(after.estimate < before.estimate, "after {outcomes}: {before:?} to {after:?}");
        assert!(after.high < before.estimate, "after {outcomes}: {before:?} to {after:?}");
    }
}

#[test]
fn interval_shrinks_with_outcomes() {
    let candidate = features("template/good", &[1.0, 0.5, 1.0]);
    let widths: Vec<f64> = [0, 20, 100, 400]
        .iter()
        .map(|outcomes| {
            let plan = estimate(&trained_model(*outcomes), &candidate).plan;
            plan.high - plan.low
        })
        .collect();
    assert!(widths.windows(2).all(|pair| pair[1] < pair[0]), "{widths:?}");
}

/// In the training data, the first feature is 1 for successes and 0 for failures, and the second is unrelated.
#[test]
fn estimate_grows_with_the_feature_that_predicts_success() {
    let model = trained_model(60);
    let of = |first: f64, second: f64| {
        estimate(&model, &features("template/good", &[first, second, 1.0])).plan.estimate
    };
    let growing: Vec<f64> = (0..=20).map(|i| of(f64::from(i) / 20.0, 0.5)).collect();
    assert!(growing.windows(2).all(|pair| pair[0] < pair[1]), "{growing:?}");
    let predictive = growing[20] - growing[0];
    let unrelated = (of(1.0, 1.0) - of(1.0, 0.0)).abs();
    assert!(predictive > 0.2, "{predictive}");
    assert!(unrelated < predictive / 4.0, "{unrelated} and {predictive}");
}

#[test]
fn igw_prefers_successful_arm_with_high_probability() {
    let model = trained_model(80);
    let id = |n| workflow::id::CandidateId::derive(crate::testing::now(), "inc", n);
    let list = [
        (id(0), estimate(&model, &features("template/good", &[1.0, 0.5, 1.0]))),
        (id(1), estimate(&model, &features("template/bad", &[0.0, 0.5, 1.0]))),
        (id(2), estimate(&model, &features("do-nothing", &[0.0, 0.5, 1.0]))),
        (id(3), estimate(&model, &features("escalate", &[0.0, 0.5, 1.0]))),
    ];
    let choice = policy("igw").unwrap().decide(&list, &Mask::new(), [5; 32]).unwrap();
    assert!(choice.propensity(&id(0)) >= 0.9, "{choice:?} of {list:?}");
}

#[test]
fn untrained_model_uses_configured_priors() {
    let model = model(3);
    let plan = estimate(&model, &features("template/good", &[1.0, 0.5, 1.0]));
    let idle = estimate(&model, &features("do-nothing", &[0.0, 0.0, 0.0]));
    assert!(plan.plan.estimate > 0.4 && plan.plan.estimate < 0.5, "{plan:?}");
    assert!(idle.plan.estimate < 0.2 && idle.steps.is_empty());
    assert!((plan.steps[0].success.estimate - 8.0 / 9.0).abs() < 1e-12);
    assert!(plan.steps[0].seconds.low < 40.0 && 40.0 < plan.steps[0].seconds.high);
    assert_eq!(plan.observations, 0.0);
}

#[test]
fn new_arm_uses_shared_weights() {
    let model = trained_model(200);
    let alike = estimate(&model, &features("template/new", &[1.0, 0.5, 1.0]));
    let unlike = estimate(&model, &features("template/new", &[0.0, 0.5, 1.0]));
    assert!(alike.plan.estimate > 0.7, "{alike:?}");
    assert!(unlike.plan.estimate < 0.3, "{unlike:?}");
    // The new arm has no outcomes of its own, so its interval is wider.
    let known = estimate(&model, &features("template/good", &[1.0, 0.5, 1.0]));
    assert!(alike.plan.high - alike.plan.low > known.plan.high - known.plan.low);
}

#[test]
fn step_estimate_depends_on_bucket_and_shares_strength() {
    let mut model = model(3);
    for n in 0..30 {
        observe(
            &mut model,
            n,
            &features("template/good", &[1.0, 0.5, 1.0]),
            OutcomeStatus::NotResolved,
        );
    }
    let mut elsewhere = features("template/good", &[1.0, 0.5, 1.0]);
    elsewhere.steps[0].bucket = "AnotherAlert".into();
    let here = estimate(&model, &features("template/good", &[1.0, 0.5, 1.0])).steps[0].success;
    let there = estimate(&model, &elsewhere).steps[0].success;
    assert!(here.estimate < there.estimate && there.estimate < 8.0 / 9.0, "{here:?} {there:?}");
    assert!(there.high - there.low > here.high - here.low);
}

/// Bad-input row M2: features of another schema or length are rejected.
#[test]
fn check_rejects_features_of_wrong_schema_or_length() {
    let model = model(3);
    let short = Features { values: vec![1.0], ..features("a", &[0.0, 0.0, 0.0]) };
    assert_eq!(model.check(&short), Err(InvalidFeatures::Length { expected: 3, found: 1 }));
    let found = schema(4).digest();
    assert_eq!(
        model.check(&features("a", &[0.0; 4])),
        Err(InvalidFeatures::SchemaMismatch { expected: schema(3).digest(), found })
    );
}

/// Bad-input row M3: non-finite features are rejected, and the estimate uses the priors alone.
#[test]
fn check_rejects_non_finite_features_and_estimate_uses_priors() {
    let model = trained_model(40);
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308, -1e308] {
        let features = features("template/good", &[1.0, bad, 1.0]);
        let refused = model.check(&features).unwrap_err();
        assert!(
            matches!(&refused, InvalidFeatures::OutOfRange { name, .. } if name == "f1"),
            "{refused}"
        );
        let estimates = estimate(&model, &features);
        let plan = estimates.plan;
        assert!(
            0.0 <= plan.low
                && plan.low <= plan.estimate
                && plan.estimate <= plan.high
                && plan.high <= 1.0,
            "{plan:?}"
        );
        assert!(estimates.optimistic.is_finite());
        assert_eq!(estimates.observations, 0.0);
    }
}

/// Bad-input row M4: a single outcome, or outcomes that are all the same, leave the estimates in range.
#[test]
fn estimate_stays_in_range_for_uniform_outcomes() {
    for (count, status) in [
        (1, OutcomeStatus::Resolved),
        (1, OutcomeStatus::Worse),
        (500, OutcomeStatus::Resolved),
        (500, OutcomeStatus::NotResolved),
    ] {
        let mut model = model(3);
        let candidate = features("template/good", &[1.0, 1.0, 1.0]);
        for n in 0..count {
            observe(&mut model, n, &candidate, status);
        }
        let plan = estimate(&model, &candidate).plan;
        assert!(0.0 < plan.estimate && plan.estimate < 1.0, "{plan:?}");
        assert!(plan.low < plan.estimate && plan.estimate < plan.high, "{plan:?}");
    }
}

/// Simulates `rounds` incidents of four kinds with five arms, and returns the number of resolved incidents.
///
/// Each kind is resolved by one arm.
fn simulate(name: &str, rounds: u64) -> u64 {
    let mut model = Model::new(schema(9), config()).unwrap();
    let policy = policy(name).unwrap();
    let mut resolved = 0;
    for round in 0..rounds {
        let draw = |what: &str| workflow::seed::uniform01(what, &round.to_string());
        let kind = (draw("kind") * 4.0) as usize;
        let options: Vec<_> = (0..5)
            .map(|arm| {
                let mut values = vec![0.0; 9];
                values[arm] = 1.0;
                values[5 + kind] = 1.0;
                let mut candidate = features(&format!("template/{arm}"), &values);
                // The shared weights have no interaction of arm and kind; the arm's own residual captures it.
                candidate.arm = format!("template/{arm}/{kind}");
                (
                    workflow::id::CandidateId::derive(crate::testing::now(), "inc", arm as u64),
                    candidate,
                )
            })
            .collect();
        let estimates: Vec<_> =
            options.iter().map(|(id, features)| (id.clone(), estimate(&model, features))).collect();
        let choice = policy
            .decide(&estimates, &Mask::new(), workflow::seed::seed("round", &round.to_string()))
            .unwrap();
        let arm = options.iter().position(|(id, _)| *id == choice.chosen).unwrap();
        let chance = if arm == kind + 1 { 0.95 } else { 0.05 };
        let status = if draw("luck") < chance {
            OutcomeStatus::Resolved
        } else {
            OutcomeStatus::NotResolved
        };
        resolved += u64::from(status == OutcomeStatus::Resolved);
        observe(&mut model, round, &options[arm].1, status);
    }
    resolved
}

#[test]
fn igw_learns_best_arm_per_incident_kind_and_first_does_not() {
    let (igw, first) = (simulate("igw", 400), simulate("first", 400));
    assert!(igw >= 320, "resolved {igw} of 400");
    assert!(first <= 60, "resolved {first} of 400");
}

#[test]
fn estimates_are_calibrated() {
    let mut model = Model::new(schema(4), Config { arm_discount: 1.0, ..config() }).unwrap();
    // Sums per decile of the estimate: count, estimates, resolved incidents.
    let mut tenths = [(0.0, 0.0, 0.0); 10];
    for n in 0..3000u64 {
        let draw = |what: &str| workflow::seed::uniform01(what, &n.to_string());
        let values = [draw("a"), draw("b"), if draw("c") < 0.5 { 1.0 } else { 0.0 }, draw("d")];
        let truth = 0.1 + 0.4 * values[0] + 0.4 * values[2];
        let candidate =
            features(if draw("arm") < 0.5 { "template/x" } else { "template/y" }, &values);
        let has_resolved = draw("luck") < truth;
        if n >= 200 {
            let plan = estimate(&model, &candidate).plan.estimate;
            let tenth = &mut tenths[((plan * 10.0) as usize).min(9)];
            *tenth = (tenth.0 + 1.0, tenth.1 + plan, tenth.2 + f64::from(u8::from(has_resolved)));
        }
        observe(
            &mut model,
            n,
            &candidate,
            if has_resolved { OutcomeStatus::Resolved } else { OutcomeStatus::NotResolved },
        );
    }
    let error: f64 =
        tenths.iter().map(|(_, estimated, resolved)| (estimated - resolved).abs()).sum::<f64>()
            / 2800.0;
    assert!(error <= 0.05, "expected calibration error {error:.4}: {tenths:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn estimates_are_finite_and_in_range_for_any_history(
        observations in prop::collection::vec((prop::collection::vec(-3.0..3.0f64, 3), 0..4usize, any::<bool>()), 0..60),
        asked in prop::collection::vec(-5.0..5.0f64, 3),
    ) {
        let arms = ["template/a", "reversal/b", "do-nothing", "escalate"];
        let mut model = model(3);
        for (n, (values, arm, has_resolved)) in observations.iter().enumerate() {
            observe(&mut model, n as u64, &features(arms[*arm], values), if *has_resolved { OutcomeStatus::Resolved } else { OutcomeStatus::Worse });
        }
        for arm in arms {
            let estimates = estimate(&model, &features(arm, &asked));
            let plan = estimates.plan;
            prop_assert!(0.0 <= plan.low && plan.low <= plan.estimate && plan.estimate <= plan.high && plan.high <= 1.0, "{plan:?}");
            prop_assert!(estimates.optimistic.is_finite() && estimates.observations >= 0.0);
            prop_assert_eq!(estimates.model, model.digest());
        }
        prop_assert_eq!(model.credited.len(), observations.len());
        prop_assert!(observations.is_empty() || model.credited.contains_key(&decision_id(0)));
    }

    #[test]
    fn squash_is_monotonic_and_within_unit_interval(a in -3.0..4.0f64, b in -3.0..4.0f64) {
        prop_assert!(0.0 < squash(a) && squash(a) < 1.0);
        prop_assert!((a < b) == (squash(a) < squash(b)) || (a - b).abs() < 1e-9);
    }
}
