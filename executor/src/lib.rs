//! Runs plans durably: a state machine without IO, a fleet of them, and the driver that obeys.
//!
//! [`machine`] decides about one run and [`fleet`] about all of them; both are pure folds of the record. [`driver`]
//! makes what they decide durable before anything leaves, and [`perform()`] is what leaves.

pub mod driver;
pub mod fleet;
pub mod machine;
mod perform;

pub use fleet::Fleet;
pub use machine::{MACHINE_VERSION, Rejected, Rules, Run};
pub use perform::{judge, measure, perform, read};
