//! Alerts that were delivered: what they mean for the incidents, in one append however many came at once.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use workflow::incident::IncidentEvent;
use workflow::{Answer, Delivery, Entry};

use crate::engine::{Engine, Failure};

impl Engine {
    /// Takes deliveries together, and answers each once all are durable.
    pub(crate) async fn deliver(
        &mut self,
        deliveries: Vec<(Delivery, oneshot::Sender<Answer>)>,
    ) -> Result<(), Failure> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let now = self.time.now();
        let (mut events, mut answers) = (Vec::new(), Vec::new());
        for (delivery, back) in deliveries {
            let (mut alerts, mut incidents) = (Vec::new(), Vec::new());
            for alert in delivery.alerts {
                for event in self.folds.run_ahead(alert, now) {
                    match &event {
                        IncidentEvent::AlertFired { alert, .. } => alerts.push(alert.id.clone()),
                        IncidentEvent::AlertRepeated { alert, .. }
                        | IncidentEvent::AlertResolved { alert, .. } => alerts.push(alert.clone()),
                        IncidentEvent::ResolvedUnseen { alert, .. } => {
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
            answers.push((Answer::Received { alerts, incidents }, back));
        }
        let events = counted(events);
        self.folds.ran_ahead(events.len());
        self.record(now, events.into_iter().map(Entry::Incident).collect()).await?;
        for (answer, back) in answers {
            let _ = back.send(answer);
        }
        // Before anything else happens to a run: what it is for may have ended.
        self.tell_runs().await
    }
}

/// Repeats of one delivery within a batch become one event that counts.
fn counted(events: Vec<IncidentEvent>) -> Vec<IncidentEvent> {
    let mut kept: Vec<IncidentEvent> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for event in events {
        if let IncidentEvent::AlertRepeated { count, delivery, .. } = &event {
            if let Some(place) = places.get(delivery)
                && let IncidentEvent::AlertRepeated { count: kept, .. } = &mut kept[*place]
            {
                *kept += count;
                continue;
            }
            places.insert(delivery.clone(), kept.len());
        }
        kept.push(event);
    }
    kept
}
