//! Events that an input causes directly, before anything follows from them.

use cluster::{ReadReply, WriteReply};
use jiff::Timestamp;
use workflow::id::EffectId;
use workflow::run::{Applied, Control, Event, Phase, RunInput, RunStatus};

use super::state::{ActionProgress, ConditionPoll, RunGate, StepState, Termination};
use super::{Rejected, Run, backoff, payload_limit, saturating_add};

/// Attempts to measure the health before the run; then the run starts without the objects that could not be read.
const MAX_BASELINE_ATTEMPTS: u32 = 6;

impl Run {
    pub(super) fn respond(&self, input: &RunInput, now: Timestamp) -> Result<Vec<Event>, Rejected> {
        match input {
            RunInput::Submit { .. } => {
                Err(Rejected::AlreadySubmitted { run: self.view.run.clone() })
            }
            RunInput::Control { control, actor, reason, .. } => {
                self.controlled(control, actor, reason, now)
            }
            RunInput::Stop { level, actor, reason, .. } => {
                Ok(if self.view.emergency_stop.is_some_and(|active| active >= *level) {
                    Vec::new()
                } else {
                    vec![Event::StopApplied {
                        level: *level,
                        actor: actor.clone(),
                        reason: reason.clone(),
                        at: now,
                    }]
                })
            }
            RunInput::ClearStop { actor, reason, .. } => {
                Ok(if self.view.emergency_stop.is_none() {
                    Vec::new()
                } else {
                    vec![Event::StopCleared {
                        actor: actor.clone(),
                        reason: reason.clone(),
                        at: now,
                    }]
                })
            }
            RunInput::Observed { effect, replies, .. } => self.observed(effect, replies, now),
            RunInput::ChangeAnswered { effect, reply, .. } => self.answered(effect, reply, now),
            RunInput::ConditionEvaluated { effect, result, read_digest, .. } => {
                let (step, phase, index) =
                    self.evaluated_condition(effect).ok_or_else(|| not_pending(effect))?;
                let step = step.map(|step| self.spec(step).id.clone());
                Ok(vec![Event::ConditionEvaluated {
                    step,
                    phase,
                    index,
                    result: result.clone(),
                    read_digest: *read_digest,
                    at: now,
                }])
            }
            RunInput::HealthMeasured { effect, health, .. } => self.measured(effect, health, now),
            RunInput::AlertChanged { status, .. } => Ok(if self.alert_status() == *status {
                Vec::new()
            } else {
                vec![Event::AlertChanged { status: *status, at: now }]
            }),
            RunInput::Due => Ok(Vec::new()),
        }
    }

    fn controlled(
        &self,
        control: &Control,
        actor: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        let (actor, reason) = (actor.to_string(), reason.to_string());
        match control {
            Control::Pause => Ok(if self.view.is_paused {
                Vec::new()
            } else {
                vec![Event::Paused { actor, reason, at: now }]
            }),
            Control::Resume => {
                let is_waiting =
                    self.view.is_paused || self.is_held() && self.view.emergency_stop.is_none();
                if !is_waiting {
                    return Err(Rejected::NotPaused { run: self.view.run.clone() });
                }
                Ok(vec![Event::Resumed { actor, at: now }])
            }
            Control::Cancel => match &self.termination {
                Termination::None => {
                    let message = format!("cancelled by {actor}: {reason}");
                    Ok(vec![
                        Event::CancelRequested { actor, reason },
                        Event::RollbackStarted { message, final_status: RunStatus::Cancelled },
                    ])
                }
                Termination::Aborting => {
                    Err(Rejected::AlreadyEnding { run: self.view.run.clone() })
                }
                // Repeating a cancellation has no effect.
                Termination::RollingBack { final_status: RunStatus::Cancelled, .. }
                | Termination::RollingBack { pause_after: Some(_), .. } => Ok(Vec::new()),
                Termination::RollingBack { .. } if self.view.is_paused => Ok(Vec::new()),
                Termination::RollingBack { .. } => {
                    Ok(vec![Event::CancelRequested { actor, reason }])
                }
            },
            Control::ApproveStep { step } => self.approval_decided_by(step, true, actor),
            Control::RejectStep { step } => self.approval_decided_by(step, false, actor),
        }
    }

    fn approval_decided_by(
        &self,
        step: &str,
        is_approved: bool,
        actor: String,
    ) -> Result<Vec<Event>, Rejected> {
        let is_awaited = self.index_of(step).is_some_and(|step_index| {
            matches!(self.steps[step_index].state, StepState::AwaitingApproval { .. })
                || matches!(
                    self.steps[step_index].action(),
                    Some(ActionProgress::AwaitingApproval { .. })
                )
        });
        if is_awaited {
            Ok(vec![Event::ApprovalDecided { step: step.into(), is_approved, actor }])
        } else {
            Err(Rejected::NoApprovalRequested { step: step.into() })
        }
    }

    fn observed(
        &self,
        effect: &EffectId,
        replies: &[ReadReply],
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        let step_index = self.steps.iter().position(|step| match step.action() {
            Some(
                ActionProgress::Preparing(effect_request)
                | ActionProgress::Resolving { effect_request, needs_operator: false, .. },
            ) => effect_request.id == *effect,
            Some(
                ActionProgress::Resolving { needs_operator: true, .. }
                | ActionProgress::AwaitingApproval { .. }
                | ActionProgress::Sent { .. },
            )
            | None => false,
        });
        let step_index = step_index.ok_or_else(|| not_pending(effect))?;
        let (progress, step) = (&self.steps[step_index], self.spec(step_index).id.clone());
        let read_error = replies.iter().find_map(|reply| match reply {
            ReadReply::Unavailable { message } => Some(message.clone()),
            ReadReply::Found(_)
            | ReadReply::NotFound
            | ReadReply::Listed(_)
            | ReadReply::Refused { .. }
            | ReadReply::NotSent(_)
            | ReadReply::NotRecordable { .. } => None,
        });
        if let Some(message) = read_error {
            let delay =
                backoff::outage(&format!("{}/{step}", self.view.run), progress.failed_reads + 1);
            return Ok(vec![Event::ReadFailed {
                step: Some(step),
                message,
                retry_at: saturating_add(now, delay),
                at: now,
            }]);
        }
        match progress.action() {
            Some(ActionProgress::Resolving { intent, lost_reply, .. }) => {
                let Some(read) = replies.first() else { return Err(not_pending(effect)) };
                let applied = actions::was_applied(&intent.request, read);
                if applied == Applied::Unknown {
                    let message = format!(
                        "the result of the change of {} is unknown, and its current state does not show whether it was applied",
                        intent.request.target
                    );
                    return Ok(vec![match progress.state {
                        StepState::Compensating(_) => {
                            Event::CompensationFailed { step, remaining: message, at: now }
                        }
                        _ => Event::HumanInterventionRequired { step, message },
                    }]);
                }
                let (reply, read) = payload_limit::resolution(lost_reply, read);
                Ok(vec![Event::EffectAnswered {
                    key: intent.key.clone(),
                    attempt: intent.attempt,
                    reply,
                    read: Some(read),
                    applied,
                    at: now,
                }])
            }
            Some(
                ActionProgress::Preparing(_)
                | ActionProgress::AwaitingApproval { .. }
                | ActionProgress::Sent { .. },
            )
            | None => {
                let replies = payload_limit::read_replies(replies);
                Ok(vec![Event::Observed { step, replies, at: now }])
            }
        }
    }

    fn answered(
        &self,
        effect: &EffectId,
        reply: &WriteReply,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        for progress in &self.steps {
            let (intent, is_late) = match progress.action() {
                Some(ActionProgress::Sent { intent, .. }) => (intent, false),
                Some(ActionProgress::Resolving { intent, .. }) => (intent, true),
                Some(ActionProgress::Preparing(_) | ActionProgress::AwaitingApproval { .. })
                | None => continue,
            };
            let applied = classify(reply);
            // A late reply is accepted if it resolves an unknown result, and rejected otherwise.
            if intent.effect == *effect && !(is_late && applied == Applied::Unknown) {
                let (key, attempt) = (intent.key.clone(), intent.attempt);
                return Ok(vec![Event::EffectAnswered {
                    key,
                    attempt,
                    reply: payload_limit::write_reply(reply),
                    read: None,
                    applied,
                    at: now,
                }]);
            }
        }
        Err(not_pending(effect))
    }

    /// Returns the condition that is evaluated under this effect: its step, its list and its index there.
    fn evaluated_condition(&self, effect: &EffectId) -> Option<(Option<usize>, Phase, usize)> {
        let index_in = |condition_polls: &[ConditionPoll]| {
            condition_polls
                .iter()
                .find(|poll| !poll.is_met && poll.effect_request.id == *effect)
                .map(|poll| poll.index)
        };
        for (step_index, progress) in self.steps.iter().enumerate() {
            let found = match &progress.state {
                StepState::EvaluatingWhen(effect_request) if effect_request.id == *effect => {
                    Some((Phase::When, 0))
                }
                StepState::CheckingPreconditions(condition_polls) => {
                    index_in(condition_polls).map(|index| (Phase::Pre, index))
                }
                StepState::CheckingPostconditions(condition_polls) => {
                    index_in(condition_polls).map(|index| (Phase::Post, index))
                }
                StepState::Pending
                | StepState::EvaluatingWhen(_)
                | StepState::Ready
                | StepState::Reconsidering(_)
                | StepState::AwaitingApproval { .. }
                | StepState::Declined { .. }
                | StepState::Skipping { .. }
                | StepState::Applying(_)
                | StepState::CheckingHealth { .. }
                | StepState::Verified
                | StepState::Backoff { .. }
                | StepState::Finished
                | StepState::Compensating(_)
                | StepState::CompensationBackoff { .. }
                | StepState::Compensated => None,
            };
            if let Some((phase, index)) = found {
                return Some((Some(step_index), phase, index));
            }
        }
        self.success.as_deref().and_then(index_in).map(|index| (None, Phase::Success, index))
    }

    fn measured(
        &self,
        effect: &EffectId,
        health: &[(cluster::ObjectRef, Option<cluster::Health>)],
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        if let RunGate::Baseline { effect_request, attempts } = &self.gate {
            if effect_request.id != *effect {
                return Err(not_pending(effect));
            }
            let unreadable = health.iter().find(|(_, health)| health.is_none());
            return Ok(vec![match unreadable {
                Some((object, _)) if *attempts < MAX_BASELINE_ATTEMPTS => {
                    let retry_at =
                        saturating_add(now, backoff::outage(self.view.run.as_str(), *attempts + 1));
                    Event::ReadFailed {
                        step: None,
                        message: format!("health of {object} could not be read"),
                        retry_at,
                        at: now,
                    }
                }
                Some(_) | None => Event::BaselineMeasured { health: health.to_vec() },
            }]);
        }
        let step_index = self.steps.iter().position(|progress| {
            matches!(&progress.state, StepState::CheckingHealth { effect_request, .. } | StepState::Reconsidering(effect_request) if effect_request.id == *effect)
        });
        let step_index = step_index.ok_or_else(|| not_pending(effect))?;
        Ok(vec![Event::HealthMeasured {
            step: self.spec(step_index).id.clone(),
            health: health.to_vec(),
            at: now,
        }])
    }
}

fn not_pending(effect: &EffectId) -> Rejected {
    Rejected::NotPending { effect: effect.clone() }
}

/// Returns whether a change with this reply was applied.
fn classify(reply: &WriteReply) -> Applied {
    match reply {
        WriteReply::Accepted(_) | WriteReply::Deleted => Applied::Yes,
        WriteReply::NotFound
        | WriteReply::Conflict { .. }
        | WriteReply::Refused { .. }
        | WriteReply::Throttled { .. }
        | WriteReply::NotSent(_) => Applied::No,
        WriteReply::Unknown { .. } => Applied::Unknown,
    }
}
