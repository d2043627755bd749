//! The controllers of the control plane.

mod deployment;
mod endpoints;
mod garbage;
mod replicaset;
mod scheduler;
