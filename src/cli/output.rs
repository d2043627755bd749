//! Formats responses as text: lists as tables, single objects as lines.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Result;
use api::ListResponse;
use comfy_table::{ColumnConstraint, Table, Width, presets};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::cli::client::{Connection, Query, with_client};
use crate::cli::sanitize;

/// Requests a page of a list and prints it as a table.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
pub(crate) fn show_list<T: Serialize + DeserializeOwned>(
    connection: &Connection,
    path: &str,
    query: Query,
    columns: &[(&str, &str)],
) -> Result<ExitCode> {
    with_client(connection, async |client| {
        let page: ListResponse<T> = client.list(path, query).await?;
        client.print(&page, |page| table(page, columns))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Requests one resource and prints it as lines.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
pub(crate) fn show<T: Serialize + DeserializeOwned>(
    connection: &Connection,
    path: &str,
) -> Result<ExitCode> {
    with_client(connection, async |client| {
        let resource: T = client.get(path).await?;
        client.print(&resource, lines)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Returns plain data as JSON, as the API sends it.
fn json(data: &impl Serialize) -> Value {
    serde_json::to_value(data).expect("what the API sends is plain data")
}

/// Returns the name of a status, as the API sends it.
pub(crate) fn name(status: &impl Serialize) -> String {
    text(&json(status))
}

/// Formats a page as a table. Each column has a heading and the path of a member.
pub(crate) fn table<T: Serialize>(page: &ListResponse<T>, columns: &[(&str, &str)]) -> String {
    let more = page.next_cursor.as_ref();
    rows(&page.items, columns)
        + &more.map_or(String::new(), |cursor| format!("\nmore: --cursor {cursor}"))
}

/// Formats values as a table. On a terminal, long values wrap within their column; otherwise each value stays on one
/// line, so that other programs can read it.
pub(crate) fn rows<T: Serialize>(items: &[T], columns: &[(&str, &str)]) -> String {
    rows_with_width(std::io::stdout().is_terminal().then_some(MAX_COLUMN_WIDTH), items, columns)
}

fn rows_with_width<T: Serialize>(
    max_width: Option<u16>,
    items: &[T],
    columns: &[(&str, &str)],
) -> String {
    if items.is_empty() {
        return "none".into();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    for item in items {
        let item = json(item);
        table.add_row(
            columns
                .iter()
                .map(|(_, path)| text(item.pointer(&format!("/{path}")).unwrap_or(&Value::Null))),
        );
    }
    if let Some(max_width) = max_width {
        let bound = ColumnConstraint::UpperBoundary(Width::Fixed(max_width));
        table.column_iter_mut().for_each(|column| {
            column.set_constraint(bound);
        });
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Maximum column width on a terminal, in characters: a digest fits.
const MAX_COLUMN_WIDTH: u16 = 80;
/// Maximum length of a list of strings on one line, in characters.
const MAX_INLINE_LIST_CHARS: usize = 80;

/// Formats an object as lines of name and value. A nested value is printed below its name.
pub(crate) fn lines(answer: &impl Serialize) -> String {
    let answer = json(answer);
    let Some(members) = answer.as_object() else { return text(&answer) };
    let is_nested = |value: &Value| match value {
        Value::Array(items) if items.iter().all(Value::is_string) => {
            text(value).chars().count() > MAX_INLINE_LIST_CHARS
        }
        Value::Array(_) => true,
        Value::Object(parts) => !parts.is_empty() && !is_estimate(parts),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    let (nested, flat): (Vec<_>, Vec<_>) = members
        .iter()
        .filter(|(_, value)| !value.is_null())
        .partition(|(_, value)| is_nested(value));
    let width = flat.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let flat = flat.into_iter().map(|(name, value)| format!("{name:<width$}  {}", text(value)));
    let nested = nested.into_iter().map(|(name, value)| {
        let parts = serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string());
        let parts: String = parts.trim_end().lines().map(|line| format!("\n  {line}")).collect();
        format!("{name}{parts}")
    });
    flat.chain(nested).collect::<Vec<_>>().join("\n")
}

fn is_estimate(members: &Map<String, Value>) -> bool {
    members.contains_key("estimate") && members.contains_key("low")
}

/// Formats a value on one line, without truncation.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => sanitize::sanitize_line(text),
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
            .map(sanitize::sanitize_line)
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

    /// Bad-input row A13: text from alerts and clusters cannot add lines or control the terminal.
    #[test]
    fn hostile_value_cannot_add_lines_or_control_the_terminal() {
        let hostile = "a\u{1b}[2J\nstatus  approved";
        let answer = json!({"status": "open", "name": hostile, "alerts": [hostile], "labels": {"a": hostile}});
        let shown = sanitize::sanitize_lines(&lines(&answer));
        assert!(!shown.contains('\u{1b}'), "{shown}");
        let forged = shown.lines().filter(|line| line.starts_with("status")).count();
        assert_eq!(forged, 1, "{shown}");
        let table = rows(&[answer], &[("NAME", "name"), ("ALERTS", "alerts/0")]);
        assert_eq!(table.lines().count(), 2, "{table}");
    }

    #[test]
    fn object_is_printed_without_truncation() {
        let message = "long ".repeat(60);
        let shown = lines(&json!({
            "id": "pln_1", "message": message, "absent": null, "confidence": {"estimate": 0.9, "low": 0.8, "high": 0.95},
            "steps": [{"id": "scale", "arguments": {"replicas": 2}}], "targets": ["a", "b"],
        }));
        assert!(shown.contains(&message) && !shown.contains('…'), "{shown}");
        assert!(shown.contains("confidence  90 % (80 to 95)\n"), "{shown}");
        assert!(shown.contains("targets     a; b"), "{shown}");
        assert!(
            shown.ends_with("steps\n  - arguments:\n      replicas: 2\n    id: scale"),
            "{shown}"
        );
    }

    #[test]
    fn table_wraps_long_values_on_a_terminal_only() {
        let message =
            "none of the pods became ready again within the time that was given ".repeat(4);
        let items = [json!({"id": "run_1", "message": message})];
        let shown =
            |widest| rows_with_width(widest, &items, &[("ID", "id"), ("MESSAGE", "message")]);
        let words = |text: &str| text.split_whitespace().map(str::to_string).collect::<Vec<_>>();
        for widest in [Some(MAX_COLUMN_WIDTH), None] {
            let expected = words(&format!("ID MESSAGE run_1 {message}"));
            assert_eq!(words(&shown(widest)), expected, "{}", shown(widest));
        }
        let longest = |text: String| text.lines().map(str::len).max().unwrap();
        assert!(longest(shown(Some(MAX_COLUMN_WIDTH))) < usize::from(MAX_COLUMN_WIDTH) + 10);
        assert_eq!(shown(None).lines().count(), 2);
    }
}
