use workflow::{Account, Catalogue, Estimates, Step, Workflow};

use crate::alternative::{chains, order, unless};
use crate::dependency::{Link, infer};
use crate::elimination::eliminate;
use crate::graph::Order;
use crate::schedule::{belief, expected_seconds};
use crate::touch::Touch;

/// Orders, prunes and relaxes the steps of `workflow`, and accounts for it in one sentence per change.
///
/// In this order: redundant steps are removed; alternatives are put in the order of probability over cost; the order
/// that facts ask for is added; order that nothing asks for is taken out, so that independent steps run side by side.
///
/// *Guarantees*: the same steps are done but for those that leave no trace; no guard is removed, and nothing moves past
/// one; a second pass changes nothing; a workflow of one step, and one whose steps have no order (a cycle, a missing
/// step), come back as they are.
///
/// *Assumes* that actions change no other facts than their declarations say.
pub fn optimize(
    mut workflow: Workflow,
    estimates: &Estimates,
    catalogue: &Catalogue,
) -> (Workflow, Account) {
    let steps = &mut workflow.spec.steps;
    let seconds = expected_seconds(steps, estimates, catalogue);
    let before = ids(steps);
    let mut account = Account {
        before: before.clone(),
        after: before,
        expected_seconds_before: seconds,
        expected_seconds_after: seconds,
        ..Account::default()
    };
    if Order::of(steps).is_none() || steps.len() < 2 {
        return (workflow, account);
    }
    // Order that was added may show that a step is redundant. Steps only go, so this ends.
    for _ in 0..=steps.len() {
        let done = account.changes.len();
        for removed in eliminate(steps, catalogue) {
            account.changes.push(removed.why);
            account.removed.push(removed.id);
        }
        account.changes.extend(reorder_alternatives(steps, estimates, catalogue));
        account.changes.extend(rewire(steps, catalogue));
        if account.changes.len() == done {
            break;
        }
    }
    account.after = ids(steps);
    account.expected_seconds_after = expected_seconds(steps, estimates, catalogue);
    (workflow, account)
}

/// Ids of the steps, earlier before later.
fn ids(steps: &[Step]) -> Vec<String> {
    let places =
        Order::of(steps).map_or_else(|| (0..steps.len()).collect(), |order| order.sorted());
    places.into_iter().map(|place| steps[place].id.clone()).collect()
}

/// Puts each chain of alternatives in the order of probability over cost. What belongs to a place in the chain (what it
/// needs, when it is tried, what happens if it fails) stays with the place.
fn reorder_alternatives(
    steps: &mut [Step],
    estimates: &Estimates,
    catalogue: &Catalogue,
) -> Vec<String> {
    let mut changes = Vec::new();
    for chain in chains(steps) {
        let beliefs: Vec<_> =
            chain.iter().map(|place| belief(&steps[*place], estimates, catalogue)).collect();
        // A second is the least that anything costs: a cost of nothing would have no ratio.
        let costs: Vec<f64> =
            beliefs.iter().map(|belief| (belief.seconds + belief.disturbance).max(1.0)).collect();
        let best = order(&costs, |_, next| beliefs[next].success);
        if best.iter().enumerate().all(|(at, chosen)| at == *chosen) {
            continue;
        }
        let old: Vec<Step> = chain.iter().map(|place| steps[*place].clone()).collect();
        let names: Vec<&str> = best.iter().map(|chosen| old[*chosen].id.as_str()).collect();
        let conditions: Option<Vec<_>> = (1..names.len()).map(|at| unless(&names[..at])).collect();
        let Some(conditions) = conditions else { continue };
        for (at, chosen) in best.iter().enumerate() {
            let needs =
                if at == 0 { old[0].needs.clone() } else { vec![names[at - 1].to_string()] };
            let when = if at == 0 { None } else { Some(conditions[at - 1].clone()) };
            steps[chain[at]] =
                Step { needs, when, on_failure: old[at].on_failure, ..old[*chosen].clone() };
        }
        let (was, is) = (&old[old.len() - 1].id, names[names.len() - 1]);
        for (_, step) in steps.iter_mut().enumerate().filter(|(place, _)| !chain.contains(place)) {
            for need in step.needs.iter_mut().filter(|need| *need == was) {
                *need = is.to_string();
            }
        }
        let first = best[0];
        changes.push(format!(
            "tries `{}` first ({:.0} % at a cost of {:.0} s), then {}: the greatest probability for its cost comes first",
            names[0],
            100.0 * beliefs[first].success,
            costs[first],
            names[1..].iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ));
    }
    changes
}

/// Gives the steps the order that facts, guards and conditions ask for, and no more.
fn rewire(steps: &mut [Step], catalogue: &Catalogue) -> Vec<String> {
    let Some(written) = Order::of(steps) else { return Vec::new() };
    let touches: Vec<Touch<'_>> = steps.iter().map(|step| Touch::of(step, catalogue)).collect();
    let (inferred, added) = infer(&touches, &written);
    if inferred == written {
        return Vec::new();
    }
    let id = |place: usize| &steps[place].id;
    let mut changes = Vec::new();
    for (earlier, later, link) in added {
        let why = match link {
            Link::Causal => "it relies on what that changes",
            Link::Threat | Link::Written => "both change the same object",
        };
        changes.push(format!("`{}` now waits for `{}`: {why}", id(later), id(earlier)));
    }
    for later in 0..steps.len() {
        for earlier in
            written.direct(later).into_iter().filter(|earlier| !inferred.has(*earlier, later))
        {
            changes.push(format!(
                "`{}` no longer waits for `{}`: neither changes what the other looks at",
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
    drop(touches);
    for (step, needs) in steps.iter_mut().zip(needs) {
        step.needs = needs;
    }
    changes
}

#[cfg(test)]
mod tests;
