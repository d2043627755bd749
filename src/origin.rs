//! Where a simulated world begins: the file that a folder of state keeps of it.

use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use simulator::{AlertMode, Naming, World, scenario};

use crate::{datasets, private_file};

/// Where a world begins: the same origin and the same requests give the same world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Origin {
    /// Name of the world's file.
    pub(crate) world: String,
    /// What draws names, the workload at fault, and every chance.
    pub(crate) seed: u64,
    /// The fault family in its future; absent where nothing breaks.
    pub(crate) fault: Option<String>,
    /// When its time begins.
    pub(crate) start: Timestamp,
}

impl Origin {
    const FILE: &str = "world.json";

    /// What stands in `dir`, if anything does.
    ///
    /// # Errors
    /// Where the file cannot be read or is not one of ours.
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
            .with_context(|| format!("{} does not say where a world begins", path.display()))
    }

    /// Keeps it in `dir`, whole or not at all, for its owner alone.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn keep(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("an origin is plain data");
        private_file::write(&dir.join(Self::FILE), &text)
    }

    /// The world as it is when its time begins, and when its fault happens if it has one.
    ///
    /// # Errors
    /// Where there is no such world or fault.
    pub(crate) fn begin(&self, mode: AlertMode) -> Result<(World, Option<Timestamp>)> {
        let file = datasets::world(&self.world)?;
        let (mut world, fault_at) = match &self.fault {
            Some(fault) => {
                let fault = datasets::scenario(fault)?;
                let prepared = scenario::prepare(&fault, &file, self.seed, self.start)?;
                (prepared.world, Some(prepared.oracle.fault_at()))
            }
            None => (World::named(&file, self.seed, self.start, Naming::Drawn)?, None),
        };
        world.set_alert_mode(mode);
        Ok((world, fault_at))
    }
}
