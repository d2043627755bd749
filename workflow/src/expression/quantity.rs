//! Kubernetes quantities in expressions: `quantity('128Mi')` and its methods, named as in the Kubernetes API server.

use std::any::Any;
use std::cmp::Ordering;

use cel::common::traits::Comparer;
use cel::common::types::{CelBool, CelDouble, CelInt, CelString, Type};
use cel::common::value::{StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use cluster::Quantity;

static QUANTITY_TYPE: Type = Type::new_unspecified_type("kubernetes.Quantity");

/// Maximum length of a quantity string, in bytes.
const MAX_TEXT_BYTES: usize = 64;
/// Maximum absolute value of a sum, the same as for parsed quantities. It keeps sums far within the underlying 128 bits.
const MAX_VALUE: f64 = 1e28;

/// A quantity as a CEL value.
#[derive(Clone, Debug)]
pub(super) struct QuantityValue(pub(super) Quantity);

impl Val for QuantityValue {
    fn get_type(&self) -> &Type {
        &QUANTITY_TYPE
    }

    fn cel_type() -> &'static Type {
        &QUANTITY_TYPE
    }

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| self.0 == other.0)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for QuantityValue {}

impl Comparer for QuantityValue {
    fn compare(&self, other: &dyn Val) -> Result<Ordering, ExecutionError> {
        let other = other.downcast_ref::<Self>();
        other.map(|other| self.0.cmp(&other.0)).ok_or_else(|| {
            ExecutionError::function_error(
                "compare",
                "a quantity can only be compared with a quantity",
            )
        })
    }
}

fn parsed(text: &str) -> Option<Quantity> {
    (text.len() <= MAX_TEXT_BYTES).then(|| Quantity::parse(text).ok())?
}

fn quantity(text: &CelString<'_>) -> Result<QuantityValue, ExecutionError> {
    let parsed = parsed(text).map(QuantityValue);
    parsed.ok_or_else(|| {
        ExecutionError::function_error("quantity", "not a quantity such as 250m, 2 or 128Mi")
    })
}

fn quantity_of_int(amount: &CelInt) -> Result<QuantityValue, ExecutionError> {
    quantity(&CelString::from(amount.inner().to_string()))
}

fn quantity_of_quantity(amount: &QuantityValue) -> QuantityValue {
    amount.clone()
}

fn is_quantity(text: &CelString<'_>) -> CelBool {
    parsed(text).is_some().into()
}

fn is_greater_than(one: &QuantityValue, other: &QuantityValue) -> CelBool {
    (one.0 > other.0).into()
}

fn is_less_than(one: &QuantityValue, other: &QuantityValue) -> CelBool {
    (one.0 < other.0).into()
}

fn compare_to(one: &QuantityValue, other: &QuantityValue) -> CelInt {
    (one.0.cmp(&other.0) as i64).into()
}

fn sign(amount: &QuantityValue) -> CelInt {
    let value = amount.0.value();
    (i64::from(value > 0.0) - i64::from(value < 0.0)).into()
}

/// Returns the exact value as a 64-bit integer, or `None` if it is not one.
fn exact_integer(amount: &QuantityValue) -> Option<i64> {
    let near = amount.0.value();
    if near.abs() > 9.3e18 {
        return None;
    }
    // A double is off by up to 512 near the limits of 64 bits; the remainder is the error.
    let near = near as i64;
    let remainder = amount.0.sub(&Quantity::parse(&near.to_string()).ok()?).value();
    let exact = near.checked_add(remainder as i64)?;
    (Quantity::parse(&exact.to_string()).ok()? == amount.0).then_some(exact)
}

fn is_integer(amount: &QuantityValue) -> CelBool {
    exact_integer(amount).is_some().into()
}

fn as_integer(amount: &QuantityValue) -> Result<CelInt, ExecutionError> {
    let integer = exact_integer(amount).map(CelInt::from);
    integer.ok_or_else(|| ExecutionError::function_error("asInteger", "not a 64-bit integer"))
}

fn as_approximate_float(amount: &QuantityValue) -> CelDouble {
    amount.0.value().into()
}

fn in_range(sum: Quantity) -> Result<QuantityValue, ExecutionError> {
    if sum.value().abs() <= MAX_VALUE {
        return Ok(QuantityValue(sum));
    }
    Err(ExecutionError::function_error("quantity", "the absolute value exceeds 10^28"))
}

fn add(one: &QuantityValue, other: &QuantityValue) -> Result<QuantityValue, ExecutionError> {
    in_range(one.0.add(&other.0))
}

fn sub(one: &QuantityValue, other: &QuantityValue) -> Result<QuantityValue, ExecutionError> {
    in_range(one.0.sub(&other.0))
}

fn add_int(one: &QuantityValue, other: &CelInt) -> Result<QuantityValue, ExecutionError> {
    add(one, &quantity_of_int(other)?)
}

fn sub_int(one: &QuantityValue, other: &CelInt) -> Result<QuantityValue, ExecutionError> {
    sub(one, &quantity_of_int(other)?)
}

/// Declares `quantity`, `isQuantity` and the methods of quantities. `quantity` also accepts an int, because manifests have both
/// `cpu: 2` and `cpu: "2"`.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    cel::add_overload!(env, fn quantity: (CelString) -> Result<QuantityValue>)?;
    cel::add_overload!(env, fn quantity_of_int: (CelInt) -> Result<QuantityValue>, name = "quantity")?;
    cel::add_overload!(env, fn quantity_of_quantity: (QuantityValue) -> QuantityValue, name = "quantity")?;
    cel::add_overload!(env, fn is_quantity: (CelString) -> CelBool)?;
    cel::add_member_overload!(env, fn is_greater_than: (QuantityValue, QuantityValue) -> CelBool)?;
    cel::add_member_overload!(env, fn is_less_than: (QuantityValue, QuantityValue) -> CelBool)?;
    cel::add_member_overload!(env, fn compare_to: (QuantityValue, QuantityValue) -> CelInt)?;
    cel::add_member_overload!(env, fn sign: (QuantityValue) -> CelInt)?;
    cel::add_member_overload!(env, fn is_integer: (QuantityValue) -> CelBool)?;
    cel::add_member_overload!(env, fn as_integer: (QuantityValue) -> Result<CelInt>)?;
    cel::add_member_overload!(env, fn as_approximate_float: (QuantityValue) -> CelDouble)?;
    cel::add_member_overload!(env, fn add: (QuantityValue, QuantityValue) -> Result<QuantityValue>)?;
    cel::add_member_overload!(env, fn sub: (QuantityValue, QuantityValue) -> Result<QuantityValue>)?;
    cel::add_member_overload!(env, fn add_int: (QuantityValue, CelInt) -> Result<QuantityValue>, name = "add")?;
    cel::add_member_overload!(env, fn sub_int: (QuantityValue, CelInt) -> Result<QuantityValue>, name = "sub")
}
