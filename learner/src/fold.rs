//! The learner as a fold of the record: live and in replay the same entries give the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use workflow::decision::DecisionMode;
use workflow::id::{DecisionId, PlanId};
use workflow::{Entry, canonical_json};

use crate::lesson::{Chosen, Learned, Lesson, Unteachable, update};
use crate::model::{BadModel, Model, read};

/// A model and what it must remember between a decision and its outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Learner {
    model: Model,
    chosen: BTreeMap<DecisionId, Chosen>,
    plans: BTreeMap<PlanId, DecisionId>,
    refused: u64,
}

impl Learner {
    /// Begins with `model`, nothing pending.
    pub fn new(model: Model) -> Self {
        Self { model, chosen: BTreeMap::new(), plans: BTreeMap::new(), refused: 0 }
    }

    /// What was learned.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How many lessons were refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Folds one entry of the record.
    ///
    /// Live outcomes are learned from `Observed`, history from `HistoryImported` alone: `Executed` says the same thing
    /// as `Observed` once more, for retrieval.
    ///
    /// # Errors
    /// [`Unteachable`] if the entry is a lesson and is refused. The refusal is counted, the rest stays as it was; a
    /// fold goes on with the next entry.
    pub fn apply(&mut self, entry: &Entry) -> Result<Learned, Unteachable> {
        let learned = self.fold(entry);
        if learned.is_err() {
            self.refused += 1;
        }
        learned
    }

    fn fold(&mut self, entry: &Entry) -> Result<Learned, Unteachable> {
        match entry {
            Entry::Decided(decision) => {
                match decision.mode {
                    DecisionMode::Live | DecisionMode::ForcedByHuman => {
                        if let Some(chosen) = Chosen::of(decision) {
                            self.chosen.insert(decision.id.clone(), chosen);
                            bound(&mut self.chosen, self.model.config().remember);
                        }
                    }
                    // Nothing was done, so nothing will come of it.
                    DecisionMode::Shadow => {}
                }
                Ok(Learned::Nothing)
            }
            Entry::PlanFrozen(plan) => {
                self.plans.insert(plan.id.clone(), plan.decision.clone());
                bound(&mut self.plans, self.model.config().remember);
                Ok(Learned::Nothing)
            }
            Entry::Observed(outcome) => {
                let chosen = self
                    .chosen
                    .get(&outcome.decision)
                    .ok_or_else(|| forgotten(outcome.decision.as_str()))?;
                update(&mut self.model, &Lesson::Outcome { chosen, outcome })
            }
            Entry::FeedbackGiven(feedback) => {
                let decision = self
                    .plans
                    .get(&feedback.plan)
                    .ok_or_else(|| forgotten(feedback.plan.as_str()))?;
                let chosen =
                    self.chosen.get(decision).ok_or_else(|| forgotten(decision.as_str()))?;
                update(&mut self.model, &Lesson::Feedback { chosen, feedback })
            }
            Entry::HistoryImported { execution, .. } => {
                update(&mut self.model, &Lesson::History(execution))
            }
            Entry::EpochClaimed { .. }
            | Entry::GuardrailsLoaded(_)
            | Entry::ClockJumped { .. }
            | Entry::Incident(_)
            | Entry::EvidenceGathered(_)
            | Entry::Proposed { .. }
            | Entry::PlanReviewed(_)
            | Entry::PlanWithdrawn { .. }
            | Entry::Run { .. }
            | Entry::Fleet(_)
            | Entry::ObjectHealthy { .. }
            | Entry::Executed(_)
            | Entry::Experiment(_)
            | Entry::Answered { .. } => Ok(Learned::Nothing),
        }
    }

    /// Its canonical bytes: equal for equal learners.
    pub fn snapshot(&self) -> Vec<u8> {
        canonical_json(self)
            .expect("a learner holds finite numbers and small integers")
            .into_bytes()
    }

    /// Reads a snapshot back.
    ///
    /// # Errors
    /// [`BadModel`] for anything that is not a whole and sound learner.
    pub fn restore(bytes: &[u8]) -> Result<Self, BadModel> {
        let learner: Self = read(bytes)?;
        learner.model.check_sound()?;
        Ok(learner)
    }
}

fn forgotten(of: &str) -> Unteachable {
    Unteachable::Forgotten { of: of.into() }
}

/// Drops the oldest: ids begin with the time at which they were made.
fn bound<K: Ord, V>(map: &mut BTreeMap<K, V>, most: usize) {
    while map.len() > most {
        map.pop_first();
    }
}

#[cfg(test)]
mod tests;
