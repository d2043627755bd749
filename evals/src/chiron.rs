use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use engine::{Engine, Pace, Parts, Settings, Sources, Stop, Time};
use jiff::Timestamp;
use learner::Policy;
use simulator::{SimulatedCluster, World};
use store::{Memory, Salts, Store};
use tokio::sync::mpsc;
use workflow::guardrail::Autonomy;
use workflow::{Guardrails, Limits, PastExecution};

use crate::contestant::{Contestant, Played};

/// Chiron itself, with some of its sources and a policy.
pub struct Chiron {
    /// Its name in reports.
    pub name: String,
    /// Who proposes.
    pub sources: Sources,
    /// Makes the policy that chooses.
    pub policy: fn() -> Option<Box<dyn Policy>>,
    /// What it has seen before.
    pub history: Arc<Vec<PastExecution>>,
    /// Seed of its decisions.
    pub seed: u64,
}

/// The engine after a play, and its world.
pub(crate) struct Session {
    pub(crate) engine: Engine,
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) store: Arc<dyn Store>,
}

impl Chiron {
    /// Sets itself up in a world, its history imported.
    pub(crate) async fn begin(&self, world: World) -> Result<Session> {
        let world = Arc::new(Mutex::new(world));
        let cluster = Arc::new(SimulatedCluster::new(world.clone(), "simulated"));
        let store: Arc<dyn Store> =
            Arc::new(Memory::new(Salts::seeded(&format!("evaluation/{}", self.seed))));
        let mut guardrails = Guardrails::default();
        guardrails.spec.autonomy = Autonomy::Auto;
        let (_inputs, inbox) = mpsc::channel(1);
        let mut engine = Engine::open(Parts {
            store: store.clone(),
            cluster: cluster.clone(),
            metrics: cluster,
            time: Time::Simulated { world: world.clone(), pace: Pace::Free },
            catalogue: actions::catalogue(),
            guardrails,
            sources: self.sources.clone(),
            policy: (self.policy)().context("the policy is built in")?,
            settings: Settings::default(),
            limits: Limits::default(),
            seed: self.seed,
            inbox,
        })
        .await?;
        engine.import("history", self.history.to_vec()).await?;
        Ok(Session { engine, world, store })
    }
}

#[async_trait(?Send)]
impl Contestant for Chiron {
    fn name(&self) -> &str {
        &self.name
    }

    async fn play(&self, world: World, until: Timestamp) -> Result<Played> {
        let mut session = self.begin(world).await?;
        let engine = &mut session.engine;
        engine.run(Stop::At(until)).await?;
        let incidents = &engine.folds().incidents.incidents;
        let first = incidents.values().map(|incident| incident.opened_at).min();
        let is_quiet = incidents.values().all(|incident| incident.firing.is_empty());
        let last = incidents.values().filter_map(|incident| incident.quiet_since).max();
        let seconds = first
            .zip(last)
            .filter(|_| is_quiet)
            .map(|(first, last)| last.duration_since(first).as_secs_f64().max(0.0));
        let world = session.world.lock().expect("a world is never left half-changed").clone();
        Ok(Played { world, seconds })
    }
}
