use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cluster::{Cluster, Metrics};
use executor::{Rules, driver};
use learner::Policy;
use runtime::Runtime;
use store::Store;
use tokio::sync::mpsc;
use workflow::{Catalogue, Entry, Guardrails, Limits};

use crate::engine::{Engine, EngineError, InboxMessage};
use crate::folds::Folds;
use crate::healthy::HealthTracker;
use crate::{ProposalSources, Settings, learner_fold};

/// Everything that an engine is built from: the one place where an engine is assembled.
pub struct Builder {
    pub store: Arc<dyn Store>,
    pub cluster: Arc<dyn Cluster>,
    pub metrics: Arc<dyn Metrics>,
    pub runtime: Arc<dyn Runtime>,
    pub catalogue: Catalogue,
    pub guardrails: Guardrails,
    /// Sources of candidates.
    pub sources: ProposalSources,
    /// Policy that chooses among the candidates.
    pub policy: Box<dyn Policy>,
    pub settings: Settings,
    /// Limits on alert deliveries.
    pub limits: Limits,
    /// Seed of the random choices of decisions.
    pub seed: u64,
    /// Bodies of Alertmanager webhooks from a source inside this process; see [`webhook_channel`].
    pub webhooks: mpsc::UnboundedReceiver<Vec<u8>>,
}

/// The senders of an engine's queues.
#[derive(Clone)]
pub struct InputSenders {
    /// Inputs; bounded by [`Limits::queue`].
    pub commands: mpsc::Sender<InboxMessage>,
    /// Emergency stops and run controls, which the loop reads first.
    pub controls: mpsc::Sender<InboxMessage>,
}

/// Maximum number of concurrent runs.
const MAX_CONCURRENT_RUNS: usize = 100;

/// Emergency stops and run controls that may wait at once.
const MAX_WAITING_CONTROLS: usize = 256;

/// A function that delivers webhook bodies to an engine in this process, and the receiver for its [`Builder`]. An engine whose
/// alerts all arrive as inputs gets the receiver alone.
pub fn webhook_channel()
-> (impl Fn(Vec<u8>) + Send + Sync + 'static, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (sender, webhooks) = mpsc::unbounded_channel();
    let deliver = move |body| {
        // The receiver is dropped only while the engine ends.
        let _ = sender.send(body);
    };
    (deliver, webhooks)
}

impl Builder {
    /// Claims the record, folds it, and continues where the last writer stopped.
    ///
    /// # Errors
    /// [`EngineError`] if the record cannot be claimed, read or written.
    pub async fn open(self) -> Result<(Engine, InputSenders), EngineError> {
        let (commands, inbox) = mpsc::channel(self.limits.queue);
        let (controls, control_inbox) = mpsc::channel(MAX_WAITING_CONTROLS);
        let now = self.runtime.now();
        let epoch = self.store.claim(now, env!("CARGO_PKG_VERSION")).await?;
        let learner = learner_fold::new_learner(&self.catalogue)?;
        let (fleet, interrupted) = driver::recover(MAX_CONCURRENT_RUNS, &*self.store).await?;
        let (task_tx, task_rx) = mpsc::unbounded_channel();
        let mut engine = Engine {
            store: self.store,
            cluster: self.cluster,
            metrics: self.metrics,
            runtime: self.runtime,
            catalogue: Arc::new(self.catalogue.clone()),
            rules: Rules { guardrails: self.guardrails, catalogue: self.catalogue },
            sources: self.sources,
            policy: self.policy,
            folds: Folds::new(learner, self.settings.clone()),
            settings: self.settings,
            seed: self.seed,
            fleet,
            limits: self.limits,
            epoch,
            last_seq: 0,
            health_tracker: HealthTracker::default(),
            inbox,
            controls: control_inbox,
            webhooks: self.webhooks,
            is_closed: false,
            task_tx,
            task_rx,
            planning: BTreeMap::new(),
            measuring: BTreeSet::new(),
            run_deadline: None,
        };
        engine.catch_up().await?;
        if engine.folds.guardrails_version != engine.rules.guardrails.version() {
            let guardrails = engine.rules.guardrails.clone();
            engine.record(now, vec![Entry::GuardrailsLoaded(guardrails)]).await?;
        }
        // Required even without interrupted effects: this dispatches every effect that was pending when the last process
        // ended.
        engine.step(interrupted).await?;
        Ok((engine, InputSenders { commands, controls }))
    }
}
