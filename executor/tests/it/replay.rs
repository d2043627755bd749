use proptest::prelude::*;
use serde_json::{Value, json};
use simulator::InjectedReply;
use workflow::Entry;
use workflow::run::{Event, RunStatus};

use executor::{Fleet, Run};

use crate::harness::{ExecutorHarness, WORKLOADS, never, ready, scale, with};

/// Generates workflows of up to four steps over the four workloads, with dependencies on earlier steps only.
fn steps() -> impl Strategy<Value = Vec<Value>> {
    let step = (0u32..5, any::<[bool; 3]>(), 0u32..6, 0u32..4);
    proptest::collection::vec(step, 1..5).prop_map(|values| {
        let steps =
            values.iter().enumerate().map(|(index, (replicas, needs, condition, on_failure))| {
                let needs: Vec<String> = (0..index)
                    .filter(|other| needs[*other % 3])
                    .map(|other| format!("s{other}"))
                    .collect();
                let on_failure =
                    ["rollBack", "abort", "continue", "nextPlan"][*on_failure as usize];
                let name = WORKLOADS[index];
                let step = with(
                    scale(&format!("s{index}"), name, replicas + 1),
                    json!({"needs": needs, "onFailure": on_failure}),
                );
                match condition {
                    0 => with(step, json!({"postconditions": [never(name, "5s")]})),
                    1 => with(step, json!({"preconditions": [never(name, "0s")]})),
                    2 => with(step, json!({"postconditions": [ready(name, replicas + 1, "2m")]})),
                    _ => step,
                }
            });
        steps.collect()
    })
}

fn injected_replies() -> impl Strategy<Value = Vec<InjectedReply>> {
    let reply = prop_oneof![
        6 => Just(InjectedReply::Pass),
        1 => Just(InjectedReply::UnknownAfterApply),
        1 => Just(InjectedReply::UnknownBeforeApply),
        1 => Just(InjectedReply::Conflict),
        1 => Just(InjectedReply::Throttled { retry_after_seconds: 3 }),
        1 => Just(InjectedReply::Forbidden),
    ];
    proptest::collection::vec(reply, 0..10)
}

/// Checks the invariants that every run must keep, whatever replies are injected.
async fn check(steps: Vec<Value>, injected_replies: Vec<InjectedReply>) {
    let mut harness = ExecutorHarness::new().await;
    harness.world().inject(injected_replies);
    let view = harness.run(steps, vec![]).await;
    assert!(view.status.is_terminal(), "{view:#?}");
    harness.assert_no_duplicate_effects();

    // I2: replaying the record gives exactly the live state.
    let records = harness.store.read(0, 100_000).await.unwrap();
    let entries: Vec<Entry> = records.iter().map(|record| record.entry().unwrap()).collect();
    let mut replayed = Fleet::new(64);
    entries.iter().for_each(|entry| replayed.apply(entry));
    assert_eq!(replayed.state(), harness.fleet.state());
    let events = harness.events(&view.run).await;
    let mut run = Run::begin(&view.run, &events[0]).unwrap();
    events[1..].iter().for_each(|event| run.apply(event));
    assert_eq!(*run.view(), view);

    // I5: applied steps are undone in reverse dependency order before a run ends as rolled back.
    let undone: Vec<&String> = events
        .iter()
        .filter_map(|event| match event {
            Event::StepCompensated { step, .. } | Event::CompensationFailed { step, .. } => {
                Some(step)
            }
            _ => None,
        })
        .collect();
    let plan = match &events[0] {
        Event::Started { plan, .. } => plan.clone(),
        other => panic!("{other:?}"),
    };
    for (index, step) in undone.iter().enumerate() {
        let needs = &plan.workflow.step(step).unwrap().needs;
        assert!(undone[..index].iter().all(|earlier| !needs.contains(earlier)), "{undone:?}");
    }
    if view.status == RunStatus::RolledBack {
        let applied =
            view.effects.iter().filter(|effect| effect.applied == workflow::run::Applied::Yes);
        assert!(applied.into_iter().all(|effect| undone.contains(&&effect.step)), "{view:#?}");
    }

    // An intent is recorded before its reply, attempts of a key are sequential, and no lock is left.
    let mut open: Vec<(String, u32)> = Vec::new();
    for event in &events {
        match event {
            Event::IntentWritten { key, attempt, .. } => {
                assert!(
                    !open.iter().any(|(other, _)| other == key),
                    "two intents of {key} are pending"
                );
                open.push((key.clone(), *attempt));
            }
            Event::EffectAnswered { key, attempt, applied, .. }
                if *applied != workflow::run::Applied::Unknown =>
            {
                let index = open
                    .iter()
                    .position(|intent| *intent == (key.clone(), *attempt))
                    .expect("a reply without an intent");
                open.remove(index);
            }
            _ => {}
        }
    }
    assert!(WORKLOADS.iter().all(|name| {
        harness
            .fleet
            .lock(&crate::harness::deployment(&harness.world(), name).reference("sim"))
            .is_none()
    }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_run_ends_replays_exactly_and_rolls_back_in_reverse(steps in steps(), injected_replies in injected_replies()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(check(steps, injected_replies));
    }
}

/// Invariant I8: an append with an older epoch is refused, and the state is rebuilt from the record.
#[tokio::test]
async fn append_with_stale_epoch_rebuilds_the_state() {
    let mut harness = ExecutorHarness::new().await;
    let plan = crate::harness::plan(&harness.world(), vec![scale("one", "a", 3)], vec![]);
    harness.submit(1, plan);
    let deadline = harness.one_hour_from_now();
    harness
        .run_until(deadline, |harness| {
            matches!(harness.inbox.last(), Some(workflow::run::RunInput::Observed { .. }))
        })
        .await;
    let before = harness.fleet.state().clone();
    let now = harness.now();
    harness.store.claim(now, "another").await.unwrap();
    let inputs = std::mem::take(&mut harness.inbox);
    let refused = harness.decide(&inputs).await.unwrap_err();
    assert!(matches!(refused, store::AppendError::StaleEpoch { .. }), "{refused}");
    assert_eq!(*harness.fleet.state(), before, "the refused entries are discarded");
    assert_eq!(harness.sends(), 0);
}

/// Row X1: an emergency stop that another writer recorded prevents the intent.
#[tokio::test]
async fn stop_recorded_by_another_writer_prevents_intent() {
    let mut harness = ExecutorHarness::new().await;
    let plan = crate::harness::plan(&harness.world(), vec![scale("one", "a", 3)], vec![]);
    let run = harness.submit(1, plan);
    let deadline = harness.one_hour_from_now();
    harness
        .run_until(deadline, |harness| {
            matches!(harness.inbox.last(), Some(workflow::run::RunInput::Observed { .. }))
        })
        .await;
    // The stop is recorded, but this fleet has not folded it.
    let now = harness.now();
    let stop = workflow::run::FleetEvent::Stopped {
        scope: workflow::run::StopScope::Global,
        level: workflow::run::StopLevel::L2,
        actor: "ann".into(),
        reason: "smoke".into(),
        at: now,
    };
    harness
        .store
        .append(vec![workflow::Draft::new(now, Entry::Fleet(stop))], Vec::new(), &[], harness.epoch)
        .await
        .unwrap();
    let inputs = std::mem::take(&mut harness.inbox);
    let refused = harness.decide(&inputs).await.unwrap_err();
    assert!(matches!(refused, store::AppendError::VersionConflict { .. }), "{refused}");
    harness.inbox = inputs;
    harness.run_until(deadline, |_| false).await;
    assert_eq!(
        (harness.sends(), harness.view(&run).effects.len()),
        (0, 0),
        "no intent during a stop"
    );
}
