//! Whole incidents in the simulated shop, in virtual time.

mod autonomy;
mod calls;
mod escalated;
mod house;
mod merged;
mod resolved;
