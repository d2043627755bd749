//! Helpers for cells: ages, selectors, containers.

use cluster::Object;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Returns the string at `pointer`. Default: empty.
pub(super) fn text<'a>(object: &'a Object, pointer: &str) -> &'a str {
    object.at(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the integer at `pointer`. Default: 0.
pub(super) fn number(object: &Object, pointer: &str) -> i64 {
    object.at(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// Returns the list at `pointer`. Default: empty.
pub(super) fn list<'a>(object: &'a Object, pointer: &str) -> &'a [Value] {
    object.at(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns `text`, or `default` if it is empty.
pub(super) fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

/// Returns the age of the object.
pub(super) fn age(object: &Object, now: Timestamp) -> Value {
    object.metadata().creation_timestamp.map_or_else(
        || "<unknown>".into(),
        |created_at| human_duration(now.duration_since(created_at)).into(),
    )
}

/// Returns the time since a timestamp.
pub(super) fn since(timestamp: &str, now: Timestamp) -> String {
    match timestamp.parse::<Timestamp>() {
        Ok(at) => human_duration(now.duration_since(at)),
        Err(_) => "<unknown>".into(),
    }
}

/// Formats a duration as kubectl and the API server do.
pub(super) fn human_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let pair = |large: i64, unit: &str, small: i64, below: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{below}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(hours / 24, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{}d", hours / 24),
        63_072_000..252_288_000 => pair(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}

/// Returns the names and the images of the containers at `pointer`, separated by commas.
pub(super) fn containers(object: &Object, pointer: &str) -> [Value; 2] {
    let joined = |field: &str| {
        let words = list(object, pointer).iter().map(|one| one[field].as_str().unwrap_or_default());
        Value::from(words.collect::<Vec<_>>().join(","))
    };
    [joined("name"), joined("image")]
}

/// Formats a label selector. `<none>` if it is absent or empty.
pub(super) fn selector(object: &Object, pointer: &str) -> Value {
    let selector = object
        .at(pointer)
        .and_then(|value| serde_json::from_value::<cluster::Selector>(value.clone()).ok());
    let text = selector.map(|selector| selector.to_string()).unwrap_or_default();
    or(&text, "<none>").into()
}

/// Formats a map of labels. `<none>` if it is empty.
pub(super) fn labels(object: &Object, pointer: &str) -> Value {
    let labels = object.at(pointer).and_then(Value::as_object).into_iter().flatten();
    let pairs = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let text = pairs.collect::<Vec<_>>().join(",");
    or(&text, "<none>").into()
}

/// Formats a value that is a number or a string.
pub(super) fn number_or_string(object: &Object, pointer: &str) -> Option<String> {
    match object.at(pointer)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Formats the first three items and the number of further items. `default` if there are none.
pub(super) fn first_three(items: &[String], default: &str) -> String {
    match items.len() {
        0 => default.into(),
        1..=3 => items.join(","),
        count => format!("{} + {} more...", items[..3].join(","), count - 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human_duration_matches_kubectl() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (130, "2m10s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (30_000, "8h"),
            (172_800, "2d"),
            (176_400, "2d1h"),
            (700_000, "8d"),
            (63_158_400, "2y1d"),
            (300_000_000, "9y"),
        ] {
            assert_eq!(human_duration(SignedDuration::from_secs(seconds)), expected);
        }
    }
}
