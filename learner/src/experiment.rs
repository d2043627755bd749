//! Experiments: validation of their definition, and their results.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use workflow::Outcome;
use workflow::experiment::{Experiment, Treatment};
use workflow::id::{DecisionId, IncidentId};

use crate::policies::policy;
use crate::sample_ratio::mismatch_p_value;
use crate::sequence::ConfidenceSequence;

/// P-value of the sample ratio test below which the results are not interpreted.
const MISMATCH_P_VALUE: f64 = 0.01;
/// Maximum value of the minimum number of outcomes per variant.
const MAX_MINIMUM_OUTCOMES: u32 = 1_000_000;

/// An invalid definition of an experiment.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidExperiment {
    /// The name is missing or too long.
    #[error("the name of an experiment must have 1 to 100 characters")]
    Name,
    /// The number of variants is not two.
    #[error("an experiment has exactly two variants, the baseline first; this one has {found}")]
    Variants { found: usize },
    /// The name of a variant is missing or not unique.
    #[error("the name `{name}` of variant {position} is missing, too long or not unique")]
    VariantName {
        /// Position of the variant, from 1.
        position: usize,
        name: String,
    },
    /// The share of a variant is out of range.
    #[error("the share of variant `{variant}` is {share}: it must be above 0 and below 1")]
    Share { variant: String, share: f64 },
    /// The shares do not sum to 1.
    #[error("the shares of the variants sum to {sum}, but must sum to 1")]
    Shares { sum: f64 },
    /// The significance level is out of range.
    #[error("alpha is {alpha}: it must be above 0 and at most 0.5; 0.05 is usual")]
    Alpha { alpha: f64 },
    /// The minimum number of outcomes is out of range.
    #[error(
        "the minimum number of outcomes per variant is {minimum}: it must be between 1 and {MAX_MINIMUM_OUTCOMES}"
    )]
    Minimum { minimum: u32 },
    /// The policy does not exist.
    #[error(
        "the policy `{policy}` of variant `{variant}` does not exist: use `igw`, `greedy` or `first`"
    )]
    Policy { variant: String, policy: String },
    /// A treatment by sources or templates has an empty list.
    #[error("the list of variant `{variant}` is empty: name at least one source or template")]
    EmptyTreatment { variant: String },
}

/// Validates the definition of an experiment.
///
/// # Errors
/// [`InvalidExperiment`] with the first problem.
pub fn check(experiment: &Experiment) -> Result<(), InvalidExperiment> {
    let is_name = |name: &str| !name.trim().is_empty() && name.chars().count() <= 100;
    if !is_name(&experiment.name) {
        return Err(InvalidExperiment::Name);
    }
    if experiment.variants.len() != 2 {
        return Err(InvalidExperiment::Variants { found: experiment.variants.len() });
    }
    for (i, variant) in experiment.variants.iter().enumerate() {
        if !is_name(&variant.name)
            || experiment.variants[..i].iter().any(|other| other.name == variant.name)
        {
            return Err(InvalidExperiment::VariantName {
                position: i + 1,
                name: variant.name.clone(),
            });
        }
        // The negated range check also rejects NaN.
        if !(0.0 < variant.share && variant.share < 1.0) {
            return Err(InvalidExperiment::Share {
                variant: variant.name.clone(),
                share: variant.share,
            });
        }
        let is_treatment_complete = match &variant.treatment {
            Treatment::Baseline => true,
            Treatment::Policy { policy: name } if policy(name).is_none() => {
                return Err(InvalidExperiment::Policy {
                    variant: variant.name.clone(),
                    policy: name.clone(),
                });
            }
            Treatment::Policy { .. } => true,
            Treatment::Sources { sources } => !sources.is_empty(),
            Treatment::WithoutTemplates { templates } => !templates.is_empty(),
        };
        if !is_treatment_complete {
            return Err(InvalidExperiment::EmptyTreatment { variant: variant.name.clone() });
        }
    }
    let sum: f64 = experiment.variants.iter().map(|variant| variant.share).sum();
    if (sum - 1.0).abs() > 1e-9 {
        return Err(InvalidExperiment::Shares { sum });
    }
    if !(0.0 < experiment.alpha && experiment.alpha <= 0.5) {
        return Err(InvalidExperiment::Alpha { alpha: experiment.alpha });
    }
    if !(1..=MAX_MINIMUM_OUTCOMES).contains(&experiment.minimum) {
        return Err(InvalidExperiment::Minimum { minimum: experiment.minimum });
    }
    Ok(())
}

/// Current results of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentResults {
    /// Whether the results may be interpreted: every variant has the minimum number of outcomes, and there is no sample
    /// ratio mismatch.
    pub has_enough_data: bool,
    /// What is still missing, or the interval of the difference, as a sentence for the operator.
    pub message: String,
    /// Conclusion from the data so far.
    pub verdict: ExperimentVerdict,
    /// The verdict as text: `not enough data`, `sample ratio mismatch`, `no difference shown`, `VARIANT is better`.
    pub summary: String,
    /// Results of each variant, the baseline first.
    pub variants: Vec<VariantResults>,
    /// Mean reward of the second variant less that of the baseline.
    pub difference: DifferenceResult,
    /// Anytime-valid p-value of the sample ratio test.
    pub sample_ratio_p_value: f64,
    /// Significance level: all intervals at all times contain the true values with probability `1 - alpha`.
    pub alpha: f64,
}

/// Conclusion of an experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum ExperimentVerdict {
    /// A variant has too few outcomes.
    NotEnoughData,
    /// The assignment of incidents to variants deviates from the intended shares, so exposures are lost or diverted.
    SampleRatioMismatch,
    /// The interval of the difference contains 0.
    NoDifferenceShown,
    /// One variant is better.
    Better { variant: String },
}

/// Current results of one variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VariantResults {
    pub name: String,
    /// Number of incidents that were exposed to the variant.
    pub exposed: u64,
    /// Number of exposed incidents with an outcome.
    pub outcomes: u64,
    /// Number of outcomes that are unknown. They count with reward 0: leaving them out would favour a variant whose
    /// failures are more often unknown.
    pub unknown: u64,
    /// Mean reward. Absent without outcomes.
    pub mean: Option<f64>,
    /// Lower end of the confidence interval.
    pub low: f64,
    /// Upper end of the confidence interval.
    pub high: f64,
}

/// Difference between the mean rewards of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DifferenceResult {
    /// Difference of the sample means. Absent while a variant has no outcomes.
    pub estimate: Option<f64>,
    /// Lower end of the confidence interval.
    pub low: f64,
    /// Upper end of the confidence interval.
    pub high: f64,
}

/// Computes the results of `experiment` from its exposures, in the order of the record, and the outcomes of their
/// incidents.
///
/// The unit is the incident. It counts once, with the last outcome of its last decision, for the variant to which it
/// was exposed first, whatever happened afterwards (intention to treat). Incidents count in the order of their
/// exposures.
///
/// # Guarantees
/// Two equal variants are declared different with probability at most `alpha`, however often the results are read and
/// whenever the experiment is stopped: each variant has a confidence sequence at `alpha / 2`, and the interval of the
/// difference is their union bound.
///
/// # Assumptions
/// The outcome at the end of the recurrence window rarely differs from the one after stabilization.
pub fn results(
    experiment: &Experiment,
    exposures: &[(IncidentId, String)],
    outcomes: &[Outcome],
) -> ExperimentResults {
    let last = last_outcomes(outcomes);
    let mut tallies: Vec<Tally> =
        experiment.variants.iter().map(|_| Tally::new(experiment.alpha / 2.0)).collect();
    let mut seen: BTreeMap<&IncidentId, ()> = BTreeMap::new();
    for (incident, variant) in exposures {
        let position = experiment.variants.iter().position(|known| known.name == *variant);
        if let (Some(position), None) = (position, seen.insert(incident, ())) {
            tallies[position].count(last.get(incident).copied());
        }
    }
    let variants: Vec<VariantResults> = experiment
        .variants
        .iter()
        .zip(&tallies)
        .map(|(variant, tally)| tally.results(&variant.name))
        .collect();
    let counts: Vec<u64> = variants.iter().map(|variant| variant.exposed).collect();
    let shares: Vec<f64> = experiment.variants.iter().map(|variant| variant.share).collect();
    let sample_ratio_p_value = mismatch_p_value(&counts, &shares);
    let difference = difference(&variants);
    let (verdict, message) = judge(experiment, &variants, &difference, sample_ratio_p_value);
    ExperimentResults {
        has_enough_data: matches!(
            verdict,
            ExperimentVerdict::NoDifferenceShown | ExperimentVerdict::Better { .. }
        ),
        message,
        summary: verdict.to_string(),
        verdict,
        variants,
        difference,
        sample_ratio_p_value,
        alpha: experiment.alpha,
    }
}

/// Returns the last outcome of the last decision of every incident.
fn last_outcomes(outcomes: &[Outcome]) -> BTreeMap<&IncidentId, &Outcome> {
    let order =
        |outcome: &Outcome| -> (DecisionId, _) { (outcome.decision.clone(), outcome.window) };
    let mut last: BTreeMap<&IncidentId, &Outcome> = BTreeMap::new();
    for outcome in outcomes {
        let known = last.entry(&outcome.incident).or_insert(outcome);
        // Ids begin with their creation time, so the greater decision id is the later one.
        if order(outcome) > order(known) {
            *known = outcome;
        }
    }
    last
}

/// Accumulated counts of one variant.
struct Tally {
    exposed: u64,
    unknown: u64,
    sequence: ConfidenceSequence,
}

impl Tally {
    fn new(alpha: f64) -> Self {
        Self { exposed: 0, unknown: 0, sequence: ConfidenceSequence::new(alpha) }
    }

    fn count(&mut self, outcome: Option<&Outcome>) {
        self.exposed += 1;
        if let Some(outcome) = outcome {
            self.unknown += u64::from(outcome.reward.is_none());
            self.sequence.push(outcome.reward.unwrap_or(0.0));
        }
    }

    fn results(&self, name: &str) -> VariantResults {
        let (low, high) = self.sequence.interval();
        VariantResults {
            name: name.into(),
            exposed: self.exposed,
            outcomes: self.sequence.count(),
            unknown: self.unknown,
            mean: self.sequence.mean(),
            low,
            high,
        }
    }
}

fn difference(variants: &[VariantResults]) -> DifferenceResult {
    let [baseline, candidate] = variants else {
        return DifferenceResult { estimate: None, low: -1.0, high: 1.0 };
    };
    let estimate =
        baseline.mean.zip(candidate.mean).map(|(baseline, candidate)| candidate - baseline);
    DifferenceResult {
        estimate,
        low: candidate.low - baseline.high,
        high: candidate.high - baseline.low,
    }
}

fn judge(
    experiment: &Experiment,
    variants: &[VariantResults],
    difference: &DifferenceResult,
    sample_ratio_p_value: f64,
) -> (ExperimentVerdict, String) {
    let minimum = u64::from(experiment.minimum);
    let missing: Vec<String> = variants
        .iter()
        .filter(|variant| variant.outcomes < minimum)
        .map(|variant| format!("`{}` has {} of {minimum} outcomes", variant.name, variant.outcomes))
        .collect();
    if sample_ratio_p_value < MISMATCH_P_VALUE {
        let counts: Vec<String> = variants
            .iter()
            .map(|variant| format!("{} to `{}`", variant.exposed, variant.name))
            .collect();
        let message = format!(
            "the assignment of incidents deviates from the configured shares ({}; p = {sample_ratio_p_value:.1e}): find the cause before interpreting the results",
            counts.join(", ")
        );
        return (ExperimentVerdict::SampleRatioMismatch, message);
    }
    if !missing.is_empty() {
        return (
            ExperimentVerdict::NotEnoughData,
            format!("more incidents are needed: {}", missing.join(", ")),
        );
    }
    let range =
        format!("the difference is between {:+.3} and {:+.3}", difference.low, difference.high);
    let better =
        |position: usize| ExperimentVerdict::Better { variant: variants[position].name.clone() };
    if difference.low > 0.0 {
        (better(1), range)
    } else if difference.high < 0.0 {
        (better(0), range)
    } else {
        (
            ExperimentVerdict::NoDifferenceShown,
            format!("{range}; more incidents will narrow the interval"),
        )
    }
}

impl std::fmt::Display for ExperimentVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotEnoughData => f.write_str("not enough data"),
            Self::SampleRatioMismatch => f.write_str("sample ratio mismatch"),
            Self::NoDifferenceShown => f.write_str("no difference shown"),
            Self::Better { variant } => write!(f, "{variant} is better"),
        }
    }
}

#[cfg(test)]
mod tests;
