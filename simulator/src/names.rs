//! The symbols of worlds and scenarios, and what they are filled with.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::chance::Chance;
use crate::file::{BadFile, WorldFile};

/// How the symbols of a world are filled. A symbol is `$(class.word)`, and the same symbol is the same name throughout.
///
/// Classes: `ns` namespace, `w` workload and its Service, `c` container, `m` ConfigMap, `x` Secret, `k` key of either,
/// `e` environment variable, `p` path, `n` node, `l` label value, `i` image without tag, `v` tag, `port` a port number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By their words: `$(w.cart)` is `cart`. For demonstrations.
    Literal,
    /// By words that the seed draws and no dictionary holds. For evaluations.
    Drawn,
    /// By random letters, and every annotation that Kubernetes gives no meaning is random letters too.
    Scrambled,
}

/// Symbols and what fills them.
pub(crate) type Names = BTreeMap<String, Value>;

const STARTS: [&str; 20] = [
    "b", "br", "c", "d", "dr", "f", "g", "h", "j", "k", "l", "m", "n", "p", "qu", "r", "s", "t",
    "v", "z",
];
const VOWELS: [&str; 6] = ["a", "e", "i", "o", "u", "ei"];
const ENDS: [&str; 8] = ["", "", "l", "m", "n", "r", "s", "x"];

/// A word that can be spoken and means nothing.
pub(crate) fn word(chance: &mut Chance) -> String {
    let syllables = 2 + chance.below(2);
    (0..syllables)
        .map(|_| format!("{}{}{}", chance.pick(&STARTS), chance.pick(&VOWELS), chance.pick(&ENDS)))
        .collect()
}

fn letters(chance: &mut Chance) -> String {
    let length = 6 + chance.below(6);
    (0..length).map(|_| char::from(b'a' + chance.below(26) as u8)).collect()
}

impl Naming {
    fn fill(self, class: &str, word_of_file: &str, chance: &mut Chance) -> Value {
        let mut word = || match self {
            Self::Literal => word_of_file.to_string(),
            Self::Drawn => word(chance),
            Self::Scrambled => letters(chance),
        };
        let text = match class {
            "e" => word().to_uppercase().replace('-', "_"),
            "k" => format!(
                "{}.{}",
                word(),
                if self == Self::Literal { "conf".to_string() } else { word() }
            ),
            "p" => format!("/{}", word()),
            "i" if self == Self::Literal => format!("registry.example/shop/{}", word()),
            "i" => format!("{}.example/{}/{}", word(), word(), word()),
            "v" => format!("{}.{}.{}", 1 + chance.below(5), chance.below(20), chance.below(20)),
            "port" => return (20_000 + chance.below(30_000)).into(),
            _ => word(),
        };
        text.into()
    }

    /// Fills every symbol that `value` speaks of, but those in `known`; each with another name.
    pub(crate) fn draw(self, value: &Value, seed: u64, known: &Names) -> Names {
        let mut symbols = BTreeSet::new();
        collect(value, &mut symbols);
        let mut names = Names::new();
        let mut taken: BTreeSet<String> = known.values().map(Value::to_string).collect();
        for symbol in symbols.into_iter().filter(|symbol| !known.contains_key(symbol)) {
            let Some((class, word)) = symbol.split_once('.') else { continue };
            if !matches!(
                class,
                "ns" | "w" | "c" | "m" | "x" | "k" | "e" | "p" | "n" | "l" | "i" | "v" | "port"
            ) {
                continue;
            }
            let mut chance = Chance::new("name", &format!("{seed}/{self:?}/{symbol}"));
            let mut name = self.fill(class, word, &mut chance);
            for _ in 0..100 {
                if (self == Self::Literal && class != "v") || !taken.contains(&name.to_string()) {
                    break;
                }
                name = self.fill(class, word, &mut chance);
            }
            taken.insert(name.to_string());
            names.insert(symbol, name);
        }
        names
    }

    /// The world with its symbols filled, and with what.
    pub(crate) fn name_world(
        self,
        file: &WorldFile,
        seed: u64,
    ) -> Result<(WorldFile, Names), BadFile> {
        let value = plain(file);
        let names = self.draw(&value, seed, &Names::new());
        let mut value = filled("world", &value, &names)?;
        if self == Self::Scrambled {
            scramble_annotations(&mut value, &mut Chance::new("annotations", &seed.to_string()));
        }
        Ok((typed("world", value)?, names))
    }
}

/// A file as JSON.
pub(crate) fn plain<T: Serialize>(file: &T) -> Value {
    serde_json::to_value(file).expect("a file that was read is plain data")
}

/// JSON as a file again.
pub(crate) fn typed<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, BadFile> {
    serde_json::from_value(value).map_err(|error| BadFile::Nonsense {
        what: what.into(),
        place: "filled with names".into(),
        reason: error.to_string(),
    })
}

/// Calls `found` with every symbol in `text`, and what it is replaced by is written in its place.
fn replace(text: &str, mut found: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("$(") {
        let Some(length) = rest[start..].find(')') else { break };
        let symbol = &rest[start + 2..start + length];
        out.push_str(&rest[..start]);
        match found(symbol) {
            Some(name) => out.push_str(&name),
            None => out.push_str(&rest[start..=start + length]),
        }
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    out
}

fn collect(value: &Value, symbols: &mut BTreeSet<String>) {
    let mut of_text = |text: &str| {
        replace(text, |symbol| {
            symbols.insert(symbol.to_string());
            None
        });
    };
    match value {
        Value::String(text) => of_text(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, symbols)),
        Value::Object(map) => {
            map.keys().for_each(|key| of_text(key));
            map.values().for_each(|value| collect(value, symbols));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `value` with its symbols replaced. A text that is one symbol and nothing else becomes the symbol's value, a number
/// among them.
pub(crate) fn filled(what: &str, value: &Value, names: &Names) -> Result<Value, BadFile> {
    let mut unknown: Option<String> = None;
    let filled = fill(value, names, &mut unknown);
    match unknown {
        None => Ok(filled),
        Some(symbol) => Err(BadFile::Nonsense {
            what: what.into(),
            place: format!("$({symbol})"),
            reason: "there is no such symbol: write $(class.word), or $(target.PART) with a part that the target has".into(),
        }),
    }
}

fn fill(value: &Value, names: &Names, unknown: &mut Option<String>) -> Value {
    let mut text = |text: &str| -> Value {
        if let Some(symbol) = text.strip_prefix("$(").and_then(|text| text.strip_suffix(')'))
            && let Some(name) = names.get(symbol)
        {
            return name.clone();
        }
        let filled = replace(text, |symbol| match names.get(symbol) {
            Some(Value::String(name)) => Some(name.clone()),
            Some(other) => Some(other.to_string()),
            None => {
                unknown.get_or_insert_with(|| symbol.to_string());
                None
            }
        });
        filled.into()
    };
    match value {
        Value::String(string) => text(string),
        Value::Array(items) => items.iter().map(|item| fill(item, names, unknown)).collect(),
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
                .map(|(key, value)| (key, fill(value, names, unknown)))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Replaces annotations by random letters, but those by which Kubernetes works.
fn scramble_annotations(value: &mut Value, chance: &mut Chance) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Object(annotations)) = map.get_mut("annotations") {
                let kept = std::mem::take(annotations);
                for (name, text) in kept {
                    if name.contains("kubernetes.io/") {
                        annotations.insert(name, text);
                    } else {
                        annotations.insert(letters(chance), letters(chance).into());
                    }
                }
            }
            map.values_mut().for_each(|value| scramble_annotations(value, chance));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| scramble_annotations(item, chance)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn symbols_are_filled_alike_wherever_they_stand() {
        let value =
            json!({"$(w.cart)": "http://$(w.cart):80", "port": "$(port.x)", "list": ["$(c.cart)"]});
        let names = Naming::Literal.draw(&value, 1, &Names::new());
        let filled = filled("test", &value, &names).unwrap();
        assert_eq!(filled["cart"], "http://cart:80");
        assert!(filled["port"].is_u64());
        assert_eq!(filled["list"][0], "cart");
    }

    #[test]
    fn drawn_names_differ_from_seed_to_seed_and_from_one_another() {
        let value = json!([(0..40).map(|i| format!("$(w.a{i})")).collect::<Vec<_>>()]);
        let of = |seed| Naming::Drawn.draw(&value, seed, &Names::new());
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let distinct: BTreeSet<String> = of(3).values().map(Value::to_string).collect();
        assert_eq!(distinct.len(), 40);
    }

    #[test]
    fn an_unknown_symbol_is_named() {
        let error = filled("scenario", &json!("$(target.nose)"), &Names::new()).unwrap_err();
        assert!(error.to_string().contains("$(target.nose)"), "{error}");
    }
}
