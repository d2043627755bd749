use jiff::Timestamp;

use super::{IncidentEvent, IncidentInput, Incidents};

/// What one input means for the incidents: the events to record, in order.
pub fn decide(incidents: &Incidents, input: &IncidentInput, now: Timestamp) -> Vec<IncidentEvent> {
    let _ = (incidents, input, now);
    Vec::new()
}

impl Incidents {
    /// Folds one event.
    pub fn apply(&mut self, event: &IncidentEvent) {
        let _ = event;
    }

    /// When an incident is next to be closed, if one is.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        None
    }
}
