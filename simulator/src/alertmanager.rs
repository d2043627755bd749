//! A minimal Alertmanager: groups alerts and sends notifications.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use workflow::alertmanager::{Webhook, WebhookAlert};
use workflow::duration::Duration;

use crate::queue::Timer;
use crate::world::{Emission, World};

/// Grouping of alerts into notifications, as in Alertmanager's `route`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Grouping {
    /// Labels by which alerts are grouped.
    pub group_by: Vec<String>,
    /// Delay of the first notification of a new group.
    pub group_wait: Duration,
    /// Minimum time between two notifications of a group that changes.
    pub group_interval: Duration,
    /// Time after which a notification of an unchanged group is repeated.
    pub repeat_interval: Duration,
    /// Name of the receiver.
    pub receiver: String,
}

impl Default for Grouping {
    fn default() -> Self {
        Self {
            group_by: vec!["alertname".into(), "namespace".into()],
            group_wait: Duration::from_secs(10),
            group_interval: Duration::from_secs(30),
            repeat_interval: Duration::from_secs(4 * 3600),
            receiver: "chiron".into(),
        }
    }
}

type LabelMap = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq)]
struct GroupMember {
    annotations: LabelMap,
    starts_at: Timestamp,
    ends_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct AlertGroup {
    members: BTreeMap<LabelMap, GroupMember>,
    flush_at: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
    /// Whether each alert was firing in the last notification.
    delivered_status: BTreeMap<LabelMap, bool>,
}

/// The alert groups and their grouping.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlertGroups {
    grouping: Grouping,
    groups: BTreeMap<LabelMap, AlertGroup>,
}

impl AlertGroups {
    pub(crate) fn new(grouping: Grouping) -> Self {
        Self { grouping, groups: BTreeMap::new() }
    }

    fn group_key(&self, labels: &LabelMap) -> LabelMap {
        labels
            .iter()
            .filter(|(name, _)| self.grouping.group_by.contains(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Schedules the notification of the group of a changed alert. Returns the group and the time.
    fn schedule_flush(
        &mut self,
        labels: &LabelMap,
        now: Timestamp,
    ) -> (&mut AlertGroup, Timestamp) {
        let (wait, interval) =
            (self.grouping.group_wait.signed(), self.grouping.group_interval.signed());
        let key = self.group_key(labels);
        let group = self.groups.entry(key).or_default();
        let at = group.delivered_at.map_or(now + wait, |delivered| (delivered + interval).max(now));
        let at = group.flush_at.map_or(at, |flush| flush.min(at));
        group.flush_at = Some(at);
        (group, at)
    }
}

impl World {
    pub(crate) fn group_firing(
        &mut self,
        labels: &LabelMap,
        annotations: &LabelMap,
        starts_at: Timestamp,
    ) {
        let (group, at) = self.groups.schedule_flush(labels, self.now);
        group.members.insert(
            labels.clone(),
            GroupMember { annotations: annotations.clone(), starts_at, ends_at: None },
        );
        self.set_timer_at(at, Timer::Groups);
    }

    pub(crate) fn group_resolved(&mut self, labels: &LabelMap) {
        let now = self.now;
        let (group, at) = self.groups.schedule_flush(labels, now);
        if let Some(member) = group.members.get_mut(labels) {
            member.ends_at = Some(now);
        }
        self.set_timer_at(at, Timer::Groups);
    }

    /// Sends the notification of every due group.
    pub(crate) fn flush_due_groups(&mut self) {
        let (now, repeat) = (self.now, self.groups.grouping.repeat_interval.signed());
        let receiver = self.groups.grouping.receiver.clone();
        for (labels, group) in &mut self.groups.groups {
            if group.flush_at.is_none_or(|flush| flush > now) {
                continue;
            }
            let status: BTreeMap<LabelMap, bool> = group
                .members
                .iter()
                .map(|(labels, member)| (labels.clone(), member.ends_at.is_none()))
                .collect();
            // An alert that fired and resolved between two notifications is not reported.
            let has_changes = status.iter().any(|(labels, is_firing)| {
                group.delivered_status.get(labels).copied().unwrap_or(false) != *is_firing
            });
            let is_repeat = group.delivered_at.is_some_and(|at| now >= at + repeat)
                && status.values().any(|is_firing| *is_firing);
            if has_changes || is_repeat {
                self.outbox.push(Emission::Alerts(webhook(labels, group, &receiver)));
                group.delivered_at = Some(now);
            }
            group.members.retain(|_, member| member.ends_at.is_none());
            group.delivered_status =
                group.members.keys().map(|labels| (labels.clone(), true)).collect();
            group.flush_at =
                group.delivered_at.filter(|_| !group.members.is_empty()).map(|at| at + repeat);
        }
        self.groups.groups.retain(|_, group| !group.members.is_empty());
        if let Some(next) = self.groups.groups.values().filter_map(|group| group.flush_at).min() {
            self.set_timer_at(next, Timer::Groups);
        }
    }
}

fn webhook(labels: &LabelMap, group: &AlertGroup, receiver: &str) -> Webhook {
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

fn common<'a>(mut maps: impl Iterator<Item = &'a LabelMap>) -> LabelMap {
    let Some(first) = maps.next() else { return LabelMap::new() };
    maps.fold(first.clone(), |mut common, map| {
        common.retain(|name, value| map.get(name) == Some(value));
        common
    })
}
