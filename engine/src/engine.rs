use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cluster::{Cluster, Health, Metrics, ObjectRef};
use executor::driver::{self, MAX_INPUTS, StepResult};
use executor::{Fleet, Rejected, Rules};
use jiff::Timestamp;
use learner::Policy;
use runtime::Runtime;
use store::{AppendError, Store, StoreError};
use tokio::sync::{mpsc, oneshot};
use workflow::id::{IncidentId, PlanId, RunId};
use workflow::incident::{self, IncidentInput};
use workflow::outcome::ObservationWindow;
use workflow::run::{Effect, RunInput};
use workflow::{
    AlertStatus, Catalogue, Draft, EngineResponse, Entry, Evidence, Input, Limits, PastExecution,
    Provenance, alertmanager,
};

use crate::case::{IncidentCase, IncidentStage};
use crate::command::replan::PlanRequest;
use crate::folds::Folds;
use crate::healthy::{self, HealthScan, HealthTracker};
use crate::planning::{CandidateDryRuns, PlanDraft, unless_panicked};
use crate::{ProposalSources, Settings};

/// An input and the channel for its response.
pub type InboxMessage = (Input, oneshot::Sender<EngineResponse>);

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
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) rules: Rules,
    /// The catalogue of `rules`, for tasks.
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) sources: ProposalSources,
    pub(crate) policy: Box<dyn Policy>,
    pub(crate) settings: Settings,
    pub(crate) seed: u64,
    pub(crate) folds: Folds,
    pub(crate) fleet: Fleet,
    pub(crate) limits: Limits,
    pub(crate) epoch: u64,
    pub(crate) last_seq: u64,
    pub(crate) health_tracker: HealthTracker,
    pub(crate) inbox: mpsc::Receiver<InboxMessage>,
    /// Emergency stops and run controls; read before everything else.
    pub(crate) controls: mpsc::Receiver<InboxMessage>,
    /// Bodies of Alertmanager webhooks from a source inside this process.
    pub(crate) webhooks: mpsc::UnboundedReceiver<Vec<u8>>,
    pub(crate) is_closed: bool,
    pub(crate) task_tx: mpsc::UnboundedSender<TaskResult>,
    pub(crate) task_rx: mpsc::UnboundedReceiver<TaskResult>,
    /// Incidents for which tasks are making a plan, and the client that requested it.
    pub(crate) planning: BTreeMap<IncidentId, Option<PlanRequest>>,
    /// Incidents for which a task is measuring the health after their plan.
    pub(crate) measuring: BTreeSet<IncidentId>,
    pub(crate) run_deadline: Option<Timestamp>,
}

/// Result of a task beside the loop. Whatever calls the cluster is such a task, so that a slow cluster delays no input.
pub(crate) enum TaskResult {
    /// An effect was performed.
    Performed(RunInput),
    /// A health scan finished.
    Scanned { scan: HealthScan, at: Timestamp },
    /// Evidence of an incident was collected; absent if it took too long.
    Collected { incident: IncidentId, evidence: Option<Box<Evidence>> },
    /// The candidates for an incident were dry-run.
    CandidatesDryRun(Box<CandidateDryRuns>),
    /// The optimized plan was dry-run; the result is absent if it took too long.
    PlanDryRun { draft: Box<PlanDraft>, result: Option<planner::DryRunResult> },
    /// Health was measured to determine an outcome.
    Measured {
        incident: IncidentId,
        plan: PlanId,
        window: ObservationWindow,
        health: Vec<(ObjectRef, Health)>,
    },
}

impl Engine {
    /// Folded state.
    pub fn folds(&self) -> &Folds {
        &self.folds
    }

    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    pub fn now(&self) -> Timestamp {
        self.runtime.now()
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
        let now = self.runtime.now();
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
            self.drain_queues().await?;
            self.run_due().await?;
            let now = self.runtime.now();
            let mut deadline = self.next_deadline();
            match &until {
                RunUntil::InboxClosed if self.is_closed => return self.snapshot_learner().await,
                RunUntil::At(at) if now >= *at => {
                    // A task that can end at this time still does.
                    self.runtime.sleep_until(Some(now)).await;
                    if self.task_rx.is_empty() {
                        return Ok(());
                    }
                    continue;
                }
                RunUntil::Condition(is_met) if is_met(&self.folds) => return Ok(()),
                RunUntil::At(at) => deadline = Some(deadline.map_or(*at, |other| other.min(*at))),
                RunUntil::InboxClosed | RunUntil::Condition(_) => {}
            }
            let runtime = self.runtime.clone();
            tokio::select! {
                biased;
                Some(message) = self.controls.recv() => self.handle_messages(vec![message]).await?,
                // Before the inbox: under simulated time, tasks and time move only while this is polled.
                () = runtime.sleep_until(deadline) => {}
                Some(result) = self.task_rx.recv() => self.handle_task_results(vec![result]).await?,
                message = self.inbox.recv(), if !self.is_closed => match message {
                    Some(message) => self.handle_messages(vec![message]).await?,
                    None => self.is_closed = true,
                },
                Some(body) = self.webhooks.recv() => self.ingest_webhooks(vec![body]).await?,
            }
            self.record_clock_jump().await?;
        }
    }

    /// Spawns a task beside the loop. If it panics, its result is `fallback`, so that nothing waits for it forever.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = TaskResult> + Send + 'static,
        fallback: Option<TaskResult>,
    ) {
        let task_tx = self.task_tx.clone();
        self.runtime.spawn(Box::pin(async move {
            let result = unless_panicked(task).await.or(fallback);
            // The receiver is dropped only during shutdown; what was interrupted is resolved after the restart.
            result.map(|result| task_tx.send(result));
        }));
    }

    /// Returns the next time at which something is due.
    fn next_deadline(&self) -> Option<Timestamp> {
        let cases = self.folds.cases.live().filter_map(|case| self.due(case));
        let others = [
            self.folds.incidents.next_deadline(),
            self.health_tracker.next_scan(),
            self.run_deadline,
        ];
        cases.chain(others.into_iter().flatten()).min().map(|at| at.max(self.runtime.now()))
    }

    /// Handles what has arrived in each queue, at most [`MAX_INPUTS`] of each.
    async fn drain_queues(&mut self) -> Result<(), EngineError> {
        self.handle_controls().await?;
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
        let mut bodies = Vec::new();
        while let Ok(body) = self.webhooks.try_recv() {
            bodies.push(body);
        }
        self.ingest_webhooks(bodies).await?;
        let mut results = Vec::new();
        while results.len() < MAX_INPUTS
            && let Ok(result) = self.task_rx.try_recv()
        {
            results.push(result);
        }
        self.handle_task_results(results).await
    }

    /// Handles the emergency stops and run controls that have arrived. Called between any two pieces of work, so that none of
    /// them waits for more than one.
    pub(crate) async fn handle_controls(&mut self) -> Result<(), EngineError> {
        while let Ok((input, reply_to)) = self.controls.try_recv() {
            self.handle(input, reply_to).await?;
        }
        Ok(())
    }

    /// Handles results of tasks. Those of effects come first, so that the record follows the order in which the cluster was
    /// changed: whatever is decided next may have read those changes.
    async fn handle_task_results(&mut self, results: Vec<TaskResult>) -> Result<(), EngineError> {
        let (performed, others) = performed_first(results);
        if !performed.is_empty() {
            self.handle_controls().await?;
            self.step(performed).await?;
        }
        for result in others {
            self.handle_controls().await?;
            match result {
                TaskResult::Performed(input) => drop(self.step(vec![input]).await?),
                TaskResult::Scanned { scan, at } => self.handle_scan(scan, at).await?,
                TaskResult::Collected { incident, evidence } => {
                    self.handle_evidence(incident, evidence.map(|evidence| *evidence)).await?
                }
                TaskResult::CandidatesDryRun(dry_runs) => {
                    self.handle_candidate_dry_runs(*dry_runs).await?
                }
                TaskResult::PlanDryRun { draft, result } => {
                    self.handle_plan_dry_run(*draft, result).await?
                }
                TaskResult::Measured { incident, plan, window, health } => {
                    self.handle_measurement(&incident, &plan, window, health).await?
                }
            }
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
        self.record(self.runtime.now(), entries).await
    }

    /// Starts a scan of the health of all workloads.
    fn start_scan(&mut self, now: Timestamp) {
        self.health_tracker.scan_started(now, &self.settings);
        let cluster = self.cluster.clone();
        let scan = async move {
            TaskResult::Scanned { scan: healthy::scan(&*cluster, now).await, at: now }
        };
        self.spawn(scan, None);
    }

    /// Ingests webhook bodies from the source inside this process.
    async fn ingest_webhooks(&mut self, bodies: Vec<Vec<u8>>) -> Result<(), EngineError> {
        let now = self.runtime.now();
        let mut deliveries = Vec::new();
        for body in bodies {
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
            let IncidentStage::Running { run, .. } = &case.stage else { return None };
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
            self.handle_controls().await?;
            let now = self.runtime.now();
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
                self.start_scan(now);
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
                IncidentStage::NeedsDecision { .. } => self.start_planning(&id, None),
                IncidentStage::Ready => self.submit(&id).await?,
                IncidentStage::Stabilizing { .. } | IncidentStage::EvaluatingOutcome => {
                    self.start_measurement(&id, ObservationWindow::Stabilization)
                }
                IncidentStage::RecurrenceWatch { .. } => {
                    self.start_measurement(&id, ObservationWindow::Recurrence)
                }
                IncidentStage::Escalated => self.start_escalation_measurement(&id),
                IncidentStage::AwaitingApproval { .. }
                | IncidentStage::Running { .. }
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
            if let Some(IncidentStage::AwaitingApproval { plan }) = case.map(|case| &case.stage) {
                entries.push(Entry::PlanWithdrawn {
                    plan: plan.clone(),
                    message: "the incident closed before it was approved".into(),
                });
            }
            entries.push(Entry::Incident(event));
        }
        self.record(now, entries).await
    }

    /// Submits a plan that is approved or needs no approval to the fleet.
    async fn submit(&mut self, id: &IncidentId) -> Result<(), EngineError> {
        let now = self.runtime.now();
        let Some((plan, guarded)) = self.folds.cases.cases.get(id).and_then(|case| {
            let guarded: Vec<ObjectRef> =
                case.evidence.health.iter().map(|(object, _)| object.clone()).collect();
            case.plan().cloned().map(|plan| (plan, guarded))
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

    /// Passes inputs to the fleet and spawns the resulting effects. Returns the rejections.
    pub(crate) async fn step(
        &mut self,
        inputs: Vec<RunInput>,
    ) -> Result<Vec<Rejected>, EngineError> {
        let mut rejections = Vec::new();
        let mut rest = inputs.as_slice();
        loop {
            let (batch, later) = rest.split_at(rest.len().min(MAX_INPUTS));
            let now = self.runtime.now();
            let mut retries = 0;
            let StepResult { pending, rejected } = loop {
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
            self.run_deadline = pending.deadline;
            rejections.extend(rejected.into_iter().map(|(_, rejection)| rejection));
            self.catch_up().await?;
            pending.effects.into_iter().for_each(|effect| self.perform(effect));
            if later.is_empty() {
                return Ok(rejections);
            }
            rest = later;
        }
    }

    /// Performs an effect in a task.
    fn perform(&self, effect: Effect) {
        let (cluster, metrics) = (self.cluster.clone(), self.metrics.clone());
        let perform =
            async move { TaskResult::Performed(executor::perform(effect, cluster, metrics).await) };
        self.spawn(perform, None);
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
    pub(crate) async fn catch_up(&mut self) -> Result<(), EngineError> {
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
        Ok(self.store.put_snapshot(crate::learner_fold::SNAPSHOT, self.last_seq, &bytes).await?)
    }

    async fn record_clock_jump(&mut self) -> Result<(), EngineError> {
        let Some(jump) = self.runtime.clock_jump() else { return Ok(()) };
        tracing::warn!(seconds = jump.as_secs_f64(), "the wall clock jumped");
        let now = self.runtime.now();
        self.record(now, vec![Entry::ClockJumped { seconds: jump.as_secs_f64() }]).await
    }
}

/// Separates the results of effects from the others; each part keeps its order.
fn performed_first(results: Vec<TaskResult>) -> (Vec<RunInput>, Vec<TaskResult>) {
    let (mut performed, mut others) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            TaskResult::Performed(input) => performed.push(input),
            other => others.push(other),
        }
    }
    (performed, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_effects_come_before_those_of_other_tasks() {
        let scanned = || TaskResult::Scanned { scan: Ok(Vec::new()), at: Timestamp::MIN };
        let cleared = RunInput::ClearStop {
            scope: workflow::run::StopScope::Global,
            actor: "ada".into(),
            reason: "over".into(),
        };
        let results = vec![
            scanned(),
            TaskResult::Performed(RunInput::Due),
            scanned(),
            TaskResult::Performed(cleared.clone()),
        ];
        let (performed, others) = performed_first(results);
        assert_eq!(performed, [RunInput::Due, cleared]);
        assert!(others.iter().all(|result| matches!(result, TaskResult::Scanned { .. })));
        assert_eq!(others.len(), 2);
    }
}
