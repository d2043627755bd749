//! Executes plans durably: a state machine per run without IO, a fleet of runs, and a driver.
//!
//! [`machine`] decides for one run and [`fleet`] for all of them; both are pure folds of the record. [`driver`] makes their
//! decisions durable before any effect is performed, and [`perform()`] performs effects.

pub mod driver;
pub mod fleet;
pub mod machine;
mod perform;

pub use fleet::Fleet;
pub use machine::{MACHINE_VERSION, Rejected, Rules, Run};
pub use perform::{evaluate, measure, perform};
