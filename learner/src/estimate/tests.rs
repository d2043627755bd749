use proptest::prelude::*;
use workflow::outcome::{Stage, Verdict};
use workflow::{Features, Mask};

use super::*;
use crate::testing::{chosen, config, decision_id, features, model, outcome, schema};
use crate::{BadFeatures, Config, Lesson, Model, policy, update};

fn teach(model: &mut Model, n: u64, features: &Features, verdict: Verdict) {
    let (chosen, outcome) = (chosen(n, features), outcome(n, Stage::Hold, verdict));
    update(model, &Lesson::Outcome { chosen: &chosen, outcome: &outcome }).unwrap();
}

/// A model that has seen a plausible past: one arm that works, one that does not.
fn experienced(outcomes: u64) -> Model {
    let mut model = model(3);
    for n in 0..outcomes {
        let (arm, verdict) = if n % 2 == 0 {
            ("template/good", Verdict::Resolved)
        } else {
            ("template/bad", Verdict::NotResolved)
        };
        let wobble = workflow::seed::unit("past", &n.to_string());
        teach(
            &mut model,
            n,
            &features(arm, &[if n % 2 == 0 { 1.0 } else { 0.0 }, wobble, 1.0]),
            verdict,
        );
    }
    model
}

#[test]
fn twenty_forced_failures_lower_the_estimate_beyond_its_interval() {
    for outcomes in [0, 10, 80, 400] {
        let mut model = experienced(outcomes);
        let candidate = features("template/good", &[1.0, 0.5, 1.0]);
        let before = estimate(&model, &candidate).plan;
        for n in 0..20 {
            teach(&mut model, 10_000 + n, &candidate, Verdict::NotResolved);
        }
        let after = estimate(&model, &candidate).plan;
        assert!(after.estimate < before.estimate, "after {outcomes}: {before:?} to {after:?}");
        assert!(after.high < before.estimate, "after {outcomes}: {before:?} to {after:?}");
    }
}

#[test]
fn the_interval_shrinks_as_outcomes_come() {
    let candidate = features("template/good", &[1.0, 0.5, 1.0]);
    let widths: Vec<f64> = [0, 20, 100, 400]
        .iter()
        .map(|outcomes| {
            let plan = estimate(&experienced(*outcomes), &candidate).plan;
            plan.high - plan.low
        })
        .collect();
    assert!(widths.windows(2).all(|pair| pair[1] < pair[0]), "{widths:?}");
}

#[test]
fn candidates_with_other_features_have_other_estimates() {
    let model = experienced(60);
    let mut estimates: Vec<u64> = (0..20)
        .map(|i| {
            estimate(&model, &features("template/good", &[1.0, f64::from(i) / 20.0, 1.0]))
                .plan
                .estimate
                .to_bits()
        })
        .collect();
    estimates.sort_unstable();
    estimates.dedup();
    assert!(estimates.len() >= 15, "{} values", estimates.len());
}

#[test]
fn what_worked_is_told_from_what_did_not_and_chosen_nearly_always() {
    let model = experienced(80);
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
fn before_anything_was_seen_doing_nothing_is_unlikely_and_steps_have_the_catalogues_priors() {
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
fn a_new_arm_inherits_from_the_shared_weights() {
    let model = experienced(200);
    let alike = estimate(&model, &features("template/new", &[1.0, 0.5, 1.0]));
    let unlike = estimate(&model, &features("template/new", &[0.0, 0.5, 1.0]));
    assert!(alike.plan.estimate > 0.7, "{alike:?}");
    assert!(unlike.plan.estimate < 0.3, "{unlike:?}");
    // It is itself unseen, and says so.
    let known = estimate(&model, &features("template/good", &[1.0, 0.5, 1.0]));
    assert!(alike.plan.high - alike.plan.low > known.plan.high - known.plan.low);
}

#[test]
fn steps_are_told_apart_by_bucket_and_lean_on_one_another() {
    let mut model = model(3);
    for n in 0..30 {
        teach(&mut model, n, &features("template/good", &[1.0, 0.5, 1.0]), Verdict::NotResolved);
    }
    let mut elsewhere = features("template/good", &[1.0, 0.5, 1.0]);
    elsewhere.steps[0].bucket = "AnotherAlert".into();
    let here = estimate(&model, &features("template/good", &[1.0, 0.5, 1.0])).steps[0].success;
    let there = estimate(&model, &elsewhere).steps[0].success;
    assert!(here.estimate < there.estimate && there.estimate < 8.0 / 9.0, "{here:?} {there:?}");
    assert!(there.high - there.low > here.high - here.low);
}

#[test]
fn m2_features_of_another_schema_or_length_are_refused() {
    let model = model(3);
    let short = Features { values: vec![1.0], ..features("a", &[0.0, 0.0, 0.0]) };
    assert_eq!(model.check(&short), Err(BadFeatures::Length { expected: 3, found: 1 }));
    let found = schema(4).digest();
    assert_eq!(
        model.check(&features("a", &[0.0; 4])),
        Err(BadFeatures::OtherSchema { expected: schema(3).digest(), found })
    );
}

#[test]
fn m3_features_that_are_no_numbers_are_refused_and_estimated_by_priors_alone() {
    let model = experienced(40);
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308, -1e308] {
        let features = features("template/good", &[1.0, bad, 1.0]);
        let refused = model.check(&features).unwrap_err();
        assert!(
            matches!(&refused, BadFeatures::OutOfRange { name, .. } if name == "f1"),
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

#[test]
fn m4_outcomes_all_of_one_kind_and_a_single_one_leave_estimates_in_range() {
    for (count, verdict) in [
        (1, Verdict::Resolved),
        (1, Verdict::Worse),
        (500, Verdict::Resolved),
        (500, Verdict::NotResolved),
    ] {
        let mut model = model(3);
        let candidate = features("template/good", &[1.0, 1.0, 1.0]);
        for n in 0..count {
            teach(&mut model, n, &candidate, verdict);
        }
        let plan = estimate(&model, &candidate).plan;
        assert!(0.0 < plan.estimate && plan.estimate < 1.0, "{plan:?}");
        assert!(plan.low < plan.estimate && plan.estimate < plan.high, "{plan:?}");
    }
}

/// Plays `rounds` incidents of four kinds with five arms, of which each mends one kind; returns how many were resolved.
fn played(name: &str, rounds: u64) -> u64 {
    let mut model = Model::new(schema(9), config()).unwrap();
    let policy = policy(name).unwrap();
    let mut resolved = 0;
    for round in 0..rounds {
        let draw = |what: &str| workflow::seed::unit(what, &round.to_string());
        let kind = (draw("kind") * 4.0) as usize;
        let options: Vec<_> = (0..5)
            .map(|arm| {
                let mut values = vec![0.0; 9];
                values[arm] = 1.0;
                values[5 + kind] = 1.0;
                let mut candidate = features(&format!("template/{arm}"), &values);
                // Shared weights cannot tell arm and kind together; the arm's own residual can.
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
        let verdict = if draw("luck") < chance { Verdict::Resolved } else { Verdict::NotResolved };
        resolved += u64::from(verdict == Verdict::Resolved);
        teach(&mut model, round, &options[arm].1, verdict);
    }
    resolved
}

#[test]
fn it_learns_which_plan_mends_which_trouble_and_the_policy_first_does_not() {
    let (igw, first) = (played("igw", 400), played("first", 400));
    assert!(igw >= 320, "resolved {igw} of 400");
    assert!(first <= 60, "resolved {first} of 400");
}

#[test]
fn estimates_are_calibrated() {
    let mut model = Model::new(schema(4), Config { arm_discount: 1.0, ..config() }).unwrap();
    // Sums by tenth of the estimate: how many, estimated, resolved.
    let mut tenths = [(0.0, 0.0, 0.0); 10];
    for n in 0..3000u64 {
        let draw = |what: &str| workflow::seed::unit(what, &n.to_string());
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
        teach(
            &mut model,
            n,
            &candidate,
            if has_resolved { Verdict::Resolved } else { Verdict::NotResolved },
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
    fn estimates_are_finite_and_in_range_whatever_was_learned(
        lessons in prop::collection::vec((prop::collection::vec(-3.0..3.0f64, 3), 0..4usize, any::<bool>()), 0..60),
        asked in prop::collection::vec(-5.0..5.0f64, 3),
    ) {
        let arms = ["template/a", "reversal/b", "do-nothing", "escalate"];
        let mut model = model(3);
        for (n, (values, arm, has_resolved)) in lessons.iter().enumerate() {
            teach(&mut model, n as u64, &features(arms[*arm], values), if *has_resolved { Verdict::Resolved } else { Verdict::Worse });
        }
        for arm in arms {
            let estimates = estimate(&model, &features(arm, &asked));
            let plan = estimates.plan;
            prop_assert!(0.0 <= plan.low && plan.low <= plan.estimate && plan.estimate <= plan.high && plan.high <= 1.0, "{plan:?}");
            prop_assert!(estimates.optimistic.is_finite() && estimates.observations >= 0.0);
            prop_assert_eq!(estimates.model, model.digest());
        }
        prop_assert_eq!(model.taught.len(), lessons.len());
        prop_assert!(lessons.is_empty() || model.taught.contains_key(&decision_id(0)));
    }

    #[test]
    fn the_bend_keeps_order_and_stays_within(a in -3.0..4.0f64, b in -3.0..4.0f64) {
        prop_assert!(0.0 < bend(a) && bend(a) < 1.0);
        prop_assert!((a < b) == (bend(a) < bend(b)) || (a - b).abs() < 1e-9);
    }
}
