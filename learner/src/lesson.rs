//! Lessons: what a verified outcome, a person's opinion or imported history teaches.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use workflow::decision::Decision;
use workflow::feedback::Opinion;
use workflow::id::DecisionId;
use workflow::outcome::{Stage, StepOutcome, Verdict};
use workflow::{Features, Feedback, Outcome, PastExecution};

use crate::model::{Added, BadFeatures, Model};

/// What a decision chose, with the features as they were then: all that its lessons need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chosen {
    /// The decision.
    pub decision: DecisionId,
    /// Features of the chosen candidate at the time of the decision; never computed anew.
    pub features: Features,
}

impl Chosen {
    /// What `decision` chose. Nothing if the chosen candidate is not among its options.
    pub fn of(decision: &Decision) -> Option<Self> {
        let considered =
            decision.options.iter().find(|option| option.candidate == decision.chosen)?;
        Some(Self { decision: decision.id.clone(), features: considered.features.clone() })
    }
}

/// One thing to learn from.
#[derive(Clone, Copy, Debug)]
pub enum Lesson<'a> {
    /// What was observed after a decision.
    Outcome {
        /// What the decision chose.
        chosen: &'a Chosen,
        /// What came of it.
        outcome: &'a Outcome,
    },
    /// What a person said of it.
    Feedback {
        /// What the decision chose.
        chosen: &'a Chosen,
        /// The opinion.
        feedback: &'a Feedback,
    },
    /// An execution of the past that was brought in from a file.
    History(&'a PastExecution),
}

/// What a lesson did to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It was added.
    Added,
    /// It took the place of an earlier one about the same thing.
    Corrected,
    /// It was learned before.
    Repeated,
    /// It cannot be said what came of the plan; its steps, where they can be told, were learned.
    Censored,
    /// All opinions on this decision together already weigh as much as they may.
    Capped,
    /// It says nothing to learn from.
    Nothing,
}

/// A lesson that is refused; the model stays as it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unteachable {
    /// Its features cannot be read.
    #[error("the lesson of {of} is refused")]
    Features {
        /// Of which decision or execution.
        of: String,
        /// Why.
        source: BadFeatures,
    },
    /// Its reward is no reward.
    #[error("the lesson of {of} is refused: its reward is {reward}, which must lie in [0, 1]")]
    Reward {
        /// Of which decision or execution.
        of: String,
        /// The reward.
        reward: f64,
    },
    /// It is about another decision.
    #[error("the outcome of {found} is no lesson about {expected}")]
    OtherDecision {
        /// The decision that was given.
        expected: DecisionId,
        /// The one that the outcome names.
        found: DecisionId,
    },
    /// Nothing is remembered of what it is about.
    #[error("{of} is not remembered: it is too old, or was never recorded")]
    Forgotten {
        /// What is not remembered.
        of: String,
    },
}

/// What was already learned of one decision: against repeats, and to correct exactly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Taught {
    stage: Option<Stage>,
    outcome: Option<Added>,
    opinions: BTreeMap<String, Added>,
}

/// Learns one lesson.
///
/// A repeat changes nothing. An outcome judged at the end of the recurrence window takes the place of the one judged
/// at the hold, exactly, as does a person's second opinion of their first. What cannot be said (censored) teaches
/// nothing: it is neither success nor failure.
///
/// # Errors
/// [`Unteachable`], the model unchanged, if the features or the reward cannot be believed.
pub fn update(model: &mut Model, lesson: &Lesson<'_>) -> Result<Learned, Unteachable> {
    match lesson {
        Lesson::Outcome { chosen, outcome } => learn_outcome(model, chosen, outcome),
        Lesson::Feedback { chosen, feedback } => learn_feedback(model, chosen, feedback),
        Lesson::History(execution) => learn_history(model, execution),
    }
}

fn learn_outcome(
    model: &mut Model,
    chosen: &Chosen,
    outcome: &Outcome,
) -> Result<Learned, Unteachable> {
    if outcome.decision != chosen.decision {
        return Err(Unteachable::OtherDecision {
            expected: chosen.decision.clone(),
            found: outcome.decision.clone(),
        });
    }
    let by = chosen.decision.as_str();
    check(model, &chosen.features, outcome.reward, by)?;
    let mut taught = model.taught.get(&chosen.decision).cloned().unwrap_or_default();
    if taught.stage.is_some_and(|stage| stage >= outcome.stage) {
        return Ok(Learned::Repeated);
    }
    if taught.stage.is_none() {
        learn_steps(model, &chosen.features, &outcome.steps);
    }
    taught.stage = Some(outcome.stage);
    let learned = match (target(outcome.verdict, outcome.reward), &mut taught.outcome) {
        (None, _) => Learned::Censored,
        (Some((target, reward)), Some(added)) => {
            model.correct(&chosen.features, added, target, reward, by);
            Learned::Corrected
        }
        (Some((target, reward)), None) => {
            taught.outcome = Some(model.add(&chosen.features, target, reward, 1.0, by));
            Learned::Added
        }
    };
    remember(model, chosen, taught);
    Ok(learned)
}

fn learn_feedback(
    model: &mut Model,
    chosen: &Chosen,
    feedback: &Feedback,
) -> Result<Learned, Unteachable> {
    let by = chosen.decision.as_str();
    check(model, &chosen.features, None, by)?;
    // Who corrects a plan without a word says that it was wrong.
    let opinion = feedback.opinion.or(feedback.correction.as_ref().map(|_| Opinion::Wrong));
    let target = match opinion {
        Some(Opinion::Right) => 1.0,
        Some(Opinion::Wrong) => 0.0,
        None => return Ok(Learned::Nothing),
    };
    let mut taught = model.taught.get(&chosen.decision).cloned().unwrap_or_default();
    let weight = model.config().feedback_weight;
    let given = taught.opinions.len();
    let learned = match taught.opinions.get_mut(&feedback.by) {
        Some(added) if added.target == target => return Ok(Learned::Repeated),
        Some(added) => {
            model.correct(&chosen.features, added, target, None, by);
            Learned::Corrected
        }
        None if (given + 1) as f64 * weight > model.config().feedback_cap => {
            return Ok(Learned::Capped);
        }
        None => {
            taught
                .opinions
                .insert(feedback.by.clone(), model.add(&chosen.features, target, None, weight, by));
            Learned::Added
        }
    };
    remember(model, chosen, taught);
    Ok(learned)
}

fn learn_history(model: &mut Model, execution: &PastExecution) -> Result<Learned, Unteachable> {
    check(model, &execution.features, execution.reward, &execution.id)?;
    if !model.imported.insert(execution.id.clone()) {
        return Ok(Learned::Repeated);
    }
    learn_steps(model, &execution.features, &execution.steps);
    match target(execution.verdict, execution.reward) {
        None => Ok(Learned::Censored),
        Some((target, reward)) => {
            model.add(&execution.features, target, reward, 1.0, &execution.id);
            Ok(Learned::Added)
        }
    }
}

fn check(
    model: &Model,
    features: &Features,
    reward: Option<f64>,
    of: &str,
) -> Result<(), Unteachable> {
    model.check(features).map_err(|source| Unteachable::Features { of: of.into(), source })?;
    match reward {
        // Written so that NaN fails the test.
        Some(reward) if !(0.0..=1.0).contains(&reward) => {
            Err(Unteachable::Reward { of: of.into(), reward })
        }
        Some(_) | None => Ok(()),
    }
}

/// What an outcome says of the plan: 1 resolved, 0 not; nothing where it cannot be said. And the reward by which its
/// quickness is told.
///
/// What a person mended is no success of the plan that asked them, and no failure either: it is what asking was worth,
/// its cost taken off, and says nothing of quickness.
fn target(verdict: Verdict, reward: Option<f64>) -> Option<(f64, Option<f64>)> {
    let earned = reward?;
    match verdict {
        Verdict::Resolved => Some((1.0, reward)),
        Verdict::ByPerson => Some((earned, None)),
        Verdict::NotResolved | Verdict::Recurred | Verdict::Worse => Some((0.0, reward)),
        Verdict::Unknown => None,
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

fn remember(model: &mut Model, chosen: &Chosen, taught: Taught) {
    model.taught.insert(chosen.decision.clone(), taught);
    while model.taught.len() > model.config().remember {
        model.taught.pop_first();
    }
}

#[cfg(test)]
mod tests;
