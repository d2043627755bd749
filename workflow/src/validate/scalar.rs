//! What a YAML scalar that is written without quotes means.
//!
//! The core schema of YAML 1.2, strictly: where readers of YAML 1.1 and 1.2 would disagree (`no`, `on`, `0o7`, `012`,
//! `1_000`), or the value is no number that JSON has (`.inf`, `.nan`), nothing is guessed.

use serde_json::{Number, Value};

use super::code::Code;

/// Largest whole number that a double holds exactly, with all below it.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// A scalar that is refused: code, message, hint.
pub(super) type Refused = (Code, String, String);

/// Reads a scalar without quotes.
///
/// # Errors
/// If it means different things to different readers, or is a number that JSON cannot hold.
pub(super) fn resolve(text: &str) -> Result<Value, Refused> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    // The longest double that anyone writes out has fewer characters; the rest is text.
    if text.len() > 400 {
        return Ok(text.into());
    }
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "yes" | "on" => {
            return Err(ambiguous(text, "is true to some YAML readers and text to others", "true"));
        }
        "no" | "off" => {
            return Err(ambiguous(
                text,
                "is false to some YAML readers and text to others",
                "false",
            ));
        }
        ".inf" | "+.inf" | "-.inf" | ".nan" => {
            let message = format!("`{text}` is no finite number");
            return Err((
                Code::Ambiguous,
                message,
                format!("write a number, or \"{text}\" if text is meant"),
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
        let hint = format!("write the number in decimal digits, or \"{text}\" if text is meant");
        return Err((
            Code::Ambiguous,
            format!(
                "`{text}` is a number to some YAML readers and text, or another number, to others"
            ),
            hint,
        ));
    }
    if all(digits, |b| b.is_ascii_digit()) {
        return whole(&lower, digits);
    }
    if is_decimal(digits) { decimal(text, &lower) } else { Ok(text.into()) }
}

fn ambiguous(text: &str, what: &str, plain: &str) -> Refused {
    (
        Code::Ambiguous,
        format!("`{text}` {what}"),
        format!("write {plain}, or \"{text}\" if text is meant"),
    )
}

fn whole(text: &str, digits: &str) -> Result<Value, Refused> {
    match digits.parse::<u64>().ok().filter(|number| *number <= MAX_SAFE) {
        Some(number) if text.starts_with('-') => Ok((-(number as i64)).into()),
        Some(number) => Ok(number.into()),
        None => Err(too_large(text)),
    }
}

/// The finding about a whole number beyond ±(2^53 − 1).
pub(super) fn too_large(text: &str) -> Refused {
    let message =
        format!("`{}` is beyond ±(2^53 − 1), and loses digits", super::finding::shown(text, 40));
    (Code::NumberTooLarge, message, "write it as a text, in quotes".into())
}

/// Whether `number` is a whole number that a double does not hold exactly.
pub(super) fn is_too_large(number: &Number) -> bool {
    number.as_u64().is_some_and(|n| n > MAX_SAFE)
        || number.as_i64().is_some_and(|n| n.unsigned_abs() > MAX_SAFE)
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

fn decimal(text: &str, lower: &str) -> Result<Value, Refused> {
    let number: f64 = lower.parse().unwrap_or(f64::INFINITY);
    if !number.is_finite() {
        let hint = format!("write a smaller number, or \"{text}\" if text is meant");
        return Err((Code::Ambiguous, format!("`{text}` is no finite number"), hint));
    }
    // `1e3` is the whole number 1000, whatever type the field has.
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE as f64 && !lower.contains('.') {
        return Ok((number as i64).into());
    }
    Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn c3_plain_scalars_are_typed_or_refused_and_never_silently_bool() {
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
