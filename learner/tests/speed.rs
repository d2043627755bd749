//! Measures decisions and updates per second. Run with `--release`.

use learner::{ChosenArm, Config, Model, Observation, estimate, policy, update};
use workflow::id::{CandidateId, DecisionId, IncidentId, OutcomeId, PlanId};
use workflow::outcome::{ObservationWindow, OutcomeStatus};
use workflow::seed::{seed, uniform01};
use workflow::{FeatureSchema, Features, Mask, Outcome};

#[test]
fn decide_and_update_throughput() {
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
                resolved: is_resolved,
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
    #[expect(clippy::disallowed_methods, reason = "this test measures elapsed time")]
    let start = std::time::Instant::now();
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
    println!("decide + update per second at d = 65 with 10 arms: {per_second:.0}");
    assert_eq!(model.outcomes(), rounds);
}
