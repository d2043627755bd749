use std::collections::{BTreeMap, BTreeSet};

use cluster::Object;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use workflow::duration::Duration;

use crate::metric::{SampleVisitor, Subject};
use crate::objects::Key;
use crate::queue::Timer;
use crate::world::{AlertMode, World};

/// An alerting rule: fires one alert per series that exceeds the threshold for long enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Name of the alert.
    pub alert: String,
    /// Metric that the rule evaluates.
    pub metric: String,
    /// Allowed values per label. A series without one of them is ignored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, Vec<String>>,
    /// Excluded values per label. A series with one of them is ignored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exclude_labels: BTreeMap<String, Vec<String>>,
    /// Condition on the value of a series.
    pub threshold: Threshold,
    /// Labels to keep on the alert. Series that are equal in them share one alert. Default: all labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<String>,
    /// How long the condition must be true before the alert fires.
    #[serde(rename = "for")]
    pub pending_for: Duration,
    /// The condition counts as true while it was true at any time within this window. Default: 0.
    #[serde(default)]
    pub window: Duration,
    /// Labels added to those of the series.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations. `{{ $labels.NAME }}` and `{{ $value }}` are substituted.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// Condition of a rule on the value of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Threshold {
    /// The value is above this number.
    Above(f64),
    /// The value is below this number.
    Below(f64),
    /// The value is below that of this metric for the same labels.
    BelowMetric(String),
}

/// One firing or recently resolved alert, in the format of Alertmanager's `POST /api/v2/alerts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FiringAlert {
    /// Labels, including `alertname`.
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub starts_at: Timestamp,
    /// End of a resolved alert. For a firing one, the time at which the receiver may treat it as resolved if it gets
    /// no update.
    pub ends_at: Timestamp,
    /// Page that shows the rule.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
}

/// A series for which a rule's condition is true, or was true within the rule's window.
#[derive(Clone, Debug, PartialEq)]
struct Series {
    since: Timestamp,
    is_true: bool,
    /// Last time at which the condition was true; meaningful while `is_true` is false.
    last_true: Timestamp,
    fired: Option<Timestamp>,
    annotations: BTreeMap<String, String>,
}

/// A false alert that a scenario injects; no rule backs it.
#[derive(Clone, Debug, PartialEq)]
struct InjectedAlert {
    since: Timestamp,
    until: Timestamp,
    annotations: BTreeMap<String, String>,
}

/// State of all alerts: pending and firing series, injected alerts and recently resolved alerts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AlertState {
    series: BTreeMap<(usize, BTreeMap<String, String>), Series>,
    injected: BTreeMap<BTreeMap<String, String>, InjectedAlert>,
    resolved: Vec<FiringAlert>,
}

/// Labels of alerts, each with the value of its series.
type LabelledValues = Vec<(BTreeMap<String, String>, f64)>;

/// For each rule, the series for which its condition was true at the last evaluation. The key is the object that the
/// series belong to, or `None` for a rule that is not evaluated per object.
///
/// This is a cache derived from the state of the world, not part of that state: it avoids measuring unchanged objects
/// again.
pub(crate) type ActiveSeries = Vec<BTreeMap<Option<Key>, LabelledValues>>;

/// How long a resolved alert stays listed.
const RESOLVED_RETENTION: SignedDuration = SignedDuration::from_mins(15);
/// How far in the future `endsAt` of a firing alert is.
const RESOLVE_TIMEOUT: SignedDuration = SignedDuration::from_mins(4);

const GENERATOR_URL: &str = "http://prometheus.simulated/graph";

impl World {
    /// Returns the firing alerts and those resolved in the last 15 minutes, as Prometheus posts them repeatedly to an
    /// Alertmanager.
    pub fn firing_alerts(&self) -> Vec<FiringAlert> {
        let alert = |labels: &BTreeMap<String, String>,
                     annotations: &BTreeMap<String, String>,
                     starts_at| FiringAlert {
            labels: labels.clone(),
            annotations: annotations.clone(),
            starts_at,
            ends_at: self.now + RESOLVE_TIMEOUT,
            generator_url: GENERATOR_URL.into(),
        };
        let firing = self.alerts.series.iter().filter_map(|((_, labels), series)| {
            Some(alert(labels, &series.annotations, series.fired?))
        });
        let injected = self
            .alerts
            .injected
            .iter()
            .map(|(labels, injected)| alert(labels, &injected.annotations, injected.since));
        let ended = self
            .alerts
            .resolved
            .iter()
            .filter(|ended| ended.ends_at + RESOLVED_RETENTION > self.now)
            .cloned();
        firing.chain(injected).chain(ended).collect()
    }

    /// Returns the names of the firing alerts.
    pub fn firing_alert_names(&self) -> BTreeSet<&str> {
        let firing = self
            .alerts
            .series
            .iter()
            .filter(|(_, series)| series.fired.is_some())
            .map(|((_, labels), _)| labels);
        firing
            .chain(self.alerts.injected.keys())
            .filter_map(|labels| labels.get("alertname"))
            .map(String::as_str)
            .collect()
    }

    /// Fires a false alert that resolves at `until`.
    pub(crate) fn inject_alert(
        &mut self,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        until: Timestamp,
    ) {
        if self.alert_mode == AlertMode::Internal {
            self.group_firing(&labels, &annotations, self.now);
        }
        let injected = InjectedAlert { since: self.now, until, annotations };
        self.alerts.injected.insert(labels, injected);
        self.set_timer_at(until, Timer::Rules);
    }

    /// Evaluates every rule: starts, fires and resolves alerts.
    pub(crate) fn evaluate_rules(&mut self) {
        if self.alert_mode == AlertMode::None {
            (self.dirty.all_rules, self.dirty.flows) = (true, true);
            self.dirty.objects.clear();
            return;
        }
        let (rules, now) = (self.rules.clone(), self.now);
        self.update_active_series(&rules);
        for (i, rule) in rules.iter().enumerate() {
            let active = self.active_series_of(i);
            let existing: Vec<BTreeMap<String, String>> = self
                .alerts
                .series
                .range((i, BTreeMap::new())..(i + 1, BTreeMap::new()))
                .map(|((_, labels), _)| labels.clone())
                .collect();
            for labels in existing.iter().filter(|labels| !active.contains_key(*labels)) {
                self.resolve_if_expired(i, rule, labels);
            }
            for (labels, value) in active {
                let series = self.alerts.series.entry((i, labels.clone())).or_insert_with(|| {
                    let annotations = render_annotations(&rule.annotations, &labels, value);
                    Series { since: now, is_true: true, last_true: now, fired: None, annotations }
                });
                series.is_true = true;
                self.fire_if_due(i, rule, &labels);
            }
        }
        let expired: Vec<BTreeMap<String, String>> = self
            .alerts
            .injected
            .iter()
            .filter(|(_, injected)| injected.until <= now)
            .map(|(labels, _)| labels.clone())
            .collect();
        for labels in expired {
            let InjectedAlert { since, annotations, .. } =
                self.alerts.injected.remove(&labels).expect("the key was read from this map above");
            self.resolve_alert(labels, annotations, since);
        }
        if let Some(next) = self.alerts.injected.values().map(|injected| injected.until).min() {
            self.set_timer_at(next, Timer::Rules);
        }
    }

    /// Measures every series that may have changed, and updates [`ActiveSeries`].
    fn update_active_series(&mut self, rules: &[Rule]) {
        let changed = std::mem::take(&mut self.dirty.objects);
        let all = std::mem::take(&mut self.dirty.all_rules) || self.is_every_tick();
        let flows = std::mem::take(&mut self.dirty.flows) || all;
        let mut active = std::mem::take(&mut self.active_series);
        if all {
            active = vec![BTreeMap::new(); rules.len()];
        }
        for (rule, active) in rules.iter().zip(&mut active) {
            match rule.subject() {
                Subject::Object(kind) if all => {
                    for object in self.objects.of_kind(kind, None) {
                        self.evaluate_on_object(rule, object, Key::of(object), active);
                    }
                }
                Subject::Object(kind) => {
                    for key in changed.iter().filter(|key| key.kind == kind) {
                        match self.objects.get(key) {
                            Some(object) => {
                                self.evaluate_on_object(rule, object, Some(key.clone()), active)
                            }
                            None => drop(active.remove(&Some(key.clone()))),
                        }
                    }
                }
                Subject::Flows if !flows => {}
                Subject::Flows
                | Subject::Memory
                | Subject::Endpoints
                | Subject::Totals
                | Subject::Unknown => {
                    let measure = |metric: &str, visit: &mut SampleVisitor<'_>| {
                        self.measure(metric, 0, visit)
                    };
                    active.insert(None, rule.matching_series(measure));
                }
            }
        }
        self.active_series = active;
    }

    fn evaluate_on_object(
        &self,
        rule: &Rule,
        object: &Object,
        key: Option<Key>,
        active: &mut BTreeMap<Option<Key>, LabelledValues>,
    ) {
        let measure = |metric: &str, visit: &mut SampleVisitor<'_>| {
            self.measure_object(metric, object, visit)
        };
        let matching = rule.matching_series(measure);
        if matching.is_empty() {
            active.remove(&key);
        } else {
            active.insert(key, matching);
        }
    }

    /// Returns the active series of a rule: the labels of the alert and the greatest value of its series.
    fn active_series_of(&self, i: usize) -> BTreeMap<BTreeMap<String, String>, f64> {
        let mut active: BTreeMap<BTreeMap<String, String>, f64> = BTreeMap::new();
        for (labels, value) in self.active_series[i].values().flatten() {
            let greatest = active.entry(labels.clone()).or_insert(*value);
            *greatest = greatest.max(*value);
        }
        active
    }

    /// Resolves a series whose condition is false, unless it was true within the rule's window.
    fn resolve_if_expired(&mut self, i: usize, rule: &Rule, labels: &BTreeMap<String, String>) {
        let (key, now) = ((i, labels.clone()), self.now);
        let series =
            self.alerts.series.get_mut(&key).expect("the caller read the key from this map");
        if series.is_true {
            (series.is_true, series.last_true) = (false, now);
        }
        let until = series.last_true + rule.window.signed();
        if now < until {
            self.set_timer_at(until, Timer::Rules);
            self.fire_if_due(i, rule, labels);
            return;
        }
        let series =
            self.alerts.series.remove(&key).expect("the caller read the key from this map");
        if let Some(fired) = series.fired {
            self.resolve_alert(key.1, series.annotations, fired);
        }
    }

    /// Fires the alert of a series whose condition has been true for the rule's `for` time.
    fn fire_if_due(&mut self, i: usize, rule: &Rule, labels: &BTreeMap<String, String>) {
        let now = self.now;
        let series = self
            .alerts
            .series
            .get_mut(&(i, labels.clone()))
            .expect("the caller has inserted the series");
        if series.fired.is_some() {
            return;
        }
        let due = series.since + rule.pending_for.signed();
        if now < due {
            self.set_timer_at(due, Timer::Rules);
            return;
        }
        series.fired = Some(now);
        let annotations = series.annotations.clone();
        if self.alert_mode == AlertMode::Internal {
            self.group_firing(labels, &annotations, now);
        }
    }

    fn resolve_alert(
        &mut self,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        starts_at: Timestamp,
    ) {
        if self.alert_mode == AlertMode::Internal {
            self.group_resolved(&labels);
        }
        let now = self.now;
        self.alerts.resolved.retain(|ended| ended.ends_at + RESOLVED_RETENTION > now);
        self.alerts.resolved.push(FiringAlert {
            labels,
            annotations,
            starts_at,
            ends_at: now,
            generator_url: GENERATOR_URL.into(),
        });
    }
}

impl Rule {
    /// Returns what the rule measures. It is evaluated per object only if both of its metrics measure the same kind.
    fn subject(&self) -> Subject {
        let subject = Subject::of(&self.metric);
        match (&self.threshold, subject) {
            (Threshold::BelowMetric(other), Subject::Object(_))
                if Subject::of(other) != subject =>
            {
                Subject::Totals
            }
            (Threshold::Above(_) | Threshold::Below(_) | Threshold::BelowMetric(_), _) => subject,
        }
    }

    /// Returns the series from `measure` for which the condition is true, with the labels of their alert.
    fn matching_series(&self, measure: impl Fn(&str, &mut SampleVisitor<'_>)) -> LabelledValues {
        let owned = |labels: &[(&str, &str)]| -> BTreeMap<String, String> {
            labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let mut bounds: BTreeMap<BTreeMap<String, String>, f64> = BTreeMap::new();
        if let Threshold::BelowMetric(metric) = &self.threshold {
            measure(metric, &mut |labels, value| {
                bounds.insert(owned(labels), value);
            });
        }
        let mut active = LabelledValues::new();
        measure(&self.metric, &mut |labels, value| {
            let has = |(name, values): (&String, &Vec<String>)| {
                labels.iter().any(|(own, value)| {
                    own == name && values.iter().any(|allowed| allowed == value)
                })
            };
            if !self.match_labels.iter().all(has) || self.exclude_labels.iter().any(has) {
                return;
            }
            let is_active = match &self.threshold {
                Threshold::Above(bound) => value > *bound,
                Threshold::Below(bound) => value < *bound,
                Threshold::BelowMetric(_) => {
                    bounds.get(&owned(labels)).is_some_and(|bound| value < *bound)
                }
            };
            if is_active {
                let mut labels = owned(labels);
                labels.retain(|name, _| self.group_by.is_empty() || self.group_by.contains(name));
                labels.extend(self.labels.clone());
                labels.insert("alertname".into(), self.alert.clone());
                active.push((labels, value));
            }
        });
        active
    }
}

fn render_annotations(
    annotations: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
    value: f64,
) -> BTreeMap<String, String> {
    let fill = |text: &String| {
        let mut text = text.replace("{{ $value }}", &format!("{value}"));
        for (name, value) in labels {
            text = text.replace(&format!("{{{{ $labels.{name} }}}}"), value);
        }
        text
    };
    annotations.iter().map(|(name, text)| (name.clone(), fill(text))).collect()
}
