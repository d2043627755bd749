use proptest::prelude::*;
use serde_json::{Value, json};
use workflow::{Digest, Estimate, StepEstimate};

use super::*;
use crate::alternative::fallback_chains;

fn certain(estimate: f64) -> Estimate {
    Estimate { estimate, low: estimate, high: estimate }
}

fn estimates(steps: &[(&str, f64, f64)]) -> Estimates {
    Estimates {
        plan: certain(0.5),
        optimistic: 0.5,
        observations: 0.0,
        steps: steps
            .iter()
            .map(|(step, success, seconds)| StepEstimate {
                step: step.to_string(),
                success: certain(*success),
                seconds: certain(*seconds),
            })
            .collect(),
        model: Digest::ZERO,
    }
}

fn workflow(steps: Value) -> Workflow {
    Workflow::of_steps("test", "", serde_json::from_value(steps).unwrap(), Vec::new())
}

fn target(kind: &str, name: &str) -> Value {
    json!({"kind": kind, "namespace": "shop", "name": name})
}

fn ready(name: &str) -> Value {
    json!({"read": {"d": {"kind": "Deployment", "namespace": "shop", "name": name}}, "check": "d != null", "within": "1m"})
}

fn image(id: &str, name: &str, image: &str, needs: &[&str]) -> Value {
    json!({"id": id, "action": "set-image", "arguments": {"target": target("Deployment", name), "container": "main", "image": image}, "needs": needs})
}

fn scale(id: &str, name: &str, replicas: u32, needs: &[&str]) -> Value {
    json!({"id": id, "action": "scale", "arguments": {"target": target("Deployment", name), "replicas": replicas}, "needs": needs})
}

fn config(id: &str, name: &str, needs: &[&str]) -> Value {
    json!({"id": id, "action": "set-config-key", "arguments": {"target": target("ConfigMap", name), "key": "a", "value": "1"}, "needs": needs})
}

fn restart(id: &str, name: &str, needs: &[&str]) -> Value {
    json!({"id": id, "action": "rollout-restart", "arguments": {"target": target("Deployment", name)}, "needs": needs})
}

fn ask(id: &str, needs: &[&str]) -> Value {
    json!({"id": id, "action": "request-approval", "arguments": {"question": "go on?"}, "needs": needs})
}

/// Optimizes twice and checks that the second pass changes nothing.
fn run(steps: Value, estimates: &Estimates) -> (Workflow, OptimizationReport) {
    let catalogue = actions::catalogue();
    let (once, account) = optimize(workflow(steps), estimates, &catalogue);
    let (twice, second) = optimize(once.clone(), estimates, &catalogue);
    assert_eq!(twice, once);
    assert_eq!(second.changes, [""; 0]);
    (once, account)
}

fn needs<'a>(workflow: &'a Workflow, id: &str) -> Vec<&'a str> {
    workflow.step(id).unwrap().needs.iter().map(String::as_str).collect()
}

#[test]
fn single_step_workflow_is_unchanged() {
    let steps = json!([image("a", "cart", "x:1", &[])]);
    let (after, account) = run(steps.clone(), &estimates(&[("a", 0.9, 30.0)]));
    assert_eq!(after, workflow(steps));
    assert_eq!(
        (account.changes.len(), account.expected_seconds_before, account.expected_seconds_after),
        (0, 30.0, 30.0)
    );
}

#[test]
fn independent_steps_lose_their_order() {
    let steps = json!([image("a", "cart", "x:1", &[]), image("b", "web", "y:1", &["a"])]);
    let (after, account) = run(steps, &estimates(&[("a", 0.9, 30.0), ("b", 0.9, 50.0)]));
    assert_eq!(needs(&after, "b"), [""; 0]);
    assert_eq!((account.expected_seconds_before, account.expected_seconds_after), (80.0, 50.0));
    assert_eq!(
        account.changes,
        ["`b` no longer waits for `a`: neither step changes state that the other one reads"]
    );
}

/// Order is kept where a fact, a condition, a reference, a guard or a failure requires it.
#[test]
fn required_order_is_kept() {
    let mut conditioned = image("b", "web", "y:1", &["a"]);
    conditioned["preconditions"] = json!([ready("cart")]);
    let mut referring = image("b", "web", "y:1", &["a"]);
    referring["when"] = json!("steps.a.output.changed");
    let mut aborting = image("b", "web", "y:1", &["a"]);
    aborting["onFailure"] = json!("abort");
    let mut approved = image("b", "web", "y:1", &["a"]);
    approved["approval"] = json!({"reason": "sure?"});
    for later in [
        scale("b", "cart", 3, &["a"]),
        conditioned,
        referring,
        aborting,
        approved,
        ask("b", &["a"]),
        config("b", "cart", &["a"]),
        restart("b", "web", &["a"]),
    ] {
        let steps = json!([image("a", "cart", "x:1", &[]), later]);
        let (after, account) = run(steps.clone(), &estimates(&[]));
        assert_eq!(after, workflow(steps));
        assert_eq!(account.changes, [""; 0]);
    }
}

/// The list order does not matter.
#[test]
fn configuration_change_precedes_change_of_its_reader() {
    let steps = json!([restart("b", "cart", &[]), config("a", "cart", &[])]);
    let (after, account) = run(steps, &estimates(&[]));
    assert_eq!(needs(&after, "b"), ["a"]);
    assert_eq!(
        account.changes,
        ["`b` now waits for `a`: it reads state that the other step changes"]
    );
    assert_eq!(account.after, ["a", "b"]);
}

#[test]
fn two_changes_of_one_object_are_ordered() {
    let steps = json!([image("a", "cart", "x:1", &[]), scale("b", "cart", 2, &[])]);
    let (after, _) = run(steps, &estimates(&[]));
    assert_eq!(needs(&after, "b"), ["a"]);
}

/// Steps that needed the removed step inherit its needs.
#[test]
fn overwritten_step_is_removed() {
    let steps = json!([
        ask("q", &[]),
        scale("a", "cart", 2, &["q"]),
        image("m", "web", "y:1", &["a"]),
        scale("b", "cart", 3, &["m"])
    ]);
    let (after, account) = run(steps, &estimates(&[]));
    assert_eq!(account.removed, ["a"]);
    assert_eq!(needs(&after, "m"), ["q"]);
    assert_eq!(needs(&after, "b"), ["q"]);
    assert_eq!(
        account.changes[0],
        "removed `a`: `b` overwrites its effect, and no step in between reads it"
    );
}

/// A repeat is kept if a step in between changes what it acts on.
#[test]
fn repeated_step_is_removed_if_nothing_changed_in_between() {
    let repeated = json!([restart("a", "cart", &[]), restart("b", "cart", &["a"])]);
    assert_eq!(run(repeated, &estimates(&[])).1.removed, ["b"]);
    let changed_between = json!([
        restart("a", "cart", &[]),
        config("c", "cart", &["a"]),
        restart("b", "cart", &["c"])
    ]);
    assert_eq!(run(changed_between, &estimates(&[])).1.removed, [""; 0]);
}

/// A step is kept if another step refers to it, if it has conditions of its own, or if a guard is in between.
#[test]
fn referenced_or_guarding_step_is_not_removed() {
    let mut guarded = scale("a", "cart", 2, &[]);
    guarded["postconditions"] = json!([ready("cart")]);
    let mut when = scale("b", "cart", 3, &["a"]);
    when["when"] = json!("steps.a.status == 'failed'");
    let mut expecting = scale("b", "cart", 3, &["a"]);
    expecting["arguments"]["expect"] = json!(2);
    for steps in [
        json!([guarded, scale("b", "cart", 3, &["a"])]),
        json!([scale("a", "cart", 2, &[]), when]),
        json!([scale("a", "cart", 2, &[]), expecting]),
        json!([scale("a", "cart", 2, &[]), ask("q", &["a"]), scale("b", "cart", 3, &["q"])]),
        json!([ask("a", &[]), ask("b", &["a"])]),
    ] {
        let (after, account) = run(steps.clone(), &estimates(&[]));
        assert_eq!((after, account.removed.len()), (workflow(steps), 0));
    }
}

fn alternatives() -> Value {
    let mut list = vec![
        image("a", "cart", "x:1", &[]),
        image("b", "cart", "x:2", &["a"]),
        image("c", "cart", "x:3", &["b"]),
        ask("end", &["c"]),
    ];
    for (index, failed) in [(1, &["a"][..]), (2, &["a", "b"])] {
        let terms: Vec<String> =
            failed.iter().map(|id| format!("steps.{id}.status != 'succeeded'")).collect();
        list[index]["when"] = terms.join(" && ").into();
    }
    for step in &mut list[..3] {
        step["postconditions"] = json!([ready("cart")]);
        step["onFailure"] = json!("continue");
    }
    list[2]["onFailure"] = json!("rollBack");
    list.into()
}

/// Attributes of a position in the chain (`needs`, `when`, `onFailure`) stay with the position.
#[test]
fn alternatives_are_sorted_by_probability_over_cost() {
    let estimates =
        estimates(&[("a", 0.1, 100.0), ("b", 0.2, 100.0), ("c", 0.9, 10.0), ("end", 1.0, 5.0)]);
    let (after, account) = run(alternatives(), &estimates);
    assert_eq!(account.after, ["c", "b", "a", "end"]);
    assert_eq!(needs(&after, "end"), ["a"]);
    let last = after.step("a").unwrap();
    assert_eq!(last.on_failure, workflow::manifest::OnFailure::RollBack);
    assert_eq!(
        last.when.as_ref().unwrap().source(),
        "steps[\"c\"].status != \"succeeded\" && steps[\"b\"].status != \"succeeded\""
    );
    assert_eq!(after.step("c").unwrap().when, None);
    assert!(account.changes[0].starts_with("tries `c` first (90 %"), "{}", account.changes[0]);
    let expected = 10.0 + 0.1 * 100.0 + 0.1 * 0.8 * 100.0 + 5.0;
    assert!(
        (account.expected_seconds_after - expected).abs() < 1e-9,
        "{}",
        account.expected_seconds_after
    );
    assert!(account.expected_seconds_before > account.expected_seconds_after);
}

#[test]
fn fallback_chains_exclude_guards_and_required_steps() {
    assert_eq!(fallback_chains(&workflow(alternatives()).spec.steps), [[0, 1, 2]]);
    let steps = json!([config("a", "cart", &[]), restart("b", "cart", &["a"])]);
    assert_eq!(fallback_chains(&workflow(steps).spec.steps), Vec::<Vec<usize>>::new());
}

/// Cycles, unknown needs, duplicate ids, unknown actions and unresolved targets are left alone.
#[test]
fn workflow_that_cannot_be_analysed_is_unchanged() {
    for steps in [
        json!([image("a", "cart", "x:1", &["b"]), image("b", "web", "x:1", &["a"])]),
        json!([image("a", "cart", "x:1", &["missing"]), image("b", "web", "x:1", &["a"])]),
        json!([image("a", "cart", "x:1", &[]), image("a", "web", "x:1", &[])]),
        json!([{"id": "a", "action": "unknown"}, image("b", "web", "x:1", &["a"])]),
        json!([image("a", "${{ params.name }}", "x:1", &[]), image("b", "web", "x:1", &["a"])]),
    ] {
        let (after, account) = run(steps.clone(), &estimates(&[]));
        assert_eq!((after, account.changes.len()), (workflow(steps), 0));
    }
}

#[test]
fn hundred_steps_on_ten_objects_become_ten_chains() {
    let names: Vec<String> = (0..10).map(|number| format!("app-{number}")).collect();
    let step = |index: usize| {
        let before = if index == 0 { vec![] } else { vec![format!("s{}", index - 1)] };
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        let mut step = image(&format!("s{index}"), &names[index % 10], "x:1", &before);
        step["arguments"]["container"] = format!("c{index}").into();
        step
    };
    let steps: Value = (0..100).map(step).collect::<Vec<_>>().into();
    let (after, account) = run(steps, &estimates(&[]));
    assert_eq!((after.spec.steps.len(), needs(&after, "s55")), (100, vec!["s45"]));
    assert_eq!((account.expected_seconds_before, account.expected_seconds_after), (6000.0, 600.0));
}

fn any_step(index: usize) -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["cart", "web", "db"]);
    (0..6u8, name, 1..4u32, prop::collection::vec(0..index.max(1), 0..3)).prop_map(
        move |(action, name, number, earlier)| {
            let needs: Vec<String> = earlier
                .into_iter()
                .filter(|earlier| *earlier < index)
                .map(|earlier| format!("s{earlier}"))
                .collect();
            let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
            let id = format!("s{index}");
            match action {
                0 => image(&id, name, &format!("x:{number}"), &needs),
                1 => scale(&id, name, number, &needs),
                2 => config(&id, name, &needs),
                3 => restart(&id, name, &needs),
                4 => ask(&id, &needs),
                _ => {
                    let mut step = scale(&id, name, number, &needs);
                    step["postconditions"] = json!([ready(name)]);
                    step
                }
            }
        },
    )
}

fn any_steps() -> impl Strategy<Value = Value> {
    (1usize..8)
        .prop_flat_map(|count| (0..count).map(any_step).collect::<Vec<_>>())
        .prop_map(|steps| steps.into())
}

/// Collects the orders in which the steps may run, at most `limit` of them.
fn runs(order: &Order, done: &mut Vec<usize>, limit: usize, all: &mut Vec<Vec<usize>>) {
    if all.len() >= limit {
        return;
    }
    if done.len() == order.len() {
        return all.push(done.clone());
    }
    for next in 0..order.len() {
        if !done.contains(&next)
            && (0..order.len()).all(|earlier| !order.has(earlier, next) || done.contains(&earlier))
        {
            done.push(next);
            runs(order, done, limit, all);
            done.pop();
        }
    }
}

/// Returns the images, replicas and keys after a run.
fn final_state(steps: &[Step], run: &[usize]) -> std::collections::BTreeMap<String, String> {
    let of = |step: &Step| {
        (format!("{} {}", step.action, step.arguments["target"]), format!("{:?}", step.arguments))
    };
    run.iter()
        .map(|index| &steps[*index])
        .filter(|step| !matches!(step.action.as_str(), "request-approval" | "rollout-restart"))
        .map(of)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Steps also stay on their side of each guard.
    #[test]
    fn optimize_is_idempotent_and_keeps_guards(steps in any_steps()) {
        let catalogue = actions::catalogue();
        let before = workflow(steps);
        let (once, account) = optimize(before.clone(), &estimates(&[]), &catalogue);
        let (twice, second) = optimize(once.clone(), &estimates(&[]), &catalogue);
        prop_assert_eq!(&twice, &once);
        prop_assert!(second.changes.is_empty());
        let (old, new) = (Order::of(&before.spec.steps).unwrap(), Order::of(&once.spec.steps).unwrap());
        let index = |id: &str| once.spec.steps.iter().position(|step| step.id == id);
        for (a, first) in before.spec.steps.iter().enumerate() {
            prop_assert!(first.action != "request-approval" || index(&first.id).is_some());
            for (b, second) in before.spec.steps.iter().enumerate() {
                let is_guarded = first.action == "request-approval" || second.action == "request-approval";
                if let (true, true, Some(x), Some(y)) = (is_guarded, old.has(a, b), index(&first.id), index(&second.id)) {
                    prop_assert!(new.has(x, y));
                }
            }
        }
        prop_assert_eq!(account.before.len(), once.spec.steps.len() + account.removed.len());
    }

    /// Every order of the optimized steps ends in a state that some order of the original steps ends in.
    #[test]
    fn optimize_adds_no_new_final_state(steps in any_steps()) {
        let catalogue = actions::catalogue();
        let before = workflow(steps);
        let (after, _) = optimize(before.clone(), &estimates(&[]), &catalogue);
        let all = |workflow: &Workflow| {
            let mut all = Vec::new();
            runs(&Order::of(&workflow.spec.steps).unwrap(), &mut Vec::new(), 6000, &mut all);
            all
        };
        let old: std::collections::BTreeSet<_> = all(&before).iter().map(|run| final_state(&before.spec.steps, run)).collect();
        for run in all(&after).iter().take(200) {
            prop_assert!(old.contains(&final_state(&after.spec.steps, run)));
        }
    }
}
