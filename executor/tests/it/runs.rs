use serde_json::json;
use workflow::run::{Event, RunStatus, StepStatus};

use crate::harness::{ExecutorHarness, never, ready, scale, with};

#[tokio::test]
async fn run_executes_steps_in_dependency_order() {
    let mut harness = ExecutorHarness::new().await;
    let steps = vec![
        with(
            scale("second", "b", 3),
            json!({"needs": ["first"], "postconditions": [ready("b", 3, "2m")]}),
        ),
        with(scale("first", "a", 3), json!({"postconditions": [ready("a", 3, "2m")]})),
    ];
    let view = harness.run(steps, vec![ready("a", 3, "1m")]).await;
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
    assert!(
        view.step("first").unwrap().ended_at.unwrap()
            <= view.step("second").unwrap().started_at.unwrap()
    );
    assert_eq!((harness.replicas("a"), harness.replicas("b")), (3, 3));
    assert_eq!(harness.sends(), 2);
    assert!(harness.fleet.live().next().is_none());
    harness.assert_no_duplicate_effects();
}

#[tokio::test]
async fn independent_steps_run_in_parallel() {
    let mut harness = ExecutorHarness::new().await;
    let steps = vec![scale("one", "a", 3), scale("two", "b", 3), scale("three", "c", 3)];
    let view = harness.run(steps, vec![]).await;
    assert_eq!(view.status, RunStatus::Succeeded);
    let started: Vec<_> = view.steps.iter().map(|step| step.started_at).collect();
    assert!(started.iter().all(|at| *at == started[0]));
}

#[tokio::test]
async fn step_with_false_when_is_skipped_and_dependents_run() {
    let mut harness = ExecutorHarness::new().await;
    let steps = vec![
        with(scale("skipped", "a", 3), json!({"when": "steps.other.output.changed == true"})),
        with(scale("other", "b", 3), json!({"needs": ["skipped"]})),
    ];
    let view = harness.run(steps, vec![]).await;
    assert_eq!(view.status, RunStatus::Succeeded);
    assert_eq!(view.step("skipped").unwrap().status, StepStatus::Skipped);
    assert_eq!((harness.replicas("a"), harness.replicas("b")), (2, 3));
}

#[tokio::test]
async fn exactly_one_of_two_exclusive_branches_runs() {
    for (replicas, taken) in [(3, ["yes", "no"]), (2, ["no", "yes"])] {
        let mut harness = ExecutorHarness::new().await;
        let is_changed = "steps.first.output.changed == true";
        let branch = |id: &str, name: &str, when: String| {
            with(scale(id, name, 4), json!({"needs": ["first"], "when": when}))
        };
        let steps = vec![
            scale("first", "a", replicas),
            branch("yes", "b", is_changed.into()),
            branch("no", "c", format!("!({is_changed})")),
            with(scale("after", "d", 3), json!({"needs": ["yes", "no"]})),
        ];
        let view = harness.run(steps, vec![]).await;
        assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
        let statuses = taken.map(|id| view.step(id).unwrap().status);
        assert_eq!(statuses, [StepStatus::Succeeded, StepStatus::Skipped], "{taken:?}");
        let is_yes = taken[0] == "yes";
        assert_eq!(
            (harness.replicas("b"), harness.replicas("c")),
            if is_yes { (4, 2) } else { (2, 4) }
        );
        assert_eq!(harness.replicas("d"), 3, "the step after both branches runs in either case");
    }
}

#[tokio::test]
async fn step_reads_output_of_earlier_step() {
    let mut harness = ExecutorHarness::new().await;
    let wait = json!({"id": "wait", "action": "wait", "arguments": {"duration": "${{ steps.first.output.changed ? '7s' : '9m' }}"}, "needs": ["first"]});
    let view = harness.run(vec![scale("first", "a", 3), wait], vec![]).await;
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
    assert_eq!(view.step("wait").unwrap().output["waited"], json!("7s"));
}

#[tokio::test]
async fn rollback_undoes_completed_steps_in_reverse_order() {
    let mut harness = ExecutorHarness::new().await;
    let steps = vec![
        scale("one", "a", 3),
        with(scale("two", "b", 4), json!({"needs": ["one"]})),
        with(
            scale("three", "c", 5),
            json!({"needs": ["two"], "postconditions": [never("c", "20s")]}),
        ),
    ];
    let view = harness.run(steps, vec![]).await;
    assert_eq!(view.status, RunStatus::RolledBack, "{view:#?}");
    assert!(!view.requests_replan);
    let events = harness.events(&view.run).await;
    let undone: Vec<&str> = events
        .iter()
        .filter_map(|event| {
            if let Event::StepCompensated { step, .. } = event { Some(step.as_str()) } else { None }
        })
        .collect();
    assert_eq!(undone, ["three", "two", "one"]);
    assert_eq!((harness.replicas("a"), harness.replicas("b"), harness.replicas("c")), (2, 2, 2));
    assert_eq!(harness.sends(), 6);
    harness.assert_no_duplicate_effects();
}

/// `abort` undoes nothing, `continue` ignores the failure, `rollBack` undoes, and `nextPlan` also requests a replan.
#[tokio::test]
async fn on_failure_selects_abort_continue_rollback_or_replan() {
    for (on_failure, status, replicas, requests_replan) in [
        ("abort", RunStatus::Failed, 3, false),
        ("continue", RunStatus::Succeeded, 3, false),
        ("rollBack", RunStatus::RolledBack, 2, false),
        ("nextPlan", RunStatus::RolledBack, 2, true),
    ] {
        let mut harness = ExecutorHarness::new().await;
        let steps = vec![
            scale("good", "a", 3),
            with(
                scale("bad", "b", 3),
                json!({"needs": ["good"], "preconditions": [never("b", "0s")], "onFailure": on_failure}),
            ),
            with(scale("after", "c", 3), json!({"needs": ["bad"]})),
        ];
        let view = harness.run(steps, vec![]).await;
        assert_eq!(
            (view.status, harness.replicas("a"), view.requests_replan),
            (status, replicas, requests_replan),
            "{on_failure}"
        );
        assert_eq!(harness.replicas("b"), 2, "a step with a false precondition changes nothing");
        assert_eq!(harness.replicas("c"), if on_failure == "continue" { 3 } else { 2 });
    }
}

#[tokio::test]
async fn unmet_success_conditions_roll_back_and_request_replan() {
    let mut harness = ExecutorHarness::new().await;
    let view = harness.run(vec![scale("one", "a", 3)], vec![never("a", "30s")]).await;
    assert_eq!(
        (view.status, view.requests_replan, harness.replicas("a")),
        (RunStatus::RolledBack, true, 2)
    );
}

#[tokio::test]
async fn lasting_regression_is_rolled_back() {
    let mut harness = ExecutorHarness::new().await;
    let bad = json!({"id": "bad", "action": "set-image", "arguments": {"target": crate::harness::target("a"), "container": "web", "image": "reg/nowhere:v9"}, "timeout": "2m", "onFailure": "continue"});
    let view = harness.run(vec![bad], vec![]).await;
    assert_eq!((view.status, view.requests_replan), (RunStatus::RolledBack, true), "{view:#?}");
    let events = harness.events(&view.run).await;
    assert!(events.iter().any(|event| matches!(event, Event::Regressed { .. })));
    let image = crate::harness::deployment(&harness.world(), "a")
        .at("/spec/template/spec/containers/0/image")
        .unwrap()
        .clone();
    assert_eq!(image, json!("reg/app:v1"));
    harness.assert_no_duplicate_effects();
}

#[tokio::test]
async fn rollout_that_recovers_is_no_regression() {
    let mut harness = ExecutorHarness::new().await;
    let good = json!({"id": "good", "action": "set-image", "arguments": {"target": crate::harness::target("a"), "container": "web", "image": "reg/app:v2"}, "timeout": "3m"});
    let view = harness.run(vec![good], vec![]).await;
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
}

#[tokio::test]
async fn hold_for_counts_uninterrupted_true_time() {
    let mut harness = ExecutorHarness::new().await;
    let condition = with(ready("a", 3, "2m"), json!({"holdFor": "45s"}));
    let view = harness
        .run(vec![with(scale("one", "a", 3), json!({"postconditions": [condition]}))], vec![])
        .await;
    assert_eq!(view.status, RunStatus::Succeeded);
    let events = harness.events(&view.run).await;
    let trues: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::ConditionEvaluated { result: workflow::Truth::True, at, .. } => Some(*at),
            _ => None,
        })
        .collect();
    assert!(trues.last().unwrap().duration_since(trues[0]).as_secs() >= 45);
}

#[tokio::test]
async fn custom_compensation_can_use_prior_state() {
    let mut harness = ExecutorHarness::new().await;
    let compensation = json!({"action": "scale", "arguments": {"target": crate::harness::target("a"), "replicas": "${{ int(steps.one.prior.undo.replicas) + 2 }}"}});
    let steps = vec![
        with(scale("one", "a", 3), json!({"compensation": compensation})),
        with(
            scale("two", "b", 3),
            json!({"needs": ["one"], "compensation": "none", "postconditions": [never("b", "5s")]}),
        ),
    ];
    let view = harness.run(steps, vec![]).await;
    assert_eq!(view.status, RunStatus::RolledBack, "{view:#?}");
    assert_eq!(
        (harness.replicas("a"), harness.replicas("b")),
        (4, 3),
        "one step is undone by its custom action, the other is not undone"
    );
}
