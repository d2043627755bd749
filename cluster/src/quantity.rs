use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount of a resource, as Kubernetes writes it: `250m`, `1.5Gi`, `2e3`.
///
/// Held exactly, in units of 10⁻⁹; printed as it was written. Equality and order are those of the amount: `1` equals
/// `1000m`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity {
    nanos: i128,
    text: String,
}

/// A text that is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a quantity: expected a number with a suffix such as `m`, `k`, `M`, `Mi` or `Gi`")]
pub struct BadQuantity(String);

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// [`BadQuantity`] if `text` is no number with a known suffix, or beyond ±10²⁸.
    pub fn parse(text: &str) -> Result<Self, BadQuantity> {
        Err(BadQuantity(text.into()))
    }

    /// So many bytes, written with the largest binary suffix that keeps it whole.
    pub fn from_bytes(bytes: u64) -> Self {
        unimplemented!("{bytes}")
    }

    /// So many thousandths, written in them (`250m`) or, where whole, without a suffix (`2`).
    pub fn from_millis(millis: i64) -> Self {
        unimplemented!("{millis}")
    }

    /// The amount as a double, in the unit without a suffix: cores, bytes.
    pub fn value(&self) -> f64 {
        self.nanos as f64 / 1e9
    }

    /// The sum, written like `self`.
    pub fn add(&self, other: &Self) -> Self {
        unimplemented!("{other}")
    }

    /// The difference, written like `self`; may be negative.
    pub fn sub(&self, other: &Self) -> Self {
        unimplemented!("{other}")
    }

    /// `numerator`/`denominator` of the amount, rounded up to the next 10⁻⁹, written like `self`.
    ///
    /// # Panics
    /// If `denominator` is 0.
    pub fn scale(&self, numerator: u32, denominator: u32) -> Self {
        unimplemented!("{numerator} {denominator}")
    }
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
    type Err = BadQuantity;
    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Quantity {
    type Error = BadQuantity;
    fn try_from(text: String) -> Result<Self, BadQuantity> {
        Self::parse(&text)
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.text
    }
}
