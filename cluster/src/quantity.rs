use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A resource quantity in Kubernetes notation: `250m`, `1.5Gi`, `2e3`.
///
/// Stored exactly in units of 10⁻⁹, within ±10¹⁹; formatted in its original notation. Equality and order compare the
/// amount: `1` equals `1000m`.
///
/// ```
/// use cluster::Quantity;
///
/// // A container that was killed at its memory limit gets half as much again.
/// let limit: Quantity = "64Mi".parse()?;
/// let raised = limit.scale(3, 2);
/// assert_eq!(raised.to_string(), "96Mi");
/// assert!(raised < "0.1Gi".parse()?);
///
/// let error = Quantity::parse("64MB").unwrap_err();
/// assert!(error.to_string().starts_with("`64MB` is not a quantity: expected a number"));
/// # Ok::<(), cluster::ParseQuantityError>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "QuantityRepr", into = "String")]
pub struct Quantity {
    nanos: i128,
    text: String,
}

/// The error for a string that is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a quantity: expected a number within ±10^19 with a suffix such as `m`, `k`, `M`, `Mi` or `Gi`"
)]
pub struct ParseQuantityError(String);

/// The JSON representations of a quantity.
#[derive(Deserialize)]
#[serde(untagged)]
enum QuantityRepr {
    Text(String),
    Number(serde_json::Number),
}

const UNIT: i128 = 1_000_000_000;
const MAX: i128 = UNIT * 10_000_000_000_000_000_000;

/// Decimal suffixes, with their value in units of 10⁻⁹.
const DECIMAL: [(&str, i128); 10] = [
    ("E", UNIT * 1_000_000_000_000_000_000),
    ("P", UNIT * 1_000_000_000_000_000),
    ("T", UNIT * 1_000_000_000_000),
    ("G", UNIT * 1_000_000_000),
    ("M", UNIT * 1_000_000),
    ("k", UNIT * 1_000),
    ("", UNIT),
    ("m", UNIT / 1_000),
    ("u", UNIT / 1_000_000),
    ("n", 1),
];

/// Binary suffixes, with their value in units of 10⁻⁹.
const BINARY: [(&str, i128); 6] = [
    ("Ei", UNIT << 60),
    ("Pi", UNIT << 50),
    ("Ti", UNIT << 40),
    ("Gi", UNIT << 30),
    ("Mi", UNIT << 20),
    ("Ki", UNIT << 10),
];

impl Quantity {
    /// Parses a quantity. Digits below 10⁻⁹ are rounded away from zero, as in Kubernetes.
    ///
    /// # Errors
    /// [`ParseQuantityError`] if `text` is not a number with a known suffix, or exceeds ±10¹⁹.
    pub fn parse(text: &str) -> Result<Self, ParseQuantityError> {
        match nanos_of(text) {
            Some(nanos) => Ok(Self { nanos, text: text.into() }),
            None => Err(ParseQuantityError(text.chars().take(80).collect())),
        }
    }

    /// Creates a quantity of bytes, formatted with the largest binary suffix that keeps the number an integer.
    pub fn from_bytes(bytes: u64) -> Self {
        Self::from_nanos(i128::from(bytes) * UNIT, true)
    }

    /// Creates a quantity of thousandths, formatted with the largest decimal suffix that keeps the number an integer:
    /// `250m`, `2`.
    pub fn from_millis(millis: i64) -> Self {
        Self::from_nanos(i128::from(millis) * (UNIT / 1000), false)
    }

    /// Returns the amount in the base unit (cores, bytes).
    pub fn value(&self) -> f64 {
        self.nanos as f64 / UNIT as f64
    }

    /// Returns whether the amount is 0.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Returns the sum, with a binary suffix if `self` has one, otherwise decimal; saturates at ±10¹⁹.
    pub fn add(&self, other: &Self) -> Self {
        Self::from_nanos(self.nanos + other.nanos, self.is_binary())
    }

    /// Returns the difference, with a binary suffix if `self` has one, otherwise decimal. May be negative; saturates at
    /// ±10¹⁹.
    pub fn sub(&self, other: &Self) -> Self {
        Self::from_nanos(self.nanos - other.nanos, self.is_binary())
    }

    /// Returns `numerator`/`denominator` of the amount, saturating at ±10¹⁹.
    ///
    /// Rounds up, with a binary suffix to a whole unit (a byte), otherwise to a thousandth, so that the result is never
    /// smaller than the exact value.
    ///
    /// # Panics
    /// If `denominator` is 0.
    pub fn scale(&self, numerator: u32, denominator: u32) -> Self {
        assert!(denominator > 0, "the denominator of {numerator}/0 is 0");
        let rounding_unit = if self.is_binary() { UNIT } else { UNIT / 1000 };
        // At most 10^28 × 2^32 < 2^127.
        let units =
            ceiling(self.nanos * i128::from(numerator), i128::from(denominator) * rounding_unit);
        Self::from_nanos(units * rounding_unit, self.is_binary())
    }

    fn is_binary(&self) -> bool {
        self.text.ends_with('i')
    }

    fn from_nanos(nanos: i128, is_binary: bool) -> Self {
        let nanos = nanos.clamp(-MAX, MAX);
        // Whole binary amounts get a binary suffix or none, all others a decimal suffix; `n` always fits.
        let fits = |(_, unit): &&(&str, i128)| nanos % unit == 0;
        let (suffix, unit) = if is_binary && nanos % UNIT == 0 {
            BINARY.iter().find(fits).copied().unwrap_or(("", UNIT))
        } else {
            DECIMAL.iter().find(fits).copied().unwrap_or(("n", 1))
        };
        let text = if nanos == 0 { "0".into() } else { format!("{}{suffix}", nanos / unit) };
        Self { nanos, text }
    }
}

/// Divides, rounding towards positive infinity; `divisor` has to be positive.
fn ceiling(dividend: i128, divisor: i128) -> i128 {
    dividend.div_euclid(divisor) + i128::from(dividend.rem_euclid(divisor) != 0)
}

fn nanos_of(text: &str) -> Option<i128> {
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let (multiplier, exponent) = scale_of(suffix)?;
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    // amount = digits × multiplier × 10^power, where more than 40 digits either overflow the bound or round up.
    let power = exponent - i32::try_from(fraction.len()).ok()?;
    let mut amount = digits.parse::<i128>().ok()?.checked_mul(multiplier)?;
    if power >= 0 {
        amount = amount.checked_mul(10_i128.checked_pow(power.unsigned_abs())?)?;
    } else {
        match 10_i128.checked_pow(power.unsigned_abs()) {
            Some(divisor) => amount = ceiling(amount, divisor),
            None => amount = 1,
        }
    }
    (amount <= MAX).then_some(sign * amount)
}

/// Returns the value of a suffix in units of 10⁻⁹, and an additional power of ten.
fn scale_of(suffix: &str) -> Option<(i128, i32)> {
    if let Some((_, unit)) = DECIMAL.iter().chain(&BINARY).find(|(known, _)| *known == suffix) {
        return Some((*unit, 0));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((UNIT, exponent.parse().ok()?))
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, ParseQuantityError> {
        Self::parse(text)
    }
}

impl TryFrom<QuantityRepr> for Quantity {
    type Error = ParseQuantityError;
    fn try_from(value: QuantityRepr) -> Result<Self, ParseQuantityError> {
        match value {
            QuantityRepr::Text(text) => Self::parse(&text),
            QuantityRepr::Number(number) => Self::parse(&number.to_string()),
        }
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn q(text: &str) -> Quantity {
        Quantity::parse(text).unwrap()
    }

    #[test]
    fn parse_supports_all_suffixes_exactly() {
        for (text, nanos) in [
            ("1n", 1),
            ("1u", 1_000),
            ("250m", 250_000_000),
            ("2", 2 * UNIT),
            ("3k", 3_000 * UNIT),
            ("1M", 1_000_000 * UNIT),
            ("1G", 1_000_000_000 * UNIT),
            ("1T", 1_000_000_000_000 * UNIT),
            ("1P", 1_000_000_000_000_000 * UNIT),
            ("1E", 1_000_000_000_000_000_000 * UNIT),
            ("1Ki", 1024 * UNIT),
            ("1.5Mi", 3 * 512 * 1024 * UNIT),
            ("1Gi", (1 << 30) * UNIT),
            ("1Ti", (1 << 40) * UNIT),
            ("1Pi", (1 << 50) * UNIT),
            ("8Ei", 8 * (1_i128 << 60) * UNIT),
            ("2e3", 2_000 * UNIT),
            ("2E3", 2_000 * UNIT),
            ("1.5e-3", 1_500_000),
            ("+.5", UNIT / 2),
            ("5.", 5 * UNIT),
            ("-0.1", -UNIT / 10),
            ("0.0000000001", 1),
            ("1e-99", 1),
            ("0e99", 0),
            ("000", 0),
        ] {
            assert_eq!(q(text).nanos, nanos, "{text}");
            assert_eq!(q(text).to_string(), text);
        }
    }

    #[test]
    fn parse_rejects_invalid_quantities() {
        for text in [
            "", "-", ".", "m", "1K", "1ki", "1mi", "1 Gi", "1e", "1e+", "1.2.3", "0x10", "1Gib",
            "--1", "1e99", "NaN", "1,5", "１",
        ] {
            let error = Quantity::parse(text).unwrap_err().to_string();
            let start = format!("`{text}` is not a quantity: expected a number within ±10^19");
            assert!(error.starts_with(&start), "{error}");
        }
    }

    #[test]
    fn comparison_ignores_notation() {
        assert_eq!(q("1"), q("1000m"));
        assert_eq!(q("1Gi"), q("1073741824"));
        assert!(q("1G") < q("1Gi"));
        assert!(q("100m") < q("1"));
    }

    #[test]
    fn arithmetic_keeps_notation_of_first_operand() {
        assert_eq!(q("64Mi").add(&q("64Mi")).to_string(), "128Mi");
        assert_eq!(q("1Gi").sub(&q("512Mi")).to_string(), "512Mi");
        assert_eq!(q("1").sub(&q("250m")).to_string(), "750m");
        assert_eq!(q("100m").sub(&q("100m")).to_string(), "0");
        assert_eq!(q("64Mi").scale(3, 2).to_string(), "96Mi");
        assert_eq!(q("1Ki").scale(1, 3).to_string(), "342");
        assert_eq!(q("100m").scale(1, 3).to_string(), "34m");
        assert_eq!(q("9E").scale(u32::MAX, 1).to_string(), "10E");
        assert_eq!(q("1Ki").sub(&q("2Ki")).to_string(), "-1Ki");
    }

    #[test]
    fn from_bytes_and_from_millis_use_largest_suffix() {
        assert_eq!(Quantity::from_bytes(128 << 20).to_string(), "128Mi");
        assert_eq!(Quantity::from_bytes(1000).to_string(), "1000");
        assert_eq!(Quantity::from_bytes(u64::MAX), q("10E"), "saturates");
        assert_eq!(Quantity::from_millis(250).to_string(), "250m");
        assert_eq!(Quantity::from_millis(2000).to_string(), "2");
        assert_eq!(Quantity::from_millis(-1500).to_string(), "-1500m");
        assert!((q("1500m").value() - 1.5).abs() < 1e-12);
    }

    #[test]
    fn quantity_parses_from_json_string_and_number() {
        assert_eq!(serde_json::from_value::<Quantity>(json!(2)).unwrap(), q("2"));
        assert_eq!(serde_json::from_value::<Quantity>(json!(0.5)).unwrap(), q("500m"));
        assert_eq!(serde_json::to_value(q("1Gi")).unwrap(), json!("1Gi"));
        let error = serde_json::from_value::<Quantity>(json!("x")).unwrap_err().to_string();
        assert!(error.starts_with("`x` is not a quantity"), "{error}");
    }

    proptest! {
        #[test]
        fn formatted_quantity_parses_to_same_amount(nanos in -(1_i128 << 92)..(1_i128 << 92), is_binary: bool) {
            let written = Quantity::from_nanos(nanos, is_binary);
            prop_assert_eq!(q(&written.text).nanos, nanos);
        }

        #[test]
        fn sub_reverses_add(a in any::<i64>(), b in any::<i64>()) {
            let (a, b) = (Quantity::from_millis(a / 4), Quantity::from_millis(b / 4));
            prop_assert_eq!(a.add(&b).sub(&b), a);
        }
    }
}
