//! Observations that train the model: verified outcomes, operators' ratings and imported history.

use serde::{Deserialize, Serialize};
use workflow::decision::Decision;
use workflow::feedback::Rating;
use workflow::id::DecisionId;
use workflow::outcome::{OutcomeStatus, StepOutcome};
use workflow::{Features, Feedback, Outcome, PastExecution};

use crate::model::{Credited, InvalidFeatures, Model};

/// The arm that a decision chose, with its features at that time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChosenArm {
    pub decision: DecisionId,
    /// Features of the chosen candidate at the time of the decision. They are never recomputed.
    pub features: Features,
}

impl ChosenArm {
    /// Returns what `decision` chose. `None` if the chosen candidate is not among its candidates.
    pub fn of(decision: &Decision) -> Option<Self> {
        let considered =
            decision.candidates.iter().find(|option| option.candidate == decision.chosen)?;
        Some(Self { decision: decision.id.clone(), features: considered.features.clone() })
    }
}

/// One observation to learn from.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// The verified outcome of a decision.
    Outcome { chosen: &'a ChosenArm, outcome: &'a Outcome },
    /// An operator's feedback on a decision.
    Feedback { chosen: &'a ChosenArm, feedback: &'a Feedback },
    /// A past execution that was imported from a file.
    History(&'a PastExecution),
}

/// Effect of an observation on the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearningResult {
    /// The observation was added.
    Added,
    /// The observation replaced an earlier one about the same decision.
    Corrected,
    /// The observation had been learned before.
    Duplicate,
    /// The outcome of the plan is unknown. Steps with a known outcome were learned.
    Censored,
    /// The ratings of this decision have reached their maximum total weight.
    Capped,
    /// The observation contains nothing to learn from.
    Ignored,
}

/// An observation that the model rejects. The model is unchanged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidObservation {
    /// The features do not match the model.
    #[error("cannot learn from {id}")]
    Features {
        /// Id of the decision or execution.
        id: String,
        source: InvalidFeatures,
    },
    /// The reward is out of range.
    #[error("cannot learn from {id}: the reward is {reward}, but must be in [0, 1]")]
    Reward {
        /// Id of the decision or execution.
        id: String,
        reward: f64,
    },
    /// The outcome belongs to another decision.
    #[error("the outcome belongs to decision {found}, not to {expected}")]
    DecisionMismatch { expected: DecisionId, found: DecisionId },
    /// The decision is not pending.
    #[error(
        "the decision or plan {id} is unknown: it was never recorded, or was evicted because it is too old"
    )]
    UnknownDecision {
        /// Id of the decision or plan.
        id: String,
    },
}

/// Trains the model with one observation.
///
/// A duplicate changes nothing. The outcome at the end of the recurrence window replaces the one at the end of
/// stabilization exactly, and an operator's second rating replaces their first. An unknown (censored) outcome counts
/// neither as a success nor as a failure.
///
/// # Errors
/// [`InvalidObservation`] if the features or the reward are invalid. The model is unchanged.
pub fn update(
    model: &mut Model,
    observation: &Observation<'_>,
) -> Result<LearningResult, InvalidObservation> {
    match observation {
        Observation::Outcome { chosen, outcome } => learn_outcome(model, chosen, outcome),
        Observation::Feedback { chosen, feedback } => learn_feedback(model, chosen, feedback),
        Observation::History(execution) => learn_history(model, execution),
    }
}

fn learn_outcome(
    model: &mut Model,
    chosen: &ChosenArm,
    outcome: &Outcome,
) -> Result<LearningResult, InvalidObservation> {
    if outcome.decision != chosen.decision {
        return Err(InvalidObservation::DecisionMismatch {
            expected: chosen.decision.clone(),
            found: outcome.decision.clone(),
        });
    }
    let id = chosen.decision.as_str();
    check(model, &chosen.features, outcome.reward, id)?;
    let mut credited = model.credited.get(&chosen.decision).cloned().unwrap_or_default();
    if credited.stage.is_some_and(|stage| stage >= outcome.window) {
        return Ok(LearningResult::Duplicate);
    }
    if credited.stage.is_none() {
        learn_steps(model, &chosen.features, &outcome.steps);
    }
    credited.stage = Some(outcome.window);
    let learned = match (target(outcome.status, outcome.reward), &mut credited.outcome) {
        (None, _) => LearningResult::Censored,
        (Some((target, reward)), Some(added)) => {
            model.correct(&chosen.features, added, target, reward, id);
            LearningResult::Corrected
        }
        (Some((target, reward)), None) => {
            credited.outcome = Some(model.add(&chosen.features, target, reward, 1.0, id));
            LearningResult::Added
        }
    };
    record_credit(model, chosen, credited);
    Ok(learned)
}

fn learn_feedback(
    model: &mut Model,
    chosen: &ChosenArm,
    feedback: &Feedback,
) -> Result<LearningResult, InvalidObservation> {
    let id = chosen.decision.as_str();
    check(model, &chosen.features, None, id)?;
    // A correction without a rating means that the plan was wrong.
    let rating = feedback.rating.or(feedback.correction.as_ref().map(|_| Rating::Wrong));
    let target = match rating {
        Some(Rating::Right) => 1.0,
        Some(Rating::Wrong) => 0.0,
        None => return Ok(LearningResult::Ignored),
    };
    let mut credited = model.credited.get(&chosen.decision).cloned().unwrap_or_default();
    let weight = model.config().feedback_weight;
    let given = credited.ratings.len();
    let learned = match credited.ratings.get_mut(&feedback.actor) {
        Some(added) if added.target == target => return Ok(LearningResult::Duplicate),
        Some(added) => {
            model.correct(&chosen.features, added, target, None, id);
            LearningResult::Corrected
        }
        None if (given + 1) as f64 * weight > model.config().feedback_cap => {
            return Ok(LearningResult::Capped);
        }
        None => {
            credited.ratings.insert(
                feedback.actor.clone(),
                model.add(&chosen.features, target, None, weight, id),
            );
            LearningResult::Added
        }
    };
    record_credit(model, chosen, credited);
    Ok(learned)
}

fn learn_history(
    model: &mut Model,
    execution: &PastExecution,
) -> Result<LearningResult, InvalidObservation> {
    check(model, &execution.features, execution.reward, &execution.id)?;
    if !model.imported.insert(execution.id.clone()) {
        return Ok(LearningResult::Duplicate);
    }
    learn_steps(model, &execution.features, &execution.steps);
    match target(execution.outcome, execution.reward) {
        None => Ok(LearningResult::Censored),
        Some((target, reward)) => {
            model.add(&execution.features, target, reward, 1.0, &execution.id);
            Ok(LearningResult::Added)
        }
    }
}

fn check(
    model: &Model,
    features: &Features,
    reward: Option<f64>,
    id: &str,
) -> Result<(), InvalidObservation> {
    model
        .check(features)
        .map_err(|source| InvalidObservation::Features { id: id.into(), source })?;
    match reward {
        // The negated range check also rejects NaN.
        Some(reward) if !(0.0..=1.0).contains(&reward) => {
            Err(InvalidObservation::Reward { id: id.into(), reward })
        }
        Some(_) | None => Ok(()),
    }
}

/// Returns the regression target of an outcome and the reward for the speed score. `None` if the outcome is unknown.
///
/// The target is 1 if the plan resolved the incident and 0 if not. If an operator resolved it, the target is the
/// reward, which is the value of escalating less its cost, and there is no reward for the speed score.
fn target(verdict: OutcomeStatus, reward: Option<f64>) -> Option<(f64, Option<f64>)> {
    let earned = reward?;
    match verdict {
        OutcomeStatus::Resolved => Some((1.0, reward)),
        OutcomeStatus::ResolvedManually => Some((earned, None)),
        OutcomeStatus::NotResolved | OutcomeStatus::Recurred | OutcomeStatus::Worse => {
            Some((0.0, reward))
        }
        OutcomeStatus::Unknown => None,
    }
}

fn learn_steps(model: &mut Model, features: &Features, steps: &[StepOutcome]) {
    for outcome in steps {
        let bucket = features
            .steps
            .iter()
            .find(|step| step.step == outcome.step)
            .map_or("", |step| step.bucket.as_str());
        if let Some(has_succeeded) = outcome.succeeded {
            model.add_step(&outcome.action, bucket, has_succeeded, outcome.seconds);
        }
    }
}

fn record_credit(model: &mut Model, chosen: &ChosenArm, credited: Credited) {
    model.credited.insert(chosen.decision.clone(), credited);
    while model.credited.len() > model.config().max_pending_decisions {
        model.credited.pop_first();
    }
}

#[cfg(test)]
mod tests;
