//! Whether the next step is still needed once the run's alert has ended: what is in flight is finished, and what
//! justified the rest is looked at again before it begins.

use cluster::{Health, HealthLevel, ObjectRef};
use jiff::{SignedDuration, Timestamp};
use workflow::AlertStatus;

use super::state::Stage;
use super::{Run, later};

/// An alert that ended must stay quiet for so long, all being well, before a step is left out because of it.
pub(super) const QUIET: SignedDuration = SignedDuration::from_secs(30);

impl Run {
    /// What the run was last told of its incident's alerts.
    pub fn alert(&self) -> AlertStatus {
        match self.quiet_since {
            Some(_) => AlertStatus::Resolved,
            None => AlertStatus::Firing,
        }
    }

    /// The alert ended, or fires again: whatever has not begun is looked at in this light.
    pub(super) fn alert_changed(&mut self, status: AlertStatus, at: Timestamp) {
        self.quiet_since = match status {
            AlertStatus::Firing => None,
            AlertStatus::Resolved => Some(at),
        };
        self.reconsider(at);
    }

    /// Looks anew at every step that could begin.
    pub(super) fn reconsider(&mut self, at: Timestamp) {
        for place in 0..self.steps.len() {
            if matches!(self.steps[place].stage, Stage::Ready | Stage::Doubted(_)) {
                self.ready(place, at);
            }
        }
    }

    /// Lets a step begin; where the alert has ended, it is first looked at whether it is still needed.
    pub(super) fn ready(&mut self, place: usize, at: Timestamp) {
        self.steps[place].stage = match self.quiet_since {
            None => Stage::Ready,
            Some(_) => Stage::Doubted(self.ask(at)),
        };
    }

    /// The step is needed as long as something that was unwell still is, or cannot be read. Where all is well it waits
    /// until the alert fires again, or has been quiet for long enough not to be flapping.
    pub(super) fn reconsidered(
        &mut self,
        place: usize,
        health: &[(ObjectRef, Option<Health>)],
        at: Timestamp,
    ) {
        let Some(since) = self.quiet_since else { return self.ready(place, at) };
        let settled = later(since, QUIET);
        self.steps[place].stage = if !self.is_well(health) {
            Stage::Ready
        } else if at < settled {
            Stage::Doubted(self.ask(settled))
        } else {
            self.steps[place].is_unneeded = true;
            Stage::Unwanted {
                why: "not needed any more: the alert ended, and what was unwell is healthy".into(),
            }
        };
    }

    /// Whether every guarded object is at least as well as it was before the run, and healthy if it was not or could not
    /// be read then. Where nothing is guarded, nothing is known to be well.
    fn is_well(&self, health: &[(ObjectRef, Option<Health>)]) -> bool {
        let guarded = &self.view.health_before;
        !guarded.is_empty()
            && guarded.iter().all(|(object, before)| {
                let now = health.iter().find(|(other, _)| other.is_same(object));
                now.and_then(|(_, now)| now.as_ref()).is_some_and(|now| {
                    let is_healthy = now.level == HealthLevel::Healthy;
                    before.as_ref().map_or(is_healthy, |before| {
                        let was_healthy = before.level == HealthLevel::Healthy;
                        !now.is_below(before) && (was_healthy || is_healthy)
                    })
                })
            })
    }

    /// Why the run ends without its last steps, if it does.
    pub(super) fn unneeded(&self) -> Option<String> {
        let left_out = self.steps.iter().filter(|state| state.is_unneeded).count();
        (left_out > 0).then(|| {
            format!(
                "the alert ended before all was done, and what was unwell is healthy: {left_out} of {} steps were not needed any more",
                self.steps.len()
            )
        })
    }
}
