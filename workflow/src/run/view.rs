use std::collections::BTreeMap;

use cluster::{Digest, Health, ObjectRef};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StopLevel;
use super::event::{Applied, Event, Phase};
use crate::expression::Verdict;
use crate::id::{IncidentId, PlanId, RunId};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// Steps are being done.
    Running,
    /// Nothing new is started until a person resumes it.
    Paused,
    /// A person is asked to approve a step.
    AwaitingApproval,
    /// What was applied is being undone.
    Compensating,
    /// It cannot go on without a person.
    NeedsHuman,
    /// All steps did what they say.
    Succeeded,
    /// It failed, and nothing was undone or not all could be.
    Failed,
    /// It failed, and what was applied was undone.
    RolledBack,
    /// A person ended it.
    Cancelled,
}

impl RunStatus {
    /// Whether nothing follows any more.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::RolledBack | Self::Cancelled => true,
            Self::Running
            | Self::Paused
            | Self::AwaitingApproval
            | Self::Compensating
            | Self::NeedsHuman => false,
        }
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// A person is asked.
    AwaitingApproval,
    /// Being done.
    Running,
    /// Its action is done; its post-conditions are awaited.
    Verifying,
    /// Waiting for the next attempt.
    Waiting,
    /// It did what it says.
    Succeeded,
    /// Not done, on purpose.
    Skipped,
    /// It failed for good.
    Failed,
    /// Being undone.
    Compensating,
    /// Undone.
    Compensated,
    /// It could not be undone.
    CompensationFailed,
    /// A person must look.
    NeedsHuman,
}

/// What is known of a run: folded from its events, in the machine, in the store and in the API alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Its id.
    pub run: RunId,
    /// Its plan.
    pub plan: PlanId,
    /// Digest of its plan.
    pub plan_digest: Digest,
    /// The incident.
    pub incident: IncidentId,
    /// Where it stands.
    pub status: RunStatus,
    /// Why it stands there, where there is something to say.
    pub why: String,
    /// Its steps, in the order of the workflow.
    pub steps: Vec<StepView>,
    /// Its changes, in the order of their first intent.
    pub effects: Vec<EffectView>,
    /// Objects whose health must not fall.
    pub guarded: Vec<ObjectRef>,
    /// Their health before anything was done.
    pub health_before: Vec<(ObjectRef, Option<Health>)>,
    /// Their health as last measured.
    pub health_now: Vec<(ObjectRef, Option<Health>)>,
    /// Verdicts on the success conditions, by place.
    pub success: BTreeMap<usize, Verdict>,
    /// Status in which it ends once it is unwound, while it is.
    pub unwinding_to: Option<RunStatus>,
    /// Whether a person paused it.
    #[serde(default)]
    pub is_paused: bool,
    /// The emergency stop that holds it, if one does.
    #[serde(default)]
    pub held: Option<StopLevel>,
    /// Whether the engine should make a new decision.
    pub wants_next_plan: bool,
    /// Who or what asked for it.
    pub by: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// What is known of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// Its id.
    pub step: String,
    /// Its action.
    pub action: String,
    /// Where it stands.
    pub status: StepStatus,
    /// Attempts begun.
    pub attempts: u32,
    /// Why it stands there, where there is something to say.
    pub why: String,
    /// What it gave to later steps.
    pub output: Value,
    /// State captured before it.
    pub prior: Value,
    /// Verdicts, by phase and place.
    pub verdicts: Vec<(Phase, usize, Verdict)>,
    /// When it was first begun.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// What is known of one intended change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectView {
    /// Effect key.
    pub key: String,
    /// The step.
    pub step: String,
    /// The object.
    pub target: ObjectRef,
    /// Attempts written.
    pub attempts: u32,
    /// Whether it was applied; unknown while it is not answered.
    pub applied: Applied,
}

impl RunView {
    /// The view after the first event, which must be [`Event::Started`]; none for any other.
    pub fn begin(run: &RunId, event: &Event) -> Option<Self> {
        let Event::Started { plan, guarded, by, at, .. } = event else { return None };
        let steps = plan.workflow.spec.steps.iter().map(|step| StepView {
            step: step.id.clone(),
            action: step.action.clone(),
            status: StepStatus::Pending,
            attempts: 0,
            why: String::new(),
            output: Value::Null,
            prior: Value::Null,
            verdicts: Vec::new(),
            started_at: None,
            ended_at: None,
        });
        Some(Self {
            run: run.clone(),
            plan: plan.id.clone(),
            plan_digest: plan.digest,
            incident: plan.incident.clone(),
            status: RunStatus::Running,
            why: String::new(),
            steps: steps.collect(),
            effects: Vec::new(),
            guarded: guarded.clone(),
            health_before: Vec::new(),
            health_now: Vec::new(),
            success: BTreeMap::new(),
            unwinding_to: None,
            is_paused: false,
            held: None,
            wants_next_plan: false,
            by: by.clone(),
            started_at: *at,
            ended_at: None,
        })
    }

    /// The step of this id.
    pub fn step(&self, id: &str) -> Option<&StepView> {
        self.steps.iter().find(|step| step.step == id)
    }

    /// Folds one event into the view.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Started { .. }
            | Event::Admitted { .. }
            | Event::Observed { .. }
            | Event::AlertChanged { .. }
            | Event::CompensationRetryScheduled { .. } => {}
            Event::BaselineMeasured { health } => {
                self.health_before.clone_from(health);
                self.health_now.clone_from(health);
            }
            Event::ReadFailed { step: Some(step), why, .. } => {
                self.change(step, |view| view.why.clone_from(why))
            }
            Event::ReadFailed { step: None, why, .. } | Event::AbortStarted { why } => {
                self.why.clone_from(why)
            }
            Event::StepStarted { step, attempt, at } => self.change(step, |view| {
                view.status = StepStatus::Running;
                view.attempts = *attempt;
                view.why.clear();
                view.verdicts.retain(|(phase, _, _)| *phase == Phase::When);
                view.started_at.get_or_insert(*at);
            }),
            Event::StepSkipped { step, why } => self.change(step, |view| {
                view.status = StepStatus::Skipped;
                view.why.clone_from(why);
            }),
            Event::ConditionJudged { step, phase, index, verdict, .. } => match step {
                Some(step) => self.change(step, |view| {
                    view.verdicts.retain(|(p, i, _)| (p, i) != (phase, index));
                    view.verdicts.push((*phase, *index, verdict.clone()));
                }),
                None => {
                    self.success.insert(*index, verdict.clone());
                }
            },
            Event::ApprovalAsked { step, reason, .. } => self.change(step, |view| {
                view.status = StepStatus::AwaitingApproval;
                view.why.clone_from(reason);
            }),
            Event::ApprovalAnswered { step, .. } => self.change(step, |view| {
                view.status =
                    if view.attempts == 0 { StepStatus::Pending } else { StepStatus::Running };
                view.why.clear();
            }),
            Event::IntentWritten { step, key, attempt, request, .. } => {
                match self.effects.iter_mut().find(|effect| effect.key == *key) {
                    Some(effect) => {
                        effect.attempts = *attempt;
                        effect.applied = Applied::Unknown;
                    }
                    None => self.effects.push(EffectView {
                        key: key.clone(),
                        step: step.clone(),
                        target: request.target.clone(),
                        attempts: *attempt,
                        applied: Applied::Unknown,
                    }),
                }
            }
            Event::EffectAnswered { key, applied, .. } => {
                if let Some(effect) = self.effects.iter_mut().find(|effect| effect.key == *key) {
                    effect.applied = *applied;
                }
            }
            Event::ActionDone { step, output, prior } => self.change(step, |view| {
                view.status = StepStatus::Verifying;
                view.output = output.clone();
                // A later attempt that finds its change already made has no prior state of its own:
                // what stood there before the first one still has to be put back.
                if !prior.is_null() {
                    view.prior = prior.clone();
                }
            }),
            Event::HealthMeasured { health, .. } => self.health_now.clone_from(health),
            Event::Regressed { step, object, before, now } => {
                let why = format!(
                    "{object} fell from {}/{} to {}/{} ready",
                    before.ready, before.desired, now.ready, now.desired
                );
                self.change(step, |view| view.why = why);
            }
            Event::StepSucceeded { step, at } => self.change(step, |view| {
                view.status = StepStatus::Succeeded;
                view.why.clear();
                view.ended_at = Some(*at);
            }),
            Event::RetryScheduled { step, why, .. } => self.change(step, |view| {
                view.status = StepStatus::Waiting;
                view.why.clone_from(why);
            }),
            Event::StepFailed { step, why, at } => self.change(step, |view| {
                view.status = StepStatus::Failed;
                view.why.clone_from(why);
                view.ended_at = Some(*at);
            }),
            Event::Paused { reason, .. } => {
                self.is_paused = true;
                self.why.clone_from(reason);
            }
            Event::Resumed { .. } => {
                self.is_paused = false;
                self.why.clear();
                for view in
                    self.steps.iter_mut().filter(|view| view.status == StepStatus::NeedsHuman)
                {
                    view.status = if self.unwinding_to.is_some() {
                        StepStatus::Compensating
                    } else {
                        StepStatus::Running
                    };
                    view.why.clear();
                }
            }
            Event::Held { level, reason, .. } => {
                self.held = Some(*level);
                self.why.clone_from(reason);
            }
            Event::Released { .. } => {
                self.held = None;
                self.why.clear();
            }
            Event::CancelAsked { reason, .. } => self.why.clone_from(reason),
            Event::UnwindStarted { why, then } => {
                self.is_paused = false;
                self.unwinding_to = Some(*then);
                self.why.clone_from(why);
            }
            Event::CompensationStarted { step, .. } => {
                self.change(step, |view| view.status = StepStatus::Compensating)
            }
            Event::StepCompensated { step, how, at } => self.change(step, |view| {
                view.status = StepStatus::Compensated;
                view.why.clone_from(how);
                view.ended_at = Some(*at);
            }),
            Event::CompensationFailed { step, residue, at } => self.change(step, |view| {
                view.status = StepStatus::CompensationFailed;
                view.why.clone_from(residue);
                view.ended_at = Some(*at);
            }),
            Event::HumanNeeded { step, why } => {
                self.why.clone_from(why);
                self.change(step, |view| {
                    view.status = StepStatus::NeedsHuman;
                    view.why.clone_from(why);
                });
            }
            Event::Ended { status, why, wants_next_plan, at } => {
                self.status = *status;
                self.why.clone_from(why);
                self.wants_next_plan = *wants_next_plan;
                self.ended_at = Some(*at);
            }
        }
        if self.ended_at.is_none() {
            self.status = self.status_by_parts();
        }
    }

    /// Where a run that has not ended stands, by what holds it and where its steps stand.
    fn status_by_parts(&self) -> RunStatus {
        if self.is_paused || self.held.is_some() {
            RunStatus::Paused
        } else if self.any(StepStatus::NeedsHuman) {
            RunStatus::NeedsHuman
        } else if self.unwinding_to.is_some() {
            RunStatus::Compensating
        } else if self.any(StepStatus::AwaitingApproval) {
            RunStatus::AwaitingApproval
        } else {
            RunStatus::Running
        }
    }

    fn any(&self, status: StepStatus) -> bool {
        self.steps.iter().any(|step| step.status == status)
    }

    fn change(&mut self, step: &str, change: impl FnOnce(&mut StepView)) {
        if let Some(view) = self.steps.iter_mut().find(|view| view.step == step) {
            change(view);
        }
    }
}
