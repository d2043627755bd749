use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use engine::{Builder, Engine, ProposalSources, RunUntil, Settings, webhook_channel};
use jiff::Timestamp;
use learner::Policy;
use runtime::Speed;
use simulator::{SimulatedCluster, World, WorldTimeline};
use store::{Memory, Salts, Store};
use workflow::guardrail::Autonomy;
use workflow::{Guardrails, Limits, PastExecution};

use crate::system_under_test::{SystemUnderTest, Trial};

/// Chiron with configurable candidate sources and policy.
pub struct Chiron {
    /// Name for reports.
    pub name: String,
    /// Enabled candidate sources.
    pub sources: ProposalSources,
    /// Creates the policy that chooses among the candidates; `None` if no such policy is built in.
    pub policy: fn() -> Option<Box<dyn Policy>>,
    /// Past executions, which are imported before the run.
    pub history: Arc<Vec<PastExecution>>,
    /// Seed of the decisions.
    pub seed: u64,
}

/// An engine and its world.
pub(crate) struct Session {
    pub(crate) engine: Engine,
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) store: Arc<dyn Store>,
}

impl Chiron {
    /// Starts an engine in `world` and imports the history.
    pub(crate) async fn start_session(&self, world: World) -> Result<Session> {
        let world = Arc::new(Mutex::new(world));
        let cluster = Arc::new(SimulatedCluster::new(world.clone(), "simulated"));
        let store: Arc<dyn Store> =
            Arc::new(Memory::new(Salts::seeded(&format!("evaluation/{}", self.seed))));
        let mut guardrails = Guardrails::default();
        guardrails.spec.autonomy = Autonomy::Auto;
        let (deliver, webhooks) = webhook_channel();
        let builder = Builder {
            store: store.clone(),
            cluster: cluster.clone(),
            metrics: cluster,
            runtime: Arc::new(WorldTimeline::runtime(world.clone(), Speed::Unlimited, deliver)),
            catalogue: actions::catalogue(),
            guardrails,
            sources: self.sources.clone(),
            policy: (self.policy)().context("the policy is not built in")?,
            settings: Settings::default(),
            limits: Limits::default(),
            seed: self.seed,
            webhooks,
        };
        let (mut engine, _inputs) = builder.open().await?;
        engine.import("history", self.history.to_vec()).await?;
        Ok(Session { engine, world, store })
    }
}

#[async_trait(?Send)]
impl SystemUnderTest for Chiron {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(&self, world: World, until: Timestamp) -> Result<Trial> {
        let mut session = self.start_session(world).await?;
        let engine = &mut session.engine;
        engine.run(RunUntil::At(until)).await?;
        let incidents = &engine.folds().incidents.incidents;
        let first = incidents.values().map(|incident| incident.opened_at).min();
        let is_quiet = incidents.values().all(|incident| incident.firing.is_empty());
        let last = incidents.values().filter_map(|incident| incident.quiet_since).max();
        let seconds = first
            .zip(last)
            .filter(|_| is_quiet)
            .map(|(first, last)| last.duration_since(first).as_secs_f64().max(0.0));
        let world = World::lock(&session.world).clone();
        Ok(Trial { world, seconds })
    }
}
