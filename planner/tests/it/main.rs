//! The planner against the simulated cluster.

mod families;
mod hostile;
mod names;
mod shop;
