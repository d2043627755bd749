use proptest::prelude::*;

use super::*;

/// Solves (penalty I + Σ x xᵀ) w = Σ y x by Gaussian elimination, without sharing code with [`Ridge`].
fn reference_weights(rows: &[(Vec<f64>, f64)], d: usize, penalty: f64) -> Vec<f64> {
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
    fn weights_solve_normal_equations(rows in rows(6, 60)) {
        prop_assert!(is_near(trained(&rows, 6).weights(), &reference_weights(&rows, 6, 1.0)));
    }

    #[test]
    fn outcome_adds_exactly_one_observation_at_its_point(rows in rows(5, 30), x in prop::collection::vec(0.1..1.0f64, 5)) {
        let mut ridge = trained(&rows, 5);
        let before = ridge.observations(&x);
        ridge.add(&x, 1.0, 1.0);
        prop_assert!((ridge.observations(&x) - before - 1.0).abs() < 1e-8);
    }

    #[test]
    fn merge_equals_training_on_both_samples(first in rows(5, 30), second in rows(5, 30)) {
        let mut merged = trained(&first, 5);
        merged.merge(&trained(&second, 5)).unwrap();
        let both: Vec<_> = first.into_iter().chain(second).collect();
        prop_assert!(is_near(merged.weights(), trained(&both, 5).weights()));
    }

    #[test]
    fn forget_equals_never_having_added(rows in rows(5, 30), x in prop::collection::vec(-1.0..1.0f64, 5), y in 0.0..1.0f64) {
        let without = trained(&rows, 5);
        let mut ridge = without.clone();
        ridge.add(&x, y, 1.0);
        ridge.forget(&x, y, 1.0).unwrap();
        prop_assert!(is_near(ridge.weights(), without.weights()));
        prop_assert_eq!(ridge.updates(), without.updates());
    }

    #[test]
    fn correct_equals_adding_the_right_outcome(rows in rows(5, 30), later in rows(5, 30), discount in 0.9..=1.0f64) {
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
fn weights_do_not_drift_over_many_updates() {
    let data: Vec<(Vec<f64>, f64)> = (0..1100u64)
        .map(|i| {
            let x: Vec<f64> =
                (0..8).map(|j| workflow::seed::uniform01("x", &format!("{i}/{j}"))).collect();
            let y = (x[0] + x[3]) / 2.0;
            (x, y)
        })
        .collect();
    assert!(is_near(trained(&data, 8).weights(), &reference_weights(&data, 8, 1.0)));
}

#[test]
fn forget_rejects_unknown_outcome() {
    let mut ridge = trained(&[(vec![1.0, 0.0], 1.0)], 2);
    let before = ridge.clone();
    assert_eq!(ridge.forget(&[0.0, 1.0], 1.0, 1.0), Err(MergeError::UnknownOutcome));
    assert_eq!(ridge, before);
}

#[test]
fn discount_reduces_old_outcomes_and_prevents_merge() {
    let mut ridge = Ridge::new(1, 1.0, 0.9);
    for _ in 0..100 {
        ridge.add(&[1.0], 0.0, 1.0);
    }
    for _ in 0..30 {
        ridge.add(&[1.0], 1.0, 1.0);
    }
    assert!(ridge.mean(&[1.0]) > 0.85, "{}", ridge.mean(&[1.0]));
    assert_eq!(ridge.clone().merge(&ridge), Err(MergeError::Discounted));
}
