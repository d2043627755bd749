//! Emergency stops: which runs must not start anything new, by whose request.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::RunId;
use crate::run::{FleetEvent, StopLevel, StopScope};

/// The emergency stop of one scope, as last set or cleared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmergencyStop {
    /// Scope of the stop.
    pub scope: StopScope,
    /// Level of the stop. Absent once it is cleared.
    pub level: Option<StopLevel>,
    /// Who set or cleared it.
    pub actor: String,
    /// Justification given by that operator.
    pub reason: String,
    /// When it was set or cleared.
    pub at: Timestamp,
}

/// The active emergency stops, in the order in which they were set.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EmergencyStops(Vec<EmergencyStop>);

impl EmergencyStop {
    /// Returns the stop of a scope after an event. `None` if the event is about something else.
    pub fn after(event: &FleetEvent) -> Option<Self> {
        let (scope, level, actor, reason, at) = match event {
            FleetEvent::Stopped { scope, level, actor, reason, at } => {
                (scope, Some(*level), actor, reason, at)
            }
            FleetEvent::StopCleared { scope, actor, reason, at } => {
                (scope, None, actor, reason, at)
            }
            FleetEvent::Locked { .. }
            | FleetEvent::Unlocked { .. }
            | FleetEvent::RateLimitReserved { .. } => return None,
        };
        Some(Self {
            scope: scope.clone(),
            level,
            actor: actor.clone(),
            reason: reason.clone(),
            at: *at,
        })
    }

    /// Returns whether the stop applies to a run.
    fn applies_to(&self, run: &RunId) -> bool {
        match &self.scope {
            StopScope::Global => true,
            StopScope::Run { run: stopped } => stopped == run,
        }
    }
}

impl EmergencyStops {
    /// Folds one event.
    pub fn apply(&mut self, event: &FleetEvent) {
        let Some(stop) = EmergencyStop::after(event) else { return };
        self.0.retain(|other| other.scope != stop.scope);
        if stop.level.is_some() {
            self.0.push(stop);
        }
    }

    /// Returns the active stops.
    pub fn as_slice(&self) -> &[EmergencyStop] {
        &self.0
    }

    /// Returns the level of the active stop of exactly this scope.
    pub fn level(&self, scope: &StopScope) -> Option<StopLevel> {
        self.0.iter().find(|stop| stop.scope == *scope)?.level
    }

    /// Returns the strictest stop that applies to a run; of equal ones the last that was set.
    pub fn strictest(&self, run: &RunId) -> Option<&EmergencyStop> {
        self.0.iter().filter(|stop| stop.applies_to(run)).max_by_key(|stop| stop.level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        Timestamp::from_second(1_790_000_000).unwrap()
    }

    fn stopped(scope: StopScope, level: StopLevel) -> FleetEvent {
        FleetEvent::Stopped { scope, level, actor: "ada".into(), reason: "smoke".into(), at: at() }
    }

    fn cleared(scope: StopScope) -> FleetEvent {
        FleetEvent::StopCleared { scope, actor: "ada".into(), reason: "no smoke".into(), at: at() }
    }

    #[test]
    fn strictest_stop_applies_until_it_is_cleared() {
        let run: RunId = "run_01KDVFCY8R2FH5C7GX3B9F9PP4".parse().unwrap();
        let scope = StopScope::Run { run: run.clone() };
        let mut stops = EmergencyStops::default();
        stops.apply(&stopped(scope.clone(), StopLevel::L2));
        stops.apply(&stopped(StopScope::Global, StopLevel::L1));
        assert_eq!(stops.strictest(&run).map(|stop| &stop.scope), Some(&scope));
        stops.apply(&cleared(scope.clone()));
        assert_eq!(stops.strictest(&run).map(|stop| &stop.scope), Some(&StopScope::Global));
        assert_eq!((stops.level(&scope), stops.as_slice().len()), (None, 1));
        stops.apply(&stopped(StopScope::Global, StopLevel::L2));
        assert_eq!(stops.level(&StopScope::Global), Some(StopLevel::L2));
        stops.apply(&cleared(StopScope::Global));
        assert!(stops.as_slice().is_empty());
    }
}
