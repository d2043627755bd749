//! Parser for the webhook of Prometheus Alertmanager, version 4.
//!
//! The sender drops a whole group on any 4xx, so a malformed alert must not affect the others of its group: a defect of an
//! alert is repaired or dropped and listed in its `defects`. Only a body that is not a delivery at all is refused.

use std::collections::BTreeMap;

use cluster::Digest;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::alert::{Alert, AlertStatus, AlertSubject, Defect, Delivery, fingerprint};
use crate::error_code::ErrorCode;
use crate::id::AlertId;
use crate::json::{self, ParseJsonError};
use crate::limits::Limits;
use crate::text::is_hidden;

/// One delivery as sent by Alertmanager.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Webhook {
    /// Version of the format: `4`.
    pub version: String,
    /// Key of the alert group.
    pub group_key: String,
    /// Number of alerts that the sender left out.
    pub truncated_alerts: u64,
    /// `firing` or `resolved`.
    pub status: String,
    /// Name of the receiver.
    pub receiver: String,
    /// Labels by which the alerts are grouped.
    pub group_labels: BTreeMap<String, String>,
    /// Labels common to all alerts.
    pub common_labels: BTreeMap<String, String>,
    /// Annotations common to all alerts.
    pub common_annotations: BTreeMap<String, String>,
    /// URL of Alertmanager.
    #[serde(rename = "externalURL")]
    pub external_url: String,
    /// The alerts.
    pub alerts: Vec<WebhookAlert>,
}

/// One alert of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookAlert {
    /// `firing` or `resolved`.
    pub status: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Start time in RFC 3339.
    pub starts_at: String,
    /// End time in RFC 3339; the zero time while the alert fires.
    pub ends_at: String,
    /// URL of the alert at the sender.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    /// Fingerprint given by the sender.
    pub fingerprint: String,
}

/// Name of this source in alerts and in their keys.
pub const SOURCE: &str = "alertmanager";

/// Parses a delivery.
///
/// # Errors
/// [`ParseJsonError`] if the body is empty, not JSON, nested too deeply, has a duplicate key, or is not a delivery.
/// Any other problem is a defect of an alert or of the delivery.
pub fn parse(
    body: &[u8],
    limits: &Limits,
    received: Timestamp,
) -> Result<Delivery, ParseJsonError> {
    let (value, repairs) = json::parse_lenient(body, limits.depth)?;
    let malformed = |message: &str| ParseJsonError {
        code: ErrorCode::NotAlertmanager,
        message: message.into(),
        line: 1,
        column: 1,
        hint: "send Alertmanager's webhook, version 4: an object with a list `alerts`".into(),
    };
    let Value::Object(mut map) = value else {
        return Err(malformed("the body is not a JSON object"));
    };
    let Some(Value::Array(items)) = map.remove("alerts") else {
        return Err(malformed("the body has no list `alerts`"));
    };

    let mut defects: Vec<Defect> = repairs
        .iter()
        .map(|repair| defect(repair.code, format!("body, byte {}", repair.offset), "escaped"))
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

/// Returns the delivery for a group that exceeds the size limit: an alert of our own, because the sender does not retry.
pub fn oversized_delivery(limits: &Limits, received: Timestamp) -> Delivery {
    let labels = BTreeMap::from([
        ("alertname".to_string(), "AlertGroupTooLarge".to_string()),
        ("severity".to_string(), "critical".to_string()),
        ("job".to_string(), "chiron".to_string()),
    ]);
    let summary =
        format!("a group of alerts exceeded {} bytes and was not parsed", limits.body_bytes);
    let annotations = BTreeMap::from([("summary".to_string(), summary)]);
    // Rounded to the minute, so that repeated failures of a sender open one incident.
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

fn defect(code: &str, path: String, repair: &str) -> Defect {
    Defect { code: code.into(), path, repair: repair.into() }
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
        string_map(item.get("labels"), "labels", limits.label_value_bytes, limits, &mut defects);
    let annotations = string_map(
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
    let starts_at = parse_time(sent, "startsAt", received, &mut defects);
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
        alert.ends_at = Some(parse_time(ends, "endsAt", received, &mut alert.defects));
    }
    alert.source_id =
        item.get("fingerprint").and_then(Value::as_str).map(|text| sanitize_text(text, 128).0);
    alert.link = item
        .get("generatorURL")
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(|text| sanitize_text(text, 2_048).0);
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
        // Provisional: `incident::decide` assigns the id of the episode.
        id: AlertId::derive(received, &fingerprint, 0),
        source: source.into(),
        source_id: None,
        severity: labels.get("severity").cloned().unwrap_or_default(),
        subject: subject_of(&labels),
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

/// Returns the object that the labels name, in the order of subjects of design D2.
fn subject_of(labels: &BTreeMap<String, String>) -> AlertSubject {
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
        // The exporter's own labels do not identify the subject of the alert.
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
    AlertSubject { cluster: of("cluster"), namespace: of("namespace"), label: subject }
}

fn string_map(
    value: Option<&Value>,
    path: &str,
    max_bytes: usize,
    limits: &Limits,
    defects: &mut Vec<Defect>,
) -> BTreeMap<String, String> {
    let mut result = BTreeMap::new();
    let Some(Value::Object(map)) = value else { return result };
    for (name, value) in map {
        if result.len() == limits.labels_per_alert {
            defects.push(defect("too_many", path.into(), "cut"));
            break;
        }
        if !is_name(name, limits.label_name_bytes) {
            let escaped: String = name.chars().take(32).flat_map(char::escape_default).collect();
            defects.push(defect("bad_name", format!("{path}.{escaped}"), "dropped"));
            continue;
        }
        let path = || format!("{path}.{name}");
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => {
                defects.push(defect("not_text", path(), "escaped"));
                value.to_string()
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {
                defects.push(defect("not_text", path(), "dropped"));
                continue;
            }
        };
        let (text, codes) = sanitize_text(&text, max_bytes);
        for code in codes {
            defects.push(defect(code, path(), if code == "too_long" { "cut" } else { "escaped" }));
        }
        result.insert(name.clone(), text);
    }
    result
}

/// Returns whether a label name is valid: letters, digits and `_ . : / -`, starting with a letter or `_`.
fn is_name(name: &str, max_bytes: usize) -> bool {
    let mut chars = name.chars();
    name.len() <= max_bytes
        && chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || "_.:/-".contains(c))
}

/// Escapes invisible and misleading characters, and truncates to `max_bytes`. Returns the codes of the defects found.
fn sanitize_text(text: &str, max_bytes: usize) -> (String, Vec<&'static str>) {
    let (mut out, mut codes) = (String::with_capacity(text.len()), Vec::new());
    for c in text.chars() {
        let code = match c {
            '\u{fffd}' => "invalid_text",
            '\n' | '\t' => "",
            c if c.is_control() => "control_character",
            c if is_hidden(c) => "invisible_text",
            _ => "",
        };
        if out.len() + c.len_utf8() > max_bytes {
            codes.push("too_long");
            break;
        }
        match code {
            "" => out.push(c),
            "invalid_text" => {
                out.push(c);
                codes.push(code);
            }
            code => {
                out.extend(c.escape_unicode());
                codes.push(code);
            }
        }
    }
    codes.dedup();
    (out, codes)
}

/// Parses a time and clamps it to the last year and the next hour, so that a wrong clock of the sender has no effect.
fn parse_time(text: &str, path: &str, received: Timestamp, defects: &mut Vec<Defect>) -> Timestamp {
    let parsed = text.parse::<Timestamp>().ok().or_else(|| {
        let with_zone = format!("{text}Z").parse::<Timestamp>().ok()?;
        defects.push(defect("no_zone", path.into(), "assumed UTC"));
        Some(with_zone)
    });
    // A valid date beyond the range of `Timestamp` is treated as the latest time.
    let out_of_range =
        || text.trim_end_matches('Z').parse::<jiff::civil::DateTime>().ok().map(|_| Timestamp::MAX);
    let Some(parsed) = parsed.or_else(out_of_range) else {
        defects.push(defect("bad_time", path.into(), "replaced by the time of receipt"));
        return received;
    };
    let (earliest, latest) =
        (received - SignedDuration::from_hours(365 * 24), received + SignedDuration::from_hours(1));
    if parsed < earliest || parsed > latest {
        defects.push(defect("time_out_of_range", path.into(), "clamped"));
    }
    parsed.clamp(earliest, latest)
}

#[cfg(test)]
mod tests;
