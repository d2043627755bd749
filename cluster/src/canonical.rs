use serde::Serialize;
use serde_json::Value;

/// A value that has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum NotCanonical {
    /// The type does not serialise to JSON.
    #[error("cannot be written as JSON")]
    NotJson(#[source] serde_json::Error),
    /// An integer beyond ±(2^53 − 1), which other readers would round. Write it as a string.
    #[error("the integer {0} is beyond ±(2^53 − 1): write it as a string")]
    BigInteger(String),
}

const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// Writes `value` as canonical JSON: keys in UTF-16 order, no white space, numbers as ECMAScript prints them.
///
/// Two equal values give equal bytes, whatever produced them. `serde_json` already refuses non-finite numbers (it
/// writes them as null, so the words of Chiron never hold one).
///
/// # Errors
/// [`NotCanonical`] where the value is not JSON or holds an integer that loses digits as a double.
///
/// # Source
/// RFC 8785, JSON Canonicalization Scheme.
pub fn canonical_json<T: Serialize + ?Sized>(value: &T) -> Result<String, NotCanonical> {
    let value = serde_json::to_value(value).map_err(NotCanonical::NotJson)?;
    let mut out = String::new();
    write(&value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut String) -> Result<(), NotCanonical> {
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
            // ASCII keys, nearly all of them, sort the same by bytes; UTF-16 order differs only beyond the BMP.
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

fn write_number(number: &serde_json::Number, out: &mut String) -> Result<(), NotCanonical> {
    if let Some(i) = number.as_i64() {
        if (i as f64).abs() > MAX_SAFE {
            return Err(NotCanonical::BigInteger(number.to_string()));
        }
        out.push_str(&i.to_string());
        return Ok(());
    }
    if number.is_u64() {
        return Err(NotCanonical::BigInteger(number.to_string()));
    }
    let f = number.as_f64().expect("a number that is no integer is a double");
    out.push_str(&ecmascript(f));
    Ok(())
}

/// Prints a finite double as ECMAScript's `Number::toString` does.
fn ecmascript(f: f64) -> String {
    if f == 0.0 {
        return "0".into(); // Also for -0.
    }
    // Rust's `{:e}` gives the shortest digits that read back as the same double, as ECMAScript asks.
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
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_and_space_is_gone() {
        assert_eq!(
            canonical_json(&json!({"b": [1, 2.5, null], "a": "x\n"})).unwrap(),
            r#"{"a":"x\n","b":[1,2.5,null]}"#
        );
    }

    #[test]
    fn numbers_are_written_as_ecmascript_writes_them() {
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

    #[test]
    fn integers_that_other_readers_would_round_are_refused() {
        assert!(canonical_json(&json!(9_007_199_254_740_991_i64)).is_ok());
        assert!(matches!(
            canonical_json(&json!(9_007_199_254_740_993_i64)),
            Err(NotCanonical::BigInteger(_))
        ));
        assert!(matches!(canonical_json(&json!(u64::MAX)), Err(NotCanonical::BigInteger(_))));
    }
}
