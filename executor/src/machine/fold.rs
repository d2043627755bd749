//! The fold of events into the run: live runs and replays both come through here.

use cluster::{Health, ObjectRef, Reply};
use jiff::Timestamp;
use workflow::Verdict;
use workflow::condition::Condition;
use workflow::duration::Span;
use workflow::manifest::OnFailure;
use workflow::run::{Applied, Event, Phase, RunStatus};

use super::state::{Ask, Doing, Ending, Gate, Intent, Stage, Watch, Worse};
use super::{Run, backoff, later};

impl Run {
    /// Folds one recorded event into the state.
    pub fn apply(&mut self, event: &Event) {
        self.view.apply(event);
        if let Some(at) = moment(event) {
            self.latest = self.latest.max(at);
        }
        match event {
            Event::Started { .. } | Event::CancelAsked { .. } | Event::Ended { .. } => {
                self.note_cancel(event)
            }
            Event::Admitted { at } => {
                self.gate = if self.view.guarded.is_empty() {
                    Gate::Open
                } else {
                    Gate::Baseline { ask: self.ask(*at), tries: 0 }
                };
            }
            Event::BaselineMeasured { .. } => self.gate = Gate::Open,
            Event::ReadFailed { step: None, until, .. } => {
                if let Gate::Baseline { tries, .. } = self.gate {
                    self.gate = Gate::Baseline { ask: self.ask(*until), tries: tries + 1 };
                }
            }
            Event::ReadFailed { step: Some(step), until, at, .. } => {
                self.read_failed(step, *until, *at)
            }
            Event::StepStarted { step, at, .. } => self.at_step(step, |run, place| {
                let state = &mut run.steps[place];
                state.clock = *at;
                state.replies.clear();
                state.failed_reads = 0;
                state.failing_since = None;
                run.prepare(place, *at);
            }),
            Event::StepSkipped { step, .. } | Event::StepSucceeded { step, .. } => {
                self.stage(step, Stage::Over)
            }
            Event::StepFailed { step, .. } => self.at_step(step, |run, place| {
                let state = &mut run.steps[place];
                state.is_unknown |=
                    matches!(state.doing(), Some(Doing::Resolving { .. } | Doing::Sent { .. }));
                state.stage = Stage::Over;
            }),
            Event::ConditionJudged { step, phase, index, verdict, at, .. } => {
                self.judged(step.as_deref(), *phase, *index, verdict, *at)
            }
            Event::ApprovalAsked { step, expires_at, .. } => self.at_step(step, |run, place| {
                let expires_at = *expires_at;
                let state = &mut run.steps[place];
                state.stage = if matches!(state.stage, Stage::Acting(_)) {
                    Stage::Acting(Doing::Person { expires_at })
                } else {
                    Stage::Approving { expires_at }
                };
            }),
            Event::ApprovalAnswered { step, is_approved, by } => {
                self.at_step(step, |run, place| run.reviewed_step(place, *is_approved, by))
            }
            Event::Observed { step, replies, at } => self.at_step(step, |run, place| {
                let ask = run.ask(*at);
                let state = &mut run.steps[place];
                state.failed_reads = 0;
                state.failing_since = None;
                match &mut state.stage {
                    Stage::Acting(doing) => {
                        state.replies.extend(replies.iter().cloned());
                        *doing = Doing::Asking(ask);
                    }
                    Stage::Undoing(doing) => {
                        state.undo_replies.extend(replies.iter().cloned());
                        *doing = Doing::Asking(ask);
                    }
                    _ => {}
                }
            }),
            Event::IntentWritten { step, effect, key, attempt, request, at } => {
                self.at_step(step, |run, place| {
                    let intent = Intent {
                        effect: effect.clone(),
                        key: key.clone(),
                        attempt: *attempt,
                        request: request.clone(),
                    };
                    if let Stage::Acting(doing) | Stage::Undoing(doing) =
                        &mut run.steps[place].stage
                    {
                        *doing = Doing::Sent { intent, at: *at };
                    }
                })
            }
            Event::EffectAnswered { key, reply, applied, at, .. } => {
                self.effect_answered(key, reply, *applied, *at)
            }
            Event::ActionDone { step, prior, .. } => self.at_step(step, |run, place| {
                run.steps[place].is_done = true;
                run.steps[place].has_prior = !prior.is_null();
                run.steps[place].clock = run.latest;
                let conditions = run.spec(place).postconditions.clone();
                if conditions.is_empty() {
                    run.guard(place, run.latest);
                } else {
                    run.steps[place].stage = Stage::Post(run.watches(&conditions, run.latest));
                }
            }),
            Event::HealthMeasured { step, health, at } => {
                self.at_step(step, |run, place| match run.steps[place].stage {
                    Stage::Doubted(_) => run.reconsidered(place, health, *at),
                    _ => run.guarded(place, health, *at),
                })
            }
            Event::AlertChanged { status, at } => self.alert_changed(*status, *at),
            Event::Regressed { step, .. } => {
                self.at_step(step, |run, place| run.steps[place].is_regressed = true)
            }
            Event::RetryScheduled { step, until, .. } => {
                self.stage(step, Stage::Backoff { until: *until })
            }
            Event::Paused { at, .. } => {
                self.held_since.get_or_insert(*at);
                if let Ending::Unwinding { hold_after, .. } = &mut self.ending {
                    *hold_after = None;
                }
            }
            Event::Held { at, .. } => {
                self.held_since.get_or_insert(*at);
            }
            Event::Resumed { at, .. } => {
                self.ask_again(*at);
                self.let_go(*at);
            }
            Event::Released { at, .. } => self.let_go(*at),
            Event::AbortStarted { .. } => self.ending = Ending::Aborting,
            Event::UnwindStarted { then, .. } => {
                let wants_next_plan = *then != RunStatus::Cancelled && self.wants_next_plan();
                self.ending = Ending::Unwinding { then: *then, wants_next_plan, hold_after: None };
                self.success = None;
                self.let_go(self.latest);
            }
            Event::CompensationStarted { step, attempt, at } => self.at_step(step, |run, place| {
                let ask = run.ask(*at);
                let state = &mut run.steps[place];
                state.undo_attempts = *attempt;
                state.undo_replies.clear();
                state.failed_reads = 0;
                state.failing_since = None;
                state.clock = *at;
                state.stage = Stage::Undoing(Doing::Asking(ask));
            }),
            Event::CompensationRetryScheduled { step, until, .. } => {
                self.stage(step, Stage::UndoBackoff { until: *until })
            }
            Event::StepCompensated { step, .. } | Event::CompensationFailed { step, .. } => {
                self.stage(step, Stage::Undone)
            }
            Event::HumanNeeded { step, .. } => self.at_step(step, |run, place| {
                if let Stage::Acting(Doing::Resolving { needs_human, .. }) =
                    &mut run.steps[place].stage
                {
                    *needs_human = true;
                }
            }),
        }
        self.open();
    }

    /// A cancel in the middle of an undo that something else began: the undo holds once the step under way is done.
    fn note_cancel(&mut self, event: &Event) {
        if let (Event::CancelAsked { by, reason }, Ending::Unwinding { hold_after, .. }) =
            (event, &mut self.ending)
        {
            *hold_after = Some((by.clone(), reason.clone()));
        }
    }

    /// Opens what has become possible: steps whose needs are over, and the success conditions after the last.
    fn open(&mut self) {
        if self.gate != Gate::Open || self.is_closing() || self.view.ended_at.is_some() {
            return;
        }
        for place in 0..self.steps.len() {
            if self.steps[place].stage == Stage::Pending
                && self.spec(place).needs.iter().all(|need| self.is_behind(need))
            {
                if self.spec(place).when.is_some() {
                    self.steps[place].stage = Stage::When(self.ask(self.latest));
                } else {
                    self.ready(place, self.latest);
                }
            }
        }
        let is_over = (0..self.steps.len())
            .all(|place| self.steps[place].stage == Stage::Over && !self.has_failed(place));
        if is_over && self.success.is_none() {
            let conditions = self.plan.workflow.spec.success.clone();
            self.success_since = self.latest;
            self.success = Some(self.watches(&conditions, self.latest));
        }
    }

    /// Whether steps that need `step` may begin.
    fn is_behind(&self, step: &str) -> bool {
        self.place(step)
            .is_some_and(|place| self.steps[place].stage == Stage::Over && !self.has_failed(place))
    }

    /// Whether the step failed in a way that the run does not pass over.
    pub(super) fn has_failed(&self, place: usize) -> bool {
        let state = &self.steps[place];
        let failed = self.view.steps[place].status == workflow::run::StepStatus::Failed;
        failed
            && (state.is_regressed
                || state.is_unknown
                || self.spec(place).on_failure != OnFailure::Continue)
    }

    fn wants_next_plan(&self) -> bool {
        let by_step = (0..self.steps.len()).any(|place| {
            self.has_failed(place)
                && (self.steps[place].is_regressed
                    || self.spec(place).on_failure == OnFailure::NextPlan)
        });
        // Every step did what it says, and it was not enough.
        by_step || self.success.is_some()
    }

    /// The step's conditions before it, or its action where there are none.
    fn prepare(&mut self, place: usize, at: Timestamp) {
        let conditions = self.spec(place).preconditions.clone();
        self.steps[place].stage = if conditions.is_empty() {
            Stage::Acting(Doing::Asking(self.ask(at)))
        } else {
            Stage::Pre(self.watches(&conditions, at))
        };
    }

    fn watches(&mut self, conditions: &[Condition], at: Timestamp) -> Vec<Watch> {
        (0..conditions.len())
            .map(|index| Watch {
                index,
                ask: self.ask(at),
                polls: 0,
                last: None,
                true_since: None,
                is_met: false,
            })
            .collect()
    }

    fn judged(
        &mut self,
        step: Option<&str>,
        phase: Phase,
        index: usize,
        verdict: &Verdict,
        at: Timestamp,
    ) {
        let next = self.ask(at);
        let Some(step) = step else {
            let condition = self.plan.workflow.spec.success.get(index).cloned();
            if let (Some(condition), Some(watches)) = (condition, &mut self.success) {
                look(
                    watches,
                    &Look {
                        index,
                        verdict,
                        at,
                        deadline: deadline(&condition, self.success_since),
                        hold: hold(&condition),
                    },
                    next,
                );
            }
            return;
        };
        let Some(place) = self.place(step) else { return };
        let plan = self.plan.clone();
        let (step, state) = (&plan.workflow.spec.steps[place], &mut self.steps[place]);
        match (phase, &mut state.stage) {
            (Phase::When, Stage::When(_)) => {
                if *verdict == Verdict::True {
                    self.ready(place, at);
                } else {
                    state.stage = Stage::Unwanted { why: format!("`when` is {}", word(verdict)) };
                }
            }
            (Phase::Pre, Stage::Pre(watches)) => {
                // Preconditions hold at once or not at all: `within` and `holdFor` are for what comes after.
                look(watches, &Look { index, verdict, at, deadline: None, hold: Span::ZERO }, next);
                if watches.iter().all(|watch| watch.is_met) {
                    self.steps[place].stage = Stage::Acting(Doing::Asking(self.ask(at)));
                }
            }
            (Phase::Post, Stage::Post(watches)) => {
                let Some(condition) = step.postconditions.get(index) else { return };
                look(
                    watches,
                    &Look {
                        index,
                        verdict,
                        at,
                        deadline: deadline(condition, state.clock),
                        hold: hold(condition),
                    },
                    next,
                );
                if watches.iter().all(|watch| watch.is_met) {
                    self.guard(place, at);
                }
            }
            (Phase::When | Phase::Pre | Phase::Post | Phase::Success, _) => {}
        }
    }

    fn reviewed_step(&mut self, place: usize, is_approved: bool, by: &str) {
        let at = self.latest;
        let ask = self.ask(at);
        let state = &mut self.steps[place];
        state.stage = match (&state.stage, is_approved) {
            (_, false) if by.is_empty() => {
                Stage::Declined { why: "nobody approved it in time".into() }
            }
            (_, false) => Stage::Declined { why: format!("{by} did not approve it") },
            (Stage::Acting(_), true) => {
                state.replies.push(Reply::Absent);
                Stage::Acting(Doing::Asking(ask))
            }
            (_, true) => {
                state.is_approved = true;
                return self.ready(place, at);
            }
        };
    }

    fn read_failed(&mut self, step: &str, until: Timestamp, at: Timestamp) {
        self.at_step(step, |run, place| {
            let next = run.ask(until);
            let state = &mut run.steps[place];
            state.failed_reads += 1;
            state.failing_since.get_or_insert(at);
            if let Stage::Acting(doing) | Stage::Undoing(doing) = &mut state.stage {
                match doing {
                    Doing::Asking(ask) => {
                        *ask = next;
                        // An outage is not the step's time.
                        state.clock = later(state.clock, until.duration_since(at));
                    }
                    Doing::Resolving { ask, .. } => *ask = next,
                    Doing::Person { .. } | Doing::Sent { .. } => {}
                }
            }
        });
    }

    fn effect_answered(&mut self, key: &str, reply: &Reply, applied: Applied, at: Timestamp) {
        let place = self.steps.iter().position(|state| match state.doing() {
            Some(Doing::Sent { intent, .. } | Doing::Resolving { intent, .. }) => intent.key == key,
            Some(Doing::Asking(_) | Doing::Person { .. }) | None => false,
        });
        let Some(place) = place else { return };
        let next = self.ask(at);
        let state = &mut self.steps[place];
        let is_undo = matches!(state.stage, Stage::Undoing(_));
        let (Stage::Acting(doing) | Stage::Undoing(doing)) = &mut state.stage else { return };
        let (intent, lost) = match doing {
            Doing::Sent { intent, .. } => (intent.clone(), None),
            Doing::Resolving { intent, lost, since, .. } => {
                // Finding out is not the step's time.
                state.clock = later(state.clock, at.duration_since(*since));
                (intent.clone(), Some(lost.clone()))
            }
            Doing::Asking(_) | Doing::Person { .. } => return,
        };
        if applied == Applied::Unknown && lost.is_none() {
            *doing = Doing::Resolving {
                ask: next,
                intent,
                lost: reply.clone(),
                since: at,
                needs_human: false,
            };
            return;
        }
        *doing = Doing::Asking(next);
        state.failed_reads = 0;
        state.failing_since = None;
        // What was settled as not applied stays what it was to the action: an answer that told nothing.
        let reply = match (applied, lost) {
            (Applied::No | Applied::Unknown, Some(lost))
                if !matches!(reply, Reply::Conflict { .. } | Reply::Refused { .. }) =>
            {
                lost
            }
            (Applied::Yes | Applied::No | Applied::Unknown, _) => reply.clone(),
        };
        // An API server answers a `test` that fails as it answers a bad patch: which it was the action finds out.
        let is_conflict =
            matches!(reply, Reply::Conflict { .. } | Reply::Refused { code: 422, .. });
        let (replies, count) = if is_undo {
            (&mut state.undo_replies, &mut state.undo_applied)
        } else {
            (&mut state.replies, &mut state.applied)
        };
        replies.push(reply);
        *count += u32::from(applied == Applied::Yes);
        if applied == Applied::Unknown {
            state.is_unknown = true;
        }
        if is_conflict {
            state.conflicts += 1;
            // Another writer was first, or may have been: what justified the step may no longer hold.
            if !is_undo && !self.is_closing() {
                self.prepare(place, at);
            }
        }
    }

    /// Measures health after a step, where there is anything to compare.
    fn guard(&mut self, place: usize, at: Timestamp) {
        self.steps[place].clock = at;
        self.steps[place].stage = if self.view.guarded.is_empty() {
            Stage::Proven
        } else {
            Stage::Guard { ask: self.ask(at), polls: 0, worse: None }
        };
    }

    fn guarded(&mut self, place: usize, health: &[(ObjectRef, Option<Health>)], at: Timestamp) {
        let Stage::Guard { polls, .. } = self.steps[place].stage else { return };
        let worse = self.worse(health).map(|(index, now)| Worse { at, index, now });
        self.steps[place].stage = match worse {
            None => Stage::Proven,
            Some(worse) => Stage::Guard {
                ask: self.ask(later(at, backoff::poll(polls + 1))),
                polls: polls + 1,
                worse: Some(worse),
            },
        };
    }

    /// The first guarded object that is worse than before the run, or that can no longer be read.
    fn worse(&self, health: &[(ObjectRef, Option<Health>)]) -> Option<(usize, Option<Health>)> {
        self.view.health_before.iter().enumerate().find_map(|(index, (object, before))| {
            let before = before.as_ref()?;
            match health
                .iter()
                .find(|(other, _)| other.is_same(object))
                .and_then(|(_, now)| now.as_ref())
            {
                Some(now) if !now.is_below(before) => None,
                now => Some((index, now.cloned())),
            }
        })
    }

    /// A person looked: what was given up as not to be told is read once more.
    fn ask_again(&mut self, at: Timestamp) {
        for place in 0..self.steps.len() {
            if self.steps[place].needs_human() {
                let next = self.ask(at);
                if let Stage::Acting(Doing::Resolving { ask, since, needs_human, .. }) =
                    &mut self.steps[place].stage
                {
                    (*ask, *since, *needs_human) = (next, at, false);
                }
            }
        }
    }

    /// Where nothing holds the run any more, the clocks of what was under way go on from where they stood.
    fn let_go(&mut self, at: Timestamp) {
        if self.view.is_paused || self.view.held.is_some() {
            return;
        }
        if let Some(since) = self.held_since.take() {
            let stood = at.duration_since(since);
            for state in self.steps.iter_mut().filter(|state| !state.is_quiet()) {
                state.clock = later(state.clock, stood);
            }
            self.success_since = later(self.success_since, stood);
            self.reconsider(at);
        }
    }

    fn at_step(&mut self, step: &str, change: impl FnOnce(&mut Self, usize)) {
        if let Some(place) = self.place(step) {
            change(self, place);
        }
    }

    fn stage(&mut self, step: &str, stage: Stage) {
        self.at_step(step, |run, place| run.steps[place].stage = stage);
    }
}

/// One judgement, and what is asked of the condition.
struct Look<'a> {
    index: usize,
    verdict: &'a Verdict,
    at: Timestamp,
    /// By when it must have come true; absent where nothing waits for it.
    deadline: Option<Timestamp>,
    /// How long it must stay true.
    hold: Span,
}

fn deadline(condition: &Condition, since: Timestamp) -> Option<Timestamp> {
    Some(later(since, condition.within.unwrap_or(Span::ZERO).signed()))
}

fn hold(condition: &Condition) -> Span {
    condition.hold_for.unwrap_or(Span::ZERO)
}

/// Folds one judgement into its watch; `next` is the ask of the judgement after it.
fn look(watches: &mut [Watch], look: &Look<'_>, mut next: Ask) {
    let Some(watch) = watches.iter_mut().find(|watch| watch.index == look.index) else { return };
    watch.polls += 1;
    watch.last = Some((look.verdict.clone(), look.at));
    next.not_before = later(look.at, backoff::poll(watch.polls));
    if *look.verdict == Verdict::True {
        let from = *watch.true_since.get_or_insert(look.at);
        let until = later(from, look.hold.signed());
        watch.is_met = look.at >= until;
        next.not_before = next.not_before.min(until.max(look.at));
    } else {
        watch.true_since = None;
        // Looked at once more exactly when its time is up, so that nothing is missed between two looks.
        if let Some(deadline) = look.deadline.filter(|deadline| look.at < *deadline) {
            next.not_before = next.not_before.min(deadline);
        }
    }
    watch.ask = next;
}

fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::True => "true".into(),
        Verdict::False => "false".into(),
        Verdict::Unknown { reason } => format!("not known: {reason}"),
    }
}

/// When it happened, where the event tells.
fn moment(event: &Event) -> Option<Timestamp> {
    match event {
        Event::Started { at, .. }
        | Event::Admitted { at }
        | Event::StepStarted { at, .. }
        | Event::ConditionJudged { at, .. }
        | Event::Observed { at, .. }
        | Event::ReadFailed { at, .. }
        | Event::IntentWritten { at, .. }
        | Event::EffectAnswered { at, .. }
        | Event::HealthMeasured { at, .. }
        | Event::AlertChanged { at, .. }
        | Event::StepSucceeded { at, .. }
        | Event::StepFailed { at, .. }
        | Event::Paused { at, .. }
        | Event::Resumed { at, .. }
        | Event::Held { at, .. }
        | Event::Released { at, .. }
        | Event::CompensationStarted { at, .. }
        | Event::StepCompensated { at, .. }
        | Event::CompensationFailed { at, .. }
        | Event::Ended { at, .. } => Some(*at),
        Event::BaselineMeasured { .. }
        | Event::StepSkipped { .. }
        | Event::ApprovalAsked { .. }
        | Event::ApprovalAnswered { .. }
        | Event::ActionDone { .. }
        | Event::Regressed { .. }
        | Event::RetryScheduled { .. }
        | Event::CancelAsked { .. }
        | Event::AbortStarted { .. }
        | Event::UnwindStarted { .. }
        | Event::CompensationRetryScheduled { .. }
        | Event::HumanNeeded { .. } => None,
    }
}
