use std::collections::{BTreeMap, BTreeSet};

use cluster::Object;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use workflow::duration::Span;

use crate::metric::{Subject, Take};
use crate::objects::Key;
use crate::queue::Wake;
use crate::world::{AlertMode, World};

/// A rule that fires an alert for every series for which it holds long enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Name of the alert.
    pub alert: String,
    /// The metric that is looked at.
    pub metric: String,
    /// Labels of which the series must have one of these values.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, Vec<String>>,
    /// Labels of which the series must have none of these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unless: BTreeMap<String, Vec<String>>,
    /// What the value must be.
    pub is: Comparison,
    /// The labels that the alert keeps; all where absent. Series that then agree are one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
    /// How long it must hold.
    #[serde(rename = "for")]
    pub holds_for: Span,
    /// It holds while it held at any time within this span.
    #[serde(default)]
    pub over: Span,
    /// Labels that the alert has besides those of its series.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations; `{{ $labels.NAME }}` and `{{ $value }}` are filled in.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// What a value must be for a rule to hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Comparison {
    /// Above this.
    Above(f64),
    /// Below this.
    Below(f64),
    /// Below the value of this metric for the same labels.
    BelowMetric(String),
}

/// One alert that holds, or held until lately, in the form of Prometheus' `POST /api/v2/alerts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FiringAlert {
    /// Labels, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// When it began.
    pub starts_at: Timestamp,
    /// When it ended; while it fires, when it is to be taken as ended if nothing more is heard.
    pub ends_at: Timestamp,
    /// Where its rule is shown.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
}

/// A series for which a rule holds, or held within its span.
#[derive(Clone, Debug, PartialEq)]
struct Series {
    since: Timestamp,
    is_true: bool,
    /// When it was last seen to hold, once it no longer does.
    last_true: Timestamp,
    fired: Option<Timestamp>,
    annotations: BTreeMap<String, String>,
}

/// An alert that fires although nothing is wrong.
#[derive(Clone, Debug, PartialEq)]
struct Spurious {
    since: Timestamp,
    until: Timestamp,
    annotations: BTreeMap<String, String>,
}

/// Alerts that hold, and those that ended lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Alerts {
    series: BTreeMap<(usize, BTreeMap<String, String>), Series>,
    /// Alerts that fire although nothing is wrong.
    spurious: BTreeMap<BTreeMap<String, String>, Spurious>,
    ended: Vec<FiringAlert>,
}

/// The labels of an alert, and the value of its series.
type Labelled = Vec<(BTreeMap<String, String>, f64)>;

/// For which series each rule held when it was last looked at: of one object each, or of all that it looks at.
///
/// It follows from the state of the world and is no part of it: it only saves measuring again what did not change.
pub(crate) type Holding = Vec<BTreeMap<Option<Key>, Labelled>>;

/// For how long after its end an alert is still listed as ended, and for how long one holds that is not heard of again.
const LISTED: SignedDuration = SignedDuration::from_mins(15);
const HEARD: SignedDuration = SignedDuration::from_mins(4);

const GENERATOR: &str = "http://prometheus.simulated/graph";

impl World {
    /// The alerts that fire now, and with their end those that ended in the last quarter of an hour: what Prometheus
    /// posts to an Alertmanager again and again.
    pub fn firing_alerts(&self) -> Vec<FiringAlert> {
        let alert = |labels: &BTreeMap<String, String>,
                     annotations: &BTreeMap<String, String>,
                     starts_at| FiringAlert {
            labels: labels.clone(),
            annotations: annotations.clone(),
            starts_at,
            ends_at: self.now + HEARD,
            generator_url: GENERATOR.into(),
        };
        let firing = self.alerts.series.iter().filter_map(|((_, labels), series)| {
            Some(alert(labels, &series.annotations, series.fired?))
        });
        let spurious = self
            .alerts
            .spurious
            .iter()
            .map(|(labels, spurious)| alert(labels, &spurious.annotations, spurious.since));
        let ended =
            self.alerts.ended.iter().filter(|ended| ended.ends_at + LISTED > self.now).cloned();
        firing.chain(spurious).chain(ended).collect()
    }

    /// Names of the alerts that fire now.
    pub fn firing(&self) -> BTreeSet<&str> {
        let firing = self
            .alerts
            .series
            .iter()
            .filter(|(_, series)| series.fired.is_some())
            .map(|((_, labels), _)| labels);
        firing
            .chain(self.alerts.spurious.keys())
            .filter_map(|labels| labels.get("alertname"))
            .map(String::as_str)
            .collect()
    }

    /// Lets an alert fire for which there is no reason.
    pub(crate) fn fire_spuriously(
        &mut self,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        until: Timestamp,
    ) {
        if self.mode == AlertMode::Internal {
            self.group_firing(&labels, &annotations, self.now);
        }
        let spurious = Spurious { since: self.now, until, annotations };
        self.alerts.spurious.insert(labels, spurious);
        self.wake_at(until, Wake::Rules);
    }

    /// Looks at every rule: what begins or ends to hold, what has held long enough.
    pub(crate) fn evaluate_rules(&mut self) {
        if self.mode == AlertMode::None {
            (self.stale.rules, self.stale.flows) = (true, true);
            self.stale.measured.clear();
            return;
        }
        let (rules, now) = (self.rules.clone(), self.now);
        self.find_holding(&rules);
        for (i, rule) in rules.iter().enumerate() {
            let holding = self.holding_now(i);
            let known: Vec<BTreeMap<String, String>> = self
                .alerts
                .series
                .range((i, BTreeMap::new())..(i + 1, BTreeMap::new()))
                .map(|((_, labels), _)| labels.clone())
                .collect();
            for labels in known.iter().filter(|labels| !holding.contains_key(*labels)) {
                self.lapse(i, rule, labels);
            }
            for (labels, value) in holding {
                let series = self.alerts.series.entry((i, labels.clone())).or_insert_with(|| {
                    let annotations = filled(&rule.annotations, &labels, value);
                    Series { since: now, is_true: true, last_true: now, fired: None, annotations }
                });
                series.is_true = true;
                self.ripen(i, rule, &labels);
            }
        }
        let over: Vec<BTreeMap<String, String>> = self
            .alerts
            .spurious
            .iter()
            .filter(|(_, spurious)| spurious.until <= now)
            .map(|(labels, _)| labels.clone())
            .collect();
        for labels in over {
            let Spurious { since, annotations, .. } =
                self.alerts.spurious.remove(&labels).expect("it was found there");
            self.end_alert(labels, annotations, since);
        }
        if let Some(next) = self.alerts.spurious.values().map(|spurious| spurious.until).min() {
            self.wake_at(next, Wake::Rules);
        }
    }

    /// Measures what every rule looks at, as far as it may have changed, and notes where the rule holds.
    fn find_holding(&mut self, rules: &[Rule]) {
        let stale = std::mem::take(&mut self.stale.measured);
        let all = std::mem::take(&mut self.stale.rules) || self.skips_nothing();
        let flows = std::mem::take(&mut self.stale.flows) || all;
        let mut holding = std::mem::take(&mut self.holding);
        if all {
            holding = vec![BTreeMap::new(); rules.len()];
        }
        for (rule, holding) in rules.iter().zip(&mut holding) {
            match rule.subject() {
                Subject::Object(kind) if all => {
                    for object in self.objects.of_kind(kind, None) {
                        self.look_at(rule, object, Key::of(object), holding);
                    }
                }
                Subject::Object(kind) => {
                    for key in stale.iter().filter(|key| key.kind == kind) {
                        match self.objects.get(key) {
                            Some(object) => self.look_at(rule, object, Some(key.clone()), holding),
                            None => drop(holding.remove(&Some(key.clone()))),
                        }
                    }
                }
                Subject::Flows if !flows => {}
                Subject::Flows
                | Subject::Memory
                | Subject::Endpoints
                | Subject::Totals
                | Subject::Nothing => {
                    let measure = |metric: &str, take: &mut Take<'_>| self.measure(metric, 0, take);
                    holding.insert(None, rule.held_by(measure));
                }
            }
        }
        self.holding = holding;
    }

    fn look_at(
        &self,
        rule: &Rule,
        object: &Object,
        key: Option<Key>,
        holding: &mut BTreeMap<Option<Key>, Labelled>,
    ) {
        let measure = |metric: &str, take: &mut Take<'_>| self.measure_object(metric, object, take);
        let held = rule.held_by(measure);
        if held.is_empty() {
            holding.remove(&key);
        } else {
            holding.insert(key, held);
        }
    }

    /// The series for which a rule holds at this moment, by the labels of their alert, with their greatest value.
    fn holding_now(&self, i: usize) -> BTreeMap<BTreeMap<String, String>, f64> {
        let mut holding: BTreeMap<BTreeMap<String, String>, f64> = BTreeMap::new();
        for (labels, value) in self.holding[i].values().flatten() {
            let greatest = holding.entry(labels.clone()).or_insert(*value);
            *greatest = greatest.max(*value);
        }
        holding
    }

    /// A series for which a rule does not hold now: it ends, unless it held within the rule's span.
    fn lapse(&mut self, i: usize, rule: &Rule, labels: &BTreeMap<String, String>) {
        let (key, now) = ((i, labels.clone()), self.now);
        let series = self.alerts.series.get_mut(&key).expect("it was found there");
        if series.is_true {
            (series.is_true, series.last_true) = (false, now);
        }
        let until = series.last_true + rule.over.signed();
        if now < until {
            self.wake_at(until, Wake::Rules);
            self.ripen(i, rule, labels);
            return;
        }
        let series = self.alerts.series.remove(&key).expect("it was found there");
        if let Some(fired) = series.fired {
            self.end_alert(key.1, series.annotations, fired);
        }
    }

    /// Fires an alert whose rule has held long enough.
    fn ripen(&mut self, i: usize, rule: &Rule, labels: &BTreeMap<String, String>) {
        let now = self.now;
        let series =
            self.alerts.series.get_mut(&(i, labels.clone())).expect("it was put there just now");
        if series.fired.is_some() {
            return;
        }
        let due = series.since + rule.holds_for.signed();
        if now < due {
            self.wake_at(due, Wake::Rules);
            return;
        }
        series.fired = Some(now);
        let annotations = series.annotations.clone();
        if self.mode == AlertMode::Internal {
            self.group_firing(labels, &annotations, now);
        }
    }

    fn end_alert(
        &mut self,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        starts_at: Timestamp,
    ) {
        if self.mode == AlertMode::Internal {
            self.group_resolved(&labels);
        }
        let now = self.now;
        self.alerts.ended.retain(|ended| ended.ends_at + LISTED > now);
        self.alerts.ended.push(FiringAlert {
            labels,
            annotations,
            starts_at,
            ends_at: now,
            generator_url: GENERATOR.into(),
        });
    }
}

impl Rule {
    /// What the rule looks at: single objects, if both of its metrics speak of the same kind.
    fn subject(&self) -> Subject {
        let subject = Subject::of(&self.metric);
        match (&self.is, subject) {
            (Comparison::BelowMetric(other), Subject::Object(_))
                if Subject::of(other) != subject =>
            {
                Subject::Totals
            }
            (Comparison::Above(_) | Comparison::Below(_) | Comparison::BelowMetric(_), _) => {
                subject
            }
        }
    }

    /// The series that `measure` gives and for which the rule holds, by the labels of their alert.
    fn held_by(&self, measure: impl Fn(&str, &mut Take<'_>)) -> Labelled {
        let owned = |labels: &[(&str, &str)]| -> BTreeMap<String, String> {
            labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let mut bounds: BTreeMap<BTreeMap<String, String>, f64> = BTreeMap::new();
        if let Comparison::BelowMetric(metric) = &self.is {
            measure(metric, &mut |labels, value| {
                bounds.insert(owned(labels), value);
            });
        }
        let mut holding = Labelled::new();
        measure(&self.metric, &mut |labels, value| {
            let has = |(name, values): (&String, &Vec<String>)| {
                labels
                    .iter()
                    .any(|(own, value)| own == name && values.iter().any(|wanted| wanted == value))
            };
            if !self.with.iter().all(has) || self.unless.iter().any(has) {
                return;
            }
            let holds = match &self.is {
                Comparison::Above(bound) => value > *bound,
                Comparison::Below(bound) => value < *bound,
                Comparison::BelowMetric(_) => {
                    bounds.get(&owned(labels)).is_some_and(|bound| value < *bound)
                }
            };
            if holds {
                let mut labels = owned(labels);
                labels.retain(|name, _| self.by.is_empty() || self.by.contains(name));
                labels.extend(self.labels.clone());
                labels.insert("alertname".into(), self.alert.clone());
                holding.push((labels, value));
            }
        });
        holding
    }
}

fn filled(
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
