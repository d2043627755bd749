//! Removes steps that leave no trace: what a later step overwrites, and repeats.
//!
//! One pass over the fixed order, again until nothing more goes; finding the least set of steps is NP-complete (Nakhost
//! and Müller, "Action Elimination and Plan Neighborhood Graph Search", ICAPS 2010). A removal stands only if the steps
//! that are left leave the same state.

use std::collections::BTreeMap;

use workflow::manifest::OnFailure;
use workflow::{Args, Catalogue, Step};

use crate::dependency::{Link, link};
use crate::graph::Order;
use crate::touch::Touch;

/// A step that was removed, and why, for people.
pub(crate) struct Removed {
    pub(crate) id: String,
    pub(crate) why: String,
}

/// Takes redundant steps out of `steps`; those that needed one need what it needed.
pub(crate) fn eliminate(steps: &mut Vec<Step>, catalogue: &Catalogue) -> Vec<Removed> {
    let mut removed = Vec::new();
    while let Some((place, why)) = redundant(steps, catalogue) {
        let gone = steps.remove(place);
        for step in steps.iter_mut().filter(|step| step.needs.contains(&gone.id)) {
            let mut needs: Vec<String> =
                step.needs.iter().filter(|need| **need != gone.id).cloned().collect();
            needs.extend(gone.needs.iter().filter(|need| !step.needs.contains(need)).cloned());
            step.needs = needs;
        }
        removed.push(Removed { id: gone.id, why });
    }
    removed
}

/// The first step that can go.
fn redundant(steps: &[Step], catalogue: &Catalogue) -> Option<(usize, String)> {
    let order = Order::of(steps)?;
    let sorted = order.sorted();
    let touches: Vec<Touch<'_>> = steps.iter().map(|step| Touch::of(step, catalogue)).collect();
    for (at, &earlier) in sorted.iter().enumerate() {
        for (to, &later) in sorted.iter().enumerate().skip(at + 1) {
            let between: Vec<&Touch<'_>> =
                sorted[at + 1..to].iter().map(|place| &touches[*place]).collect();
            // Steps that may run at the same time are not one after the other.
            if !order.has(earlier, later) || !is_alike(&touches[earlier], &touches[later]) {
                continue;
            }
            let (first, second) = (&touches[earlier], &touches[later]);
            let (a, b) = (&first.step.id, &second.step.id);
            if is_repeat(first, second)
                && can_go(second, first, steps)
                && between.iter().all(|step| is_apart(step, second))
            {
                return Some((
                    later,
                    format!(
                        "removed `{b}`: it repeats `{a}`, and nothing between them undoes that"
                    ),
                ));
            }
            if is_overwritten(first, second)
                && can_go(first, second, steps)
                && between.iter().all(|step| is_apart(step, first))
                && leaves(&touches, &sorted, None) == leaves(&touches, &sorted, Some(earlier))
            {
                return Some((
                    earlier,
                    format!(
                        "removed `{a}`: `{b}` overwrites what it sets, and nothing between them looks at it"
                    ),
                ));
            }
        }
    }
    None
}

/// Whether both do the same to the same part of the same object.
fn is_alike(a: &Touch<'_>, b: &Touch<'_>) -> bool {
    !a.is_guard()
        && !b.is_guard()
        && a.step.action == b.step.action
        && a.shares_target(b)
        && a.is_repeatable()
}

fn is_repeat(first: &Touch<'_>, second: &Touch<'_>) -> bool {
    without(&first.step.arguments, &["target", "expect"])
        == without(&second.step.arguments, &["target", "expect"])
        && !second.step.arguments.contains_key("expect")
}

/// Whether the arguments differ only in what is set. A second step that expects something there relies on the first.
fn is_overwritten(first: &Touch<'_>, second: &Touch<'_>) -> bool {
    let mut values: Vec<&str> = first.values().into_iter().collect();
    if values.is_empty() || second.step.arguments.contains_key("expect") {
        return false;
    }
    values.extend(["target", "expect"]);
    without(&first.step.arguments, &values) == without(&second.step.arguments, &values)
}

/// Whether `gone` may go where `kept` stays: nobody speaks of it, and every guard of it is one of `kept` too.
fn can_go(gone: &Touch<'_>, kept: &Touch<'_>, steps: &[Step]) -> bool {
    let (step, other) = (gone.step, kept.step);
    let is_spoken_of = steps.iter().any(|one| one.id != step.id && speaks_of(one, &step.id));
    let is_guarded =
        step.preconditions.iter().all(|condition| other.preconditions.contains(condition))
            && step.postconditions.iter().all(|condition| other.postconditions.contains(condition));
    step.when.is_none()
        && other.when.is_none()
        && !is_spoken_of
        && is_guarded
        && step.on_failure == other.on_failure
        && step.on_failure != OnFailure::Continue
        && step.compensation == other.compensation
}

/// Whether what a step evaluates may speak of the step `id`.
fn speaks_of(step: &Step, id: &str) -> bool {
    let bare = Step { needs: Vec::new(), id: String::new(), ..step.clone() };
    let text = serde_json::to_string(&bare).expect("a step is plain data");
    text.contains("steps") && text.contains(id)
}

/// Whether a step between has nothing to do with `other`: any fact, guard or condition that links them keeps both.
fn is_apart(between: &Touch<'_>, other: &Touch<'_>) -> bool {
    let is_told = between.is_guard() || between.watches(other) || other.watches(between);
    !is_told
        && !matches!(link(between, other), Some(Link::Causal | Link::Threat))
        && !other.configures(between)
}

/// What the steps leave: of each action on each part of each object, the values that were set last.
fn leaves(
    touches: &[Touch<'_>],
    sorted: &[usize],
    skip: Option<usize>,
) -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    for touch in sorted.iter().filter(|place| Some(**place) != skip).map(|place| &touches[*place]) {
        let values: Vec<&str> = touch.values().into_iter().collect();
        let mut part = values.clone();
        part.extend(["target", "expect"]);
        let place = touch.target.as_ref().map(ToString::to_string);
        let key =
            format!("{} {place:?} {:?}", touch.step.action, without(&touch.step.arguments, &part));
        let set: Vec<_> = values.iter().map(|name| touch.step.arguments.get(*name)).collect();
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
