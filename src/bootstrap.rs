//! Builds an engine from its parts: the only module that names concrete implementations.

use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use cluster::{Cluster, Metrics};
use engine::{Builder, Engine, InputSenders, ProposalSources, Settings, webhook_channel};
use jiff::Timestamp;
use learner::Policy;
use runtime::{Runtime, Simulated, Speed, Wall};
use simulator::{SimulatedCluster, World, WorldTimeline};
use store::{Memory, Salts, Sqlite, Store};
use tokio::sync::mpsc::UnboundedReceiver;
use workflow::guardrail::Autonomy;
use workflow::{Guardrails, Limits, Template};

use crate::datasets;

/// Name of the simulated cluster in object references.
pub(crate) const CLUSTER: &str = "simulated";

/// An engine, with the handles that its users need.
pub(crate) struct RunningEngine {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) inputs: InputSenders,
}

/// The parts of an engine for a simulated world.
pub(crate) struct EngineSetup {
    /// The simulated world. Its fault occurs later.
    pub(crate) world: Arc<Mutex<World>>,
    /// Speed of simulated time.
    pub(crate) speed: Speed,
    /// Random seed of decisions and of the salts of the record.
    pub(crate) seed: u64,
    pub(crate) options: EngineOptions,
}

/// Returns the start of simulated time.
pub(crate) fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a constant timestamp")
}

/// Returns the default guardrails with the given autonomy.
pub(crate) fn guardrails(autonomy: Autonomy) -> Guardrails {
    let mut guardrails = Guardrails::default();
    guardrails.spec.autonomy = autonomy;
    guardrails
}

/// Opens the store in `dir`.
pub(crate) fn open_store(dir: &Path, salts: Salts) -> Result<Arc<Sqlite>> {
    let store = Sqlite::open(dir, salts)
        .with_context(|| format!("cannot open the record in {}", dir.display()))?;
    Ok(Arc::new(store))
}

/// Returns a store in memory, with salts derived from `seed`.
pub(crate) fn memory(seed: u64) -> Arc<dyn Store> {
    Arc::new(Memory::new(Salts::seeded(&format!("salts/{seed}"))))
}

/// Engine options.
pub(crate) struct EngineOptions {
    /// The active guardrails.
    pub(crate) guardrails: Guardrails,
    /// Time settings.
    pub(crate) settings: Settings,
    /// Templates in addition to the built-in ones.
    pub(crate) templates: Vec<Template>,
    /// Policy that chooses among the candidates.
    pub(crate) policy: Box<dyn Policy>,
}

impl EngineOptions {
    /// Returns default options with the given autonomy and policy.
    pub(crate) fn at(autonomy: Autonomy, policy: Box<dyn Policy>) -> Self {
        Self {
            guardrails: guardrails(autonomy),
            settings: Settings::default(),
            templates: Vec::new(),
            policy,
        }
    }
}

/// The runtime in the time of a simulated world.
pub(crate) type WorldRuntime = Simulated<WorldTimeline>;

/// The time of an engine, and the alert deliveries that come with it.
pub(crate) struct EngineTime {
    runtime: Arc<dyn Runtime>,
    webhooks: UnboundedReceiver<Vec<u8>>,
}

impl EngineTime {
    /// The wall clock; alerts arrive through the API alone.
    pub(crate) fn wall() -> Self {
        Self { runtime: Arc::new(Wall::new()), webhooks: webhook_channel().1 }
    }

    /// The time of `world`, which delivers its own alerts; also returns the runtime, to change its speed.
    pub(crate) fn simulated(world: Arc<Mutex<World>>, speed: Speed) -> (Self, Arc<WorldRuntime>) {
        let (deliver, webhooks) = webhook_channel();
        let runtime = Arc::new(WorldTimeline::runtime(world, speed, deliver));
        (Self { runtime: runtime.clone(), webhooks }, runtime)
    }
}

/// Creates an engine for a simulated world; also returns the runtime, to change its speed.
pub(crate) async fn simulate(
    setup: EngineSetup,
    store: Arc<dyn Store>,
) -> Result<(RunningEngine, Arc<WorldRuntime>)> {
    let cluster = Arc::new(SimulatedCluster::new(setup.world.clone(), CLUSTER));
    let (time, runtime) = EngineTime::simulated(setup.world, setup.speed);
    let running =
        engine_over(cluster.clone(), cluster, time, setup.seed, setup.options, store).await?;
    Ok((running, runtime))
}

/// Creates an engine for any cluster, with the built-in action catalogue and templates.
pub(crate) async fn engine_over(
    cluster: Arc<dyn Cluster>,
    metrics: Arc<dyn Metrics>,
    time: EngineTime,
    seed: u64,
    options: EngineOptions,
    store: Arc<dyn Store>,
) -> Result<RunningEngine> {
    let catalogue = actions::catalogue();
    // Templates of the operator come first: among equal ones, the first is used.
    let mut templates = options.templates;
    templates.extend(datasets::templates(&catalogue)?);
    let sources = ProposalSources { templates, retrieval: true, reversal: true };
    let builder = Builder {
        store: store.clone(),
        cluster,
        metrics,
        runtime: time.runtime,
        catalogue,
        guardrails: options.guardrails,
        sources,
        policy: options.policy,
        settings: options.settings,
        limits: Limits::default(),
        seed,
        webhooks: time.webhooks,
    };
    let (engine, inputs) = builder.open().await?;
    Ok(RunningEngine { engine, store, inputs })
}

/// Imports the sample history if the record has none, and returns whether it did. If an earlier start was interrupted
/// before the import, the next start imports it.
///
/// # Errors
/// If it cannot be recorded.
pub(crate) async fn import_history(engine: &mut Engine) -> Result<bool> {
    if engine.folds().learner.model().imported() > 0 {
        return Ok(false);
    }
    engine.import(datasets::HISTORY, datasets::history()?).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use simulator::Naming;

    use super::*;

    #[tokio::test]
    async fn sample_history_is_imported_exactly_once() {
        let store = memory(7);
        let open = async || {
            let world = datasets::world("shop").unwrap();
            let world = World::with_naming(&world, 7, start(), Naming::Random).unwrap();
            let world = Arc::new(Mutex::new(world));
            let setup = EngineSetup {
                world,
                speed: Speed::Unlimited,
                seed: 7,
                options: EngineOptions::at(Autonomy::Auto, learner::policy("igw").unwrap()),
            };
            simulate(setup, store.clone()).await.unwrap().0.engine
        };
        // An interrupted start: the record exists without the history.
        drop(open().await);
        assert!(store.head().await.unwrap() > 0);
        assert!(import_history(&mut open().await).await.unwrap());
        let head = store.head().await.unwrap();
        assert!(!import_history(&mut open().await).await.unwrap());
        assert!(store.read(head, usize::MAX).await.unwrap().iter().all(|record| {
            !matches!(record.entry(), Ok(workflow::Entry::HistoryImported { .. }))
        }));
    }
}
