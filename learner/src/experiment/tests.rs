use workflow::experiment::{ExperimentStatus, Variant};
use workflow::id::ExperimentId;
use workflow::outcome::{Stage, Verdict};
use workflow::seed::unit;

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
        let variant = usize::from(unit("side", &format!("{stream}/{n}")) < 0.5);
        let is_resolved = unit("luck", &format!("{stream}/{n}")) < chances[variant];
        exposures.push((incident_id(n), experiment().variants[variant].name.clone()));
        let mut judged = outcome(
            n,
            Stage::Hold,
            if is_resolved { Verdict::Resolved } else { Verdict::NotResolved },
        );
        judged.reward = Some(if is_resolved { 1.0 } else { 0.0 });
        outcomes.push(judged);
    }
    (exposures, outcomes)
}

#[test]
fn it_says_first_that_there_is_not_enough_data() {
    let nothing = results(&experiment(), &[], &[]);
    assert_eq!(
        (nothing.is_enough, nothing.verdict, nothing.summary.as_str()),
        (false, ExperimentVerdict::NotEnoughData, "not enough data")
    );
    assert_eq!(
        (nothing.difference.low, nothing.difference.high, nothing.difference.estimate),
        (-1.0, 1.0, None)
    );
    let (exposures, outcomes) = data(25, [0.0, 1.0], "few");
    let few = results(&experiment(), &exposures, &outcomes);
    assert_eq!(few.verdict, ExperimentVerdict::NotEnoughData);
    assert!(few.needs.contains("of 20 outcomes"), "{}", few.needs);
}

#[test]
fn a_clear_difference_is_found_and_named_on_either_side() {
    for (chances, better) in [([0.4, 0.9], "greedy"), ([0.9, 0.4], "base")] {
        let (exposures, outcomes) = data(400, chances, "clear");
        let shown = results(&experiment(), &exposures, &outcomes);
        assert_eq!(
            shown.verdict,
            ExperimentVerdict::Better { variant: better.into() },
            "{shown:?}"
        );
        assert_eq!(shown.summary, format!("{better} better"));
        assert!(shown.is_enough && shown.difference.low < shown.difference.estimate.unwrap());
    }
}

#[test]
fn two_equal_variants_are_seldom_called_different_however_often_one_looks() {
    // Peeking after every outcome is peeking at the sequences themselves: the same arithmetic, once through.
    let (streams, length, alpha) = (500, 200, 0.1);
    let alarms = (0..streams)
        .filter(|stream| {
            let chance = [0.5, 0.95, 0.99][stream % 3];
            let mut sides = [Sequence::new(alpha / 2.0), Sequence::new(alpha / 2.0)];
            (0..length).any(|n| {
                let side = usize::from(unit("aa-side", &format!("{stream}/{n}")) < 0.5);
                sides[side].push(if unit("aa", &format!("{stream}/{n}")) < chance {
                    1.0
                } else {
                    0.0
                });
                let (a, b) = (sides[0].interval(), sides[1].interval());
                a.1 < b.0 || b.1 < a.0
            })
        })
        .count();
    assert!(alarms as f64 <= alpha * streams as f64, "{alarms} of {streams}");
    let (exposures, outcomes) = data(300, [0.8, 0.8], "aa");
    assert_eq!(
        results(&experiment(), &exposures, &outcomes).verdict,
        ExperimentVerdict::NoDifferenceShown
    );
}

#[test]
fn an_incident_counts_once_by_its_last_judgement_and_its_first_variant() {
    let mut experiment = experiment();
    experiment.minimum = 1;
    let exposures = [
        (incident_id(1), "base".to_string()),
        (incident_id(1), "greedy".to_string()),
        (incident_id(2), "greedy".to_string()),
    ];
    let mut recurred = outcome(1, Stage::Recurrence, Verdict::Recurred);
    recurred.reward = Some(0.0);
    let unknown = outcome(2, Stage::Hold, Verdict::Unknown);
    let stranger = outcome(9, Stage::Hold, Verdict::Resolved);
    let shown = results(
        &experiment,
        &exposures,
        &[recurred, outcome(1, Stage::Hold, Verdict::Resolved), unknown, stranger],
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
fn exposures_that_do_not_fit_the_shares_forbid_reading_on() {
    let (exposures, outcomes) = data(400, [0.4, 0.9], "lost");
    let kept: Vec<_> = exposures
        .into_iter()
        .enumerate()
        .filter(|(i, (_, variant))| variant == "base" || i % 2 == 0)
        .map(|(_, e)| e)
        .collect();
    let shown = results(&experiment(), &kept, &outcomes);
    assert_eq!(shown.verdict, ExperimentVerdict::SharesDoNotFit, "{shown:?}");
    assert!(!shown.is_enough && shown.shares_p_value < 0.01);
}

#[test]
fn assignment_is_sticky_and_follows_the_shares() {
    let experiment = experiment();
    let first = (0..2000).filter(|n| experiment.variant(&incident_id(*n)).name == "base").count();
    assert!((900..1100).contains(&first), "{first}");
    assert_eq!(experiment.variant(&incident_id(7)), experiment.variant(&incident_id(7)));
}

#[test]
fn experiments_that_cannot_be_run_are_refused_with_the_reason() {
    assert_eq!(check(&experiment()), Ok(()));
    let refused = |change: &dyn Fn(&mut Experiment)| {
        let mut experiment = experiment();
        change(&mut experiment);
        check(&experiment).unwrap_err()
    };
    assert_eq!(refused(&|e| e.name = " ".into()), BadExperiment::Name);
    assert_eq!(refused(&|e| drop(e.variants.pop())), BadExperiment::Variants { found: 1 });
    assert!(matches!(
        refused(&|e| e.variants[1].name = "base".into()),
        BadExperiment::VariantName { position: 2, .. }
    ));
    assert!(matches!(refused(&|e| e.variants[0].share = 0.0), BadExperiment::Share { .. }));
    assert!(matches!(refused(&|e| e.variants[0].share = f64::NAN), BadExperiment::Share { .. }));
    assert!(matches!(refused(&|e| e.variants[0].share = 0.6), BadExperiment::Shares { .. }));
    for alpha in [0.0, 0.6, f64::NAN, -1.0] {
        assert!(matches!(refused(&|e| e.alpha = alpha), BadExperiment::Alpha { .. }));
    }
    assert!(matches!(refused(&|e| e.minimum = 0), BadExperiment::Minimum { minimum: 0 }));
    assert!(matches!(
        refused(&|e| e.variants[1].treatment = Treatment::Policy { policy: "best".into() }),
        BadExperiment::Policy { .. }
    ));
    assert!(matches!(
        refused(&|e| e.variants[1].treatment = Treatment::Sources { sources: vec![] }),
        BadExperiment::EmptyTreatment { .. }
    ));
}
