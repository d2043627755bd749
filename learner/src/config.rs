//! What the learner believes before it has seen anything, and how fast it changes its mind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use workflow::Catalogue;

use crate::beta::Beta;

/// Priors and settings of a model. Part of its snapshot: another configuration is another model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Ridge penalty on every weight, above 0.
    pub penalty: f64,
    /// Share of the ridge statistics that stays after each outcome, in (0, 1]; 1 forgets nothing.
    pub ridge_discount: f64,
    /// Share of an arm's (or a step's) own statistics that stays after each of its outcomes, in (0, 1].
    pub arm_discount: f64,
    /// How many half-widths of the interval optimism adds to an estimate, at least 0.
    pub alpha: f64,
    /// Outcomes at which the ridge counts as much as the priors, above 0.
    pub credibility: f64,
    /// Outcomes that pull an arm's residual half-way from 0 to its mean, above 0.
    pub residual_shrinkage: f64,
    /// Pseudo-outcomes that the prior of a plan is worth, above 0.
    pub plan_strength: f64,
    /// Pseudo-outcomes by which a step's bucket leans on all buckets of its action, above 0.
    pub bucket_strength: f64,
    /// Probability, before anything was seen, that a plan whose steps all work is the right plan, in (0, 1).
    pub right_plan: f64,
    /// Weight of one person's opinion beside an outcome's 1, in (0, 1].
    pub feedback_weight: f64,
    /// Most that all opinions on one decision weigh together.
    pub feedback_cap: f64,
    /// Most decisions that are remembered until their outcomes and feedback come; the oldest are dropped first.
    pub remember: usize,
    /// Of each action, by name.
    pub actions: BTreeMap<String, ActionPrior>,
    /// Of an action that is not in the list.
    pub unknown_action: ActionPrior,
    /// Success of arms that have no steps to tell it by (`do-nothing`, `escalate`), by arm.
    pub arms: BTreeMap<String, f64>,
}

/// What is believed of one action before anything was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionPrior {
    /// Pseudo-counts of success and failure.
    pub success: Beta,
    /// Seconds that it takes, in the middle, above 0.
    pub seconds: f64,
}

/// A configuration under which nothing can be learned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("learner configuration: `{field}` is {value}; it must be {expected}")]
pub struct BadConfig {
    /// The field.
    pub field: String,
    /// What it was.
    pub value: f64,
    /// What it may be.
    pub expected: &'static str,
}

impl Config {
    /// The configuration that Chiron starts with, its priors taken from the action catalogue.
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

    /// Checks every range.
    ///
    /// # Errors
    /// [`BadConfig`] naming the first field that is out of its range.
    pub fn check(&self) -> Result<(), BadConfig> {
        let share = "above 0 and at most 1";
        let positive = "a finite number above 0";
        let is_positive = |v: f64| v > 0.0 && v.is_finite();
        let is_share = |v: f64| 0.0 < v && v <= 1.0;
        let is_open = |v: f64| 0.0 < v && v < 1.0;
        let rows = [
            ("penalty", self.penalty, is_positive(self.penalty), positive),
            ("ridgeDiscount", self.ridge_discount, is_share(self.ridge_discount), share),
            ("armDiscount", self.arm_discount, is_share(self.arm_discount), share),
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
            ("rightPlan", self.right_plan, is_open(self.right_plan), "above 0 and below 1"),
            ("feedbackWeight", self.feedback_weight, is_share(self.feedback_weight), share),
            ("feedbackCap", self.feedback_cap, is_positive(self.feedback_cap), positive),
            ("remember", self.remember as f64, self.remember > 0, "above 0"),
        ];
        for (field, value, is_fine, expected) in rows {
            if !is_fine {
                return Err(BadConfig { field: field.into(), value, expected });
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
                    return Err(BadConfig {
                        field: format!("actions.{name}.{part}"),
                        value,
                        expected: positive,
                    });
                }
            }
        }
        for (arm, value) in &self.arms {
            if !is_open(*value) {
                return Err(BadConfig {
                    field: format!("arms.{arm}"),
                    value: *value,
                    expected: "above 0 and below 1",
                });
            }
        }
        Ok(())
    }

    /// The prior of an action.
    pub(crate) fn action(&self, name: &str) -> &ActionPrior {
        self.actions.get(name).unwrap_or(&self.unknown_action)
    }
}

impl Default for Config {
    /// No action is known yet. Waiting for trouble to pass seldom ends it, and asking a person is better than a plan
    /// that fails three times in four.
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
            right_plan: 0.5,
            feedback_weight: 0.5,
            feedback_cap: 2.0,
            remember: 4096,
            actions: BTreeMap::new(),
            unknown_action: ActionPrior {
                success: Beta { successes: 2.0, failures: 1.0 },
                seconds: 60.0,
            },
            arms: BTreeMap::from([("do-nothing".into(), 0.1), ("escalate".into(), 0.25)]),
        }
    }
}
