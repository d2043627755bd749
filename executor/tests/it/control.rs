use executor::{Rejected, Rules};
use jiff::SignedDuration;
use serde_json::json;
use workflow::run::{Control, Event, RunInput, RunStatus, StepStatus, StopLevel, StopScope};

use crate::harness::{ExecutorHarness, never, plan, ready, run_id, scale, target, with};

fn approved() -> serde_json::Value {
    json!({"approval": {"reason": "requires an operator", "expires": "10m"}})
}

fn stop(level: StopLevel, scope: StopScope) -> RunInput {
    RunInput::Stop { scope, level, actor: "ann".into(), reason: "smoke".into() }
}

fn clear_stop(scope: StopScope, reason: &str) -> RunInput {
    RunInput::ClearStop { scope, actor: "bob".into(), reason: reason.into() }
}

/// A step waits for the approval of an operator; an approval that expires counts as a rejection.
#[tokio::test]
async fn step_awaits_approval_until_it_expires() {
    for decision in [Some(true), Some(false), None] {
        let mut harness = ExecutorHarness::new().await;
        let plan = plan(&harness.world(), vec![with(scale("one", "a", 3), approved())], vec![]);
        let run = harness.submit(1, plan);
        let soon = harness.now() + SignedDuration::from_mins(2);
        harness.run_until(soon, |_| false).await;
        assert_eq!((harness.view(&run).status, harness.sends()), (RunStatus::AwaitingApproval, 0));
        if let Some(is_approved) = decision {
            let step = "one".to_string();
            harness.control(
                &run,
                if is_approved {
                    Control::ApproveStep { step }
                } else {
                    Control::RejectStep { step }
                },
            );
        }
        let deadline = harness.one_hour_from_now();
        harness.run_until(deadline, |_| false).await;
        let view = harness.view(&run);
        let expected =
            if decision == Some(true) { RunStatus::Succeeded } else { RunStatus::RolledBack };
        assert_eq!(view.status, expected, "{decision:?}");
        if decision.is_none() {
            let waited = view.ended_at.unwrap().duration_since(view.started_at);
            assert_eq!(waited.as_secs(), 600, "the approval expires exactly on time");
        }
    }
}

#[tokio::test]
async fn action_can_request_approval() {
    let mut harness = ExecutorHarness::new().await;
    let ask =
        json!({"id": "ask", "action": "request-approval", "arguments": {"question": "continue?"}});
    let plan = plan(
        &harness.world(),
        vec![ask, with(scale("then", "a", 3), json!({"needs": ["ask"]}))],
        vec![],
    );
    let run = harness.submit(1, plan);
    let soon = harness.now() + SignedDuration::from_mins(5);
    harness.run_until(soon, |_| false).await;
    assert_eq!(harness.view(&run).status, RunStatus::AwaitingApproval);
    harness.control(&run, Control::ApproveStep { step: "then".into() });
    harness.control(&run, Control::ApproveStep { step: "ask".into() });
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |_| false).await;
    assert_eq!(harness.rejected, [Rejected::NoApprovalRequested { step: "then".into() }]);
    assert_eq!((harness.view(&run).status, harness.replicas("a")), (RunStatus::Succeeded, 3));
}

/// Invariant I6: a paused run sends no new change, and the pause does not count against its timeouts.
#[tokio::test]
async fn paused_run_sends_nothing_and_extends_timeouts() {
    let mut harness = ExecutorHarness::new().await;
    let steps = vec![
        with(scale("one", "a", 3), json!({"postconditions": [ready("a", 3, "2m")]})),
        with(scale("two", "b", 3), json!({"needs": ["one"], "timeout": "30s"})),
    ];
    let plan = plan(&harness.world(), steps, vec![]);
    let run = harness.submit(1, plan);
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |harness| harness.sends() == 1).await;
    harness.control(&run, Control::Pause);
    harness.control(&run, Control::Pause);
    let later = harness.now() + SignedDuration::from_mins(20);
    harness.run_until(later, |_| false).await;
    // The change in flight is finished and verified; nothing new is started.
    assert_eq!((harness.view(&run).status, harness.sends()), (RunStatus::Paused, 1));
    assert_eq!(harness.view(&run).step("one").unwrap().status, StepStatus::Succeeded);
    harness.world().advance_fully(later);
    harness.control(&run, Control::Resume);
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |_| false).await;
    assert_eq!((harness.view(&run).status, harness.sends()), (RunStatus::Succeeded, 2));
}

/// Invariant I7: a cancelled run undoes what it applied and ends.
#[tokio::test]
async fn cancelled_run_rolls_back_and_ends() {
    let mut harness = ExecutorHarness::new().await;
    let plan = plan(
        &harness.world(),
        vec![
            scale("one", "a", 3),
            with(scale("two", "b", 3), with(approved(), json!({"needs": ["one"]}))),
        ],
        vec![],
    );
    let run = harness.submit(1, plan);
    let soon = harness.now() + SignedDuration::from_mins(2);
    harness.run_until(soon, |_| false).await;
    assert_eq!(harness.replicas("a"), 3);
    harness.control(&run, Control::Cancel);
    harness.control(&run, Control::Cancel);
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |_| false).await;
    assert_eq!(
        (harness.view(&run).status, harness.replicas("a"), harness.replicas("b")),
        (RunStatus::Cancelled, 2, 2)
    );
    assert!(!harness.view(&run).requests_replan);
    harness.control(&run, Control::Cancel);
    harness.run_until(deadline, |_| false).await;
    assert_eq!(harness.rejected, [Rejected::Ended { run }]);
}

/// Row X4: a cancellation during a rollback finishes the compensation in progress and pauses the run.
#[tokio::test]
async fn cancel_during_rollback_pauses_after_current_step() {
    let mut harness = ExecutorHarness::new().await;
    let steps = vec![
        scale("one", "a", 3),
        with(scale("two", "b", 3), json!({"needs": ["one"]})),
        with(scale("bad", "c", 3), json!({"needs": ["two"], "preconditions": [never("c", "0s")]})),
    ];
    let plan = plan(&harness.world(), steps, vec![]);
    let run = harness.submit(1, plan);
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |harness| harness.sends() == 3).await;
    // The cancellation arrives before the reply to the change that undoes `two`.
    harness.control(&run, Control::Cancel);
    harness.inbox.rotate_right(1);
    harness.run_until(deadline, |_| false).await;
    assert_eq!(harness.view(&run).status, RunStatus::Paused);
    assert_eq!((harness.replicas("b"), harness.replicas("a")), (2, 3));
    harness.control(&run, Control::Resume);
    harness.run_until(deadline, |_| false).await;
    assert_eq!((harness.view(&run).status, harness.replicas("a")), (RunStatus::RolledBack, 2));
}

/// A run that is not held cannot be resumed, and a run that has ended cannot be held.
#[tokio::test]
async fn pause_stop_and_resume_reject_invalid_states() {
    let mut harness = ExecutorHarness::new().await;
    let plan = plan(&harness.world(), vec![with(scale("one", "a", 3), approved())], vec![]);
    let run = harness.submit(1, plan);
    let of_run = StopScope::Run { run: run.clone() };
    let soon = harness.now() + SignedDuration::from_mins(1);
    harness.run_until(soon, |_| false).await;
    let head = harness.events(&run).await.len();
    harness.control(&run, Control::Resume);
    harness.inbox.push(clear_stop(StopScope::Global, "no stop is active"));
    harness.inbox.push(clear_stop(of_run.clone(), "no stop is active"));
    harness.run_until(soon, |_| false).await;
    let not_stopped = |scope: &StopScope| Rejected::NotStopped { scope: scope.clone() };
    let refused = [
        Rejected::NotPaused { run: run.clone() },
        not_stopped(&StopScope::Global),
        not_stopped(&of_run),
    ];
    assert_eq!(harness.rejected, refused);
    assert_eq!(harness.events(&run).await.len(), head, "rejected inputs are not recorded");
    // Repeating a stop has no effect, because a client may retry after a lost response; clearing it twice is rejected.
    harness.inbox.push(stop(StopLevel::L1, of_run.clone()));
    harness.inbox.push(stop(StopLevel::L1, of_run.clone()));
    harness.inbox.push(clear_stop(of_run.clone(), "fixed"));
    harness.inbox.push(clear_stop(of_run.clone(), "fixed"));
    harness.run_until(soon, |_| false).await;
    assert_eq!(harness.rejected[3..], [not_stopped(&of_run)]);
    harness.control(&run, Control::Cancel);
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |_| false).await;
    harness.control(&run, Control::Pause);
    harness.control(&run, Control::Resume);
    harness.inbox.push(stop(StopLevel::L2, of_run));
    harness.run_until(deadline, |_| false).await;
    let ended = Rejected::Ended { run: run.clone() };
    assert_eq!(harness.rejected[4..], [ended.clone(), ended.clone(), ended]);
    let unknown: workflow::id::RunId = "run_00000000000000000000000000".parse().unwrap();
    harness.inbox.push(stop(StopLevel::L2, StopScope::Run { run: unknown.clone() }));
    harness.run_until(deadline, |_| false).await;
    assert_eq!(harness.rejected[7..], [Rejected::UnknownRun { run: unknown }]);
}

/// No intent is recorded during an emergency stop, and clearing the stop requires a reason.
#[tokio::test]
async fn no_intent_is_written_while_stopped() {
    for level in [StopLevel::L1, StopLevel::L2] {
        for is_global in [true, false] {
            let mut harness = ExecutorHarness::new().await;
            let scope =
                if is_global { StopScope::Global } else { StopScope::Run { run: run_id(1) } };
            let steps = vec![
                with(scale("one", "a", 3), json!({"postconditions": [ready("a", 3, "2m")]})),
                with(scale("two", "b", 3), json!({"needs": ["one"]})),
            ];
            let first = plan(&harness.world(), steps, vec![]);
            let run = harness.submit(1, first);
            let deadline = harness.one_hour_from_now();
            harness.run_until(deadline, |harness| harness.sends() == 1).await;
            harness.inbox.push(stop(level, scope.clone()));
            let later = harness.now() + SignedDuration::from_mins(10);
            harness.run_until(later, |_| false).await;
            assert_eq!((harness.view(&run).status, harness.sends()), (RunStatus::Paused, 1));
            let verified =
                if level == StopLevel::L1 { StepStatus::Succeeded } else { StepStatus::Verifying };
            assert_eq!(
                harness.view(&run).step("one").unwrap().status,
                verified,
                "L1 stops after verification, L2 stops immediately"
            );
            // A run submitted during a global stop does not start, and resuming a run does not clear the stop.
            harness.control(&run, Control::Resume);
            let other = plan(&harness.world(), vec![scale("other", "c", 3)], vec![]);
            let second = harness.submit(2, other);
            harness.inbox.push(clear_stop(scope.clone(), " "));
            harness.run_until(later, |_| false).await;
            assert_eq!(harness.rejected.last(), Some(&Rejected::MissingReason));
            assert_eq!(harness.view(&run).status, RunStatus::Paused);
            assert_eq!(harness.view(&second).status.is_terminal(), !is_global);
            harness.world().advance_fully(later);
            harness.inbox.push(clear_stop(scope, "the smoke has cleared"));
            let deadline = harness.one_hour_from_now();
            harness.run_until(deadline, |_| false).await;
            assert_eq!(harness.view(&run).status, RunStatus::Succeeded);
            assert_eq!(harness.view(&second).status, RunStatus::Succeeded);
            assert!(harness.fleet.stops().is_empty());
        }
    }
}

/// Row X2: racing commands leave a valid state, and every run ends.
#[tokio::test]
async fn racing_commands_leave_a_valid_state() {
    for seed in 0..60u64 {
        let mut harness = ExecutorHarness::new().await;
        let steps = vec![
            scale("one", "a", 3),
            with(
                scale("two", "b", 3),
                json!({"needs": ["one"], "postconditions": [ready("b", 3, "2m")]}),
            ),
            with(scale("three", "c", 3), json!({"needs": ["two"]})),
        ];
        let first = plan(&harness.world(), steps, vec![]);
        let run = harness.submit(1, first);
        let deadline = harness.one_hour_from_now();
        let random = |n: u64| workflow::seed::uniform01("race", &format!("{seed}/{n}"));
        for attempt in 0..12 {
            let sent = harness.performed.len() + (random(attempt) * 5.0) as usize;
            harness.run_until(deadline, |harness| harness.performed.len() >= sent).await;
            match (random(100 + attempt) * 6.0) as u32 {
                0 => harness.control(&run, Control::Pause),
                1 => harness.control(&run, Control::Resume),
                2 if attempt > 6 => harness.control(&run, Control::Cancel),
                3 => harness.inbox.push(stop(StopLevel::L1, StopScope::Global)),
                4 => harness.inbox.push(stop(StopLevel::L2, StopScope::Run { run: run.clone() })),
                _ => harness.inbox.push(clear_stop(StopScope::Global, "continue")),
            }
        }
        harness.inbox.extend([
            clear_stop(StopScope::Global, "end"),
            clear_stop(StopScope::Run { run: run.clone() }, "end"),
        ]);
        harness.control(&run, Control::Resume);
        let deadline = harness.one_hour_from_now();
        harness.run_until(deadline, |_| false).await;
        harness.control(&run, Control::Resume);
        harness.run_until(deadline, |_| false).await;
        let view = harness.view(&run).clone();
        assert!(view.status.is_terminal(), "seed {seed}: {view:#?}");
        harness.assert_no_duplicate_effects();
        // According to the record, no intent is recorded while the run is paused or stopped.
        let mut is_held = (false, false);
        for event in harness.events(&run).await {
            match event {
                Event::Paused { .. } => is_held.0 = true,
                Event::Resumed { .. } | Event::RollbackStarted { .. } => is_held.0 = false,
                Event::StopApplied { .. } => is_held.1 = true,
                Event::StopCleared { .. } => is_held.1 = false,
                Event::IntentWritten { .. } => assert_eq!(is_held, (false, false), "seed {seed}"),
                _ => {}
            }
        }
    }
}

/// Row X3.
#[tokio::test]
async fn run_submitted_twice_is_executed_once() {
    let mut harness = ExecutorHarness::new().await;
    let first = plan(&harness.world(), vec![scale("one", "a", 3)], vec![]);
    let run = harness.submit(1, first.clone());
    harness.submit(1, first.clone());
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |_| false).await;
    harness.submit(1, first);
    harness.run_until(deadline, |_| false).await;
    assert_eq!(
        harness.rejected,
        [Rejected::AlreadySubmitted { run: run.clone() }, Rejected::AlreadySubmitted { run }]
    );
    assert_eq!(harness.sends(), 1);
}

/// A plan that was changed after freezing, names an unknown action or has a dependency cycle is rejected.
#[tokio::test]
async fn invalid_plan_is_rejected() {
    let mut harness = ExecutorHarness::new().await;
    let good = plan(&harness.world(), vec![scale("one", "a", 3)], vec![]);
    let mut changed = good.clone();
    changed.workflow.spec.steps[0].arguments.insert("replicas".into(), json!(30));
    let unknown =
        plan(&harness.world(), vec![with(scale("one", "a", 3), json!({"action": "exec"}))], vec![]);
    let cycle = plan(
        &harness.world(),
        vec![
            with(scale("one", "a", 3), json!({"needs": ["two"]})),
            with(scale("two", "a", 3), json!({"needs": ["one"]})),
        ],
        vec![],
    );
    for (n, plan) in [changed, unknown, cycle].into_iter().enumerate() {
        harness.submit(n as u64, plan);
    }
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |_| false).await;
    assert_eq!(harness.rejected.len(), 3);
    assert!(
        harness.rejected.iter().all(|rejected| matches!(rejected, Rejected::InvalidPlan { .. })),
        "{:?}",
        harness.rejected
    );
    assert_eq!(harness.performed.len(), 0);
}

/// A run waits until its targets are free, and no run overtakes another one that waits for the same object.
#[tokio::test]
async fn runs_wait_for_locked_targets_without_overtaking() {
    let mut harness = ExecutorHarness::new().await;
    let condition = with(ready("b", 3, "5m"), json!({"holdFor": "60s"}));
    let first = plan(
        &harness.world(),
        vec![
            scale("one", "a", 3),
            with(scale("two", "b", 3), json!({"postconditions": [condition]})),
        ],
        vec![],
    );
    let second = plan(&harness.world(), vec![scale("one", "a", 4), scale("two", "c", 4)], vec![]);
    let third = plan(&harness.world(), vec![scale("one", "c", 5)], vec![]);
    let fourth = plan(&harness.world(), vec![scale("one", "d", 5)], vec![]);
    let runs: Vec<_> = [first, second, third, fourth]
        .into_iter()
        .enumerate()
        .map(|(n, plan)| harness.submit(n as u64, plan))
        .collect();
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |_| false).await;
    let views: Vec<_> = runs.iter().map(|run| harness.view(run).clone()).collect();
    assert!(views.iter().all(|view| view.status == RunStatus::Succeeded));
    let started = |n: usize| views[n].steps[0].started_at.unwrap();
    let ended = |n: usize| views[n].ended_at.unwrap();
    assert!(started(1) >= ended(0) && started(2) >= ended(1), "in order");
    assert!(started(3) < ended(0), "a run with free targets does not wait");
    assert_eq!((harness.replicas("a"), harness.replicas("c")), (4, 5));
}

#[tokio::test]
async fn concurrency_limit_and_priority_order_admission() {
    let mut harness = ExecutorHarness::new().await;
    harness.fleet = executor::Fleet::new(1);
    let mut plans = Vec::new();
    for (name, priority) in [("a", "low"), ("b", "low"), ("c", "high")] {
        let mut plan = plan(&harness.world(), vec![scale("one", name, 3)], vec![]);
        plan.workflow.metadata.labels.insert("priority".into(), priority.into());
        plan.digest = workflow::Plan::digest_of(
            &plan.incident,
            &plan.workflow,
            &plan.targets,
            &plan.guardrails_version,
        );
        plans.push(plan);
    }
    let runs: Vec<_> =
        plans.into_iter().enumerate().map(|(n, plan)| harness.submit(n as u64, plan)).collect();
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |_| false).await;
    let started: Vec<_> =
        runs.iter().map(|run| harness.view(run).steps[0].started_at.unwrap()).collect();
    assert!(started[0] < started[2] && started[2] < started[1], "{started:?}");
}

#[tokio::test]
async fn guardrails_are_checked_before_every_intent() {
    let denied = |change: fn(&mut Rules)| async move {
        let mut harness = ExecutorHarness::new().await;
        change(&mut harness.rules);
        let steps =
            vec![scale("one", "a", 3), with(scale("two", "a", 4), json!({"needs": ["one"]}))];
        let view = harness.run(steps, vec![]).await;
        (
            view.status,
            view.steps.iter().map(|step| step.message.clone()).collect::<Vec<_>>(),
            harness.replicas("a"),
        )
    };
    let (status, messages, replicas) =
        denied(|rules| rules.guardrails.spec.protected_namespaces.push("shop".into())).await;
    assert_eq!((status, replicas), (RunStatus::RolledBack, 2));
    assert!(messages[0].contains("guardrail"), "{messages:?}");
    // C8: an action that was denied after the plan was made.
    let (status, messages, replicas) =
        denied(|rules| rules.guardrails.spec.denied_actions.push("scale".into())).await;
    assert_eq!((status, replicas), (RunStatus::RolledBack, 2));
    assert!(messages[0].contains("guardrail") && messages[0].contains("scale"), "{messages:?}");
    let (status, messages, replicas) =
        denied(|rules| rules.guardrails.spec.max_changes_per_target_per_hour = 1).await;
    // The rate limit allows one change; undoing it does not count against the limit.
    assert_eq!((status, replicas), (RunStatus::RolledBack, 2));
    assert!(messages[1].contains("guardrail"), "{messages:?}");
    let (status, _, replicas) =
        denied(|rules| rules.guardrails.spec.autonomy = workflow::guardrail::Autonomy::Approve)
            .await;
    assert_eq!((status, replicas), (RunStatus::RolledBack, 2), "the plan was not approved");
}

#[tokio::test]
async fn change_of_object_locked_by_another_run_is_denied() {
    let mut harness = ExecutorHarness::new().await;
    let condition = with(ready("a", 3, "5m"), json!({"holdFor": "60s"}));
    let first = plan(
        &harness.world(),
        vec![with(scale("one", "a", 3), json!({"postconditions": [condition]}))],
        vec![],
    );
    let mut second = plan(&harness.world(), vec![scale("one", "a", 4)], vec![]);
    // A plan that does not declare its target.
    second.targets.clear();
    second.digest = workflow::Plan::digest_of(
        &second.incident,
        &second.workflow,
        &second.targets,
        &second.guardrails_version,
    );
    second.workflow.spec.steps[0].arguments["target"] =
        with(target("a"), json!({"cluster": "sim"}));
    second.digest = workflow::Plan::digest_of(
        &second.incident,
        &second.workflow,
        &second.targets,
        &second.guardrails_version,
    );
    harness.submit(1, first);
    let run = harness.submit(2, second);
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |_| false).await;
    assert!(
        harness.view(&run).steps[0].message.contains("is locked by run"),
        "{:?}",
        harness.view(&run).steps
    );
    assert_eq!(harness.replicas("a"), 3);
}

#[tokio::test]
async fn runaway_run_fails_and_long_valid_run_succeeds() {
    let mut harness = ExecutorHarness::new().await;
    let endless_retry = json!({"retry": {"strategy": "fixed", "attempts": 1_000_000, "initial": "0s", "jitter": 0.0, "on": ["timeout"]}, "timeout": "0s"});
    let bad = plan(&harness.world(), vec![with(scale("one", "a", 3), endless_retry)], vec![]);
    let chain = (0..100).map(|n| {
        let needs: Vec<String> = (n > 0).then(|| format!("s{}", n - 1)).into_iter().collect();
        json!({"id": format!("s{n}"), "action": "wait", "arguments": {"duration": "0s"}, "needs": needs})
    });
    let long = plan(&harness.world(), chain.collect(), vec![]);
    let (bad, long) = (harness.submit(1, bad), harness.submit(2, long));
    let deadline = harness.one_hour_from_now();
    harness.run_until(deadline, |_| false).await;
    assert_eq!(harness.view(&bad).status, RunStatus::Failed);
    assert!(harness.view(&bad).message.contains("runaway"), "{}", harness.view(&bad).message);
    assert_eq!(harness.view(&long).status, RunStatus::Succeeded);
    assert_eq!(harness.sends(), 0);
}
