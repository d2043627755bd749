//! A small Alertmanager: groups alerts, waits a little, and delivers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use workflow::alertmanager::{Webhook, WebhookAlert};
use workflow::duration::Span;

use crate::queue::Wake;
use crate::world::{Emission, World};

/// How alerts are put together into deliveries, as in Alertmanager's route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Grouping {
    /// Alerts that agree in these labels come together.
    pub group_by: Vec<String>,
    /// How long the first alert of a group waits for others.
    pub group_wait: Span,
    /// How long after a delivery the next changes of its group are delivered.
    pub group_interval: Span,
    /// How long after a delivery it is repeated if nothing changed.
    pub repeat_interval: Span,
    /// Name of the receiver.
    pub receiver: String,
}

impl Default for Grouping {
    fn default() -> Self {
        Self {
            group_by: vec!["alertname".into(), "namespace".into()],
            group_wait: Span::from_secs(10),
            group_interval: Span::from_secs(30),
            repeat_interval: Span::from_secs(4 * 3600),
            receiver: "chiron".into(),
        }
    }
}

type Labels = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq)]
struct Member {
    annotations: Labels,
    starts_at: Timestamp,
    ends_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Group {
    members: BTreeMap<Labels, Member>,
    flush: Option<Timestamp>,
    delivered: Option<Timestamp>,
    /// What the last delivery said.
    said: BTreeMap<Labels, bool>,
}

/// The groups of alerts, and how they are delivered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Groups {
    grouping: Grouping,
    groups: BTreeMap<Labels, Group>,
}

impl Groups {
    pub(crate) fn new(grouping: Grouping) -> Self {
        Self { grouping, groups: BTreeMap::new() }
    }

    fn labels_of_group(&self, labels: &Labels) -> Labels {
        labels
            .iter()
            .filter(|(name, _)| self.grouping.group_by.contains(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The group of an alert that changed, and when it is to be delivered.
    fn touch(&mut self, labels: &Labels, now: Timestamp) -> (&mut Group, Timestamp) {
        let (wait, interval) =
            (self.grouping.group_wait.signed(), self.grouping.group_interval.signed());
        let key = self.labels_of_group(labels);
        let group = self.groups.entry(key).or_default();
        let at = group.delivered.map_or(now + wait, |delivered| (delivered + interval).max(now));
        let at = group.flush.map_or(at, |flush| flush.min(at));
        group.flush = Some(at);
        (group, at)
    }
}

impl World {
    pub(crate) fn group_firing(
        &mut self,
        labels: &Labels,
        annotations: &Labels,
        starts_at: Timestamp,
    ) {
        let (group, at) = self.groups.touch(labels, self.now);
        group.members.insert(
            labels.clone(),
            Member { annotations: annotations.clone(), starts_at, ends_at: None },
        );
        self.wake_at(at, Wake::Groups);
    }

    pub(crate) fn group_resolved(&mut self, labels: &Labels) {
        let now = self.now;
        let (group, at) = self.groups.touch(labels, now);
        if let Some(member) = group.members.get_mut(labels) {
            member.ends_at = Some(now);
        }
        self.wake_at(at, Wake::Groups);
    }

    /// Delivers every group that is due.
    pub(crate) fn deliver(&mut self) {
        let (now, repeat) = (self.now, self.groups.grouping.repeat_interval.signed());
        let receiver = self.groups.grouping.receiver.clone();
        for (labels, group) in &mut self.groups.groups {
            if group.flush.is_none_or(|flush| flush > now) {
                continue;
            }
            let said: BTreeMap<Labels, bool> = group
                .members
                .iter()
                .map(|(labels, member)| (labels.clone(), member.ends_at.is_none()))
                .collect();
            // An alert that came and went between two deliveries is not spoken of.
            let has_news = said
                .iter()
                .any(|(labels, fires)| group.said.get(labels).copied().unwrap_or(false) != *fires);
            let is_repeat = group.delivered.is_some_and(|at| now >= at + repeat)
                && said.values().any(|fires| *fires);
            if has_news || is_repeat {
                self.outbox.push(Emission::Alerts(webhook(labels, group, &receiver)));
                group.delivered = Some(now);
            }
            group.members.retain(|_, member| member.ends_at.is_none());
            group.said = group.members.keys().map(|labels| (labels.clone(), true)).collect();
            group.flush =
                group.delivered.filter(|_| !group.members.is_empty()).map(|at| at + repeat);
        }
        self.groups.groups.retain(|_, group| !group.members.is_empty());
        if let Some(next) = self.groups.groups.values().filter_map(|group| group.flush).min() {
            self.wake_at(next, Wake::Groups);
        }
    }
}

fn webhook(labels: &Labels, group: &Group, receiver: &str) -> Webhook {
    let alerts: Vec<WebhookAlert> = group
        .members
        .iter()
        .map(|(labels, member)| WebhookAlert {
            status: if member.ends_at.is_none() { "firing" } else { "resolved" }.into(),
            labels: labels.clone(),
            annotations: member.annotations.clone(),
            starts_at: member.starts_at.to_string(),
            ends_at: member.ends_at.map_or("0001-01-01T00:00:00Z".into(), |at| at.to_string()),
            generator_url: "http://prometheus.simulated/graph".into(),
            fingerprint: workflow::alert::fingerprint(labels),
        })
        .collect();
    let key: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let is_firing = alerts.iter().any(|alert| alert.status == "firing");
    Webhook {
        version: "4".into(),
        group_key: format!("{{}}:{{{}}}", key.join(", ")),
        truncated_alerts: 0,
        status: if is_firing { "firing" } else { "resolved" }.into(),
        receiver: receiver.into(),
        group_labels: labels.clone(),
        common_labels: common(alerts.iter().map(|alert| &alert.labels)),
        common_annotations: common(alerts.iter().map(|alert| &alert.annotations)),
        external_url: "http://alertmanager.simulated".into(),
        alerts,
    }
}

fn common<'a>(mut maps: impl Iterator<Item = &'a Labels>) -> Labels {
    let Some(first) = maps.next() else { return Labels::new() };
    maps.fold(first.clone(), |mut common, map| {
        common.retain(|name, value| map.get(name) == Some(value));
        common
    })
}
