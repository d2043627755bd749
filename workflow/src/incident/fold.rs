//! Folds recorded events into incidents. The engine and the store's projections use the same fold.

use jiff::Timestamp;

use super::decide::{episode_key, incident_key};
use super::{EPISODE_GAP, Episode, Incident, IncidentEvent, Incidents};
use crate::alert::{Alert, AlertStatus};
use crate::id::{AlertId, IncidentId};

impl Incident {
    /// Folds one event of this incident. The incident that another one is merged into also [absorbs](Self::absorb) it.
    pub fn apply(&mut self, event: &IncidentEvent) {
        match event {
            IncidentEvent::AlertFired { alert, .. } => {
                self.firing.insert(alert.id.clone());
                self.alerts.insert(alert.id.clone());
                self.quiet_since = None;
            }
            IncidentEvent::AlertResolved { alert, at, .. } => {
                if self.firing.remove(alert) && self.firing.is_empty() {
                    self.quiet_since = Some(*at);
                }
            }
            IncidentEvent::OwnerFound { owner, .. } => self.owner = Some(owner.clone()),
            IncidentEvent::Merged { into, at, .. } => {
                self.merged_into = Some(into.clone());
                self.closed_at = Some(*at);
                self.firing.clear();
            }
            IncidentEvent::Closed { at, .. } => self.closed_at = Some(*at),
            IncidentEvent::Opened { .. }
            | IncidentEvent::AlertRepeated { .. }
            | IncidentEvent::ResolvedWithoutFiring { .. } => {}
        }
    }

    /// Takes over the alerts of an incident that is merged into this one, as it was before the merge.
    pub fn absorb(&mut self, merged: &Self) {
        self.firing.extend(merged.firing.iter().cloned());
        self.alerts.extend(merged.alerts.iter().cloned());
        if !self.firing.is_empty() {
            self.quiet_since = None;
        }
    }

    /// Returns since when no alert fires, if the incident is open and none does.
    fn open_and_quiet_since(&self) -> Option<Timestamp> {
        self.quiet_since.filter(|_| self.is_open())
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

    /// Returns a copy of what [`decide`](super::decide) reads for these alerts, without the sets of alerts of each
    /// incident.
    ///
    /// Later alerts of one append depend on the events of earlier ones, which are not recorded yet. They are folded into
    /// this copy, so that the state itself folds only what is recorded.
    pub fn excerpt<'a>(&self, alerts: impl IntoIterator<Item = &'a Alert>) -> Self {
        let mut excerpt = Self { opened: self.opened, ..Self::default() };
        for alert in alerts {
            let key = incident_key(alert);
            if let Some(latest) = self.latest.get(&key) {
                excerpt.latest.insert(key.clone(), latest.clone());
            }
            if let Some(open) = self.open.get(&key) {
                excerpt.open.insert(key, open.clone());
                self.copy_incident(open, &mut excerpt);
            }
            if let Some((id, episode)) = self.latest_episode(alert) {
                excerpt.latest_episode.insert(episode_key(alert), id.clone());
                excerpt.episodes.insert(id.clone(), episode.clone());
                let incident = episode.incident.iter();
                incident.for_each(|incident| self.copy_incident(incident, &mut excerpt));
            }
            let ended = Alert { status: AlertStatus::Resolved, ..alert.clone() };
            for delivery in [alert.delivery_key(), ended.delivery_key()].map(|key| key.to_string())
            {
                if let Some(count) = self.delivered.get(&delivery) {
                    excerpt.delivered.insert(delivery.clone(), *count);
                }
                if self.resolved_before_firing.contains(&delivery) {
                    excerpt.resolved_before_firing.insert(delivery);
                }
            }
        }
        excerpt
    }

    /// Copies an incident and those that it was merged into. Only whether it is open, and into which one it was merged, is
    /// read; the sets of a storm's incident may be large.
    fn copy_incident(&self, id: &IncidentId, excerpt: &mut Self) {
        let Some(incident) = self.incidents.get(id) else { return };
        if excerpt.incidents.contains_key(id) {
            return;
        }
        let copy = Incident {
            id: incident.id.clone(),
            cluster: String::new(),
            namespace: String::new(),
            subject: Default::default(),
            owner: None,
            first: incident.first.clone(),
            firing: Default::default(),
            alerts: Default::default(),
            previous: None,
            merged_into: incident.merged_into.clone(),
            opened_at: incident.opened_at,
            quiet_since: incident.quiet_since,
            closed_at: incident.closed_at,
        };
        excerpt.incidents.insert(id.clone(), copy);
        if let Some(into) = &incident.merged_into {
            self.copy_incident(into, excerpt);
        }
    }

    /// Folds one event.
    pub fn apply(&mut self, event: &IncidentEvent) {
        match event {
            IncidentEvent::Opened { incident } => {
                let key = incident_key(&incident.first);
                self.opened += 1;
                self.open.insert(key.clone(), incident.id.clone());
                self.latest.insert(key, incident.id.clone());
                self.incidents.insert(incident.id.clone(), (**incident).clone());
            }
            IncidentEvent::AlertFired { incident, alert, .. } => {
                self.latest_episode.insert(episode_key(alert), alert.id.clone());
                match self.episodes.get_mut(&alert.id) {
                    Some(episode) => episode.apply(event),
                    None => {
                        let begun = Episode::begin(event);
                        self.episodes.extend(begun.map(|episode| (alert.id.clone(), episode)));
                    }
                }
                self.count_delivery(alert.delivery_key().to_string(), event);
                self.update(incident, |incident| incident.apply(event));
            }
            IncidentEvent::AlertRepeated { alert, delivery, .. } => {
                self.count_delivery(delivery.clone(), event);
                self.update_episode(alert, event);
            }
            IncidentEvent::AlertResolved { alert, delivery, .. } => {
                self.count_delivery(delivery.clone(), event);
                self.update_episode(alert, event);
                // Uses the incident of the episode, because a merge may have moved the alert since the event was decided.
                let episode = self.episodes.get(alert);
                let Some(id) = episode.and_then(|episode| episode.incident.clone()) else { return };
                self.update(&id, |incident| incident.apply(event));
            }
            IncidentEvent::ResolvedWithoutFiring { delivery, .. } => {
                self.resolved_before_firing.insert(delivery.clone());
            }
            IncidentEvent::OwnerFound { incident, .. } => {
                self.update(incident, |incident| incident.apply(event));
            }
            IncidentEvent::Merged { incident, into, .. } => {
                let Some(merged) = self.incidents.get(incident).cloned() else { return };
                self.update(incident, |incident| incident.apply(event));
                self.update(into, |target| target.absorb(&merged));
                for id in self.open.values_mut().filter(|id| *id == incident) {
                    id.clone_from(into);
                }
                merged.alerts.iter().for_each(|alert| self.update_episode(alert, event));
            }
            IncidentEvent::Closed { incident, .. } => {
                self.update(incident, |incident| incident.apply(event));
                self.open.retain(|_, id| id != incident);
            }
        }
    }

    /// Returns the latest episode of an alert's label set, with the alert of that episode.
    pub(super) fn latest_episode(&self, alert: &Alert) -> Option<(&AlertId, &Episode)> {
        self.episodes.get_key_value(self.latest_episode.get(&episode_key(alert))?)
    }

    fn count_delivery(&mut self, delivery: String, event: &IncidentEvent) {
        *self.delivered.entry(delivery).or_default() += event.deliveries();
    }

    fn update_episode(&mut self, alert: &AlertId, event: &IncidentEvent) {
        if let Some(episode) = self.episodes.get_mut(alert) {
            episode.apply(event);
        }
    }

    /// Changes an incident, and keeps the order in which quiet incidents are closed.
    fn update(&mut self, id: &IncidentId, change: impl FnOnce(&mut Incident)) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        let before = incident.open_and_quiet_since();
        change(incident);
        let after = incident.open_and_quiet_since();
        if before != after {
            if let Some(since) = before {
                self.quiet.remove(&(since, id.clone()));
            }
            self.quiet.extend(after.map(|since| (since, id.clone())));
        }
    }
}
