//! Decides whether the remaining steps are still needed after the run's alert resolved. Steps in progress are finished;
//! the health that justified the others is measured again before they start.

use cluster::{Health, HealthLevel, ObjectRef};
use jiff::{SignedDuration, Timestamp};
use workflow::AlertStatus;

use super::state::StepState;
use super::{Run, saturating_add};

/// How long a resolved alert must stay resolved, with all guarded objects healthy, before steps are skipped.
pub(super) const QUIET_PERIOD: SignedDuration = SignedDuration::from_secs(30);

impl Run {
    /// Status of the incident's alerts according to the last input.
    pub fn alert_status(&self) -> AlertStatus {
        match self.quiet_since {
            Some(_) => AlertStatus::Resolved,
            None => AlertStatus::Firing,
        }
    }

    /// Folds a change of the alert status and re-evaluates the steps that have not started.
    pub(super) fn alert_changed(&mut self, status: AlertStatus, at: Timestamp) {
        self.quiet_since = match status {
            AlertStatus::Firing => None,
            AlertStatus::Resolved => Some(at),
        };
        self.reconsider(at);
    }

    /// Re-evaluates every step that is ready to start.
    pub(super) fn reconsider(&mut self, at: Timestamp) {
        for step_index in 0..self.steps.len() {
            if matches!(
                self.steps[step_index].state,
                StepState::Ready | StepState::Reconsidering(_)
            ) {
                self.make_ready(step_index, at);
            }
        }
    }

    /// Makes a step ready to start, or to be reconsidered first if the alert has resolved.
    pub(super) fn make_ready(&mut self, step_index: usize, at: Timestamp) {
        self.steps[step_index].state = match self.quiet_since {
            None => StepState::Ready,
            Some(_) => StepState::Reconsidering(self.next_effect(at)),
        };
    }

    /// Folds the health measured for a reconsidered step. The step is still needed while an object that was unhealthy
    /// still is, or cannot be read. Otherwise it waits until the alert fires again, or has been resolved long enough not
    /// to be flapping; then it is skipped.
    pub(super) fn record_reconsideration(
        &mut self,
        step_index: usize,
        health: &[(ObjectRef, Option<Health>)],
        at: Timestamp,
    ) {
        let Some(since) = self.quiet_since else { return self.make_ready(step_index, at) };
        let quiet_until = saturating_add(since, QUIET_PERIOD);
        self.steps[step_index].state = if !self.is_healthy_again(health) {
            StepState::Ready
        } else if at < quiet_until {
            StepState::Reconsidering(self.next_effect(quiet_until))
        } else {
            self.steps[step_index].is_unneeded = true;
            StepState::Skipping {
                message: "no longer needed: the alert resolved and affected workloads are healthy"
                    .into(),
            }
        };
    }

    /// Whether every guarded object is at least as healthy as before the run, and healthy if it was unhealthy or
    /// unreadable then. False if no object is guarded, because then nothing is known.
    fn is_healthy_again(&self, health: &[(ObjectRef, Option<Health>)]) -> bool {
        let guarded = &self.view.health_before;
        !guarded.is_empty()
            && guarded.iter().all(|(object, before)| {
                let now = health.iter().find(|(other, _)| other.is_same(object));
                now.and_then(|(_, now)| now.as_ref()).is_some_and(|now| {
                    let is_healthy = now.level == HealthLevel::Healthy;
                    before.as_ref().map_or(is_healthy, |before| {
                        let was_healthy = before.level == HealthLevel::Healthy;
                        !now.is_worse_than(before) && (was_healthy || is_healthy)
                    })
                })
            })
    }

    /// Returns the message of a run that succeeded without executing all steps, if some were skipped as unneeded.
    pub(super) fn early_success_message(&self) -> Option<String> {
        let skipped = self.steps.iter().filter(|progress| progress.is_unneeded).count();
        (skipped > 0).then(|| {
            format!(
                "affected workloads are healthy; {skipped} of {} steps skipped (no longer needed)",
                self.steps.len()
            )
        })
    }
}
