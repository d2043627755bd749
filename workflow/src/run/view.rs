use std::collections::BTreeMap;

use cluster::{Digest, Health, ObjectRef};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StopLevel;
use super::event::{Applied, Event, Phase};
use super::status::{RunStatus, StepStatus};
use crate::expression::Truth;
use crate::id::{IncidentId, PlanId, RunId};

/// State of a run, folded from its events. The state machine, the store and the API share this one fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Id of the run.
    pub run: RunId,
    /// Id of the plan.
    pub plan: PlanId,
    /// Digest of the plan.
    pub plan_digest: Digest,
    /// Id of the incident.
    pub incident: IncidentId,
    /// Current status.
    pub status: RunStatus,
    /// Explanation of the status. May be empty.
    pub message: String,
    /// Steps in the order of the workflow.
    pub steps: Vec<StepView>,
    /// Changes in the order of their first intent.
    pub effects: Vec<EffectView>,
    /// Objects whose health must not drop.
    pub guarded: Vec<ObjectRef>,
    /// Health of the guarded objects before the first change.
    pub health_before: Vec<(ObjectRef, Option<Health>)>,
    /// Health of the guarded objects as last measured.
    pub health_now: Vec<(ObjectRef, Option<Health>)>,
    /// Results of the success conditions by index.
    pub success: BTreeMap<usize, Truth>,
    /// Final status after the rollback. Set while a rollback is in progress.
    pub status_after_rollback: Option<RunStatus>,
    /// Whether an operator paused the run.
    #[serde(default)]
    pub is_paused: bool,
    /// Level of the emergency stop that applies to the run, if any.
    #[serde(default)]
    pub emergency_stop: Option<StopLevel>,
    /// Whether the engine should make a new decision for the incident.
    pub requests_replan: bool,
    /// The operator or component that requested the run.
    pub actor: String,
    /// When the run started.
    pub started_at: Timestamp,
    /// When the run ended.
    pub ended_at: Option<Timestamp>,
}

/// State of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// Id of the step.
    pub step: String,
    /// Name of the action.
    pub action: String,
    /// Current status.
    pub status: StepStatus,
    /// Number of attempts started.
    pub attempts: u32,
    /// Explanation of the status. May be empty.
    pub message: String,
    /// Output for later steps.
    pub output: Value,
    /// State captured before the first change, used by the compensation.
    pub prior: Value,
    /// Results of the conditions of the current attempt: list, index, result.
    pub conditions: Vec<(Phase, usize, Truth)>,
    /// When the first attempt started.
    pub started_at: Option<Timestamp>,
    /// When the step ended.
    pub ended_at: Option<Timestamp>,
}

/// State of one intended change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectView {
    /// Effect key of the change.
    pub key: String,
    /// The step that makes the change.
    pub step: String,
    /// The object that is changed.
    pub target: ObjectRef,
    /// Number of intents recorded.
    pub attempts: u32,
    /// Whether the change was applied. Unknown until it is answered.
    pub applied: Applied,
}

impl RunView {
    /// Creates the view from the first event. Returns `None` unless it is [`Event::Started`].
    pub fn begin(run: &RunId, event: &Event) -> Option<Self> {
        let Event::Started { plan, guarded, actor, at, .. } = event else { return None };
        let steps = plan.workflow.spec.steps.iter().map(|step| StepView {
            step: step.id.clone(),
            action: step.action.clone(),
            status: StepStatus::Pending,
            attempts: 0,
            message: String::new(),
            output: Value::Null,
            prior: Value::Null,
            conditions: Vec::new(),
            started_at: None,
            ended_at: None,
        });
        Some(Self {
            run: run.clone(),
            plan: plan.id.clone(),
            plan_digest: plan.digest,
            incident: plan.incident.clone(),
            status: RunStatus::Running,
            message: String::new(),
            steps: steps.collect(),
            effects: Vec::new(),
            guarded: guarded.clone(),
            health_before: Vec::new(),
            health_now: Vec::new(),
            success: BTreeMap::new(),
            status_after_rollback: None,
            is_paused: false,
            emergency_stop: None,
            requests_replan: false,
            actor: actor.clone(),
            started_at: *at,
            ended_at: None,
        })
    }

    /// Returns the step with this id.
    pub fn step(&self, id: &str) -> Option<&StepView> {
        self.steps.iter().find(|step| step.step == id)
    }

    /// Applies one event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Started { .. }
            | Event::Admitted { .. }
            | Event::Observed { .. }
            | Event::WaitEnded { .. }
            | Event::AlertChanged { .. }
            | Event::CompensationRetryScheduled { .. } => {}
            Event::BaselineMeasured { health } => {
                self.health_before.clone_from(health);
                self.health_now.clone_from(health);
            }
            Event::ReadFailed { step: Some(step), message, .. } => {
                self.update_step(step, |view| view.message.clone_from(message))
            }
            Event::ReadFailed { step: None, message, .. } | Event::AbortStarted { message } => {
                self.message.clone_from(message)
            }
            Event::StepStarted { step, attempt, at } => self.update_step(step, |view| {
                view.status = StepStatus::Running;
                view.attempts = *attempt;
                view.message.clear();
                view.conditions.retain(|(phase, _, _)| *phase == Phase::When);
                view.started_at.get_or_insert(*at);
            }),
            Event::StepSkipped { step, message } => self.update_step(step, |view| {
                view.status = StepStatus::Skipped;
                view.message.clone_from(message);
            }),
            Event::ConditionEvaluated { step, phase, index, result, .. } => match step {
                Some(step) => self.update_step(step, |view| {
                    view.conditions.retain(|(p, i, _)| (p, i) != (phase, index));
                    view.conditions.push((*phase, *index, result.clone()));
                }),
                None => {
                    self.success.insert(*index, result.clone());
                }
            },
            Event::ApprovalRequested { step, message, .. } => self.update_step(step, |view| {
                view.status = StepStatus::AwaitingApproval;
                view.message.clone_from(message);
            }),
            Event::ApprovalDecided { step, .. } => self.update_step(step, |view| {
                view.status =
                    if view.attempts == 0 { StepStatus::Pending } else { StepStatus::Running };
                view.message.clear();
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
            Event::ActionDone { step, output, prior } => self.update_step(step, |view| {
                view.status = StepStatus::Verifying;
                view.output = output.clone();
                // An attempt that finds its change already applied captures no prior state. Keep the state captured
                // by an earlier attempt, which the compensation must restore.
                if !prior.is_null() {
                    view.prior = prior.clone();
                }
            }),
            Event::HealthMeasured { health, .. } => self.health_now.clone_from(health),
            Event::Regressed { step, object, before, now } => {
                let message = format!(
                    "{object} dropped from {}/{} to {}/{} ready",
                    before.ready, before.desired, now.ready, now.desired
                );
                self.update_step(step, |view| view.message = message);
            }
            Event::StepSucceeded { step, at } => self.update_step(step, |view| {
                view.status = StepStatus::Succeeded;
                view.message.clear();
                view.ended_at = Some(*at);
            }),
            Event::RetryScheduled { step, message, .. } => self.update_step(step, |view| {
                view.status = StepStatus::Waiting;
                view.message.clone_from(message);
            }),
            Event::StepFailed { step, message, at } => self.update_step(step, |view| {
                view.status = StepStatus::Failed;
                view.message.clone_from(message);
                view.ended_at = Some(*at);
            }),
            Event::Paused { reason, .. } => {
                self.is_paused = true;
                self.message.clone_from(reason);
            }
            Event::Resumed { .. } => {
                self.is_paused = false;
                self.message.clear();
                for view in
                    self.steps.iter_mut().filter(|view| view.status == StepStatus::NeedsHuman)
                {
                    view.status = if self.status_after_rollback.is_some() {
                        StepStatus::Compensating
                    } else {
                        StepStatus::Running
                    };
                    view.message.clear();
                }
            }
            Event::StopApplied { level, reason, .. } => {
                self.emergency_stop = Some(*level);
                self.message.clone_from(reason);
            }
            Event::StopCleared { .. } => {
                self.emergency_stop = None;
                self.message.clear();
            }
            Event::CancelRequested { reason, .. } => self.message.clone_from(reason),
            Event::RollbackStarted { message, final_status } => {
                self.is_paused = false;
                self.status_after_rollback = Some(*final_status);
                self.message.clone_from(message);
            }
            Event::CompensationStarted { step, .. } => {
                self.update_step(step, |view| view.status = StepStatus::Compensating)
            }
            Event::StepCompensated { step, message, at } => self.update_step(step, |view| {
                view.status = StepStatus::Compensated;
                view.message.clone_from(message);
                view.ended_at = Some(*at);
            }),
            Event::CompensationFailed { step, remaining, at } => self.update_step(step, |view| {
                view.status = StepStatus::CompensationFailed;
                view.message.clone_from(remaining);
                view.ended_at = Some(*at);
            }),
            Event::HumanInterventionRequired { step, message } => {
                self.message.clone_from(message);
                self.update_step(step, |view| {
                    view.status = StepStatus::NeedsHuman;
                    view.message.clone_from(message);
                });
            }
            Event::Ended { status, message, requests_replan, at } => {
                self.status = *status;
                self.message.clone_from(message);
                self.requests_replan = *requests_replan;
                self.ended_at = Some(*at);
            }
        }
        if self.ended_at.is_none() {
            self.status = self.derive_status();
        }
    }

    /// Derives the status of a run that has not ended from pauses, stops and the status of its steps.
    fn derive_status(&self) -> RunStatus {
        if self.is_paused || self.emergency_stop.is_some() {
            RunStatus::Paused
        } else if self.any_step(StepStatus::NeedsHuman) {
            RunStatus::NeedsHuman
        } else if self.status_after_rollback.is_some() {
            RunStatus::Compensating
        } else if self.any_step(StepStatus::AwaitingApproval) {
            RunStatus::AwaitingApproval
        } else {
            RunStatus::Running
        }
    }

    fn any_step(&self, status: StepStatus) -> bool {
        self.steps.iter().any(|step| step.status == status)
    }

    fn update_step(&mut self, step: &str, update: impl FnOnce(&mut StepView)) {
        if let Some(view) = self.steps.iter_mut().find(|view| view.step == step) {
            update(view);
        }
    }
}
