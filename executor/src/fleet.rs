//! All runs together: locks, rate limits, admission and emergency stops, which a single run cannot see.
//!
//! A second pure fold, fed by the same driver and rebuilt from the same record. It contains the guard that checks every
//! change before its intent is recorded.

mod dispatcher;
mod guard;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cluster::{ObjectKey, ObjectRef};
use jiff::Timestamp;
use serde::Serialize;
use workflow::guardrail::ChangeLog;
use workflow::id::RunId;
use workflow::run::{
    Event, FleetEvent, Pending, RunInput, RunStatus, StopLevel, StopScope, lock_stream,
};
use workflow::{AlertStatus, EmergencyStop, EmergencyStops, Entry, RunView};

use crate::machine::{Rejected, Rules, Run};
use dispatcher::Dispatcher;

/// Default maximum number of concurrent runs.
pub const MAX_CONCURRENT_RUNS: usize = 256;

/// Maximum number of ended runs whose views are kept in memory. The store keeps all.
const MAX_REMEMBERED_RUNS: usize = 256;

/// All runs that are running or queued.
#[derive(Debug)]
pub struct Fleet {
    state: FleetState,
    dispatcher: Dispatcher,
    limit: usize,
    /// Whether the state was rebuilt and the deadlines that passed meanwhile have not been processed yet.
    is_rebuilt: bool,
}

/// State folded from the record and from nothing else: equal records give equal states.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FleetState {
    runs: BTreeMap<RunId, Run>,
    ended: BTreeMap<RunId, RunView>,
    ended_order: VecDeque<RunId>,
    known: BTreeSet<RunId>,
    locks: BTreeMap<ObjectKey, Lock>,
    change_log: ChangeLog,
    stops: EmergencyStops,
    /// Versions of the streams that the guard reads: `stop`, `lock/…`, `budget/…`.
    versions: BTreeMap<String, u64>,
}

/// Exclusive right of a run to change an object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lock {
    pub object: ObjectRef,
    pub run: RunId,
}

impl Default for Fleet {
    fn default() -> Self {
        Self::new(MAX_CONCURRENT_RUNS)
    }
}

impl Fleet {
    /// Creates a fleet without runs that executes at most `limit` runs concurrently.
    pub fn new(limit: usize) -> Self {
        Self {
            state: FleetState::default(),
            dispatcher: Dispatcher::default(),
            limit: limit.max(1),
            is_rebuilt: false,
        }
    }

    /// Folds one entry of the record. Only run and fleet entries change the state.
    pub fn apply(&mut self, entry: &Entry) {
        self.state.apply(entry);
        if let Entry::Run { run, .. } = entry {
            self.dispatcher.touch(run);
        }
    }

    /// Decides one input, folds the resulting entries and returns them in order, to be recorded. If the store then refuses
    /// them, the state is invalid and must be rebuilt in a [`reset`](Self::reset) fleet.
    ///
    /// # Errors
    /// [`Rejected`] if the input does not apply; the state is unchanged.
    pub fn decide(
        &mut self,
        input: &RunInput,
        rules: &Rules,
        now: Timestamp,
        epoch: u64,
    ) -> Result<Vec<Entry>, Rejected> {
        let mut out = Vec::new();
        match input {
            RunInput::Submit { run, plan, guarded, actor } => {
                if self.state.known.contains(run) {
                    return Err(Rejected::AlreadySubmitted { run: run.clone() });
                }
                let started = Run::submit(plan, guarded, actor, rules, now)?;
                self.emit(run, started, &mut out);
                self.apply_stop(run, rules, now, &mut out)?;
            }
            RunInput::Control { run, .. }
            | RunInput::Observed { run, .. }
            | RunInput::ChangeAnswered { run, .. }
            | RunInput::ConditionEvaluated { run, .. }
            | RunInput::HealthMeasured { run, .. }
            | RunInput::AlertChanged { run, .. } => {
                self.forward(run, input, rules, now, &mut out)?
            }
            RunInput::Stop { scope, level, actor, reason } => {
                self.set_stop(scope, *level, actor, reason, rules, now, &mut out)?
            }
            RunInput::ClearStop { scope, actor, reason } => {
                self.clear_stop(scope, actor, reason, rules, now, &mut out)?
            }
            RunInput::Due => {
                for run in self.dispatcher.due(now) {
                    if self.state.runs.contains_key(&run) {
                        self.forward(&run, input, rules, now, &mut out)?;
                    }
                }
            }
        }
        self.reconcile(rules, now, epoch, &mut out);
        Ok(out)
    }

    /// Returns the effects to perform at `now`. Each effect is dispatched once. A read without a result is dispatched again
    /// after 20 s; a change never is.
    pub fn pending(&mut self, rules: &Rules, now: Timestamp) -> Pending {
        self.dispatcher.pending(&self.state.runs, rules, now)
    }

    /// Returns the fleet with the state before the first entry, to fold the record again after a refused append. The
    /// dispatcher keeps which effects were dispatched.
    pub fn reset(self) -> Self {
        Self {
            state: FleetState::default(),
            dispatcher: self.dispatcher,
            limit: self.limit,
            is_rebuilt: true,
        }
    }

    /// Returns whether the state was rebuilt since the last call; the deadlines that passed meanwhile must then be processed.
    pub(crate) fn take_rebuilt(&mut self) -> bool {
        std::mem::take(&mut self.is_rebuilt)
    }

    /// Returns inputs for the changes whose replies were lost with the process that sent them. They must be decided first
    /// after a restart: the result of such a change is unknown, and it is never sent again without reading the object.
    pub fn interrupted_effects(&mut self, message: &str) -> Vec<RunInput> {
        self.state
            .runs
            .values()
            .flat_map(|run| run.unanswered_sends(message))
            .inspect(|input| self.dispatcher.mark_interrupted(input))
            .collect()
    }

    /// State folded from the record.
    pub fn state(&self) -> &FleetState {
        &self.state
    }

    /// View of a live run, or of one of the runs that ended most recently.
    pub fn view(&self, run: &RunId) -> Option<&RunView> {
        self.state.runs.get(run).map(Run::view).or_else(|| self.state.ended.get(run))
    }

    /// Alert status that a live run knows.
    pub fn alert_status(&self, run: &RunId) -> Option<AlertStatus> {
        self.state.runs.get(run).map(Run::alert_status)
    }

    /// Runs that have not ended, oldest first.
    pub fn live(&self) -> impl Iterator<Item = &RunView> {
        self.state.runs.values().map(Run::view)
    }

    /// Active emergency stops.
    pub fn stops(&self) -> &[EmergencyStop] {
        self.state.stops.as_slice()
    }

    /// Changes of the last hour.
    pub fn change_log(&self) -> &ChangeLog {
        &self.state.change_log
    }

    /// Lock on the object, if a run holds one.
    pub fn lock(&self, object: &ObjectRef) -> Option<&Lock> {
        self.state.locks.get(&ObjectKey::from(object))
    }

    /// Version of `stream` in this state, for the streams that the guard reads.
    pub fn version(&self, stream: &str) -> u64 {
        self.state.versions.get(stream).copied().unwrap_or(0)
    }

    /// Streams that the guard reads to decide a change of this object: stop, budget and lock.
    pub fn guarded_streams(&self, target: &ObjectRef) -> Vec<String> {
        let lock = self.lock(target).map(|lock| lock_stream(&lock.object));
        ["stop".to_string(), format!("budget/{GLOBAL_BUDGET}")].into_iter().chain(lock).collect()
    }

    fn forward(
        &mut self,
        run: &RunId,
        input: &RunInput,
        rules: &Rules,
        now: Timestamp,
        out: &mut Vec<Entry>,
    ) -> Result<(), Rejected> {
        let Some(live) = self.state.runs.get(run) else {
            return Err(self.not_running(run));
        };
        let events = live.decide(input, rules, now);
        self.record_events(run, events, now, out)
    }

    /// Returns the rejection of an input for a run that is not live.
    fn not_running(&self, run: &RunId) -> Rejected {
        let run = run.clone();
        if self.state.known.contains(&run) {
            Rejected::Ended { run }
        } else {
            Rejected::UnknownRun { run }
        }
    }

    /// Emits the events that a run decided. A runaway run is ended.
    fn record_events(
        &mut self,
        run: &RunId,
        events: Result<Vec<Event>, Rejected>,
        now: Timestamp,
        out: &mut Vec<Entry>,
    ) -> Result<(), Rejected> {
        self.dispatcher.touch(run);
        match events {
            Ok(events) => events.into_iter().for_each(|event| self.emit(run, event, out)),
            Err(runaway @ Rejected::Runaway { .. }) => {
                let ended = Event::Ended {
                    status: RunStatus::Failed,
                    message: format!("runaway: {runaway}"),
                    requests_replan: false,
                    at: now,
                };
                self.emit(run, ended, out);
            }
            Err(rejected) => return Err(rejected),
        }
        Ok(())
    }

    fn emit(&mut self, run: &RunId, event: Event, out: &mut Vec<Entry>) {
        let entry = Entry::Run { run: run.clone(), event };
        self.apply(&entry);
        out.push(entry);
    }

    fn emit_fleet(&mut self, event: FleetEvent, out: &mut Vec<Entry>) {
        let entry = Entry::Fleet(event);
        self.apply(&entry);
        out.push(entry);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one input, and its output")]
    fn set_stop(
        &mut self,
        scope: &StopScope,
        level: StopLevel,
        actor: &str,
        reason: &str,
        rules: &Rules,
        now: Timestamp,
        out: &mut Vec<Entry>,
    ) -> Result<(), Rejected> {
        if let StopScope::Run { run } = scope
            && !self.state.runs.contains_key(run)
        {
            return Err(self.not_running(run));
        }
        // Repeating a stop has no effect; a stricter stop replaces a weaker one.
        if self.state.stops.level(scope) >= Some(level) {
            return Ok(());
        }
        self.emit_fleet(
            FleetEvent::Stopped {
                scope: scope.clone(),
                level,
                actor: actor.into(),
                reason: reason.into(),
                at: now,
            },
            out,
        );
        for run in self.in_scope(scope) {
            self.apply_stop(&run, rules, now, out)?;
        }
        Ok(())
    }

    fn clear_stop(
        &mut self,
        scope: &StopScope,
        actor: &str,
        reason: &str,
        rules: &Rules,
        now: Timestamp,
        out: &mut Vec<Entry>,
    ) -> Result<(), Rejected> {
        if reason.trim().is_empty() {
            return Err(Rejected::MissingReason);
        }
        if self.state.stops.level(scope).is_none() {
            return Err(Rejected::NotStopped { scope: scope.clone() });
        }
        self.emit_fleet(
            FleetEvent::StopCleared {
                scope: scope.clone(),
                actor: actor.into(),
                reason: reason.into(),
                at: now,
            },
            out,
        );
        for run in self.in_scope(scope) {
            let level = self.state.stops.strictest(&run).and_then(|stop| stop.level);
            let applied = self.state.runs.get(&run).and_then(|run| run.view().emergency_stop);
            if applied.is_some() && level < applied {
                let clear = RunInput::ClearStop {
                    scope: scope.clone(),
                    actor: actor.into(),
                    reason: reason.into(),
                };
                self.forward(&run, &clear, rules, now, out)?;
                self.apply_stop(&run, rules, now, out)?;
            }
        }
        Ok(())
    }

    fn in_scope(&self, scope: &StopScope) -> Vec<RunId> {
        match scope {
            StopScope::Global => self.state.runs.keys().cloned().collect(),
            StopScope::Run { run } => {
                self.state.runs.contains_key(run).then(|| run.clone()).into_iter().collect()
            }
        }
    }

    /// Applies the strictest active stop to a run, if one applies.
    fn apply_stop(
        &mut self,
        run: &RunId,
        rules: &Rules,
        now: Timestamp,
        out: &mut Vec<Entry>,
    ) -> Result<(), Rejected> {
        let Some(EmergencyStop { scope, level: Some(level), actor, reason, .. }) =
            self.state.stops.strictest(run).cloned()
        else {
            return Ok(());
        };
        self.forward(run, &RunInput::Stop { scope, level, actor, reason }, rules, now, out)
    }
}

/// Scope of the only rate limit: all changes within one hour.
const GLOBAL_BUDGET: &str = "global";

impl FleetState {
    fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Run { run, event } => self.apply_run(run, event),
            Entry::Fleet(event) => self.apply_fleet(event),
            Entry::EpochClaimed { .. }
            | Entry::GuardrailsLoaded(_)
            | Entry::ClockJumped { .. }
            | Entry::Incident(_)
            | Entry::EvidenceGathered(_)
            | Entry::Proposed { .. }
            | Entry::Decided(_)
            | Entry::PlanFrozen(_)
            | Entry::PlanReviewed(_)
            | Entry::PlanWithdrawn { .. }
            | Entry::Observed(_)
            | Entry::FeedbackGiven(_)
            | Entry::ObjectHealthy { .. }
            | Entry::Executed(_)
            | Entry::HistoryImported { .. }
            | Entry::Experiment(_)
            | Entry::RequestAnswered { .. } => {}
        }
    }

    fn apply_run(&mut self, id: &RunId, event: &Event) {
        if let Some(run) = Run::begin(id, event) {
            self.known.insert(id.clone());
            self.runs.insert(id.clone(), run);
            return;
        }
        let Some(run) = self.runs.get_mut(id) else { return };
        run.apply(event);
        if run.view().ended_at.is_some() {
            self.ended.insert(id.clone(), run.view().clone());
            self.runs.remove(id);
            self.ended_order.push_back(id.clone());
            if self.ended_order.len() > MAX_REMEMBERED_RUNS
                && let Some(oldest) = self.ended_order.pop_front()
            {
                self.ended.remove(&oldest);
            }
        }
    }

    fn apply_fleet(&mut self, event: &FleetEvent) {
        *self.versions.entry(event.stream()).or_default() += 1;
        match event {
            FleetEvent::Locked { object, run } => {
                self.locks.insert(object.into(), Lock { object: object.clone(), run: run.clone() });
            }
            FleetEvent::Unlocked { object, .. } => {
                self.locks.remove(&ObjectKey::from(object));
            }
            FleetEvent::RateLimitReserved { object, at, .. } => self.change_log.record(object, *at),
            FleetEvent::Stopped { .. } | FleetEvent::StopCleared { .. } => self.stops.apply(event),
        }
    }
}
