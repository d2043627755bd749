//! Symbols in world and scenario files, and the values that replace them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::file::{InvalidFile, WorldFile};
use crate::rng::SeededRng;

/// How the symbols of a world are replaced. A symbol is `$(class.word)`; equal symbols get equal values.
///
/// Classes: `namespace`, `workload` (also its Service), `container`, `configMap`, `secret`, `key` (of a ConfigMap or
/// Secret), `env` (name of an environment variable), `path`, `node`, `label` (label value), `image` (without tag),
/// `tag`, and `port` (port number).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By the word of the symbol: `$(workload.cart)` becomes `cart`. For demonstrations.
    Literal,
    /// By random pronounceable words that depend on the seed and occur in no dictionary. For evaluations.
    Random,
    /// By random letters. Annotations that have no meaning to Kubernetes are also replaced by random letters.
    Obfuscated,
}

/// Values by symbol, without the `$(…)`.
pub(crate) type SymbolValues = BTreeMap<String, Value>;

const STARTS: [&str; 20] = [
    "b", "br", "c", "d", "dr", "f", "g", "h", "j", "k", "l", "m", "n", "p", "qu", "r", "s", "t",
    "v", "z",
];
const VOWELS: [&str; 6] = ["a", "e", "i", "o", "u", "ei"];
const ENDS: [&str; 8] = ["", "", "l", "m", "n", "r", "s", "x"];

/// Returns a random pronounceable word without meaning.
pub(crate) fn random_word(rng: &mut SeededRng) -> String {
    let syllables = 2 + rng.below(2);
    (0..syllables)
        .map(|_| format!("{}{}{}", rng.pick(&STARTS), rng.pick(&VOWELS), rng.pick(&ENDS)))
        .collect()
}

fn random_letters(rng: &mut SeededRng) -> String {
    let length = 6 + rng.below(6);
    (0..length).map(|_| char::from(b'a' + rng.below(26) as u8)).collect()
}

impl Naming {
    fn name_for(self, class: &str, literal: &str, rng: &mut SeededRng) -> Value {
        let mut word = || match self {
            Self::Literal => literal.to_string(),
            Self::Random => random_word(rng),
            Self::Obfuscated => random_letters(rng),
        };
        let text = match class {
            "env" => word().to_uppercase().replace('-', "_"),
            "key" => format!(
                "{}.{}",
                word(),
                if self == Self::Literal { "conf".to_string() } else { word() }
            ),
            "path" => format!("/{}", word()),
            "image" if self == Self::Literal => format!("registry.example/shop/{}", word()),
            "image" => format!("{}.example/{}/{}", word(), word(), word()),
            "tag" => format!("{}.{}.{}", 1 + rng.below(5), rng.below(20), rng.below(20)),
            "port" => return (20_000 + rng.below(30_000)).into(),
            _ => word(),
        };
        text.into()
    }

    /// Assigns a distinct value to every symbol in `value` that is not in `known`.
    pub(crate) fn assign(self, value: &Value, seed: u64, known: &SymbolValues) -> SymbolValues {
        let mut symbols = BTreeSet::new();
        collect_symbols(value, &mut symbols);
        let mut values = SymbolValues::new();
        let mut used: BTreeSet<String> = known.values().map(Value::to_string).collect();
        for symbol in symbols.into_iter().filter(|symbol| !known.contains_key(symbol)) {
            let Some((class, word)) = symbol.split_once('.') else { continue };
            if !matches!(
                class,
                "namespace"
                    | "workload"
                    | "container"
                    | "configMap"
                    | "secret"
                    | "key"
                    | "env"
                    | "path"
                    | "node"
                    | "label"
                    | "image"
                    | "tag"
                    | "port"
            ) {
                continue;
            }
            let mut rng = SeededRng::new("name", &format!("{seed}/{self:?}/{symbol}"));
            let mut name = self.name_for(class, word, &mut rng);
            for _ in 0..100 {
                if (self == Self::Literal && class != "tag") || !used.contains(&name.to_string()) {
                    break;
                }
                name = self.name_for(class, word, &mut rng);
            }
            used.insert(name.to_string());
            values.insert(symbol, name);
        }
        values
    }

    /// Returns the world with resolved symbols, and the values of the symbols.
    pub(crate) fn resolve_world(
        self,
        file: &WorldFile,
        seed: u64,
    ) -> Result<(WorldFile, SymbolValues), InvalidFile> {
        let value = to_json(file);
        let values = self.assign(&value, seed, &SymbolValues::new());
        let mut value = resolve_symbols("world", &value, &values)?;
        if self == Self::Obfuscated {
            obfuscate_annotations(
                &mut value,
                &mut SeededRng::new("annotations", &seed.to_string()),
            );
        }
        Ok((from_json("world", value)?, values))
    }
}

/// Converts a file to JSON.
pub(crate) fn to_json<T: Serialize>(file: &T) -> Value {
    serde_json::to_value(file).expect("a file type serializes without errors")
}

/// Converts JSON to a file.
pub(crate) fn from_json<T: DeserializeOwned>(
    document: &str,
    value: Value,
) -> Result<T, InvalidFile> {
    serde_json::from_value(value).map_err(|error| InvalidFile::Invalid {
        document: document.into(),
        location: "after replacement of symbols".into(),
        reason: error.to_string(),
    })
}

/// Calls `value_of` with every symbol in `text`, and replaces the symbol by the result unless that is `None`.
fn replace_symbols(text: &str, mut value_of: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("$(") {
        let Some(length) = rest[start..].find(')') else { break };
        let symbol = &rest[start + 2..start + length];
        out.push_str(&rest[..start]);
        match value_of(symbol) {
            Some(name) => out.push_str(&name),
            None => out.push_str(&rest[start..=start + length]),
        }
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    out
}

fn collect_symbols(value: &Value, symbols: &mut BTreeSet<String>) {
    let mut of_text = |text: &str| {
        replace_symbols(text, |symbol| {
            symbols.insert(symbol.to_string());
            None
        });
    };
    match value {
        Value::String(text) => of_text(text),
        Value::Array(items) => items.iter().for_each(|item| collect_symbols(item, symbols)),
        Value::Object(map) => {
            map.keys().for_each(|key| of_text(key));
            map.values().for_each(|value| collect_symbols(value, symbols));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns `value` with its symbols replaced. A string that consists of one symbol becomes the symbol's value, which
/// can be a number.
pub(crate) fn resolve_symbols(
    document: &str,
    value: &Value,
    values: &SymbolValues,
) -> Result<Value, InvalidFile> {
    let mut unknown: Option<String> = None;
    let resolved = resolve_value(value, values, &mut unknown);
    match unknown {
        None => Ok(resolved),
        Some(symbol) => Err(InvalidFile::Invalid {
            document: document.into(),
            location: format!("$({symbol})"),
            reason: "unknown symbol; hint: use $(class.word), or $(target.PART) with a part of the target".into(),
        }),
    }
}

fn resolve_value(value: &Value, values: &SymbolValues, unknown: &mut Option<String>) -> Value {
    let mut text = |text: &str| -> Value {
        if let Some(symbol) = text.strip_prefix("$(").and_then(|text| text.strip_suffix(')'))
            && let Some(name) = values.get(symbol)
        {
            return name.clone();
        }
        let resolved = replace_symbols(text, |symbol| match values.get(symbol) {
            Some(Value::String(name)) => Some(name.clone()),
            Some(other) => Some(other.to_string()),
            None => {
                unknown.get_or_insert_with(|| symbol.to_string());
                None
            }
        });
        resolved.into()
    };
    match value {
        Value::String(string) => text(string),
        Value::Array(items) => {
            items.iter().map(|item| resolve_value(item, values, unknown)).collect()
        }
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| {
                let key = match text(key) {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                (key, value)
            });
            let entries: Vec<(String, &Value)> = entries.collect();
            entries
                .into_iter()
                .map(|(key, value)| (key, resolve_value(value, values, unknown)))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Replaces annotations by random letters, except those that Kubernetes interprets.
fn obfuscate_annotations(value: &mut Value, rng: &mut SeededRng) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Object(annotations)) = map.get_mut("annotations") {
                let kept = std::mem::take(annotations);
                for (name, text) in kept {
                    if name.contains("kubernetes.io/") {
                        annotations.insert(name, text);
                    } else {
                        annotations.insert(random_letters(rng), random_letters(rng).into());
                    }
                }
            }
            map.values_mut().for_each(|value| obfuscate_annotations(value, rng));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| obfuscate_annotations(item, rng)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_symbols_get_equal_values_in_keys_and_strings() {
        let value = json!({"$(workload.cart)": "http://$(workload.cart):80", "port": "$(port.x)", "list": ["$(container.cart)"]});
        let values = Naming::Literal.assign(&value, 1, &SymbolValues::new());
        let resolved = resolve_symbols("test", &value, &values).unwrap();
        assert_eq!(resolved["cart"], "http://cart:80");
        assert!(resolved["port"].is_u64());
        assert_eq!(resolved["list"][0], "cart");
    }

    #[test]
    fn random_names_are_distinct_and_depend_on_the_seed() {
        let value = json!([(0..40).map(|i| format!("$(workload.a{i})")).collect::<Vec<_>>()]);
        let of = |seed| Naming::Random.assign(&value, seed, &SymbolValues::new());
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let distinct: BTreeSet<String> = of(3).values().map(Value::to_string).collect();
        assert_eq!(distinct.len(), 40);
    }

    #[test]
    fn unknown_symbol_error_names_the_symbol() {
        let error = resolve_symbols("scenario", &json!("$(target.nose)"), &SymbolValues::new())
            .unwrap_err();
        assert!(error.to_string().contains("$(target.nose)"), "{error}");
    }
}
