//! The event loop that takes an incident from its alerts to a learned outcome.
//!
//! One loop, one writer. An input is recorded before it is answered. Deadlines are derived from the record, so that a
//! restarted process continues where the last one stopped.

mod builder;
mod case;
mod command;
mod engine;
mod experiments;
mod explain;
mod folds;
mod healthy;
mod idempotency;
mod learner_fold;
mod list_cache;
mod outcome;
mod planning;
#[cfg(test)]
mod sample;
mod settings;

pub use builder::{Builder, InputSenders, webhook_channel};
pub use case::{EvidenceSummary, IncidentCase, IncidentCases, IncidentStage, PlannedAttempt};
pub use engine::{Engine, EngineError, InboxMessage, RunUntil};
pub use experiments::Experiments;
pub use folds::Folds;
pub use learner_fold::LearnerFold;
pub use settings::{ProposalSources, Settings};
