use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A label selector: an object has to match every label and every expression, so an empty selector matches all objects.
///
/// This is the label selector of lists, Deployments and ReplicaSets. The selector of a **Service** is a plain map, and an
/// empty one matches nothing (see [`crate::Service::selects`]).
///
/// ```
/// use std::collections::BTreeMap;
///
/// use cluster::Selector;
///
/// // The pods of an application, but not of its canary.
/// let selector: Selector = "app=checkout,track notin (canary)".parse()?;
/// let labels = |track: &str| {
///     BTreeMap::from([("app".to_string(), "checkout".to_string()), ("track".to_string(), track.to_string())])
/// };
/// assert!(selector.matches(&labels("stable")));
/// assert!(!selector.matches(&labels("canary")));
///
/// let error = "app=checkout,track is canary".parse::<Selector>().unwrap_err();
/// assert!(error.to_string().starts_with("`track is canary` in the selector"));
/// # Ok::<(), cluster::ParseSelectorError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Labels that an object must have with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Additional requirements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

/// A requirement for one label, serialized as `{key, operator, values}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "operator")]
pub enum Requirement {
    /// The label exists with one of the values.
    In {
        /// Label key.
        key: String,
        /// Label values.
        values: Vec<String>,
    },
    /// The label is absent or has none of the values.
    NotIn {
        /// Label key.
        key: String,
        /// Label values.
        values: Vec<String>,
    },
    /// The label exists.
    Exists {
        /// Label key.
        key: String,
    },
    /// The label is absent.
    DoesNotExist {
        /// Label key.
        key: String,
    },
}

/// The error for a string that is not a label selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{part}` in the selector `{text}` is not a label requirement: expected `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a` or `!a`"
)]
pub struct ParseSelectorError {
    text: String,
    part: String,
}

impl Selector {
    /// Creates a selector for objects that have all these labels.
    pub fn of_labels<K: Into<String>, V: Into<String>>(
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let match_labels =
            labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self { match_labels, match_expressions: Vec::new() }
    }

    /// Returns whether the selector matches an object with these labels.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }

    /// Returns whether the selector is empty, and therefore matches every object.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
}

impl Requirement {
    /// Returns whether an object with these labels meets the requirement.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
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

/// Formats as in URLs and command lines: `a=b,c!=d,e in (x,y),!f`.
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
    type Err = ParseSelectorError;
    fn from_str(text: &str) -> Result<Self, ParseSelectorError> {
        let mut selector = Self::default();
        if text.trim().is_empty() {
            return Ok(selector);
        }
        for part in split(text) {
            let bad = || ParseSelectorError { text: truncate(text), part: truncate(part) };
            match parse_part(part.trim()).ok_or_else(bad)? {
                SelectorPart::Equals(key, value) => match selector.match_labels.get(&key) {
                    // Two values for one label match nothing; the map cannot represent that, but an expression can.
                    Some(other) if *other != value => {
                        selector
                            .match_expressions
                            .push(Requirement::In { key, values: vec![value] });
                    }
                    Some(_) | None => {
                        selector.match_labels.insert(key, value);
                    }
                },
                SelectorPart::Requirement(requirement) => {
                    selector.match_expressions.push(requirement)
                }
            }
        }
        Ok(selector)
    }
}

enum SelectorPart {
    Equals(String, String),
    Requirement(Requirement),
}

/// Splits at commas outside of parentheses.
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

fn parse_part(part: &str) -> Option<SelectorPart> {
    if let Some(key) = part.strip_prefix('!') {
        return Some(SelectorPart::Requirement(Requirement::DoesNotExist { key: parse_key(key)? }));
    }
    if let Some((head, list)) = part.split_once('(') {
        let list = list.strip_suffix(')')?;
        let (key, operator) = head.trim().rsplit_once(char::is_whitespace)?;
        let (key, values) =
            (parse_key(key)?, list.split(',').map(parse_value).collect::<Option<Vec<_>>>()?);
        return match operator {
            "in" => Some(SelectorPart::Requirement(Requirement::In { key, values })),
            "notin" => Some(SelectorPart::Requirement(Requirement::NotIn { key, values })),
            _ => None,
        };
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Some(SelectorPart::Requirement(Requirement::NotIn {
            key: parse_key(key)?,
            values: vec![parse_value(value)?],
        }));
    }
    if let Some((key, value)) = part.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Some(SelectorPart::Equals(parse_key(key)?, parse_value(value)?));
    }
    Some(SelectorPart::Requirement(Requirement::Exists { key: parse_key(part)? }))
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

fn truncate(text: &str) -> String {
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
    fn selector_matches_if_all_requirements_match() {
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
    fn parse_rejects_invalid_selectors() {
        for (text, part) in [
            (",", ""),
            ("a=b,", ""),
            ("=b", "=b"),
            ("x=y,a=b c", "a=b c"),
            ("a in x", "a in x"),
            ("a in (x", "a in (x"),
            ("a within (x)", "a within (x)"),
            ("b,!", "!"),
            ("a>1", "a>1"),
            ("a=(b)", "a=(b)"),
            ("a=b=c", "a=b=c"),
        ] {
            let error = text.parse::<Selector>().unwrap_err();
            let expected = ParseSelectorError { text: text.into(), part: part.into() };
            assert_eq!(error, expected);
            assert!(
                error
                    .to_string()
                    .ends_with("expected `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a` or `!a`")
            );
        }
    }

    #[test]
    fn selector_json_round_trips() {
        let value = json!({"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["x"]}, {"key": "d", "operator": "DoesNotExist"}]});
        let selector: Selector = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&selector).unwrap(), value);
        assert_eq!(selector.to_string(), "a=b,c in (x),!d");
        let near = json!({"matchExpressions": [{"key": "c", "operator": "Near"}]});
        let error = serde_json::from_value::<Selector>(near).unwrap_err().to_string();
        assert!(error.contains("unknown variant `Near`, expected one of `In`"), "{error}");
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
        fn formatted_selector_parses_back(match_labels in prop::collection::btree_map("[a-z]{1,3}", "[a-z]{0,2}", 0..3), match_expressions in prop::collection::vec(any_requirement(), 0..3)) {
            let selector = Selector { match_labels, match_expressions };
            prop_assert_eq!(selector.to_string().parse::<Selector>().unwrap(), selector);
        }
    }
}
