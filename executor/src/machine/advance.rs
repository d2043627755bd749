//! Events that follow from the state and the time alone, without an input; one at a time.

use actions::{Next, Reply};
use cluster::WriteReply;
use jiff::{SignedDuration, Timestamp};
use workflow::duration::Duration;
use workflow::manifest::{OnFailure, RetryOn, RetryStrategy};
use workflow::run::{Applied, Event, RunStatus, StepStatus};
use workflow::{ActionSpec, Args, ErrorCode, Truth};

use super::state::{ActionProgress, Regression, RunGate, StepProgress, StepState, Termination};
use super::undo::Undo;
use super::{Direction, Rules, Run, backoff, interpolate, saturating_add};

/// After this time without a reply, the result of a change is unknown and is resolved by reading.
pub(super) const SEND_TIMEOUT: SignedDuration = SignedDuration::from_secs(10);
/// How long reads of a step may fail before the attempt fails.
const OUTAGE_TIMEOUT: SignedDuration = SignedDuration::from_hours(1);
/// How long the result of a change may stay unknown before an operator is asked.
const RESOLVE_TIMEOUT: SignedDuration = SignedDuration::from_mins(45);
/// How long an approval requested by an action is awaited.
const APPROVAL_TIMEOUT: SignedDuration = SignedDuration::from_hours(1);
/// Maximum number of attempts to undo a step.
const MAX_COMPENSATION_ATTEMPTS: u32 = 3;
/// Maximum number of conflicts after which a step is still retried.
const MAX_CONFLICTS: u32 = 3;

impl Run {
    /// Returns the next event that follows at `now`, if any.
    pub(super) fn advance(&self, rules: &Rules, now: Timestamp) -> Option<Event> {
        if self.view.ended_at.is_some() {
            return None;
        }
        (0..self.steps.len())
            .find_map(|step_index| self.advance_step(step_index, rules, now))
            .or_else(|| self.advance_run(rules, now))
    }

    fn advance_step(&self, step_index: usize, rules: &Rules, now: Timestamp) -> Option<Event> {
        let (step, progress) = (self.spec(step_index), &self.steps[step_index]);
        let id = || step.id.clone();
        match &progress.state {
            StepState::Pending | StepState::Finished | StepState::Compensated => None,
            StepState::EvaluatingWhen(_)
            | StepState::Ready
            | StepState::Reconsidering(_)
            | StepState::AwaitingApproval { .. }
                if self.is_closing() =>
            {
                Some(Event::StepSkipped { step: id(), message: self.closing_message() })
            }
            StepState::CheckingPreconditions(_)
            | StepState::CheckingPostconditions(_)
            | StepState::CheckingHealth { .. }
            | StepState::Backoff { .. }
                if self.is_closing() =>
            {
                Some(Event::StepFailed { step: id(), message: self.closing_message(), at: now })
            }
            StepState::EvaluatingWhen(_) | StepState::Reconsidering(_) => None,
            StepState::Ready if self.is_held() => None,
            StepState::Ready => Some(match &step.approval {
                Some(approval) if !progress.is_approved => Event::ApprovalRequested {
                    step: id(),
                    message: approval.reason.clone(),
                    expires_at: saturating_add(now, approval.expires.signed()),
                },
                Some(_) | None => Event::StepStarted { step: id(), attempt: 1, at: now },
            }),
            StepState::AwaitingApproval { expires_at } => (now >= *expires_at).then(|| {
                Event::ApprovalDecided { step: id(), is_approved: false, actor: String::new() }
            }),
            StepState::Declined { message } => {
                Some(Event::StepFailed { step: id(), message: message.clone(), at: now })
            }
            StepState::Skipping { message } => {
                Some(Event::StepSkipped { step: id(), message: message.clone() })
            }
            StepState::CheckingPreconditions(condition_polls) => {
                condition_polls.iter().find_map(|poll| {
                    let name = || condition_name(&step.preconditions, poll.index, "precondition");
                    match &poll.last {
                        Some((Truth::False, _)) => Some(self.fail(
                            step_index,
                            None,
                            format!("{}: condition is false", name()),
                            now,
                        )),
                        Some((Truth::Unknown { .. }, _)) => {
                            let message = poll.deadline_error(saturating_add(
                                progress.clock,
                                step.timeout.signed(),
                            ))?;
                            Some(self.fail(
                                step_index,
                                Some(RetryOn::Unavailable),
                                format!("{}: {message}", name()),
                                now,
                            ))
                        }
                        Some((Truth::True, _)) | None => None,
                    }
                })
            }
            StepState::Applying(action) => self.advance_action(step_index, action, rules, now),
            StepState::CheckingPostconditions(condition_polls) => {
                condition_polls.iter().find_map(|poll| {
                    let within =
                        step.postconditions.get(poll.index)?.within.unwrap_or(Duration::ZERO);
                    let message =
                        poll.deadline_error(saturating_add(progress.clock, within.signed()))?;
                    let name = condition_name(&step.postconditions, poll.index, "post-condition");
                    Some(self.fail(
                        step_index,
                        Some(RetryOn::Postcondition),
                        format!("{name}: {message} after {within}"),
                        now,
                    ))
                })
            }
            StepState::CheckingHealth { regression: Some(regression), .. } => {
                self.advance_health_check(step_index, regression, now)
            }
            StepState::CheckingHealth { regression: None, .. } => None,
            StepState::Verified => Some(Event::StepSucceeded { step: id(), at: now }),
            StepState::Backoff { until } => {
                let is_due = now >= *until && !self.is_held();
                is_due.then(|| Event::StepStarted {
                    step: id(),
                    attempt: self.view.steps[step_index].attempts + 1,
                    at: now,
                })
            }
            StepState::Compensating(action) => {
                self.advance_compensation(step_index, action, rules, now)
            }
            StepState::CompensationBackoff { until } => {
                let is_due = now >= *until && !self.is_held();
                is_due.then(|| Event::CompensationStarted {
                    step: id(),
                    attempt: progress.undo_attempts + 1,
                    at: now,
                })
            }
        }
    }

    fn advance_action(
        &self,
        step_index: usize,
        action: &ActionProgress,
        rules: &Rules,
        now: Timestamp,
    ) -> Option<Event> {
        let (step, progress) = (self.spec(step_index), &self.steps[step_index]);
        let stopped = || {
            Some(Event::StepFailed {
                step: step.id.clone(),
                message: self.closing_message(),
                at: now,
            })
        };
        match action {
            ActionProgress::Preparing(effect_request) => {
                let is_overdue =
                    !self.is_held() && now >= saturating_add(progress.clock, step.timeout.signed());
                let overdue = || {
                    is_overdue.then(|| {
                        self.fail(
                            step_index,
                            Some(RetryOn::Timeout),
                            format!("timed out after {}", step.timeout),
                            now,
                        )
                    })
                };
                match self.next(step_index, Direction::Apply, rules) {
                    Err(message) => Some(self.fail(step_index, None, message, now)),
                    Ok(Next::Done { output, prior }) => {
                        // An attempt that finds the change already made by an earlier attempt reports no prior state: keep the
                        // one that the earlier attempt recorded.
                        let earlier = &self.view.steps[step_index].prior;
                        let prior = if prior.is_null() { earlier.clone() } else { prior };
                        Some(Event::ActionDone { step: step.id.clone(), output, prior })
                    }
                    Ok(_) if self.is_closing() => stopped(),
                    Ok(Next::Refused { on, message, .. }) => Some(self.fail(step_index, on, message, now)),
                    Ok(Next::Read(_) | Next::Send { .. }) if is_outage_too_long(progress, now) => {
                        Some(self.fail(
                            step_index,
                            Some(RetryOn::Unavailable),
                            "the cluster could not be read for 1h".into(),
                            now,
                        ))
                    }
                    Ok(Next::Read(_) | Next::Send { .. }) => overdue(),
                    Ok(Next::Wait(duration)) => {
                        let is_due = now >= saturating_add(effect_request.not_before, duration.signed());
                        is_due.then(|| Event::WaitEnded { step: step.id.clone(), at: now })
                    }
                    Ok(Next::RequestApproval(_)) if self.is_held() => None,
                    Ok(Next::RequestApproval(reason)) => Some(Event::ApprovalRequested {
                        step: step.id.clone(),
                        message: reason,
                        expires_at: saturating_add(now, APPROVAL_TIMEOUT),
                    }),
                }
            }
            ActionProgress::AwaitingApproval { .. } if self.is_closing() => stopped(),
            ActionProgress::AwaitingApproval { expires_at } => {
                let is_due = now >= *expires_at;
                is_due.then(|| Event::ApprovalDecided {
                    step: step.id.clone(),
                    is_approved: false,
                    actor: String::new(),
                })
            }
            ActionProgress::Sent { intent, at } => send_timed_out(intent, *at, now),
            // A run that is cancelled while it needs an operator still ends: the compensation compares before it reverts.
            ActionProgress::Resolving { needs_operator: true, .. } if self.is_closing() => {
                let message = "it is unknown whether its change was applied".into();
                Some(Event::StepFailed { step: step.id.clone(), message, at: now })
            }
            ActionProgress::Resolving { needs_operator: true, .. } => None,
            ActionProgress::Resolving { intent, since, .. } => (now >= saturating_add(*since, RESOLVE_TIMEOUT))
                .then(|| Event::HumanInterventionRequired {
                    step: step.id.clone(),
                    message: format!(
                        "the result of the change of {} is unknown, and the object could not be read since",
                        intent.request.target
                    ),
                }),
        }
    }

    /// Handles a guarded object that is less healthy than before. A rollout may temporarily reduce the number of ready
    /// pods, so the object has the step's timeout to recover.
    fn advance_health_check(
        &self,
        step_index: usize,
        regression: &Regression,
        now: Timestamp,
    ) -> Option<Event> {
        let (step, progress) = (self.spec(step_index), &self.steps[step_index]);
        let (object, before) = self.view.health_before.get(regression.index)?;
        if progress.is_regressed {
            let message = self.view.steps[step_index].message.clone();
            return Some(Event::StepFailed {
                step: step.id.clone(),
                message: format!("it reduced the health of a guarded object: {message}"),
                at: now,
            });
        }
        if regression.at < saturating_add(progress.clock, step.timeout.signed()) {
            return None;
        }
        match (before, &regression.now) {
            (Some(before), Some(health)) => Some(Event::Regressed {
                step: step.id.clone(),
                object: object.clone(),
                before: before.clone(),
                now: health.clone(),
            }),
            // An object that cannot be read is not assumed to be healthy.
            (Some(_), None) | (None, _) => {
                let message = format!("health of {object} can no longer be read");
                Some(Event::StepFailed { step: step.id.clone(), message, at: now })
            }
        }
    }

    fn advance_compensation(
        &self,
        step_index: usize,
        action: &ActionProgress,
        rules: &Rules,
        now: Timestamp,
    ) -> Option<Event> {
        let (step, progress) = (self.spec(step_index), &self.steps[step_index]);
        match action {
            ActionProgress::Preparing(effect_request) => match self.next(step_index, Direction::Compensate, rules) {
                Err(message) => {
                    Some(Event::CompensationFailed { step: step.id.clone(), remaining: message, at: now })
                }
                Ok(Next::Done { .. }) => Some(Event::StepCompensated {
                    step: step.id.clone(),
                    message: "reverted".into(),
                    at: now,
                }),
                Ok(Next::Refused { code: ErrorCode::ChangedConcurrently, .. }) => {
                    Some(Event::StepCompensated {
                        step: step.id.clone(),
                        message: "changed concurrently: not reverted".into(),
                        at: now,
                    })
                }
                Ok(Next::Refused { message, .. }) => Some(self.fail_compensation(step_index, message, now)),
                Ok(Next::RequestApproval(question)) => Some(self.fail_compensation(
                    step_index,
                    format!("it requires an approval: {question}"),
                    now,
                )),
                Ok(Next::Wait(duration)) => {
                    let is_due = now >= saturating_add(effect_request.not_before, duration.signed());
                    is_due.then(|| Event::WaitEnded { step: step.id.clone(), at: now })
                }
                Ok(Next::Read(_) | Next::Send { .. }) if is_outage_too_long(progress, now) => Some(
                    self.fail_compensation(step_index, "the cluster could not be read for 1h".into(), now),
                ),
                Ok(Next::Read(_) | Next::Send { .. }) => {
                    let is_overdue =
                        !self.is_held() && now >= saturating_add(progress.clock, step.timeout.signed());
                    is_overdue.then(|| {
                        self.fail_compensation(step_index, format!("timed out after {}", step.timeout), now)
                    })
                }
            },
            ActionProgress::AwaitingApproval { .. } => None,
            ActionProgress::Sent { intent, at } => send_timed_out(intent, *at, now),
            ActionProgress::Resolving { intent, since, .. } => (now >= saturating_add(*since, RESOLVE_TIMEOUT))
                .then(|| Event::CompensationFailed {
                    step: step.id.clone(),
                    remaining: format!(
                        "the result of the change of {} is unknown, and the object could not be read since",
                        intent.request.target
                    ),
                    at: now,
                }),
        }
    }

    fn advance_run(&self, rules: &Rules, now: Timestamp) -> Option<Event> {
        match &self.termination {
            Termination::None if self.gate != RunGate::Open => None,
            Termination::None => self.advance_steps(now),
            Termination::Aborting => {
                let is_idle = self.steps.iter().all(StepProgress::is_idle);
                is_idle
                    .then(|| self.ended(RunStatus::Failed, self.view.message.clone(), false, now))
            }
            Termination::RollingBack { final_status, requests_replan, pause_after } => {
                if let Some((actor, reason)) = pause_after
                    && !self
                        .steps
                        .iter()
                        .any(|progress| matches!(progress.state, StepState::Compensating(_)))
                {
                    return Some(Event::Paused {
                        actor: actor.clone(),
                        reason: reason.clone(),
                        at: now,
                    });
                }
                let is_applying = self.steps.iter().any(|progress| {
                    !progress.is_idle()
                        && !matches!(
                            progress.state,
                            StepState::Compensating(_) | StepState::CompensationBackoff { .. }
                        )
                });
                if is_applying {
                    return None;
                }
                if self.has_pending_undo() {
                    return if self.is_held() || pause_after.is_some() {
                        None
                    } else {
                        self.start_compensation(rules, now)
                    };
                }
                let not_undone = self
                    .view
                    .steps
                    .iter()
                    .find(|step| step.status == StepStatus::CompensationFailed);
                Some(match not_undone {
                    Some(step) => {
                        let message = format!(
                            "{}; step `{}` could not be undone: {}",
                            self.rollback_message(),
                            step.step,
                            step.message
                        );
                        self.ended(RunStatus::Failed, message, *requests_replan, now)
                    }
                    None => {
                        self.ended(*final_status, self.rollback_message(), *requests_replan, now)
                    }
                })
            }
        }
    }

    fn advance_steps(&self, now: Timestamp) -> Option<Event> {
        // A step that caused a regression comes first: it is rolled back whatever its `onFailure` is.
        let failed = (0..self.steps.len())
            .filter(|step_index| self.has_failed(*step_index))
            .max_by_key(|step_index| self.steps[*step_index].is_regressed);
        if let Some(step_index) = failed {
            let step = &self.view.steps[step_index];
            let message = format!("step `{}` failed: {}", step.step, step.message);
            let rollback = Event::RollbackStarted {
                message: message.clone(),
                final_status: RunStatus::RolledBack,
            };
            return Some(match self.spec(step_index).on_failure {
                OnFailure::Abort if !self.steps[step_index].is_regressed => {
                    Event::AbortStarted { message }
                }
                OnFailure::Abort
                | OnFailure::Continue
                | OnFailure::RollBack
                | OnFailure::NextPlan => rollback,
            });
        }
        let condition_polls = self.success.as_ref()?;
        if let Some(message) = self.early_success_message() {
            return Some(self.ended(RunStatus::Succeeded, message, false, now));
        }
        let conditions = &self.plan.workflow.spec.success;
        let missed = condition_polls.iter().find_map(|poll| {
            let within = conditions.get(poll.index)?.within.unwrap_or(Duration::ZERO);
            let message =
                poll.deadline_error(saturating_add(self.success_since, within.signed()))?;
            Some(format!(
                "{}: {message} after {within}",
                condition_name(conditions, poll.index, "success condition")
            ))
        });
        if let Some(message) = missed {
            return Some(Event::RollbackStarted { message, final_status: RunStatus::RolledBack });
        }
        let is_met = condition_polls.iter().all(|poll| poll.is_met);
        is_met.then(|| self.ended(RunStatus::Succeeded, "all steps succeeded".into(), false, now))
    }

    fn start_compensation(&self, rules: &Rules, now: Timestamp) -> Option<Event> {
        let step_index = self.undoable().next()?;
        let step = self.spec(step_index).id.clone();
        Some(match self.undo_of(step_index, rules) {
            Undo::Action { .. } => Event::CompensationStarted { step, attempt: 1, at: now },
            Undo::Nothing { message } => Event::StepCompensated { step, message, at: now },
            Undo::Impossible { message } => {
                Event::CompensationFailed { step, remaining: message, at: now }
            }
        })
    }

    /// Returns the event that ends an attempt: a retry if the step's retry policy allows one for this failure, else the
    /// failure of the step.
    pub(super) fn fail(
        &self,
        step_index: usize,
        on: Option<RetryOn>,
        message: String,
        now: Timestamp,
    ) -> Event {
        let (step, progress) = (self.spec(step_index), &self.steps[step_index]);
        let attempt = self.view.steps[step_index].attempts;
        let retry = &step.retry;
        let on = on.filter(|on| {
            let is_exhausted = *on == RetryOn::Conflict && progress.conflicts > MAX_CONFLICTS;
            retry.on.contains(on)
                && retry.strategy != RetryStrategy::None
                && attempt < retry.attempts
                && !is_exhausted
                && !self.is_closing()
        });
        let Some(on) = on else {
            return Event::StepFailed { step: step.id.clone(), message, at: now };
        };
        let retry_after_seconds = match progress.replies.last() {
            Some(Reply::Write(reply)) => reply.retry_after_seconds().unwrap_or(0),
            Some(Reply::Read(_) | Reply::Waited | Reply::Approved) | None => 0,
        };
        let retry_after = SignedDuration::from_secs(i64::from(retry_after_seconds));
        let delay = backoff::delay(retry, &self.step_key(step_index, Direction::Apply), attempt)
            .max(retry_after);
        Event::RetryScheduled {
            step: step.id.clone(),
            on,
            message,
            retry_at: saturating_add(now, delay),
        }
    }

    pub(super) fn fail_compensation(
        &self,
        step_index: usize,
        message: String,
        now: Timestamp,
    ) -> Event {
        let (step, progress) = (self.spec(step_index).id.clone(), &self.steps[step_index]);
        if progress.undo_attempts < MAX_COMPENSATION_ATTEMPTS {
            let delay = backoff::undo(
                &self.step_key(step_index, Direction::Compensate),
                progress.undo_attempts,
            );
            Event::CompensationRetryScheduled {
                step,
                message,
                retry_at: saturating_add(now, delay),
            }
        } else {
            Event::CompensationFailed { step, remaining: message, at: now }
        }
    }

    /// Returns the next operation of the step's action or of its compensation.
    pub(super) fn next(
        &self,
        step_index: usize,
        direction: Direction,
        rules: &Rules,
    ) -> Result<Next, String> {
        let (spec, args) = self.args(step_index, direction, rules)?;
        let progress = &self.steps[step_index];
        let replies = match direction {
            Direction::Apply => &progress.replies,
            Direction::Compensate => &progress.undo_replies,
        };
        Ok(actions::next(spec, &args, &self.step_key(step_index, direction), replies))
    }

    /// Returns the action of a step or of its compensation, and the arguments with every placeholder evaluated.
    pub(super) fn args<'r>(
        &self,
        step_index: usize,
        direction: Direction,
        rules: &'r Rules,
    ) -> Result<(&'r ActionSpec, Args), String> {
        let (action, args) = match direction {
            Direction::Apply => {
                let step = self.spec(step_index);
                let variables =
                    interpolate::variables(&self.plan.workflow, &self.view, &self.plan.targets);
                (step.action.clone(), interpolate::arguments(&step.arguments, &variables)?)
            }
            Direction::Compensate => match self.undo_of(step_index, rules) {
                Undo::Action { action, args } => (action, args),
                Undo::Nothing { message } => return Err(message),
                Undo::Impossible { message } => return Err(message),
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
        message: String,
        requests_replan: bool,
        now: Timestamp,
    ) -> Event {
        Event::Ended { status, message, requests_replan, at: now }
    }

    fn closing_message(&self) -> String {
        match self.termination {
            Termination::None | Termination::RollingBack { .. } => {
                "stopped because the run is rolling back".into()
            }
            Termination::Aborting => "stopped because the run is aborting".into(),
        }
    }

    fn rollback_message(&self) -> String {
        if self.view.message.is_empty() {
            "applied steps were undone".into()
        } else {
            self.view.message.clone()
        }
    }
}

fn send_timed_out(intent: &super::state::Intent, sent: Timestamp, now: Timestamp) -> Option<Event> {
    (now >= saturating_add(sent, SEND_TIMEOUT)).then(|| Event::EffectAnswered {
        key: intent.key.clone(),
        attempt: intent.attempt,
        reply: WriteReply::Unknown {
            message: format!("no reply within {} s", SEND_TIMEOUT.as_secs()),
        },
        read: None,
        applied: Applied::Unknown,
        at: now,
    })
}

fn is_outage_too_long(progress: &StepProgress, now: Timestamp) -> bool {
    progress.failing_since.is_some_and(|since| now >= saturating_add(since, OUTAGE_TIMEOUT))
}

fn condition_name(conditions: &[workflow::Condition], index: usize, what: &str) -> String {
    match conditions.get(index) {
        Some(workflow::Condition { name: Some(name), .. }) => format!("{what} `{name}`"),
        Some(condition) => format!("{what} {} (`{}`)", index + 1, condition.check),
        None => format!("{what} {}", index + 1),
    }
}
