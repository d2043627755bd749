use cluster::digest_of_parts;
use jiff::Timestamp;

use super::{EPISODE_GAP, Episode, Incident, IncidentEvent, IncidentInput, Incidents};
use crate::alert::{Alert, AlertStatus};
use crate::id::{AlertId, IncidentId};

/// Decides which events an input causes, in the order in which they are to be recorded.
///
/// A repeated delivery is only counted. A firing alert joins the open incident of its subject, or opens an incident that
/// refers to the previous one. An alert that resolves and fires again within [`EPISODE_GAP`] stays in the same episode.
pub fn decide(incidents: &Incidents, input: &IncidentInput, now: Timestamp) -> Vec<IncidentEvent> {
    match input {
        IncidentInput::Alert(alert) => match alert.status {
            AlertStatus::Firing => decide_firing(incidents, alert, now),
            AlertStatus::Resolved => decide_resolved(incidents, alert, now),
        },
        IncidentInput::OwnerFound(id, owner) => {
            let Some(incident) = incidents.incidents.get(id).filter(|incident| incident.is_open())
            else {
                return Vec::new();
            };
            if incident.owner.as_ref() == Some(owner) {
                return Vec::new();
            }
            let mut events =
                vec![IncidentEvent::OwnerFound { incident: id.clone(), owner: owner.clone() }];
            let is_older = |other: &&Incident| {
                other.id != *id
                    && other.opened_at <= incident.opened_at
                    && other.owner.as_ref().is_some_and(|o| o.is_same(owner))
            };
            let open = incidents.open.values().filter_map(|id| incidents.current(id));
            if let Some(older) = open.filter(is_older).min_by_key(|other| &other.id) {
                events.push(IncidentEvent::Merged {
                    incident: id.clone(),
                    into: older.id.clone(),
                    at: now,
                });
            }
            events
        }
        IncidentInput::Deadline => incidents
            .quiet
            .iter()
            .take_while(|(since, _)| *since + EPISODE_GAP.signed() <= now)
            .map(|(_, incident)| IncidentEvent::Closed { incident: incident.clone(), at: now })
            .collect(),
    }
}

pub(super) fn cluster_of(alert: &Alert) -> &str {
    alert.subject.cluster.as_deref().unwrap_or("")
}

/// Returns the key under which the episodes of an alert's label set are counted.
pub(super) fn episode_key(alert: &Alert) -> String {
    digest_of_parts(&[cluster_of(alert), &alert.fingerprint]).to_string()
}

/// Returns the key of the incident that an alert belongs to. It is unique among open incidents.
pub(super) fn incident_key(alert: &Alert) -> String {
    let (label, value) = &alert.subject.label;
    let subject = format!("{label}={value}");
    digest_of_parts(&[
        cluster_of(alert),
        alert.subject.namespace.as_deref().unwrap_or(""),
        &subject,
    ])
    .to_string()
}

fn decide_firing(incidents: &Incidents, alert: &Alert, now: Timestamp) -> Vec<IncidentEvent> {
    let delivery = alert.delivery_key().to_string();
    let episode = incidents.latest_episode(alert);
    if incidents.delivered.contains_key(&delivery)
        && let Some(episode) = episode
    {
        return repeated_event(episode, delivery);
    }
    let ended = Alert { status: AlertStatus::Resolved, ..alert.clone() }.delivery_key().to_string();
    if incidents.resolved_before_firing.contains(&ended) {
        // Deliveries arrived out of order: the alert had already resolved. No incident is opened.
        return vec![IncidentEvent::ResolvedWithoutFiring {
            alert: Box::new(alert.clone()),
            delivery,
        }];
    }
    let continued = episode.filter(|(_, episode)| {
        episode.is_firing || episode.resolved_at.is_some_and(|at| at + EPISODE_GAP.signed() >= now)
    });
    let (id, number) = match continued {
        Some((id, episode)) => (id.clone(), episode.number),
        None => {
            let number = episode.map_or(1, |(_, episode)| episode.number + 1);
            let key =
                digest_of_parts(&[cluster_of(alert), &alert.fingerprint, &number.to_string()])
                    .to_string();
            (AlertId::derive(now, &key, number), number)
        }
    };
    let alert = Alert { id, ..alert.clone() };
    let key = incident_key(&alert);
    let open = continued
        .and_then(|(_, episode)| incidents.current(episode.incident.as_ref()?))
        .or_else(|| incidents.open.get(&key).and_then(|id| incidents.current(id)));
    if let Some(incident) = open {
        return vec![IncidentEvent::AlertFired {
            incident: incident.id.clone(),
            alert: Box::new(alert),
            episode: number,
        }];
    }
    let previous = incidents.latest.get(&key).cloned();
    let incident = Incident {
        id: IncidentId::derive(now, &key, incidents.opened),
        cluster: cluster_of(&alert).into(),
        namespace: alert.subject.namespace.clone().unwrap_or_default(),
        subject: alert.subject.label.clone(),
        owner: None,
        first: alert.clone(),
        firing: Default::default(),
        alerts: Default::default(),
        previous,
        merged_into: None,
        opened_at: now,
        quiet_since: None,
        closed_at: None,
    };
    let fired = IncidentEvent::AlertFired {
        incident: incident.id.clone(),
        alert: Box::new(alert),
        episode: number,
    };
    vec![IncidentEvent::Opened { incident: Box::new(incident) }, fired]
}

fn decide_resolved(incidents: &Incidents, alert: &Alert, now: Timestamp) -> Vec<IncidentEvent> {
    let delivery = alert.delivery_key().to_string();
    match incidents.latest_episode(alert) {
        Some(episode) if incidents.delivered.contains_key(&delivery) || !episode.1.is_firing => {
            repeated_event(episode, delivery)
        }
        Some((id, episode)) => {
            let resolved = |incident: &IncidentId| IncidentEvent::AlertResolved {
                incident: incident.clone(),
                alert: id.clone(),
                delivery,
                at: now,
            };
            episode.incident.as_ref().map(resolved).into_iter().collect()
        }
        None => {
            vec![IncidentEvent::ResolvedWithoutFiring { alert: Box::new(alert.clone()), delivery }]
        }
    }
}

/// Returns the event of a repeated delivery; none without an incident, which an episode of a label set always has.
fn repeated_event((alert, episode): (&AlertId, &Episode), delivery: String) -> Vec<IncidentEvent> {
    let repeated = |incident: &IncidentId| IncidentEvent::AlertRepeated {
        incident: incident.clone(),
        alert: alert.clone(),
        count: 1,
        delivery,
    };
    episode.incident.as_ref().map(repeated).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alertmanager;
    use crate::limits::Limits;
    use cluster::ObjectRef;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    fn alert(status: &str, pod: &str, starts: i64, now: i64) -> Alert {
        let body = serde_json::json!({"version": "4", "alerts": [{"status": status,
            "labels": {"alertname": "KubePodCrashLooping", "namespace": "shop", "pod": pod},
            "annotations": {}, "startsAt": at(starts).to_string(), "endsAt": at(now).to_string()}]});
        alertmanager::parse(body.to_string().as_bytes(), &Limits::default(), at(now))
            .unwrap()
            .alerts
            .remove(0)
    }

    /// Applies an input and returns the names of the resulting events.
    fn feed(incidents: &mut Incidents, input: IncidentInput, now: i64) -> Vec<String> {
        let events = decide(incidents, &input, at(now));
        for event in &events {
            incidents.apply(event);
        }
        events
            .iter()
            .map(|event| {
                serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_string()
            })
            .collect()
    }

    fn fire(
        incidents: &mut Incidents,
        status: &str,
        pod: &str,
        starts: i64,
        now: i64,
    ) -> Vec<String> {
        feed(incidents, IncidentInput::Alert(alert(status, pod, starts, now)), now)
    }

    #[test]
    /// Bad-input row A8: 10,000 deliveries of one alert are one episode of one incident.
    fn repeated_delivery_is_only_counted() {
        let mut incidents = Incidents::default();
        assert_eq!(fire(&mut incidents, "firing", "a", 0, 1), ["opened", "alertFired"]);
        for i in 0..9_999 {
            assert_eq!(fire(&mut incidents, "firing", "a", 0, 2 + i / 1_000), ["alertRepeated"]);
        }
        assert_eq!(incidents.incidents.len(), 1);
        assert_eq!(incidents.episodes.values().next().unwrap().deliveries, 10_000);
    }

    #[test]
    /// Bad-input row A10: an alert that flaps for ten minutes is one episode of one incident.
    fn flapping_alert_is_one_episode() {
        let mut incidents = Incidents::default();
        for i in 0..600 {
            let status = if i % 2 == 0 { "firing" } else { "resolved" };
            fire(&mut incidents, status, "a", i - i % 2, i);
        }
        assert_eq!(
            (incidents.incidents.len(), incidents.episodes.values().next().unwrap().number),
            (1, 1)
        );
    }

    #[test]
    /// Bad-input row A11: an alert that resolves before its firing delivery arrives opens no incident.
    fn resolved_before_firing_opens_no_incident() {
        let mut incidents = Incidents::default();
        assert_eq!(fire(&mut incidents, "resolved", "a", 0, 1), ["resolvedWithoutFiring"]);
        assert_eq!(fire(&mut incidents, "firing", "a", 0, 2), ["resolvedWithoutFiring"]);
        assert_eq!(fire(&mut incidents, "firing", "a", 60, 61), ["opened", "alertFired"]);
    }

    #[test]
    fn incident_closes_after_gap_and_successor_refers_to_it() {
        let mut incidents = Incidents::default();
        fire(&mut incidents, "firing", "a", 0, 1);
        assert_eq!(fire(&mut incidents, "resolved", "a", 0, 100), ["alertResolved"]);
        assert_eq!(incidents.next_deadline(), Some(at(400)));
        assert!(feed(&mut incidents, IncidentInput::Deadline, 399).is_empty());
        assert_eq!(feed(&mut incidents, IncidentInput::Deadline, 400), ["closed"]);
        assert_eq!(fire(&mut incidents, "firing", "a", 500, 501), ["opened", "alertFired"]);
        let second = incidents.incidents.values().find(|incident| incident.is_open()).unwrap();
        let first = second.previous.as_ref().expect("the incident refers to the previous one");
        assert!(incidents.is_followed(first) && !incidents.is_followed(&second.id));
        assert_eq!(incidents.next_deadline(), None, "an alert fires again");
        assert_eq!(incidents.episodes.values().map(|episode| episode.number).max(), Some(2));
    }

    #[test]
    fn incidents_with_same_owner_are_merged() {
        let mut incidents = Incidents::default();
        fire(&mut incidents, "firing", "a", 0, 1);
        fire(&mut incidents, "firing", "b", 0, 2);
        let ids: Vec<IncidentId> =
            incidents.incidents.values().map(|incident| incident.id.clone()).collect();
        let (first, second) =
            if incidents.incidents[&ids[0]].opened_at < incidents.incidents[&ids[1]].opened_at {
                (&ids[0], &ids[1])
            } else {
                (&ids[1], &ids[0])
            };
        let owner = ObjectRef::builtin("c", "Deployment", Some("shop"), "checkout");
        assert_eq!(
            feed(&mut incidents, IncidentInput::OwnerFound(first.clone(), owner.clone()), 3),
            ["ownerFound"]
        );
        assert_eq!(
            feed(&mut incidents, IncidentInput::OwnerFound(second.clone(), owner), 3),
            ["ownerFound", "merged"]
        );
        fire(&mut incidents, "resolved", "a", 0, 10);
        assert_eq!(incidents.next_deadline(), None);
        fire(&mut incidents, "resolved", "b", 0, 20);
        assert_eq!(incidents.next_deadline(), Some(at(320)));
        // An alert of the merged incident that fires again joins the older incident.
        assert_eq!(fire(&mut incidents, "firing", "b", 30, 31), ["alertFired"]);
        assert!(incidents.incidents[first].firing.len() == 1);
    }

    #[test]
    fn replayed_events_give_live_state() {
        let (mut live, mut replayed, mut log) =
            (Incidents::default(), Incidents::default(), Vec::new());
        for i in 0..200i64 {
            let status = if i % 3 == 2 { "resolved" } else { "firing" };
            let input = IncidentInput::Alert(alert(
                status,
                ["a", "b", "c"][(i % 3) as usize],
                i - i % 5,
                i * 7,
            ));
            for input in [input, IncidentInput::Deadline] {
                for event in decide(&live, &input, at(i * 7)) {
                    live.apply(&event);
                    log.push(serde_json::to_string(&event).unwrap());
                }
            }
        }
        for event in log {
            replayed.apply(&serde_json::from_str(&event).unwrap());
        }
        assert_eq!(live, replayed);
    }

    /// Deciding a batch on an excerpt gives the events of deciding it on the whole state.
    #[test]
    fn excerpt_decides_like_whole_state() {
        let mut recorded = Incidents::default();
        for batch in 0..120i64 {
            let now = batch * 31;
            let alerts: Vec<Alert> = (0..1 + batch % 4)
                .map(|n| {
                    let draw = (batch * 7 + n * 5) % 11;
                    let status = if draw % 3 == 2 { "resolved" } else { "firing" };
                    alert(status, ["a", "b", "c", "d"][(draw % 4) as usize], now - draw * 40, now)
                })
                .collect();
            let (mut whole, mut excerpt) = (recorded.clone(), recorded.excerpt(&alerts));
            let mut events = Vec::new();
            for alert in alerts {
                let input = IncidentInput::Alert(alert);
                let expected = decide(&whole, &input, at(now));
                let decided = decide(&excerpt, &input, at(now));
                assert_eq!(decided, expected, "batch {batch}");
                decided.iter().for_each(|event| excerpt.apply(event));
                expected.iter().for_each(|event| whole.apply(event));
                events.extend(decided);
            }
            events.extend(decide(&whole, &IncidentInput::Deadline, at(now)));
            if batch % 5 == 4
                && let Some(open) = whole.open.values().cycle().nth(batch as usize / 5).cloned()
            {
                let owner = ObjectRef::builtin("c", "Deployment", Some("shop"), "checkout");
                events.extend(decide(&whole, &IncidentInput::OwnerFound(open, owner), at(now)));
            }
            events.iter().for_each(|event| recorded.apply(event));
        }
        assert!(recorded.incidents.values().any(|incident| incident.merged_into.is_some()));
    }
}
