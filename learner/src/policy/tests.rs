use proptest::prelude::*;
use workflow::Estimate;
use workflow::decision::Rejection;

use super::*;
use crate::first::FirstCandidate;
use crate::greedy::Greedy;
use crate::igw::Igw;
use crate::policies::policy;

fn id(n: u64) -> CandidateId {
    CandidateId::derive("2026-01-01T00:00:00Z".parse().unwrap(), "inc_test", n)
}

fn estimates(value: f64, observations: f64) -> Estimates {
    let plan = Estimate { estimate: value.clamp(0.0, 1.0), low: 0.0, high: 1.0 };
    Estimates { plan, optimistic: value, observations, steps: vec![], model: Digest::ZERO }
}

fn refused() -> Rejection {
    Rejection {
        code: workflow::ErrorCode::GuardrailDenied,
        message: "no".into(),
        step: None,
        hint: String::new(),
    }
}

fn mask(ids: &[u64]) -> Mask {
    ids.iter().map(|n| (id(*n), refused())).collect()
}

fn all() -> Vec<Box<dyn Policy>> {
    ["igw", "greedy", "first"].iter().map(|name| policy(name).unwrap()).collect()
}

/// Candidates 0..n with values and observations, some masked, at least one allowed.
fn decisions() -> impl Strategy<Value = (Vec<(CandidateId, Estimates)>, Mask, [u8; 32])> {
    let row = (0.0..1.3f64, 0.0..500.0f64, any::<bool>());
    (prop::collection::vec(row, 1..20), any::<prop::sample::Index>(), any::<[u8; 32]>()).prop_map(
        |(rows, kept, seed)| {
            let kept = kept.index(rows.len());
            let masked: Vec<u64> =
                (0..rows.len()).filter(|i| rows[*i].2 && *i != kept).map(|i| i as u64).collect();
            let list = rows
                .iter()
                .enumerate()
                .map(|(i, (value, n, _))| (id(i as u64), estimates(*value, *n)))
                .collect();
            (list, mask(&masked), seed)
        },
    )
}

proptest! {
    #[test]
    fn probabilities_sum_to_one_and_masked_candidates_have_zero((list, mask, seed) in decisions()) {
        for policy in all() {
            let choice = policy.decide(&list, &mask, seed).unwrap();
            let sum: f64 = choice.probabilities.iter().map(|(_, p)| p).sum();
            prop_assert!((sum - 1.0).abs() < 1e-12, "{} sums to {sum}", policy.name());
            for (candidate, probability) in &choice.probabilities {
                prop_assert!((0.0..=1.0 + 1e-12).contains(probability));
                prop_assert!(!mask.contains_key(candidate) || *probability == 0.0);
            }
            prop_assert!(choice.propensity(&choice.chosen) > 0.0);
            prop_assert!((0.0..1.0).contains(&choice.draw));
        }
    }

    #[test]
    fn igw_gives_every_allowed_candidate_at_least_the_floor((list, mask, seed) in decisions()) {
        let igw = Igw::default();
        let allowed = list.len() - mask.len();
        for (candidate, probability) in igw.decide(&list, &mask, seed).unwrap().probabilities {
            prop_assert!(mask.contains_key(&candidate) || probability >= igw.floor_of(allowed));
        }
    }

    #[test]
    fn choice_does_not_depend_on_candidate_order((list, mask, seed) in decisions(), by in any::<prop::sample::Index>()) {
        let mut reordered = list.clone();
        reordered.rotate_left(by.index(list.len()));
        reordered.reverse();
        for policy in [policy("igw").unwrap(), policy("greedy").unwrap()] {
            let (original, reordered) = (policy.decide(&list, &mask, seed).unwrap(), policy.decide(&reordered, &mask, seed).unwrap());
            prop_assert_eq!(&original.chosen, &reordered.chosen);
            for (candidate, probability) in &original.probabilities {
                prop_assert_eq!(probability.to_bits(), reordered.propensity(candidate).to_bits());
            }
        }
    }

    #[test]
    fn igw_never_prefers_a_worse_candidate((list, mask, seed) in decisions()) {
        let choice = Igw::default().decide(&list, &mask, seed).unwrap();
        let allowed: Vec<_> = list.iter().filter(|(id, _)| !mask.contains_key(id)).collect();
        for (a, of_a) in &allowed {
            for (b, of_b) in &allowed {
                prop_assert!(of_a.optimistic <= of_b.optimistic || choice.propensity(a) >= choice.propensity(b) - 1e-12);
            }
        }
    }
}

#[test]
fn igw_prefers_clear_best_with_few_observations() {
    let list: Vec<_> = [0.9, 0.5, 0.45, 0.4, 0.3, 0.25, 0.1, 0.1]
        .iter()
        .enumerate()
        .map(|(i, v)| (id(i as u64), estimates(*v, 5.0)))
        .collect();
    let choice = Igw::default().decide(&list, &Mask::new(), [7; 32]).unwrap();
    assert!(choice.propensity(&id(0)) >= 0.9, "{choice:?}");
}

#[test]
fn draw_frequencies_match_probabilities() {
    let list: Vec<_> = [0.6, 0.6, 0.55]
        .iter()
        .enumerate()
        .map(|(i, v)| (id(i as u64), estimates(*v, 0.0)))
        .collect();
    let igw = Igw { gamma: 20.0, floor: 0.01 };
    let mut counts = [0.0; 3];
    let mut probabilities = [0.0; 3];
    for round in 0..4000 {
        let choice = igw
            .decide(&list, &Mask::new(), workflow::seed::seed("draw", &round.to_string()))
            .unwrap();
        for i in 0..3 {
            probabilities[i] = choice.probabilities[i].1;
            counts[i] += if choice.chosen == id(i as u64) { 1.0 } else { 0.0 };
        }
    }
    for i in 0..3 {
        // Four standard deviations of a proportion of 4,000 draws.
        assert!(
            (counts[i] / 4000.0 - probabilities[i]).abs() < 4.0 * 0.5 / 4000f64.sqrt(),
            "{counts:?} {probabilities:?}"
        );
    }
}

#[test]
fn only_allowed_candidate_is_chosen_with_certainty() {
    let list: Vec<_> = (0..5).map(|i| (id(i), estimates(0.9 - 0.2 * i as f64, 10.0))).collect();
    for policy in all() {
        let choice = policy.decide(&list, &mask(&[0, 1, 2, 3]), [1; 32]).unwrap();
        assert_eq!(choice.chosen, id(4));
        assert!((choice.propensity(&id(4)) - 1.0).abs() < 1e-12, "{choice:?}");
    }
}

#[test]
fn decide_fails_if_all_candidates_are_masked() {
    let list = vec![(id(0), estimates(0.5, 0.0))];
    assert_eq!(Greedy.decide(&list, &mask(&[0]), [0; 32]), Err(NothingAllowed { candidates: 1 }));
    assert_eq!(Greedy.decide(&[], &Mask::new(), [0; 32]), Err(NothingAllowed { candidates: 0 }));
}

#[test]
fn igw_ranks_non_finite_estimates_last() {
    let list = vec![
        (id(0), estimates(f64::NAN, f64::NAN)),
        (id(1), estimates(0.4, 1.0)),
        (id(2), estimates(f64::INFINITY, 1.0)),
    ];
    let choice = Igw::default().decide(&list, &Mask::new(), [3; 32]).unwrap();
    assert!(choice.propensity(&id(1)) > 0.95, "{choice:?}");
    assert!((choice.probabilities.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn policies_are_found_by_name_and_choose_as_documented() {
    let list: Vec<_> = (0..3).map(|i| (id(i), estimates(0.1 * i as f64, 0.0))).collect();
    assert_eq!(FirstCandidate.decide(&list, &mask(&[0]), [9; 32]).unwrap().chosen, id(1));
    assert_eq!(Greedy.decide(&list, &Mask::new(), [9; 32]).unwrap().chosen, id(2));
    assert!(policy("sarsa").is_none());
    let digests: std::collections::BTreeSet<Digest> =
        all().iter().map(|policy| policy.digest()).collect();
    assert_eq!(digests.len(), 3);
}

#[test]
fn uniform_matches_golden_value_for_seed() {
    assert_eq!(uniform([42; 32]).to_bits(), uniform([42; 32]).to_bits());
    // Golden value: a change means that recorded decisions can no longer be replayed.
    assert_eq!(format!("{:.15}", uniform([42; 32])), "0.076777134628171");
}
