//! How long a workflow is expected to take: the longest path through its order.

use std::collections::BTreeMap;

use workflow::{Catalogue, Estimates, Step};

use crate::alternative::chains;
use crate::graph::Order;

/// What is believed of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Belief {
    /// Seconds until its post-conditions hold.
    pub(crate) seconds: f64,
    /// Probability that it does what it says.
    pub(crate) success: f64,
    /// Seconds of a person's time that its disturbance is worth.
    pub(crate) disturbance: f64,
}

/// The learner's estimate of a step where there is one, else the action's prior, else a minute and even odds.
pub(crate) fn belief(step: &Step, estimates: &Estimates, catalogue: &Catalogue) -> Belief {
    let priors = catalogue.get(&step.action).map(|spec| spec.priors);
    let known = estimates.steps.iter().find(|estimate| estimate.step == step.id);
    let usable =
        |value: f64, least: f64, most: f64| (least..=most).contains(&value).then_some(value);
    let prior_success = priors
        .map_or(0.5, |priors| priors.success_alpha / (priors.success_alpha + priors.success_beta));
    let prior_seconds = priors.map_or(60.0, |priors| priors.duration.as_secs_f64());
    Belief {
        seconds: known
            .and_then(|known| usable(known.seconds.estimate, 0.0, 1e9))
            .unwrap_or(prior_seconds),
        success: known
            .and_then(|known| usable(known.success.estimate, 0.0, 1.0))
            .unwrap_or(prior_success),
        disturbance: priors.map_or(0.0, |priors| priors.cost_seconds),
    }
}

/// Expected seconds from the first step to the end of the last: the critical path, each alternative counted as often as
/// all before it fail. Success conditions and pauses between attempts are not in it.
pub(crate) fn expected_seconds(
    steps: &[Step],
    estimates: &Estimates,
    catalogue: &Catalogue,
) -> f64 {
    let Some(order) = Order::of(steps) else { return 0.0 };
    let beliefs: Vec<Belief> =
        steps.iter().map(|step| belief(step, estimates, catalogue)).collect();
    let mut weights: Vec<f64> = beliefs.iter().map(|belief| belief.seconds).collect();
    for chain in chains(steps) {
        let mut reached = 1.0;
        for place in chain {
            weights[place] *= reached;
            reached *= 1.0 - beliefs[place].success;
        }
    }
    let mut ends: BTreeMap<usize, f64> = BTreeMap::new();
    for place in order.sorted() {
        let start = order.direct(place).iter().map(|earlier| ends[earlier]).fold(0.0, f64::max);
        ends.insert(place, start + weights[place]);
    }
    ends.values().copied().fold(0.0, f64::max)
}
