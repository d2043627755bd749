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

fn cluster_of(alert: &Alert) -> &str {
    alert.subject.cluster.as_deref().unwrap_or("")
}

/// Returns the key under which the episodes of an alert's label set are counted.
fn episode_key(alert: &Alert) -> String {
    digest_of_parts(&[cluster_of(alert), &alert.fingerprint]).to_string()
}

/// Returns the key of the incident that an alert belongs to. It is unique among open incidents.
fn incident_key(alert: &Alert) -> String {
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
    let episode = incidents.episodes.get(&episode_key(alert));
    if incidents.delivered.contains_key(&delivery)
        && let Some(episode) = episode
    {
        return vec![repeated_event(episode, delivery)];
    }
    let ended = Alert { status: AlertStatus::Resolved, ..alert.clone() }.delivery_key().to_string();
    if incidents.resolved_before_firing.contains(&ended) {
        // Deliveries arrived out of order: the alert had already resolved. No incident is opened.
        return vec![IncidentEvent::ResolvedWithoutFiring {
            alert: Box::new(alert.clone()),
            delivery,
        }];
    }
    let continued = episode.filter(|episode| {
        episode.is_firing || episode.resolved_at.is_some_and(|at| at + EPISODE_GAP.signed() >= now)
    });
    let (id, number) = match continued {
        Some(episode) => (episode.alert.clone(), episode.number),
        None => {
            let number = episode.map_or(1, |episode| episode.number + 1);
            let key =
                digest_of_parts(&[cluster_of(alert), &alert.fingerprint, &number.to_string()])
                    .to_string();
            (AlertId::derive(now, &key, number), number)
        }
    };
    let alert = Alert { id, ..alert.clone() };
    let key = incident_key(&alert);
    let open = continued
        .and_then(|episode| incidents.current(&episode.incident))
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
        id: IncidentId::derive(now, &key, incidents.incidents.len() as u64),
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
    match incidents.episodes.get(&episode_key(alert)) {
        Some(episode) if incidents.delivered.contains_key(&delivery) || !episode.is_firing => {
            vec![repeated_event(episode, delivery)]
        }
        Some(episode) => {
            vec![IncidentEvent::AlertResolved {
                incident: episode.incident.clone(),
                alert: episode.alert.clone(),
                delivery,
                at: now,
            }]
        }
        None => {
            vec![IncidentEvent::ResolvedWithoutFiring { alert: Box::new(alert.clone()), delivery }]
        }
    }
}

fn repeated_event(episode: &Episode, delivery: String) -> IncidentEvent {
    IncidentEvent::AlertRepeated {
        incident: episode.incident.clone(),
        alert: episode.alert.clone(),
        count: 1,
        delivery,
    }
}

impl Incidents {
    /// Returns the incident with this id, or the one that it was merged into.
    pub fn resolve_merged(&self, id: &IncidentId) -> Option<&Incident> {
        let incident = self.incidents.get(id)?;
        match &incident.merged_into {
            // An incident is only merged into an older one, so the recursion ends.
            Some(into) => self.resolve_merged(into),
            None => Some(incident),
        }
    }

    /// Like [`resolve_merged`](Self::resolve_merged), but returns open incidents only.
    pub fn current(&self, id: &IncidentId) -> Option<&Incident> {
        self.resolve_merged(id).filter(|incident| incident.is_open())
    }

    /// Returns when the next incident is due to be closed, if any.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.quiet.first().map(|(since, _)| *since + EPISODE_GAP.signed())
    }

    /// Returns whether a later incident about the same subject exists.
    pub fn is_followed(&self, id: &IncidentId) -> bool {
        let Some(incident) = self.incidents.get(id) else { return false };
        self.latest.get(&incident_key(&incident.first)).is_some_and(|latest| latest != id)
    }

    /// Folds one event.
    pub fn apply(&mut self, event: &IncidentEvent) {
        match event {
            IncidentEvent::Opened { incident } => {
                let key = incident_key(&incident.first);
                self.open.insert(key.clone(), incident.id.clone());
                self.latest.insert(key, incident.id.clone());
                self.incidents.insert(incident.id.clone(), (**incident).clone());
            }
            IncidentEvent::AlertFired { incident, alert, episode: number } => {
                let key = episode_key(alert);
                self.episode_keys.insert(alert.id.clone(), key.clone());
                let episode = self.episodes.entry(key).or_insert_with(|| Episode {
                    alert: alert.id.clone(),
                    incident: incident.clone(),
                    number: *number,
                    is_firing: true,
                    resolved_at: None,
                    deliveries: 0,
                });
                episode.alert.clone_from(&alert.id);
                episode.incident.clone_from(incident);
                (episode.number, episode.is_firing, episode.resolved_at) = (*number, true, None);
                episode.deliveries += 1;
                *self.delivered.entry(alert.delivery_key().to_string()).or_default() += 1;
                if let Some(incident) = self.incidents.get_mut(incident) {
                    incident.firing.insert(alert.id.clone());
                    incident.alerts.insert(alert.id.clone());
                }
                self.set_quiet_since(incident, None);
            }
            IncidentEvent::AlertRepeated { alert, count, delivery, .. } => {
                *self.delivered.entry(delivery.clone()).or_default() += count;
                if let Some(episode) = self.episode(alert) {
                    episode.deliveries += count;
                }
            }
            IncidentEvent::AlertResolved { alert, delivery, at, .. } => {
                *self.delivered.entry(delivery.clone()).or_default() += 1;
                let Some(episode) = self.episode(alert) else { return };
                (episode.is_firing, episode.resolved_at) = (false, Some(*at));
                episode.deliveries += 1;
                // Uses the incident of the episode, because a merge may have moved the alert since the event was decided.
                let id = episode.incident.clone();
                if let Some(incident) = self.incidents.get_mut(&id)
                    && incident.firing.remove(alert)
                    && incident.firing.is_empty()
                {
                    self.set_quiet_since(&id, Some(*at));
                }
            }
            IncidentEvent::ResolvedWithoutFiring { delivery, .. } => {
                self.resolved_before_firing.insert(delivery.clone());
            }
            IncidentEvent::OwnerFound { incident, owner } => {
                if let Some(incident) = self.incidents.get_mut(incident) {
                    incident.owner = Some(owner.clone());
                }
            }
            IncidentEvent::Merged { incident, into, at } => self.merge(incident, into, *at),
            IncidentEvent::Closed { incident, at } => {
                if let Some(closed) = self.incidents.get_mut(incident) {
                    closed.closed_at = Some(*at);
                    self.quiet.retain(|(_, id)| id != incident);
                }
                self.open.retain(|_, id| id != incident);
            }
        }
    }

    /// Returns the episode of an alert, if it is the latest episode of its label set.
    fn episode(&mut self, alert: &AlertId) -> Option<&mut Episode> {
        let episode = self.episodes.get_mut(self.episode_keys.get(alert)?)?;
        (episode.alert == *alert).then_some(episode)
    }

    /// Records since when no alert of an open incident fires; `None` if one fires.
    fn set_quiet_since(&mut self, id: &IncidentId, since: Option<Timestamp>) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        if let Some(before) = std::mem::replace(&mut incident.quiet_since, since) {
            self.quiet.remove(&(before, id.clone()));
        }
        self.quiet.extend(since.map(|since| (since, id.clone())));
    }

    fn merge(&mut self, from: &IncidentId, into: &IncidentId, at: Timestamp) {
        let Some(merged) = self.incidents.get_mut(from) else { return };
        merged.merged_into = Some(into.clone());
        merged.closed_at = Some(at);
        let (firing, alerts) = (std::mem::take(&mut merged.firing), merged.alerts.clone());
        self.quiet.retain(|(_, id)| id != from);
        if let Some(target) = self.incidents.get_mut(into) {
            target.firing.extend(firing);
            target.alerts.extend(alerts);
            if !target.firing.is_empty() {
                self.set_quiet_since(into, None);
            }
        }
        for id in self.open.values_mut().filter(|id| *id == from) {
            id.clone_from(into);
        }
        for episode in self.episodes.values_mut().filter(|episode| episode.incident == *from) {
            episode.incident.clone_from(into);
        }
    }
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
        assert_eq!(incidents.episodes.values().next().unwrap().number, 2);
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
}
