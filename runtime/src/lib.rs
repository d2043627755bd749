//! Time and tasks behind one port.
//!
//! A component that waits, or that does something beside its main loop, does so through [`Runtime`].
//! [`Wall`] runs on tokio and the machine's clock; [`Simulated`] runs the same tasks in simulated time, in a fixed order.
//! Both run the same code, so a test in simulated time exercises the concurrency of production.

#![warn(missing_docs)]

mod port;
mod simulated;
mod wall;

pub use port::{Runtime, Task};
pub use simulated::{Advanced, Simulated, Speed, Timeline};
pub use wall::Wall;
