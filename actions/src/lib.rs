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

pub use applied::was_applied;
pub use argument::{check_arguments, target};
pub use catalogue::catalogue;
pub use footprint::footprint;
pub use inverse::inverse;
pub use next::{Next, next};
pub use postcondition::default_postconditions;
