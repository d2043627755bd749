//! Changes that a run is ready to send: the one door through which the fleet's guard lets them, or not.

use actions::Next;
use cluster::{Agent, Mode, Object, ObjectRef, Preconditions, Reply, Request, Verb};
use jiff::Timestamp;
use workflow::run::{Event, RunInput};
use workflow::{Footprint, RunView};

use super::state::{Doing, Stage};
use super::{Deed, Rules, Run};

/// A change that a run is ready to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Want {
    /// Place of its step.
    step: usize,
    /// Whether it does the step or undoes it.
    pub deed: Deed,
    /// The object.
    pub target: ObjectRef,
    /// What it would do, as far as guardrails care.
    pub footprint: Footprint,
    verb: Verb,
    preconditions: Preconditions,
    /// Effect key: one per intended change, the same over attempts.
    pub key: String,
    attempt: u32,
}

impl Run {
    /// The changes that are ready to be sent, in the order of the steps. None while the run is held.
    pub fn wants(&self, rules: &Rules) -> Vec<Want> {
        if self.is_held() || self.view.ended_at.is_some() {
            return Vec::new();
        }
        (0..self.steps.len()).filter_map(|place| self.want(place, rules)).collect()
    }

    fn want(&self, place: usize, rules: &Rules) -> Option<Want> {
        let state = &self.steps[place];
        let (deed, applied, replies) = match &state.stage {
            Stage::Acting(Doing::Asking(_)) if !self.is_closing() => {
                (Deed::Act, state.applied, &state.replies)
            }
            Stage::Undoing(Doing::Asking(_)) => {
                (Deed::Undo, state.undo_applied, &state.undo_replies)
            }
            _ => return None,
        };
        let Ok(Next::Send { mut target, verb, preconditions }) = self.next(place, deed, rules)
        else {
            return None;
        };
        let (spec, args) = self.args(place, deed, rules).ok()?;
        let objects: Vec<Object> = replies.iter().flat_map(objects).cloned().collect();
        let mut footprint = actions::footprint(spec, &args, &objects);
        // An argument need not name the cluster: it is that of the plan's targets.
        if let Some(cluster) = self.plan.targets.first().map(|target| &target.cluster) {
            for object in footprint
                .targets
                .iter_mut()
                .chain([&mut target])
                .filter(|object| object.cluster.is_empty())
            {
                object.cluster.clone_from(cluster);
            }
        }
        let uid = target.uid.clone().or_else(|| preconditions.uid.clone()).unwrap_or_default();
        // Ordinals count what was applied, so that a key is applied once at most, whatever is tried again.
        let key =
            cluster::digest_of_parts(&[&self.step_key(place, deed), &applied.to_string(), &uid])
                .to_string();
        let attempt = attempts(&self.view, &key) + 1;
        Some(Want { step: place, deed, target, footprint, verb, preconditions, key, attempt })
    }

    /// The intent to send it: durable before it is sent.
    pub fn grant(&self, want: &Want, epoch: u64, now: Timestamp) -> Vec<Event> {
        let state = &self.steps[want.step];
        let Some(Doing::Asking(ask)) = state.doing() else { return Vec::new() };
        let agent = Agent {
            run: self.view.run.to_string(),
            step: self.agent_step(want.step, want.deed),
            effect_key: want.key.clone(),
            epoch,
        };
        vec![Event::IntentWritten {
            step: self.spec(want.step).id.clone(),
            effect: ask.id.clone(),
            key: want.key.clone(),
            attempt: want.attempt,
            request: Request {
                target: want.target.clone(),
                verb: want.verb.clone(),
                preconditions: want.preconditions.clone(),
                mode: Mode::Apply,
                agent,
            },
            at: now,
        }]
    }

    /// Its changes whose intents are written and whose answers are not, each as the input that says so.
    pub fn unanswered(&self, why: &str) -> Vec<RunInput> {
        let open = self.steps.iter().filter_map(|state| match state.doing() {
            Some(Doing::Sent { intent, .. }) => Some(RunInput::Answered {
                run: self.view.run.clone(),
                effect: intent.effect.clone(),
                reply: Reply::Unknown { message: why.into() },
            }),
            Some(Doing::Asking(_) | Doing::Person { .. } | Doing::Resolving { .. }) | None => None,
        });
        open.collect()
    }

    /// It may not be sent: the step fails for good, or cannot be undone.
    pub fn deny(&self, want: &Want, why: String, now: Timestamp) -> Vec<Event> {
        let step = self.spec(want.step).id.clone();
        vec![match want.deed {
            Deed::Act => Event::StepFailed { step, why, at: now },
            Deed::Undo => Event::CompensationFailed { step, residue: why, at: now },
        }]
    }
}

fn attempts(view: &RunView, key: &str) -> u32 {
    view.effects.iter().find(|effect| effect.key == key).map_or(0, |effect| effect.attempts)
}

fn objects(reply: &Reply) -> &[Object] {
    match reply {
        Reply::Found(object) | Reply::Accepted(object) => std::slice::from_ref(object),
        Reply::Listed(objects) => objects,
        Reply::Absent
        | Reply::Deleted
        | Reply::Conflict { .. }
        | Reply::Refused { .. }
        | Reply::Throttled { .. }
        | Reply::Unknown { .. } => &[],
    }
}
