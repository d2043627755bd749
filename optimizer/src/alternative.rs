//! The order in which to try alternatives, stopping at the first that succeeds.
//!
//! # Source
//! Kadane and Simon, "Optimal Strategies for a Class of Constrained Sequential Problems", Annals of Statistics 1977:
//! for independent alternatives, descending probability over cost is optimal. If a failure changes the probabilities of
//! the remaining alternatives, the same ratio with probabilities updated after each failure costs at most four times the
//! optimum (Munagala, Babu, Motwani and Widom, "The Pipelined Set Cover Problem", ICDT 2005).

use std::collections::BTreeSet;

use workflow::manifest::OnFailure;
use workflow::{Expression, Step};

/// Returns the order in which to try alternatives: next is always the one with the greatest probability over cost, given
/// those that failed.
///
/// `costs` are positive; `probability(failed, next)` is the probability, 0 to 1, that `next` succeeds after all of
/// `failed` failed. Ties keep the list order. O(n²) calls of `probability`.
pub(crate) fn order(costs: &[f64], probability: impl Fn(&[usize], usize) -> f64) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < costs.len() {
        let ratio = |next: usize| probability(&order, next) / costs[next];
        let remaining = (0..costs.len()).filter(|next| !order.contains(next));
        let best =
            remaining.reduce(|best, next| if ratio(next) > ratio(best) { next } else { best });
        order.push(best.expect("at least one alternative remains"));
    }
    order
}

/// Returns every chain of alternatives among `steps` as indices in the order in which they are tried.
///
/// Alternatives form a chain in which each step needs the previous one, has `onFailure: continue`, has post-conditions
/// that decide whether it succeeded, and (except for the first) runs only `when` no earlier step succeeded:
/// `steps.a.status != "succeeded" && steps.b.status != "succeeded"`.
pub(crate) fn fallback_chains(steps: &[Step]) -> Vec<Vec<usize>> {
    let mut fallback_chains = Vec::new();
    for first in 0..steps.len() {
        if steps[first].when.is_some() || !is_trial(&steps[first]) {
            continue;
        }
        let mut chain = vec![first];
        while let Some(next) = next_fallback(steps, &chain) {
            chain.push(next);
        }
        if chain.len() > 1 && is_closed(steps, &chain) {
            fallback_chains.push(chain);
        }
    }
    fallback_chains
}

/// Whether a step can fail without ending the run and has post-conditions that decide whether it succeeded.
fn is_trial(step: &Step) -> bool {
    step.on_failure == OnFailure::Continue && has_verifiable_result(step)
}

fn has_verifiable_result(step: &Step) -> bool {
    !step.postconditions.is_empty() && step.approval.is_none()
}

/// Returns the step that is tried after all steps of `chain` failed.
fn next_fallback(steps: &[Step], chain: &[usize]) -> Option<usize> {
    let last = *chain.last()?;
    if steps[last].on_failure != OnFailure::Continue {
        return None;
    }
    let failed: BTreeSet<&str> = chain.iter().map(|index| steps[*index].id.as_str()).collect();
    (0..steps.len()).find(|index| {
        let step = &steps[*index];
        step.needs == [steps[last].id.clone()]
            && has_verifiable_result(step)
            && step.when.as_ref().and_then(parse_skip_if_any)
                == Some(failed.iter().map(ToString::to_string).collect())
    })
}

/// Whether a chain is self-contained: no outside step needs a step of it other than the last or refers to one, and its
/// steps refer to one another only in `when`.
fn is_closed(steps: &[Step], chain: &[usize]) -> bool {
    let Some((_, inner)) = chain.split_last() else { return false };
    steps.iter().enumerate().all(|(index, step)| {
        let is_needed = |inner: &usize| step.needs.contains(&steps[*inner].id);
        let mut bare = step.clone();
        if chain.contains(&index) {
            bare.when = None;
        } else if inner.iter().any(is_needed) {
            return false;
        }
        (bare.needs, bare.id) = (Vec::new(), String::new());
        let text = serde_json::to_string(&bare).expect("a step is plain data");
        chain.iter().all(|other| !text.contains("steps") || !text.contains(&steps[*other].id))
    })
}

/// Parses a condition of the form `steps.a.status != "succeeded" && …` and returns its steps.
fn parse_skip_if_any(when: &Expression) -> Option<BTreeSet<String>> {
    when.source()
        .split("&&")
        .map(|term| {
            let (step, status) = term.split_once("!=")?;
            let status = status.trim();
            let is_succeeded = status == "\"succeeded\"" || status == "'succeeded'";
            let step = step.trim();
            let id = match step.strip_prefix("steps.") {
                Some(rest) => rest.strip_suffix(".status"),
                None => step.strip_prefix("steps[\"")?.strip_suffix("\"].status"),
            };
            id.filter(|_| is_succeeded).map(str::to_string)
        })
        .collect()
}

/// Returns the condition that none of these steps succeeded.
pub(crate) fn skip_if_any(ids: &[&str]) -> Option<Expression> {
    let terms: Vec<String> =
        ids.iter().map(|id| format!("steps[\"{id}\"].status != \"succeeded\"")).collect();
    Expression::parse(&terms.join(" && ")).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the expected cost of trying alternatives in this order until one succeeds.
    fn expected_cost(
        order: &[usize],
        costs: &[f64],
        probability: impl Fn(&[usize], usize) -> f64,
    ) -> f64 {
        let (mut reached, mut cost) = (1.0, 0.0);
        for (tried, next) in order.iter().enumerate() {
            cost += reached * costs[*next];
            reached *= 1.0 - probability(&order[..tried], *next);
        }
        cost
    }

    fn best(costs: &[f64], probability: &impl Fn(&[usize], usize) -> f64) -> f64 {
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
            least = least.min(expected_cost(order, costs, probability))
        });
        least
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn order_of_independent_alternatives_is_optimal(
            pairs in prop::collection::vec((0.0f64..1.0, 0.1f64..100.0), 1..=7)
        ) {
            let costs: Vec<f64> = pairs.iter().map(|(_, cost)| *cost).collect();
            let probability = |_: &[usize], next: usize| pairs[next].0;
            let cost = expected_cost(&order(&costs, probability), &costs, probability);
            prop_assert!(cost <= best(&costs, &probability) + 1e-9);
        }

        #[test]
        fn greedy_order_costs_at_most_four_times_the_optimum(
            costs in prop::collection::vec(0.1f64..100.0, 2..=6),
            weights in prop::collection::vec(0.05f64..1.0, 4),
            fixes in prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 6),
        ) {
            // The remaining faults are those that no failed alternative fixes.
            let probability = |failed: &[usize], next: usize| {
                let is_remaining = |fault: &usize| !failed.iter().any(|one| fixes[*one][*fault]);
                let remaining: f64 = (0..4).filter(is_remaining).map(|fault| weights[fault]).sum();
                let fixed: f64 = (0..4).filter(is_remaining).filter(|fault| fixes[next][*fault]).map(|fault| weights[fault]).sum();
                if remaining > 0.0 { fixed / remaining } else { 0.0 }
            };
            let cost = expected_cost(&order(&costs, probability), &costs, probability);
            prop_assert!(cost <= 4.0 * best(&costs, &probability) + 1e-9);
        }
    }

    #[test]
    fn order_keeps_list_order_for_ties() {
        assert_eq!(order(&[10.0, 10.0, 5.0], |_, next| [0.5, 0.5, 0.5][next]), [2, 0, 1]);
        assert_eq!(order(&[], |_, _| 0.0), [0; 0]);
    }
}
