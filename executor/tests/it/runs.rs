use serde_json::json;
use workflow::run::{Event, RunStatus, StepStatus};

use crate::rig::{Rig, never, ready, scale, with};

#[tokio::test]
async fn a_plain_run_does_its_steps_in_the_order_of_their_needs_and_succeeds() {
    let mut rig = Rig::new().await;
    let steps = vec![
        with(
            scale("second", "b", 3),
            json!({"needs": ["first"], "postconditions": [ready("b", 3, "2m")]}),
        ),
        with(scale("first", "a", 3), json!({"postconditions": [ready("a", 3, "2m")]})),
    ];
    let view = rig.run(steps, vec![ready("a", 3, "1m")]).await;
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
    assert!(
        view.step("first").unwrap().ended_at.unwrap()
            <= view.step("second").unwrap().started_at.unwrap()
    );
    assert_eq!((rig.replicas("a"), rig.replicas("b")), (3, 3));
    assert_eq!(rig.sends(), 2);
    assert!(rig.fleet.live().next().is_none());
    rig.assert_single();
}

#[tokio::test]
async fn steps_that_need_nothing_of_one_another_run_side_by_side() {
    let mut rig = Rig::new().await;
    let steps = vec![scale("one", "a", 3), scale("two", "b", 3), scale("three", "c", 3)];
    let view = rig.run(steps, vec![]).await;
    assert_eq!(view.status, RunStatus::Succeeded);
    let begun: Vec<_> = view.steps.iter().map(|step| step.started_at).collect();
    assert!(begun.iter().all(|at| *at == begun[0]));
}

#[tokio::test]
async fn a_step_whose_when_is_not_true_is_skipped_and_those_that_need_it_run() {
    let mut rig = Rig::new().await;
    let steps = vec![
        with(scale("skipped", "a", 3), json!({"when": "steps.other.output.changed == true"})),
        with(scale("other", "b", 3), json!({"needs": ["skipped"]})),
    ];
    let view = rig.run(steps, vec![]).await;
    assert_eq!(view.status, RunStatus::Succeeded);
    assert_eq!(view.step("skipped").unwrap().status, StepStatus::Skipped);
    assert_eq!((rig.replicas("a"), rig.replicas("b")), (2, 3));
}

#[tokio::test]
async fn of_two_branches_whose_whens_exclude_each_other_exactly_one_runs() {
    for (replicas, taken) in [(3, ["yes", "no"]), (2, ["no", "yes"])] {
        let mut rig = Rig::new().await;
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
        let view = rig.run(steps, vec![]).await;
        assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
        let stands = taken.map(|id| view.step(id).unwrap().status);
        assert_eq!(stands, [StepStatus::Succeeded, StepStatus::Skipped], "{taken:?}");
        let is_yes = taken[0] == "yes";
        assert_eq!((rig.replicas("b"), rig.replicas("c")), if is_yes { (4, 2) } else { (2, 4) });
        assert_eq!(rig.replicas("d"), 3, "what comes after both runs either way");
    }
}

#[tokio::test]
async fn a_step_reads_what_an_earlier_one_gave() {
    let mut rig = Rig::new().await;
    let told = json!({"id": "told", "action": "wait", "arguments": {"duration": "${{ steps.first.output.changed ? '7s' : '9m' }}"}, "needs": ["first"]});
    let view = rig.run(vec![scale("first", "a", 3), told], vec![]).await;
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
    assert_eq!(view.step("told").unwrap().output["waited"], json!("7s"));
}

#[tokio::test]
async fn a_failed_step_rolls_back_what_was_applied_in_reverse_order() {
    let mut rig = Rig::new().await;
    let steps = vec![
        scale("one", "a", 3),
        with(scale("two", "b", 4), json!({"needs": ["one"]})),
        with(
            scale("three", "c", 5),
            json!({"needs": ["two"], "postconditions": [never("c", "20s")]}),
        ),
    ];
    let view = rig.run(steps, vec![]).await;
    assert_eq!(view.status, RunStatus::RolledBack, "{view:#?}");
    assert!(!view.wants_next_plan);
    let events = rig.events(&view.run).await;
    let undone: Vec<&str> = events
        .iter()
        .filter_map(|event| {
            if let Event::StepCompensated { step, .. } = event { Some(step.as_str()) } else { None }
        })
        .collect();
    assert_eq!(undone, ["three", "two", "one"]);
    assert_eq!((rig.replicas("a"), rig.replicas("b"), rig.replicas("c")), (2, 2, 2));
    assert_eq!(rig.sends(), 6);
    rig.assert_single();
}

#[tokio::test]
async fn on_failure_abort_undoes_nothing_continue_passes_over_and_next_plan_names_its_ending() {
    for (on_failure, status, replicas, wants) in [
        ("abort", RunStatus::Failed, 3, false),
        ("continue", RunStatus::Succeeded, 3, false),
        ("rollBack", RunStatus::RolledBack, 2, false),
        ("nextPlan", RunStatus::RolledBack, 2, true),
    ] {
        let mut rig = Rig::new().await;
        let steps = vec![
            scale("good", "a", 3),
            with(
                scale("bad", "b", 3),
                json!({"needs": ["good"], "preconditions": [never("b", "0s")], "onFailure": on_failure}),
            ),
            with(scale("after", "c", 3), json!({"needs": ["bad"]})),
        ];
        let view = rig.run(steps, vec![]).await;
        assert_eq!(
            (view.status, rig.replicas("a"), view.wants_next_plan),
            (status, replicas, wants),
            "{on_failure}"
        );
        assert_eq!(rig.replicas("b"), 2, "a step whose precondition does not hold does nothing");
        assert_eq!(rig.replicas("c"), if on_failure == "continue" { 3 } else { 2 });
    }
}

#[tokio::test]
async fn success_conditions_that_do_not_come_true_undo_the_run_and_want_another_plan() {
    let mut rig = Rig::new().await;
    let view = rig.run(vec![scale("one", "a", 3)], vec![never("a", "30s")]).await;
    assert_eq!(
        (view.status, view.wants_next_plan, rig.replicas("a")),
        (RunStatus::RolledBack, true, 2)
    );
}

#[tokio::test]
async fn what_makes_a_workload_worse_is_undone_once_it_had_time_to_settle() {
    let mut rig = Rig::new().await;
    let bad = json!({"id": "bad", "action": "set-image", "arguments": {"target": crate::rig::target("a"), "container": "web", "image": "reg/nowhere:v9"}, "timeout": "2m", "onFailure": "continue"});
    let view = rig.run(vec![bad], vec![]).await;
    assert_eq!((view.status, view.wants_next_plan), (RunStatus::RolledBack, true), "{view:#?}");
    let events = rig.events(&view.run).await;
    assert!(events.iter().any(|event| matches!(event, Event::Regressed { .. })));
    let image = crate::rig::deployment(&rig.world(), "a")
        .at("/spec/template/spec/containers/0/image")
        .unwrap()
        .clone();
    assert_eq!(image, json!("reg/app:v1"));
    rig.assert_single();
}

#[tokio::test]
async fn a_rolling_change_that_settles_is_no_regression() {
    let mut rig = Rig::new().await;
    let good = json!({"id": "good", "action": "set-image", "arguments": {"target": crate::rig::target("a"), "container": "web", "image": "reg/app:v2"}, "timeout": "3m"});
    let view = rig.run(vec![good], vec![]).await;
    assert_eq!(view.status, RunStatus::Succeeded, "{view:#?}");
}

#[tokio::test]
async fn a_hold_counts_from_when_the_condition_came_true_without_a_break() {
    let mut rig = Rig::new().await;
    let held = with(ready("a", 3, "2m"), json!({"holdFor": "45s"}));
    let view =
        rig.run(vec![with(scale("one", "a", 3), json!({"postconditions": [held]}))], vec![]).await;
    assert_eq!(view.status, RunStatus::Succeeded);
    let events = rig.events(&view.run).await;
    let trues: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::ConditionJudged { verdict: workflow::Verdict::True, at, .. } => Some(*at),
            _ => None,
        })
        .collect();
    assert!(trues.last().unwrap().duration_since(trues[0]).as_secs() >= 45);
}

#[tokio::test]
async fn a_compensation_of_its_own_may_use_the_state_before() {
    let mut rig = Rig::new().await;
    let own = json!({"action": "scale", "arguments": {"target": crate::rig::target("a"), "replicas": "${{ int(steps.one.prior.undo.replicas) + 2 }}"}});
    let steps = vec![
        with(scale("one", "a", 3), json!({"compensation": own})),
        with(
            scale("two", "b", 3),
            json!({"needs": ["one"], "compensation": "none", "postconditions": [never("b", "5s")]}),
        ),
    ];
    let view = rig.run(steps, vec![]).await;
    assert_eq!(view.status, RunStatus::RolledBack, "{view:#?}");
    assert_eq!(
        (rig.replicas("a"), rig.replicas("b")),
        (4, 3),
        "the one by its own action, the other not at all"
    );
}
