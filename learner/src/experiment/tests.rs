use workflow::experiment::{ExperimentStatus, Variant};
use workflow::id::ExperimentId;
use workflow::outcome::{ObservationWindow, OutcomeStatus};
use workflow::seed::uniform01;

use super::*;
use crate::testing::{incident_id, now, outcome};

fn experiment() -> Experiment {
    let variant = |name: &str, treatment| Variant { name: name.into(), share: 0.5, treatment };
    Experiment {
        id: ExperimentId::derive(now(), "test", 1),
        name: "greedy or not".into(),
        hypothesis: String::new(),
        variants: vec![
            variant("base", Treatment::Baseline),
            variant("greedy", Treatment::Policy { policy: "greedy".into() }),
        ],
        alerts: vec![],
        alpha: 0.1,
        minimum: 20,
        status: ExperimentStatus::Running,
        created_at: now(),
        started_at: None,
        stopped_at: None,
    }
}

/// `count` incidents, each resolved with the probability of its variant.
fn data(count: u64, chances: [f64; 2], stream: &str) -> (Vec<(IncidentId, String)>, Vec<Outcome>) {
    let mut exposures = Vec::new();
    let mut outcomes = Vec::new();
    for n in 0..count {
        let variant = usize::from(uniform01("side", &format!("{stream}/{n}")) < 0.5);
        let is_resolved = uniform01("luck", &format!("{stream}/{n}")) < chances[variant];
        exposures.push((incident_id(n), experiment().variants[variant].name.clone()));
        let mut judged = outcome(
            n,
            ObservationWindow::Stabilization,
            if is_resolved { OutcomeStatus::Resolved } else { OutcomeStatus::NotResolved },
        );
        judged.reward = Some(if is_resolved { 1.0 } else { 0.0 });
        outcomes.push(judged);
    }
    (exposures, outcomes)
}

#[test]
fn results_report_insufficient_data_below_minimum() {
    let nothing = results(&experiment(), &[], &[]);
    assert_eq!(
        (nothing.has_enough_data, nothing.verdict, nothing.summary.as_str()),
        (false, ExperimentVerdict::NotEnoughData, "not enough data")
    );
    assert_eq!(
        (nothing.difference.low, nothing.difference.high, nothing.difference.estimate),
        (-1.0, 1.0, None)
    );
    let (exposures, outcomes) = data(25, [0.0, 1.0], "few");
    let few = results(&experiment(), &exposures, &outcomes);
    assert_eq!(few.verdict, ExperimentVerdict::NotEnoughData);
    assert!(few.message.contains("of 20 outcomes"), "{}", few.message);
}

#[test]
fn results_name_better_variant_on_either_side() {
    for (chances, better) in [([0.4, 0.9], "greedy"), ([0.9, 0.4], "base")] {
        let (exposures, outcomes) = data(400, chances, "clear");
        let shown = results(&experiment(), &exposures, &outcomes);
        assert_eq!(
            shown.verdict,
            ExperimentVerdict::Better { variant: better.into() },
            "{shown:?}"
        );
        assert_eq!(shown.summary, format!("{better} is better"));
        assert!(shown.has_enough_data && shown.difference.low < shown.difference.estimate.unwrap());
    }
}

#[test]
fn results_rarely_call_equal_variants_different_at_any_time() {
    // Reading the sequences after every value is equivalent to computing results after every outcome, but takes linear
    // time.
    let (streams, length, alpha) = (500, 200, 0.1);
    let rejections = (0..streams)
        .filter(|stream| {
            let chance = [0.5, 0.95, 0.99][stream % 3];
            let mut sides =
                [ConfidenceSequence::new(alpha / 2.0), ConfidenceSequence::new(alpha / 2.0)];
            (0..length).any(|n| {
                let side = usize::from(uniform01("aa-side", &format!("{stream}/{n}")) < 0.5);
                sides[side].push(if uniform01("aa", &format!("{stream}/{n}")) < chance {
                    1.0
                } else {
                    0.0
                });
                let (a, b) = (sides[0].interval(), sides[1].interval());
                a.1 < b.0 || b.1 < a.0
            })
        })
        .count();
    assert!(rejections as f64 <= alpha * streams as f64, "{rejections} of {streams}");
    let (exposures, outcomes) = data(300, [0.8, 0.8], "aa");
    assert_eq!(
        results(&experiment(), &exposures, &outcomes).verdict,
        ExperimentVerdict::NoDifferenceShown
    );
}

#[test]
fn results_count_incident_once_with_last_outcome_and_first_variant() {
    let mut experiment = experiment();
    experiment.minimum = 1;
    let exposures = [
        (incident_id(1), "base".to_string()),
        (incident_id(1), "greedy".to_string()),
        (incident_id(2), "greedy".to_string()),
    ];
    let mut recurred = outcome(1, ObservationWindow::Recurrence, OutcomeStatus::Recurred);
    recurred.reward = Some(0.0);
    let unknown = outcome(2, ObservationWindow::Stabilization, OutcomeStatus::Unknown);
    let unrelated = outcome(9, ObservationWindow::Stabilization, OutcomeStatus::Resolved);
    let shown = results(
        &experiment,
        &exposures,
        &[
            recurred,
            outcome(1, ObservationWindow::Stabilization, OutcomeStatus::Resolved),
            unknown,
            unrelated,
        ],
    );
    let of = |i: usize| {
        (
            shown.variants[i].exposed,
            shown.variants[i].outcomes,
            shown.variants[i].unknown,
            shown.variants[i].mean,
        )
    };
    assert_eq!(of(0), (1, 1, 0, Some(0.0)));
    assert_eq!(of(1), (1, 1, 1, Some(0.0)));
}

#[test]
fn results_report_sample_ratio_mismatch_before_difference() {
    let (exposures, outcomes) = data(400, [0.4, 0.9], "lost");
    let kept: Vec<_> = exposures
        .into_iter()
        .enumerate()
        .filter(|(i, (_, variant))| variant == "base" || i % 2 == 0)
        .map(|(_, e)| e)
        .collect();
    let shown = results(&experiment(), &kept, &outcomes);
    assert_eq!(shown.verdict, ExperimentVerdict::SampleRatioMismatch, "{shown:?}");
    assert!(!shown.has_enough_data && shown.sample_ratio_p_value < 0.01);
}

#[test]
fn variant_assignment_is_stable_and_follows_shares() {
    let experiment = experiment();
    let first = (0..2000).filter(|n| experiment.variant(&incident_id(*n)).name == "base").count();
    assert!((900..1100).contains(&first), "{first}");
    assert_eq!(experiment.variant(&incident_id(7)), experiment.variant(&incident_id(7)));
}

#[test]
fn check_rejects_invalid_experiments_with_specific_errors() {
    assert_eq!(check(&experiment()), Ok(()));
    let refused = |change: &dyn Fn(&mut Experiment)| {
        let mut experiment = experiment();
        change(&mut experiment);
        check(&experiment).unwrap_err()
    };
    assert_eq!(refused(&|e| e.name = " ".into()), InvalidExperiment::Name);
    assert_eq!(refused(&|e| drop(e.variants.pop())), InvalidExperiment::Variants { found: 1 });
    assert!(matches!(
        refused(&|e| e.variants[1].name = "base".into()),
        InvalidExperiment::VariantName { position: 2, .. }
    ));
    assert!(matches!(refused(&|e| e.variants[0].share = 0.0), InvalidExperiment::Share { .. }));
    assert!(matches!(
        refused(&|e| e.variants[0].share = f64::NAN),
        InvalidExperiment::Share { .. }
    ));
    assert!(matches!(refused(&|e| e.variants[0].share = 0.6), InvalidExperiment::Shares { .. }));
    for alpha in [0.0, 0.6, f64::NAN, -1.0] {
        assert!(matches!(refused(&|e| e.alpha = alpha), InvalidExperiment::Alpha { .. }));
    }
    assert!(matches!(refused(&|e| e.minimum = 0), InvalidExperiment::Minimum { minimum: 0 }));
    assert!(matches!(
        refused(&|e| e.variants[1].treatment = Treatment::Policy { policy: "best".into() }),
        InvalidExperiment::Policy { .. }
    ));
    assert!(matches!(
        refused(&|e| e.variants[1].treatment = Treatment::Sources { sources: vec![] }),
        InvalidExperiment::EmptyTreatment { .. }
    ));
}
