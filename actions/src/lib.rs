//! The action catalogue, and each action as one pure function from arguments and replies to its next request.
//!
//! [`catalogue`] declares the actions as data, [`next`] runs them, [`inverse`] returns how they are undone, and
//! [`was_applied`] determines whether a request without a response was applied. Nothing in this crate reads a clock, uses
//! randomness or does IO.

mod applied;
mod argument;
mod catalogue;
mod impact;
mod inverse;
mod next;
mod postcondition;
mod reply;

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

pub use applied::was_applied;
pub use argument::{bindings, check_arguments, target};
pub use catalogue::catalogue;
pub use impact::impact;
pub use inverse::inverse;
pub use next::{Next, next};
pub use postcondition::default_postconditions;
pub use reply::Reply;

#[cfg(test)]
mod tests;
