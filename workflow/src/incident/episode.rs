use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::IncidentEvent;
use crate::id::IncidentId;

/// An episode of an alert: one period of firing, short gaps included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Episode {
    /// The incident that the alert belongs to. Absent for an alert that resolved before any firing delivery arrived.
    pub incident: Option<IncidentId>,
    /// Number of this episode among those of its label set, from 1; 0 for an alert without an incident.
    #[serde(rename = "episode")]
    pub number: u64,
    /// Number of deliveries, repeats included.
    pub deliveries: u64,
    /// Whether the alert fires now.
    pub is_firing: bool,
    /// When the alert last resolved. Absent while it fires.
    pub resolved_at: Option<Timestamp>,
}

impl Episode {
    /// Returns the episode that an event starts.
    pub fn begin(event: &IncidentEvent) -> Option<Self> {
        let before =
            Self { incident: None, number: 0, deliveries: 0, is_firing: false, resolved_at: None };
        match event {
            IncidentEvent::AlertFired { .. } | IncidentEvent::ResolvedWithoutFiring { .. } => {
                let mut episode = before;
                episode.apply(event);
                Some(episode)
            }
            IncidentEvent::Opened { .. }
            | IncidentEvent::AlertRepeated { .. }
            | IncidentEvent::AlertResolved { .. }
            | IncidentEvent::OwnerFound { .. }
            | IncidentEvent::Merged { .. }
            | IncidentEvent::Closed { .. } => None,
        }
    }

    /// Folds one event of the alert, or of the incident that the alert belongs to.
    pub fn apply(&mut self, event: &IncidentEvent) {
        self.deliveries += event.deliveries();
        match event {
            IncidentEvent::AlertFired { incident, episode, .. } => {
                self.incident = Some(incident.clone());
                (self.number, self.is_firing, self.resolved_at) = (*episode, true, None);
            }
            IncidentEvent::AlertResolved { at, .. } => {
                (self.is_firing, self.resolved_at) = (false, Some(*at));
            }
            IncidentEvent::Merged { incident, into, .. }
                if self.incident.as_ref() == Some(incident) =>
            {
                self.incident = Some(into.clone());
            }
            IncidentEvent::ResolvedWithoutFiring { alert, .. } => self.resolved_at = alert.ends_at,
            IncidentEvent::Merged { .. }
            | IncidentEvent::Opened { .. }
            | IncidentEvent::AlertRepeated { .. }
            | IncidentEvent::OwnerFound { .. }
            | IncidentEvent::Closed { .. } => {}
        }
    }
}
