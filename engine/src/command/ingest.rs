//! Alert deliveries. Deliveries that arrive together are recorded in one append.

use std::collections::BTreeMap;

use jiff::Timestamp;
use workflow::incident::{self, IncidentEvent, IncidentInput};
use workflow::{Delivery, EngineResponse, Entry, Incidents};

/// Decides deliveries in order, each on the events of those before it. Returns the entries of all and a response for each.
pub(crate) fn handle(
    incidents: &Incidents,
    deliveries: Vec<Delivery>,
    now: Timestamp,
) -> (Vec<Entry>, Vec<EngineResponse>) {
    let mut decided = incidents.excerpt(deliveries.iter().flat_map(|delivery| &delivery.alerts));
    let (mut events, mut responses) = (Vec::new(), Vec::new());
    for delivery in deliveries {
        let (mut alerts, mut ids) = (Vec::new(), Vec::new());
        for alert in delivery.alerts {
            for event in incident::decide(&decided, &IncidentInput::Alert(alert), now) {
                decided.apply(&event);
                alerts.extend(event.alert().cloned());
                if let Some(incident) = event.incident()
                    && !ids.contains(incident)
                {
                    ids.push(incident.clone());
                }
                events.push(event);
            }
        }
        responses.push(EngineResponse::Received { alerts, incidents: ids });
    }
    (merge_repeats(events).into_iter().map(Entry::Incident).collect(), responses)
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use workflow::{Limits, alertmanager};

    use super::*;
    use crate::sample;

    fn delivery(alerts: &[(&str, &str)]) -> Delivery {
        let alerts: Vec<_> = alerts
            .iter()
            .map(|(name, status)| {
                json!({"status": status, "startsAt": sample::at(0).to_string(),
                    "labels": {"alertname": name, "namespace": "shop", "deployment": "checkout"}})
            })
            .collect();
        let body = json!({"version": "4", "alerts": alerts}).to_string();
        alertmanager::parse(body.as_bytes(), &Limits::default(), sample::at(0)).unwrap()
    }

    #[test]
    fn deliveries_of_one_batch_are_decided_on_each_other() {
        let incidents = Incidents::default();
        let deliveries = vec![
            delivery(&[("A", "firing")]),
            delivery(&[("A", "firing"), ("B", "firing")]),
            delivery(&[("A", "firing")]),
        ];
        let (entries, responses) = handle(&incidents, deliveries, sample::at(1));
        let events: Vec<String> = entries
            .iter()
            .map(|entry| match entry {
                Entry::Incident(event) => {
                    serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_string()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(events, ["opened", "alertFired", "alertRepeated", "alertFired"]);
        let Entry::Incident(IncidentEvent::AlertRepeated { count, .. }) = &entries[2] else {
            panic!("{:?}", entries[2])
        };
        assert_eq!(*count, 2);
        let EngineResponse::Received { alerts, incidents } = &responses[1] else {
            panic!("{:?}", responses[1])
        };
        assert_eq!((alerts.len(), incidents.len()), (2, 1));
    }
}
