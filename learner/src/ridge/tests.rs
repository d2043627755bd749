use proptest::prelude::*;

use super::*;

/// Solves (penalty I + Σ x xᵀ) w = Σ y x by Gaussian elimination: slow, plain, and no code shared with the ridge.
fn plainly(rows: &[(Vec<f64>, f64)], d: usize, penalty: f64) -> Vec<f64> {
    let mut matrix = vec![vec![0.0; d + 1]; d];
    for (i, row) in matrix.iter_mut().enumerate() {
        row[i] += penalty;
        for (x, y) in rows {
            for j in 0..d {
                row[j] += x[i] * x[j];
            }
            row[d] += x[i] * y;
        }
    }
    for k in 0..d {
        for i in k + 1..d {
            let by = matrix[i][k] / matrix[k][k];
            let (above, below) = matrix.split_at_mut(i);
            for (value, lead) in below[0].iter_mut().zip(&above[k]) {
                *value -= by * lead;
            }
        }
    }
    let mut weights = vec![0.0; d];
    for k in (0..d).rev() {
        let known: f64 = (k + 1..d).map(|j| matrix[k][j] * weights[j]).sum();
        weights[k] = (matrix[k][d] - known) / matrix[k][k];
    }
    weights
}

fn rows(d: usize, most: usize) -> impl Strategy<Value = Vec<(Vec<f64>, f64)>> {
    prop::collection::vec((prop::collection::vec(-1.0..1.0f64, d), 0.0..=1.0f64), 1..most)
}

fn trained(rows: &[(Vec<f64>, f64)], d: usize) -> Ridge {
    let mut ridge = Ridge::new(d, 1.0, 1.0);
    for (x, y) in rows {
        ridge.add(x, *y, 1.0);
    }
    ridge
}

fn is_near(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_weights_are_those_of_the_normal_equations(rows in rows(6, 60)) {
        prop_assert!(is_near(trained(&rows, 6).weights(), &plainly(&rows, 6, 1.0)));
    }

    #[test]
    fn an_outcome_at_a_point_is_worth_exactly_one_observation_there(rows in rows(5, 30), x in prop::collection::vec(0.1..1.0f64, 5)) {
        let mut ridge = trained(&rows, 5);
        let before = ridge.observations(&x);
        ridge.add(&x, 1.0, 1.0);
        prop_assert!((ridge.observations(&x) - before - 1.0).abs() < 1e-8);
    }

    #[test]
    fn merged_models_are_the_model_of_both(first in rows(5, 30), second in rows(5, 30)) {
        let mut merged = trained(&first, 5);
        merged.merge(&trained(&second, 5)).unwrap();
        let both: Vec<_> = first.into_iter().chain(second).collect();
        prop_assert!(is_near(merged.weights(), trained(&both, 5).weights()));
    }

    #[test]
    fn a_forgotten_outcome_was_never_seen(rows in rows(5, 30), x in prop::collection::vec(-1.0..1.0f64, 5), y in 0.0..1.0f64) {
        let without = trained(&rows, 5);
        let mut ridge = without.clone();
        ridge.add(&x, y, 1.0);
        ridge.forget(&x, y, 1.0).unwrap();
        prop_assert!(is_near(ridge.weights(), without.weights()));
        prop_assert_eq!(ridge.updates(), without.updates());
    }

    #[test]
    fn a_corrected_outcome_is_as_if_it_had_come_right_at_once(rows in rows(5, 30), later in rows(5, 30), discount in 0.9..=1.0f64) {
        let mut wrong = Ridge::new(5, 1.0, discount);
        let mut right = Ridge::new(5, 1.0, discount);
        for (x, y) in &rows {
            wrong.add(x, *y, 1.0);
            right.add(x, *y, 1.0);
        }
        let x = [0.5, -0.25, 1.0, 0.0, 0.75];
        wrong.add(&x, 1.0, 0.5);
        right.add(&x, 0.0, 0.5);
        let clock = wrong.updates();
        for (x, y) in &later {
            wrong.add(x, *y, 1.0);
            right.add(x, *y, 1.0);
        }
        wrong.correct(&x, -1.0, 0.5, clock);
        prop_assert!(is_near(wrong.weights(), right.weights()));
    }
}

#[test]
fn a_thousand_updates_and_two_refreshes_drift_by_nothing_that_matters() {
    let data: Vec<(Vec<f64>, f64)> = (0..1100u64)
        .map(|i| {
            let x: Vec<f64> =
                (0..8).map(|j| workflow::seed::unit("x", &format!("{i}/{j}"))).collect();
            let y = (x[0] + x[3]) / 2.0;
            (x, y)
        })
        .collect();
    assert!(is_near(trained(&data, 8).weights(), &plainly(&data, 8, 1.0)));
}

#[test]
fn what_was_never_learned_is_not_forgotten() {
    let mut ridge = trained(&[(vec![1.0, 0.0], 1.0)], 2);
    let before = ridge.clone();
    assert_eq!(ridge.forget(&[0.0, 1.0], 1.0, 1.0), Err(CannotMerge::NeverLearned));
    assert_eq!(ridge, before);
}

#[test]
fn under_a_discount_old_outcomes_fade_and_models_do_not_add() {
    let mut ridge = Ridge::new(1, 1.0, 0.9);
    for _ in 0..100 {
        ridge.add(&[1.0], 0.0, 1.0);
    }
    for _ in 0..30 {
        ridge.add(&[1.0], 1.0, 1.0);
    }
    assert!(ridge.mean(&[1.0]) > 0.85, "{}", ridge.mean(&[1.0]));
    assert_eq!(ridge.clone().merge(&ridge), Err(CannotMerge::Discounted));
}
