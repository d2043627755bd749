//! What follows from the state and the time alone, one event at a time.

use actions::Next;
use cluster::Reply;
use jiff::{SignedDuration, Timestamp};
use workflow::duration::Span;
use workflow::manifest::{OnFailure, RetryOn, RetryStrategy};
use workflow::run::{Applied, Event, RunStatus, StepStatus};
use workflow::{ActionSpec, Args, Verdict};

use super::state::{Doing, Ending, Gate, Stage, StepState, Worse};
use super::undo::Undo;
use super::{Deed, Rules, Run, backoff, fill, later};

/// After so long without an answer a change's answer is taken to be lost.
pub(super) const SEND_DEADLINE: SignedDuration = SignedDuration::from_secs(10);
/// How long an outage may keep a step from reading.
const OUTAGE_PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// How long an unknown answer is looked into before a person is asked.
const RESOLVE_PATIENCE: SignedDuration = SignedDuration::from_mins(45);
/// How long a question that an action asks stands.
const QUESTION: SignedDuration = SignedDuration::from_hours(1);
/// How often an undo is tried.
const UNDO_ATTEMPTS: u32 = 3;
/// How often a change that met another writer is prepared anew.
const MAX_CONFLICTS: u32 = 3;

impl Run {
    /// The next event that follows at `now`, if one does.
    pub(super) fn follow(&self, rules: &Rules, now: Timestamp) -> Option<Event> {
        if self.view.ended_at.is_some() {
            return None;
        }
        (0..self.steps.len())
            .find_map(|place| self.follow_step(place, rules, now))
            .or_else(|| self.follow_run(rules, now))
    }

    fn follow_step(&self, place: usize, rules: &Rules, now: Timestamp) -> Option<Event> {
        let (step, state) = (self.spec(place), &self.steps[place]);
        let id = || step.id.clone();
        match &state.stage {
            Stage::Pending | Stage::Over | Stage::Undone => None,
            Stage::When(_) | Stage::Ready | Stage::Doubted(_) | Stage::Approving { .. }
                if self.is_closing() =>
            {
                Some(Event::StepSkipped { step: id(), why: self.closing_why() })
            }
            Stage::Pre(_) | Stage::Post(_) | Stage::Guard { .. } | Stage::Backoff { .. }
                if self.is_closing() =>
            {
                Some(Event::StepFailed { step: id(), why: self.closing_why(), at: now })
            }
            Stage::When(_) | Stage::Doubted(_) => None,
            Stage::Ready if self.is_held() => None,
            Stage::Ready => Some(match &step.approval {
                Some(approval) if !state.is_approved => Event::ApprovalAsked {
                    step: id(),
                    reason: approval.reason.clone(),
                    expires_at: later(now, approval.expires.signed()),
                },
                Some(_) | None => Event::StepStarted { step: id(), attempt: 1, at: now },
            }),
            Stage::Approving { expires_at } => (now >= *expires_at).then(|| {
                Event::ApprovalAnswered { step: id(), is_approved: false, by: String::new() }
            }),
            Stage::Declined { why } => {
                Some(Event::StepFailed { step: id(), why: why.clone(), at: now })
            }
            Stage::Unwanted { why } => Some(Event::StepSkipped { step: id(), why: why.clone() }),
            Stage::Pre(watches) => watches.iter().find_map(|watch| {
                let name = || condition_name(&step.preconditions, watch.index, "precondition");
                match &watch.last {
                    Some((Verdict::False, _)) => {
                        Some(self.fail(place, None, format!("{}: it is not true", name()), now))
                    }
                    Some((Verdict::Unknown { .. }, _)) => {
                        let why = watch.missed(later(state.clock, step.timeout.signed()))?;
                        Some(self.fail(
                            place,
                            Some(RetryOn::Unavailable),
                            format!("{}: {why}", name()),
                            now,
                        ))
                    }
                    Some((Verdict::True, _)) | None => None,
                }
            }),
            Stage::Acting(doing) => self.follow_action(place, doing, rules, now),
            Stage::Post(watches) => watches.iter().find_map(|watch| {
                let within = step.postconditions.get(watch.index)?.within.unwrap_or(Span::ZERO);
                let why = watch.missed(later(state.clock, within.signed()))?;
                let name = condition_name(&step.postconditions, watch.index, "post-condition");
                Some(self.fail(
                    place,
                    Some(RetryOn::Postcondition),
                    format!("{name}: {why} after {within}"),
                    now,
                ))
            }),
            Stage::Guard { worse: Some(worse), .. } => self.follow_guard(place, worse, now),
            Stage::Guard { worse: None, .. } => None,
            Stage::Proven => Some(Event::StepSucceeded { step: id(), at: now }),
            Stage::Backoff { until } => {
                let is_due = now >= *until && !self.is_held();
                is_due.then(|| Event::StepStarted {
                    step: id(),
                    attempt: self.view.steps[place].attempts + 1,
                    at: now,
                })
            }
            Stage::Undoing(doing) => self.follow_undo(place, doing, rules, now),
            Stage::UndoBackoff { until } => {
                let is_due = now >= *until && !self.is_held();
                is_due.then(|| Event::CompensationStarted {
                    step: id(),
                    attempt: state.undo_attempts + 1,
                    at: now,
                })
            }
        }
    }

    fn follow_action(
        &self,
        place: usize,
        doing: &Doing,
        rules: &Rules,
        now: Timestamp,
    ) -> Option<Event> {
        let (step, state) = (self.spec(place), &self.steps[place]);
        let stopped =
            || Some(Event::StepFailed { step: step.id.clone(), why: self.closing_why(), at: now });
        match doing {
            Doing::Asking(ask) => {
                let is_overdue =
                    !self.is_held() && now >= later(state.clock, step.timeout.signed());
                let overdue = || {
                    is_overdue.then(|| {
                        self.fail(
                            place,
                            Some(RetryOn::Timeout),
                            format!("it took longer than {}", step.timeout),
                            now,
                        )
                    })
                };
                match self.next(place, Deed::Act, rules) {
                    Err(why) => Some(self.fail(place, None, why, now)),
                    Ok(Next::Done { output, prior }) => {
                        // An attempt that found everything done by an earlier one knows nothing of the state before that.
                        let earlier = &self.view.steps[place].prior;
                        let prior = if prior.is_null() { earlier.clone() } else { prior };
                        Some(Event::ActionDone { step: step.id.clone(), output, prior })
                    }
                    Ok(_) if self.is_closing() => stopped(),
                    Ok(Next::Refused { on, why, .. }) => Some(self.fail(place, on, why, now)),
                    Ok(Next::Read(_) | Next::Send { .. }) if has_been_out(state, now) => {
                        Some(self.fail(
                            place,
                            Some(RetryOn::Unavailable),
                            "the cluster could not be read for an hour".into(),
                            now,
                        ))
                    }
                    Ok(Next::Read(_) | Next::Send { .. }) => overdue(),
                    Ok(Next::Wait(span)) => {
                        let is_due = now >= later(ask.not_before, span.signed());
                        is_due.then(|| Event::Observed {
                            step: step.id.clone(),
                            replies: vec![Reply::Absent],
                            at: now,
                        })
                    }
                    Ok(Next::Ask(_)) if self.is_held() => None,
                    Ok(Next::Ask(reason)) => Some(Event::ApprovalAsked {
                        step: step.id.clone(),
                        reason,
                        expires_at: later(now, QUESTION),
                    }),
                }
            }
            Doing::Person { .. } if self.is_closing() => stopped(),
            Doing::Person { expires_at } => {
                let is_due = now >= *expires_at;
                is_due.then(|| Event::ApprovalAnswered {
                    step: step.id.clone(),
                    is_approved: false,
                    by: String::new(),
                })
            }
            Doing::Sent { intent, at } => lost(intent, *at, now),
            // A run that is cancelled while a person should look ends all the same: the undo compares before it reverts.
            Doing::Resolving { needs_human: true, .. } if self.is_closing() => {
                let why = "it was never found out whether its change was applied".into();
                Some(Event::StepFailed { step: step.id.clone(), why, at: now })
            }
            Doing::Resolving { needs_human: true, .. } => None,
            Doing::Resolving { intent, since, .. } => (now >= later(*since, RESOLVE_PATIENCE))
                .then(|| Event::HumanNeeded {
                    step: step.id.clone(),
                    why: format!(
                        "the answer to the change of {} was lost, and it could not be read since",
                        intent.request.target
                    ),
                }),
        }
    }

    /// A change that rolls out may leave fewer ready for a while: it has the step's timeout to settle.
    fn follow_guard(&self, place: usize, worse: &Worse, now: Timestamp) -> Option<Event> {
        let (step, state) = (self.spec(place), &self.steps[place]);
        let (object, before) = self.view.health_before.get(worse.index)?;
        if state.is_regressed {
            let why = self.view.steps[place].why.clone();
            return Some(Event::StepFailed {
                step: step.id.clone(),
                why: format!("it made something worse: {why}"),
                at: now,
            });
        }
        if worse.at < later(state.clock, step.timeout.signed()) {
            return None;
        }
        match (before, &worse.now) {
            (Some(before), Some(health)) => Some(Event::Regressed {
                step: step.id.clone(),
                object: object.clone(),
                before: before.clone(),
                now: health.clone(),
            }),
            // What cannot be read is not taken to be well.
            (Some(_), None) | (None, _) => {
                let why = format!("health of {object} cannot be read any more");
                Some(Event::StepFailed { step: step.id.clone(), why, at: now })
            }
        }
    }

    fn follow_undo(
        &self,
        place: usize,
        doing: &Doing,
        rules: &Rules,
        now: Timestamp,
    ) -> Option<Event> {
        let (step, state) = (self.spec(place), &self.steps[place]);
        match doing {
            Doing::Asking(ask) => match self.next(place, Deed::Undo, rules) {
                Err(why) => {
                    Some(Event::CompensationFailed { step: step.id.clone(), residue: why, at: now })
                }
                Ok(Next::Done { .. }) => Some(Event::StepCompensated {
                    step: step.id.clone(),
                    how: "reverted".into(),
                    at: now,
                }),
                Ok(Next::Refused { code, .. }) if code == "drifted" => {
                    Some(Event::StepCompensated {
                        step: step.id.clone(),
                        how: "drifted since us: left as it is".into(),
                        at: now,
                    })
                }
                Ok(Next::Refused { why, .. }) => Some(self.fail_undo(place, why, now)),
                Ok(Next::Ask(question)) => Some(self.fail_undo(
                    place,
                    format!("a person would have to answer first: {question}"),
                    now,
                )),
                Ok(Next::Wait(span)) => {
                    let is_due = now >= later(ask.not_before, span.signed());
                    is_due.then(|| Event::Observed {
                        step: step.id.clone(),
                        replies: vec![Reply::Absent],
                        at: now,
                    })
                }
                Ok(Next::Read(_) | Next::Send { .. }) if has_been_out(state, now) => Some(
                    self.fail_undo(place, "the cluster could not be read for an hour".into(), now),
                ),
                Ok(Next::Read(_) | Next::Send { .. }) => {
                    let is_overdue =
                        !self.is_held() && now >= later(state.clock, step.timeout.signed());
                    is_overdue.then(|| {
                        self.fail_undo(place, format!("it took longer than {}", step.timeout), now)
                    })
                }
            },
            Doing::Person { .. } => None,
            Doing::Sent { intent, at } => lost(intent, *at, now),
            Doing::Resolving { intent, since, .. } => (now >= later(*since, RESOLVE_PATIENCE))
                .then(|| Event::CompensationFailed {
                    step: step.id.clone(),
                    residue: format!(
                        "the answer to the change of {} was lost, and it could not be read since",
                        intent.request.target
                    ),
                    at: now,
                }),
        }
    }

    fn follow_run(&self, rules: &Rules, now: Timestamp) -> Option<Event> {
        match &self.ending {
            Ending::Going if self.gate != Gate::Open => None,
            Ending::Going => self.follow_going(now),
            Ending::Aborting => {
                let is_quiet = self.steps.iter().all(StepState::is_quiet);
                is_quiet.then(|| self.ended(RunStatus::Failed, self.view.why.clone(), false, now))
            }
            Ending::Unwinding { then, wants_next_plan, hold_after } => {
                if let Some((by, reason)) = hold_after
                    && !self.steps.iter().any(|state| matches!(state.stage, Stage::Undoing(_)))
                {
                    return Some(Event::Paused { by: by.clone(), reason: reason.clone(), at: now });
                }
                let is_acting = self.steps.iter().any(|state| {
                    !state.is_quiet()
                        && !matches!(state.stage, Stage::Undoing(_) | Stage::UndoBackoff { .. })
                });
                if is_acting {
                    return None;
                }
                if self.owes_undo() {
                    return if self.is_held() || hold_after.is_some() {
                        None
                    } else {
                        self.begin_undo(rules, now)
                    };
                }
                let residue = self
                    .view
                    .steps
                    .iter()
                    .find(|step| step.status == StepStatus::CompensationFailed);
                Some(match residue {
                    Some(step) => {
                        let why = format!(
                            "{}; step `{}` could not be undone: {}",
                            self.unwind_why(),
                            step.step,
                            step.why
                        );
                        self.ended(RunStatus::Failed, why, *wants_next_plan, now)
                    }
                    None => self.ended(*then, self.unwind_why(), *wants_next_plan, now),
                })
            }
        }
    }

    fn follow_going(&self, now: Timestamp) -> Option<Event> {
        // The worst comes first: what made something worse is undone, whatever the plan says of failures.
        let failed = (0..self.steps.len())
            .filter(|place| self.has_failed(*place))
            .max_by_key(|place| self.steps[*place].is_regressed);
        if let Some(place) = failed {
            let step = &self.view.steps[place];
            let why = format!("step `{}` failed: {}", step.step, step.why);
            let undo = Event::UnwindStarted { why: why.clone(), then: RunStatus::RolledBack };
            return Some(match self.spec(place).on_failure {
                OnFailure::Abort if !self.steps[place].is_regressed => Event::AbortStarted { why },
                OnFailure::Abort
                | OnFailure::Continue
                | OnFailure::RollBack
                | OnFailure::NextPlan => undo,
            });
        }
        let watches = self.success.as_ref()?;
        if let Some(why) = self.unneeded() {
            return Some(self.ended(RunStatus::Succeeded, why, false, now));
        }
        let conditions = &self.plan.workflow.spec.success;
        let missed = watches.iter().find_map(|watch| {
            let within = conditions.get(watch.index)?.within.unwrap_or(Span::ZERO);
            let why = watch.missed(later(self.success_since, within.signed()))?;
            Some(format!(
                "{}: {why} after {within}",
                condition_name(conditions, watch.index, "success condition")
            ))
        });
        if let Some(why) = missed {
            return Some(Event::UnwindStarted { why, then: RunStatus::RolledBack });
        }
        let is_met = watches.iter().all(|watch| watch.is_met);
        is_met.then(|| {
            self.ended(RunStatus::Succeeded, "every step did what it says".into(), false, now)
        })
    }

    fn begin_undo(&self, rules: &Rules, now: Timestamp) -> Option<Event> {
        let place = self.undoable().next()?;
        let step = self.spec(place).id.clone();
        Some(match self.undo_of(place, rules) {
            Undo::By { .. } => Event::CompensationStarted { step, attempt: 1, at: now },
            Undo::Nothing { how } => Event::StepCompensated { step, how, at: now },
            Undo::Cannot { residue } => Event::CompensationFailed { step, residue, at: now },
        })
    }

    /// The end of an attempt: another follows where the step's retry says so.
    pub(super) fn fail(
        &self,
        place: usize,
        on: Option<RetryOn>,
        why: String,
        now: Timestamp,
    ) -> Event {
        let (step, state) = (self.spec(place), &self.steps[place]);
        let attempt = self.view.steps[place].attempts;
        let retry = &step.retry;
        let on = on.filter(|on| {
            let is_exhausted = *on == RetryOn::Conflict && state.conflicts > MAX_CONFLICTS;
            retry.on.contains(on)
                && retry.strategy != RetryStrategy::None
                && attempt < retry.attempts
                && !is_exhausted
                && !self.is_closing()
        });
        let Some(on) = on else { return Event::StepFailed { step: step.id.clone(), why, at: now } };
        let asked = match state.replies.last() {
            Some(Reply::Throttled { retry_after_seconds }) => {
                SignedDuration::from_secs(i64::from(*retry_after_seconds))
            }
            _ => SignedDuration::ZERO,
        };
        let pause = backoff::pause(retry, &self.step_key(place, Deed::Act), attempt).max(asked);
        Event::RetryScheduled { step: step.id.clone(), on, why, until: later(now, pause) }
    }

    pub(super) fn fail_undo(&self, place: usize, why: String, now: Timestamp) -> Event {
        let (step, state) = (self.spec(place).id.clone(), &self.steps[place]);
        if state.undo_attempts < UNDO_ATTEMPTS {
            let pause = backoff::undo(&self.step_key(place, Deed::Undo), state.undo_attempts);
            Event::CompensationRetryScheduled { step, why, until: later(now, pause) }
        } else {
            Event::CompensationFailed { step, residue: why, at: now }
        }
    }

    /// What the action of a step, or of its undo, wants next.
    pub(super) fn next(&self, place: usize, deed: Deed, rules: &Rules) -> Result<Next, String> {
        let (spec, args) = self.args(place, deed, rules)?;
        let state = &self.steps[place];
        let replies = match deed {
            Deed::Act => &state.replies,
            Deed::Undo => &state.undo_replies,
        };
        Ok(actions::next(spec, &args, &self.step_key(place, deed), replies))
    }

    /// The action of a step, or of its undo, and what it is told, every hole filled.
    pub(super) fn args<'r>(
        &self,
        place: usize,
        deed: Deed,
        rules: &'r Rules,
    ) -> Result<(&'r ActionSpec, Args), String> {
        let (action, args) = match deed {
            Deed::Act => {
                let step = self.spec(place);
                let bindings = fill::bindings(&self.plan.workflow, &self.view, &self.plan.targets);
                (step.action.clone(), fill::arguments(&step.arguments, &bindings)?)
            }
            Deed::Undo => match self.undo_of(place, rules) {
                Undo::By { action, args } => (action, args),
                Undo::Nothing { how } => return Err(how),
                Undo::Cannot { residue } => return Err(residue),
            },
        };
        let spec = rules
            .catalogue
            .get(&action)
            .ok_or_else(|| format!("the action `{action}` is not in the catalogue"))?;
        Ok((spec, args))
    }

    fn ended(
        &self,
        status: RunStatus,
        why: String,
        wants_next_plan: bool,
        now: Timestamp,
    ) -> Event {
        Event::Ended { status, why, wants_next_plan, at: now }
    }

    fn closing_why(&self) -> String {
        match self.ending {
            Ending::Going | Ending::Unwinding { .. } => {
                "stopped, because the run is being undone".into()
            }
            Ending::Aborting => "stopped, because the run is ending".into(),
        }
    }

    fn unwind_why(&self) -> String {
        if self.view.why.is_empty() {
            "what was applied was undone".into()
        } else {
            self.view.why.clone()
        }
    }
}

fn lost(intent: &super::state::Intent, sent: Timestamp, now: Timestamp) -> Option<Event> {
    (now >= later(sent, SEND_DEADLINE)).then(|| Event::EffectAnswered {
        key: intent.key.clone(),
        attempt: intent.attempt,
        reply: Reply::Unknown {
            message: format!("no answer within {} s", SEND_DEADLINE.as_secs()),
        },
        applied: Applied::Unknown,
        at: now,
    })
}

fn has_been_out(state: &StepState, now: Timestamp) -> bool {
    state.failing_since.is_some_and(|since| now >= later(since, OUTAGE_PATIENCE))
}

fn condition_name(conditions: &[workflow::Condition], index: usize, what: &str) -> String {
    match conditions.get(index) {
        Some(workflow::Condition { name: Some(name), .. }) => format!("{what} `{name}`"),
        Some(condition) => format!("{what} {} (`{}`)", index + 1, condition.check),
        None => format!("{what} {}", index + 1),
    }
}
