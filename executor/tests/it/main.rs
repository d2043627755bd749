//! Runs against the simulated cluster, in virtual time.

mod control;
mod faults;
mod purity;
mod replay;
mod rig;
mod runs;
mod sweep;
