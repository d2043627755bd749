//! Measures decisions with updates per second: `cargo bench -p learner`.
#![allow(clippy::unwrap_used, reason = "a failed measurement ends")]
#![allow(clippy::print_stdout, reason = "prints figures")]
#![allow(clippy::disallowed_methods, reason = "measures elapsed time")]

use std::hint::black_box;
use std::time::Instant;

use learner::{ChosenArm, Config, Model, Observation, estimate, policy, update};
use workflow::id::{CandidateId, DecisionId, IncidentId, OutcomeId, PlanId};
use workflow::outcome::{ObservationWindow, OutcomeStatus};
use workflow::seed::{seed, uniform01};
use workflow::{FeatureSchema, Features, Mask, Outcome};

/// Dimensions: 64 features and the intercept.
const DIMENSION: usize = 65;

fn main() {
    let now: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    // The model adds an intercept: 64 + 1 dimensions.
    let schema = FeatureSchema { version: 1, names: (0..64).map(|i| format!("f{i}")).collect() };
    let digest = schema.digest();
    let mut model = Model::new(schema, Config::default()).unwrap();
    let arms: Vec<(CandidateId, Features)> = (0..10)
        .map(|arm| {
            let values = (0..64).map(|i| uniform01("value", &format!("{arm}/{i}"))).collect();
            let features =
                Features { schema: digest, arm: format!("template/{arm}"), values, steps: vec![] };
            (CandidateId::derive(now, "inc_speed", arm), features)
        })
        .collect();
    let rounds = 20_000u64;
    let prepared: Vec<(DecisionId, Outcome, [u8; 32])> = (0..rounds)
        .map(|n| {
            let id = DecisionId::derive(now, "inc_speed", n);
            let is_resolved = uniform01("luck", &n.to_string()) < 0.5;
            let outcome = Outcome {
                id: OutcomeId::derive(now, id.as_str(), 0),
                decision: id.clone(),
                incident: IncidentId::derive(now, "speed", n),
                plan: PlanId::derive(now, "speed", n),
                run: None,
                window: ObservationWindow::Stabilization,
                status: if is_resolved {
                    OutcomeStatus::Resolved
                } else {
                    OutcomeStatus::NotResolved
                },
                reward: Some(f64::from(u8::from(is_resolved))),
                seconds_to_resolve: None,
                steps: vec![],
                health_before: vec![],
                health_after: vec![],
                reasons: vec![],
                at: now,
            };
            (id, outcome, seed("speed", &n.to_string()))
        })
        .collect();
    let policy = policy("igw").unwrap();
    let mask = Mask::new();
    let start = Instant::now();
    for (id, outcome, seed) in &prepared {
        let estimates: Vec<_> = arms
            .iter()
            .map(|(candidate, features)| (candidate.clone(), estimate(&model, features)))
            .collect();
        let choice = policy.decide(&estimates, &mask, *seed).unwrap();
        let (_, features) = arms.iter().find(|(candidate, _)| *candidate == choice.chosen).unwrap();
        let chosen = ChosenArm { decision: id.clone(), features: features.clone() };
        update(&mut model, &Observation::Outcome { chosen: &chosen, outcome }).unwrap();
    }
    let per_second = rounds as f64 / start.elapsed().as_secs_f64();
    assert_eq!(model.outcomes(), rounds);
    println!(
        "{per_second:>12.0} decisions with update per second, 10 arms, {DIMENSION} dimensions"
    );
    println!("{:>12.0} per second is the floor: one matrix-vector product per arm", floor());
}

/// Returns how often per second this machine multiplies 10 matrices with a vector.
fn floor() -> f64 {
    let matrix = vec![0.5; DIMENSION * DIMENSION];
    let vector = vec![0.25; DIMENSION];
    let (start, rounds) = (Instant::now(), 2_000_u32);
    for _ in 0..rounds * 10 {
        let rows = matrix.chunks_exact(DIMENSION);
        let product: f64 =
            rows.map(|row| row.iter().zip(&vector).map(|(a, b)| a * b).sum::<f64>()).sum();
        black_box(product);
    }
    f64::from(rounds) / start.elapsed().as_secs_f64()
}
