//! Timestamps and durations in UTC, on `jiff`.
//!
//! There is no clock and no time zone: a timestamp is a string variable, and its fields are read in UTC. The result does
//! not depend on where and when an expression is evaluated. Ranges are those of CEL: years 1 to 9999, and durations of
//! ±10,000 years.

use std::any::Any;
use std::cmp::Ordering;

use cel::common::traits::{Adder, Comparer, Subtractor, Zeroer};
use cel::common::types::{CelInt, CelString, DURATION_TYPE, TIMESTAMP_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use jiff::SignedDuration;
use jiff::civil::DateTime;

static TIMESTAMP: Type = TIMESTAMP_TYPE;
static DURATION: Type = DURATION_TYPE;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
/// Maximum CEL duration in seconds: 10,000 years of 365.25 days.
const MAX_DURATION_SECONDS: i64 = 315_576_000_000;

/// A `google.protobuf.Timestamp` as UTC date and time.
///
/// `jiff::Timestamp` cannot be used because its range ends a day before the end of the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimestampValue(DateTime);

/// A `google.protobuf.Duration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DurationValue(SignedDuration);

fn failed(function: &str, message: &str) -> ExecutionError {
    ExecutionError::function_error(function, message)
}

impl TimestampValue {
    fn checked(timestamp: DateTime) -> Option<Self> {
        (timestamp.year() >= 1).then_some(Self(timestamp))
    }

    /// Parses an RFC 3339 timestamp. Leap seconds are rejected because they are not represented.
    fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_once(['T', 't'])?;
        let (year, rest_of_date) = date.split_at_checked(4)?;
        let (month, day) = rest_of_date.strip_prefix('-')?.split_once('-')?;
        let zone = rest.find(['Z', 'z', '+', '-'])?;
        let (clock, zone) = rest.split_at(zone);
        let (clock, fraction) = clock
            .split_once('.')
            .map_or((clock, None), |(clock, fraction)| (clock, Some(fraction)));
        let mut parts = clock.split(':');
        let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let nanosecond = match fraction {
            None => 0,
            Some(digits) if (1..=9).contains(&digits.len()) => {
                number(digits, digits.len())? * 10_i64.pow(9 - digits.len() as u32)
            }
            Some(_) => return None,
        };
        let local = DateTime::new(
            number(year, 4)? as i16,
            number(month, 2)? as i8,
            number(day, 2)? as i8,
            number(hour, 2)? as i8,
            number(minute, 2)? as i8,
            number(second, 2)? as i8,
            nanosecond as i32,
        )
        .ok()?;
        let east = match zone {
            "Z" | "z" => 0,
            _ => {
                let (hours, minutes) = zone[1..].split_once(':')?;
                let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                (hours * 60 + minutes) * if zone.starts_with('-') { -60 } else { 60 }
            }
        };
        Self::checked(local.checked_sub(SignedDuration::from_secs(east)).ok()?)
    }

    fn since_epoch(self) -> SignedDuration {
        self.0.duration_since(EPOCH)
    }
}

/// Parses exactly `width` decimal digits.
fn number(digits: &str, width: usize) -> Option<i64> {
    (digits.len() == width && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// Formats a fraction of a second with its decimal point and without trailing zeros; empty if zero.
fn fraction(nanoseconds: u32) -> String {
    if nanoseconds == 0 {
        String::new()
    } else {
        format!(".{nanoseconds:09}").trim_end_matches('0').to_owned()
    }
}

impl std::fmt::Display for TimestampValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (date, time) = (self.0.date(), self.0.time());
        write!(f, "{:04}-{:02}-{:02}T", date.year(), date.month(), date.day())?;
        write!(f, "{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())?;
        write!(f, "{}Z", fraction(time.subsec_nanosecond().unsigned_abs()))
    }
}

impl DurationValue {
    fn checked(duration: SignedDuration) -> Option<Self> {
        (duration.as_secs().unsigned_abs() <= MAX_DURATION_SECONDS.unsigned_abs())
            .then_some(Self(duration))
    }

    /// Parses a duration such as `1h30m`, `1.5s` or `-250ms` without rounding.
    fn parse(text: &str) -> Option<Self> {
        let (sign, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Some(Self(SignedDuration::ZERO));
        }
        if rest.is_empty() {
            return None;
        }
        let mut total = 0_i128;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (amount, tail) = rest.split_at(end);
            let unit_end =
                tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            let unit: i128 = match unit {
                "h" => 3_600_000_000_000,
                "m" => 60_000_000_000,
                "s" => 1_000_000_000,
                "ms" => 1_000_000,
                "us" | "µs" | "μs" => 1_000,
                "ns" => 1,
                _ => return None,
            };
            let (whole, part) = amount.split_once('.').unwrap_or((amount, ""));
            // At most 18 digits before and after the point keep every product far within 128 bits.
            if whole.len() + part.len() == 0
                || whole.len() > 18
                || part.len() > 18
                || part.contains('.')
            {
                return None;
            }
            let digits =
                |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i128>().ok() };
            let scale = 10_i128.pow(part.len() as u32);
            total = total.checked_add(digits(whole)? * unit + digits(part)? * unit / scale)?;
            rest = tail;
        }
        let total = total * sign;
        let seconds = i64::try_from(total / 1_000_000_000).ok()?;
        Self::checked(SignedDuration::new(seconds, (total % 1_000_000_000) as i32))
    }
}

impl std::fmt::Display for DurationValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0.is_negative() { "-" } else { "" };
        let nanoseconds = self.0.subsec_nanos().unsigned_abs();
        write!(f, "{sign}{}{}s", self.0.as_secs().unsigned_abs(), fraction(nanoseconds))
    }
}

/// Implements the interpreter's value traits that timestamps and durations have in common.
macro_rules! scalar {
    ($name:ident, $cel_type:ident) => {
        impl Val for $name {
            fn get_type(&self) -> &Type {
                &$cel_type
            }

            fn cel_type() -> &'static Type {
                &$cel_type
            }

            fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
            where
                Self: 'v,
            {
                Some(self)
            }

            fn as_subtractor<'b, 'v>(&'b self) -> Option<&'b (dyn Subtractor + 'v)>
            where
                Self: 'v,
            {
                Some(self)
            }

            fn as_comparer(&self) -> Option<&dyn Comparer> {
                Some(self)
            }

            fn as_zeroer(&self) -> Option<&dyn Zeroer> {
                Some(self)
            }

            fn equals(&self, other: &dyn Val) -> bool {
                other.downcast_ref::<Self>().is_some_and(|other| self == other)
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
            where
                Self: 'v,
            {
                Box::new(*self)
            }

            fn as_any(&self) -> Option<&dyn Any> {
                Some(self)
            }
        }

        impl StaticVal for $name {}

        impl Comparer for $name {
            fn compare(&self, other: &dyn Val) -> Result<Ordering, ExecutionError> {
                let other = other.downcast_ref::<Self>();
                other.map(|other| self.cmp(other)).ok_or_else(|| {
                    failed("compare", "only values of the same type can be compared")
                })
            }
        }
    };
}

scalar!(TimestampValue, TIMESTAMP);
scalar!(DurationValue, DURATION);

impl Zeroer for TimestampValue {
    fn is_zero_value(&self) -> bool {
        self.0 == EPOCH
    }
}

impl Zeroer for DurationValue {
    fn is_zero_value(&self) -> bool {
        self.0.is_zero()
    }
}

impl Adder for TimestampValue {
    fn add<'b, 'v>(&'b self, other: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let duration = other
            .downcast_ref::<DurationValue>()
            .ok_or_else(|| failed("+", "only a duration can be added to a timestamp"))?;
        add_to_timestamp(*self, duration.0)
    }
}

impl Subtractor for TimestampValue {
    fn sub<'b, 'v>(&'b self, other: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        if let Some(earlier) = other.downcast_ref::<Self>() {
            return Ok(CowVal::owned(DurationValue(self.0.duration_since(earlier.0))));
        }
        let duration = other.downcast_ref::<DurationValue>().ok_or_else(|| {
            failed("-", "only a duration or a timestamp can be subtracted from a timestamp")
        })?;
        add_to_timestamp(*self, -duration.0)
    }
}

impl Adder for DurationValue {
    fn add<'b, 'v>(&'b self, other: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        if let Some(timestamp) = other.downcast_ref::<TimestampValue>() {
            return add_to_timestamp(*timestamp, self.0);
        }
        let other = other.downcast_ref::<Self>().ok_or_else(|| {
            failed("+", "only a duration or a timestamp can be added to a duration")
        })?;
        duration(self.0.checked_add(other.0))
    }
}

impl Subtractor for DurationValue {
    fn sub<'b, 'v>(&'b self, other: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let other = other
            .downcast_ref::<Self>()
            .ok_or_else(|| failed("-", "only a duration can be subtracted from a duration"))?;
        duration(self.0.checked_sub(other.0))
    }
}

fn add_to_timestamp<'b, 'v>(
    timestamp: TimestampValue,
    by: SignedDuration,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let shifted = timestamp.0.checked_add(by).ok().and_then(TimestampValue::checked);
    shifted.map(CowVal::owned).ok_or_else(|| failed("timestamp", "outside the years 1 to 9999"))
}

fn duration<'b, 'v>(duration: Option<SignedDuration>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    duration
        .and_then(DurationValue::checked)
        .map(CowVal::owned)
        .ok_or_else(|| failed("duration", "longer than 10,000 years"))
}

fn timestamp_of_string(text: &CelString<'_>) -> Result<TimestampValue, ExecutionError> {
    TimestampValue::parse(text)
        .ok_or_else(|| failed("timestamp", "not an RFC 3339 timestamp of the years 1 to 9999"))
}

fn timestamp_of_int(seconds: &CelInt) -> Result<TimestampValue, ExecutionError> {
    let timestamp = EPOCH
        .checked_add(SignedDuration::from_secs(*seconds.inner()))
        .ok()
        .and_then(TimestampValue::checked);
    timestamp.ok_or_else(|| failed("timestamp", "outside the years 1 to 9999"))
}

fn timestamp_of_timestamp(timestamp: &TimestampValue) -> TimestampValue {
    *timestamp
}

fn duration_of_string(text: &CelString<'_>) -> Result<DurationValue, ExecutionError> {
    DurationValue::parse(text)
        .ok_or_else(|| failed("duration", "not a duration such as 1h30m, 15s or 250ms"))
}

fn duration_of_duration(duration: &DurationValue) -> DurationValue {
    *duration
}

fn string_of_timestamp(timestamp: &TimestampValue) -> CelString<'static> {
    timestamp.to_string().into()
}

fn string_of_duration(duration: &DurationValue) -> CelString<'static> {
    duration.to_string().into()
}

fn int_of_timestamp(timestamp: &TimestampValue) -> CelInt {
    // Rounds down, also before 1970; 128 bits are enough for the nanoseconds of 10,000 years.
    (timestamp.since_epoch().as_nanos().div_euclid(1_000_000_000) as i64).into()
}

macro_rules! fields {
    ($($name:ident: $owner:ident => $read:expr;)*) => {$(
        fn $name(value: &$owner) -> CelInt {
            let read: fn(&$owner) -> i64 = $read;
            read(value).into()
        }
    )*};
}

fields! {
    full_year: TimestampValue => |m| m.0.year().into();
    month: TimestampValue => |m| i64::from(m.0.month()) - 1;
    day_of_year: TimestampValue => |m| i64::from(m.0.date().day_of_year()) - 1;
    day_of_month: TimestampValue => |m| i64::from(m.0.day()) - 1;
    date: TimestampValue => |m| m.0.day().into();
    day_of_week: TimestampValue => |m| m.0.date().weekday().to_sunday_zero_offset().into();
    hours: TimestampValue => |m| m.0.hour().into();
    minutes: TimestampValue => |m| m.0.minute().into();
    seconds: TimestampValue => |m| m.0.second().into();
    milliseconds: TimestampValue => |m| i64::from(m.0.subsec_nanosecond()) / 1_000_000;
    duration_hours: DurationValue => |s| s.0.as_hours();
    duration_minutes: DurationValue => |s| s.0.as_mins();
    duration_seconds: DurationValue => |s| s.0.as_secs();
    // 10,000 years in milliseconds fit into 64 bits.
    duration_milliseconds: DurationValue => |s| s.0.as_millis() as i64;
}

/// Declares `timestamp`, `duration` and their methods.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_type(TIMESTAMP_TYPE)?;
    env.add_type(DURATION_TYPE)?;
    cel::add_overload!(env, fn timestamp_of_string: (CelString) -> Result<TimestampValue>, name = "timestamp")?;
    cel::add_overload!(env, fn timestamp_of_int: (CelInt) -> Result<TimestampValue>, name = "timestamp")?;
    cel::add_overload!(env, fn timestamp_of_timestamp: (TimestampValue) -> TimestampValue, name = "timestamp")?;
    cel::add_overload!(env, fn duration_of_string: (CelString) -> Result<DurationValue>, name = "duration")?;
    cel::add_overload!(env, fn duration_of_duration: (DurationValue) -> DurationValue, name = "duration")?;
    cel::add_overload!(env, fn string_of_timestamp: (TimestampValue) -> CelString, name = "string")?;
    cel::add_overload!(env, fn string_of_duration: (DurationValue) -> CelString, name = "string")?;
    cel::add_overload!(env, fn int_of_timestamp: (TimestampValue) -> CelInt, name = "int")?;
    cel::add_member_overload!(env, fn full_year: (TimestampValue) -> CelInt, name = "getFullYear")?;
    cel::add_member_overload!(env, fn month: (TimestampValue) -> CelInt, name = "getMonth")?;
    cel::add_member_overload!(env, fn day_of_year: (TimestampValue) -> CelInt, name = "getDayOfYear")?;
    cel::add_member_overload!(env, fn day_of_month: (TimestampValue) -> CelInt, name = "getDayOfMonth")?;
    cel::add_member_overload!(env, fn date: (TimestampValue) -> CelInt, name = "getDate")?;
    cel::add_member_overload!(env, fn day_of_week: (TimestampValue) -> CelInt, name = "getDayOfWeek")?;
    cel::add_member_overload!(env, fn hours: (TimestampValue) -> CelInt, name = "getHours")?;
    cel::add_member_overload!(env, fn minutes: (TimestampValue) -> CelInt, name = "getMinutes")?;
    cel::add_member_overload!(env, fn seconds: (TimestampValue) -> CelInt, name = "getSeconds")?;
    cel::add_member_overload!(env, fn milliseconds: (TimestampValue) -> CelInt, name = "getMilliseconds")?;
    cel::add_member_overload!(env, fn duration_hours: (DurationValue) -> CelInt, name = "getHours")?;
    cel::add_member_overload!(env, fn duration_minutes: (DurationValue) -> CelInt, name = "getMinutes")?;
    cel::add_member_overload!(env, fn duration_seconds: (DurationValue) -> CelInt, name = "getSeconds")?;
    cel::add_member_overload!(env, fn duration_milliseconds: (DurationValue) -> CelInt, name = "getMilliseconds")
}
