//! Ingests alert deliveries. Deliveries that arrive together are recorded in one append.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use workflow::incident::IncidentEvent;
use workflow::{Delivery, EngineResponse, Entry};

use crate::engine::{Engine, EngineError};

impl Engine {
    /// Ingests deliveries together and answers each once all are durable.
    pub(crate) async fn ingest(
        &mut self,
        deliveries: Vec<(Delivery, oneshot::Sender<EngineResponse>)>,
    ) -> Result<(), EngineError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let now = self.runtime.now();
        let (mut events, mut responses) = (Vec::new(), Vec::new());
        for (delivery, reply_to) in deliveries {
            let (mut alerts, mut incidents) = (Vec::new(), Vec::new());
            for alert in delivery.alerts {
                for event in self.folds.apply_unrecorded(alert, now) {
                    match &event {
                        IncidentEvent::AlertFired { alert, .. } => alerts.push(alert.id.clone()),
                        IncidentEvent::AlertRepeated { alert, .. }
                        | IncidentEvent::AlertResolved { alert, .. } => alerts.push(alert.clone()),
                        IncidentEvent::ResolvedWithoutFiring { alert, .. } => {
                            alerts.push(alert.id.clone())
                        }
                        IncidentEvent::Opened { .. }
                        | IncidentEvent::OwnerFound { .. }
                        | IncidentEvent::Merged { .. }
                        | IncidentEvent::Closed { .. } => {}
                    }
                    if let Some(incident) = event.incident()
                        && !incidents.contains(incident)
                    {
                        incidents.push(incident.clone());
                    }
                    events.push(event);
                }
            }
            responses.push((EngineResponse::Received { alerts, incidents }, reply_to));
        }
        let events = merge_repeats(events);
        self.folds.expect_recorded(events.len());
        self.record(now, events.into_iter().map(Entry::Incident).collect()).await?;
        for (response, reply_to) in responses {
            let _ = reply_to.send(response);
        }
        // Runs must learn about resolved alerts before anything else happens to them.
        self.notify_alert_status().await
    }
}

/// Merges the repeats of one delivery into one event with a count.
fn merge_repeats(events: Vec<IncidentEvent>) -> Vec<IncidentEvent> {
    let mut merged: Vec<IncidentEvent> = Vec::new();
    let mut index_by_delivery: BTreeMap<String, usize> = BTreeMap::new();
    for event in events {
        if let IncidentEvent::AlertRepeated { count, delivery, .. } = &event {
            if let Some(index) = index_by_delivery.get(delivery)
                && let IncidentEvent::AlertRepeated { count: total, .. } = &mut merged[*index]
            {
                *total += count;
                continue;
            }
            index_by_delivery.insert(delivery.clone(), merged.len());
        }
        merged.push(event);
    }
    merged
}
