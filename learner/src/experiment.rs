//! Experiments: whether one can be run, and what it shows so far.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use workflow::Outcome;
use workflow::experiment::{Experiment, Treatment};
use workflow::id::{DecisionId, IncidentId};

use crate::policy::policy;
use crate::sequence::Sequence;
use crate::shares::mismatch_p_value;

/// Below this p-value the incidents were not shared out as they should have been.
const MISMATCH: f64 = 0.01;
/// More outcomes than this are not asked of each variant.
const MOST_MINIMUM: u32 = 1_000_000;

/// An experiment that cannot be run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadExperiment {
    /// It has no name.
    #[error("an experiment needs a name of 1 to 100 characters")]
    Name,
    /// It has not two variants.
    #[error("an experiment has exactly two variants, the baseline first; this one has {found}")]
    Variants {
        /// How many there are.
        found: usize,
    },
    /// A variant has no name, or both have the same.
    #[error("variant {position} is named `{name}`: every variant needs a name of its own")]
    VariantName {
        /// Which, from 1.
        position: usize,
        /// Its name.
        name: String,
    },
    /// A share is out of its range.
    #[error("variant `{variant}` has the share {share}: it must lie between 0 and 1")]
    Share {
        /// The variant.
        variant: String,
        /// Its share.
        share: f64,
    },
    /// The shares do not sum to 1.
    #[error("the shares sum to {sum}, and must sum to 1")]
    Shares {
        /// What they sum to.
        sum: f64,
    },
    /// The level is out of its range.
    #[error("alpha is {alpha}: it must be above 0 and at most 0.5; 0.05 is usual")]
    Alpha {
        /// The level.
        alpha: f64,
    },
    /// The least number of outcomes is out of its range.
    #[error(
        "the minimum is {minimum} outcomes of each variant: it must lie between 1 and {MOST_MINIMUM}"
    )]
    Minimum {
        /// The minimum.
        minimum: u32,
    },
    /// There is no such policy.
    #[error(
        "variant `{variant}` names the policy `{policy}`, which is not known: use `igw`, `greedy` or `first`"
    )]
    Policy {
        /// The variant.
        variant: String,
        /// The policy.
        policy: String,
    },
    /// A variant would leave out nothing, or everything.
    #[error("variant `{variant}` lists nothing: name at least one source or template")]
    EmptyTreatment {
        /// The variant.
        variant: String,
    },
}

/// Checks that an experiment can be run.
///
/// # Errors
/// [`BadExperiment`] with the first thing that is wrong.
pub fn check(experiment: &Experiment) -> Result<(), BadExperiment> {
    let is_name = |name: &str| !name.trim().is_empty() && name.chars().count() <= 100;
    if !is_name(&experiment.name) {
        return Err(BadExperiment::Name);
    }
    if experiment.variants.len() != 2 {
        return Err(BadExperiment::Variants { found: experiment.variants.len() });
    }
    for (i, variant) in experiment.variants.iter().enumerate() {
        if !is_name(&variant.name)
            || experiment.variants[..i].iter().any(|other| other.name == variant.name)
        {
            return Err(BadExperiment::VariantName { position: i + 1, name: variant.name.clone() });
        }
        // Written so that NaN fails the test.
        if !(0.0 < variant.share && variant.share < 1.0) {
            return Err(BadExperiment::Share {
                variant: variant.name.clone(),
                share: variant.share,
            });
        }
        let is_listing = match &variant.treatment {
            Treatment::Baseline => true,
            Treatment::Policy { policy: name } if policy(name).is_none() => {
                return Err(BadExperiment::Policy {
                    variant: variant.name.clone(),
                    policy: name.clone(),
                });
            }
            Treatment::Policy { .. } => true,
            Treatment::Sources { sources } => !sources.is_empty(),
            Treatment::WithoutTemplates { templates } => !templates.is_empty(),
        };
        if !is_listing {
            return Err(BadExperiment::EmptyTreatment { variant: variant.name.clone() });
        }
    }
    let sum: f64 = experiment.variants.iter().map(|variant| variant.share).sum();
    if (sum - 1.0).abs() > 1e-9 {
        return Err(BadExperiment::Shares { sum });
    }
    if !(0.0 < experiment.alpha && experiment.alpha <= 0.5) {
        return Err(BadExperiment::Alpha { alpha: experiment.alpha });
    }
    if !(1..=MOST_MINIMUM).contains(&experiment.minimum) {
        return Err(BadExperiment::Minimum { minimum: experiment.minimum });
    }
    Ok(())
}

/// What an experiment shows so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentResults {
    /// Whether there is enough data to read the rest: every variant has its minimum of outcomes, and the incidents were
    /// shared out as they should have been.
    pub is_enough: bool,
    /// What is still needed, or what the interval allows, in a sentence.
    pub needs: String,
    /// What it comes to.
    pub verdict: ExperimentVerdict,
    /// The verdict in words: `not enough data`, `no difference shown`, `candidate better`.
    pub summary: String,
    /// Each variant, the baseline first.
    pub variants: Vec<VariantResults>,
    /// Mean reward of the second variant less that of the baseline.
    pub difference: DifferenceResult,
    /// Anytime-valid p-value of the counts under the intended shares.
    pub shares_p_value: f64,
    /// Level: all intervals together, at all times, are right with probability `1 - alpha`.
    pub alpha: f64,
}

/// What an experiment comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum ExperimentVerdict {
    /// Too few outcomes to say anything.
    NotEnoughData,
    /// The incidents were not shared out as they should have been: something drops or diverts them.
    SharesDoNotFit,
    /// The interval of the difference holds 0.
    NoDifferenceShown,
    /// One variant is better.
    Better {
        /// Its name.
        variant: String,
    },
}

/// One variant so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VariantResults {
    /// Its name.
    pub name: String,
    /// Incidents that were exposed to it.
    pub exposed: u64,
    /// Of these, the ones with an outcome.
    pub outcomes: u64,
    /// Of these, the ones of which it cannot be said what came of them. They count with reward 0: to leave them out
    /// would flatter a variant that loses sight of its failures.
    pub unknown: u64,
    /// Mean reward; absent without outcomes.
    pub mean: Option<f64>,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
}

/// The difference of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DifferenceResult {
    /// Difference of the means; absent while one has no outcome.
    pub estimate: Option<f64>,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
}

/// What `experiment` shows, from its exposures in the order of the record and all outcomes of their incidents.
///
/// The unit is the incident: it counts once, with the last judgement on its last decision, under the variant that it
/// was exposed to first, whatever was done with it afterwards (intention to treat). Incidents count in the order of
/// their exposures.
///
/// # Guarantees
/// However often results are read, and whenever reading stops, two equal variants are called different with
/// probability `alpha` at most: each variant has a confidence sequence at `alpha / 2`, and the difference is their union
/// bound. Assumes that a judgement at the hold is seldom changed by the one at the recurrence window.
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
    let shares_p_value = mismatch_p_value(&counts, &shares);
    let difference = difference(&variants);
    let (verdict, needs) = judge(experiment, &variants, &difference, shares_p_value);
    ExperimentResults {
        is_enough: matches!(
            verdict,
            ExperimentVerdict::NoDifferenceShown | ExperimentVerdict::Better { .. }
        ),
        needs,
        summary: verdict.to_string(),
        verdict,
        variants,
        difference,
        shares_p_value,
        alpha: experiment.alpha,
    }
}

/// The last judgement on the last decision of every incident.
fn last_outcomes(outcomes: &[Outcome]) -> BTreeMap<&IncidentId, &Outcome> {
    let order =
        |outcome: &Outcome| -> (DecisionId, _) { (outcome.decision.clone(), outcome.stage) };
    let mut last: BTreeMap<&IncidentId, &Outcome> = BTreeMap::new();
    for outcome in outcomes {
        let known = last.entry(&outcome.incident).or_insert(outcome);
        // Ids begin with their time, so the greater decision is the later.
        if order(outcome) > order(known) {
            *known = outcome;
        }
    }
    last
}

/// Counts of one variant while results are gathered.
struct Tally {
    exposed: u64,
    unknown: u64,
    sequence: Sequence,
}

impl Tally {
    fn new(alpha: f64) -> Self {
        Self { exposed: 0, unknown: 0, sequence: Sequence::new(alpha) }
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
    shares_p_value: f64,
) -> (ExperimentVerdict, String) {
    let minimum = u64::from(experiment.minimum);
    let lacking: Vec<String> = variants
        .iter()
        .filter(|variant| variant.outcomes < minimum)
        .map(|variant| format!("`{}` has {} of {minimum} outcomes", variant.name, variant.outcomes))
        .collect();
    if shares_p_value < MISMATCH {
        let counts: Vec<String> = variants
            .iter()
            .map(|variant| format!("{} to `{}`", variant.exposed, variant.name))
            .collect();
        let needs = format!(
            "incidents were not shared out as the experiment says ({}; p = {shares_p_value:.1e}): find out what loses them before reading results",
            counts.join(", ")
        );
        return (ExperimentVerdict::SharesDoNotFit, needs);
    }
    if !lacking.is_empty() {
        return (
            ExperimentVerdict::NotEnoughData,
            format!("{}: more incidents are needed", lacking.join(", ")),
        );
    }
    let range =
        format!("the difference lies between {:+.3} and {:+.3}", difference.low, difference.high);
    let better =
        |position: usize| ExperimentVerdict::Better { variant: variants[position].name.clone() };
    if difference.low > 0.0 {
        (better(1), range)
    } else if difference.high < 0.0 {
        (better(0), range)
    } else {
        (ExperimentVerdict::NoDifferenceShown, format!("{range}: more incidents narrow it"))
    }
}

impl std::fmt::Display for ExperimentVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotEnoughData => f.write_str("not enough data"),
            Self::SharesDoNotFit => f.write_str("shares do not fit"),
            Self::NoDifferenceShown => f.write_str("no difference shown"),
            Self::Better { variant } => write!(f, "{variant} better"),
        }
    }
}

#[cfg(test)]
mod tests;
