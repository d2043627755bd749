//! The webhook of Prometheus' Alertmanager, version 4: reading it without losing an alert to a hostile neighbour.
//!
//! The sender drops a whole group on any 4xx, so one hostile label must never cost the others: what is wrong with an
//! alert is mended or left out and named in its `defects`, and only a body without any shape is refused.

use std::collections::BTreeMap;

use cluster::Digest;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::alert::{Alert, AlertStatus, Defect, Delivery, Hints, fingerprint};
use crate::id::AlertId;
use crate::json::{self, Unreadable};
use crate::limits::Limits;

/// One delivery of Alertmanager, as it sends it and as [`parse`] reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Webhook {
    /// `4`.
    pub version: String,
    /// Key of the group.
    pub group_key: String,
    /// How many alerts were cut.
    pub truncated_alerts: u64,
    /// `firing` or `resolved`.
    pub status: String,
    /// The receiver.
    pub receiver: String,
    /// Labels that the group has in common by configuration.
    pub group_labels: BTreeMap<String, String>,
    /// Labels that all its alerts have in common.
    pub common_labels: BTreeMap<String, String>,
    /// Annotations that all its alerts have in common.
    pub common_annotations: BTreeMap<String, String>,
    /// Where Alertmanager itself is.
    #[serde(rename = "externalURL")]
    pub external_url: String,
    /// The alerts.
    pub alerts: Vec<WebhookAlert>,
}

/// One alert of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookAlert {
    /// `firing` or `resolved`.
    pub status: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// RFC 3339.
    pub starts_at: String,
    /// RFC 3339; the zero time while it fires.
    pub ends_at: String,
    /// Where the sender shows it.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    /// The sender's fingerprint.
    pub fingerprint: String,
}

/// Name of this source, as it stands in alerts and in their keys.
pub const SOURCE: &str = "alertmanager";

/// Reads a delivery.
///
/// # Errors
/// [`Unreadable`] for a body that is empty, no JSON, nested too deep, has a key twice, or is no delivery at all.
/// Everything else is an alert with defects, or a defect of the delivery.
pub fn parse(body: &[u8], limits: &Limits, received: Timestamp) -> Result<Delivery, Unreadable> {
    let (value, mends) = json::read_mending(body, limits.depth)?;
    let shapeless = |message: &str| Unreadable {
        code: "not_alertmanager",
        message: message.into(),
        line: 1,
        column: 1,
        hint: "send Alertmanager's webhook, version 4: an object with a list `alerts`".into(),
    };
    let Value::Object(mut map) = value else {
        return Err(shapeless("the body is not a JSON object"));
    };
    let Some(Value::Array(items)) = map.remove("alerts") else {
        return Err(shapeless("the body has no list `alerts`"));
    };

    let mut defects: Vec<Defect> = mends
        .iter()
        .map(|mend| defect(mend.code, format!("body, byte {}", mend.offset), "escaped"))
        .collect();
    let mut truncated = map.get("truncatedAlerts").and_then(Value::as_u64).unwrap_or(0);
    if items.len() > limits.alerts_per_body {
        truncated += (items.len() - limits.alerts_per_body) as u64;
        defects.push(defect("too_many_alerts", "alerts".into(), "cut"));
    }
    let mut alerts = Vec::new();
    for (i, item) in items.into_iter().take(limits.alerts_per_body).enumerate() {
        match item {
            Value::Object(item) => match alert(&item, limits, received) {
                Ok(alert) => alerts.push(alert),
                Err(code) => defects.push(defect(code, format!("alerts[{i}]"), "dropped")),
            },
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                defects.push(defect("not_an_object", format!("alerts[{i}]"), "dropped"));
            }
        }
    }
    let group_key =
        map.get("groupKey").and_then(Value::as_str).unwrap_or("").chars().take(1_024).collect();
    Ok(Delivery { alerts, defects, truncated, group_key, body_digest: Digest::of(body) })
}

/// The delivery that stands for a group too large to be read: an alert of our own, since the sender will not try again.
pub fn too_large(limits: &Limits, received: Timestamp) -> Delivery {
    let labels = BTreeMap::from([
        ("alertname".to_string(), "AlertGroupTooLarge".to_string()),
        ("severity".to_string(), "critical".to_string()),
        ("job".to_string(), "chiron".to_string()),
    ]);
    let summary = format!(
        "a group of alerts was larger than {} bytes and could not be read",
        limits.body_bytes
    );
    let annotations = BTreeMap::from([("summary".to_string(), summary)]);
    // To the minute, so that a sender that fails over and over makes one incident.
    let minute = received.as_second() - received.as_second().rem_euclid(60);
    let starts_at = Timestamp::from_second(minute).unwrap_or(received);
    let alert = build(
        "chiron",
        labels,
        annotations,
        AlertStatus::Firing,
        starts_at,
        starts_at.to_string(),
        received,
        Vec::new(),
    );
    Delivery {
        alerts: vec![alert],
        defects: Vec::new(),
        truncated: 0,
        group_key: String::new(),
        body_digest: Digest::ZERO,
    }
}

fn defect(code: &str, place: String, mended: &str) -> Defect {
    Defect { code: code.into(), place, mended: mended.into() }
}

fn alert(
    item: &Map<String, Value>,
    limits: &Limits,
    received: Timestamp,
) -> Result<Alert, &'static str> {
    let status = match item.get("status").and_then(Value::as_str) {
        Some("firing") => AlertStatus::Firing,
        Some("resolved") => AlertStatus::Resolved,
        Some(_) | None => return Err("bad_status"),
    };
    let mut defects = Vec::new();
    let labels =
        texts(item.get("labels"), "labels", limits.label_value_bytes, limits, &mut defects);
    let annotations = texts(
        item.get("annotations"),
        "annotations",
        limits.annotation_bytes,
        limits,
        &mut defects,
    );
    if labels.is_empty() {
        return Err("no_labels");
    }
    let sent = item.get("startsAt").and_then(Value::as_str).unwrap_or("");
    let starts_at = moment(sent, "startsAt", received, &mut defects);
    let mut alert = build(
        SOURCE,
        labels,
        annotations,
        status,
        starts_at,
        sent.chars().take(64).collect(),
        received,
        defects,
    );
    if status == AlertStatus::Resolved {
        let ends = item.get("endsAt").and_then(Value::as_str).unwrap_or("");
        alert.ends_at = Some(moment(ends, "endsAt", received, &mut alert.defects));
    }
    alert.source_id =
        item.get("fingerprint").and_then(Value::as_str).map(|text| clean(text, 128).0);
    alert.link = item
        .get("generatorURL")
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(|text| clean(text, 2_048).0);
    Ok(alert)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one alert, each named once")]
fn build(
    source: &str,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    status: AlertStatus,
    starts_at: Timestamp,
    starts_at_sent: String,
    received: Timestamp,
    mut defects: Vec<Defect>,
) -> Alert {
    let fingerprint = fingerprint(&labels);
    let name = labels.get("alertname").cloned().unwrap_or_default();
    if name.is_empty() {
        defects.push(defect("no_alertname", "labels.alertname".into(), "kept"));
    }
    Alert {
        // Provisional: the fold of incidents gives the id of the episode.
        id: AlertId::derive(received, &fingerprint, 0),
        source: source.into(),
        source_id: None,
        severity: labels.get("severity").cloned().unwrap_or_default(),
        hints: hints(&labels),
        name,
        fingerprint,
        status,
        labels,
        annotations,
        starts_at,
        starts_at_sent,
        ends_at: None,
        link: None,
        received_at: received,
        defects,
    }
}

/// Where the labels claim the trouble is: design D2's order of subjects.
fn hints(labels: &BTreeMap<String, String>) -> Hints {
    let is_exporter = labels.get("job").is_some_and(|job| job == "kube-state-metrics");
    const SUBJECTS: [&str; 10] = [
        "deployment",
        "statefulset",
        "daemonset",
        "cronjob",
        "job_name",
        "persistentvolumeclaim",
        "horizontalpodautoscaler",
        "pod",
        "node",
        "service",
    ];
    let subject = SUBJECTS
        .into_iter()
        // What the exporter says of itself is not what the alert is about.
        .filter(|label| !(is_exporter && *label == "service"))
        .filter(|label| !(is_exporter && *label == "pod" && labels.contains_key("node")))
        .find_map(|label| {
            labels
                .get(label)
                .filter(|value| !value.is_empty())
                .map(|value| (label.to_string(), value.clone()))
        })
        .unwrap_or_else(|| {
            ("alertname".into(), labels.get("alertname").cloned().unwrap_or_default())
        });
    let of = |label: &str| labels.get(label).filter(|value| !value.is_empty()).cloned();
    Hints { cluster: of("cluster"), namespace: of("namespace"), subject }
}

fn texts(
    value: Option<&Value>,
    place: &str,
    longest: usize,
    limits: &Limits,
    defects: &mut Vec<Defect>,
) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    let Some(Value::Object(map)) = value else { return kept };
    for (name, value) in map {
        if kept.len() == limits.labels_per_alert {
            defects.push(defect("too_many", place.into(), "cut"));
            break;
        }
        if !is_name(name, limits.label_name_bytes) {
            let shown: String = name.chars().take(32).flat_map(char::escape_default).collect();
            defects.push(defect("bad_name", format!("{place}.{shown}"), "dropped"));
            continue;
        }
        let place = || format!("{place}.{name}");
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => {
                defects.push(defect("not_text", place(), "escaped"));
                value.to_string()
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {
                defects.push(defect("not_text", place(), "dropped"));
                continue;
            }
        };
        let (text, how) = clean(&text, longest);
        for code in how {
            defects.push(defect(code, place(), if code == "too_long" { "cut" } else { "escaped" }));
        }
        kept.insert(name.clone(), text);
    }
    kept
}

/// Whether a label's name is one: letters, digits and `_ . : / -`, not beginning with a sign.
fn is_name(name: &str, longest: usize) -> bool {
    let mut chars = name.chars();
    name.len() <= longest
        && chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || "_.:/-".contains(c))
}

/// Escapes what a person would not see or could be led astray by, and cuts to `longest` bytes.
fn clean(text: &str, longest: usize) -> (String, Vec<&'static str>) {
    let (mut out, mut how) = (String::with_capacity(text.len()), Vec::new());
    for c in text.chars() {
        let code = match c {
            '\u{fffd}' => "invalid_text",
            '\n' | '\t' => "",
            c if c.is_control() => "control_character",
            // Zero-width and direction marks, word joiners, tags: they hide or turn round what stands there.
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}' => "invisible_text",
            _ => "",
        };
        if out.len() + c.len_utf8() > longest {
            how.push("too_long");
            break;
        }
        match code {
            "" => out.push(c),
            "invalid_text" => {
                out.push(c);
                how.push(code);
            }
            code => {
                out.extend(c.escape_unicode());
                how.push(code);
            }
        }
    }
    how.dedup();
    (out, how)
}

/// Reads a moment and brings it into the last year and the next hour, so that no stranger's clock moves us.
fn moment(text: &str, place: &str, received: Timestamp, defects: &mut Vec<Defect>) -> Timestamp {
    let read = text.parse::<Timestamp>().ok().or_else(|| {
        let with_zone = format!("{text}Z").parse::<Timestamp>().ok()?;
        defects.push(defect("no_zone", place.into(), "taken as UTC"));
        Some(with_zone)
    });
    // A date beyond what a timestamp holds is still a date, as far in the future as we let anything be.
    let beyond =
        || text.trim_end_matches('Z').parse::<jiff::civil::DateTime>().ok().map(|_| Timestamp::MAX);
    let Some(read) = read.or_else(beyond) else {
        defects.push(defect("bad_time", place.into(), "replaced by the time of receipt"));
        return received;
    };
    let (earliest, latest) =
        (received - SignedDuration::from_hours(365 * 24), received + SignedDuration::from_hours(1));
    if read < earliest || read > latest {
        defects.push(defect("time_out_of_range", place.into(), "clamped"));
    }
    read.clamp(earliest, latest)
}

#[cfg(test)]
mod tests;
