//! The spec of a simulated world, stored in the data directory.

use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use simulator::{AlertMode, Naming, World, scenario};

use crate::{datasets, private_file};

/// The start of a simulated world. The same spec and the same requests give the same world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SimulationSpec {
    /// Name of the world.
    pub(crate) world: String,
    /// Random seed of names, the faulty workload, and events.
    pub(crate) seed: u64,
    /// Fault family that is injected first, if any.
    pub(crate) fault: Option<String>,
    /// Start of simulated time.
    pub(crate) start: Timestamp,
}

impl SimulationSpec {
    const FILE: &str = "world.json";

    /// Loads the spec in `dir`, if there is one.
    ///
    /// # Errors
    /// If the file cannot be read or parsed.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(Self::FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("{} is not a valid simulation spec", path.display()))
    }

    /// Writes the spec to `dir` atomically, readable only by its owner.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("a spec is plain data");
        private_file::write(&dir.join(Self::FILE), &text)
    }

    /// Builds the world at the start of simulated time, and returns the time of its first fault, if it has one.
    ///
    /// # Errors
    /// If the world or the fault family does not exist.
    pub(crate) fn build(&self, mode: AlertMode) -> Result<(World, Option<Timestamp>)> {
        let file = datasets::world(&self.world)?;
        let (mut world, fault_at) = match &self.fault {
            Some(fault) => {
                let fault = datasets::scenario(fault)?;
                let prepared = scenario::prepare(&fault, &file, self.seed, self.start)?;
                (prepared.world, Some(prepared.oracle.fault_at()))
            }
            None => (World::with_naming(&file, self.seed, self.start, Naming::Random)?, None),
        };
        world.set_alert_mode(mode);
        Ok((world, fault_at))
    }
}
