//! Folds events into the run. Live runs and replays use the same code.

use actions::Reply;
use cluster::{Health, ObjectRef, ReadReply, Verb, WriteReply};
use jiff::Timestamp;
use workflow::Truth;
use workflow::condition::Condition;
use workflow::duration::Duration;
use workflow::manifest::OnFailure;
use workflow::run::{Applied, Event, Phase, RunStatus};

use super::state::{
    ActionProgress, ConditionPoll, EffectRequest, Intent, Regression, RunGate, StepState,
    Termination,
};
use super::{Run, backoff, saturating_add};

impl Run {
    /// Folds one recorded event into the state.
    pub fn apply(&mut self, event: &Event) {
        self.view.apply(event);
        if let Some(at) = timestamp(event) {
            self.latest = self.latest.max(at);
        }
        match event {
            Event::CancelRequested { actor, reason } => self.cancel_requested(actor, reason),
            Event::Started { .. } | Event::Ended { .. } => {}
            Event::Admitted { at } => {
                self.gate = if self.view.guarded.is_empty() {
                    RunGate::Open
                } else {
                    RunGate::Baseline { effect_request: self.next_effect(*at), attempts: 0 }
                };
            }
            Event::BaselineMeasured { .. } => self.gate = RunGate::Open,
            Event::ReadFailed { step: None, retry_at, .. } => {
                if let RunGate::Baseline { attempts, .. } = self.gate {
                    self.gate = RunGate::Baseline {
                        effect_request: self.next_effect(*retry_at),
                        attempts: attempts + 1,
                    };
                }
            }
            Event::ReadFailed { step: Some(step), retry_at, at, .. } => {
                self.read_failed(step, *retry_at, *at)
            }
            Event::StepStarted { step, at, .. } => self.with_step(step, |run, step_index| {
                let progress = &mut run.steps[step_index];
                progress.clock = *at;
                progress.replies.clear();
                progress.failed_reads = 0;
                progress.failing_since = None;
                run.prepare(step_index, *at);
            }),
            Event::StepSkipped { step, .. } | Event::StepSucceeded { step, .. } => {
                self.set_state(step, StepState::Finished)
            }
            Event::StepFailed { step, .. } => self.with_step(step, |run, step_index| {
                let progress = &mut run.steps[step_index];
                progress.is_unknown |= matches!(
                    progress.action(),
                    Some(ActionProgress::Resolving { .. } | ActionProgress::Sent { .. })
                );
                progress.state = StepState::Finished;
            }),
            Event::ConditionEvaluated { step, phase, index, result, at, .. } => {
                self.condition_evaluated(step.as_deref(), *phase, *index, result, *at)
            }
            Event::ApprovalRequested { step, expires_at, .. } => {
                self.with_step(step, |run, step_index| {
                    let expires_at = *expires_at;
                    let progress = &mut run.steps[step_index];
                    progress.state = if matches!(progress.state, StepState::Applying(_)) {
                        StepState::Applying(ActionProgress::AwaitingApproval { expires_at })
                    } else {
                        StepState::AwaitingApproval { expires_at }
                    };
                })
            }
            Event::ApprovalDecided { step, is_approved, actor } => self
                .with_step(step, |run, step_index| {
                    run.approval_decided(step_index, *is_approved, actor)
                }),
            Event::Observed { step, replies, at } => {
                self.add_replies(step, replies.iter().cloned().map(Reply::Read), *at)
            }
            Event::WaitEnded { step, at } => self.add_replies(step, [Reply::Waited], *at),
            Event::IntentWritten { step, effect, key, attempt, request, at } => {
                self.with_step(step, |run, step_index| {
                    let intent = Intent {
                        effect: effect.clone(),
                        key: key.clone(),
                        attempt: *attempt,
                        request: request.clone(),
                    };
                    if let StepState::Applying(action) | StepState::Compensating(action) =
                        &mut run.steps[step_index].state
                    {
                        *action = ActionProgress::Sent { intent, at: *at };
                    }
                })
            }
            Event::EffectAnswered { key, reply, read, applied, at, .. } => {
                self.effect_answered(key, reply, read.as_ref(), *applied, *at)
            }
            Event::ActionDone { step, prior, .. } => self.with_step(step, |run, step_index| {
                run.steps[step_index].is_action_done = true;
                run.steps[step_index].has_prior = !prior.is_null();
                run.steps[step_index].clock = run.latest;
                let conditions = run.spec(step_index).postconditions.clone();
                if conditions.is_empty() {
                    run.check_health(step_index, run.latest);
                } else {
                    run.steps[step_index].state = StepState::CheckingPostconditions(
                        run.condition_polls(&conditions, run.latest),
                    );
                }
            }),
            Event::HealthMeasured { step, health, at } => {
                self.with_step(step, |run, step_index| match run.steps[step_index].state {
                    StepState::Reconsidering(_) => {
                        run.record_reconsideration(step_index, health, *at)
                    }
                    _ => run.health_checked(step_index, health, *at),
                })
            }
            Event::AlertChanged { status, at } => self.alert_changed(*status, *at),
            Event::Regressed { step, .. } => {
                self.with_step(step, |run, step_index| run.steps[step_index].is_regressed = true)
            }
            Event::RetryScheduled { step, retry_at, .. } => {
                self.set_state(step, StepState::Backoff { until: *retry_at })
            }
            Event::Paused { at, .. } => {
                self.held_since.get_or_insert(*at);
                if let Termination::RollingBack { pause_after, .. } = &mut self.termination {
                    *pause_after = None;
                }
            }
            Event::StopApplied { at, .. } => {
                self.held_since.get_or_insert(*at);
            }
            Event::Resumed { at, .. } => {
                self.retry_unresolved(*at);
                self.release_hold(*at);
            }
            Event::StopCleared { at, .. } => self.release_hold(*at),
            Event::AbortStarted { .. } => self.termination = Termination::Aborting,
            Event::RollbackStarted { final_status, .. } => {
                let requests_replan =
                    *final_status != RunStatus::Cancelled && self.requests_replan();
                self.termination = Termination::RollingBack {
                    final_status: *final_status,
                    requests_replan,
                    pause_after: None,
                };
                self.success = None;
                self.release_hold(self.latest);
            }
            Event::CompensationStarted { step, attempt, at } => {
                self.with_step(step, |run, step_index| {
                    let effect_request = run.next_effect(*at);
                    let progress = &mut run.steps[step_index];
                    progress.undo_attempts = *attempt;
                    progress.undo_replies.clear();
                    progress.failed_reads = 0;
                    progress.failing_since = None;
                    progress.clock = *at;
                    progress.state =
                        StepState::Compensating(ActionProgress::Preparing(effect_request));
                })
            }
            Event::CompensationRetryScheduled { step, retry_at, .. } => {
                self.set_state(step, StepState::CompensationBackoff { until: *retry_at })
            }
            Event::StepCompensated { step, .. } | Event::CompensationFailed { step, .. } => {
                self.set_state(step, StepState::Compensated)
            }
            Event::HumanInterventionRequired { step, .. } => {
                self.with_step(step, |run, step_index| {
                    if let StepState::Applying(ActionProgress::Resolving {
                        needs_operator, ..
                    }) = &mut run.steps[step_index].state
                    {
                        *needs_operator = true;
                    }
                })
            }
        }
        self.schedule_ready_steps();
    }

    /// A cancellation during a rollback with another cause pauses the run after the compensation in progress.
    fn cancel_requested(&mut self, actor: &str, reason: &str) {
        if let Termination::RollingBack { pause_after, .. } = &mut self.termination {
            *pause_after = Some((actor.into(), reason.into()));
        }
    }

    /// Makes steps whose dependencies are finished ready, and starts the success conditions after the last step.
    fn schedule_ready_steps(&mut self) {
        if self.gate != RunGate::Open || self.is_closing() || self.view.ended_at.is_some() {
            return;
        }
        for step_index in 0..self.steps.len() {
            if self.steps[step_index].state == StepState::Pending
                && self.spec(step_index).needs.iter().all(|need| self.is_dependency_met(need))
            {
                if self.spec(step_index).when.is_some() {
                    self.steps[step_index].state =
                        StepState::EvaluatingWhen(self.next_effect(self.latest));
                } else {
                    self.make_ready(step_index, self.latest);
                }
            }
        }
        let all_finished = (0..self.steps.len()).all(|step_index| {
            self.steps[step_index].state == StepState::Finished && !self.has_failed(step_index)
        });
        if all_finished && self.success.is_none() {
            let conditions = self.plan.workflow.spec.success.clone();
            self.success_since = self.latest;
            self.success = Some(self.condition_polls(&conditions, self.latest));
        }
    }

    /// Whether the steps that depend on `step` may start.
    fn is_dependency_met(&self, step: &str) -> bool {
        self.index_of(step).is_some_and(|step_index| {
            self.steps[step_index].state == StepState::Finished && !self.has_failed(step_index)
        })
    }

    /// Whether the step failed and the run must not continue past the failure.
    pub(super) fn has_failed(&self, step_index: usize) -> bool {
        let progress = &self.steps[step_index];
        let failed = self.view.steps[step_index].status == workflow::run::StepStatus::Failed;
        failed
            && (progress.is_regressed
                || progress.is_unknown
                || self.spec(step_index).on_failure != OnFailure::Continue)
    }

    fn requests_replan(&self) -> bool {
        let by_step = (0..self.steps.len()).any(|step_index| {
            self.has_failed(step_index)
                && (self.steps[step_index].is_regressed
                    || self.spec(step_index).on_failure == OnFailure::NextPlan)
        });
        // All steps succeeded but the success conditions were not met.
        by_step || self.success.is_some()
    }

    /// Starts an attempt: with the preconditions, or with the action if there are none.
    fn prepare(&mut self, step_index: usize, at: Timestamp) {
        let conditions = self.spec(step_index).preconditions.clone();
        self.steps[step_index].state = if conditions.is_empty() {
            StepState::Applying(ActionProgress::Preparing(self.next_effect(at)))
        } else {
            StepState::CheckingPreconditions(self.condition_polls(&conditions, at))
        };
    }

    fn condition_polls(&mut self, conditions: &[Condition], at: Timestamp) -> Vec<ConditionPoll> {
        (0..conditions.len())
            .map(|index| ConditionPoll {
                index,
                effect_request: self.next_effect(at),
                attempts: 0,
                last: None,
                true_since: None,
                is_met: false,
            })
            .collect()
    }

    fn condition_evaluated(
        &mut self,
        step: Option<&str>,
        phase: Phase,
        index: usize,
        result: &Truth,
        at: Timestamp,
    ) {
        let next = self.next_effect(at);
        let Some(step) = step else {
            let condition = self.plan.workflow.spec.success.get(index).cloned();
            if let (Some(condition), Some(condition_polls)) = (condition, &mut self.success) {
                record_condition(
                    condition_polls,
                    &ConditionResult {
                        index,
                        result,
                        at,
                        deadline: deadline(&condition, self.success_since),
                        hold_for: hold_for(&condition),
                    },
                    next,
                );
            }
            return;
        };
        let Some(step_index) = self.index_of(step) else { return };
        let plan = self.plan.clone();
        let (step, progress) = (&plan.workflow.spec.steps[step_index], &mut self.steps[step_index]);
        match (phase, &mut progress.state) {
            (Phase::When, StepState::EvaluatingWhen(_)) => {
                if *result == Truth::True {
                    self.make_ready(step_index, at);
                } else {
                    progress.state = StepState::Skipping {
                        message: format!("`when` is {}", describe_result(result)),
                    };
                }
            }
            (Phase::Pre, StepState::CheckingPreconditions(condition_polls)) => {
                // Preconditions must be true at the first evaluation; `within` and `holdFor` apply to post-conditions only.
                record_condition(
                    condition_polls,
                    &ConditionResult {
                        index,
                        result,
                        at,
                        deadline: None,
                        hold_for: Duration::ZERO,
                    },
                    next,
                );
                if condition_polls.iter().all(|poll| poll.is_met) {
                    self.steps[step_index].state =
                        StepState::Applying(ActionProgress::Preparing(self.next_effect(at)));
                }
            }
            (Phase::Post, StepState::CheckingPostconditions(condition_polls)) => {
                let Some(condition) = step.postconditions.get(index) else { return };
                record_condition(
                    condition_polls,
                    &ConditionResult {
                        index,
                        result,
                        at,
                        deadline: deadline(condition, progress.clock),
                        hold_for: hold_for(condition),
                    },
                    next,
                );
                if condition_polls.iter().all(|poll| poll.is_met) {
                    self.check_health(step_index, at);
                }
            }
            (Phase::When | Phase::Pre | Phase::Post | Phase::Success, _) => {}
        }
    }

    fn approval_decided(&mut self, step_index: usize, is_approved: bool, actor: &str) {
        let at = self.latest;
        let effect_request = self.next_effect(at);
        let progress = &mut self.steps[step_index];
        progress.state = match (&progress.state, is_approved) {
            (_, false) if actor.is_empty() => {
                StepState::Declined { message: "the approval request expired".into() }
            }
            (_, false) => StepState::Declined { message: format!("{actor} rejected it") },
            (StepState::Applying(_), true) => {
                progress.replies.push(Reply::Approved);
                StepState::Applying(ActionProgress::Preparing(effect_request))
            }
            (_, true) => {
                progress.is_approved = true;
                return self.make_ready(step_index, at);
            }
        };
    }

    fn read_failed(&mut self, step: &str, retry_at: Timestamp, at: Timestamp) {
        self.with_step(step, |run, step_index| {
            let next = run.next_effect(retry_at);
            let progress = &mut run.steps[step_index];
            progress.failed_reads += 1;
            progress.failing_since.get_or_insert(at);
            if let StepState::Applying(action) | StepState::Compensating(action) =
                &mut progress.state
            {
                match action {
                    ActionProgress::Preparing(effect_request) => {
                        *effect_request = next;
                        // The time of an outage does not count against the step's timeout.
                        progress.clock =
                            saturating_add(progress.clock, retry_at.duration_since(at));
                    }
                    ActionProgress::Resolving { effect_request, .. } => *effect_request = next,
                    ActionProgress::AwaitingApproval { .. } | ActionProgress::Sent { .. } => {}
                }
            }
        });
    }

    /// Adds replies to those of the action or compensation in progress, which then determines its next operation.
    fn add_replies(&mut self, step: &str, replies: impl IntoIterator<Item = Reply>, at: Timestamp) {
        self.with_step(step, |run, step_index| {
            let effect_request = run.next_effect(at);
            let progress = &mut run.steps[step_index];
            progress.failed_reads = 0;
            progress.failing_since = None;
            match &mut progress.state {
                StepState::Applying(action) => {
                    progress.replies.extend(replies);
                    *action = ActionProgress::Preparing(effect_request);
                }
                StepState::Compensating(action) => {
                    progress.undo_replies.extend(replies);
                    *action = ActionProgress::Preparing(effect_request);
                }
                _ => {}
            }
        });
    }

    fn effect_answered(
        &mut self,
        key: &str,
        reply: &WriteReply,
        read: Option<&ReadReply>,
        applied: Applied,
        at: Timestamp,
    ) {
        let step_index = self.steps.iter().position(|progress| match progress.action() {
            Some(
                ActionProgress::Sent { intent, .. } | ActionProgress::Resolving { intent, .. },
            ) => intent.key == key,
            Some(ActionProgress::Preparing(_) | ActionProgress::AwaitingApproval { .. }) | None => {
                false
            }
        });
        let Some(step_index) = step_index else { return };
        let next = self.next_effect(at);
        let progress = &mut self.steps[step_index];
        let is_undo = matches!(progress.state, StepState::Compensating(_));
        let (StepState::Applying(action) | StepState::Compensating(action)) = &mut progress.state
        else {
            return;
        };
        let (intent, lost_reply) = match action {
            ActionProgress::Sent { intent, .. } => (intent.clone(), None),
            ActionProgress::Resolving { intent, lost_reply, since, .. } => {
                // The time spent resolving does not count against the step's timeout.
                progress.clock = saturating_add(progress.clock, at.duration_since(*since));
                (intent.clone(), Some(lost_reply.clone()))
            }
            ActionProgress::Preparing(_) | ActionProgress::AwaitingApproval { .. } => return,
        };
        if applied == Applied::Unknown && lost_reply.is_none() {
            *action = ActionProgress::Resolving {
                effect_request: next,
                intent,
                lost_reply: reply.clone(),
                since: at,
                needs_operator: false,
            };
            return;
        }
        *action = ActionProgress::Preparing(next);
        let is_removal = matches!(intent.request.verb, Verb::Delete { .. } | Verb::Evict);
        progress.failed_reads = 0;
        progress.failing_since = None;
        let reply = match (applied, read, lost_reply) {
            (Applied::Yes, Some(ReadReply::Found(object)), _) if !is_removal => {
                WriteReply::Accepted(object.clone())
            }
            (Applied::Yes, Some(_), _) => WriteReply::Deleted,
            // If the change was resolved as not applied, the action still sees the original unknown reply.
            (Applied::No | Applied::Unknown, _, Some(lost_reply))
                if !matches!(reply, WriteReply::Conflict { .. } | WriteReply::Refused { .. }) =>
            {
                lost_reply
            }
            (Applied::Yes | Applied::No | Applied::Unknown, _, _) => reply.clone(),
        };
        // An API server answers 422 both to a failed JSON patch `test` and to an invalid patch. The action finds out which
        // by reading the object again.
        let is_conflict =
            matches!(reply, WriteReply::Conflict { .. } | WriteReply::Refused { code: 422, .. });
        let (replies, count) = if is_undo {
            (&mut progress.undo_replies, &mut progress.undo_applied)
        } else {
            (&mut progress.replies, &mut progress.applied)
        };
        replies.push(reply.into());
        *count += u32::from(applied == Applied::Yes);
        if applied == Applied::Unknown {
            progress.is_unknown = true;
        }
        if is_conflict {
            progress.conflicts += 1;
            // Another writer changed the object, or may have: the preconditions must be checked again.
            if !is_undo && !self.is_closing() {
                self.prepare(step_index, at);
            }
        }
    }

    /// Starts the health check after a step; the step is verified at once if no object is guarded.
    fn check_health(&mut self, step_index: usize, at: Timestamp) {
        self.steps[step_index].clock = at;
        self.steps[step_index].state = if self.view.guarded.is_empty() {
            StepState::Verified
        } else {
            StepState::CheckingHealth {
                effect_request: self.next_effect(at),
                polls: 0,
                regression: None,
            }
        };
    }

    fn health_checked(
        &mut self,
        step_index: usize,
        health: &[(ObjectRef, Option<Health>)],
        at: Timestamp,
    ) {
        let StepState::CheckingHealth { polls, .. } = self.steps[step_index].state else { return };
        let regression =
            self.find_regression(health).map(|(index, now)| Regression { at, index, now });
        self.steps[step_index].state = match regression {
            None => StepState::Verified,
            Some(regression) => StepState::CheckingHealth {
                effect_request: self.next_effect(saturating_add(at, backoff::poll(polls + 1))),
                polls: polls + 1,
                regression: Some(regression),
            },
        };
    }

    /// Returns the first guarded object that is less healthy than before the run or can no longer be read.
    fn find_regression(
        &self,
        health: &[(ObjectRef, Option<Health>)],
    ) -> Option<(usize, Option<Health>)> {
        self.view.health_before.iter().enumerate().find_map(|(index, (object, before))| {
            let before = before.as_ref()?;
            match health
                .iter()
                .find(|(other, _)| other.is_same(object))
                .and_then(|(_, now)| now.as_ref())
            {
                Some(now) if !now.is_worse_than(before) => None,
                now => Some((index, now.cloned())),
            }
        })
    }

    /// An operator resumed the run: changes with an unknown result are read once more.
    fn retry_unresolved(&mut self, at: Timestamp) {
        for step_index in 0..self.steps.len() {
            if self.steps[step_index].needs_operator() {
                let next = self.next_effect(at);
                if let StepState::Applying(ActionProgress::Resolving {
                    effect_request,
                    since,
                    needs_operator,
                    ..
                }) = &mut self.steps[step_index].state
                {
                    (*effect_request, *since, *needs_operator) = (next, at, false);
                }
            }
        }
    }

    /// If neither a pause nor a stop holds the run any longer, extends the time limits of everything in progress by the
    /// time that it was held.
    fn release_hold(&mut self, at: Timestamp) {
        if self.view.is_paused || self.view.emergency_stop.is_some() {
            return;
        }
        if let Some(since) = self.held_since.take() {
            let held_for = at.duration_since(since);
            for progress in self.steps.iter_mut().filter(|progress| !progress.is_idle()) {
                progress.clock = saturating_add(progress.clock, held_for);
            }
            self.success_since = saturating_add(self.success_since, held_for);
            self.reconsider(at);
        }
    }

    fn with_step(&mut self, step: &str, change: impl FnOnce(&mut Self, usize)) {
        if let Some(step_index) = self.index_of(step) {
            change(self, step_index);
        }
    }

    fn set_state(&mut self, step: &str, state: StepState) {
        self.with_step(step, |run, step_index| run.steps[step_index].state = state);
    }
}

/// One evaluation of a condition, with the time limits of the condition.
struct ConditionResult<'a> {
    index: usize,
    result: &'a Truth,
    at: Timestamp,
    /// When the condition must be true at the latest; `None` for preconditions.
    deadline: Option<Timestamp>,
    /// How long it must stay true.
    hold_for: Duration,
}

fn deadline(condition: &Condition, since: Timestamp) -> Option<Timestamp> {
    Some(saturating_add(since, condition.within.unwrap_or(Duration::ZERO).signed()))
}

fn hold_for(condition: &Condition) -> Duration {
    condition.hold_for.unwrap_or(Duration::ZERO)
}

/// Folds one evaluation into its poll; `next` is the effect of the evaluation after it.
fn record_condition(
    condition_polls: &mut [ConditionPoll],
    evaluation: &ConditionResult<'_>,
    mut next: EffectRequest,
) {
    let Some(poll) = condition_polls.iter_mut().find(|poll| poll.index == evaluation.index) else {
        return;
    };
    poll.attempts += 1;
    poll.last = Some((evaluation.result.clone(), evaluation.at));
    next.not_before = saturating_add(evaluation.at, backoff::poll(poll.attempts));
    if *evaluation.result == Truth::True {
        let from = *poll.true_since.get_or_insert(evaluation.at);
        let until = saturating_add(from, evaluation.hold_for.signed());
        poll.is_met = evaluation.at >= until;
        next.not_before = next.not_before.min(until.max(evaluation.at));
    } else {
        poll.true_since = None;
        // The last evaluation is made exactly at the deadline, so that a condition that becomes true between two polls is
        // not missed.
        if let Some(deadline) = evaluation.deadline.filter(|deadline| evaluation.at < *deadline) {
            next.not_before = next.not_before.min(deadline);
        }
    }
    poll.effect_request = next;
}

fn describe_result(result: &Truth) -> String {
    match result {
        Truth::True => "true".into(),
        Truth::False => "false".into(),
        Truth::Unknown { message: reason } => format!("not known: {reason}"),
    }
}

/// Returns the timestamp of the event, if it has one.
fn timestamp(event: &Event) -> Option<Timestamp> {
    match event {
        Event::Started { at, .. }
        | Event::Admitted { at }
        | Event::StepStarted { at, .. }
        | Event::ConditionEvaluated { at, .. }
        | Event::Observed { at, .. }
        | Event::WaitEnded { at, .. }
        | Event::ReadFailed { at, .. }
        | Event::IntentWritten { at, .. }
        | Event::EffectAnswered { at, .. }
        | Event::HealthMeasured { at, .. }
        | Event::AlertChanged { at, .. }
        | Event::StepSucceeded { at, .. }
        | Event::StepFailed { at, .. }
        | Event::Paused { at, .. }
        | Event::Resumed { at, .. }
        | Event::StopApplied { at, .. }
        | Event::StopCleared { at, .. }
        | Event::CompensationStarted { at, .. }
        | Event::StepCompensated { at, .. }
        | Event::CompensationFailed { at, .. }
        | Event::Ended { at, .. } => Some(*at),
        Event::BaselineMeasured { .. }
        | Event::StepSkipped { .. }
        | Event::ApprovalRequested { .. }
        | Event::ApprovalDecided { .. }
        | Event::ActionDone { .. }
        | Event::Regressed { .. }
        | Event::RetryScheduled { .. }
        | Event::CancelRequested { .. }
        | Event::AbortStarted { .. }
        | Event::RollbackStarted { .. }
        | Event::CompensationRetryScheduled { .. }
        | Event::HumanInterventionRequired { .. } => None,
    }
}
