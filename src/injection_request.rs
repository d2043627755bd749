//! A fault to inject, as the API receives it and the journal stores it.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use simulator::{Oracle, World};

use crate::datasets;

/// A fault to inject into a running world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct InjectionRequest {
    /// Fault family.
    pub(crate) family: String,
    /// Random seed that selects the workload.
    pub(crate) seed: u64,
}

impl InjectionRequest {
    /// Injects the fault at the present simulated time.
    ///
    /// # Errors
    /// If the family does not exist, or no workload of this world can have the fault.
    pub(crate) fn apply(&self, world: &mut World) -> Result<Oracle> {
        Ok(world.inject_fault(&datasets::scenario(&self.family)?, self.seed)?)
    }
}
