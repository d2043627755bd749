//! Changes that a run is ready to send. The fleet's guard grants or denies each of them.

use actions::{Next, Reply};
use cluster::{Agent, Mode, Object, ObjectRef, Preconditions, Request, Verb, WriteReply};
use jiff::Timestamp;
use workflow::run::{Event, RunInput};
use workflow::{Impact, RunView};

use super::state::{ActionProgress, StepState};
use super::{Direction, Rules, Run};

/// A change that a run is ready to send.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeRequest {
    /// Index of its step.
    step: usize,
    /// Whether it belongs to the step's action or to its compensation.
    pub direction: Direction,
    pub target: ObjectRef,
    /// Effect of the change as the guardrails evaluate it.
    pub impact: Impact,
    verb: Verb,
    preconditions: Preconditions,
    /// Effect key: identifies the intended change across attempts.
    pub key: String,
    attempt: u32,
}

impl Run {
    /// Returns the changes that are ready to be sent, in step order; none while the run is held.
    pub fn change_requests(&self, rules: &Rules) -> Vec<ChangeRequest> {
        if self.is_held() || self.view.ended_at.is_some() {
            return Vec::new();
        }
        (0..self.steps.len())
            .filter_map(|step_index| self.change_request(step_index, rules))
            .collect()
    }

    fn change_request(&self, step_index: usize, rules: &Rules) -> Option<ChangeRequest> {
        let progress = &self.steps[step_index];
        let (direction, applied, replies) = match &progress.state {
            StepState::Applying(ActionProgress::Preparing(_)) if !self.is_closing() => {
                (Direction::Apply, progress.applied, &progress.replies)
            }
            StepState::Compensating(ActionProgress::Preparing(_)) => {
                (Direction::Compensate, progress.undo_applied, &progress.undo_replies)
            }
            _ => return None,
        };
        let Ok(Next::Send { mut target, verb, preconditions }) =
            self.next(step_index, direction, rules)
        else {
            return None;
        };
        let (spec, args) = self.args(step_index, direction, rules).ok()?;
        let objects: Vec<Object> = replies.iter().flat_map(Reply::objects).cloned().collect();
        let mut impact = actions::impact(spec, &args, &objects);
        // Arguments may omit the cluster; it is then the cluster of the plan's targets.
        if let Some(cluster) = self.plan.targets.first().map(|target| &target.cluster) {
            for object in impact
                .targets
                .iter_mut()
                .chain([&mut target])
                .filter(|object| object.cluster.is_empty())
            {
                object.cluster.clone_from(cluster);
            }
        }
        let uid = target.uid.clone().or_else(|| preconditions.uid.clone()).unwrap_or_default();
        // The ordinal counts applied changes, so that each key is applied at most once however often the step is retried.
        let key = cluster::digest_of_parts(&[
            &self.step_key(step_index, direction),
            &applied.to_string(),
            &uid,
        ])
        .to_string();
        let attempt = attempts(&self.view, &key) + 1;
        Some(ChangeRequest {
            step: step_index,
            direction,
            target,
            impact,
            verb,
            preconditions,
            key,
            attempt,
        })
    }

    /// Returns the event that records the intent to send `change`. It must be durable before the change is sent.
    pub fn grant(&self, change: &ChangeRequest, epoch: u64, now: Timestamp) -> Vec<Event> {
        let progress = &self.steps[change.step];
        let Some(ActionProgress::Preparing(effect_request)) = progress.action() else {
            return Vec::new();
        };
        let agent = Agent {
            run: self.view.run.to_string(),
            step: self.agent_step(change.step, change.direction),
            effect_key: change.key.clone(),
            epoch,
        };
        vec![Event::IntentWritten {
            step: self.spec(change.step).id.clone(),
            effect: effect_request.id.clone(),
            key: change.key.clone(),
            attempt: change.attempt,
            request: Request {
                target: change.target.clone(),
                verb: change.verb.clone(),
                preconditions: change.preconditions.clone(),
                mode: Mode::Commit,
                agent,
            },
            at: now,
        }]
    }

    /// Returns one input per change whose intent is recorded and whose reply is not; the input reports an unknown result
    /// with this message.
    pub fn unanswered_sends(&self, message: &str) -> Vec<RunInput> {
        let open = self.steps.iter().filter_map(|progress| match progress.action() {
            Some(ActionProgress::Sent { intent, .. }) => Some(RunInput::ChangeAnswered {
                run: self.view.run.clone(),
                effect: intent.effect.clone(),
                reply: WriteReply::Unknown { message: message.into() },
            }),
            Some(
                ActionProgress::Preparing(_)
                | ActionProgress::AwaitingApproval { .. }
                | ActionProgress::Resolving { .. },
            )
            | None => None,
        });
        open.collect()
    }

    /// Returns the event for a denied change: the step fails permanently, or cannot be undone.
    pub fn deny(&self, change: &ChangeRequest, message: String, now: Timestamp) -> Vec<Event> {
        let step = self.spec(change.step).id.clone();
        vec![match change.direction {
            Direction::Apply => Event::StepFailed { step, message, at: now },
            Direction::Compensate => {
                Event::CompensationFailed { step, remaining: message, at: now }
            }
        }]
    }
}

fn attempts(view: &RunView, key: &str) -> u32 {
    view.effects.iter().find(|effect| effect.key == key).map_or(0, |effect| effect.attempts)
}
