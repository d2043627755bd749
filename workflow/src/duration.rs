//! Durations in the format of Kubernetes: `90s`, `5m`, `1h30m`, `250ms`.

use std::borrow::Cow;
use std::fmt;
use std::time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A duration in whole milliseconds, formatted as in Kubernetes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(time::Duration);

/// Error for a string that is not a valid duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration such as `90s`, `5m` or `1h30m`")]
pub struct ParseDurationError(String);

/// Maximum duration: 30 days. Nothing in a remediation takes longer.
const MAX_MILLIS: u64 = 30 * 24 * 3600 * 1000;

impl Duration {
    /// The zero duration.
    pub const ZERO: Self = Self(time::Duration::ZERO);

    /// Creates a duration from seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(time::Duration::from_secs(seconds))
    }

    /// Creates a duration from milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(time::Duration::from_millis(milliseconds))
    }

    /// Converts to the standard library's duration.
    pub const fn to_std(self) -> time::Duration {
        self.0
    }

    /// Returns the duration in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// Converts to jiff's signed duration, which can be added to a timestamp.
    pub fn signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::from_millis(self.0.as_millis() as i64)
    }

    /// Parses a duration such as `1h30m`.
    ///
    /// # Errors
    /// [`ParseDurationError`] unless it is a duration without sign, with units h, m, s, ms in descending order, of at most 30 days.
    pub fn parse(text: &str) -> Result<Self, ParseDurationError> {
        let error = || ParseDurationError(text.chars().take(40).collect());
        if text == "0" {
            return Ok(Self::ZERO);
        }
        let (mut rest, mut total, mut last) = (text, 0u64, u64::MAX);
        if rest.is_empty() || rest.len() > 40 {
            return Err(error());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| error())?;
            rest = &rest[digits..];
            let (unit, length) = if rest.starts_with("ms") {
                (1, 2)
            } else if rest.starts_with('s') {
                (1_000, 1)
            } else if rest.starts_with('m') {
                (60_000, 1)
            } else if rest.starts_with('h') {
                (3_600_000, 1)
            } else {
                return Err(error());
            };
            if unit >= last {
                return Err(error());
            }
            last = unit;
            rest = &rest[length..];
            total = number
                .checked_mul(unit)
                .and_then(|part| total.checked_add(part))
                .filter(|t| *t <= MAX_MILLIS)
                .ok_or_else(error)?;
        }
        Ok(Self(time::Duration::from_millis(total)))
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(0|([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$",
            "minLength": 1,
            "maxLength": 40,
            "description": "A duration in the format of Kubernetes: `90s`, `5m`, `1h30m`; at most 30 days."
        })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
            if rest >= unit {
                write!(f, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Duration {
    type Error = ParseDurationError;
    fn try_from(text: String) -> Result<Self, ParseDurationError> {
        Self::parse(&text)
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_and_display_as_in_kubernetes() {
        for text in ["90s", "5m", "1h30m", "250ms", "0s"] {
            let duration = Duration::parse(text).unwrap();
            assert_eq!(Duration::parse(&duration.to_string()).unwrap(), duration);
        }
        assert_eq!(Duration::parse("90s").unwrap().to_string(), "1m30s");
        for text in ["", "5", "-1s", "1s1m", "1d", "999999999h", "1.5s", "s"] {
            assert_eq!(Duration::parse(text), Err(ParseDurationError(text.into())));
        }
    }
}
