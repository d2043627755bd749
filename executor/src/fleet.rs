//! All runs together: locks, budgets, turns and stops, which one run cannot see.
//!
//! A second pure fold, fed by the same driver and rebuilt from the same record. It holds the guard that every change
//! passes before its intent is written.

mod desk;
mod guard;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cluster::ObjectRef;
use jiff::Timestamp;
use serde::Serialize;
use workflow::guardrail::Ledger;
use workflow::id::RunId;
use workflow::run::{Event, FleetEvent, Pending, RunInput, RunStatus, StopLevel, StopScope};
use workflow::{AlertStatus, Entry, RunView};

use crate::machine::{Rejected, Rules, Run};
use desk::Desk;

/// Runs that are under way at once, unless another bound is given.
pub const CONCURRENT_RUNS: usize = 256;

/// Views of ended runs that are kept at hand; the store keeps all.
const KEPT_ENDINGS: usize = 256;

/// All runs that are under way or wait for their turn.
#[derive(Debug)]
pub struct Fleet {
    fold: Fold,
    desk: Desk,
    limit: usize,
    /// Whether the fold was made anew, and what became due meanwhile was not looked at yet.
    is_fresh: bool,
}

/// What is folded from the record, and nothing else: equal records give equal folds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fold {
    runs: BTreeMap<RunId, Run>,
    ended: BTreeMap<RunId, RunView>,
    endings: VecDeque<RunId>,
    known: BTreeSet<RunId>,
    /// By place (`Ledger::key`), whatever incarnation stands there.
    locks: BTreeMap<String, Lock>,
    ledger: Ledger,
    stops: Vec<Stop>,
    /// Of the streams that the guard reads: `stop`, `lock/…`, `budget/…`.
    versions: BTreeMap<String, u64>,
}

/// A run's hold on an object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lock {
    /// The object.
    pub object: ObjectRef,
    /// The run that may change it.
    pub run: RunId,
}

/// An emergency stop in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// Where.
    pub scope: StopScope,
    /// How hard.
    pub level: StopLevel,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

impl Default for Fleet {
    fn default() -> Self {
        Self::new(CONCURRENT_RUNS)
    }
}

impl Fleet {
    /// A fleet without runs, of which at most `limit` will be under way at once.
    pub fn new(limit: usize) -> Self {
        Self { fold: Fold::default(), desk: Desk::default(), limit: limit.max(1), is_fresh: false }
    }

    /// Folds one entry of the record. Entries that are no run's and no fleet's change nothing.
    pub fn apply(&mut self, entry: &Entry) {
        self.fold.apply(entry);
        if let Entry::Run { run, .. } = entry {
            self.desk.touch(run);
        }
    }

    /// Decides what one input means and folds it: the entries to record, in order. Where the record then refuses them,
    /// the fold is worth nothing any more and must be made anew in an [`emptied`](Self::emptied) fleet.
    ///
    /// # Errors
    /// [`Rejected`] where the input means nothing here; the fold is as it was.
    pub fn decide(
        &mut self,
        input: &RunInput,
        rules: &Rules,
        now: Timestamp,
        epoch: u64,
    ) -> Result<Vec<Entry>, Rejected> {
        let mut out = Vec::new();
        match input {
            RunInput::Submit { run, plan, guarded, by } => {
                if self.fold.known.contains(run) {
                    return Err(Rejected::AlreadySubmitted { run: run.clone() });
                }
                let started = Run::submit(plan, guarded, by, rules, now)?;
                self.emit(run, started, &mut out);
                self.hold_as_stopped(run, rules, now, &mut out)?;
            }
            RunInput::Control { run, .. }
            | RunInput::Observed { run, .. }
            | RunInput::Answered { run, .. }
            | RunInput::Judged { run, .. }
            | RunInput::Measured { run, .. }
            | RunInput::Alert { run, .. } => self.pass_on(run, input, rules, now, &mut out)?,
            RunInput::Stop { scope, level, by, reason } => {
                self.stop(scope, *level, by, reason, rules, now, &mut out)?
            }
            RunInput::Resume { scope, by, reason } => {
                self.lift(scope, by, reason, rules, now, &mut out)?
            }
            RunInput::Due => {
                for run in self.desk.due(now) {
                    if self.fold.runs.contains_key(&run) {
                        self.pass_on(&run, input, rules, now, &mut out)?;
                    }
                }
            }
        }
        self.settle(rules, now, epoch, &mut out);
        Ok(out)
    }

    /// What drivers should be doing at `now`. Each effect is handed out once; a read whose answer stays out for 20 s
    /// is handed out again, a change never.
    pub fn pending(&mut self, rules: &Rules, now: Timestamp) -> Pending {
        self.desk.pending(&self.fold.runs, rules, now)
    }

    /// The fleet before the first entry, into which the record is folded anew where an append was refused. What was
    /// handed out stays so.
    pub fn emptied(self) -> Self {
        Self { fold: Fold::default(), desk: self.desk, limit: self.limit, is_fresh: true }
    }

    /// Whether the fold was made anew since this was last asked: then what became due meanwhile is to be looked at.
    pub(crate) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.is_fresh)
    }

    /// The changes whose answers were lost with the process that sent them, as inputs to be given first after a
    /// restart: what may have happened is not known, and is never sent again blindly.
    pub fn lost(&mut self, why: &str) -> Vec<RunInput> {
        self.fold
            .runs
            .values()
            .flat_map(|run| run.unanswered(why))
            .inspect(|input| self.desk.note_lost(input))
            .collect()
    }

    /// What is folded from the record.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// A run under way, or one that ended of late.
    pub fn view(&self, run: &RunId) -> Option<&RunView> {
        self.fold.runs.get(run).map(Run::view).or_else(|| self.fold.ended.get(run))
    }

    /// What a run under way was last told of its incident's alerts.
    pub fn alert(&self, run: &RunId) -> Option<AlertStatus> {
        self.fold.runs.get(run).map(Run::alert)
    }

    /// Runs that have not ended, oldest first.
    pub fn live(&self) -> impl Iterator<Item = &RunView> {
        self.fold.runs.values().map(Run::view)
    }

    /// Stops in force.
    pub fn stops(&self) -> &[Stop] {
        &self.fold.stops
    }

    /// Changes within the last hour.
    pub fn ledger(&self) -> &Ledger {
        &self.fold.ledger
    }

    /// Who may change the object, if anyone holds it.
    pub fn lock(&self, object: &ObjectRef) -> Option<&Lock> {
        self.fold.locks.get(&Ledger::key(object))
    }

    /// The version that `stream` has by this fold, for the streams that the guard reads.
    pub fn version(&self, stream: &str) -> u64 {
        self.fold.versions.get(stream).copied().unwrap_or(0)
    }

    /// The streams that an intent of this run on this object was decided by: stop, budget, lock.
    pub fn read_for(&self, target: &ObjectRef) -> Vec<String> {
        let lock = self.lock(target).map(|lock| lock_stream(&lock.object));
        ["stop".to_string(), format!("budget/{GLOBAL}")].into_iter().chain(lock).collect()
    }

    fn pass_on(
        &mut self,
        run: &RunId,
        input: &RunInput,
        rules: &Rules,
        now: Timestamp,
        out: &mut Vec<Entry>,
    ) -> Result<(), Rejected> {
        let Some(live) = self.fold.runs.get(run) else {
            return Err(self.gone(run));
        };
        let events = live.decide(input, rules, now);
        self.take(run, events, now, out)
    }

    /// Why a run is not under way.
    fn gone(&self, run: &RunId) -> Rejected {
        let run = run.clone();
        if self.fold.known.contains(&run) {
            Rejected::Ended { run }
        } else {
            Rejected::UnknownRun { run }
        }
    }

    /// Records what a run decided; one that goes round in circles is ended.
    fn take(
        &mut self,
        run: &RunId,
        events: Result<Vec<Event>, Rejected>,
        now: Timestamp,
        out: &mut Vec<Entry>,
    ) -> Result<(), Rejected> {
        self.desk.touch(run);
        match events {
            Ok(events) => events.into_iter().for_each(|event| self.emit(run, event, out)),
            Err(runaway @ Rejected::Runaway { .. }) => {
                let ended = Event::Ended {
                    status: RunStatus::Failed,
                    why: format!("runaway: {runaway}"),
                    wants_next_plan: false,
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

    #[expect(clippy::too_many_arguments, reason = "the fields of one input, and where it goes")]
    fn stop(
        &mut self,
        scope: &StopScope,
        level: StopLevel,
        by: &str,
        reason: &str,
        rules: &Rules,
        now: Timestamp,
        out: &mut Vec<Entry>,
    ) -> Result<(), Rejected> {
        if let StopScope::Run { run } = scope
            && !self.fold.runs.contains_key(run)
        {
            return Err(self.gone(run));
        }
        // Said twice is said once, by whomever; a harder one replaces a softer one.
        if self.fold.stops.iter().any(|stop| stop.scope == *scope && stop.level >= level) {
            return Ok(());
        }
        self.emit_fleet(
            FleetEvent::Stopped {
                scope: scope.clone(),
                level,
                by: by.into(),
                reason: reason.into(),
                at: now,
            },
            out,
        );
        for run in self.in_scope(scope) {
            self.hold_as_stopped(&run, rules, now, out)?;
        }
        Ok(())
    }

    fn lift(
        &mut self,
        scope: &StopScope,
        by: &str,
        reason: &str,
        rules: &Rules,
        now: Timestamp,
        out: &mut Vec<Entry>,
    ) -> Result<(), Rejected> {
        if reason.trim().is_empty() {
            return Err(Rejected::NoReason);
        }
        if !self.fold.stops.iter().any(|stop| stop.scope == *scope) {
            return Err(Rejected::NotStopped { scope: scope.clone() });
        }
        self.emit_fleet(
            FleetEvent::Lifted {
                scope: scope.clone(),
                by: by.into(),
                reason: reason.into(),
                at: now,
            },
            out,
        );
        for run in self.in_scope(scope) {
            let level = self.fold.stopped(&run).map(|stop| stop.level);
            let held = self.fold.runs.get(&run).and_then(|run| run.view().held);
            if held.is_some() && level < held {
                let lifted =
                    RunInput::Resume { scope: scope.clone(), by: by.into(), reason: reason.into() };
                self.pass_on(&run, &lifted, rules, now, out)?;
                self.hold_as_stopped(&run, rules, now, out)?;
            }
        }
        Ok(())
    }

    fn in_scope(&self, scope: &StopScope) -> Vec<RunId> {
        match scope {
            StopScope::Global => self.fold.runs.keys().cloned().collect(),
            StopScope::Run { run } => {
                self.fold.runs.contains_key(run).then(|| run.clone()).into_iter().collect()
            }
        }
    }

    /// Tells a run of the hardest stop that it is under, if it is under one.
    fn hold_as_stopped(
        &mut self,
        run: &RunId,
        rules: &Rules,
        now: Timestamp,
        out: &mut Vec<Entry>,
    ) -> Result<(), Rejected> {
        let Some(Stop { scope, level, by, reason, .. }) = self.fold.stopped(run).cloned() else {
            return Ok(());
        };
        self.pass_on(run, &RunInput::Stop { scope, level, by, reason }, rules, now, out)
    }
}

/// The one budget that is kept: all changes within an hour.
const GLOBAL: &str = "global";

impl Fold {
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
            | Entry::Answered { .. } => {}
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
            self.endings.push_back(id.clone());
            if self.endings.len() > KEPT_ENDINGS
                && let Some(oldest) = self.endings.pop_front()
            {
                self.ended.remove(&oldest);
            }
        }
    }

    fn apply_fleet(&mut self, event: &FleetEvent) {
        *self.versions.entry(event.stream()).or_default() += 1;
        match event {
            FleetEvent::Locked { object, run } => {
                self.locks
                    .insert(Ledger::key(object), Lock { object: object.clone(), run: run.clone() });
            }
            FleetEvent::Unlocked { object, .. } => {
                self.locks.remove(&Ledger::key(object));
            }
            FleetEvent::Budgeted { object, at, .. } => self.ledger.note(object, *at),
            FleetEvent::Stopped { scope, level, by, reason, at } => {
                self.stops.retain(|stop| stop.scope != *scope);
                let stop = Stop {
                    scope: scope.clone(),
                    level: *level,
                    by: by.clone(),
                    reason: reason.clone(),
                    since: *at,
                };
                self.stops.push(stop);
            }
            FleetEvent::Lifted { scope, .. } => self.stops.retain(|stop| stop.scope != *scope),
        }
    }

    /// The hardest stop that holds a run.
    fn stopped(&self, run: &RunId) -> Option<&Stop> {
        let holds = |stop: &&Stop| match &stop.scope {
            StopScope::Global => true,
            StopScope::Run { run: stopped } => stopped == run,
        };
        self.stops.iter().filter(holds).max_by_key(|stop| stop.level)
    }
}

fn lock_stream(object: &ObjectRef) -> String {
    let run = "run_00000000000000000000000000".parse().expect("a run id of zeros is one");
    FleetEvent::Locked { object: object.clone(), run }.stream()
}
