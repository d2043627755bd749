//! The learner as a fold of the record. Live and in a replay, the same entries produce the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use workflow::decision::DecisionMode;
use workflow::id::{DecisionId, PlanId};
use workflow::{Entry, canonical_json};

use crate::model::{InvalidModel, Model, read};
use crate::observation::{ChosenArm, InvalidObservation, LearningResult, Observation, update};

/// A model, and the decisions whose outcomes are pending.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Learner {
    model: Model,
    chosen: BTreeMap<DecisionId, ChosenArm>,
    plans: BTreeMap<PlanId, DecisionId>,
    rejected_observations: u64,
}

impl Learner {
    /// Creates a learner from a model, without pending decisions.
    pub fn new(model: Model) -> Self {
        Self { model, chosen: BTreeMap::new(), plans: BTreeMap::new(), rejected_observations: 0 }
    }

    /// Returns the trained model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the number of rejected observations.
    pub fn rejected_observations(&self) -> u64 {
        self.rejected_observations
    }

    /// Applies one entry of the record.
    ///
    /// Learns live outcomes from `Observed` and history from `HistoryImported`. Ignores `Executed`, which repeats the
    /// outcome of an `Observed` entry for retrieval.
    ///
    /// # Errors
    /// [`InvalidObservation`] if the entry is an observation that the model rejects. The rejection is counted and the
    /// model is unchanged, so a fold may continue with the next entry.
    pub fn apply(&mut self, entry: &Entry) -> Result<LearningResult, InvalidObservation> {
        let learned = self.fold(entry);
        if learned.is_err() {
            self.rejected_observations += 1;
        }
        learned
    }

    fn fold(&mut self, entry: &Entry) -> Result<LearningResult, InvalidObservation> {
        match entry {
            Entry::Decided(decision) => {
                match decision.mode {
                    DecisionMode::Live | DecisionMode::OperatorOverride => {
                        if let Some(chosen) = ChosenArm::of(decision) {
                            self.chosen.insert(decision.id.clone(), chosen);
                            evict_oldest(
                                &mut self.chosen,
                                self.model.config().max_pending_decisions,
                            );
                        }
                    }
                    // Nothing was executed, so there will be no outcome.
                    DecisionMode::Shadow => {}
                }
                Ok(LearningResult::Ignored)
            }
            Entry::PlanFrozen(plan) => {
                self.plans.insert(plan.id.clone(), plan.decision.clone());
                evict_oldest(&mut self.plans, self.model.config().max_pending_decisions);
                Ok(LearningResult::Ignored)
            }
            Entry::Observed(outcome) => {
                let chosen = self
                    .chosen
                    .get(&outcome.decision)
                    .ok_or_else(|| unknown_decision(outcome.decision.as_str()))?;
                update(&mut self.model, &Observation::Outcome { chosen, outcome })
            }
            Entry::FeedbackGiven(feedback) => {
                let decision = self
                    .plans
                    .get(&feedback.plan)
                    .ok_or_else(|| unknown_decision(feedback.plan.as_str()))?;
                let chosen =
                    self.chosen.get(decision).ok_or_else(|| unknown_decision(decision.as_str()))?;
                update(&mut self.model, &Observation::Feedback { chosen, feedback })
            }
            Entry::HistoryImported { execution, .. } => {
                update(&mut self.model, &Observation::History(execution))
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
            | Entry::RequestAnswered { .. } => Ok(LearningResult::Ignored),
        }
    }

    /// Returns the canonical serialization. Equal learners have equal bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        canonical_json(self)
            .expect("a learner contains only finite numbers and small integers")
            .into_bytes()
    }

    /// Restores a learner from a snapshot.
    ///
    /// # Errors
    /// [`InvalidModel`] if the bytes are not a complete and consistent snapshot.
    pub fn restore(bytes: &[u8]) -> Result<Self, InvalidModel> {
        let learner: Self = read(bytes)?;
        learner.model.check_valid()?;
        Ok(learner)
    }
}

fn unknown_decision(id: &str) -> InvalidObservation {
    InvalidObservation::UnknownDecision { id: id.into() }
}

/// Drops the oldest entries, so that `map` has at most `max_len`. The keys are ids, which begin with their creation
/// time.
fn evict_oldest<K: Ord, V>(map: &mut BTreeMap<K, V>, max_len: usize) {
    while map.len() > max_len {
        map.pop_first();
    }
}

#[cfg(test)]
mod tests;
