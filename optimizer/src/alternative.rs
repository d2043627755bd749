//! In which order to try several ways to the same end, stopping at the first that works.
//!
//! # Source
//! Kadane and Simon, "Optimal Strategies for a Class of Constrained Sequential Problems", Annals of Statistics 1977:
//! for independent alternatives, falling probability over cost is optimal. Where what failed tells something of what is
//! left, the same ratio with the probability updated after each failure is within four times of the best order (Munagala,
//! Babu, Motwani and Widom, "The Pipelined Set Cover Problem", ICDT 2005).

use std::collections::BTreeSet;

use workflow::manifest::OnFailure;
use workflow::{Expression, Step};

/// The order in which to try alternatives: always the one with the greatest probability over cost, given what failed.
///
/// `costs` are positive; `chance(failed, next)` is the probability in [0, 1] that `next` works when all of `failed` have
/// not. Ties go to the one that is listed first. O(n²) calls of `chance`.
pub fn order(costs: &[f64], chance: impl Fn(&[usize], usize) -> f64) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < costs.len() {
        let ratio = |next: usize| chance(&order, next) / costs[next];
        let left = (0..costs.len()).filter(|next| !order.contains(next));
        let best = left.reduce(|best, next| if ratio(next) > ratio(best) { next } else { best });
        order.push(best.expect("something is left"));
    }
    order
}

/// The expected cost of trying alternatives in this order until one works.
pub fn expected_cost(
    order: &[usize],
    costs: &[f64],
    chance: impl Fn(&[usize], usize) -> f64,
) -> f64 {
    let (mut reached, mut cost) = (1.0, 0.0);
    for (tried, next) in order.iter().enumerate() {
        cost += reached * costs[*next];
        reached *= 1.0 - chance(&order[..tried], *next);
    }
    cost
}

/// Every chain of alternatives among `steps`, each as places in the order in which they are tried (see [`crate::roles`]).
pub(crate) fn chains(steps: &[Step]) -> Vec<Vec<usize>> {
    let mut chains = Vec::new();
    for first in 0..steps.len() {
        if steps[first].when.is_some() || !is_trial(&steps[first]) {
            continue;
        }
        let mut chain = vec![first];
        while let Some(next) = follower(steps, &chain) {
            chain.push(next);
        }
        if chain.len() > 1 && is_closed(steps, &chain) {
            chains.push(chain);
        }
    }
    chains
}

/// Whether a step can fail without ending the run, and tells whether it worked.
fn is_trial(step: &Step) -> bool {
    step.on_failure == OnFailure::Continue && says_whether_it_worked(step)
}

fn says_whether_it_worked(step: &Step) -> bool {
    !step.postconditions.is_empty() && step.approval.is_none()
}

/// The step that is tried when all of `chain` have failed.
fn follower(steps: &[Step], chain: &[usize]) -> Option<usize> {
    let last = *chain.last()?;
    if steps[last].on_failure != OnFailure::Continue {
        return None;
    }
    let failed: BTreeSet<&str> = chain.iter().map(|place| steps[*place].id.as_str()).collect();
    (0..steps.len()).find(|place| {
        let step = &steps[*place];
        step.needs == [steps[last].id.clone()]
            && says_whether_it_worked(step)
            && step.when.as_ref().and_then(unless_any)
                == Some(failed.iter().map(ToString::to_string).collect())
    })
}

/// Whether nothing outside a chain needs a step of it but the last, or speaks of one, and no step of it speaks of
/// another but in its `when`.
fn is_closed(steps: &[Step], chain: &[usize]) -> bool {
    let Some((_, inner)) = chain.split_last() else { return false };
    steps.iter().enumerate().all(|(place, step)| {
        let is_needed = |inner: &usize| step.needs.contains(&steps[*inner].id);
        let mut bare = step.clone();
        if chain.contains(&place) {
            bare.when = None;
        } else if inner.iter().any(is_needed) {
            return false;
        }
        (bare.needs, bare.id) = (Vec::new(), String::new());
        let text = serde_json::to_string(&bare).expect("a step is plain data");
        chain.iter().all(|other| !text.contains("steps") || !text.contains(&steps[*other].id))
    })
}

/// The steps of a condition `steps.a.status != "succeeded" && …`, if it is one.
fn unless_any(when: &Expression) -> Option<BTreeSet<String>> {
    when.source()
        .split("&&")
        .map(|term| {
            let (step, word) = term.split_once("!=")?;
            let word = word.trim();
            let is_succeeded = word == "\"succeeded\"" || word == "'succeeded'";
            let step = step.trim();
            let id = match step.strip_prefix("steps.") {
                Some(rest) => rest.strip_suffix(".status"),
                None => step.strip_prefix("steps[\"")?.strip_suffix("\"].status"),
            };
            id.filter(|_| is_succeeded).map(str::to_string)
        })
        .collect()
}

/// The condition that none of these steps succeeded.
pub(crate) fn unless(ids: &[&str]) -> Option<Expression> {
    let terms: Vec<String> =
        ids.iter().map(|id| format!("steps[\"{id}\"].status != \"succeeded\"")).collect();
    Expression::parse(&terms.join(" && ")).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn best(costs: &[f64], chance: &impl Fn(&[usize], usize) -> f64) -> f64 {
        fn permute(prefix: &mut Vec<usize>, n: usize, visit: &mut impl FnMut(&[usize])) {
            if prefix.len() == n {
                return visit(prefix);
            }
            for next in 0..n {
                if !prefix.contains(&next) {
                    prefix.push(next);
                    permute(prefix, n, visit);
                    prefix.pop();
                }
            }
        }
        let mut least = f64::INFINITY;
        permute(&mut Vec::new(), costs.len(), &mut |order| {
            least = least.min(expected_cost(order, costs, chance))
        });
        least
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn independent_alternatives_are_ordered_as_well_as_by_trying_every_order(
            pairs in prop::collection::vec((0.0f64..1.0, 0.1f64..100.0), 1..=7)
        ) {
            let costs: Vec<f64> = pairs.iter().map(|(_, cost)| *cost).collect();
            let chance = |_: &[usize], next: usize| pairs[next].0;
            let cost = expected_cost(&order(&costs, chance), &costs, chance);
            prop_assert!(cost <= best(&costs, &chance) + 1e-9);
        }

        #[test]
        fn alternatives_for_the_same_faults_cost_at_most_four_times_the_best_order(
            costs in prop::collection::vec(0.1f64..100.0, 2..=6),
            weights in prop::collection::vec(0.05f64..1.0, 4),
            mends in prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 6),
        ) {
            // Every fault that is left is one that no failed alternative mends.
            let chance = |failed: &[usize], next: usize| {
                let is_left = |fault: &usize| !failed.iter().any(|one| mends[*one][*fault]);
                let left: f64 = (0..4).filter(is_left).map(|fault| weights[fault]).sum();
                let mended: f64 = (0..4).filter(is_left).filter(|fault| mends[next][*fault]).map(|fault| weights[fault]).sum();
                if left > 0.0 { mended / left } else { 0.0 }
            };
            let cost = expected_cost(&order(&costs, chance), &costs, chance);
            prop_assert!(cost <= 4.0 * best(&costs, &chance) + 1e-9);
        }
    }

    #[test]
    fn ties_keep_the_order_of_the_list() {
        assert_eq!(order(&[10.0, 10.0, 5.0], |_, next| [0.5, 0.5, 0.5][next]), [2, 0, 1]);
        assert_eq!(order(&[], |_, _| 0.0), [0; 0]);
    }
}
