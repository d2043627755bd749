//! Estimates of a candidate's success probability, with its uncertainty, and of its steps.

use workflow::{Estimate, Estimates, Features, StepEstimate};

use crate::beta::Beta;
use crate::interval::wilson;
use crate::model::Model;

/// Distance from 0 and 1 at which [`squash`] stops being the identity.
const SQUASH_THRESHOLD: f64 = 0.03;

/// Estimates the success probability of one candidate.
///
/// With few outcomes this is a hierarchical Beta estimate, with many a regression, and in between a blend of the two:
///
/// ```text
/// prior  = plan success prior × Π over steps of E[step succeeds | action, bucket]
/// B      = (strength · prior + successes of the arm) / (strength + outcomes of the arm)
/// R      = squash(offset + weights · x + residual of the arm)
/// n      = 1 / xᵀA⁻¹x − 1 / xᵀA₀⁻¹x        effective number of observations at x
/// plan   = (1 − n/(n + credibility)) · B + n/(n + credibility) · R
/// ```
///
/// The interval is a Wilson score interval after `strength + min(n, shrinkage + outcomes of the arm)` effective
/// outcomes: the smaller of the evidence around `x` and the evidence about the arm. The optimistic value is the plan's
/// estimate times the speed score of the arm, plus `alpha` half-widths.
///
/// If [`Model::check`] rejects the features, the estimate is `B` with 0 observations, so it is always finite and in
/// range.
///
/// # Source
/// Shared weights with arms' own terms: Li, Chu, Langford and Schapire, "A contextual-bandit approach to personalized
/// news article recommendation", WWW 2010 (hybrid LinUCB), the arm's term shrunk as a random intercept (Robinson, "That
/// BLUP is a good thing", Statistical Science 1991). Blend: Bühlmann's credibility weight n / (n + k), "Experience
/// rating and credibility", ASTIN Bulletin 1967.
pub fn estimate(model: &Model, features: &Features) -> Estimates {
    let config = model.config();
    let arm = model.arm(&features.arm);
    let of_arm = arm.map(|arm| arm.counts()).unwrap_or_default();
    let posterior = Beta::prior(model.prior(features), config.plan_strength).and(&of_arm);

    let (probability, observations) = if model.check(features).is_ok() {
        let x = Model::x(features);
        let residual = arm.map_or(0.0, |arm| model.residual(arm));
        let regression = squash(model.offset(features) + model.ridge().mean(&x) + residual);
        let observations = model.ridge().observations(&x);
        let credibility = observations / (observations + config.credibility);
        let probability = (1.0 - credibility) * posterior.mean() + credibility * regression;
        (probability, observations.min(config.residual_shrinkage + of_arm.strength()))
    } else {
        (posterior.mean(), 0.0)
    };

    let plan = wilson(probability, config.plan_strength + observations);
    let speed_score = arm.map_or(1.0, |arm| arm.speed_score());
    Estimates {
        plan,
        optimistic: plan.estimate * speed_score + config.alpha * (plan.high - plan.low) / 2.0,
        observations,
        steps: features.steps.iter().map(|step| of_step(model, step)).collect(),
        model: model.digest(),
    }
}

fn of_step(model: &Model, step: &workflow::features::StepFeatures) -> StepEstimate {
    let success = model.step(&step.action, &step.bucket);
    let (duration, prior_median_s) = model.duration(&step.action);
    let seconds: Estimate = duration.seconds(prior_median_s);
    StepEstimate {
        step: step.step.clone(),
        success: wilson(success.mean(), success.strength()),
        seconds,
    }
}

/// Maps any real number into (0, 1), strictly monotonically: the identity within [0.03, 0.97], asymptotic to 0 and 1
/// beyond.
fn squash(value: f64) -> f64 {
    if value > 1.0 - SQUASH_THRESHOLD {
        let beyond = (value - (1.0 - SQUASH_THRESHOLD)) / SQUASH_THRESHOLD;
        1.0 - SQUASH_THRESHOLD + SQUASH_THRESHOLD * beyond / (1.0 + beyond)
    } else if value < SQUASH_THRESHOLD {
        1.0 - squash(1.0 - value)
    } else {
        value
    }
}

#[cfg(test)]
mod tests;
