use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Cluster, Metrics, ObjectRef};
use executor::driver::{self, MAX_INPUTS, Stepped};
use executor::{Fleet, Rejected, Rules};
use jiff::Timestamp;
use learner::Policy;
use simulator::Emission;
use store::{AppendRefused, Store, StoreError};
use tokio::sync::{mpsc, oneshot};
use workflow::id::{IncidentId, RunId};
use workflow::incident::{self, IncidentInput};
use workflow::outcome::Stage as OutcomeStage;
use workflow::run::{Effect, RunInput};
use workflow::{
    AlertStatus, Answer, Catalogue, Draft, Entry, Evidence, Guardrails, Input, Limits,
    PastExecution, Provenance, alertmanager,
};

use crate::case::{Case, Stage};
use crate::folds::Folds;
use crate::healthy::{self, Healthy, Look};
use crate::learned;
use crate::planning;
use crate::time::{Arrival, Time};
use crate::{Settings, Sources};

/// An input and where its answer goes.
pub type Message = (Input, oneshot::Sender<Answer>);

/// What an engine is made of.
pub struct Parts {
    /// The record.
    pub store: Arc<dyn Store>,
    /// The cluster.
    pub cluster: Arc<dyn Cluster>,
    /// Its metrics.
    pub metrics: Arc<dyn Metrics>,
    /// Time.
    pub time: Time,
    /// The actions.
    pub catalogue: Catalogue,
    /// What may be done.
    pub guardrails: Guardrails,
    /// Who proposes.
    pub sources: Sources,
    /// Who chooses.
    pub policy: Box<dyn Policy>,
    /// Waiting times.
    pub settings: Settings,
    /// Limits on what comes in.
    pub limits: Limits,
    /// Seed of the draws of decisions.
    pub seed: u64,
    /// Where inputs come in.
    pub inbox: mpsc::Receiver<Message>,
}

/// When a run of the loop ends.
pub enum Stop {
    /// When every sender of inputs is gone.
    WhenClosed,
    /// When this much time has come.
    At(Timestamp),
    /// When this says so, asked whenever nothing is due.
    When(Box<dyn Fn(&Folds) -> bool + Send>),
}

/// What ends the loop.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The record refused: another writer is active, or the disk failed.
    #[error("the record cannot be written")]
    Append(#[from] AppendRefused),
    /// The record cannot be read.
    #[error("the record cannot be read")]
    Read(#[from] StoreError),
    /// The features that the planner makes and the learner's configuration do not fit.
    #[error("the learner cannot be set up")]
    Learner(#[from] learner::BadConfig),
}

/// The loop and all that it holds.
pub struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) metrics: Arc<dyn Metrics>,
    pub(crate) time: Time,
    pub(crate) rules: Rules,
    pub(crate) sources: Sources,
    pub(crate) policy: Box<dyn Policy>,
    pub(crate) settings: Settings,
    pub(crate) seed: u64,
    pub(crate) folds: Folds,
    pub(crate) fleet: Fleet,
    limits: Limits,
    epoch: u64,
    seen: u64,
    healthy: Healthy,
    inbox: mpsc::Receiver<Message>,
    is_closed: bool,
    brought: (mpsc::UnboundedSender<Brought>, mpsc::UnboundedReceiver<Brought>),
    /// Incidents whose evidence is being gathered beside the loop.
    pub(crate) gathering: BTreeSet<IncidentId>,
    run_deadline: Option<Timestamp>,
}

/// What a task beside the loop brings back. Only under the wall clock are there any: a slow cluster must not hold up what
/// comes in.
enum Brought {
    /// An effect was performed.
    Performed(RunInput),
    /// Workloads were looked at.
    Looked { look: Look, at: Timestamp },
    /// Evidence of an incident was gathered.
    Gathered(Box<Evidence>),
}

/// Longest time for which the loop waits for answers of a real cluster within one thing that it does.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs that may go on side by side.
const CONCURRENT_RUNS: usize = 100;

impl Engine {
    /// Claims the record, folds all of it, and goes on where the last writer stopped.
    ///
    /// # Errors
    /// [`Failure`] where the record cannot be claimed, read or written.
    pub async fn open(parts: Parts) -> Result<Self, Failure> {
        let now = parts.time.now();
        let epoch = parts.store.claim(now, env!("CARGO_PKG_VERSION")).await?;
        let learner = learned::begin(&parts.catalogue)?;
        let (fleet, lost) = driver::recover(CONCURRENT_RUNS, &*parts.store).await?;
        let mut engine = Self {
            store: parts.store,
            cluster: parts.cluster,
            metrics: parts.metrics,
            time: parts.time,
            rules: Rules { guardrails: parts.guardrails, catalogue: parts.catalogue },
            sources: parts.sources,
            policy: parts.policy,
            folds: Folds::new(learner, parts.settings.clone()),
            settings: parts.settings,
            seed: parts.seed,
            fleet,
            limits: parts.limits,
            epoch,
            seen: 0,
            healthy: Healthy::default(),
            inbox: parts.inbox,
            is_closed: false,
            brought: mpsc::unbounded_channel(),
            gathering: BTreeSet::new(),
            run_deadline: None,
        };
        engine.catch_up().await?;
        if engine.folds.guardrails_version != engine.rules.guardrails.version() {
            let guardrails = engine.rules.guardrails.clone();
            engine.record(now, vec![Entry::GuardrailsLoaded(guardrails)]).await?;
        }
        // Even with nothing lost: this hands out every effect that was open when the last process ended.
        engine.step(lost).await?;
        Ok(engine)
    }

    /// What is remembered.
    pub fn folds(&self) -> &Folds {
        &self.folds
    }

    /// The runs.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// Changes how fast the simulated world goes; nothing under the wall clock.
    pub fn set_pace(&mut self, pace: crate::Pace) {
        if let Time::Simulated { pace: old, .. } = &mut self.time {
            *old = pace;
        }
    }

    /// Brings history in: each execution as a record that says where it came from.
    ///
    /// # Errors
    /// [`Failure`] where it cannot be recorded.
    pub async fn import(&mut self, from: &str, history: Vec<PastExecution>) -> Result<(), Failure> {
        let now = self.time.now();
        let entries = history.into_iter().map(|execution| Entry::HistoryImported {
            from: from.into(),
            // Wherever it was live, it was not here.
            execution: PastExecution { origin: Provenance::Import(from.into()), ..execution },
        });
        self.record(now, entries.collect()).await
    }

    /// Runs the loop until `stop`.
    ///
    /// # Errors
    /// [`Failure`], which ends it: the record is whole, and a new engine goes on from it.
    pub async fn run(&mut self, stop: Stop) -> Result<(), Failure> {
        loop {
            self.take_waiting().await?;
            self.pump().await?;
            match &stop {
                Stop::WhenClosed if self.is_closed => return self.keep_learner().await,
                Stop::At(at) if self.time.now() >= *at => return Ok(()),
                Stop::When(is_over) if is_over(&self.folds) => return Ok(()),
                Stop::WhenClosed | Stop::At(_) | Stop::When(_) => {}
            }
            let mut deadline = self.next_deadline();
            if let Stop::At(at) = stop {
                deadline = Some(deadline.map_or(at, |deadline| deadline.min(at)));
            }
            match self.time.advance(deadline) {
                Arrival::Emitted(emissions) => self.take_emissions(emissions).await?,
                Arrival::Sleep(duration) => {
                    let sleep = async {
                        match duration {
                            Some(duration) => tokio::time::sleep(duration).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = sleep => {}
                        message = self.inbox.recv(), if !self.is_closed => match message {
                            Some(message) => self.take(vec![message]).await?,
                            None => self.is_closed = true,
                        },
                        Some(brought) = self.brought.1.recv() => self.take_brought(vec![brought]).await?,
                    }
                }
            }
            self.notice_jump().await?;
        }
    }

    /// The next moment at which something is due.
    fn next_deadline(&self) -> Option<Timestamp> {
        let cases = self.folds.cases.live().filter_map(|case| self.due(case));
        let others = [self.folds.incidents.next_deadline(), self.healthy.next(), self.run_deadline];
        cases.chain(others.into_iter().flatten()).min().map(|at| at.max(self.time.now()))
    }

    /// Takes what has come in already, at most one append's worth at a time.
    async fn take_waiting(&mut self) -> Result<(), Failure> {
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
        self.take(messages).await?;
        let mut brought = Vec::new();
        while brought.len() < MAX_INPUTS
            && let Ok(one) = self.brought.1.try_recv()
        {
            brought.push(one);
        }
        self.take_brought(brought).await
    }

    async fn take_brought(&mut self, brought: Vec<Brought>) -> Result<(), Failure> {
        let mut inputs = Vec::new();
        for one in brought {
            match one {
                Brought::Performed(input) => inputs.push(input),
                Brought::Looked { look, at } => self.take_look(look, at).await?,
                Brought::Gathered(evidence) => {
                    let id = evidence.incident.clone();
                    self.gathering.remove(&id);
                    let case = self.folds.cases.cases.get(&id);
                    // The incident may have closed, or become part of another, meanwhile.
                    if case.is_some_and(|case| matches!(case.stage, Stage::Wanted(_))) {
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

    /// What was healthy and unchanged for long enough is recorded, if it is news.
    async fn take_look(&mut self, look: Look, at: Timestamp) -> Result<(), Failure> {
        let found = self.healthy.judge(look, at, &self.settings);
        let known_good = &self.folds.known_good;
        let news: Vec<Entry> = found
            .into_iter()
            .filter(|(object, related)| !known_good.holds(object, related))
            .map(|(object, related)| Entry::ObjectHealthy { object, related })
            .collect();
        self.record(self.time.now(), news).await
    }

    /// Looks at workloads: beside the loop under the wall clock, at once in a simulated world.
    async fn look(&mut self, now: Timestamp) -> Result<(), Failure> {
        self.healthy.begin(now, &self.settings);
        match &self.time {
            Time::Simulated { .. } => {
                let look = healthy::look(&*self.cluster, now).await;
                self.take_look(look, now).await
            }
            Time::Wall(_) => {
                let (cluster, back) = (self.cluster.clone(), self.brought.0.clone());
                tokio::spawn(async move {
                    let look = healthy::look(&*cluster, now).await;
                    let _ = back.send(Brought::Looked { look, at: now });
                });
                Ok(())
            }
        }
    }

    /// Gathers the evidence that a decision wants: beside the loop under the wall clock, at once in a simulated world.
    async fn gather(&mut self, id: &IncidentId, now: Timestamp) -> Result<(), Failure> {
        match &self.time {
            Time::Simulated { .. } => self.plan(id).await,
            Time::Wall(_) => {
                let incidents = &self.folds.incidents.incidents;
                let Some(incident) = incidents.get(id).cloned() else { return Ok(()) };
                self.gathering.insert(id.clone());
                let (cluster, metrics) = (self.cluster.clone(), self.metrics.clone());
                let (known_good, back) = (self.folds.known_good.clone(), self.brought.0.clone());
                let mut unseen = Evidence::unseen(&incident, now);
                let gathered = tokio::spawn(async move {
                    planning::evidence(&*cluster, &*metrics, &incident, &known_good, now).await
                });
                tokio::spawn(async move {
                    // A defect of ours must not leave the incident waiting for ever: nothing was seen, and a person is asked.
                    let evidence = gathered.await.unwrap_or_else(|failure| {
                        tracing::error!(incident = %unseen.incident, %failure, "evidence could not be gathered");
                        unseen.gaps.push(format!("gathering it failed: {failure}"));
                        unseen
                    });
                    let _ = back.send(Brought::Gathered(Box::new(evidence)));
                });
                Ok(())
            }
        }
    }

    /// Waits for answers of the cluster within one thing that the loop does: under the wall clock no longer than
    /// [`PATIENCE`], after which there is nothing.
    pub(crate) async fn patiently<T>(&self, answers: impl Future<Output = T>) -> Option<T> {
        match &self.time {
            Time::Simulated { .. } => Some(answers.await),
            Time::Wall(_) => tokio::time::timeout(PATIENCE, answers).await.ok(),
        }
    }

    async fn take_emissions(&mut self, emissions: Vec<Emission>) -> Result<(), Failure> {
        let now = self.time.now();
        let mut deliveries = Vec::new();
        for emission in emissions {
            let Emission::Alerts(webhook) = emission;
            let body = serde_json::to_vec(&webhook).expect("a webhook is plain data");
            match alertmanager::parse(&body, &self.limits, now) {
                Ok(delivery) => deliveries.push((Input::Deliver(delivery), oneshot::channel().0)),
                Err(unreadable) => {
                    tracing::error!(%unreadable, "the world's own delivery cannot be read")
                }
            }
        }
        self.take(deliveries).await
    }

    /// Tells each run under way whether an alert of its incident fires, where that is news to it.
    pub(crate) async fn tell_runs(&mut self) -> Result<(), Failure> {
        let incidents = &self.folds.incidents;
        let told = |case: &Case| {
            let run = case.run.as_ref().filter(|_| case.stage == Stage::Running)?;
            let status = match incidents.standing(&case.incident) {
                Some(incident) if !incident.firing.is_empty() => AlertStatus::Firing,
                Some(_) | None => AlertStatus::Resolved,
            };
            let is_news = self.fleet.alert(run).is_some_and(|last| last != status);
            is_news.then(|| RunInput::Alert { run: run.clone(), status })
        };
        let news: Vec<RunInput> = self.folds.cases.live().filter_map(told).collect();
        for some in news.chunks(MAX_INPUTS) {
            self.step(some.to_vec()).await?;
        }
        Ok(())
    }

    /// Does everything that is due now, until nothing is.
    async fn pump(&mut self) -> Result<(), Failure> {
        loop {
            let now = self.time.now();
            self.tell_runs().await?;
            if self.run_deadline.is_some_and(|at| at <= now) {
                self.run_deadline = None;
                self.step(vec![RunInput::Due]).await?;
                continue;
            }
            if self.folds.incidents.next_deadline().is_some_and(|at| at <= now) {
                self.close_incidents(now).await?;
                continue;
            }
            if self.healthy.next().is_none_or(|at| at <= now) {
                self.look(now).await?;
                continue;
            }
            let due = self
                .folds
                .cases
                .live()
                .filter(|case| self.due(case).is_some_and(|at| at <= now))
                .min_by_key(|case| case.place);
            let Some(case) = due else { return Ok(()) };
            let id = case.incident.clone();
            match case.stage.clone() {
                Stage::Wanted(_) => self.gather(&id, now).await?,
                Stage::Ready => self.submit(&id).await?,
                Stage::Holding(_) | Stage::Judging => self.observe(&id, OutcomeStage::Hold).await?,
                Stage::Watching(_) => self.observe(&id, OutcomeStage::Recurrence).await?,
                Stage::WithPerson => self.observe_asked(&id).await?,
                Stage::AwaitingApproval | Stage::Running | Stage::Settled => return Ok(()),
            }
        }
    }

    /// Closes incidents whose gap has passed, and withdraws plans that nobody approved meanwhile.
    async fn close_incidents(&mut self, now: Timestamp) -> Result<(), Failure> {
        let closed = incident::decide(&self.folds.incidents, &IncidentInput::Deadline, now);
        let mut entries = Vec::new();
        for event in closed {
            let case = event.incident().and_then(|id| self.folds.cases.cases.get(id));
            if let Some(plan) = case
                .filter(|case| case.stage == Stage::AwaitingApproval)
                .and_then(|case| case.plan.as_ref())
            {
                entries.push(Entry::PlanWithdrawn {
                    plan: plan.id.clone(),
                    why: "the incident closed before it was approved".into(),
                });
            }
            entries.push(Entry::Incident(event));
        }
        self.record(now, entries).await
    }

    /// Hands an approved plan, or one that needs no approval, to the fleet.
    async fn submit(&mut self, id: &IncidentId) -> Result<(), Failure> {
        let now = self.time.now();
        let Some((plan, guarded)) = self.folds.cases.cases.get(id).and_then(|case| {
            let guarded: Vec<ObjectRef> =
                case.health_before.iter().map(|(object, _)| object.clone()).collect();
            case.plan.clone().map(|plan| (plan, guarded))
        }) else {
            return Ok(());
        };
        let run = RunId::derive(now, plan.id.as_str(), 0);
        tracing::info!(incident = %id, plan = %plan.id, run = %run, "submitted");
        let by = if plan.needs_approval.is_some() { "approved" } else { "autonomy" };
        let plan_id = plan.id.clone();
        let mut inputs = vec![RunInput::Submit {
            run: run.clone(),
            plan: Box::new(plan),
            guarded,
            by: by.into(),
        }];
        // An approval may come after the alert has ended: then the first step is looked at in that light already.
        if self.folds.incidents.standing(id).is_none_or(|incident| incident.firing.is_empty()) {
            inputs.push(RunInput::Alert { run, status: AlertStatus::Resolved });
        }
        self.step(inputs).await?;
        if self.folds.cases.cases.get(id).is_some_and(|case| case.stage == Stage::Ready) {
            // The fleet would not have it: it must not be asked again for ever.
            let why = "the plan could not be run as it was frozen".to_string();
            self.record(now, vec![Entry::PlanWithdrawn { plan: plan_id, why }]).await?;
        }
        Ok(())
    }

    /// Gives inputs to the fleet, and performs what it then wants until it wants nothing more at this moment.
    ///
    /// Gives the inputs that meant nothing, and why.
    pub(crate) async fn step(&mut self, inputs: Vec<RunInput>) -> Result<Vec<Rejected>, Failure> {
        let mut inputs = inputs;
        let mut refused = Vec::new();
        loop {
            let now = self.time.now();
            let mut tries = 0;
            let Stepped { pending, rejected } = loop {
                let batch = &inputs[..inputs.len().min(MAX_INPUTS)];
                match driver::step_told(
                    &mut self.fleet,
                    batch,
                    &self.rules,
                    now,
                    self.epoch,
                    &*self.store,
                )
                .await
                {
                    Ok(stepped) => break stepped,
                    // Something else was recorded in between: the fold was made anew, so the same inputs are decided again.
                    Err(AppendRefused::Moved { .. }) if tries < 3 => tries += 1,
                    Err(refused) => return Err(refused.into()),
                }
            };
            let mut rest = inputs.split_off(inputs.len().min(MAX_INPUTS));
            self.run_deadline = pending.deadline;
            refused.extend(rejected.into_iter().map(|(_, why)| why));
            self.catch_up().await?;
            rest.extend(self.perform(pending.effects).await);
            if rest.is_empty() {
                return Ok(refused);
            }
            inputs = rest;
        }
    }

    /// Performs effects: as tasks under the wall clock, in order on this thread in a simulated world.
    async fn perform(&mut self, effects: Vec<Effect>) -> Vec<RunInput> {
        let mut performed = Vec::new();
        for effect in effects {
            let (cluster, metrics) = (self.cluster.clone(), self.metrics.clone());
            match &self.time {
                Time::Simulated { .. } => {
                    performed.push(executor::perform(effect, cluster, metrics).await)
                }
                Time::Wall(_) => {
                    let back = self.brought.0.clone();
                    tokio::spawn(async move {
                        // Nobody listens only while the process ends; the effect is then resolved by reading.
                        let performed = executor::perform(effect, cluster, metrics).await;
                        let _ = back.send(Brought::Performed(performed));
                    });
                }
            }
        }
        performed
    }

    /// Appends entries and folds them.
    pub(crate) async fn record(
        &mut self,
        at: Timestamp,
        entries: Vec<Entry>,
    ) -> Result<(), Failure> {
        if entries.is_empty() {
            return Ok(());
        }
        let drafts = entries.into_iter().map(|entry| Draft::new(at, entry)).collect();
        self.store.append(drafts, Vec::new(), &[], self.epoch).await?;
        self.catch_up().await
    }

    /// Folds every record that was not folded yet, each as it stands in the record.
    async fn catch_up(&mut self) -> Result<(), Failure> {
        loop {
            let records = self.store.read(self.seen, 1_000).await?;
            let Some(last) = records.last() else { return Ok(()) };
            let is_last_page = records.len() < 1_000;
            self.seen = last.seq;
            for record in &records {
                self.folds.apply(record.at, &record.entry().map_err(StoreError::from)?);
            }
            if is_last_page {
                return Ok(());
            }
        }
    }

    /// Keeps the learner as it is after the last folded record, for a replay to be compared with.
    pub(crate) async fn keep_learner(&self) -> Result<(), Failure> {
        let bytes = self.folds.learner.snapshot();
        Ok(self.store.put_snapshot(learned::SNAPSHOT, self.seen, &bytes).await?)
    }

    async fn notice_jump(&mut self) -> Result<(), Failure> {
        let Some(jump) = self.time.jumped() else { return Ok(()) };
        tracing::warn!(seconds = jump.as_secs_f64(), "the wall clock jumped");
        let now = self.time.now();
        self.record(now, vec![Entry::ClockJumped { seconds: jump.as_secs_f64() }]).await
    }
}
