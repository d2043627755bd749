//! The one action catalogue, and each action as one pure function from arguments and replies to what comes next.
//!
//! [`catalogue`] declares the actions as data, [`next`] is what they do, [`inverse`] is how they are undone, and
//! [`was_applied`] settles what an unknown answer meant. Nothing here reads a clock, draws a number or sends a byte.

mod applied;
mod argument;
mod catalogue;
mod footprint;
mod inverse;
mod next;
mod postcondition;

// What actions are made of.
mod change;
mod container;
mod declaration;
mod sameness;

// The actions, one a file.
mod ask_human;
mod restore_config_key;
mod rollout_restart;
mod rollout_undo;
mod scale;
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
pub use footprint::footprint;
pub use inverse::inverse;
pub use next::{Next, next};
pub use postcondition::default_postconditions;

#[cfg(test)]
mod tests;
