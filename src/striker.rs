//! What lets faults strike a world that is kept, and what they are.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use cluster::ObjectRef;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use simulator::{Oracle, World};

use crate::datasets;
use crate::journal::{Deed, Journal, Line};

/// A fault that struck a running world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Strike {
    /// Its family.
    pub(crate) family: String,
    /// What draws the workload at fault.
    pub(crate) seed: u64,
}

impl Strike {
    /// Lets it happen from now on.
    ///
    /// # Errors
    /// Where there is no such family, or no workload of this world can have the fault.
    pub(crate) fn befall(&self, world: &mut World) -> Result<Oracle> {
        Ok(world.strike(&datasets::scenario(&self.family)?, self.seed)?)
    }
}

/// Lets faults strike a running world, each noted before it happens.
#[derive(Clone)]
pub(crate) struct Striker {
    world: Arc<Mutex<World>>,
    journal: Arc<Journal>,
    seed: u64,
    strikes: Arc<Mutex<u64>>,
}

/// What was struck.
pub(crate) struct Struck {
    /// The fault.
    pub(crate) strike: Strike,
    /// The workload. Whoever plans never hears of it.
    pub(crate) workload: ObjectRef,
    /// When, in the world.
    pub(crate) at: Timestamp,
}

impl Striker {
    /// Lets faults strike `world`, which `strikes` of them have struck already; `seed` is the world's.
    pub(crate) fn new(
        world: Arc<Mutex<World>>,
        journal: Arc<Journal>,
        seed: u64,
        strikes: u64,
    ) -> Self {
        Self { world, journal, seed, strikes: Arc::new(Mutex::new(strikes)) }
    }

    /// How many faults have struck since the world began, its first not counted.
    pub(crate) fn strikes(&self) -> u64 {
        *self.strikes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Breaks something of `family` now, on a workload that is drawn. It blocks for the time of a write to disk.
    ///
    /// # Errors
    /// Where there is no such family, no workload can have the fault, or it cannot be noted; nothing happens then.
    pub(crate) fn strike(&self, family: &str) -> Result<Struck> {
        let mut strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
        let seed = self.seed.wrapping_add(*strikes + 1);
        let strike = Strike { family: family.into(), seed };
        let mut world = self.world.lock().expect("a world is never left half-changed");
        let at = world.now();
        // Rehearsed on a copy: what cannot happen must not be noted, or no restart would come past it.
        strike.befall(&mut world.clone())?;
        self.journal
            .note(&Line { at, deed: Deed::Strike { strike: strike.clone() } })
            .context("the fault cannot be noted, so it does not happen")?;
        let oracle = strike.befall(&mut world)?;
        *strikes += 1;
        Ok(Struck { strike, workload: oracle.target().clone(), at })
    }
}
