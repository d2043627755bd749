//! The policies by name.

use crate::first::FirstCandidate;
use crate::greedy::Greedy;
use crate::igw::Igw;
use crate::policy::Policy;

/// Returns the policy `igw`, `greedy` or `first` with its default settings. `None` for any other name.
pub fn policy(name: &str) -> Option<Box<dyn Policy>> {
    match name {
        "igw" => Some(Box::new(Igw::default())),
        "greedy" => Some(Box::new(Greedy)),
        "first" => Some(Box::new(FirstCandidate)),
        _ => None,
    }
}
