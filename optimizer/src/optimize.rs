use workflow::{Catalogue, Estimates, OptimizationReport, Step, Workflow};

use crate::access::Access;
use crate::alternative::{fallback_chains, order, skip_if_any};
use crate::dependency::{Dependency, infer};
use crate::elimination::eliminate;
use crate::graph::Order;
use crate::schedule::{expected_seconds, step_belief};

/// Orders and prunes the steps of `workflow`, removes unnecessary order, and reports each change in one sentence.
///
/// Passes, in this order: redundant steps are removed; alternatives are sorted by probability over cost; the order that
/// facts require is added; order that nothing requires is removed, so that independent steps run concurrently.
///
/// # Guarantees
/// Only steps without a lasting effect are removed. No guard is removed, and no step is moved across one. A second pass
/// changes nothing. A workflow of one step, and one whose steps have no valid order (a cycle, an unknown step), is
/// returned unchanged.
///
/// # Assumptions
/// Actions change no facts other than those that they declare.
pub fn optimize(
    mut workflow: Workflow,
    estimates: &Estimates,
    catalogue: &Catalogue,
) -> (Workflow, OptimizationReport) {
    let steps = &mut workflow.spec.steps;
    let seconds = expected_seconds(steps, estimates, catalogue);
    let before = ids(steps);
    let mut account = OptimizationReport {
        before: before.clone(),
        after: before,
        expected_seconds_before: seconds,
        expected_seconds_after: seconds,
        ..OptimizationReport::default()
    };
    if Order::of(steps).is_none() || steps.len() < 2 {
        return (workflow, account);
    }
    // Added order may make another step redundant. Each round removes steps or changes nothing, so the loop ends.
    for _ in 0..=steps.len() {
        let changes_before = account.changes.len();
        for removed in eliminate(steps, catalogue) {
            account.changes.push(removed.message);
            account.removed.push(removed.id);
        }
        account.changes.extend(reorder_alternatives(steps, estimates, catalogue));
        account.changes.extend(rewire(steps, catalogue));
        if account.changes.len() == changes_before {
            break;
        }
    }
    account.after = ids(steps);
    account.expected_seconds_after = expected_seconds(steps, estimates, catalogue);
    (workflow, account)
}

/// Returns the ids of the steps in topological order.
fn ids(steps: &[Step]) -> Vec<String> {
    let indices =
        Order::of(steps).map_or_else(|| (0..steps.len()).collect(), |order| order.sorted());
    indices.into_iter().map(|index| steps[index].id.clone()).collect()
}

/// Sorts each chain of alternatives by probability over cost. The attributes of a position in the chain (`needs`, `when`,
/// `onFailure`) stay with the position.
fn reorder_alternatives(
    steps: &mut [Step],
    estimates: &Estimates,
    catalogue: &Catalogue,
) -> Vec<String> {
    let mut changes = Vec::new();
    for chain in fallback_chains(steps) {
        let estimated: Vec<_> =
            chain.iter().map(|index| step_belief(&steps[*index], estimates, catalogue)).collect();
        // The minimum cost is one second: the ratio is undefined for a cost of zero.
        let costs: Vec<f64> =
            estimated.iter().map(|step| (step.seconds + step.disruption).max(1.0)).collect();
        let best = order(&costs, |_, next| estimated[next].success);
        if best.iter().enumerate().all(|(position, chosen)| position == *chosen) {
            continue;
        }
        let old: Vec<Step> = chain.iter().map(|index| steps[*index].clone()).collect();
        let names: Vec<&str> = best.iter().map(|chosen| old[*chosen].id.as_str()).collect();
        let conditions: Option<Vec<_>> =
            (1..names.len()).map(|position| skip_if_any(&names[..position])).collect();
        let Some(conditions) = conditions else { continue };
        for (position, chosen) in best.iter().enumerate() {
            let needs = if position == 0 {
                old[0].needs.clone()
            } else {
                vec![names[position - 1].to_string()]
            };
            let when = if position == 0 { None } else { Some(conditions[position - 1].clone()) };
            steps[chain[position]] =
                Step { needs, when, on_failure: old[position].on_failure, ..old[*chosen].clone() };
        }
        let (old_last, new_last) = (&old[old.len() - 1].id, names[names.len() - 1]);
        for (_, step) in steps.iter_mut().enumerate().filter(|(index, _)| !chain.contains(index)) {
            for need in step.needs.iter_mut().filter(|need| *need == old_last) {
                *need = new_last.to_string();
            }
        }
        let first = best[0];
        changes.push(format!(
            "tries `{}` first ({:.0} % at a cost of {:.0} s), then {}: alternatives are sorted by probability over cost",
            names[0],
            100.0 * estimated[first].success,
            costs[first],
            names[1..].iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ));
    }
    changes
}

/// Replaces the `needs` of the steps by the order that facts, guards and conditions require.
fn rewire(steps: &mut [Step], catalogue: &Catalogue) -> Vec<String> {
    let Some(declared) = Order::of(steps) else { return Vec::new() };
    let accesses: Vec<Access<'_>> = steps.iter().map(|step| Access::of(step, catalogue)).collect();
    let (inferred, added) = infer(&accesses, &declared);
    if inferred == declared {
        return Vec::new();
    }
    let id = |index: usize| &steps[index].id;
    let mut changes = Vec::new();
    for (earlier, later, dependency) in added {
        let reason = match dependency {
            Dependency::Causal => "it reads state that the other step changes",
            Dependency::Threat | Dependency::Declared => "both change the same object",
        };
        changes.push(format!("`{}` now waits for `{}`: {reason}", id(later), id(earlier)));
    }
    for later in 0..steps.len() {
        for earlier in
            declared.direct(later).into_iter().filter(|earlier| !inferred.has(*earlier, later))
        {
            changes.push(format!(
                "`{}` no longer waits for `{}`: neither step changes state that the other one reads",
                id(later),
                id(earlier)
            ));
        }
    }
    let needs: Vec<Vec<String>> = (0..steps.len())
        .map(|later| {
            inferred.direct(later).into_iter().map(|earlier| id(earlier).clone()).collect()
        })
        .collect();
    drop(accesses);
    for (step, needs) in steps.iter_mut().zip(needs) {
        step.needs = needs;
    }
    changes
}

#[cfg(test)]
mod tests;
