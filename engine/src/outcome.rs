//! Determines the outcome of a finished run, of an escalation or of a decision to do nothing.

use cluster::{Health, ObjectRef};
use futures::future::{self, Either};
use jiff::Timestamp;
use workflow::id::{IncidentId, OutcomeId, PlanId};
use workflow::outcome::{
    self, ExecutedPlan, ObservationWindow, Outcome, OutcomeStatus, StepOutcome,
};
use workflow::run::{RunView, StepStatus};
use workflow::{Entry, Source};

use crate::case::{IncidentCase, IncidentStage, PlannedAttempt};
use crate::engine::{Engine, EngineError, TaskResult};
use crate::planning::CLUSTER_TIMEOUT;

impl Engine {
    /// Returns when the next action of a case is due. An outcome is determined at its deadline, or earlier once the alert
    /// has been resolved for the quiet period.
    pub(crate) fn due(&self, case: &IncidentCase) -> Option<Timestamp> {
        // A task is measuring the health for its outcome.
        if self.measuring.contains(&case.incident) {
            return None;
        }
        match &case.stage {
            IncidentStage::Stabilizing { deadline } => {
                let quiet = self
                    .folds
                    .incidents
                    .resolve_merged(&case.incident)
                    .and_then(|incident| incident.quiet_since);
                Some(quiet.map_or(*deadline, |since| {
                    (since + self.settings.quiet_period.signed()).min(*deadline)
                }))
            }
            // An alert that has fired again for the quiet period is a recurrence: the rest of the window is not awaited.
            IncidentStage::RecurrenceWatch { deadline, refired } => {
                let since = refired.values().min();
                let recurred_at = since.map(|since| *since + self.settings.quiet_period.signed());
                Some(recurred_at.map_or(*deadline, |at| at.min(*deadline)))
            }
            // A task is making its plan.
            IncidentStage::NeedsDecision { .. } if self.planning.contains_key(&case.incident) => {
                None
            }
            IncidentStage::NeedsDecision { due } => Some(*due),
            IncidentStage::EvaluatingOutcome | IncidentStage::Ready => Some(Timestamp::MIN),
            IncidentStage::Escalated => self.escalation_deadline(case),
            IncidentStage::AwaitingApproval { .. }
            | IncidentStage::Running { .. }
            | IncidentStage::Closed => None,
        }
    }

    /// Returns when the outcome of an escalation is due: after the recurrence window, and finally when the incident
    /// closes. `None` if an operator intervened without an escalation, because then there is no plan to evaluate.
    fn escalation_deadline(&self, case: &IncidentCase) -> Option<Timestamp> {
        let plan = case.plan().filter(|plan| plan.source == Source::Escalate)?;
        let is_evaluated = case.outcome().is_some();
        match self.folds.incidents.resolve_merged(&case.incident)?.closed_at {
            Some(closed) => Some(closed),
            None if is_evaluated => None,
            None => Some(plan.created_at + self.settings.recurrence_window.signed()),
        }
    }

    /// Starts to determine the outcome of an escalation.
    pub(crate) fn start_escalation_measurement(&mut self, id: &IncidentId) {
        let is_closed = self
            .folds
            .incidents
            .resolve_merged(id)
            .is_none_or(|incident| incident.closed_at.is_some());
        let window = if is_closed {
            ObservationWindow::Recurrence
        } else {
            ObservationWindow::Stabilization
        };
        self.start_measurement(id, window);
    }

    /// Starts to determine the outcome of a case: a task measures the health of the objects that the plan was guarded by.
    pub(crate) fn start_measurement(&mut self, id: &IncidentId, window: ObservationWindow) {
        let now = self.runtime.now();
        let Some(case) = self.folds.cases.cases.get(id) else { return };
        let Some(plan) = case.plan().map(|plan| plan.id.clone()) else { return };
        let objects: Vec<ObjectRef> =
            case.evidence.health.iter().map(|(object, _)| object.clone()).collect();
        let mut deadline = self.runtime.timer(now + CLUSTER_TIMEOUT);
        let cluster = self.cluster.clone();
        self.measuring.insert(id.clone());
        let (incident, health) = (id.clone(), Vec::new());
        let fallback = TaskResult::Measured { incident, plan: plan.clone(), window, health };
        let incident = id.clone();
        let measure = async move {
            let mut health = Vec::new();
            for object in objects {
                let measured = {
                    let measure = std::pin::pin!(executor::measure(&*cluster, &object, now));
                    match future::select(measure, &mut deadline).await {
                        Either::Left((measured, _)) => measured,
                        Either::Right(_) => {
                            tracing::warn!(%incident, "health could not be read in time");
                            break;
                        }
                    }
                };
                match measured {
                    Ok(measured) => health.push((object, measured)),
                    Err(failure) => tracing::warn!(%object, %failure, "health could not be read"),
                }
            }
            TaskResult::Measured { incident, plan, window, health }
        };
        self.spawn(measure, Some(fallback));
    }

    /// Determines and records the outcome of a plan, with the health after it.
    pub(crate) async fn handle_measurement(
        &mut self,
        id: &IncidentId,
        plan: &PlanId,
        window: ObservationWindow,
        health_after: Vec<(ObjectRef, Health)>,
    ) -> Result<(), EngineError> {
        self.measuring.remove(id);
        let now = self.runtime.now();
        let Some(case) = self.folds.cases.cases.get(id).cloned() else { return Ok(()) };
        // A client may have requested another plan meanwhile.
        let measured = case.last_attempt.as_ref().filter(|attempt| attempt.plan.id == *plan);
        let Some(PlannedAttempt { plan, decision, .. }) = measured else { return Ok(()) };
        let incident = self.folds.incidents.resolve_merged(id);
        let is_firing = incident.is_some_and(|incident| !incident.firing.is_empty());
        let run = case.run().and_then(|run| self.fleet.view(run));
        // A recurrence after the incident closed opens a new incident.
        let has_recurred = window == ObservationWindow::Recurrence
            && (is_firing || self.folds.incidents.is_followed(id));
        let is_escalation = plan.source == Source::Escalate;
        let executed = match run {
            Some(run) => ExecutedPlan::Run(run),
            None if is_escalation => ExecutedPlan::Escalated,
            None => ExecutedPlan::DoNothing,
        };
        let (status, mut reasons) = outcome::judge(
            executed,
            is_firing,
            has_recurred,
            case.evidence.target.as_ref(),
            &case.evidence.health,
            &health_after,
        );
        let is_resolved = status.is_resolved();
        // The alert resolved before the first step: the plan did not resolve it.
        let is_idle =
            run.is_some_and(|run| run.steps.iter().all(|step| step.status == StepStatus::Skipped));
        if is_idle && is_resolved {
            reasons.push("no step of the plan was executed, so it gets no reward".into());
        }
        let seconds = match (case.outcome(), window) {
            // The time of a resolution found after stabilization stays.
            (Some(earlier), ObservationWindow::Recurrence) if earlier.status.is_resolved() => {
                earlier.seconds_to_resolve.filter(|_| is_resolved)
            }
            (Some(_) | None, ObservationWindow::Stabilization | ObservationWindow::Recurrence) => {
                let ended = incident.and_then(|incident| incident.quiet_since).unwrap_or(now);
                is_resolved.then(|| ended.duration_since(decision.at).as_secs_f64().max(0.0))
            }
        };
        let outcome = Outcome {
            id: OutcomeId::derive(now, decision.id.as_str(), window as u64),
            decision: decision.id.clone(),
            incident: id.clone(),
            plan: plan.id.clone(),
            run: case.run().cloned(),
            window,
            status,
            reward: reward(status, seconds).filter(|_| !is_idle),
            seconds_to_resolve: seconds,
            steps: run.map(step_outcomes).unwrap_or_default(),
            health_before: case.evidence.health.clone(),
            health_after,
            reasons,
            at: now,
        };
        tracing::info!(incident = %id, plan = %plan.id, status = ?status, "outcome");
        let mut entries = vec![Entry::Observed(outcome.clone())];
        // Each plan yields one past execution: a resolved one is recorded at the end of the recurrence window only.
        let is_final = window == ObservationWindow::Recurrence || !is_resolved;
        if is_final && !is_idle && !is_escalation {
            entries.extend(case.finished_execution(&outcome).map(Entry::Executed));
        }
        self.record(now, entries).await?;
        self.snapshot_learner().await
    }
}

/// Maximum reward of an escalation: a plan that succeeds more often than one time in four is worth more. It equals the
/// learner's prior for `escalate`.
const ESCALATION_REWARD_CAP: f64 = 0.25;

/// Returns the reward: 1 for an immediate resolution, falling to 0.8 over half an hour; 0 if it is not resolved; `None` if
/// the outcome is unknown.
///
/// A manual resolution earns at most [`ESCALATION_REWARD_CAP`], because it cost an operator's time.
fn reward(status: OutcomeStatus, seconds: Option<f64>) -> Option<f64> {
    let speed_score = 1.0 - 0.2 * (seconds.unwrap_or(1_800.0) / 1_800.0).min(1.0);
    match status {
        OutcomeStatus::Resolved => Some(speed_score),
        OutcomeStatus::ResolvedManually => Some(ESCALATION_REWARD_CAP * speed_score),
        OutcomeStatus::NotResolved | OutcomeStatus::Recurred | OutcomeStatus::Worse => Some(0.0),
        OutcomeStatus::Unknown => None,
    }
}

fn step_outcomes(run: &RunView) -> Vec<StepOutcome> {
    let outcome = |step: &workflow::run::StepView| StepOutcome {
        step: step.step.clone(),
        action: step.action.clone(),
        succeeded: match step.status {
            StepStatus::Succeeded
            | StepStatus::Compensating
            | StepStatus::Compensated
            | StepStatus::CompensationFailed => Some(true),
            StepStatus::Failed => Some(false),
            StepStatus::Pending
            | StepStatus::AwaitingApproval
            | StepStatus::Running
            | StepStatus::Verifying
            | StepStatus::Waiting
            | StepStatus::Skipped
            | StepStatus::NeedsHuman => None,
        },
        seconds: match (step.started_at, step.ended_at) {
            (Some(started), Some(ended)) => ended.duration_since(started).as_secs_f64().max(0.0),
            (Some(_), None) | (None, Some(_) | None) => 0.0,
        },
    };
    run.steps.iter().map(outcome).collect()
}
