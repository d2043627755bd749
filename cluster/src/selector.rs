use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which labels an object must have: every label and every expression must hold, so the empty selector selects all.
///
/// This is the label selector of lists, Deployments and ReplicaSets. The selector of a **Service** is a plain map with
/// another meaning of emptiness: an empty one selects nothing (see [`crate::Service::selects`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Labels that must be there with this value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further demands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

/// One demand on one label, as on the wire: `{key, operator, values}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "operator")]
pub enum Requirement {
    /// The label is there with one of the values.
    In {
        /// Its key.
        key: String,
        /// The values.
        values: Vec<String>,
    },
    /// The label is absent or has none of the values.
    NotIn {
        /// Its key.
        key: String,
        /// The values.
        values: Vec<String>,
    },
    /// The label is there.
    Exists {
        /// Its key.
        key: String,
    },
    /// The label is absent.
    DoesNotExist {
        /// Its key.
        key: String,
    },
}

/// A text that is not a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{part}` in the selector `{text}` is not a demand on a label: expected `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a` or `!a`"
)]
pub struct BadSelector {
    text: String,
    part: String,
}

impl Selector {
    /// Selects what has all these labels.
    pub fn of_labels<K: Into<String>, V: Into<String>>(
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let match_labels =
            labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self { match_labels, match_expressions: Vec::new() }
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.holds(labels))
    }

    /// Whether this selects every object.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
}

impl Requirement {
    /// Whether an object with these labels meets the demand.
    pub fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::In { key, values } => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn { key, values } => {
                labels.get(key).is_none_or(|value| !values.contains(value))
            }
            Self::Exists { key } => labels.contains_key(key),
            Self::DoesNotExist { key } => !labels.contains_key(key),
        }
    }
}

/// The text form of URLs and command lines: `a=b,c!=d,e in (x,y),!f`.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (key, value) in &self.match_labels {
            write!(f, "{comma}{key}={value}")?;
            comma = ",";
        }
        for requirement in &self.match_expressions {
            write!(f, "{comma}{requirement}")?;
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In { key, values } => write!(f, "{key} in ({})", values.join(",")),
            Self::NotIn { key, values } if values.len() == 1 => write!(f, "{key}!={}", values[0]),
            Self::NotIn { key, values } => write!(f, "{key} notin ({})", values.join(",")),
            Self::Exists { key } => f.write_str(key),
            Self::DoesNotExist { key } => write!(f, "!{key}"),
        }
    }
}

impl FromStr for Selector {
    type Err = BadSelector;
    fn from_str(text: &str) -> Result<Self, BadSelector> {
        let mut selector = Self::default();
        if text.trim().is_empty() {
            return Ok(selector);
        }
        for part in split(text) {
            let bad = || BadSelector { text: clip(text), part: clip(part) };
            match parse_part(part.trim()).ok_or_else(bad)? {
                Part::Equals(key, value) => match selector.match_labels.get(&key) {
                    // Two values for one label select nothing; a map cannot say so, an expression can.
                    Some(other) if *other != value => {
                        selector
                            .match_expressions
                            .push(Requirement::In { key, values: vec![value] });
                    }
                    Some(_) | None => {
                        selector.match_labels.insert(key, value);
                    }
                },
                Part::Demands(requirement) => selector.match_expressions.push(requirement),
            }
        }
        Ok(selector)
    }
}

enum Part {
    Equals(String, String),
    Demands(Requirement),
}

/// Splits at the commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut is_inside) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' => is_inside = true,
            ')' => is_inside = false,
            ',' if !is_inside => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

fn parse_part(part: &str) -> Option<Part> {
    if let Some(key) = part.strip_prefix('!') {
        return Some(Part::Demands(Requirement::DoesNotExist { key: parse_key(key)? }));
    }
    if let Some((head, list)) = part.split_once('(') {
        let list = list.strip_suffix(')')?;
        let (key, operator) = head.trim().rsplit_once(char::is_whitespace)?;
        let (key, values) =
            (parse_key(key)?, list.split(',').map(parse_value).collect::<Option<Vec<_>>>()?);
        return match operator {
            "in" => Some(Part::Demands(Requirement::In { key, values })),
            "notin" => Some(Part::Demands(Requirement::NotIn { key, values })),
            _ => None,
        };
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Some(Part::Demands(Requirement::NotIn {
            key: parse_key(key)?,
            values: vec![parse_value(value)?],
        }));
    }
    if let Some((key, value)) = part.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Some(Part::Equals(parse_key(key)?, parse_value(value)?));
    }
    Some(Part::Demands(Requirement::Exists { key: parse_key(part)? }))
}

fn parse_key(text: &str) -> Option<String> {
    let key = text.trim();
    let is_key = !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    is_key.then(|| key.to_string())
}

fn parse_value(text: &str) -> Option<String> {
    let value = text.trim();
    value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        .then(|| value.to_string())
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        text.split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.into(), value.into()))
            .collect()
    }

    #[test]
    fn a_selector_selects_what_meets_every_demand() {
        for (selector, of, expected) in [
            ("", "", true),
            ("", "a=b", true),
            ("a=b", "a=b,c=d", true),
            ("a==b", "a=b", true),
            ("a=b", "a=c", false),
            ("a=b,c=d", "a=b", false),
            ("a!=b", "a=c", true),
            ("a!=b", "", true),
            ("a!=b", "a=b", false),
            ("a in (x, y)", "a=y", true),
            ("a in (x,y)", "", false),
            ("a notin (x,y)", "", true),
            ("a notin (x,y)", "a=x", false),
            ("a", "a=", true),
            ("a", "b=c", false),
            ("!a", "b=c", true),
            ("!a", "a=c", false),
            ("a=x,a=y", "a=x", false),
            (
                "app.kubernetes.io/name=api,tier in (web),!legacy",
                "app.kubernetes.io/name=api,tier=web",
                true,
            ),
        ] {
            let parsed: Selector = selector.parse().unwrap();
            assert_eq!(parsed.matches(&labels(of)), expected, "`{selector}` of `{of}`");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in [
            ",",
            "a=b,",
            "=b",
            "a=b c",
            "a in x",
            "a in (x",
            "a within (x)",
            "!",
            "a>1",
            "a=(b)",
            "a=b=c",
        ] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_selector_reads_and_writes_as_on_the_wire() {
        let wire = json!({"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["x"]}, {"key": "d", "operator": "DoesNotExist"}]});
        let selector: Selector = serde_json::from_value(wire.clone()).unwrap();
        assert_eq!(serde_json::to_value(&selector).unwrap(), wire);
        assert_eq!(selector.to_string(), "a=b,c in (x),!d");
        assert!(
            serde_json::from_value::<Selector>(
                json!({"matchExpressions": [{"key": "c", "operator": "Near"}]})
            )
            .is_err()
        );
        assert_eq!(Selector::of_labels([("a", "b")]), "a=b".parse().unwrap());
    }

    fn any_requirement() -> impl Strategy<Value = Requirement> {
        ("[a-z]{1,3}", prop::collection::vec("[a-z]{0,2}", 1..3), 0..4).prop_map(
            |(key, values, operator)| match operator {
                0 => Requirement::In { key, values },
                1 => Requirement::NotIn { key, values },
                2 => Requirement::Exists { key },
                _ => Requirement::DoesNotExist { key },
            },
        )
    }

    proptest! {
        #[test]
        fn the_text_form_reads_back(match_labels in prop::collection::btree_map("[a-z]{1,3}", "[a-z]{0,2}", 0..3), match_expressions in prop::collection::vec(any_requirement(), 0..3)) {
            let selector = Selector { match_labels, match_expressions };
            prop_assert_eq!(selector.to_string().parse::<Selector>().unwrap(), selector);
        }
    }
}
