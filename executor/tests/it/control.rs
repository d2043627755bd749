use executor::{Rejected, Rules};
use jiff::SignedDuration;
use serde_json::json;
use workflow::run::{Control, Event, RunInput, RunStatus, StepStatus, StopLevel, StopScope};

use crate::rig::{Rig, never, plan, ready, run_id, scale, target, with};

fn approved() -> serde_json::Value {
    json!({"approval": {"reason": "is it night?", "expires": "10m"}})
}

fn stop(level: StopLevel, scope: StopScope) -> RunInput {
    RunInput::Stop { scope, level, by: "ann".into(), reason: "smoke".into() }
}

fn lift(scope: StopScope, reason: &str) -> RunInput {
    RunInput::Resume { scope, by: "bob".into(), reason: reason.into() }
}

#[tokio::test]
async fn a_step_waits_for_a_persons_yes_and_no_answer_in_time_is_a_no() {
    for answer in [Some(true), Some(false), None] {
        let mut rig = Rig::new().await;
        let plan = plan(&rig.world(), vec![with(scale("one", "a", 3), approved())], vec![]);
        let run = rig.submit(1, plan);
        let soon = rig.now() + SignedDuration::from_mins(2);
        rig.go(soon, |_| false).await;
        assert_eq!((rig.view(&run).status, rig.sends()), (RunStatus::AwaitingApproval, 0));
        if let Some(yes) = answer {
            let step = "one".to_string();
            rig.control(
                &run,
                if yes { Control::ApproveStep { step } } else { Control::RejectStep { step } },
            );
        }
        let hour = rig.hour();
        rig.go(hour, |_| false).await;
        let view = rig.view(&run);
        let expected =
            if answer == Some(true) { RunStatus::Succeeded } else { RunStatus::RolledBack };
        assert_eq!(view.status, expected, "{answer:?}");
        if answer.is_none() {
            let waited = view.ended_at.unwrap().duration_since(view.started_at);
            assert_eq!(waited.as_secs(), 600, "it expires when it says, not before and not after");
        }
    }
}

#[tokio::test]
async fn an_action_may_ask_a_person_in_the_middle_of_a_run() {
    let mut rig = Rig::new().await;
    let ask = json!({"id": "ask", "action": "ask-human", "arguments": {"question": "go on?"}});
    let plan = plan(
        &rig.world(),
        vec![ask, with(scale("then", "a", 3), json!({"needs": ["ask"]}))],
        vec![],
    );
    let run = rig.submit(1, plan);
    let soon = rig.now() + SignedDuration::from_mins(5);
    rig.go(soon, |_| false).await;
    assert_eq!(rig.view(&run).status, RunStatus::AwaitingApproval);
    rig.control(&run, Control::ApproveStep { step: "then".into() });
    rig.control(&run, Control::ApproveStep { step: "ask".into() });
    let hour = rig.hour();
    rig.go(hour, |_| false).await;
    assert_eq!(rig.rejected, [Rejected::NotAsked { step: "then".into() }]);
    assert_eq!((rig.view(&run).status, rig.replicas("a")), (RunStatus::Succeeded, 3));
}

#[tokio::test]
async fn i6_a_paused_run_sends_nothing_new_and_its_clock_stands_still() {
    let mut rig = Rig::new().await;
    let steps = vec![
        with(scale("one", "a", 3), json!({"postconditions": [ready("a", 3, "2m")]})),
        with(scale("two", "b", 3), json!({"needs": ["one"], "timeout": "30s"})),
    ];
    let plan = plan(&rig.world(), steps, vec![]);
    let run = rig.submit(1, plan);
    let hour = rig.hour();
    rig.go(hour, |rig| rig.sends() == 1).await;
    rig.control(&run, Control::Pause);
    rig.control(&run, Control::Pause);
    let later = rig.now() + SignedDuration::from_mins(20);
    rig.go(later, |_| false).await;
    // What was on the wire is finished and verified; nothing new is begun.
    assert_eq!((rig.view(&run).status, rig.sends()), (RunStatus::Paused, 1));
    assert_eq!(rig.view(&run).step("one").unwrap().status, StepStatus::Succeeded);
    rig.world().advance_fully(later);
    rig.control(&run, Control::Resume);
    let hour = rig.hour();
    rig.go(hour, |_| false).await;
    assert_eq!((rig.view(&run).status, rig.sends()), (RunStatus::Succeeded, 2));
}

#[tokio::test]
async fn i7_a_cancelled_run_undoes_what_it_applied_and_ends() {
    let mut rig = Rig::new().await;
    let plan = plan(
        &rig.world(),
        vec![
            scale("one", "a", 3),
            with(scale("two", "b", 3), with(approved(), json!({"needs": ["one"]}))),
        ],
        vec![],
    );
    let run = rig.submit(1, plan);
    let soon = rig.now() + SignedDuration::from_mins(2);
    rig.go(soon, |_| false).await;
    assert_eq!(rig.replicas("a"), 3);
    rig.control(&run, Control::Cancel);
    rig.control(&run, Control::Cancel);
    let hour = rig.hour();
    rig.go(hour, |_| false).await;
    assert_eq!(
        (rig.view(&run).status, rig.replicas("a"), rig.replicas("b")),
        (RunStatus::Cancelled, 2, 2)
    );
    assert!(!rig.view(&run).wants_next_plan);
    rig.control(&run, Control::Cancel);
    rig.go(hour, |_| false).await;
    assert_eq!(rig.rejected, [Rejected::Ended { run }]);
}

#[tokio::test]
async fn x4_a_cancel_in_the_middle_of_an_undo_finishes_the_step_under_way_and_holds() {
    let mut rig = Rig::new().await;
    let steps = vec![
        scale("one", "a", 3),
        with(scale("two", "b", 3), json!({"needs": ["one"]})),
        with(scale("bad", "c", 3), json!({"needs": ["two"], "preconditions": [never("c", "0s")]})),
    ];
    let plan = plan(&rig.world(), steps, vec![]);
    let run = rig.submit(1, plan);
    let hour = rig.hour();
    rig.go(hour, |rig| rig.sends() == 3).await;
    // Before the answer to the change that undoes `two`.
    rig.control(&run, Control::Cancel);
    rig.inbox.rotate_right(1);
    rig.go(hour, |_| false).await;
    assert_eq!(rig.view(&run).status, RunStatus::Paused);
    assert_eq!((rig.replicas("b"), rig.replicas("a")), (2, 3));
    rig.control(&run, Control::Resume);
    rig.go(hour, |_| false).await;
    assert_eq!((rig.view(&run).status, rig.replicas("a")), (RunStatus::RolledBack, 2));
}

#[tokio::test]
async fn what_is_not_held_cannot_be_let_go_and_what_is_over_cannot_be_held() {
    let mut rig = Rig::new().await;
    let plan = plan(&rig.world(), vec![with(scale("one", "a", 3), approved())], vec![]);
    let run = rig.submit(1, plan);
    let of_run = StopScope::Run { run: run.clone() };
    let soon = rig.now() + SignedDuration::from_mins(1);
    rig.go(soon, |_| false).await;
    let head = rig.events(&run).await.len();
    rig.control(&run, Control::Resume);
    rig.inbox.push(lift(StopScope::Global, "nothing was stopped"));
    rig.inbox.push(lift(of_run.clone(), "nothing was stopped"));
    rig.go(soon, |_| false).await;
    let not_stopped = |scope: &StopScope| Rejected::NotStopped { scope: scope.clone() };
    let refused = [
        Rejected::NotPaused { run: run.clone() },
        not_stopped(&StopScope::Global),
        not_stopped(&of_run),
    ];
    assert_eq!(rig.rejected, refused);
    assert_eq!(rig.events(&run).await.len(), head, "nothing of it is recorded");
    // Said twice is said once, for whoever repeats an order whose answer was lost; lifted twice is not.
    rig.inbox.push(stop(StopLevel::L1, of_run.clone()));
    rig.inbox.push(stop(StopLevel::L1, of_run.clone()));
    rig.inbox.push(lift(of_run.clone(), "mended"));
    rig.inbox.push(lift(of_run.clone(), "mended"));
    rig.go(soon, |_| false).await;
    assert_eq!(rig.rejected[3..], [not_stopped(&of_run)]);
    rig.control(&run, Control::Cancel);
    let hour = rig.hour();
    rig.go(hour, |_| false).await;
    rig.control(&run, Control::Pause);
    rig.control(&run, Control::Resume);
    rig.inbox.push(stop(StopLevel::L2, of_run));
    rig.go(hour, |_| false).await;
    let ended = Rejected::Ended { run: run.clone() };
    assert_eq!(rig.rejected[4..], [ended.clone(), ended.clone(), ended]);
    let unknown: workflow::id::RunId = "run_00000000000000000000000000".parse().unwrap();
    rig.inbox.push(stop(StopLevel::L2, StopScope::Run { run: unknown.clone() }));
    rig.go(hour, |_| false).await;
    assert_eq!(rig.rejected[7..], [Rejected::UnknownRun { run: unknown }]);
}

#[tokio::test]
async fn no_intent_is_written_after_a_stop_and_one_person_lifts_it_with_a_reason() {
    for level in [StopLevel::L1, StopLevel::L2] {
        for is_global in [true, false] {
            let mut rig = Rig::new().await;
            let scope =
                if is_global { StopScope::Global } else { StopScope::Run { run: run_id(1) } };
            let steps = vec![
                with(scale("one", "a", 3), json!({"postconditions": [ready("a", 3, "2m")]})),
                with(scale("two", "b", 3), json!({"needs": ["one"]})),
            ];
            let first = plan(&rig.world(), steps, vec![]);
            let run = rig.submit(1, first);
            let hour = rig.hour();
            rig.go(hour, |rig| rig.sends() == 1).await;
            rig.inbox.push(stop(level, scope.clone()));
            let later = rig.now() + SignedDuration::from_mins(10);
            rig.go(later, |_| false).await;
            assert_eq!((rig.view(&run).status, rig.sends()), (RunStatus::Paused, 1));
            let verified =
                if level == StopLevel::L1 { StepStatus::Succeeded } else { StepStatus::Verifying };
            assert_eq!(
                rig.view(&run).step("one").unwrap().status,
                verified,
                "L1 verifies and holds, L2 holds at once"
            );
            // Nothing that is submitted under a global stop begins; resuming the run is not lifting the stop.
            rig.control(&run, Control::Resume);
            let other = plan(&rig.world(), vec![scale("other", "c", 3)], vec![]);
            let second = rig.submit(2, other);
            rig.inbox.push(lift(scope.clone(), " "));
            rig.go(later, |_| false).await;
            assert_eq!(rig.rejected.last(), Some(&Rejected::NoReason));
            assert_eq!(rig.view(&run).status, RunStatus::Paused);
            assert_eq!(rig.view(&second).status.is_terminal(), !is_global);
            rig.world().advance_fully(later);
            rig.inbox.push(lift(scope, "the smoke is gone"));
            let hour = rig.hour();
            rig.go(hour, |_| false).await;
            assert_eq!(rig.view(&run).status, RunStatus::Succeeded);
            assert_eq!(rig.view(&second).status, RunStatus::Succeeded);
            assert!(rig.fleet.stops().is_empty());
        }
    }
}

#[tokio::test]
async fn x2_commands_that_race_leave_a_legal_state_and_every_run_ends() {
    for seed in 0..60u64 {
        let mut rig = Rig::new().await;
        let steps = vec![
            scale("one", "a", 3),
            with(
                scale("two", "b", 3),
                json!({"needs": ["one"], "postconditions": [ready("b", 3, "2m")]}),
            ),
            with(scale("three", "c", 3), json!({"needs": ["two"]})),
        ];
        let first = plan(&rig.world(), steps, vec![]);
        let run = rig.submit(1, first);
        let hour = rig.hour();
        let draw = |n: u64| workflow::seed::unit("race", &format!("{seed}/{n}"));
        for turn in 0..12 {
            let sent = rig.performed.len() + (draw(turn) * 5.0) as usize;
            rig.go(hour, |rig| rig.performed.len() >= sent).await;
            match (draw(100 + turn) * 6.0) as u32 {
                0 => rig.control(&run, Control::Pause),
                1 => rig.control(&run, Control::Resume),
                2 if turn > 6 => rig.control(&run, Control::Cancel),
                3 => rig.inbox.push(stop(StopLevel::L1, StopScope::Global)),
                4 => rig.inbox.push(stop(StopLevel::L2, StopScope::Run { run: run.clone() })),
                _ => rig.inbox.push(lift(StopScope::Global, "go on")),
            }
        }
        rig.inbox.extend([
            lift(StopScope::Global, "end"),
            lift(StopScope::Run { run: run.clone() }, "end"),
        ]);
        rig.control(&run, Control::Resume);
        let hour = rig.hour();
        rig.go(hour, |_| false).await;
        rig.control(&run, Control::Resume);
        rig.go(hour, |_| false).await;
        let view = rig.view(&run).clone();
        assert!(view.status.is_terminal(), "seed {seed}: {view:#?}");
        rig.assert_single();
        // Nothing is sent between a hold and its end, as the record tells it.
        let mut is_held = (false, false);
        for event in rig.events(&run).await {
            match event {
                Event::Paused { .. } => is_held.0 = true,
                Event::Resumed { .. } | Event::UnwindStarted { .. } => is_held.0 = false,
                Event::Held { .. } => is_held.1 = true,
                Event::Released { .. } => is_held.1 = false,
                Event::IntentWritten { .. } => assert_eq!(is_held, (false, false), "seed {seed}"),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn x3_a_run_that_is_submitted_twice_is_one_run() {
    let mut rig = Rig::new().await;
    let first = plan(&rig.world(), vec![scale("one", "a", 3)], vec![]);
    let run = rig.submit(1, first.clone());
    rig.submit(1, first.clone());
    let hour = rig.hour();
    rig.go(hour, |_| false).await;
    rig.submit(1, first);
    rig.go(hour, |_| false).await;
    assert_eq!(
        rig.rejected,
        [Rejected::AlreadySubmitted { run: run.clone() }, Rejected::AlreadySubmitted { run }]
    );
    assert_eq!(rig.sends(), 1);
}

#[tokio::test]
async fn a_plan_that_was_changed_after_freezing_or_names_no_known_action_is_refused() {
    let mut rig = Rig::new().await;
    let good = plan(&rig.world(), vec![scale("one", "a", 3)], vec![]);
    let mut changed = good.clone();
    changed.workflow.spec.steps[0].arguments.insert("replicas".into(), json!(30));
    let unknown =
        plan(&rig.world(), vec![with(scale("one", "a", 3), json!({"action": "exec"}))], vec![]);
    let circle = plan(
        &rig.world(),
        vec![
            with(scale("one", "a", 3), json!({"needs": ["two"]})),
            with(scale("two", "a", 3), json!({"needs": ["one"]})),
        ],
        vec![],
    );
    for (n, plan) in [changed, unknown, circle].into_iter().enumerate() {
        rig.submit(n as u64, plan);
    }
    let hour = rig.hour();
    rig.go(hour, |_| false).await;
    assert_eq!(rig.rejected.len(), 3);
    assert!(
        rig.rejected.iter().all(|why| matches!(why, Rejected::BadPlan { .. })),
        "{:?}",
        rig.rejected
    );
    assert_eq!(rig.performed.len(), 0);
}

#[tokio::test]
async fn a_run_waits_for_the_objects_of_another_and_none_overtakes_one_that_waits() {
    let mut rig = Rig::new().await;
    let held = with(ready("b", 3, "5m"), json!({"holdFor": "60s"}));
    let first = plan(
        &rig.world(),
        vec![scale("one", "a", 3), with(scale("two", "b", 3), json!({"postconditions": [held]}))],
        vec![],
    );
    let second = plan(&rig.world(), vec![scale("one", "a", 4), scale("two", "c", 4)], vec![]);
    let third = plan(&rig.world(), vec![scale("one", "c", 5)], vec![]);
    let fourth = plan(&rig.world(), vec![scale("one", "d", 5)], vec![]);
    let runs: Vec<_> = [first, second, third, fourth]
        .into_iter()
        .enumerate()
        .map(|(n, plan)| rig.submit(n as u64, plan))
        .collect();
    let hour = rig.hour();
    rig.go(hour, |_| false).await;
    let views: Vec<_> = runs.iter().map(|run| rig.view(run).clone()).collect();
    assert!(views.iter().all(|view| view.status == RunStatus::Succeeded));
    let begun = |n: usize| views[n].steps[0].started_at.unwrap();
    let ended = |n: usize| views[n].ended_at.unwrap();
    assert!(begun(1) >= ended(0) && begun(2) >= ended(1), "in turn");
    assert!(begun(3) < ended(0), "what is free is not kept waiting");
    assert_eq!((rig.replicas("a"), rig.replicas("c")), (4, 5));
}

#[tokio::test]
async fn no_more_runs_than_allowed_are_under_way_and_high_priority_goes_first() {
    let mut rig = Rig::new().await;
    rig.fleet = executor::Fleet::new(1);
    let mut plans = Vec::new();
    for (name, priority) in [("a", "low"), ("b", "low"), ("c", "high")] {
        let mut plan = plan(&rig.world(), vec![scale("one", name, 3)], vec![]);
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
        plans.into_iter().enumerate().map(|(n, plan)| rig.submit(n as u64, plan)).collect();
    let hour = rig.hour();
    rig.go(hour, |_| false).await;
    let begun: Vec<_> = runs.iter().map(|run| rig.view(run).steps[0].started_at.unwrap()).collect();
    assert!(begun[0] < begun[2] && begun[2] < begun[1], "{begun:?}");
}

#[tokio::test]
async fn guardrails_are_asked_again_before_every_intent() {
    let refused = |change: fn(&mut Rules)| async move {
        let mut rig = Rig::new().await;
        change(&mut rig.rules);
        let steps =
            vec![scale("one", "a", 3), with(scale("two", "a", 4), json!({"needs": ["one"]}))];
        let view = rig.run(steps, vec![]).await;
        (
            view.status,
            view.steps.iter().map(|step| step.why.clone()).collect::<Vec<_>>(),
            rig.replicas("a"),
        )
    };
    let (status, why, replicas) =
        refused(|rules| rules.guardrails.spec.protected_namespaces.push("shop".into())).await;
    assert_eq!((status, replicas), (RunStatus::RolledBack, 2));
    assert!(why[0].contains("guardrail"), "{why:?}");
    // C8: an action that was disabled after its plan was made.
    let (status, why, replicas) =
        refused(|rules| rules.guardrails.spec.denied_actions.push("scale".into())).await;
    assert_eq!((status, replicas), (RunStatus::RolledBack, 2));
    assert!(why[0].contains("guardrail") && why[0].contains("scale"), "{why:?}");
    let (status, why, replicas) =
        refused(|rules| rules.guardrails.spec.max_changes_per_target_per_hour = 1).await;
    // The budget let one change through; the undo of it is not refused for want of budget.
    assert_eq!((status, replicas), (RunStatus::RolledBack, 2));
    assert!(why[1].contains("guardrail"), "{why:?}");
    let (status, _, replicas) =
        refused(|rules| rules.guardrails.spec.autonomy = workflow::guardrail::Autonomy::Approve)
            .await;
    assert_eq!(
        (status, replicas),
        (RunStatus::RolledBack, 2),
        "a plan that asked for no approval has none"
    );
}

#[tokio::test]
async fn a_change_of_an_object_that_another_run_holds_is_refused() {
    let mut rig = Rig::new().await;
    let held = with(ready("a", 3, "5m"), json!({"holdFor": "60s"}));
    let first = plan(
        &rig.world(),
        vec![with(scale("one", "a", 3), json!({"postconditions": [held]}))],
        vec![],
    );
    let mut second = plan(&rig.world(), vec![scale("one", "a", 4)], vec![]);
    // A plan that does not say what it changes.
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
    rig.submit(1, first);
    let run = rig.submit(2, second);
    let hour = rig.hour();
    rig.go(hour, |_| false).await;
    assert!(
        rig.view(&run).steps[0].why.contains("being changed by run"),
        "{:?}",
        rig.view(&run).steps
    );
    assert_eq!(rig.replicas("a"), 3);
}

#[tokio::test]
async fn a_run_that_goes_round_in_circles_fails_and_the_longest_sound_one_does_not() {
    let mut rig = Rig::new().await;
    let forever = json!({"retry": {"strategy": "fixed", "attempts": 1_000_000, "initial": "0s", "jitter": 0.0, "on": ["timeout"]}, "timeout": "0s"});
    let bad = plan(&rig.world(), vec![with(scale("one", "a", 3), forever)], vec![]);
    let chain = (0..100).map(|n| {
        let needs: Vec<String> = (n > 0).then(|| format!("s{}", n - 1)).into_iter().collect();
        json!({"id": format!("s{n}"), "action": "wait", "arguments": {"duration": "0s"}, "needs": needs})
    });
    let long = plan(&rig.world(), chain.collect(), vec![]);
    let (bad, long) = (rig.submit(1, bad), rig.submit(2, long));
    let hour = rig.hour();
    rig.go(hour, |_| false).await;
    assert_eq!(rig.view(&bad).status, RunStatus::Failed);
    assert!(rig.view(&bad).why.contains("runaway"), "{}", rig.view(&bad).why);
    assert_eq!(rig.view(&long).status, RunStatus::Succeeded);
    assert_eq!(rig.sends(), 0);
}
