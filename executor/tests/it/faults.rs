use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use cluster::{
    Cluster, Consistency, ListQuery, LogQuery, Metrics, Object, ObjectRef, Page, ReadFailure,
    Reply, Request, WatchEvent,
};
use executor::perform;
use jiff::SignedDuration;
use serde_json::json;
use simulator::{Interference, SimulatedCluster};
use workflow::Entry;
use workflow::run::{Control, Effect, Event, ObjectQuery, RunInput, RunStatus, StepStatus};

use crate::rig::{Rig, never, plan, ready, scale, with};

#[tokio::test]
async fn k2_a_lost_answer_to_an_applied_change_is_resolved_by_reading() {
    let mut rig = Rig::new().await;
    rig.world().inject([Interference::UnknownAfterApply]);
    let view = rig.run(vec![scale("one", "a", 3)], vec![]).await;
    assert_eq!((view.status, rig.sends(), rig.replicas("a")), (RunStatus::Succeeded, 1, 3));
    rig.assert_single();
}

#[tokio::test]
async fn k3_a_change_that_was_lost_on_its_way_is_sent_once_more() {
    let mut rig = Rig::new().await;
    rig.world().inject([Interference::UnknownBeforeApply]);
    let view = rig.run(vec![scale("one", "a", 3)], vec![]).await;
    assert_eq!((view.status, rig.sends(), rig.replicas("a")), (RunStatus::Succeeded, 2, 3));
    assert_eq!(
        (view.effects.len(), view.effects[0].attempts),
        (1, 2),
        "the same key, the second attempt"
    );
    rig.assert_single();
}

#[tokio::test]
async fn k4_an_answer_that_never_comes_is_unknown_after_ten_seconds() {
    let mut rig = Rig::new().await;
    let plan = plan(&rig.world(), vec![scale("one", "a", 3)], vec![]);
    let run = rig.submit(1, plan);
    let hour = rig.hour();
    rig.go(hour, |rig| rig.sends() == 1).await;
    // The change was applied; its answer is kept back until nobody waits for it any more.
    let late = rig.inbox.pop().unwrap();
    let sent = rig.now();
    rig.go(hour, |_| false).await;
    assert_eq!((rig.view(&run).status, rig.sends()), (RunStatus::Succeeded, 1));
    let resolved = rig.events(&run).await.into_iter().find_map(|event| match event {
        Event::EffectAnswered { reply: Reply::Unknown { .. }, at, .. } => Some(at),
        _ => None,
    });
    assert_eq!(resolved.unwrap().duration_since(sent).as_secs(), 10);
    let before = rig.events(&run).await.len();
    rig.inbox.push(late);
    rig.go(hour, |_| false).await;
    assert_eq!(rig.events(&run).await.len(), before);
    rig.assert_single();
}

#[tokio::test]
async fn k5_a_conflict_that_does_not_end_is_met_three_times_and_then_given_up() {
    let mut rig = Rig::new().await;
    rig.world().inject([Interference::Conflict; 40]);
    let steps = vec![with(
        scale("one", "a", 3),
        json!({"preconditions": [with(ready("a", 2, "0s"), json!({}))]}),
    )];
    let view = rig.run(steps, vec![]).await;
    assert_eq!(
        (view.status, rig.sends(), rig.replicas("a")),
        (RunStatus::RolledBack, 4, 2),
        "{view:#?}"
    );
    let judged = rig
        .events(&view.run)
        .await
        .iter()
        .filter(|event| matches!(event, Event::ConditionJudged { .. }))
        .count();
    assert_eq!(judged, 5, "what justified the step is asked again before every new try");
}

#[tokio::test]
async fn k8_an_object_that_was_made_again_under_its_name_is_not_touched() {
    let mut rig = Rig::new().await;
    let mut step = scale("one", "a", 3);
    step["arguments"]["target"]["uid"] = json!("11111111-2222-3333-4444-555555555555");
    let view = rig.run(vec![step], vec![]).await;
    assert_eq!((view.status, rig.sends(), rig.replicas("a")), (RunStatus::RolledBack, 0, 2));
    assert!(view.steps[0].why.contains("made again since"), "{}", view.steps[0].why);
}

#[tokio::test]
async fn k9_another_writer_between_read_and_send_is_seen_and_the_change_is_prepared_anew() {
    let mut rig = Rig::new().await;
    let plan = plan(&rig.world(), vec![scale("one", "a", 3)], vec![]);
    let run = rig.submit(1, plan);
    let hour = rig.hour();
    rig.go(hour, |rig| matches!(rig.inbox.last(), Some(RunInput::Observed { .. }))).await;
    rig.meddle("a", 5).await;
    rig.go(hour, |_| false).await;
    assert_eq!(
        (rig.view(&run).status, rig.replicas("a"), rig.sends()),
        (RunStatus::Succeeded, 3, 2)
    );
    rig.assert_single();
}

#[tokio::test]
async fn k9_a_step_whose_precondition_fell_between_read_and_send_changes_nothing() {
    let mut rig = Rig::new().await;
    let untouched = json!({"read": {"d": {"kind": "Deployment", "namespace": "shop", "name": "a"}},
        "check": "d.spec.replicas == 2", "within": "0s"});
    let step = with(scale("one", "a", 3), json!({"preconditions": [untouched]}));
    let plan = plan(&rig.world(), vec![step], vec![]);
    let run = rig.submit(1, plan);
    let hour = rig.hour();
    rig.go(hour, |rig| matches!(rig.inbox.last(), Some(RunInput::Observed { .. }))).await;
    assert_eq!(rig.sends(), 0);
    rig.meddle("a", 5).await;
    rig.go(hour, |_| false).await;
    // The one change that was sent met a version that was gone; what justified it was asked again, and no other followed.
    assert_eq!(
        (rig.view(&run).status, rig.replicas("a"), rig.sends()),
        (RunStatus::RolledBack, 5, 1)
    );
    assert!(rig.world().effects().is_empty(), "{:?}", rig.world().effects());
}

#[tokio::test]
async fn k11_nothing_that_a_run_goes_by_comes_from_a_cache() {
    let mut rig = Rig::new().await;
    let target = || crate::rig::target("a");
    let image = json!({"id": "image", "action": "set-image", "timeout": "3m",
        "arguments": {"target": target(), "container": "web", "image": "reg/app:v2"}});
    let undo = json!({"id": "undo", "action": "rollout-undo", "timeout": "3m", "needs": ["image"],
        "arguments": {"target": target(), "revision": 1}});
    let scaled = with(
        scale("scale", "a", 3),
        json!({"needs": ["undo"], "preconditions": [ready("a", 2, "2m")], "postconditions": [ready("a", 3, "2m")]}),
    );
    // The rig's cluster refuses to read from a cache: this run reads, lists, judges and measures.
    let view = rig.run(vec![image, undo, scaled], vec![ready("a", 3, "1m")]).await;
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
    let is_listing = |effect: &Effect| match effect {
        Effect::Read { queries, .. } => {
            queries.iter().any(|query| matches!(query, ObjectQuery::Many(_)))
        }
        Effect::Send { .. } | Effect::Judge { .. } | Effect::Measure { .. } => false,
    };
    assert!(rig.performed.iter().any(is_listing));
    for kind in ["Judge", "Measure", "Send"] {
        assert!(rig.performed.iter().any(|effect| format!("{effect:?}").starts_with(kind)));
    }
}

#[tokio::test]
async fn a_throttled_change_waits_as_long_as_the_cluster_asks_and_keeps_its_key() {
    let mut rig = Rig::new().await;
    rig.world().inject([Interference::Throttled { retry_after_seconds: 90 }]);
    let view = rig.run(vec![scale("one", "a", 3)], vec![]).await;
    assert_eq!(
        (view.status, view.steps[0].attempts, view.effects.len()),
        (RunStatus::Succeeded, 2, 1)
    );
    let took = view.ended_at.unwrap().duration_since(view.started_at).as_secs();
    assert!(took >= 90, "{took}");
    rig.assert_single();
}

#[tokio::test]
async fn k7_a_forbidden_change_fails_for_good_and_what_went_before_is_undone() {
    let mut rig = Rig::new().await;
    rig.world().inject([Interference::Pass, Interference::Forbidden]);
    let view = rig
        .run(
            vec![scale("one", "a", 3), with(scale("two", "b", 3), json!({"needs": ["one"]}))],
            vec![],
        )
        .await;
    assert_eq!(
        (view.status, rig.replicas("a"), view.steps[1].attempts),
        (RunStatus::RolledBack, 2, 1)
    );
}

#[tokio::test]
async fn a_post_condition_that_fails_is_tried_again_where_the_step_says_so_and_the_first_state_stays_known()
 {
    let mut rig = Rig::new().await;
    let step = with(
        scale("one", "a", 3),
        json!({"postconditions": [never("a", "5s")], "retry": {"attempts": 3, "jitter": 0.0, "on": ["postcondition"]}}),
    );
    let view = rig.run(vec![step], vec![]).await;
    assert_eq!(
        (view.status, view.steps[0].attempts, rig.replicas("a")),
        (RunStatus::RolledBack, 3, 2),
        "{view:#?}"
    );
    // The pause doubles: it counts from when the attempt failed to when the next one began.
    let (mut failed, mut pauses) = (None, Vec::new());
    for record in rig.store.stream(view.run.as_str()).await.unwrap() {
        match record.entry().unwrap() {
            Entry::Run { event: Event::RetryScheduled { .. }, .. } => failed = Some(record.at),
            Entry::Run { event: Event::StepStarted { at, .. }, .. } => {
                pauses.extend(failed.map(|failed| at.duration_since(failed).as_secs()));
            }
            _ => {}
        }
    }
    assert_eq!(pauses, [2, 4]);
    rig.assert_single();
}

#[tokio::test]
async fn an_undo_leaves_alone_what_somebody_else_changed_since() {
    let mut rig = Rig::new().await;
    let steps = vec![
        scale("one", "a", 3),
        with(
            scale("two", "b", 3),
            json!({"needs": ["one"], "postconditions": [never("b", "60s")]}),
        ),
    ];
    let plan = plan(&rig.world(), steps, vec![]);
    let run = rig.submit(1, plan);
    let hour = rig.hour();
    rig.go(hour, |rig| rig.sends() == 2).await;
    rig.meddle("a", 6).await;
    rig.go(hour, |_| false).await;
    let view = rig.view(&run);
    assert_eq!((view.status, rig.replicas("a"), rig.replicas("b")), (RunStatus::RolledBack, 6, 2));
    assert!(view.step("one").unwrap().why.contains("drifted"), "{:?}", view.steps);
}

#[tokio::test]
async fn an_undo_that_cannot_be_made_is_tried_three_times_and_says_what_remains() {
    let mut rig = Rig::new().await;
    rig.world().inject([Interference::Pass].into_iter().chain([Interference::Forbidden; 9]));
    let view = rig
        .run(
            vec![with(scale("one", "a", 3), json!({"postconditions": [never("a", "5s")]}))],
            vec![],
        )
        .await;
    assert_eq!(
        (view.status, rig.replicas("a"), rig.sends()),
        (RunStatus::Failed, 3, 4),
        "{view:#?}"
    );
    assert_eq!(view.steps[0].status, StepStatus::CompensationFailed);
    assert!(
        view.why.contains("could not be undone") && view.why.contains("shop/a"),
        "{}",
        view.why
    );
}

#[tokio::test]
async fn i5_what_cannot_be_told_is_asked_of_a_person_and_a_cancel_still_ends_it() {
    for is_cancelled in [true, false] {
        let mut rig = Rig::new().await;
        let plan = plan(&rig.world(), vec![scale("one", "a", 3)], vec![]);
        let run = rig.submit(1, plan);
        let hour = rig.hour();
        rig.world().inject([Interference::UnknownBeforeApply]);
        rig.go(hour, |rig| rig.sends() == 1).await;
        // Somebody else writes before we look: what stands there now tells nothing of ours.
        rig.meddle("a", 5).await;
        rig.go(hour, |_| false).await;
        assert_eq!(rig.view(&run).status, RunStatus::NeedsHuman);
        assert_eq!(rig.sends(), 1, "never sent again blindly");
        if is_cancelled {
            rig.control(&run, Control::Cancel);
        } else {
            rig.meddle("a", 3).await;
            rig.control(&run, Control::Resume);
        }
        rig.go(hour, |_| false).await;
        let expected = if is_cancelled { RunStatus::Cancelled } else { RunStatus::Succeeded };
        assert_eq!(rig.view(&run).status, expected, "{:#?}", rig.view(&run));
        assert_eq!(
            rig.replicas("a"),
            if is_cancelled { 5 } else { 3 },
            "an undo compares before it reverts"
        );
    }
}

#[tokio::test]
async fn every_change_in_turn_is_lost_before_or_after_it_is_applied_and_the_end_is_the_same() {
    let steps = || {
        vec![
            scale("one", "a", 3),
            with(scale("two", "b", 3), json!({"needs": ["one"]})),
            with(
                scale("three", "c", 3),
                json!({"needs": ["two"], "postconditions": [never("c", "5s")]}),
            ),
        ]
    };
    let mut plain = Rig::new().await;
    let expected = plain.run(steps(), vec![]).await;
    for place in 0..plain.sends() {
        for fault in [Interference::UnknownBeforeApply, Interference::UnknownAfterApply] {
            let mut rig = Rig::new().await;
            rig.world().inject(std::iter::repeat_n(Interference::Pass, place).chain([fault]));
            let view = rig.run(steps(), vec![]).await;
            assert_eq!(view.status, expected.status, "{fault:?} at {place}");
            assert_eq!(rig.world().effects(), plain.world().effects(), "{fault:?} at {place}");
        }
    }
}

/// A cluster that can be cut off.
struct Flaky {
    inner: Arc<SimulatedCluster>,
    is_out: Arc<AtomicBool>,
}

impl Flaky {
    fn check(&self) -> Result<(), ReadFailure> {
        let out =
            || ReadFailure::Unavailable { what: "it".into(), message: "connection refused".into() };
        if self.is_out.load(Ordering::SeqCst) { Err(out()) } else { Ok(()) }
    }
}

#[async_trait]
impl Cluster for Flaky {
    fn name(&self) -> &str {
        self.inner.name()
    }
    async fn get(
        &self,
        object: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure> {
        self.check()?;
        self.inner.get(object, consistency).await
    }
    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure> {
        self.check()?;
        self.inner.list(query).await
    }
    async fn changes(
        &self,
        kind: &cluster::Kind,
        namespace: Option<&str>,
        version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure> {
        self.check()?;
        self.inner.changes(kind, namespace, version).await
    }
    async fn send(&self, request: &Request) -> Reply {
        match self.check() {
            Ok(()) => self.inner.send(request).await,
            Err(failure) => Reply::Unknown { message: failure.to_string() },
        }
    }
    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure> {
        self.check()?;
        self.inner.logs(query).await
    }
    async fn may(
        &self,
        verb: &str,
        kind: &cluster::Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        self.check()?;
        self.inner.may(verb, kind, namespace).await
    }
}

#[tokio::test]
async fn k1_an_outage_of_half_an_hour_ends_no_run_but_one_whose_change_is_settling() {
    // Health that cannot be read after a change for longer than it may settle is not taken to be well: such a run is undone
    // where the outage began between a change and the next look at what became of it, and nowhere else.
    let (mut before, mut settling, mut unread) = (0, Vec::new(), Vec::new());
    loop {
        let mut rig = Rig::new().await;
        let plan = plan(
            &rig.world(),
            vec![scale("one", "a", 3), with(scale("two", "b", 3), json!({"needs": ["one"]}))],
            vec![],
        );
        let run = rig.submit(1, plan);
        let is_out = Arc::new(AtomicBool::new(false));
        let flaky = Arc::new(Flaky { inner: rig.cluster(), is_out: is_out.clone() });
        let (mut count, mut out_since, mut has_sent) = (0, None, false);
        loop {
            let inputs = std::mem::take(&mut rig.inbox);
            let pending = rig.decide(&inputs).await.unwrap();
            for effect in pending.effects {
                if count == before {
                    out_since = Some(rig.now());
                    let is_measured = matches!(effect, Effect::Measure { .. });
                    settling.extend((is_measured && has_sent).then_some(before));
                }
                has_sent |= matches!(effect, Effect::Send { .. });
                count += 1;
                is_out.store(
                    out_since
                        .is_some_and(|since| rig.now() < since + SignedDuration::from_mins(30)),
                    Ordering::SeqCst,
                );
                if matches!(effect, Effect::Send { .. }) && is_out.load(Ordering::SeqCst) {
                    assert_eq!(before, count - 1, "no change is sent into an outage that is known");
                }
                let metrics = rig.cluster() as Arc<dyn Metrics>;
                rig.inbox.push(perform(effect, flaky.clone() as Arc<dyn Cluster>, metrics).await);
            }
            if rig.inbox.is_empty() {
                let Some(at) = pending.deadline else { break };
                rig.world().advance_fully(at);
                rig.inbox.push(RunInput::Due);
            }
        }
        let view = rig.view(&run);
        if view.status != RunStatus::Succeeded {
            assert!(view.status.is_terminal(), "cut off before effect {before}: {view:#?}");
            assert!(
                view.why.contains("cannot be read"),
                "cut off before effect {before}: {view:#?}"
            );
            unread.push(before);
        }
        rig.assert_single();
        if count <= before {
            break;
        }
        before += 1;
    }
    assert!(before > 6, "{before}");
    assert!(!settling.is_empty());
    assert_eq!(unread, settling, "of {before}");
}
