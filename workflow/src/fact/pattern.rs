use std::collections::BTreeMap;

use cluster::ObjectRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Fact, Facts, Predicate};

/// A fact with holes. A word that begins with `$` is a hole; the same hole has the same filling throughout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FactPattern {
    /// A hole for an object: `$target`. Always a hole, for objects are never named in a template.
    pub subject: String,
    /// The kind that the subject must have, if one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What must be known of it.
    pub predicate: Predicate,
    /// Which part: a word or a hole; absent for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How it must stand; absent for any known value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValuePattern>,
}

/// What a fact's value must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum ValuePattern {
    /// One of these.
    In {
        /// The values.
        r#in: Vec<Value>,
    },
    /// Known, and not this. What is not known does not match.
    Not {
        /// The value that it must not be.
        not: Value,
    },
    /// A number below this.
    Below {
        /// The bound, itself excluded.
        below: f64,
    },
    /// A number above this.
    Above {
        /// The bound, itself excluded.
        above: f64,
    },
    /// Exactly this, or a hole where it is a text that begins with `$`.
    Is(Value),
}

/// What fills a hole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Binding {
    /// An object.
    Object(ObjectRef),
    /// A key or a value.
    Value(Value),
}

/// Holes and what fills them.
pub type Bindings = BTreeMap<String, Binding>;

impl FactPattern {
    /// Ways in which `fact` fits, given what is filled already: none or one.
    pub fn fit(&self, fact: &Fact, bindings: &Bindings) -> Option<Bindings> {
        if fact.predicate != self.predicate
            || self.kind.as_ref().is_some_and(|kind| *kind != fact.subject.kind)
        {
            return None;
        }
        let mut filled = bindings.clone();
        match filled.get(&self.subject) {
            Some(Binding::Object(object)) if object.is_same(&fact.subject) => {}
            Some(_) => return None,
            None => {
                filled.insert(self.subject.clone(), Binding::Object(fact.subject.clone()));
            }
        }
        if let Some(key) = &self.key {
            fill(key, &Value::String(fact.key.clone()), &mut filled).then_some(())?;
        }
        let fits = match &self.value {
            None => true,
            Some(ValuePattern::In { r#in }) => r#in.contains(&fact.value),
            Some(ValuePattern::Not { not }) => {
                match not.as_str().filter(|word| word.starts_with('$')) {
                    Some(hole) => {
                        !matches!(filled.get(hole), Some(Binding::Value(value)) if *value == fact.value)
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
            Some(ValuePattern::Is(Value::String(word))) => fill(word, &fact.value, &mut filled),
            Some(ValuePattern::Is(value)) => *value == fact.value,
        };
        fits.then_some(filled)
    }
}

/// Whether `word` is, or can be filled to be, `value`.
fn fill(word: &str, value: &Value, filled: &mut Bindings) -> bool {
    if !word.starts_with('$') {
        return value.as_str() == Some(word);
    }
    match filled.get(word) {
        Some(Binding::Value(bound)) => bound == value,
        Some(Binding::Object(_)) => false,
        None => {
            filled.insert(word.into(), Binding::Value(value.clone()));
            true
        }
    }
}

/// Every way to fill the holes of `patterns` so that each fits a fact, in a fixed order, at most `limit` ways.
///
/// Complete up to `limit`: backtracking over the facts in their order, one pattern after another.
pub fn solve(
    patterns: &[FactPattern],
    facts: &Facts,
    bindings: &Bindings,
    limit: usize,
) -> Vec<Bindings> {
    let Some((first, rest)) = patterns.split_first() else { return vec![bindings.clone()] };
    let mut ways: Vec<Bindings> = Vec::new();
    for fact in facts.iter() {
        let Some(filled) = first.fit(fact, bindings) else { continue };
        for way in solve(rest, facts, &filled, limit - ways.len()) {
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        if ways.len() >= limit {
            break;
        }
    }
    ways
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
    fn a_hole_has_the_same_filling_throughout() {
        let ways = solve(
            &patterns(json!([
                {"subject": "$t", "predicate": "waiting", "key": "$c", "value": {"in": ["ImagePullBackOff", "CrashLoopBackOff"]}},
                {"subject": "$t", "predicate": "image", "key": "$c", "value": "$image"}])),
            &facts(),
            &Bindings::new(),
            10,
        );
        assert_eq!(ways.len(), 1);
        assert_eq!(ways[0]["$image"], Binding::Value(json!("x:2")));
    }

    #[test]
    fn what_is_unknown_does_not_match_not() {
        let ways = solve(
            &patterns(json!([{"subject": "$t", "predicate": "ready", "value": {"not": true}}])),
            &facts(),
            &Bindings::new(),
            10,
        );
        assert!(ways.is_empty());
    }
}
