//! Resolves plain (unquoted) YAML scalars.
//!
//! Implements the core schema of YAML 1.2 strictly: a value that YAML 1.1 and 1.2 interpret differently (`no`, `on`, `0o7`,
//! `012`, `1_000`), or that JSON cannot represent (`.inf`, `.nan`), is an error.

use serde_json::{Number, Value};

use super::code::Code;

/// Largest integer up to which a double represents all integers exactly.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Error for a scalar: code, message, hint.
pub(super) type ScalarError = (Code, String, String);

/// Resolves a plain scalar to a JSON value.
///
/// # Errors
/// If YAML readers interpret it differently, or if it is a number that JSON cannot represent.
pub(super) fn resolve(text: &str) -> Result<Value, ScalarError> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    // Numbers have fewer characters in practice; anything longer is a string.
    if text.len() > 400 {
        return Ok(text.into());
    }
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "yes" | "on" => {
            return Err(ambiguous(
                text,
                "is a boolean in YAML 1.1 and a string in YAML 1.2",
                "true",
            ));
        }
        "no" | "off" => {
            return Err(ambiguous(
                text,
                "is a boolean in YAML 1.1 and a string in YAML 1.2",
                "false",
            ));
        }
        ".inf" | "+.inf" | "-.inf" | ".nan" => {
            let message = format!("`{text}` is not a finite number");
            return Err((
                Code::Ambiguous,
                message,
                format!("use a finite number, or \"{text}\" for a string"),
            ));
        }
        _ => {}
    }
    let digits = lower.trim_start_matches(['+', '-']);
    if lower.len() - digits.len() > 1
        || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    {
        return Ok(text.into());
    }
    let all =
        |digits: &str, allowed: fn(u8) -> bool| !digits.is_empty() && digits.bytes().all(allowed);
    let is_other_base = [("0o", 8), ("0x", 16), ("0b", 2)].into_iter().any(|(prefix, base)| {
        digits.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|c| c.is_digit(base) || c == '_')
        })
    });
    let is_octal = digits.len() > 1
        && digits.starts_with('0')
        && all(digits, |b| b.is_ascii_digit() || b == b'_');
    let has_underscores = digits.contains('_')
        && !digits.ends_with('_')
        && all(digits, |b| b.is_ascii_digit() || b"_.".contains(&b));
    if is_other_base || is_octal || has_underscores {
        let hint = format!("use decimal digits, or \"{text}\" for a string");
        return Err((
            Code::Ambiguous,
            format!("YAML readers disagree whether `{text}` is a number, and which one"),
            hint,
        ));
    }
    if all(digits, |b| b.is_ascii_digit()) {
        return integer(&lower, digits);
    }
    if is_decimal(digits) { decimal(text, &lower) } else { Ok(text.into()) }
}

fn ambiguous(text: &str, what: &str, plain: &str) -> ScalarError {
    (
        Code::Ambiguous,
        format!("`{text}` {what}"),
        format!("use {plain}, or \"{text}\" for a string"),
    )
}

fn integer(text: &str, digits: &str) -> Result<Value, ScalarError> {
    match digits.parse::<u64>().ok().filter(|number| *number <= MAX_SAFE_INTEGER) {
        Some(number) if text.starts_with('-') => Ok((-(number as i64)).into()),
        Some(number) => Ok(number.into()),
        None => Err(too_large(text)),
    }
}

/// Returns the error for an integer beyond ±(2^53 − 1).
pub(super) fn too_large(text: &str) -> ScalarError {
    let message = format!(
        "`{}` is beyond ±(2^53 − 1) and would lose precision",
        super::finding::truncated(text, 40)
    );
    (Code::NumberTooLarge, message, "quote it, to make it a string".into())
}

/// Whether `number` is an integer that a double cannot represent exactly.
pub(super) fn is_too_large(number: &Number) -> bool {
    number.as_u64().is_some_and(|n| n > MAX_SAFE_INTEGER)
        || number.as_i64().is_some_and(|n| n.unsigned_abs() > MAX_SAFE_INTEGER)
}

/// `1.5`, `.5`, `1.`, `1e3`, `1.5e-3`.
fn is_decimal(digits: &str) -> bool {
    let (mantissa, exponent) = digits
        .split_once('e')
        .map_or((digits, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let is_exponent = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && is_number(e)
    });
    is_number(before) && is_number(after) && !(before.is_empty() && after.is_empty()) && is_exponent
}

fn decimal(text: &str, lower: &str) -> Result<Value, ScalarError> {
    let number: f64 = lower.parse().unwrap_or(f64::INFINITY);
    if !number.is_finite() {
        let hint = format!("use a smaller number, or \"{text}\" for a string");
        return Err((Code::Ambiguous, format!("`{text}` is not a finite number"), hint));
    }
    // `1e3` is the integer 1000.
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER as f64 && !lower.contains('.') {
        return Ok((number as i64).into());
    }
    Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Bad-input row C3: plain scalars are typed or rejected, and never become booleans silently.
    #[test]
    fn plain_scalars_are_resolved_or_rejected() {
        let reads = [
            ("true", json!(true)),
            ("null", json!(null)),
            ("", json!(null)),
            ("7", json!(7)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("0", json!(0)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000)),
            ("1.5E-1", json!(0.15)),
            ("y", json!("y")),
            ("nginx:1.25", json!("nginx:1.25")),
            ("1.2.3", json!("1.2.3")),
            ("128Mi", json!("128Mi")),
            ("90s", json!("90s")),
            ("2026-01-01T00:00:00Z", json!("2026-01-01T00:00:00Z")),
            ("0x", json!("0x")),
            ("--1", json!("--1")),
            (".", json!(".")),
        ];
        for (text, value) in reads {
            assert_eq!(resolve(text), Ok(value), "{text}");
        }
        for text in [
            "no", "On", "YES", "off", "1_000", "0o7", "0x1F", "0b11", "012", ".inf", "-.INF",
            ".nan", "1e999",
        ] {
            assert_eq!(resolve(text).unwrap_err().0, Code::Ambiguous, "{text}");
        }
        assert_eq!(resolve("9007199254740993").unwrap_err().0, Code::NumberTooLarge);
        assert_eq!(resolve("9007199254740991"), Ok(json!(9_007_199_254_740_991u64)));
    }
}
