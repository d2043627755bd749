//! Answers as people read them: tables of what is many, lines of what is one.

use std::io::IsTerminal as _;

use comfy_table::{ColumnConstraint, Table, Width, presets};
use serde_json::{Map, Value};

use crate::cli::harmless;

/// A page as a table: a heading and the path of a member for each column.
pub(crate) fn table(answer: &Value, columns: &[(&str, &str)]) -> String {
    rows(answer["items"].as_array().map_or(&[], Vec::as_slice), columns)
        + &answer["nextCursor"]
            .as_str()
            .map_or(String::new(), |cursor| format!("\nmore: --cursor {cursor}"))
}

/// Values as a table. On a terminal what is long goes on below, in its column; elsewhere each value keeps its line, for
/// whatever reads lines.
pub(crate) fn rows(items: &[Value], columns: &[(&str, &str)]) -> String {
    rows_within(std::io::stdout().is_terminal().then_some(WIDEST), items, columns)
}

fn rows_within(widest: Option<u16>, items: &[Value], columns: &[(&str, &str)]) -> String {
    if items.is_empty() {
        return "none".into();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    for item in items {
        table.add_row(
            columns
                .iter()
                .map(|(_, path)| text(item.pointer(&format!("/{path}")).unwrap_or(&Value::Null))),
        );
    }
    if let Some(widest) = widest {
        let bound = ColumnConstraint::UpperBoundary(Width::Fixed(widest));
        table.column_iter_mut().for_each(|column| {
            column.set_constraint(bound);
        });
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Widest column on a terminal, in characters: a digest fits.
const WIDEST: u16 = 80;
/// Longest list of texts that stands on one line, in characters.
const LONGEST: usize = 80;

/// An object as lines of name and value; what has parts of its own stands below its name.
pub(crate) fn lines(answer: &Value) -> String {
    let Some(members) = answer.as_object() else { return text(answer) };
    let has_parts = |value: &Value| match value {
        Value::Array(items) if items.iter().all(Value::is_string) => {
            text(value).chars().count() > LONGEST
        }
        Value::Array(_) => true,
        Value::Object(parts) => !parts.is_empty() && !is_estimate(parts),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    let (below, beside): (Vec<_>, Vec<_>) = members
        .iter()
        .filter(|(_, value)| !value.is_null())
        .partition(|(_, value)| has_parts(value));
    let width = beside.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let beside = beside.into_iter().map(|(name, value)| format!("{name:<width$}  {}", text(value)));
    let below = below.into_iter().map(|(name, value)| {
        let parts = serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string());
        let parts: String = parts.trim_end().lines().map(|line| format!("\n  {line}")).collect();
        format!("{name}{parts}")
    });
    beside.chain(below).collect::<Vec<_>>().join("\n")
}

fn is_estimate(members: &Map<String, Value>) -> bool {
    members.contains_key("estimate") && members.contains_key("low")
}

/// A value on one line, as long as it is.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => harmless::line(text),
        Value::Object(members) if is_estimate(members) => {
            let percent =
                |name: &str| members.get(name).and_then(Value::as_f64).unwrap_or(0.0) * 100.0;
            format!(
                "{:.0} % ({:.0} to {:.0})",
                percent("estimate"),
                percent("low"),
                percent("high")
            )
        }
        Value::Array(items) if items.iter().all(Value::is_string) => items
            .iter()
            .filter_map(Value::as_str)
            .map(harmless::line)
            .collect::<Vec<_>>()
            .join("; "),
        Value::Number(number) if number.is_f64() => {
            format!("{:.3}", number.as_f64().unwrap_or_default())
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a13_a_value_forges_no_line_and_steers_no_terminal() {
        let hostile = "a\u{1b}[2J\nstatus  approved";
        let answer = json!({"status": "open", "name": hostile, "alerts": [hostile], "labels": {"a": hostile}});
        let shown = harmless::lines(&lines(&answer));
        assert!(!shown.contains('\u{1b}'), "{shown}");
        let forged = shown.lines().filter(|line| line.starts_with("status")).count();
        assert_eq!(forged, 1, "{shown}");
        let table = rows(&[answer], &[("NAME", "name"), ("ALERTS", "alerts/0")]);
        assert_eq!(table.lines().count(), 2, "{table}");
    }

    #[test]
    fn an_object_is_shown_whole() {
        let why = "long ".repeat(60);
        let shown = lines(&json!({
            "id": "pln_1", "why": why, "absent": null, "confidence": {"estimate": 0.9, "low": 0.8, "high": 0.95},
            "steps": [{"id": "scale", "arguments": {"replicas": 2}}], "targets": ["a", "b"],
        }));
        assert!(shown.contains(&why) && !shown.contains('…'), "{shown}");
        assert!(shown.contains("confidence  90 % (80 to 95)\n"), "{shown}");
        assert!(shown.contains("targets     a; b"), "{shown}");
        assert!(
            shown.ends_with("steps\n  - arguments:\n      replicas: 2\n    id: scale"),
            "{shown}"
        );
    }

    #[test]
    fn a_table_shows_what_is_long_whole_below_itself_or_on_its_line() {
        let why = "none of the pods became ready again within the time that was given ".repeat(4);
        let items = [json!({"id": "run_1", "why": why})];
        let shown = |widest| rows_within(widest, &items, &[("ID", "id"), ("WHY", "why")]);
        let words = |text: &str| text.split_whitespace().map(str::to_string).collect::<Vec<_>>();
        for widest in [Some(WIDEST), None] {
            let expected = words(&format!("ID WHY run_1 {why}"));
            assert_eq!(words(&shown(widest)), expected, "{}", shown(widest));
        }
        let longest = |text: String| text.lines().map(str::len).max().unwrap();
        assert!(longest(shown(Some(WIDEST))) < usize::from(WIDEST) + 10);
        assert_eq!(shown(None).lines().count(), 2);
    }
}
