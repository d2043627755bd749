//! Estimates and decides, exactly and auditably.
//!
//! A [`Model`] is plain data and a pure fold of lessons: ridge statistics shared by all arms, one residual for each
//! arm, Beta priors and durations of steps. [`estimate`] reads it, [`update`] teaches it, a [`Policy`] turns estimates
//! into probabilities and draws one candidate, and [`Learner`] folds the record's entries into a model. [`experiment`]
//! compares two variants with intervals that may be looked at as often as one likes.

mod beta;
mod config;
mod estimate;
mod interval;
mod lesson;
mod model;
mod pace;
mod ridge;

mod policy;

mod first;
mod greedy;
mod igw;

mod fold;

#[cfg(test)]
mod testing;

pub mod experiment;
pub mod sequence;
pub mod shares;

pub use beta::Beta;
pub use config::{ActionPrior, BadConfig, Config};
pub use estimate::estimate;
pub use first::First;
pub use fold::Learner;
pub use greedy::Greedy;
pub use igw::Igw;
pub use interval::{wilson, wilson_at};
pub use lesson::{Chosen, Learned, Lesson, Unteachable, update};
pub use model::{BadFeatures, BadModel, Model};
pub use pace::Pace;
pub use policy::{Choice, NothingAllowed, Policy, policy};
pub use ridge::{CannotMerge, Ridge};
