//! Puts the parts together: the one place that knows concrete things by name.

use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use cluster::{Cluster, Metrics};
use engine::{Engine, Message, Pace, Parts, Settings, Sources, Time};
use learner::Policy;
use simulator::{SimulatedCluster, World};
use store::{Memory, Salts, Sqlite, Store};
use tokio::sync::mpsc;
use workflow::guardrail::Autonomy;
use workflow::{Guardrails, Limits, Template};

use crate::datasets;

/// Name of the simulated cluster, as it stands in every reference.
pub(crate) const CLUSTER: &str = "simulated";

/// An engine over a simulated world, and the handles that others hold.
pub(crate) struct Simulation {
    /// The engine.
    pub(crate) engine: Engine,
    /// The record.
    pub(crate) store: Arc<dyn Store>,
    /// Where inputs go.
    pub(crate) inputs: mpsc::Sender<Message>,
}

/// How a simulation is put together.
pub(crate) struct Setup {
    /// The world, its fault in its future.
    pub(crate) world: Arc<Mutex<World>>,
    /// How fast it goes.
    pub(crate) pace: Pace,
    /// Seed of decisions and of the record's salts.
    pub(crate) seed: u64,
    /// How the engine goes about its work.
    pub(crate) conduct: Conduct,
}

/// The guardrails with which demo, evaluations and tests run: the defaults at this autonomy.
pub(crate) fn guardrails(autonomy: Autonomy) -> Guardrails {
    let mut guardrails = Guardrails::default();
    guardrails.spec.autonomy = autonomy;
    guardrails
}

/// A record in `dir`, its salts drawn by the operating system or from a seed.
pub(crate) fn open_store(dir: &Path, salts: Salts) -> Result<Arc<Sqlite>> {
    let store = Sqlite::open(dir, salts)
        .with_context(|| format!("cannot open the record in {}", dir.display()))?;
    Ok(Arc::new(store))
}

/// A record in memory, its salts from a seed.
pub(crate) fn memory(seed: u64) -> Arc<dyn Store> {
    Arc::new(Memory::new(Salts::seeded(&format!("salts/{seed}"))))
}

/// How an engine goes about its work.
pub(crate) struct Conduct {
    /// What it may do.
    pub(crate) guardrails: Guardrails,
    /// How long it waits for what.
    pub(crate) settings: Settings,
    /// Templates beside those that the binary carries.
    pub(crate) templates: Vec<Template>,
    /// Who chooses among the candidates.
    pub(crate) policy: Box<dyn Policy>,
}

impl Conduct {
    /// The defaults at this autonomy, with this policy.
    pub(crate) fn at(autonomy: Autonomy, policy: Box<dyn Policy>) -> Self {
        Self {
            guardrails: guardrails(autonomy),
            settings: Settings::default(),
            templates: Vec::new(),
            policy,
        }
    }
}

/// Puts an engine over a simulated world.
pub(crate) async fn simulate(setup: Setup, store: Arc<dyn Store>) -> Result<Simulation> {
    let cluster = Arc::new(SimulatedCluster::new(setup.world.clone(), CLUSTER));
    let time = Time::Simulated { world: setup.world, pace: setup.pace };
    engine_over(cluster.clone(), cluster, time, setup.seed, setup.conduct, store).await
}

/// Puts an engine over any cluster, with what the binary carries with it.
pub(crate) async fn engine_over(
    cluster: Arc<dyn Cluster>,
    metrics: Arc<dyn Metrics>,
    time: Time,
    seed: u64,
    conduct: Conduct,
    store: Arc<dyn Store>,
) -> Result<Simulation> {
    let limits = Limits::default();
    let (inputs, inbox) = mpsc::channel(limits.queue);
    let catalogue = actions::catalogue();
    // An operator's own come first: among equals, order decides.
    let mut templates = conduct.templates;
    templates.extend(datasets::templates(&catalogue)?);
    let sources = Sources { templates, retrieval: true, reversal: true };
    let parts = Parts {
        store: store.clone(),
        cluster,
        metrics,
        time,
        catalogue,
        guardrails: conduct.guardrails,
        sources,
        policy: conduct.policy,
        settings: conduct.settings,
        limits,
        seed,
        inbox,
    };
    Ok(Simulation { engine: Engine::open(parts).await?, store, inputs })
}

/// Brings the sample history in where none was, and says whether it did. A start that was cut off before it is made up
/// for by the next one.
///
/// # Errors
/// Where it cannot be recorded.
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
    async fn history_is_imported_by_the_first_start_that_comes_so_far_and_by_no_later_one() {
        let store = memory(7);
        let open = async || {
            let world = datasets::world("shop").unwrap();
            let world = World::named(&world, 7, crate::cli::start(), Naming::Drawn).unwrap();
            let world = Arc::new(Mutex::new(world));
            let setup = Setup {
                world,
                pace: Pace::Free,
                seed: 7,
                conduct: Conduct::at(Autonomy::Auto, learner::policy("igw").unwrap()),
            };
            simulate(setup, store.clone()).await.unwrap().engine
        };
        // Cut off: the record has begun, and the history is not in it.
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
