//! Expected duration of a workflow: the longest path through the step order (critical path).

use std::collections::BTreeMap;

use workflow::{Catalogue, Estimates, Step};

use crate::alternative::fallback_chains;
use crate::graph::Order;

/// Expected duration, success probability and cost of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StepExpectation {
    /// Seconds until the post-conditions are true.
    pub(crate) seconds: f64,
    /// Probability that the step succeeds, 0 to 1.
    pub(crate) success: f64,
    /// Cost of the disruption that the step causes, as seconds of an operator's time.
    pub(crate) disruption: f64,
}

/// Returns the learner's estimate for a step. Without an estimate: the action's prior; without a prior: 60 s and 50 %.
pub(crate) fn step_belief(
    step: &Step,
    estimates: &Estimates,
    catalogue: &Catalogue,
) -> StepExpectation {
    let priors = catalogue.get(&step.action).map(|spec| spec.priors);
    let known = estimates.steps.iter().find(|estimate| estimate.step == step.id);
    let usable =
        |value: f64, least: f64, most: f64| (least..=most).contains(&value).then_some(value);
    let prior_success = priors
        .map_or(0.5, |priors| priors.success_alpha / (priors.success_alpha + priors.success_beta));
    let prior_seconds = priors.map_or(60.0, |priors| priors.duration.as_secs_f64());
    StepExpectation {
        seconds: known
            .and_then(|known| usable(known.seconds.estimate, 0.0, 1e9))
            .unwrap_or(prior_seconds),
        success: known
            .and_then(|known| usable(known.success.estimate, 0.0, 1.0))
            .unwrap_or(prior_success),
        disruption: priors.map_or(0.0, |priors| priors.cost_seconds),
    }
}

/// Returns the expected seconds from the start of the first step to the end of the last: the critical path, with each
/// alternative weighted by the probability that all earlier ones fail. Success conditions and pauses between attempts
/// are not included.
pub(crate) fn expected_seconds(
    steps: &[Step],
    estimates: &Estimates,
    catalogue: &Catalogue,
) -> f64 {
    let Some(order) = Order::of(steps) else { return 0.0 };
    let beliefs: Vec<StepExpectation> =
        steps.iter().map(|step| step_belief(step, estimates, catalogue)).collect();
    let mut weights: Vec<f64> = beliefs.iter().map(|belief| belief.seconds).collect();
    for chain in fallback_chains(steps) {
        let mut reached = 1.0;
        for index in chain {
            weights[index] *= reached;
            reached *= 1.0 - beliefs[index].success;
        }
    }
    let mut ends: BTreeMap<usize, f64> = BTreeMap::new();
    for index in order.sorted() {
        let start = order.direct(index).iter().map(|earlier| ends[earlier]).fold(0.0, f64::max);
        ends.insert(index, start + weights[index]);
    }
    ends.values().copied().fold(0.0, f64::max)
}
