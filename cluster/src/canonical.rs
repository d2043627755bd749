use serde::Serialize;
use serde_json::Value;

/// The error for a value without a canonical JSON form.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalJsonError {
    /// The value cannot be serialized as JSON.
    #[error("cannot serialize the value as JSON")]
    NotJson(#[source] serde_json::Error),
    /// An integer outside ±(2^53 − 1), which parsers that use doubles would round.
    #[error("the integer {0} is outside ±(2^53 − 1): use a string instead")]
    IntegerOutOfRange(String),
}

/// ECMAScript's `Number.MAX_SAFE_INTEGER`, 2^53 − 1.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Serializes `value` as canonical JSON: keys in UTF-16 order, no white space, numbers in ECMAScript notation.
///
/// Equal values serialize to equal bytes. `serde_json` serializes non-finite numbers as null; serialized types of Chiron
/// never contain one.
///
/// # Errors
/// [`CanonicalJsonError`] if the value is not serializable or contains an integer that a double cannot represent exactly.
///
/// # Source
/// RFC 8785, JSON Canonicalization Scheme.
pub fn canonical_json<T: Serialize + ?Sized>(value: &T) -> Result<String, CanonicalJsonError> {
    let value = serde_json::to_value(value).map_err(CanonicalJsonError::NotJson)?;
    let mut out = String::new();
    write(&value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut String) -> Result<(), CanonicalJsonError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::String(text) => write_string(text, out),
        Value::Number(number) => write_number(number, out)?,
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            // Byte order and UTF-16 order differ only for characters outside the Basic Multilingual Plane.
            keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write(&map[key.as_str()], out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut String) {
    use std::fmt::Write as _;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if (c as u32) < 0x20 => {
                write!(out, "\\u{:04x}", c as u32).expect("writing to a string")
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write_number(number: &serde_json::Number, out: &mut String) -> Result<(), CanonicalJsonError> {
    if let Some(i) = number.as_i64() {
        if (i as f64).abs() > MAX_SAFE_INTEGER {
            return Err(CanonicalJsonError::IntegerOutOfRange(number.to_string()));
        }
        out.push_str(&i.to_string());
        return Ok(());
    }
    if number.is_u64() {
        return Err(CanonicalJsonError::IntegerOutOfRange(number.to_string()));
    }
    let f = number.as_f64().expect("a number that is not an integer is a double");
    out.push_str(&ecmascript(f));
    Ok(())
}

/// Formats a finite double as ECMAScript's `Number::toString` does.
fn ecmascript(f: f64) -> String {
    if f == 0.0 {
        return "0".into(); // Also matches -0.
    }
    // `{:e}` prints the shortest digits that parse to the same double, as ECMAScript requires.
    let text = format!("{:e}", f.abs());
    let (mantissa, exponent) = text.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a decimal exponent");
    let digits = mantissa.replace('.', "");
    let k = digits.len() as i32;
    let n = exponent + 1;
    let body = if k <= n && n <= 21 {
        format!("{digits}{}", "0".repeat((n - k) as usize))
    } else if 0 < n && n <= 21 {
        format!("{}.{}", &digits[..n as usize], &digits[n as usize..])
    } else if -6 < n && n <= 0 {
        format!("0.{}{digits}", "0".repeat(-n as usize))
    } else {
        let sign = if n - 1 < 0 { '-' } else { '+' };
        let e = (n - 1).abs();
        if k == 1 {
            format!("{digits}e{sign}{e}")
        } else {
            format!("{}.{}e{sign}{e}", &digits[..1], &digits[1..])
        }
    };
    if f < 0.0 { format!("-{body}") } else { body }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::patch::tests::any_json;

    #[test]
    fn canonical_json_sorts_keys_and_omits_white_space() {
        assert_eq!(
            canonical_json(&json!({"b": [1, 2.5, null], "a": "x\n"})).unwrap(),
            r#"{"a":"x\n","b":[1,2.5,null]}"#
        );
    }

    #[test]
    fn canonical_json_formats_numbers_as_ecmascript() {
        for (number, text) in [
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (123_456.789, "123456.789"),
            (0.000_001, "0.000001"),
            (1e-7, "1e-7"),
            (-0.0, "0"),
            (5e-324, "5e-324"),
            (4.35, "4.35"),
            (1.5e300, "1.5e+300"),
            (-2.0, "-2"),
        ] {
            assert_eq!(canonical_json(&json!(number)).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn canonical_json_agrees_with_another_implementation(
            value in any_json(),
            number in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
            text in any::<String>(),
        ) {
            let value = json!({"value": value, "number": number, text: [number]});
            prop_assert_eq!(
                canonical_json(&value).unwrap(),
                serde_json_canonicalizer::to_string(&value).unwrap()
            );
        }
    }

    #[test]
    fn canonical_json_rejects_integers_outside_safe_range() {
        assert!(canonical_json(&json!(9_007_199_254_740_991_i64)).is_ok());
        assert!(matches!(
            canonical_json(&json!(9_007_199_254_740_993_i64)),
            Err(CanonicalJsonError::IntegerOutOfRange(_))
        ));
        assert!(matches!(
            canonical_json(&json!(u64::MAX)),
            Err(CanonicalJsonError::IntegerOutOfRange(_))
        ));
    }
}
