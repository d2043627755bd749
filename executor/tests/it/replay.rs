use proptest::prelude::*;
use serde_json::{Value, json};
use simulator::Interference;
use workflow::Entry;
use workflow::run::{Event, RunStatus};

use executor::{Fleet, Run};

use crate::rig::{Rig, WORKLOADS, never, ready, scale, with};

/// A workflow of up to four steps over the four workloads, with needs that go backwards only.
fn steps() -> impl Strategy<Value = Vec<Value>> {
    let step = (0u32..5, any::<[bool; 3]>(), 0u32..6, 0u32..4);
    proptest::collection::vec(step, 1..5).prop_map(|drawn| {
        let made = drawn.iter().enumerate().map(|(place, (replicas, needs, trouble, ending))| {
            let needs: Vec<String> = (0..place)
                .filter(|other| needs[*other % 3])
                .map(|other| format!("s{other}"))
                .collect();
            let ending = ["rollBack", "abort", "continue", "nextPlan"][*ending as usize];
            let name = WORKLOADS[place];
            let step = with(
                scale(&format!("s{place}"), name, replicas + 1),
                json!({"needs": needs, "onFailure": ending}),
            );
            match trouble {
                0 => with(step, json!({"postconditions": [never(name, "5s")]})),
                1 => with(step, json!({"preconditions": [never(name, "0s")]})),
                2 => with(step, json!({"postconditions": [ready(name, replicas + 1, "2m")]})),
                _ => step,
            }
        });
        made.collect()
    })
}

fn troubles() -> impl Strategy<Value = Vec<Interference>> {
    let one = prop_oneof![
        6 => Just(Interference::Pass),
        1 => Just(Interference::UnknownAfterApply),
        1 => Just(Interference::UnknownBeforeApply),
        1 => Just(Interference::Conflict),
        1 => Just(Interference::Throttled { retry_after_seconds: 3 }),
        1 => Just(Interference::Forbidden),
    ];
    proptest::collection::vec(one, 0..10)
}

/// Everything that must hold of any run, whatever befalls it.
async fn check(steps: Vec<Value>, troubles: Vec<Interference>) {
    let mut rig = Rig::new().await;
    rig.world().inject(troubles);
    let view = rig.run(steps, vec![]).await;
    assert!(view.status.is_terminal(), "{view:#?}");
    rig.assert_single();

    // I2: what is folded from the record is what was live, to the last bit.
    let records = rig.store.read(0, 100_000).await.unwrap();
    let entries: Vec<Entry> = records.iter().map(|record| record.entry().unwrap()).collect();
    let mut replayed = Fleet::new(64);
    entries.iter().for_each(|entry| replayed.apply(entry));
    assert_eq!(replayed.fold(), rig.fleet.fold());
    let events = rig.events(&view.run).await;
    let mut run = Run::begin(&view.run, &events[0]).unwrap();
    events[1..].iter().for_each(|event| run.apply(event));
    assert_eq!(*run.view(), view);

    // I5: what was applied is undone in reverse order of needs before a run ends as rolled back.
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
    for (place, step) in undone.iter().enumerate() {
        let needs = &plan.workflow.step(step).unwrap().needs;
        assert!(undone[..place].iter().all(|earlier| !needs.contains(earlier)), "{undone:?}");
    }
    if view.status == RunStatus::RolledBack {
        let applied =
            view.effects.iter().filter(|effect| effect.applied == workflow::run::Applied::Yes);
        assert!(applied.into_iter().all(|effect| undone.contains(&&effect.step)), "{view:#?}");
    }

    // An intent stands in the record before its answer, attempts of a key follow one another, and no lock is left.
    let mut open: Vec<(String, u32)> = Vec::new();
    for event in &events {
        match event {
            Event::IntentWritten { key, attempt, .. } => {
                assert!(
                    !open.iter().any(|(other, _)| other == key),
                    "two intents of {key} are open"
                );
                open.push((key.clone(), *attempt));
            }
            Event::EffectAnswered { key, attempt, applied, .. }
                if *applied != workflow::run::Applied::Unknown =>
            {
                let place = open
                    .iter()
                    .position(|intent| *intent == (key.clone(), *attempt))
                    .expect("an answer without an intent");
                open.remove(place);
            }
            _ => {}
        }
    }
    assert!(WORKLOADS.iter().all(|name| {
        rig.fleet.lock(&crate::rig::deployment(&rig.world(), name).reference("sim")).is_none()
    }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_run_ends_replays_to_the_bit_and_undoes_in_reverse(steps in steps(), troubles in troubles()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(check(steps, troubles));
    }
}

#[tokio::test]
async fn i8_an_append_of_an_older_epoch_is_refused_and_the_fold_is_the_records() {
    let mut rig = Rig::new().await;
    let plan = crate::rig::plan(&rig.world(), vec![scale("one", "a", 3)], vec![]);
    rig.submit(1, plan);
    let hour = rig.hour();
    rig.go(hour, |rig| matches!(rig.inbox.last(), Some(workflow::run::RunInput::Observed { .. })))
        .await;
    let before = rig.fleet.fold().clone();
    let now = rig.now();
    rig.store.claim(now, "another").await.unwrap();
    let inputs = std::mem::take(&mut rig.inbox);
    let refused = rig.decide(&inputs).await.unwrap_err();
    assert!(matches!(refused, store::AppendRefused::StaleEpoch { .. }), "{refused}");
    assert_eq!(*rig.fleet.fold(), before, "what was refused is forgotten");
    assert_eq!(rig.sends(), 0);
}

#[tokio::test]
async fn x1_a_stop_that_was_recorded_by_another_keeps_the_intent_out() {
    let mut rig = Rig::new().await;
    let plan = crate::rig::plan(&rig.world(), vec![scale("one", "a", 3)], vec![]);
    let run = rig.submit(1, plan);
    let hour = rig.hour();
    rig.go(hour, |rig| matches!(rig.inbox.last(), Some(workflow::run::RunInput::Observed { .. })))
        .await;
    // The stop is in the record, and this fold has not seen it.
    let now = rig.now();
    let stop = workflow::run::FleetEvent::Stopped {
        scope: workflow::run::StopScope::Global,
        level: workflow::run::StopLevel::L2,
        by: "ann".into(),
        reason: "smoke".into(),
        at: now,
    };
    rig.store
        .append(vec![workflow::Draft::new(now, Entry::Fleet(stop))], Vec::new(), &[], rig.epoch)
        .await
        .unwrap();
    let inputs = std::mem::take(&mut rig.inbox);
    let refused = rig.decide(&inputs).await.unwrap_err();
    assert!(matches!(refused, store::AppendRefused::Moved { .. }), "{refused}");
    rig.inbox = inputs;
    rig.go(hour, |_| false).await;
    assert_eq!((rig.sends(), rig.view(&run).effects.len()), (0, 0), "no intent after a stop");
}
