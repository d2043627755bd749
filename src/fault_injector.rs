//! Injects faults into a persisted simulation.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use cluster::ObjectRef;
use jiff::Timestamp;
use simulator::World;

use crate::injection_request::InjectionRequest;
use crate::journal::{Journal, JournalEntry, WorldMutation};

/// Injects faults into a running world. Each is written to the journal first.
#[derive(Clone)]
pub(crate) struct FaultInjector {
    world: Arc<Mutex<World>>,
    journal: Arc<Journal>,
    seed: u64,
    injected_count: Arc<Mutex<u64>>,
}

/// An injected fault.
pub(crate) struct Injected {
    pub(crate) injection: InjectionRequest,
    /// The faulty workload. The planner does not receive it.
    pub(crate) workload: ObjectRef,
    /// Simulated time of the injection.
    pub(crate) at: Timestamp,
}

impl FaultInjector {
    /// Creates an injector for `world`, into which `injected_count` faults were injected already. `seed` is the seed of
    /// the world.
    pub(crate) fn new(
        world: Arc<Mutex<World>>,
        journal: Arc<Journal>,
        seed: u64,
        injected_count: u64,
    ) -> Self {
        Self { world, journal, seed, injected_count: Arc::new(Mutex::new(injected_count)) }
    }

    /// Returns the number of injected faults, without the first fault of the spec.
    pub(crate) fn injected_count(&self) -> u64 {
        *self.injected_count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Injects a fault of `family` into a random workload. Blocks while the journal is written to disk.
    ///
    /// # Errors
    /// If the family does not exist, no workload can have the fault, or the journal cannot be written. The world is
    /// unchanged then.
    pub(crate) fn inject(&self, family: &str) -> Result<Injected> {
        let mut injected_count = self.injected_count.lock().unwrap_or_else(PoisonError::into_inner);
        let seed = self.seed.wrapping_add(*injected_count + 1);
        let injection = InjectionRequest { family: family.into(), seed };
        let mut world = World::lock(&self.world);
        let at = world.now();
        // Tried on a copy first: a fault that cannot be injected must not be in the journal, or every replay would
        // fail.
        injection.apply(&mut world.clone())?;
        self.journal
            .append(&JournalEntry {
                at,
                mutation: WorldMutation::InjectFault { injection: injection.clone() },
            })
            .context("cannot write the journal, so the fault is not injected")?;
        let oracle = injection.apply(&mut world)?;
        *injected_count += 1;
        Ok(Injected { injection, workload: oracle.target().clone(), at })
    }
}
