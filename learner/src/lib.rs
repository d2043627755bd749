//! Contextual bandit: estimates the success of remediation plans and chooses among them.
//!
//! A [`Model`] is plain data and a pure fold of observations: ridge statistics shared by all arms, one residual per
//! arm, Beta posteriors and durations of steps. [`estimate`] reads it and [`update`] trains it. A [`Policy`] turns
//! estimates into probabilities and draws one candidate. [`Learner`] folds the entries of the record into a model.
//! [`experiment`] compares two variants with anytime-valid intervals, which may be read after every outcome.

mod beta;
mod config;
mod duration;
mod estimate;
mod interval;
mod model;
mod observation;
mod ridge;

mod policy;

mod first;
mod greedy;
mod igw;
mod policies;

mod fold;

#[cfg(test)]
mod testing;

pub mod experiment;
pub mod sample_ratio;
pub mod sequence;

pub use beta::Beta;
pub use config::{ActionPrior, Config, InvalidLearnerConfig};
pub use duration::DurationStats;
pub use estimate::estimate;
pub use first::FirstCandidate;
pub use fold::Learner;
pub use greedy::Greedy;
pub use igw::Igw;
pub use interval::{wilson, wilson_at};
pub use model::{InvalidFeatures, InvalidModel, Model};
pub use observation::{ChosenArm, InvalidObservation, LearningResult, Observation, update};
pub use policies::policy;
pub use policy::{Choice, NothingAllowed, Policy};
pub use ridge::{MergeError, Ridge};
