use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use cluster::{
    Cluster, Consistency, Delegate, ListQuery, Metrics, Object, ObjectRef, Page, ReadFailure,
    Request, WriteReply,
};
use executor::perform;
use jiff::SignedDuration;
use serde_json::json;
use simulator::{InjectedReply, SimulatedCluster};
use workflow::Entry;
use workflow::run::{Control, Effect, Event, ObjectQuery, RunInput, RunStatus, StepStatus};

use crate::harness::{ExecutorHarness, never, plan, ready, scale, with};

/// Fault row K2.
#[tokio::test]
async fn lost_reply_to_applied_change_is_resolved_by_reading() {
    let mut harness = ExecutorHarness::new().await;
    harness.world().inject([InjectedReply::UnknownAfterApply]);
    let view = harness.run(vec![scale("one", "a", 3)], vec![]).await;
    assert_eq!((view.status, harness.sends(), harness.replicas("a")), (RunStatus::Succeeded, 1, 3));
    harness.assert_no_duplicate_effects();
}

/// Fault row K3.
#[tokio::test]
async fn change_that_was_not_applied_is_sent_again() {
    let mut harness = ExecutorHarness::new().await;
    harness.world().inject([InjectedReply::UnknownBeforeApply]);
    let view = harness.run(vec![scale("one", "a", 3)], vec![]).await;
    assert_eq!((view.status, harness.sends(), harness.replicas("a")), (RunStatus::Succeeded, 2, 3));
    assert_eq!((view.effects.len(), view.effects[0].attempts), (1, 2), "same key, second attempt");
    harness.assert_no_duplicate_effects();
}

/// Fault row K4.
#[tokio::test]
async fn missing_reply_is_unknown_after_10_seconds() {
    let mut harness = ExecutorHarness::new().await;
    let plan = plan(&harness.world(), vec![scale("one", "a", 3)], vec![]);
    let run = harness.submit(1, plan);
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |harness| harness.sends() == 1).await;
    // The change was applied; its reply is withheld until after the timeout.
    let late = harness.inbox.pop().unwrap();
    let sent = harness.now();
    harness.run_until(deadline, |_| false).await;
    assert_eq!((harness.view(&run).status, harness.sends()), (RunStatus::Succeeded, 1));
    let resolved = harness.events(&run).await.into_iter().find_map(|event| match event {
        Event::EffectAnswered { reply: WriteReply::Unknown { .. }, at, .. } => Some(at),
        _ => None,
    });
    assert_eq!(resolved.unwrap().duration_since(sent).as_secs(), 10);
    let before = harness.events(&run).await.len();
    harness.inbox.push(late);
    harness.run_until(deadline, |_| false).await;
    assert_eq!(harness.events(&run).await.len(), before);
    harness.assert_no_duplicate_effects();
}

/// Fault row K5.
#[tokio::test]
async fn persistent_conflict_fails_after_three_retries() {
    let mut harness = ExecutorHarness::new().await;
    harness.world().inject([InjectedReply::Conflict; 40]);
    let steps = vec![with(
        scale("one", "a", 3),
        json!({"preconditions": [with(ready("a", 2, "0s"), json!({}))]}),
    )];
    let view = harness.run(steps, vec![]).await;
    assert_eq!(
        (view.status, harness.sends(), harness.replicas("a")),
        (RunStatus::RolledBack, 4, 2),
        "{view:#?}"
    );
    let evaluated = harness
        .events(&view.run)
        .await
        .iter()
        .filter(|event| matches!(event, Event::ConditionEvaluated { .. }))
        .count();
    assert_eq!(evaluated, 5, "preconditions are evaluated again before every retry");
}

/// Fault row K8: an object that was recreated with the same name is not changed.
#[tokio::test]
async fn recreated_object_is_not_changed() {
    let mut harness = ExecutorHarness::new().await;
    let mut step = scale("one", "a", 3);
    step["arguments"]["target"]["uid"] = json!("11111111-2222-3333-4444-555555555555");
    let view = harness.run(vec![step], vec![]).await;
    assert_eq!(
        (view.status, harness.sends(), harness.replicas("a")),
        (RunStatus::RolledBack, 0, 2)
    );
    assert!(view.steps[0].message.contains("recreated"), "{}", view.steps[0].message);
}

/// Fault row K9: another write between read and send is detected, and the change is prepared again.
#[tokio::test]
async fn concurrent_write_is_detected_and_change_is_retried() {
    let mut harness = ExecutorHarness::new().await;
    let plan = plan(&harness.world(), vec![scale("one", "a", 3)], vec![]);
    let run = harness.submit(1, plan);
    let deadline = harness.one_hour_from_now();
    harness
        .run_until(deadline, |harness| {
            matches!(harness.inbox.last(), Some(RunInput::Observed { .. }))
        })
        .await;
    harness.external_change("a", 5).await;
    harness.run_until(deadline, |_| false).await;
    assert_eq!(
        (harness.view(&run).status, harness.replicas("a"), harness.sends()),
        (RunStatus::Succeeded, 3, 2)
    );
    harness.assert_no_duplicate_effects();
}

/// Fault row K9: a step whose precondition became false between read and send changes nothing.
#[tokio::test]
async fn step_changes_nothing_if_precondition_became_false() {
    let mut harness = ExecutorHarness::new().await;
    let unchanged = json!({"read": {"d": {"kind": "Deployment", "namespace": "shop", "name": "a"}},
        "check": "d.spec.replicas == 2", "within": "0s"});
    let step = with(scale("one", "a", 3), json!({"preconditions": [unchanged]}));
    let plan = plan(&harness.world(), vec![step], vec![]);
    let run = harness.submit(1, plan);
    let deadline = harness.one_hour_from_now();
    harness
        .run_until(deadline, |harness| {
            matches!(harness.inbox.last(), Some(RunInput::Observed { .. }))
        })
        .await;
    assert_eq!(harness.sends(), 0);
    harness.external_change("a", 5).await;
    harness.run_until(deadline, |_| false).await;
    // The change that was sent got a version conflict; the precondition was evaluated again, and no change followed.
    assert_eq!(
        (harness.view(&run).status, harness.replicas("a"), harness.sends()),
        (RunStatus::RolledBack, 5, 1)
    );
    assert!(harness.world().effects().is_empty(), "{:?}", harness.world().effects());
}

/// Fault row K11.
#[tokio::test]
async fn run_never_reads_from_a_cache() {
    let mut harness = ExecutorHarness::new().await;
    let target = || crate::harness::target("a");
    let image = json!({"id": "image", "action": "set-image", "timeout": "3m",
        "arguments": {"target": target(), "container": "web", "image": "reg/app:v2"}});
    let undo = json!({"id": "undo", "action": "rollout-undo", "timeout": "3m", "needs": ["image"],
        "arguments": {"target": target(), "revision": 1}});
    let scaled = with(
        scale("scale", "a", 3),
        json!({"needs": ["undo"], "preconditions": [ready("a", 2, "2m")], "postconditions": [ready("a", 3, "2m")]}),
    );
    // The harness's cluster rejects reads from a cache: this run reads, lists, evaluates conditions and measures health.
    let view = harness.run(vec![image, undo, scaled], vec![ready("a", 3, "1m")]).await;
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
    let is_listing = |effect: &Effect| match effect {
        Effect::Read { queries, .. } => {
            queries.iter().any(|query| matches!(query, ObjectQuery::Many(_)))
        }
        Effect::Send { .. } | Effect::Evaluate { .. } | Effect::Measure { .. } => false,
    };
    assert!(harness.performed.iter().any(is_listing));
    for kind in ["Evaluate", "Measure", "Send"] {
        assert!(harness.performed.iter().any(|effect| format!("{effect:?}").starts_with(kind)));
    }
}

#[tokio::test]
async fn throttled_change_honors_retry_after_and_keeps_key() {
    let mut harness = ExecutorHarness::new().await;
    harness.world().inject([InjectedReply::Throttled { retry_after_seconds: 90 }]);
    let view = harness.run(vec![scale("one", "a", 3)], vec![]).await;
    assert_eq!(
        (view.status, view.steps[0].attempts, view.effects.len()),
        (RunStatus::Succeeded, 2, 1)
    );
    let duration = view.ended_at.unwrap().duration_since(view.started_at).as_secs();
    assert!(duration >= 90, "{duration}");
    harness.assert_no_duplicate_effects();
}

/// Fault row K7: a forbidden change is not retried, and earlier steps are undone.
#[tokio::test]
async fn forbidden_change_fails_and_rolls_back() {
    let mut harness = ExecutorHarness::new().await;
    harness.world().inject([InjectedReply::Pass, InjectedReply::Forbidden]);
    let view = harness
        .run(
            vec![scale("one", "a", 3), with(scale("two", "b", 3), json!({"needs": ["one"]}))],
            vec![],
        )
        .await;
    assert_eq!(
        (view.status, harness.replicas("a"), view.steps[1].attempts),
        (RunStatus::RolledBack, 2, 1)
    );
}

/// A failed post-condition is retried if the retry policy includes it, and the prior state of the first attempt is kept.
#[tokio::test]
async fn failed_postcondition_is_retried_and_prior_state_kept() {
    let mut harness = ExecutorHarness::new().await;
    let step = with(
        scale("one", "a", 3),
        json!({"postconditions": [never("a", "5s")], "retry": {"attempts": 3, "jitter": 0.0, "on": ["postcondition"]}}),
    );
    let view = harness.run(vec![step], vec![]).await;
    assert_eq!(
        (view.status, view.steps[0].attempts, harness.replicas("a")),
        (RunStatus::RolledBack, 3, 2),
        "{view:#?}"
    );
    // The backoff doubles. It counts from the failure of an attempt to the start of the next.
    let (mut failed, mut delays) = (None, Vec::new());
    for record in harness.store.stream(view.run.as_str()).await.unwrap() {
        match record.entry().unwrap() {
            Entry::Run { event: Event::RetryScheduled { .. }, .. } => failed = Some(record.at),
            Entry::Run { event: Event::StepStarted { at, .. }, .. } => {
                delays.extend(failed.map(|failed| at.duration_since(failed).as_secs()));
            }
            _ => {}
        }
    }
    assert_eq!(delays, [2, 4]);
    harness.assert_no_duplicate_effects();
}

#[tokio::test]
async fn compensation_keeps_concurrent_changes() {
    let mut harness = ExecutorHarness::new().await;
    let steps = vec![
        scale("one", "a", 3),
        with(
            scale("two", "b", 3),
            json!({"needs": ["one"], "postconditions": [never("b", "60s")]}),
        ),
    ];
    let plan = plan(&harness.world(), steps, vec![]);
    let run = harness.submit(1, plan);
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |harness| harness.sends() == 2).await;
    harness.external_change("a", 6).await;
    harness.run_until(deadline, |_| false).await;
    let view = harness.view(&run);
    assert_eq!(
        (view.status, harness.replicas("a"), harness.replicas("b")),
        (RunStatus::RolledBack, 6, 2)
    );
    assert!(view.step("one").unwrap().message.contains("changed concurrently"), "{:?}", view.steps);
}

/// A failing compensation is tried three times and reports what remains.
#[tokio::test]
async fn failing_compensation_is_tried_three_times() {
    let mut harness = ExecutorHarness::new().await;
    harness.world().inject([InjectedReply::Pass].into_iter().chain([InjectedReply::Forbidden; 9]));
    let view = harness
        .run(
            vec![with(scale("one", "a", 3), json!({"postconditions": [never("a", "5s")]}))],
            vec![],
        )
        .await;
    assert_eq!(
        (view.status, harness.replicas("a"), harness.sends()),
        (RunStatus::Failed, 3, 4),
        "{view:#?}"
    );
    assert_eq!(view.steps[0].status, StepStatus::CompensationFailed);
    assert!(
        view.message.contains("could not be undone") && view.message.contains("shop/a"),
        "{}",
        view.message
    );
}

/// Invariant I5: a change whose result cannot be determined needs an operator, and a cancellation still ends the run.
#[tokio::test]
async fn unresolvable_change_needs_operator_and_can_be_cancelled() {
    for is_cancelled in [true, false] {
        let mut harness = ExecutorHarness::new().await;
        let plan = plan(&harness.world(), vec![scale("one", "a", 3)], vec![]);
        let run = harness.submit(1, plan);
        let deadline = harness.one_hour_from_now();
        harness.world().inject([InjectedReply::UnknownBeforeApply]);
        harness.run_until(deadline, |harness| harness.sends() == 1).await;
        // Another writer changes the object before it is read: its state does not show whether the change was applied.
        harness.external_change("a", 5).await;
        harness.run_until(deadline, |_| false).await;
        assert_eq!(harness.view(&run).status, RunStatus::NeedsHuman);
        assert_eq!(harness.sends(), 1, "the change is not sent again");
        if is_cancelled {
            harness.control(&run, Control::Cancel);
        } else {
            harness.external_change("a", 3).await;
            harness.control(&run, Control::Resume);
        }
        harness.run_until(deadline, |_| false).await;
        let expected = if is_cancelled { RunStatus::Cancelled } else { RunStatus::Succeeded };
        assert_eq!(harness.view(&run).status, expected, "{:#?}", harness.view(&run));
        assert_eq!(
            harness.replicas("a"),
            if is_cancelled { 5 } else { 3 },
            "a compensation compares before it reverts"
        );
    }
}

/// Each change in turn gets an unknown result before or after it is applied; the end state is the same.
#[tokio::test]
async fn losing_any_reply_leads_to_the_same_result() {
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
    let mut baseline = ExecutorHarness::new().await;
    let expected = baseline.run(steps(), vec![]).await;
    for index in 0..baseline.sends() {
        for fault in [InjectedReply::UnknownBeforeApply, InjectedReply::UnknownAfterApply] {
            let mut harness = ExecutorHarness::new().await;
            harness.world().inject(std::iter::repeat_n(InjectedReply::Pass, index).chain([fault]));
            let view = harness.run(steps(), vec![]).await;
            assert_eq!(view.status, expected.status, "{fault:?} at {index}");
            assert_eq!(
                harness.world().effects(),
                baseline.world().effects(),
                "{fault:?} at {index}"
            );
        }
    }
}

/// A cluster that can be made unavailable for the calls of a run: it gets, lists and changes objects.
struct UnreliableCluster {
    inner: Arc<SimulatedCluster>,
    is_unavailable: Arc<AtomicBool>,
}

impl UnreliableCluster {
    fn check(&self) -> Result<(), ReadFailure> {
        let failure = || ReadFailure::Unavailable {
            resource: "it".into(),
            message: "connection refused".into(),
        };
        if self.is_unavailable.load(Ordering::SeqCst) { Err(failure()) } else { Ok(()) }
    }
}

#[async_trait]
impl Delegate for UnreliableCluster {
    fn inner(&self) -> &dyn Cluster {
        &*self.inner
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

    async fn send(&self, request: &Request) -> WriteReply {
        match self.check() {
            Ok(()) => self.inner.send(request).await,
            Err(failure) => WriteReply::Unknown { message: failure.to_string() },
        }
    }
}

/// Fault row K1: a 30 minute outage ends no run except one whose change is being verified.
#[tokio::test]
async fn outage_of_30_minutes_only_fails_runs_in_health_check() {
    // If health cannot be read after a change for longer than the step's timeout, the object is not assumed to be healthy.
    // So a run is rolled back if and only if the outage starts between a change and its health check.
    let (mut outage_start, mut in_health_check, mut rolled_back) = (0, Vec::new(), Vec::new());
    loop {
        let mut harness = ExecutorHarness::new().await;
        let plan = plan(
            &harness.world(),
            vec![scale("one", "a", 3), with(scale("two", "b", 3), json!({"needs": ["one"]}))],
            vec![],
        );
        let run = harness.submit(1, plan);
        let is_unavailable = Arc::new(AtomicBool::new(false));
        let unreliable = Arc::new(UnreliableCluster {
            inner: harness.cluster(),
            is_unavailable: is_unavailable.clone(),
        });
        let (mut count, mut unavailable_since, mut has_sent) = (0, None, false);
        loop {
            let inputs = std::mem::take(&mut harness.inbox);
            let pending = harness.decide(&inputs).await.unwrap();
            for effect in pending.effects {
                if count == outage_start {
                    unavailable_since = Some(harness.now());
                    let is_measured = matches!(effect, Effect::Measure { .. });
                    in_health_check.extend((is_measured && has_sent).then_some(outage_start));
                }
                has_sent |= matches!(effect, Effect::Send { .. });
                count += 1;
                is_unavailable.store(
                    unavailable_since
                        .is_some_and(|since| harness.now() < since + SignedDuration::from_mins(30)),
                    Ordering::SeqCst,
                );
                if matches!(effect, Effect::Send { .. }) && is_unavailable.load(Ordering::SeqCst) {
                    assert_eq!(outage_start, count - 1, "no change is sent during a known outage");
                }
                let metrics = harness.cluster() as Arc<dyn Metrics>;
                harness
                    .inbox
                    .push(perform(effect, unreliable.clone() as Arc<dyn Cluster>, metrics).await);
            }
            if harness.inbox.is_empty() {
                let Some(at) = pending.deadline else { break };
                harness.world().advance_fully(at);
                harness.inbox.push(RunInput::Due);
            }
        }
        let view = harness.view(&run);
        if view.status != RunStatus::Succeeded {
            assert!(view.status.is_terminal(), "outage before effect {outage_start}: {view:#?}");
            assert!(
                view.message.contains("can no longer be read"),
                "outage before effect {outage_start}: {view:#?}"
            );
            rolled_back.push(outage_start);
        }
        harness.assert_no_duplicate_effects();
        if count <= outage_start {
            break;
        }
        outage_start += 1;
    }
    assert!(outage_start > 6, "{outage_start}");
    assert!(!in_health_check.is_empty());
    assert_eq!(rolled_back, in_health_check, "of {outage_start}");
}
