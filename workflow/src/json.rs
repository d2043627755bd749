//! Parsing untrusted JSON: bounded depth, no duplicate keys, and optionally lenient parsing of damaged input.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error_code::ErrorCode;

/// An error of parsing JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at line {line}, column {column}")]
pub struct ParseJsonError {
    /// `empty_body`, `not_json`, `depth` or `duplicate_key`.
    pub code: ErrorCode,
    /// What failed; at most 200 characters.
    pub message: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// How to fix it.
    pub hint: String,
}

/// Parses strict JSON: UTF-8, at most `depth` levels deep, finite numbers, no duplicate keys.
///
/// # Errors
/// [`ParseJsonError`], with the position.
pub fn parse(bytes: &[u8], depth: usize) -> Result<Value, ParseJsonError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(parse_error(
            ErrorCode::EmptyBody,
            "the body is empty",
            1,
            1,
            "send a JSON document",
        ));
    }
    check_depth(bytes, depth)?;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value =
        StrictVisitor.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message).to_string();
        let code = if message.starts_with("duplicate key") {
            ErrorCode::DuplicateKey
        } else {
            ErrorCode::NotJson
        };
        let hint = if code == ErrorCode::DuplicateKey {
            "remove one of the keys"
        } else {
            "send valid JSON in UTF-8"
        };
        parse_error(code, &message, error.line(), error.column().max(1), hint)
    })
}

/// Parses JSON and repairs damage that does not affect its structure.
///
/// Invalid UTF-8 and lone surrogates become U+FFFD; `NaN`, `Infinity` and numbers beyond the range of a double become null.
/// The second part of the result lists the repairs with their byte offsets. Depth and duplicate keys are checked as in
/// [`parse`].
///
/// # Errors
/// [`ParseJsonError`], with the position in the repaired text.
pub fn parse_lenient(bytes: &[u8], depth: usize) -> Result<(Value, Vec<Repair>), ParseJsonError> {
    let mut repairs = Vec::new();
    let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => {
            repairs.push(Repair { code: "byte_order_mark", offset: 0 });
            rest
        }
        None => bytes,
    };
    check_depth(bytes, depth)?;
    let text = String::from_utf8_lossy(bytes);
    if matches!(text, std::borrow::Cow::Owned(_)) {
        let offset =
            std::str::from_utf8(bytes).expect_err("lossy text was not UTF-8").valid_up_to();
        repairs.push(Repair { code: "invalid_utf8", offset });
    }
    let repaired = repair_tokens(&text, &mut repairs);
    parse(repaired.as_bytes(), depth).map(|value| (value, repairs))
}

/// One repair of damaged input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Stable code: `byte_order_mark`, `invalid_utf8`, `lone_surrogate`, `number`.
    pub code: &'static str,
    /// Byte offset in the body.
    pub offset: usize,
}

fn parse_error(
    code: ErrorCode,
    message: &str,
    line: usize,
    column: usize,
    hint: &str,
) -> ParseJsonError {
    // Bounded, because the message may repeat parts of the input.
    let message = message.chars().take(200).collect();
    ParseJsonError { code, message, line, column, hint: hint.into() }
}

/// Counts brackets outside strings, so that the recursive parser never recurses deeper than `depth`.
fn check_depth(bytes: &[u8], depth: usize) -> Result<(), ParseJsonError> {
    let (mut level, mut is_string, mut is_escaped) = (0usize, false, false);
    let (mut line, mut column) = (1, 0);
    for byte in bytes {
        column += 1;
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'\n' => (line, column) = (line + 1, 0),
            b'[' | b'{' if !is_string => {
                level += 1;
                if level > depth {
                    let message = format!("nested deeper than {depth} levels");
                    return Err(parse_error(
                        ErrorCode::Depth,
                        &message,
                        line,
                        column,
                        "flatten the document",
                    ));
                }
            }
            b']' | b'}' if !is_string => level = level.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

fn repair_tokens(text: &str, repairs: &mut Vec<Repair>) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let (mut at, mut copied) = (0, 0);
    let mut is_string = false;
    while at < bytes.len() {
        let (length, replacement, code) = match bytes[at] {
            b'"' => {
                is_string = !is_string;
                (1, None, "")
            }
            b'\\' if is_string => match surrogate(&bytes[at..]) {
                Some((length, true)) => (length, None, ""),
                Some((length, false)) => (length, Some("\\ufffd"), "lone_surrogate"),
                None => (2, None, ""),
            },
            b'-' | b'0'..=b'9' | b'N' | b'I' if !is_string => {
                let length = bytes[at..]
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
                    .count()
                    .max(1);
                let token = &text[at..at + length];
                let is_number = token
                    .parse::<f64>()
                    .is_ok_and(|f| f.is_finite() && !token.contains(['N', 'I', 'i']));
                if is_number { (length, None, "") } else { (length, Some("null"), "number") }
            }
            _ => (1, None, ""),
        };
        if let Some(replacement) = replacement {
            repairs.push(Repair { code, offset: at });
            out.push_str(&text[copied..at]);
            out.push_str(replacement);
            copied = (at + length).min(bytes.len());
        }
        at += length;
    }
    out.push_str(&text[copied..]);
    out
}

/// If an escape starts with a surrogate, returns its length and whether it is a complete pair.
fn surrogate(bytes: &[u8]) -> Option<(usize, bool)> {
    let unit = |bytes: &[u8]| {
        let hex = bytes.get(..6).filter(|b| b.starts_with(b"\\u")).map(|b| &b[2..])?;
        u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
    };
    match unit(bytes)? {
        0xd800..=0xdbff => match unit(&bytes[6..]) {
            Some(0xdc00..=0xdfff) => Some((12, true)),
            Some(_) | None => Some((6, false)),
        },
        0xdc00..=0xdfff => Some((6, false)),
        _ => None,
    }
}

/// Builds a [`Value`] and rejects duplicate keys; `serde_json` keeps the last one.
struct StrictVisitor;

impl<'de> DeserializeSeed<'de> for StrictVisitor {
    type Value = Value;
    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(b.into())
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Value, E> {
        Number::from_f64(n)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(StrictVisitor)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                let key: String = key.chars().take(64).collect();
                return Err(de::Error::custom(format!("duplicate key `{key}`")));
            }
            map.insert(key, entries.next_value_seed(StrictVisitor)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn duplicate_key_is_rejected_with_its_position() {
        let error = parse(br#"{"a": {"b": 1, "b": 2}}"#, 32).unwrap_err();
        assert_eq!((error.code, error.line), (ErrorCode::DuplicateKey, 1));
    }

    #[test]
    fn depth_is_checked_before_parsing() {
        let deep = "[".repeat(100_000);
        assert_eq!(parse(deep.as_bytes(), 32).unwrap_err().code, ErrorCode::Depth);
        assert!(parse(br#"["[[[[[[[["]"#, 2).is_ok());
    }

    #[test]
    fn parse_lenient_repairs_damaged_text_and_reports_each_repair() {
        let body = b"\xef\xbb\xbf{\"a\": \"x\xff\", \"b\": \"\\ud800\", \"c\": NaN, \"d\": 1e400, \"e\": -Infinity, \"f\": \"\\ud83d\\ude00 NaN\"}";
        let (value, repairs) = parse_lenient(body, 32).unwrap();
        assert_eq!(
            value,
            json!({"a": "x\u{fffd}", "b": "\u{fffd}", "c": null, "d": null, "e": null, "f": "😀 NaN"})
        );
        let codes: Vec<_> = repairs.iter().map(|repair| repair.code).collect();
        assert_eq!(
            codes,
            ["byte_order_mark", "invalid_utf8", "lone_surrogate", "number", "number", "number"]
        );
    }

    #[test]
    fn trailing_characters_are_rejected() {
        assert_eq!(parse(b"{} {}", 32).unwrap_err().code, ErrorCode::NotJson);
        assert_eq!(parse(b"  ", 32).unwrap_err().code, ErrorCode::EmptyBody);
    }
}
