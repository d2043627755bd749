//! The action catalogue, and each action as one pure function from arguments and replies to its next request.
//!
//! Each action implements [`Action`] in a file of its own. [`catalogue`] declares them as data, [`next`] runs them, [`inverse`] returns how they are undone, and
//! [`was_applied`] determines whether a request without a response was applied. Nothing in this crate reads a clock, uses
//! randomness or does IO.

mod action;
mod applied;
mod argument;
mod catalogue;
mod changed_field;
mod field_class;
mod impact;
mod inverse;
mod next;
mod postcondition;
mod refused;
mod reply;
mod symptom;

// Shared by the actions.
mod change;
mod container;
mod declaration;
mod equivalence;

// The actions, one per file.
mod request_approval;
mod rollout_restart;
mod rollout_undo;
mod scale;
mod set_config_key;
mod set_env;
mod set_image;
mod set_probe;
mod set_resources;
mod set_service_port;
mod set_service_selector;
mod wait;

pub use action::Action;
pub use applied::was_applied;
pub use argument::{bindings, check_arguments, target};
pub use catalogue::{all, catalogue, default_postconditions, find, next};
pub use change::{ChangeInput, Proposed, ProposedChange};
pub use changed_field::ChangedField;
pub use field_class::FieldClass;
pub use impact::impact;
pub use inverse::inverse;
pub use next::Next;
pub use refused::Refused;
pub use reply::Reply;
pub use request_approval::RequestApproval;
pub use rollout_restart::RolloutRestart;
pub use rollout_undo::RolloutUndo;
pub use symptom::Symptom;

#[cfg(test)]
mod tests;
