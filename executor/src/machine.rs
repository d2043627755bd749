//! One run as a state machine without IO: inputs in, events out, effects pending.
//!
//! [`Run::decide`] says what an input means, [`Run::apply`] folds what was decided, [`Run::pending`] is what a driver
//! should be doing now. Changes pass one more door: [`Run::wants`] names the changes that the run is ready to send, and
//! whoever sees the other runs too (`fleet`) grants them, which writes the intent, or denies them.

mod backoff;
mod fill;
mod fold;
mod follow;
mod input;
mod need;
mod pending;
mod recordable;
mod state;
mod undo;
mod want;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use workflow::guardrail::Guardrails;
use workflow::id::{EffectId, RunId};
use workflow::run::{Event, RunInput, RunView, StopScope};
use workflow::{Catalogue, Plan, Step};

use state::{Ask, Ending, Gate, StepState, Watch};

pub use want::Want;

/// Version of the machine that decides, as it stands in every run's first event. An older run is decided by the version
/// that it names.
pub const MACHINE_VERSION: u32 = 1;

/// What the machine goes by besides the run itself: values whose versions stand in the record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rules {
    /// What may be done.
    pub guardrails: Guardrails,
    /// What can be done.
    pub catalogue: Catalogue,
}

/// One run: plain data, folded from its events.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    plan: Arc<Plan>,
    view: RunView,
    gate: Gate,
    ending: Ending,
    /// In the order of the workflow.
    steps: Vec<StepState>,
    /// The workflow's success conditions, once every step is over.
    success: Option<Vec<Watch>>,
    success_since: Timestamp,
    /// Since when no alert of its incident fires, as far as it was told.
    quiet_since: Option<Timestamp>,
    /// Since when a pause or a stop holds it.
    held_since: Option<Timestamp>,
    /// How many effect ids were derived.
    asked: u64,
    /// The latest moment that an event told.
    latest: Timestamp,
}

/// Why an input changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// There is no such run, or it was put away long ago.
    #[error("there is no run {run} under way")]
    UnknownRun {
        /// The run.
        run: RunId,
    },
    /// The run was submitted before.
    #[error("run {run} was submitted already")]
    AlreadySubmitted {
        /// The run.
        run: RunId,
    },
    /// The run is over.
    #[error("run {run} has ended")]
    Ended {
        /// The run.
        run: RunId,
    },
    /// The run is about to end and undoes nothing.
    #[error("run {run} is ending already")]
    Ending {
        /// The run.
        run: RunId,
    },
    /// Nobody waits for this answer: it came twice, or too late.
    #[error(
        "nothing waits for the answer to {effect}: it came already, or another way was taken since"
    )]
    NotOpen {
        /// The effect.
        effect: EffectId,
    },
    /// Nobody asked for approval of this step.
    #[error("no approval is asked for step `{step}`")]
    NotAsked {
        /// The step.
        step: String,
    },
    /// The run goes on already.
    #[error("run {run} is not paused")]
    NotPaused {
        /// The run.
        run: RunId,
    },
    /// No stop holds there.
    #[error("nothing is stopped for {}", match .scope { StopScope::Global => "everything".to_string(), StopScope::Run { run } => format!("run {run}") })]
    NotStopped {
        /// Where a stop was to be lifted.
        scope: StopScope,
    },
    /// The plan cannot be run.
    #[error("the plan cannot be run: {why}")]
    BadPlan {
        /// What is wrong with it.
        why: String,
    },
    /// A stop is lifted with a reason only.
    #[error("a stop is lifted with a reason only")]
    NoReason,
    /// One input led to more events than a sound plan can need.
    #[error(
        "run {run} decided more than {bound} events at once: its plan, or the machine, goes round in circles"
    )]
    Runaway {
        /// The run.
        run: RunId,
        /// The bound: 64 + 4 × steps.
        bound: usize,
    },
}

impl Rejected {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnknownRun { .. } => "list runs to find its id",
            Self::AlreadySubmitted { .. } | Self::NotOpen { .. } => "nothing needs to be done",
            Self::Ended { .. } | Self::Ending { .. } => {
                "look at its outcome; a new plan makes a new run"
            }
            Self::NotAsked { .. } => "show the run to see which steps await approval",
            Self::NotPaused { .. } => {
                "show the run: where a stop holds it, lift the stop; where a step awaits approval, approve it"
            }
            Self::NotStopped { .. } => "list the stops: each is lifted where it was made",
            Self::BadPlan { .. } => "make a new plan for the incident",
            Self::NoReason => "say why it is safe to go on",
            Self::Runaway { .. } => "this is a defect: keep the record and report it",
        }
    }
}

impl Run {
    /// The first event of a run of `plan`.
    ///
    /// # Errors
    /// [`Rejected::BadPlan`] if the digest is not that of the plan, or a step needs what is not there.
    pub fn submit(
        plan: &Plan,
        guarded: &[cluster::ObjectRef],
        by: &str,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Event, Rejected> {
        let bad = |why: String| Rejected::BadPlan { why };
        if !plan.is_intact() {
            return Err(bad(format!(
                "its content no longer has the digest {} that it was frozen under",
                plan.digest
            )));
        }
        let steps = &plan.workflow.spec.steps;
        for (place, step) in steps.iter().enumerate() {
            if rules.catalogue.get(&step.action).is_none() {
                return Err(bad(format!(
                    "step `{}` names the action `{}`, which the catalogue does not hold",
                    step.id, step.action
                )));
            }
            if steps[..place].iter().any(|other| other.id == step.id) {
                return Err(bad(format!("two steps are called `{}`", step.id)));
            }
            if let Some(missing) =
                step.needs.iter().find(|need| !steps.iter().any(|other| other.id == **need))
            {
                return Err(bad(format!(
                    "step `{}` needs step `{missing}`, which is not there",
                    step.id
                )));
            }
        }
        if let Some(step) = in_a_circle(steps) {
            return Err(bad(format!("step `{step}` needs itself, in the end")));
        }
        Ok(Event::Started {
            plan: Box::new(plan.clone()),
            machine: MACHINE_VERSION,
            guarded: guarded.to_vec(),
            by: by.into(),
            at: now,
        })
    }

    /// The run after its first event, which must be [`Event::Started`]; none for any other.
    pub fn begin(run: &RunId, event: &Event) -> Option<Self> {
        let view = RunView::begin(run, event)?;
        let Event::Started { plan, at, .. } = event else { return None };
        Some(Self {
            plan: Arc::new((**plan).clone()),
            steps: plan.workflow.spec.steps.iter().map(|_| StepState::new(*at)).collect(),
            view,
            gate: Gate::Queued,
            ending: Ending::Going,
            success: None,
            success_since: *at,
            quiet_since: None,
            held_since: None,
            asked: 0,
            latest: *at,
        })
    }

    /// Decides what one input at time `now` means: the events to record, in order, a bounded number.
    ///
    /// # Errors
    /// [`Rejected`] where the input means nothing here; the run is as it was.
    pub fn decide(
        &self,
        input: &RunInput,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        if self.view.ended_at.is_some() {
            return match input {
                RunInput::Due => Ok(Vec::new()),
                RunInput::Submit { .. } => {
                    Err(Rejected::AlreadySubmitted { run: self.view.run.clone() })
                }
                RunInput::Control { .. }
                | RunInput::Stop { .. }
                | RunInput::Resume { .. }
                | RunInput::Observed { .. }
                | RunInput::Answered { .. }
                | RunInput::Judged { .. }
                | RunInput::Measured { .. }
                | RunInput::Alert { .. } => Err(Rejected::Ended { run: self.view.run.clone() }),
            };
        }
        let events = self.respond(input, now)?;
        self.follow_up(events, rules, now)
    }

    /// `events`, and everything that follows from them at time `now` without another input.
    ///
    /// # Errors
    /// [`Rejected::Runaway`] if that does not come to an end.
    pub fn follow_up(
        &self,
        mut events: Vec<Event>,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        let bound = 64 + 4 * self.steps.len();
        let mut scratch = self.clone();
        events.iter().for_each(|event| scratch.apply(event));
        while let Some(event) = scratch.follow(rules, now) {
            scratch.apply(&event);
            events.push(event);
            if events.len() > bound {
                return Err(Rejected::Runaway { run: self.view.run.clone(), bound });
            }
        }
        Ok(events)
    }

    /// What is known of it: the one fold that machine, store and API share.
    pub fn view(&self) -> &RunView {
        &self.view
    }

    /// Its id.
    pub fn id(&self) -> &RunId {
        &self.view.run
    }

    /// Its plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Whether it waits for its turn.
    pub fn is_queued(&self) -> bool {
        self.gate == Gate::Queued && self.view.ended_at.is_none()
    }

    fn spec(&self, step: usize) -> &Step {
        &self.plan.workflow.spec.steps[step]
    }

    fn place(&self, step: &str) -> Option<usize> {
        self.plan.workflow.spec.steps.iter().position(|other| other.id == step)
    }

    /// Whether a person, a stop or an open question keeps it from starting anything.
    fn is_held(&self) -> bool {
        self.held_since.is_some() || self.steps.iter().any(StepState::needs_human)
    }

    fn is_closing(&self) -> bool {
        match self.ending {
            Ending::Going => false,
            Ending::Aborting | Ending::Unwinding { .. } => true,
        }
    }

    /// H(run, step, iteration, plan digest); the undo of a step is a step of its own.
    fn step_key(&self, step: usize, deed: Deed) -> String {
        let name = self.agent_step(step, deed);
        cluster::digest_of_parts(&[
            self.view.run.as_str(),
            &name,
            "0",
            &self.plan.digest.to_string(),
        ])
        .to_string()
    }

    /// The step as requests name it.
    fn agent_step(&self, step: usize, deed: Deed) -> String {
        match deed {
            Deed::Act => self.spec(step).id.clone(),
            Deed::Undo => format!("{}/undo", self.spec(step).id),
        }
    }

    fn ask(&mut self, not_before: Timestamp) -> Ask {
        self.asked += 1;
        Ask {
            id: EffectId::derive(self.view.started_at, self.view.run.as_str(), self.asked),
            not_before,
        }
    }
}

/// Doing a step, or undoing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Deed {
    /// The step's action.
    Act,
    /// Its compensation.
    Undo,
}

/// A step that needs itself through others, if there is one.
fn in_a_circle(steps: &[Step]) -> Option<&str> {
    let mut done: Vec<&str> = Vec::new();
    while done.len() < steps.len() {
        let ready = steps.iter().find(|step| {
            !done.contains(&step.id.as_str())
                && step.needs.iter().all(|need| done.contains(&need.as_str()))
        });
        match ready {
            Some(step) => done.push(&step.id),
            None => return steps.iter().map(|step| step.id.as_str()).find(|id| !done.contains(id)),
        }
    }
    None
}

/// Adds a signed duration; time as Kubernetes and we use it does not end.
fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
