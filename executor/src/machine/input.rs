//! What an input says by itself, before anything follows from it.

use cluster::Reply;
use jiff::Timestamp;
use workflow::id::EffectId;
use workflow::run::{Applied, Control, Event, Phase, RunInput, RunStatus};

use super::state::{Doing, Ending, Gate, Stage, Watch};
use super::{Rejected, Run, backoff, later, recordable};

/// How often health before the run is asked for before what could not be read is left open.
const BASELINE_TRIES: u32 = 6;

impl Run {
    pub(super) fn respond(&self, input: &RunInput, now: Timestamp) -> Result<Vec<Event>, Rejected> {
        match input {
            RunInput::Submit { .. } => {
                Err(Rejected::AlreadySubmitted { run: self.view.run.clone() })
            }
            RunInput::Control { control, by, reason, .. } => {
                self.controlled(control, by, reason, now)
            }
            RunInput::Stop { level, by, reason, .. } => {
                Ok(if self.view.held.is_some_and(|held| held >= *level) {
                    Vec::new()
                } else {
                    vec![Event::Held {
                        level: *level,
                        by: by.clone(),
                        reason: reason.clone(),
                        at: now,
                    }]
                })
            }
            RunInput::Resume { by, reason, .. } => Ok(if self.view.held.is_none() {
                Vec::new()
            } else {
                vec![Event::Released { by: by.clone(), reason: reason.clone(), at: now }]
            }),
            RunInput::Observed { effect, replies, .. } => self.observed(effect, replies, now),
            RunInput::Answered { effect, reply, .. } => self.answered(effect, reply, now),
            RunInput::Judged { effect, verdict, read, .. } => {
                let (step, phase, index) = self.judging(effect).ok_or_else(|| not_open(effect))?;
                let step = step.map(|step| self.spec(step).id.clone());
                Ok(vec![Event::ConditionJudged {
                    step,
                    phase,
                    index,
                    verdict: verdict.clone(),
                    read: *read,
                    at: now,
                }])
            }
            RunInput::Measured { effect, health, .. } => self.measured(effect, health, now),
            RunInput::Alert { status, .. } => Ok(if self.alert() == *status {
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
        by: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        let (by, reason) = (by.to_string(), reason.to_string());
        match control {
            Control::Pause => Ok(if self.view.is_paused {
                Vec::new()
            } else {
                vec![Event::Paused { by, reason, at: now }]
            }),
            Control::Resume => {
                let waits = self.view.is_paused || self.is_held() && self.view.held.is_none();
                if !waits {
                    return Err(Rejected::NotPaused { run: self.view.run.clone() });
                }
                Ok(vec![Event::Resumed { by, at: now }])
            }
            Control::Cancel => match &self.ending {
                Ending::Going => {
                    let why = format!("cancelled by {by}: {reason}");
                    Ok(vec![
                        Event::CancelAsked { by, reason },
                        Event::UnwindStarted { why, then: RunStatus::Cancelled },
                    ])
                }
                Ending::Aborting => Err(Rejected::Ending { run: self.view.run.clone() }),
                // What a first cancel started is not stopped by its repeat.
                Ending::Unwinding { then: RunStatus::Cancelled, .. }
                | Ending::Unwinding { hold_after: Some(_), .. } => Ok(Vec::new()),
                Ending::Unwinding { .. } if self.view.is_paused => Ok(Vec::new()),
                Ending::Unwinding { .. } => Ok(vec![Event::CancelAsked { by, reason }]),
            },
            Control::ApproveStep { step } => self.reviewed(step, true, by),
            Control::RejectStep { step } => self.reviewed(step, false, by),
        }
    }

    fn reviewed(&self, step: &str, is_approved: bool, by: String) -> Result<Vec<Event>, Rejected> {
        let is_asked = self.place(step).is_some_and(|place| {
            matches!(self.steps[place].stage, Stage::Approving { .. })
                || matches!(self.steps[place].doing(), Some(Doing::Person { .. }))
        });
        if is_asked {
            Ok(vec![Event::ApprovalAnswered { step: step.into(), is_approved, by }])
        } else {
            Err(Rejected::NotAsked { step: step.into() })
        }
    }

    fn observed(
        &self,
        effect: &EffectId,
        replies: &[Reply],
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        let place = self.steps.iter().position(|step| match step.doing() {
            Some(Doing::Asking(ask) | Doing::Resolving { ask, needs_human: false, .. }) => {
                ask.id == *effect
            }
            Some(
                Doing::Resolving { needs_human: true, .. }
                | Doing::Person { .. }
                | Doing::Sent { .. },
            )
            | None => false,
        });
        let place = place.ok_or_else(|| not_open(effect))?;
        let (state, step) = (&self.steps[place], self.spec(place).id.clone());
        let lost = replies.iter().find_map(|reply| match reply {
            Reply::Unknown { message } => Some(message.clone()),
            _ => None,
        });
        if let Some(why) = lost {
            let pause =
                backoff::outage(&format!("{}/{step}", self.view.run), state.failed_reads + 1);
            return Ok(vec![Event::ReadFailed {
                step: Some(step),
                why,
                until: later(now, pause),
                at: now,
            }]);
        }
        match state.doing() {
            Some(Doing::Resolving { intent, .. }) => {
                let Some(reply) = replies.first() else { return Err(not_open(effect)) };
                let applied = actions::was_applied(&intent.request, reply);
                if applied == Applied::Unknown {
                    let why = format!(
                        "the answer to the change of {} was lost, and what stands there now does not tell whether it was applied",
                        intent.request.target
                    );
                    return Ok(vec![match state.stage {
                        Stage::Undoing(_) => {
                            Event::CompensationFailed { step, residue: why, at: now }
                        }
                        _ => Event::HumanNeeded { step, why },
                    }]);
                }
                Ok(vec![Event::EffectAnswered {
                    key: intent.key.clone(),
                    attempt: intent.attempt,
                    reply: recordable::answer(reply),
                    applied,
                    at: now,
                }])
            }
            Some(Doing::Asking(_) | Doing::Person { .. } | Doing::Sent { .. }) | None => {
                let replies = recordable::replies(replies);
                Ok(vec![Event::Observed { step, replies, at: now }])
            }
        }
    }

    fn answered(
        &self,
        effect: &EffectId,
        reply: &Reply,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        for state in &self.steps {
            let (intent, is_late) = match state.doing() {
                Some(Doing::Sent { intent, .. }) => (intent, false),
                Some(Doing::Resolving { intent, .. }) => (intent, true),
                Some(Doing::Asking(_) | Doing::Person { .. }) | None => continue,
            };
            let applied = classify(reply);
            // A late answer is welcome where it settles the question, and nothing new where it does not.
            if intent.effect == *effect && !(is_late && applied == Applied::Unknown) {
                let (key, attempt) = (intent.key.clone(), intent.attempt);
                return Ok(vec![Event::EffectAnswered {
                    key,
                    attempt,
                    reply: recordable::answer(reply),
                    applied,
                    at: now,
                }]);
            }
        }
        Err(not_open(effect))
    }

    /// What is being judged under this effect: the step, the list, the place in it.
    fn judging(&self, effect: &EffectId) -> Option<(Option<usize>, Phase, usize)> {
        let among = |watches: &[Watch]| {
            watches
                .iter()
                .find(|watch| !watch.is_met && watch.ask.id == *effect)
                .map(|watch| watch.index)
        };
        for (place, state) in self.steps.iter().enumerate() {
            let found = match &state.stage {
                Stage::When(ask) if ask.id == *effect => Some((Phase::When, 0)),
                Stage::Pre(watches) => among(watches).map(|index| (Phase::Pre, index)),
                Stage::Post(watches) => among(watches).map(|index| (Phase::Post, index)),
                Stage::Pending
                | Stage::When(_)
                | Stage::Ready
                | Stage::Doubted(_)
                | Stage::Approving { .. }
                | Stage::Declined { .. }
                | Stage::Unwanted { .. }
                | Stage::Acting(_)
                | Stage::Guard { .. }
                | Stage::Proven
                | Stage::Backoff { .. }
                | Stage::Over
                | Stage::Undoing(_)
                | Stage::UndoBackoff { .. }
                | Stage::Undone => None,
            };
            if let Some((phase, index)) = found {
                return Some((Some(place), phase, index));
            }
        }
        self.success.as_deref().and_then(among).map(|index| (None, Phase::Success, index))
    }

    fn measured(
        &self,
        effect: &EffectId,
        health: &[(cluster::ObjectRef, Option<cluster::Health>)],
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        if let Gate::Baseline { ask, tries } = &self.gate {
            if ask.id != *effect {
                return Err(not_open(effect));
            }
            let unread = health.iter().find(|(_, health)| health.is_none());
            return Ok(vec![match unread {
                Some((object, _)) if *tries < BASELINE_TRIES => {
                    let until = later(now, backoff::outage(self.view.run.as_str(), *tries + 1));
                    Event::ReadFailed {
                        step: None,
                        why: format!("health of {object} could not be read"),
                        until,
                        at: now,
                    }
                }
                Some(_) | None => Event::BaselineMeasured { health: health.to_vec() },
            }]);
        }
        let place = self.steps.iter().position(|state| {
            matches!(&state.stage, Stage::Guard { ask, .. } | Stage::Doubted(ask) if ask.id == *effect)
        });
        let place = place.ok_or_else(|| not_open(effect))?;
        Ok(vec![Event::HealthMeasured {
            step: self.spec(place).id.clone(),
            health: health.to_vec(),
            at: now,
        }])
    }
}

fn not_open(effect: &EffectId) -> Rejected {
    Rejected::NotOpen { effect: effect.clone() }
}

/// Whether a change that was answered so was applied.
fn classify(reply: &Reply) -> Applied {
    match reply {
        Reply::Accepted(_) | Reply::Deleted => Applied::Yes,
        Reply::Absent
        | Reply::Conflict { .. }
        | Reply::Refused { .. }
        | Reply::Throttled { .. } => Applied::No,
        // A change is not answered by what a read gives: nothing is known then.
        Reply::Unknown { .. } | Reply::Found(_) | Reply::Listed(_) => Applied::Unknown,
    }
}
