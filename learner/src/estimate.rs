//! Estimates: how likely a candidate resolves the incident, how sure that is, and what its steps do.

use workflow::{Estimate, Estimates, Features, StepEstimate};

use crate::beta::Beta;
use crate::interval::wilson;
use crate::model::Model;

/// Where a straight line begins to bend, so that it never leaves [0, 1] and never makes two values one.
const KNEE: f64 = 0.03;

/// What the model believes of one candidate.
///
/// With few outcomes it is a hierarchical Beta estimate, with many a regression, and in between the two blended:
///
/// ```text
/// prior  = right plan × Π over steps of E[step succeeds | action, bucket]
/// B      = (strength · prior + successes of the arm) / (strength + outcomes of the arm)
/// R      = bend(offset + weights · x + residual of the arm)
/// n      = 1 / xᵀA⁻¹x − 1 / xᵀA₀⁻¹x        outcomes at x that all outcomes together are worth
/// plan   = (1 − n/(n + credibility)) · B + n/(n + credibility) · R
/// ```
///
/// The interval is Wilson's after `strength + min(n, shrinkage + outcomes of the arm)` effective outcomes: the scarcer
/// of what is known around `x` and what is known of the arm. The optimistic value is the plan's estimate times how
/// quickly the arm resolves what it resolves, plus `alpha` half-widths.
///
/// Features that [`Model::check`] refuses are not read: the estimate is then `B` alone, finite and in range like every
/// other, with no observations.
///
/// # Source
/// Shared weights with arms' own terms: Li, Chu, Langford and Schapire, "A contextual-bandit approach to personalized
/// news article recommendation", WWW 2010 (hybrid LinUCB), the arm's term shrunk as a random intercept (Robinson, "That
/// BLUP is a good thing", Statistical Science 1991). Blend: Bühlmann's credibility weight n / (n + k), "Experience
/// rating and credibility", ASTIN Bulletin 1967.
pub fn estimate(model: &Model, features: &Features) -> Estimates {
    let config = model.config();
    let arm = model.arm(&features.arm);
    let of_arm = arm.map(|arm| arm.seen()).unwrap_or_default();
    let posterior = Beta::prior(model.prior(features), config.plan_strength).and(&of_arm);

    let (probability, observations) = if model.check(features).is_ok() {
        let x = Model::x(features);
        let residual = arm.map_or(0.0, |arm| model.residual(arm));
        let regression = bend(model.offset(features) + model.ridge().mean(&x) + residual);
        let around = model.ridge().observations(&x);
        let share = around / (around + config.credibility);
        let probability = (1.0 - share) * posterior.mean() + share * regression;
        (probability, around.min(config.residual_shrinkage + of_arm.strength()))
    } else {
        (posterior.mean(), 0.0)
    };

    let plan = wilson(probability, config.plan_strength + observations);
    let quickness = arm.map_or(1.0, |arm| arm.quickness());
    Estimates {
        plan,
        optimistic: plan.estimate * quickness + config.alpha * (plan.high - plan.low) / 2.0,
        observations,
        steps: features.steps.iter().map(|step| of_step(model, step)).collect(),
        model: model.digest(),
    }
}

fn of_step(model: &Model, step: &workflow::features::StepFeatures) -> StepEstimate {
    let success = model.step(&step.action, &step.bucket);
    let (pace, prior_median_s) = model.pace(&step.action);
    let seconds: Estimate = pace.seconds(prior_median_s);
    StepEstimate {
        step: step.step.clone(),
        success: wilson(success.mean(), success.strength()),
        seconds,
    }
}

/// The identity within [0.03, 0.97]; beyond, it bends smoothly towards 0 and 1 and never reaches them.
fn bend(value: f64) -> f64 {
    if value > 1.0 - KNEE {
        let beyond = (value - (1.0 - KNEE)) / KNEE;
        1.0 - KNEE + KNEE * beyond / (1.0 + beyond)
    } else if value < KNEE {
        1.0 - bend(1.0 - value)
    } else {
        value
    }
}

#[cfg(test)]
mod tests;
