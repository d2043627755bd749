use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Cluster, Metrics, ObjectRef};
use executor::driver::{self, MAX_INPUTS, StepResult};
use executor::{Fleet, Rejected, Rules};
use jiff::Timestamp;
use learner::Policy;
use simulator::Emission;
use store::{AppendError, Store, StoreError};
use tokio::sync::{mpsc, oneshot};
use workflow::id::{IncidentId, RunId};
use workflow::incident::{self, IncidentInput};
use workflow::outcome::ObservationWindow;
use workflow::run::{Effect, RunInput};
use workflow::{
    AlertStatus, Catalogue, Draft, EngineResponse, Entry, Evidence, Guardrails, Input, Limits,
    PastExecution, Provenance, alertmanager,
};

use crate::case::{IncidentCase, IncidentStage};
use crate::folds::Folds;
use crate::healthy::{self, HealthScan, HealthTracker};
use crate::learner_fold;
use crate::planning;
use crate::time::{ClockEvent, Time};
use crate::{ProposalSources, Settings};

/// An input and the channel for its response.
pub type InboxMessage = (Input, oneshot::Sender<EngineResponse>);

/// Everything that an engine is built from.
pub struct EngineConfig {
    pub store: Arc<dyn Store>,
    pub cluster: Arc<dyn Cluster>,
    pub metrics: Arc<dyn Metrics>,
    pub time: Time,
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
    /// Queue of inputs.
    pub inbox: mpsc::Receiver<InboxMessage>,
}

/// When [`Engine::run`] returns.
pub enum RunUntil {
    /// When every sender of the inbox has been dropped.
    InboxClosed,
    /// At this time.
    At(Timestamp),
    /// When the condition is true; it is evaluated whenever nothing is due.
    Condition(Box<dyn Fn(&Folds) -> bool + Send>),
}

/// Failure that ends the loop.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another writer is active, or the storage failed.
    #[error("the record cannot be written")]
    Append(#[from] AppendError),
    #[error("the record cannot be read")]
    Read(#[from] StoreError),
    /// The planner's feature schema does not match the learner's configuration.
    #[error("the learner cannot be initialized")]
    Learner(#[from] learner::InvalidLearnerConfig),
}

/// The event loop and its state.
pub struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) metrics: Arc<dyn Metrics>,
    pub(crate) time: Time,
    pub(crate) rules: Rules,
    pub(crate) sources: ProposalSources,
    pub(crate) policy: Box<dyn Policy>,
    pub(crate) settings: Settings,
    pub(crate) seed: u64,
    pub(crate) folds: Folds,
    pub(crate) fleet: Fleet,
    limits: Limits,
    epoch: u64,
    last_seq: u64,
    health_tracker: HealthTracker,
    inbox: mpsc::Receiver<InboxMessage>,
    is_closed: bool,
    task_tx: mpsc::UnboundedSender<TaskResult>,
    task_rx: mpsc::UnboundedReceiver<TaskResult>,
    /// Incidents whose evidence a background task is collecting.
    pub(crate) gathering: BTreeSet<IncidentId>,
    run_deadline: Option<Timestamp>,
}

/// Result of a background task. Only an engine with a wall clock has background tasks: a slow cluster must not delay
/// inputs.
enum TaskResult {
    /// An effect was performed.
    Performed(RunInput),
    /// A health scan finished.
    Scanned { scan: HealthScan, at: Timestamp },
    /// Evidence of an incident was collected.
    Gathered(Box<Evidence>),
}

/// Bounds a cluster call made inside the loop.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(20);

/// Maximum number of concurrent runs.
const MAX_CONCURRENT_RUNS: usize = 100;

impl Engine {
    /// Claims the record, folds it, and continues where the last writer stopped.
    ///
    /// # Errors
    /// [`EngineError`] if the record cannot be claimed, read or written.
    pub async fn open(config: EngineConfig) -> Result<Self, EngineError> {
        let now = config.time.now();
        let epoch = config.store.claim(now, env!("CARGO_PKG_VERSION")).await?;
        let learner = learner_fold::new_learner(&config.catalogue)?;
        let (fleet, interrupted) = driver::recover(MAX_CONCURRENT_RUNS, &*config.store).await?;
        let (task_tx, task_rx) = mpsc::unbounded_channel();
        let mut engine = Self {
            store: config.store,
            cluster: config.cluster,
            metrics: config.metrics,
            time: config.time,
            rules: Rules { guardrails: config.guardrails, catalogue: config.catalogue },
            sources: config.sources,
            policy: config.policy,
            folds: Folds::new(learner, config.settings.clone()),
            settings: config.settings,
            seed: config.seed,
            fleet,
            limits: config.limits,
            epoch,
            last_seq: 0,
            health_tracker: HealthTracker::default(),
            inbox: config.inbox,
            is_closed: false,
            task_tx,
            task_rx,
            gathering: BTreeSet::new(),
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
        Ok(engine)
    }

    /// Folded state.
    pub fn folds(&self) -> &Folds {
        &self.folds
    }

    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    pub fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// Changes the speed of the simulated world. Has no effect with a wall clock.
    pub fn set_speed(&mut self, speed: crate::Speed) {
        if let Time::Simulated { speed: current, .. } = &mut self.time {
            *current = speed;
        }
    }

    /// Imports past executions; each is recorded with its origin.
    ///
    /// # Errors
    /// [`EngineError`] if they cannot be recorded.
    pub async fn import(
        &mut self,
        from: &str,
        history: Vec<PastExecution>,
    ) -> Result<(), EngineError> {
        let now = self.time.now();
        let entries = history.into_iter().map(|execution| Entry::HistoryImported {
            file: from.into(),
            // Executions that were live elsewhere are imports here.
            execution: PastExecution { origin: Provenance::Import(from.into()), ..execution },
        });
        self.record(now, entries.collect()).await
    }

    /// Runs the loop until the given condition.
    ///
    /// # Errors
    /// [`EngineError`] ends the loop. The record is intact, and a new engine can continue from it.
    pub async fn run(&mut self, until: RunUntil) -> Result<(), EngineError> {
        loop {
            self.drain_inbox().await?;
            self.run_due().await?;
            match &until {
                RunUntil::InboxClosed if self.is_closed => return self.snapshot_learner().await,
                RunUntil::At(at) if self.time.now() >= *at => return Ok(()),
                RunUntil::Condition(is_met) if is_met(&self.folds) => return Ok(()),
                RunUntil::InboxClosed | RunUntil::At(_) | RunUntil::Condition(_) => {}
            }
            let mut deadline = self.next_deadline();
            if let RunUntil::At(at) = until {
                deadline = Some(deadline.map_or(at, |deadline| deadline.min(at)));
            }
            match self.time.advance(deadline) {
                ClockEvent::Emitted(emissions) => self.ingest_emissions(emissions).await?,
                ClockEvent::Sleep(duration) => {
                    let sleep = async {
                        match duration {
                            Some(duration) => tokio::time::sleep(duration).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = sleep => {}
                        message = self.inbox.recv(), if !self.is_closed => match message {
                            Some(message) => self.handle_messages(vec![message]).await?,
                            None => self.is_closed = true,
                        },
                        Some(result) = self.task_rx.recv() => self.handle_task_results(vec![result]).await?,
                    }
                }
            }
            self.record_clock_jump().await?;
        }
    }

    /// Returns the next time at which something is due.
    fn next_deadline(&self) -> Option<Timestamp> {
        let cases = self.folds.cases.live().filter_map(|case| self.due(case));
        let others = [
            self.folds.incidents.next_deadline(),
            self.health_tracker.next_scan(),
            self.run_deadline,
        ];
        cases.chain(others.into_iter().flatten()).min().map(|at| at.max(self.time.now()))
    }

    /// Handles the inputs and task results that have arrived, at most [`MAX_INPUTS`] of each.
    async fn drain_inbox(&mut self) -> Result<(), EngineError> {
        let mut messages = Vec::new();
        while messages.len() < MAX_INPUTS {
            match self.inbox.try_recv() {
                Ok(message) => messages.push(message),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.is_closed = true;
                    break;
                }
            }
        }
        self.handle_messages(messages).await?;
        let mut results = Vec::new();
        while results.len() < MAX_INPUTS
            && let Ok(result) = self.task_rx.try_recv()
        {
            results.push(result);
        }
        self.handle_task_results(results).await
    }

    async fn handle_task_results(&mut self, results: Vec<TaskResult>) -> Result<(), EngineError> {
        let mut inputs = Vec::new();
        for result in results {
            match result {
                TaskResult::Performed(input) => inputs.push(input),
                TaskResult::Scanned { scan, at } => self.handle_scan(scan, at).await?,
                TaskResult::Gathered(evidence) => {
                    let id = evidence.incident.clone();
                    self.gathering.remove(&id);
                    let case = self.folds.cases.cases.get(&id);
                    // The incident may have been closed or merged into another one meanwhile.
                    if case
                        .is_some_and(|case| matches!(case.stage, IncidentStage::NeedsDecision(_)))
                    {
                        self.plan_on(*evidence, None).await?;
                    }
                }
            }
        }
        if !inputs.is_empty() {
            self.step(inputs).await?;
        }
        Ok(())
    }

    /// Records workloads that have been healthy and unchanged for long enough, unless they are recorded already.
    async fn handle_scan(&mut self, scan: HealthScan, at: Timestamp) -> Result<(), EngineError> {
        let healthy = self.health_tracker.record_scan(scan, at, &self.settings);
        let known_good = &self.folds.known_good;
        let entries: Vec<Entry> = healthy
            .into_iter()
            .filter(|(object, related)| !known_good.contains_all(object, related))
            .map(|(object, related)| Entry::ObjectHealthy { object, related })
            .collect();
        self.record(self.time.now(), entries).await
    }

    /// Scans the health of all workloads: in a background task with a wall clock, inline in a simulated world.
    async fn start_scan(&mut self, now: Timestamp) -> Result<(), EngineError> {
        self.health_tracker.scan_started(now, &self.settings);
        match &self.time {
            Time::Simulated { .. } => {
                let scan = healthy::scan(&*self.cluster, now).await;
                self.handle_scan(scan, now).await
            }
            Time::Wall(_) => {
                let (cluster, task_tx) = (self.cluster.clone(), self.task_tx.clone());
                tokio::spawn(async move {
                    let scan = healthy::scan(&*cluster, now).await;
                    let _ = task_tx.send(TaskResult::Scanned { scan, at: now });
                });
                Ok(())
            }
        }
    }

    /// Collects the evidence for a decision: in a background task with a wall clock, inline in a simulated world.
    async fn gather(&mut self, id: &IncidentId, now: Timestamp) -> Result<(), EngineError> {
        match &self.time {
            Time::Simulated { .. } => self.plan(id).await,
            Time::Wall(_) => {
                let incidents = &self.folds.incidents.incidents;
                let Some(incident) = incidents.get(id).cloned() else { return Ok(()) };
                self.gathering.insert(id.clone());
                let (cluster, metrics) = (self.cluster.clone(), self.metrics.clone());
                let (known_good, task_tx) = (self.folds.known_good.clone(), self.task_tx.clone());
                let mut empty = Evidence::empty(&incident, now);
                let collected = tokio::spawn(async move {
                    planning::evidence(&*cluster, &*metrics, &incident, &known_good, now).await
                });
                tokio::spawn(async move {
                    // If the task panics, the incident must not wait forever: it continues with empty evidence, which leads
                    // to an escalation.
                    let evidence = collected.await.unwrap_or_else(|failure| {
                        tracing::error!(incident = %empty.incident, %failure, "evidence could not be collected");
                        empty.missing.push(format!("collecting evidence failed: {failure}"));
                        empty
                    });
                    let _ = task_tx.send(TaskResult::Gathered(Box::new(evidence)));
                });
                Ok(())
            }
        }
    }

    /// Bounds a cluster call made inside the loop: with a wall clock, returns `None` after [`CLUSTER_TIMEOUT`].
    pub(crate) async fn with_timeout<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        match &self.time {
            Time::Simulated { .. } => Some(call.await),
            Time::Wall(_) => tokio::time::timeout(CLUSTER_TIMEOUT, call).await.ok(),
        }
    }

    async fn ingest_emissions(&mut self, emissions: Vec<Emission>) -> Result<(), EngineError> {
        let now = self.time.now();
        let mut deliveries = Vec::new();
        for emission in emissions {
            let Emission::Alerts(webhook) = emission;
            let body = serde_json::to_vec(&webhook).expect("a webhook body is serializable");
            match alertmanager::parse(&body, &self.limits, now) {
                Ok(delivery) => {
                    deliveries.push((Input::IngestAlerts(delivery), oneshot::channel().0))
                }
                Err(error) => {
                    tracing::error!(%error, "the alert delivery of the simulated world is invalid")
                }
            }
        }
        self.handle_messages(deliveries).await
    }

    /// Notifies each live run whose incident's alerts started or stopped firing.
    pub(crate) async fn notify_alert_status(&mut self) -> Result<(), EngineError> {
        let incidents = &self.folds.incidents;
        let changed = |case: &IncidentCase| {
            let run = case.run.as_ref().filter(|_| case.stage == IncidentStage::Running)?;
            let status = match incidents.resolve_merged(&case.incident) {
                Some(incident) if !incident.firing.is_empty() => AlertStatus::Firing,
                Some(_) | None => AlertStatus::Resolved,
            };
            let is_changed = self.fleet.alert_status(run).is_some_and(|last| last != status);
            is_changed.then(|| RunInput::AlertChanged { run: run.clone(), status })
        };
        let inputs: Vec<RunInput> = self.folds.cases.live().filter_map(changed).collect();
        for chunk in inputs.chunks(MAX_INPUTS) {
            self.step(chunk.to_vec()).await?;
        }
        Ok(())
    }

    /// Processes everything that is due, until nothing is.
    async fn run_due(&mut self) -> Result<(), EngineError> {
        loop {
            let now = self.time.now();
            self.notify_alert_status().await?;
            if self.run_deadline.is_some_and(|at| at <= now) {
                self.run_deadline = None;
                self.step(vec![RunInput::Due]).await?;
                continue;
            }
            if self.folds.incidents.next_deadline().is_some_and(|at| at <= now) {
                self.close_incidents(now).await?;
                continue;
            }
            if self.health_tracker.next_scan().is_none_or(|at| at <= now) {
                self.start_scan(now).await?;
                continue;
            }
            let due = self
                .folds
                .cases
                .live()
                .filter(|case| self.due(case).is_some_and(|at| at <= now))
                .min_by_key(|case| case.sequence);
            let Some(case) = due else { return Ok(()) };
            let id = case.incident.clone();
            match case.stage.clone() {
                IncidentStage::NeedsDecision(_) => self.gather(&id, now).await?,
                IncidentStage::Ready => self.submit(&id).await?,
                IncidentStage::Stabilizing(_) | IncidentStage::EvaluatingOutcome => {
                    self.observe(&id, ObservationWindow::Stabilization).await?
                }
                IncidentStage::RecurrenceWatch(_) => {
                    self.observe(&id, ObservationWindow::Recurrence).await?
                }
                IncidentStage::Escalated => self.observe_escalation(&id).await?,
                IncidentStage::AwaitingApproval
                | IncidentStage::Running
                | IncidentStage::Closed => return Ok(()),
            }
        }
    }

    /// Closes incidents that have been quiet for long enough and withdraws their unapproved plans.
    async fn close_incidents(&mut self, now: Timestamp) -> Result<(), EngineError> {
        let closed = incident::decide(&self.folds.incidents, &IncidentInput::Deadline, now);
        let mut entries = Vec::new();
        for event in closed {
            let case = event.incident().and_then(|id| self.folds.cases.cases.get(id));
            if let Some(plan) = case
                .filter(|case| case.stage == IncidentStage::AwaitingApproval)
                .and_then(|case| case.plan.as_ref())
            {
                entries.push(Entry::PlanWithdrawn {
                    plan: plan.id.clone(),
                    message: "the incident closed before it was approved".into(),
                });
            }
            entries.push(Entry::Incident(event));
        }
        self.record(now, entries).await
    }

    /// Submits a plan that is approved or needs no approval to the fleet.
    async fn submit(&mut self, id: &IncidentId) -> Result<(), EngineError> {
        let now = self.time.now();
        let Some((plan, guarded)) = self.folds.cases.cases.get(id).and_then(|case| {
            let guarded: Vec<ObjectRef> =
                case.health_before.iter().map(|(object, _)| object.clone()).collect();
            case.plan.clone().map(|plan| (plan, guarded))
        }) else {
            return Ok(());
        };
        let run = RunId::derive(now, plan.id.as_str(), 0);
        tracing::info!(incident = %id, plan = %plan.id, run = %run, "run submitted");
        let actor = if plan.needs_approval.is_some() { "approved" } else { "autonomy" };
        let plan_id = plan.id.clone();
        let mut inputs = vec![RunInput::Submit {
            run: run.clone(),
            plan: Box::new(plan),
            guarded,
            actor: actor.into(),
        }];
        // The approval may arrive after the alert resolved; the run must then reconsider its first step.
        if self.folds.incidents.resolve_merged(id).is_none_or(|incident| incident.firing.is_empty())
        {
            inputs.push(RunInput::AlertChanged { run, status: AlertStatus::Resolved });
        }
        self.step(inputs).await?;
        if self.folds.cases.cases.get(id).is_some_and(|case| case.stage == IncidentStage::Ready) {
            // The fleet rejected the plan; withdraw it so that it is not submitted again.
            let message = "the plan could not be run".to_string();
            self.record(now, vec![Entry::PlanWithdrawn { plan: plan_id, message }]).await?;
        }
        Ok(())
    }

    /// Passes inputs to the fleet and performs the resulting effects until none is pending at this time. Returns the
    /// rejections.
    pub(crate) async fn step(
        &mut self,
        inputs: Vec<RunInput>,
    ) -> Result<Vec<Rejected>, EngineError> {
        let mut inputs = inputs;
        let mut rejections = Vec::new();
        loop {
            let now = self.time.now();
            let mut retries = 0;
            let StepResult { pending, rejected } = loop {
                let batch = &inputs[..inputs.len().min(MAX_INPUTS)];
                match driver::step_reporting_rejections(
                    &mut self.fleet,
                    batch,
                    &self.rules,
                    now,
                    self.epoch,
                    &*self.store,
                )
                .await
                {
                    Ok(result) => break result,
                    // Another entry was recorded in between: the state was rebuilt, so the same inputs are decided again.
                    Err(AppendError::VersionConflict { .. }) if retries < 3 => retries += 1,
                    Err(error) => return Err(error.into()),
                }
            };
            let mut rest = inputs.split_off(inputs.len().min(MAX_INPUTS));
            self.run_deadline = pending.deadline;
            rejections.extend(rejected.into_iter().map(|(_, rejection)| rejection));
            self.catch_up().await?;
            rest.extend(self.perform(pending.effects).await);
            if rest.is_empty() {
                return Ok(rejections);
            }
            inputs = rest;
        }
    }

    /// Performs effects: in background tasks with a wall clock, inline and in order in a simulated world.
    async fn perform(&mut self, effects: Vec<Effect>) -> Vec<RunInput> {
        let mut results = Vec::new();
        for effect in effects {
            let (cluster, metrics) = (self.cluster.clone(), self.metrics.clone());
            match &self.time {
                Time::Simulated { .. } => {
                    results.push(executor::perform(effect, cluster, metrics).await)
                }
                Time::Wall(_) => {
                    let task_tx = self.task_tx.clone();
                    tokio::spawn(async move {
                        // The receiver is dropped only during shutdown; the effect is then resolved by reading after the restart.
                        let result = executor::perform(effect, cluster, metrics).await;
                        let _ = task_tx.send(TaskResult::Performed(result));
                    });
                }
            }
        }
        results
    }

    /// Appends entries and folds them.
    pub(crate) async fn record(
        &mut self,
        at: Timestamp,
        entries: Vec<Entry>,
    ) -> Result<(), EngineError> {
        if entries.is_empty() {
            return Ok(());
        }
        let drafts = entries.into_iter().map(|entry| Draft::new(at, entry)).collect();
        self.store.append(drafts, Vec::new(), &[], self.epoch).await?;
        self.catch_up().await
    }

    /// Folds every record that has not been folded yet.
    async fn catch_up(&mut self) -> Result<(), EngineError> {
        loop {
            let records = self.store.read(self.last_seq, 1_000).await?;
            let Some(last) = records.last() else { return Ok(()) };
            let is_last_page = records.len() < 1_000;
            self.last_seq = last.seq;
            for record in &records {
                self.folds.apply(record.at, &record.entry().map_err(StoreError::from)?);
            }
            if is_last_page {
                return Ok(());
            }
        }
    }

    /// Stores a snapshot of the learner after the last folded record, for comparison with a replay.
    pub(crate) async fn snapshot_learner(&self) -> Result<(), EngineError> {
        let bytes = self.folds.learner.snapshot();
        Ok(self.store.put_snapshot(learner_fold::SNAPSHOT, self.last_seq, &bytes).await?)
    }

    async fn record_clock_jump(&mut self) -> Result<(), EngineError> {
        let Some(jump) = self.time.clock_jump() else { return Ok(()) };
        tracing::warn!(seconds = jump.as_secs_f64(), "the wall clock jumped");
        let now = self.time.now();
        self.record(now, vec![Entry::ClockJumped { seconds: jump.as_secs_f64() }]).await
    }
}
