use workflow::feedback::Rating;
use workflow::history::PastExecution;
use workflow::outcome::{ObservationWindow, OutcomeStatus};
use workflow::{Digest, Entry, Facts, ObjectRef, Workflow};

use super::*;
use crate::testing::{decision, features, feedback, model, now, outcome};
use crate::{Config, estimate};

fn execution(n: u64, status: OutcomeStatus) -> PastExecution {
    let observed = outcome(n, ObservationWindow::Stabilization, status);
    PastExecution {
        id: format!("run-{n}"),
        alert: "KubePodNotReady".into(),
        target: serde_json::from_value::<ObjectRef>(serde_json::json!({
            "cluster": "c", "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "api"
        }))
        .unwrap(),
        facts: Facts::default(),
        signature: vec![],
        workflow: Workflow {
            api_version: workflow::manifest::API_VERSION.into(),
            kind: "RemediationWorkflow".into(),
            metadata: workflow::manifest::ManifestMetadata::default(),
            spec: workflow::manifest::WorkflowSpec::default(),
        },
        features: features("template/good", &[1.0, 0.5, 0.1 * (n % 7) as f64]),
        outcome: status,
        reward: observed.reward,
        steps: observed.steps,
        seconds_to_resolve: None,
        at: now(),
        origin: workflow::Provenance::Import("starter.jsonl".into()),
    }
}

/// Returns the entries of thirty incidents with their outcomes and recurrences, after twenty imported executions.
fn record() -> Vec<Entry> {
    let mut entries: Vec<Entry> = (0..20)
        .map(|n| {
            let status =
                if n % 4 == 3 { OutcomeStatus::NotResolved } else { OutcomeStatus::Resolved };
            Entry::HistoryImported { file: "starter.jsonl".into(), execution: execution(n, status) }
        })
        .collect();
    let fresh = model(3);
    for n in 0..30u64 {
        let arm = ["template/good", "template/bad", "do-nothing"][(n % 3) as usize];
        let values = [
            workflow::seed::uniform01("a", &n.to_string()),
            0.25,
            workflow::seed::uniform01("b", &n.to_string()),
        ];
        entries.push(Entry::Decided(decision(n, &features(arm, &values), &fresh)));
        let status = [
            OutcomeStatus::Resolved,
            OutcomeStatus::NotResolved,
            OutcomeStatus::Unknown,
            OutcomeStatus::Resolved,
        ][(n % 4) as usize];
        entries.push(Entry::Observed(outcome(n, ObservationWindow::Stabilization, status)));
        if n % 5 == 0 {
            entries.push(Entry::Observed(outcome(
                n,
                ObservationWindow::Recurrence,
                OutcomeStatus::Recurred,
            )));
        }
    }
    entries
}

fn fold(entries: &[Entry]) -> Learner {
    let mut learner = Learner::new(model(3));
    for entry in entries {
        learner.apply(entry).unwrap();
    }
    learner
}

#[test]
fn replay_of_serialized_entries_gives_identical_state() {
    let entries = record();
    let live = fold(&entries);
    let written: Vec<(String, String)> = entries
        .iter()
        .map(|entry| {
            let (kind, payload) = entry.to_parts();
            (kind, canonical_json(&payload).unwrap())
        })
        .collect();
    let mut replayed = Learner::new(model(3));
    for (i, (kind, payload)) in written.iter().enumerate() {
        let entry = Entry::from_parts(kind, serde_json::from_str(payload).unwrap()).unwrap();
        replayed.apply(&entry).unwrap();
        // A restart from a snapshot gives the same state too.
        if i % 9 == 0 {
            replayed = Learner::restore(&replayed.snapshot()).unwrap();
        }
    }
    assert_eq!(live.snapshot(), replayed.snapshot());
    let asked = features("template/good", &[0.5, 0.25, 0.75]);
    assert_eq!(estimate(live.model(), &asked), estimate(replayed.model(), &asked));
}

#[test]
fn snapshot_of_fixed_record_matches_golden_digest() {
    let learner = fold(&record());
    // Golden values: a change means that recorded snapshots and decisions can no longer be replayed.
    assert_eq!(Digest::of(&learner.snapshot()).short(16), "85e8a8eab11463ac");
    assert_eq!(learner.model().digest().short(16), "3d4069276728c936");
}

#[test]
fn live_execution_is_learned_once_from_its_outcome() {
    let fresh = model(3);
    let features = features("template/good", &[1.0, 0.0, 0.0]);
    let mut learner = Learner::new(fresh.clone());
    learner.apply(&Entry::Decided(decision(1, &features, &fresh))).unwrap();
    assert_eq!(
        learner.apply(&Entry::Observed(outcome(
            1,
            ObservationWindow::Stabilization,
            OutcomeStatus::Resolved
        ))),
        Ok(LearningResult::Added)
    );
    assert_eq!(
        learner.apply(&Entry::Executed(execution(1, OutcomeStatus::Resolved))),
        Ok(LearningResult::Ignored)
    );
    assert_eq!(learner.model().outcomes(), 1);
}

/// Bad-input row M5: history that is imported twice is learned once.
#[test]
fn duplicate_history_import_is_learned_once() {
    let mut learner = Learner::new(model(3));
    let entry = Entry::HistoryImported {
        file: "a.jsonl".into(),
        execution: execution(1, OutcomeStatus::Resolved),
    };
    assert_eq!(learner.apply(&entry), Ok(LearningResult::Added));
    assert_eq!(learner.apply(&entry), Ok(LearningResult::Duplicate));
    assert_eq!(learner.model().outcomes(), 1);
}

#[test]
fn shadow_decision_is_not_learned() {
    let fresh = model(3);
    let mut shadow = decision(1, &features("template/good", &[1.0, 0.0, 0.0]), &fresh);
    shadow.mode = DecisionMode::Shadow;
    let mut learner = Learner::new(fresh);
    learner.apply(&Entry::Decided(shadow)).unwrap();
    assert!(matches!(
        learner.apply(&Entry::Observed(outcome(
            1,
            ObservationWindow::Stabilization,
            OutcomeStatus::Resolved
        ))),
        Err(InvalidObservation::UnknownDecision { .. })
    ));
    assert_eq!(learner.rejected_observations(), 1);
}

#[test]
fn feedback_is_matched_to_decision_by_plan() {
    let fresh = model(3);
    let candidate = features("template/good", &[1.0, 0.0, 0.0]);
    let decided = decision(1, &candidate, &fresh);
    let before = estimate(&fresh, &candidate).plan.estimate;
    let mut learner = Learner::new(fresh);
    let feedback_entry = Entry::FeedbackGiven(feedback(1, "ana", Some(Rating::Wrong)));
    assert!(matches!(
        learner.apply(&feedback_entry),
        Err(InvalidObservation::UnknownDecision { .. })
    ));
    learner.plans.insert(feedback(1, "ana", None).plan, decided.id.clone());
    learner.apply(&Entry::Decided(decided)).unwrap();
    assert_eq!(learner.apply(&feedback_entry), Ok(LearningResult::Added));
    assert!(estimate(learner.model(), &candidate).plan.estimate < before);
}

/// Bad-input row M2: corrupt and inconsistent snapshots are rejected.
#[test]
fn restore_rejects_corrupt_or_inconsistent_snapshots() {
    let learner = fold(&record());
    let good = String::from_utf8(learner.snapshot()).unwrap();
    assert!(Learner::restore(good.as_bytes()).is_ok());
    let value: serde_json::Value = serde_json::from_str(&good).unwrap();
    let changed = |pointer: &str, to: serde_json::Value| {
        let mut value = value.clone();
        *value.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is in the snapshot")) = to;
        Learner::restore(value.to_string().as_bytes())
    };
    let size = "the ridge statistics have the wrong size or are not finite";
    let cases = [
        ("/model/format", serde_json::json!("chiron-model/9"), "unknown format"),
        ("/model/ridge/weights", serde_json::json!([1.0]), size),
        ("/model/ridge/dimension", serde_json::json!(1), size),
        ("/model/ridge/factor/0", serde_json::json!(0.0), size),
        ("/model/ridge/moment/0", serde_json::json!(null), "cannot be parsed"),
        (
            "/model/schema/names",
            serde_json::json!(["f1", "f0", "f2"]),
            "the schema does not match its digest",
        ),
        ("/model/config/penalty", serde_json::json!(-1.0), "invalid configuration"),
        ("/model/arms/template~1good/x", serde_json::json!([]), "the statistics of an arm"),
        (
            "/model/actions/set-image/duration/m2",
            serde_json::json!(-1.0),
            "the statistics of a step are not finite",
        ),
    ];
    for (pointer, to, problem) in cases {
        let error = changed(pointer, to).unwrap_err().to_string();
        assert!(error.contains(problem), "{pointer}: {error}");
    }
    for bytes in [&b""[..], b"null", b"{}", &good.as_bytes()[..good.len() / 2], &[0xff, 0xfe]] {
        assert!(matches!(Learner::restore(bytes), Err(InvalidModel::Parse(_))));
    }
    assert!(matches!(
        Model::restore(&vec![b' '; 64 * 1024 * 1024 + 1]),
        Err(InvalidModel::TooLarge { .. })
    ));
}

#[test]
fn new_model_rejects_out_of_range_settings_by_name() {
    let schema = crate::testing::schema(2);
    let bad = [
        Config { penalty: 0.0, ..Config::default() },
        Config { arm_discount: 1.5, ..Config::default() },
        Config { alpha: f64::NAN, ..Config::default() },
        Config { arms: [("escalate".into(), 1.0)].into(), ..Config::default() },
    ];
    let fields: Vec<String> = bad
        .into_iter()
        .map(|config| Model::new(schema.clone(), config).unwrap_err().field)
        .collect();
    assert_eq!(fields, ["penalty", "armDiscount", "alpha", "arms.escalate"]);
}
