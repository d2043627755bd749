//! The loop that carries values along the line, from alert to learned outcome.
//!
//! One loop, one writer. What comes in is recorded before it is answered; what is due is derived from what is recorded,
//! so that a restart goes on where the last process stopped.

mod answering;
mod case;
mod delivering;
mod engine;
mod experiments;
mod explaining;
mod folds;
mod glance;
mod healthy;
mod learned;
mod observing;
mod once;
mod planning;
mod settings;
mod time;

pub use case::{Case, Cases, Stage};
pub use engine::{Engine, Failure, Message, Parts, Stop};
pub use experiments::Experiments;
pub use folds::Folds;
pub use learned::LearnerFold;
pub use settings::{Settings, Sources};
pub use time::{Arrival, Pace, Time};
