//! State machine of one run, without IO: inputs in, events out, effects pending.
//!
//! [`Run::decide`] turns an input into events, [`Run::apply`] folds an event into the state, and [`Run::pending`] returns
//! the effects that a driver should perform now. Changes need one more step: [`Run::change_requests`] lists the changes
//! that the run is ready to send, and the [`fleet`](crate::fleet), which sees all runs, grants each (which records the
//! intent) or denies it.

mod advance;
mod backoff;
mod change_request;
mod fold;
mod input;
mod interpolate;
mod payload_limit;
mod pending;
mod state;
mod still_needed;
mod undo;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use workflow::guardrail::Guardrails;
use workflow::id::{EffectId, RunId};
use workflow::run::{Event, RunInput, RunView, StopScope};
use workflow::{Catalogue, Plan, Step};

use state::{ConditionPoll, EffectRequest, RunGate, StepProgress, Termination};

pub use change_request::ChangeRequest;

/// Version of the state machine, recorded in the first event of every run. A run is always decided by the version that
/// its first event names.
pub const MACHINE_VERSION: u32 = 1;

/// Inputs of every decision besides the run itself. Their versions are recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rules {
    pub guardrails: Guardrails,
    pub catalogue: Catalogue,
}

/// State of one run: plain data, folded from its events.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    plan: Arc<Plan>,
    view: RunView,
    gate: RunGate,
    termination: Termination,
    /// In workflow order.
    steps: Vec<StepProgress>,
    /// The workflow's success conditions, once every step is finished.
    success: Option<Vec<ConditionPoll>>,
    success_since: Timestamp,
    /// Since when no alert of its incident fires, according to the inputs received so far.
    quiet_since: Option<Timestamp>,
    /// Since when the run is paused or stopped.
    held_since: Option<Timestamp>,
    /// Number of effect ids derived so far.
    effect_count: u64,
    /// The latest timestamp of its events.
    latest: Timestamp,
}

/// Why an input was rejected. The state is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The run was never submitted.
    #[error("run {run} does not exist")]
    UnknownRun { run: RunId },
    #[error("run {run} was already submitted")]
    AlreadySubmitted { run: RunId },
    #[error("run {run} has ended")]
    Ended { run: RunId },
    /// The run is aborting and undoes nothing.
    #[error("run {run} is already ending")]
    AlreadyEnding { run: RunId },
    /// The result was already recorded, or the effect was superseded.
    #[error(
        "effect {effect} is not pending: its result was already recorded, or it was superseded"
    )]
    NotPending { effect: EffectId },
    #[error("step `{step}` does not await approval")]
    NoApprovalRequested { step: String },
    #[error("run {run} is not paused")]
    NotPaused { run: RunId },
    #[error("no emergency stop is active for {}", match .scope { StopScope::Global => "all runs".to_string(), StopScope::Run { run } => format!("run {run}") })]
    NotStopped { scope: StopScope },
    #[error("the plan cannot be run: {message}")]
    InvalidPlan { message: String },
    #[error("clearing an emergency stop requires a reason")]
    MissingReason,
    /// One input led to more events than a valid plan can cause.
    #[error(
        "run {run} produced more than {limit} events for one input: its plan or the state machine loops"
    )]
    Runaway {
        run: RunId,
        /// 64 + 4 × steps.
        limit: usize,
    },
}

impl Rejected {
    /// Returns how the caller can fix the problem.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnknownRun { .. } => "list runs to find its id",
            Self::AlreadySubmitted { .. } | Self::NotPending { .. } => "nothing needs to be done",
            Self::Ended { .. } | Self::AlreadyEnding { .. } => {
                "show its outcome; request a new plan to start a new run"
            }
            Self::NoApprovalRequested { .. } => "show the run to see which steps await approval",
            Self::NotPaused { .. } => {
                "show the run: if an emergency stop applies, clear it; if a step awaits approval, approve it"
            }
            Self::NotStopped { .. } => {
                "list the active emergency stops; clear each with the scope that it was set with"
            }
            Self::InvalidPlan { .. } => "request a new plan for the incident",
            Self::MissingReason => "state why it is safe to continue",
            Self::Runaway { .. } => "this is a bug: keep the data directory and report it",
        }
    }
}

impl Run {
    /// Returns the first event of a run of `plan`.
    ///
    /// # Errors
    /// [`Rejected::InvalidPlan`] if the plan does not match its digest, or a step refers to an unknown action or step.
    pub fn submit(
        plan: &Plan,
        guarded: &[cluster::ObjectRef],
        actor: &str,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Event, Rejected> {
        let invalid = |message: String| Rejected::InvalidPlan { message };
        if !plan.is_intact() {
            return Err(invalid(format!("its content does not match its digest {}", plan.digest)));
        }
        let steps = &plan.workflow.spec.steps;
        for (step_index, step) in steps.iter().enumerate() {
            if rules.catalogue.get(&step.action).is_none() {
                return Err(invalid(format!(
                    "step `{}` refers to action `{}`, which is not in the catalogue",
                    step.id, step.action
                )));
            }
            if steps[..step_index].iter().any(|other| other.id == step.id) {
                return Err(invalid(format!("step id `{}` occurs twice", step.id)));
            }
            if let Some(missing) =
                step.needs.iter().find(|need| !steps.iter().any(|other| other.id == **need))
            {
                return Err(invalid(format!(
                    "step `{}` needs step `{missing}`, which does not exist",
                    step.id
                )));
            }
        }
        if let Some(cycle) = workflow::StepGraph::of(steps).cycles().first() {
            let step = &steps[cycle[0]].id;
            return Err(invalid(format!("step `{step}` depends on itself")));
        }
        Ok(Event::Started {
            plan: Box::new(plan.clone()),
            machine: MACHINE_VERSION,
            guarded: guarded.to_vec(),
            actor: actor.into(),
            at: now,
        })
    }

    /// Returns the run after its first event, which must be [`Event::Started`]; `None` for any other event.
    pub fn begin(run: &RunId, event: &Event) -> Option<Self> {
        let view = RunView::begin(run, event)?;
        let Event::Started { plan, at, .. } = event else { return None };
        Some(Self {
            plan: Arc::new((**plan).clone()),
            steps: plan.workflow.spec.steps.iter().map(|_| StepProgress::new(*at)).collect(),
            view,
            gate: RunGate::Queued,
            termination: Termination::None,
            success: None,
            success_since: *at,
            quiet_since: None,
            held_since: None,
            effect_count: 0,
            latest: *at,
        })
    }

    /// Returns the events to record for one input at time `now`, in order. Their number is bounded.
    ///
    /// # Errors
    /// [`Rejected`] if the input does not apply to the current state.
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
                | RunInput::ClearStop { .. }
                | RunInput::Observed { .. }
                | RunInput::ChangeAnswered { .. }
                | RunInput::ConditionEvaluated { .. }
                | RunInput::HealthMeasured { .. }
                | RunInput::AlertChanged { .. } => {
                    Err(Rejected::Ended { run: self.view.run.clone() })
                }
            };
        }
        let events = self.respond(input, now)?;
        self.follow_up(events, rules, now)
    }

    /// Returns `events` and every event that follows from them at time `now` without another input.
    ///
    /// # Errors
    /// [`Rejected::Runaway`] if the number of events exceeds the limit.
    pub fn follow_up(
        &self,
        mut events: Vec<Event>,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        let limit = 64 + 4 * self.steps.len();
        let mut scratch = self.clone();
        events.iter().for_each(|event| scratch.apply(event));
        while let Some(event) = scratch.advance(rules, now) {
            scratch.apply(&event);
            events.push(event);
            if events.len() > limit {
                return Err(Rejected::Runaway { run: self.view.run.clone(), limit });
            }
        }
        Ok(events)
    }

    /// The view of the run that the machine, the store and the API share.
    pub fn view(&self) -> &RunView {
        &self.view
    }

    pub fn id(&self) -> &RunId {
        &self.view.run
    }

    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Whether the run waits to be admitted.
    pub fn is_queued(&self) -> bool {
        self.gate == RunGate::Queued && self.view.ended_at.is_none()
    }

    fn spec(&self, step: usize) -> &Step {
        &self.plan.workflow.spec.steps[step]
    }

    fn index_of(&self, step: &str) -> Option<usize> {
        self.plan.workflow.spec.steps.iter().position(|other| other.id == step)
    }

    /// Whether a pause, an emergency stop or an unresolved change prevents the run from starting anything.
    fn is_held(&self) -> bool {
        self.held_since.is_some() || self.steps.iter().any(StepProgress::needs_operator)
    }

    fn is_closing(&self) -> bool {
        match self.termination {
            Termination::None => false,
            Termination::Aborting | Termination::RollingBack { .. } => true,
        }
    }

    /// Returns H(run, step, iteration, plan digest). The compensation of a step has a key of its own.
    fn step_key(&self, step: usize, direction: Direction) -> String {
        let name = self.agent_step(step, direction);
        cluster::digest_of_parts(&[
            self.view.run.as_str(),
            &name,
            "0",
            &self.plan.digest.to_string(),
        ])
        .to_string()
    }

    /// Returns the step name that requests carry.
    fn agent_step(&self, step: usize, direction: Direction) -> String {
        match direction {
            Direction::Apply => self.spec(step).id.clone(),
            Direction::Compensate => format!("{}/undo", self.spec(step).id),
        }
    }

    fn next_effect(&mut self, not_before: Timestamp) -> EffectRequest {
        self.effect_count += 1;
        EffectRequest {
            id: EffectId::derive(self.view.started_at, self.view.run.as_str(), self.effect_count),
            not_before,
        }
    }
}

/// Whether a step is executed or undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Direction {
    /// Runs the step's action.
    Apply,
    /// Runs the step's compensation.
    Compensate,
}

/// Adds a signed duration and clamps the result to `Timestamp::MAX`.
fn saturating_add(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}
