//! Removes redundant steps: steps whose effect a later step overwrites, and repeated steps.
//!
//! Greedy passes over a fixed order until nothing more can be removed; finding a minimal set of steps is NP-complete. A
//! step is removed only if the remaining steps leave the same final state.
//!
//! # Source
//! Nakhost and Müller, "Action Elimination and Plan Neighborhood Graph Search", ICAPS 2010.

use std::collections::BTreeMap;

use workflow::manifest::OnFailure;
use workflow::{Args, Catalogue, Step};

use crate::access::Access;
use crate::dependency::{Dependency, dependency};
use crate::graph::Order;

/// A step that was removed.
pub(crate) struct RemovedStep {
    pub(crate) id: String,
    /// Why it was removed, for operators.
    pub(crate) message: String,
}

/// Removes redundant steps from `steps`. Steps that needed a removed step inherit its `needs`.
pub(crate) fn eliminate(steps: &mut Vec<Step>, catalogue: &Catalogue) -> Vec<RemovedStep> {
    let mut removed = Vec::new();
    while let Some((index, message)) = find_redundant(steps, catalogue) {
        let removed_step = steps.remove(index);
        for step in steps.iter_mut().filter(|step| step.needs.contains(&removed_step.id)) {
            let mut needs: Vec<String> =
                step.needs.iter().filter(|need| **need != removed_step.id).cloned().collect();
            needs.extend(
                removed_step.needs.iter().filter(|need| !step.needs.contains(need)).cloned(),
            );
            step.needs = needs;
        }
        removed.push(RemovedStep { id: removed_step.id, message });
    }
    removed
}

/// Returns the index of the first step that can be removed, and why it can be.
fn find_redundant(steps: &[Step], catalogue: &Catalogue) -> Option<(usize, String)> {
    let order = Order::of(steps)?;
    let sorted = order.sorted();
    let accesses: Vec<Access<'_>> = steps.iter().map(|step| Access::of(step, catalogue)).collect();
    for (position, &earlier) in sorted.iter().enumerate() {
        for (to, &later) in sorted.iter().enumerate().skip(position + 1) {
            let between: Vec<&Access<'_>> =
                sorted[position + 1..to].iter().map(|index| &accesses[*index]).collect();
            // Steps that may run concurrently have no earlier and later one.
            if !order.has(earlier, later) || !is_same_kind(&accesses[earlier], &accesses[later]) {
                continue;
            }
            let (first, second) = (&accesses[earlier], &accesses[later]);
            let (a, b) = (&first.step.id, &second.step.id);
            if is_repeat(first, second)
                && can_remove(second, first, steps)
                && between.iter().all(|step| is_independent(step, second))
            {
                return Some((
                    later,
                    format!(
                        "removed `{b}`: it repeats `{a}`, and no step in between reverts `{a}`"
                    ),
                ));
            }
            if is_overwritten(first, second)
                && can_remove(first, second, steps)
                && between.iter().all(|step| is_independent(step, first))
                && final_state(&accesses, &sorted, None)
                    == final_state(&accesses, &sorted, Some(earlier))
            {
                return Some((
                    earlier,
                    format!(
                        "removed `{a}`: `{b}` overwrites its effect, and no step in between reads it"
                    ),
                ));
            }
        }
    }
    None
}

/// Whether both run the same repeatable action on the same object.
fn is_same_kind(a: &Access<'_>, b: &Access<'_>) -> bool {
    !a.is_guard()
        && !b.is_guard()
        && a.step.action == b.step.action
        && a.shares_target(b)
        && a.is_repeatable()
}

fn is_repeat(first: &Access<'_>, second: &Access<'_>) -> bool {
    without(&first.step.arguments, &["target", "expect"])
        == without(&second.step.arguments, &["target", "expect"])
        && !second.step.arguments.contains_key("expect")
}

/// Whether the arguments differ only in the values that are set. A second step with an `expect` argument depends on the
/// first, so the first is not overwritten.
fn is_overwritten(first: &Access<'_>, second: &Access<'_>) -> bool {
    let mut values: Vec<&str> = first.values().into_iter().collect();
    if values.is_empty() || second.step.arguments.contains_key("expect") {
        return false;
    }
    values.extend(["target", "expect"]);
    without(&first.step.arguments, &values) == without(&second.step.arguments, &values)
}

/// Whether `candidate` may be removed while `kept` stays: no other step refers to it, and `kept` has all of its
/// conditions.
fn can_remove(candidate: &Access<'_>, kept: &Access<'_>, steps: &[Step]) -> bool {
    let (step, other) = (candidate.step, kept.step);
    let is_referenced = steps.iter().any(|one| one.id != step.id && may_refer_to(one, &step.id));
    let is_guarded =
        step.preconditions.iter().all(|condition| other.preconditions.contains(condition))
            && step.postconditions.iter().all(|condition| other.postconditions.contains(condition));
    step.when.is_none()
        && other.when.is_none()
        && !is_referenced
        && is_guarded
        && step.on_failure == other.on_failure
        && step.on_failure != OnFailure::Continue
        && step.compensation == other.compensation
}

/// Whether an expression of a step may refer to the step `id`.
fn may_refer_to(step: &Step, id: &str) -> bool {
    let bare = Step { needs: Vec::new(), id: String::new(), ..step.clone() };
    let text = serde_json::to_string(&bare).expect("a step is plain data");
    text.contains("steps") && text.contains(id)
}

/// Whether a step in between is independent of `other`: no fact, guard or condition connects the two.
fn is_independent(between: &Access<'_>, other: &Access<'_>) -> bool {
    let is_connected = between.is_guard() || between.watches(other) || other.watches(between);
    !is_connected
        && !matches!(dependency(between, other), Some(Dependency::Causal | Dependency::Threat))
        && !other.configures(between)
}

/// Returns the state after all steps: for each action on each part of each object, the values that were set last.
fn final_state(
    accesses: &[Access<'_>],
    sorted: &[usize],
    skip: Option<usize>,
) -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    for access in sorted.iter().filter(|index| Some(**index) != skip).map(|index| &accesses[*index])
    {
        let values: Vec<&str> = access.values().into_iter().collect();
        let mut excluded = values.clone();
        excluded.extend(["target", "expect"]);
        let target = access.target.as_ref().map(ToString::to_string);
        let key = format!(
            "{} {target:?} {:?}",
            access.step.action,
            without(&access.step.arguments, &excluded)
        );
        let set: Vec<_> = values.iter().map(|name| access.step.arguments.get(*name)).collect();
        state.insert(key, format!("{set:?}"));
    }
    state
}

fn without(args: &Args, names: &[&str]) -> Args {
    args.iter()
        .filter(|(name, _)| !names.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
