use std::collections::BTreeMap;

use cluster::ObjectRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Fact, Facts, Predicate};

/// A fact with placeholders. A text that begins with `$` is a placeholder; the same placeholder has the same binding in
/// all patterns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FactPattern {
    /// Placeholder for the object: `$target`. Always a placeholder, because templates never name objects.
    pub subject: String,
    /// Required kind of the object. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The property that must be known.
    pub predicate: Predicate,
    /// Required key: a literal or a placeholder. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Required value. Absent: any known value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValuePattern>,
}

/// Constraint on the value of a fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum ValuePattern {
    /// One of the given values.
    In {
        /// The allowed values.
        r#in: Vec<Value>,
    },
    /// Any known value except the given one. An unknown value does not match.
    Not {
        /// The excluded value.
        not: Value,
    },
    /// A number below the bound.
    Below {
        /// The bound, exclusive.
        below: f64,
    },
    /// A number above the bound.
    Above {
        /// The bound, exclusive.
        above: f64,
    },
    /// Exactly the given value, or a placeholder if it is a text that begins with `$`.
    Is(Value),
}

/// Value of a placeholder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Binding {
    /// An object.
    Object(ObjectRef),
    /// A key or a value.
    Value(Value),
}

/// Values by placeholder.
pub type PatternBindings = BTreeMap<String, Binding>;

impl FactPattern {
    /// Matches the pattern against `fact`, given the existing bindings. Returns the extended bindings, or `None`.
    pub fn match_fact(&self, fact: &Fact, bindings: &PatternBindings) -> Option<PatternBindings> {
        if fact.predicate != self.predicate
            || self.kind.as_ref().is_some_and(|kind| *kind != fact.subject.kind)
        {
            return None;
        }
        let mut bound = bindings.clone();
        match bound.get(&self.subject) {
            Some(Binding::Object(object)) if object.is_same(&fact.subject) => {}
            Some(_) => return None,
            None => {
                bound.insert(self.subject.clone(), Binding::Object(fact.subject.clone()));
            }
        }
        if let Some(key) = &self.key {
            bind(key, &Value::String(fact.key.clone()), &mut bound).then_some(())?;
        }
        let is_match = match &self.value {
            None => true,
            Some(ValuePattern::In { r#in }) => r#in.contains(&fact.value),
            Some(ValuePattern::Not { not }) => {
                match not.as_str().filter(|text| text.starts_with('$')) {
                    Some(placeholder) => {
                        !matches!(bound.get(placeholder), Some(Binding::Value(value)) if *value == fact.value)
                    }
                    None => *not != fact.value,
                }
            }
            Some(ValuePattern::Below { below }) => {
                fact.value.as_f64().is_some_and(|value| value < *below)
            }
            Some(ValuePattern::Above { above }) => {
                fact.value.as_f64().is_some_and(|value| value > *above)
            }
            Some(ValuePattern::Is(Value::String(text))) => bind(text, &fact.value, &mut bound),
            Some(ValuePattern::Is(value)) => *value == fact.value,
        };
        is_match.then_some(bound)
    }
}

/// Returns whether `text` equals `value`, or is a placeholder that can be bound to it.
fn bind(text: &str, value: &Value, bound: &mut PatternBindings) -> bool {
    if !text.starts_with('$') {
        return value.as_str() == Some(text);
    }
    match bound.get(text) {
        Some(Binding::Value(existing)) => existing == value,
        Some(Binding::Object(_)) => false,
        None => {
            bound.insert(text.into(), Binding::Value(value.clone()));
            true
        }
    }
}

/// Returns all bindings with which every pattern matches a fact, in a fixed order, at most `limit`.
///
/// The search backtracks over the facts in order, one pattern after another, and is complete up to `limit`.
pub fn match_all(
    patterns: &[FactPattern],
    facts: &Facts,
    bindings: &PatternBindings,
    limit: usize,
) -> Vec<PatternBindings> {
    let Some((first, rest)) = patterns.split_first() else { return vec![bindings.clone()] };
    let mut matches: Vec<PatternBindings> = Vec::new();
    for fact in facts.iter() {
        let Some(bound) = first.match_fact(fact, bindings) else { continue };
        for found in match_all(rest, facts, &bound, limit - matches.len()) {
            if !matches.contains(&found) {
                matches.push(found);
            }
        }
        if matches.len() >= limit {
            break;
        }
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts() -> Facts {
        let at = |name: &str, predicate, key: &str, value| Fact {
            subject: ObjectRef::builtin("c", "Deployment", Some("shop"), name),
            predicate,
            key: key.into(),
            value,
        };
        Facts::new([
            at("a", Predicate::Waiting, "main", json!("ImagePullBackOff")),
            at("a", Predicate::Image, "main", json!("x:2")),
            at("b", Predicate::Waiting, "side", json!("CrashLoopBackOff")),
            at("b", Predicate::Image, "main", json!("y:1")),
        ])
    }

    fn patterns(text: serde_json::Value) -> Vec<FactPattern> {
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn placeholder_has_same_binding_in_all_patterns() {
        let matches = match_all(
            &patterns(json!([
                {"subject": "$t", "predicate": "waiting", "key": "$c", "value": {"in": ["ImagePullBackOff", "CrashLoopBackOff"]}},
                {"subject": "$t", "predicate": "image", "key": "$c", "value": "$image"}])),
            &facts(),
            &PatternBindings::new(),
            10,
        );
        assert_eq!(matches.len(), 1);
        assert_eq!(matches[0]["$image"], Binding::Value(json!("x:2")));
    }

    #[test]
    fn unknown_value_does_not_match_not() {
        let matches = match_all(
            &patterns(json!([{"subject": "$t", "predicate": "ready", "value": {"not": true}}])),
            &facts(),
            &PatternBindings::new(),
            10,
        );
        assert!(matches.is_empty());
    }
}
