//! Configuration of the learner: priors, discounts and weights.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use workflow::Catalogue;

use crate::beta::Beta;

/// Priors and settings of a model. They are part of its snapshot and digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Ridge penalty on every weight, above 0.
    pub penalty: f64,
    /// Factor by which each outcome discounts the earlier ridge statistics, in (0, 1]. 1 means no discount.
    pub ridge_discount: f64,
    /// Factor by which each outcome of an arm or a step discounts its own earlier statistics, in (0, 1].
    pub arm_discount: f64,
    /// Number of half-widths of the interval added to an estimate for its optimistic value, at least 0.
    pub alpha: f64,
    /// Number of outcomes at which the regression has the same weight as the prior-based estimate, above 0.
    pub credibility: f64,
    /// Number of outcomes at which an arm's residual is shrunk by half, above 0.
    pub residual_shrinkage: f64,
    /// Weight of the prior of a plan, in pseudo-outcomes, above 0.
    pub plan_strength: f64,
    /// Maximum weight, in pseudo-outcomes, of an action's outcomes in all buckets for the estimate in one bucket, above
    /// 0.
    pub bucket_strength: f64,
    /// Prior probability that a plan resolves the incident if all its steps succeed, in (0, 1).
    pub plan_success_prior: f64,
    /// Weight of one operator's rating, relative to an outcome, in (0, 1].
    pub feedback_weight: f64,
    /// Maximum total weight of all ratings of one decision, above 0.
    pub feedback_cap: f64,
    /// Maximum number of decisions that are kept for their outcomes and feedback. The oldest are evicted first.
    pub max_pending_decisions: usize,
    /// Prior of each action, by name.
    pub actions: BTreeMap<String, ActionPrior>,
    /// Prior of an action that is not in `actions`.
    pub unknown_action: ActionPrior,
    /// Prior success probability of arms without steps (`do-nothing`, `escalate`), by arm.
    pub arms: BTreeMap<String, f64>,
}

/// Prior of one action.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionPrior {
    /// Pseudo-counts of success and failure.
    pub success: Beta,
    /// Median duration in seconds, above 0.
    pub seconds: f64,
}

/// A setting that is out of range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("learner configuration: `{field}` is {value}; it must be {expected}")]
pub struct InvalidLearnerConfig {
    /// Name of the field, as a path: `actions.scale.seconds`.
    pub field: String,
    pub value: f64,
    /// Range of allowed values.
    pub expected: &'static str,
}

impl Config {
    /// Returns the default configuration with the priors of the action catalogue.
    pub fn of(catalogue: &Catalogue) -> Self {
        let actions = catalogue.actions.iter().map(|(name, spec)| {
            let success =
                Beta { successes: spec.priors.success_alpha, failures: spec.priors.success_beta };
            (
                name.clone(),
                ActionPrior { success, seconds: spec.priors.duration.as_secs_f64().max(0.1) },
            )
        });
        Self { actions: actions.collect(), ..Self::default() }
    }

    /// Checks that every setting is in range.
    ///
    /// # Errors
    /// [`InvalidLearnerConfig`] with the first field that is out of range.
    pub fn check(&self) -> Result<(), InvalidLearnerConfig> {
        let fraction = "above 0 and at most 1";
        let positive = "a finite number above 0";
        let is_positive = |v: f64| v > 0.0 && v.is_finite();
        let is_fraction = |v: f64| 0.0 < v && v <= 1.0;
        let is_open = |v: f64| 0.0 < v && v < 1.0;
        let rows = [
            ("penalty", self.penalty, is_positive(self.penalty), positive),
            ("ridgeDiscount", self.ridge_discount, is_fraction(self.ridge_discount), fraction),
            ("armDiscount", self.arm_discount, is_fraction(self.arm_discount), fraction),
            (
                "alpha",
                self.alpha,
                self.alpha >= 0.0 && self.alpha.is_finite(),
                "a finite number, at least 0",
            ),
            ("credibility", self.credibility, is_positive(self.credibility), positive),
            (
                "residualShrinkage",
                self.residual_shrinkage,
                is_positive(self.residual_shrinkage),
                positive,
            ),
            ("planStrength", self.plan_strength, is_positive(self.plan_strength), positive),
            ("bucketStrength", self.bucket_strength, is_positive(self.bucket_strength), positive),
            (
                "planSuccessPrior",
                self.plan_success_prior,
                is_open(self.plan_success_prior),
                "above 0 and below 1",
            ),
            ("feedbackWeight", self.feedback_weight, is_fraction(self.feedback_weight), fraction),
            ("feedbackCap", self.feedback_cap, is_positive(self.feedback_cap), positive),
            (
                "maxPendingDecisions",
                self.max_pending_decisions as f64,
                self.max_pending_decisions > 0,
                "above 0",
            ),
        ];
        for (field, value, is_fine, expected) in rows {
            if !is_fine {
                return Err(InvalidLearnerConfig { field: field.into(), value, expected });
            }
        }
        let unknown = ("unknown", &self.unknown_action);
        for (name, prior) in
            self.actions.iter().map(|(name, prior)| (name.as_str(), prior)).chain([unknown])
        {
            let parts = [
                ("successes", prior.success.successes),
                ("failures", prior.success.failures),
                ("seconds", prior.seconds),
            ];
            for (part, value) in parts {
                if !is_positive(value) {
                    return Err(InvalidLearnerConfig {
                        field: format!("actions.{name}.{part}"),
                        value,
                        expected: positive,
                    });
                }
            }
        }
        for (arm, value) in &self.arms {
            if !is_open(*value) {
                return Err(InvalidLearnerConfig {
                    field: format!("arms.{arm}"),
                    value: *value,
                    expected: "above 0 and below 1",
                });
            }
        }
        Ok(())
    }

    /// Returns the prior of an action.
    pub(crate) fn action(&self, name: &str) -> &ActionPrior {
        self.actions.get(name).unwrap_or(&self.unknown_action)
    }
}

impl Default for Config {
    /// Returns the settings without any action priors. Doing nothing rarely resolves an incident (0.1), and escalating
    /// is better than a plan that fails three times out of four (0.25).
    fn default() -> Self {
        Self {
            penalty: 1.0,
            ridge_discount: 1.0,
            arm_discount: 0.98,
            alpha: 0.25,
            credibility: 3.0,
            residual_shrinkage: 4.0,
            plan_strength: 3.0,
            bucket_strength: 4.0,
            plan_success_prior: 0.5,
            feedback_weight: 0.5,
            feedback_cap: 2.0,
            max_pending_decisions: 4096,
            actions: BTreeMap::new(),
            unknown_action: ActionPrior {
                success: Beta { successes: 2.0, failures: 1.0 },
                seconds: 60.0,
            },
            arms: BTreeMap::from([("do-nothing".into(), 0.1), ("escalate".into(), 0.25)]),
        }
    }
}
