//! Controllers of the control plane.

mod budget;
mod definition;
mod deployment;
mod endpoints;
mod garbage;
mod quota;
mod replicaset;
mod scheduler;

pub(crate) use budget::is_healthy;
pub(crate) use definition::CLEANUP;
