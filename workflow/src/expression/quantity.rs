//! Kubernetes quantities in expressions: `quantity('128Mi')` and what it answers, named as in the API server's CEL.

use std::any::Any;
use std::cmp::Ordering;

use cel::common::traits::Comparer;
use cel::common::types::{CelBool, CelDouble, CelInt, CelString, Type};
use cel::common::value::{StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use cluster::Quantity;

static AMOUNT: Type = Type::new_unspecified_type("kubernetes.Quantity");

/// Longest text that is read as a quantity, in bytes.
const TEXT_BYTES: usize = 64;
/// Largest amount that a sum may reach: what a text may say. It keeps sums far inside the 128 bits behind them.
const LARGEST: f64 = 1e28;

/// A quantity as a value of the language.
#[derive(Clone, Debug)]
pub(super) struct Amount(pub(super) Quantity);

impl Val for Amount {
    fn get_type(&self) -> &Type {
        &AMOUNT
    }

    fn cel_type() -> &'static Type {
        &AMOUNT
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

impl StaticVal for Amount {}

impl Comparer for Amount {
    fn compare(&self, other: &dyn Val) -> Result<Ordering, ExecutionError> {
        let other = other.downcast_ref::<Self>();
        other.map(|other| self.0.cmp(&other.0)).ok_or_else(|| {
            ExecutionError::function_error("compare", "a quantity compares only with a quantity")
        })
    }
}

fn parsed(text: &str) -> Option<Quantity> {
    (text.len() <= TEXT_BYTES).then(|| Quantity::parse(text).ok())?
}

fn quantity(text: &CelString<'_>) -> Result<Amount, ExecutionError> {
    let parsed = parsed(text).map(Amount);
    parsed.ok_or_else(|| {
        ExecutionError::function_error("quantity", "not a quantity such as 250m, 2 or 128Mi")
    })
}

fn quantity_of_int(amount: &CelInt) -> Result<Amount, ExecutionError> {
    quantity(&CelString::from(amount.inner().to_string()))
}

fn quantity_of_quantity(amount: &Amount) -> Amount {
    amount.clone()
}

fn is_quantity(text: &CelString<'_>) -> CelBool {
    parsed(text).is_some().into()
}

fn is_greater_than(one: &Amount, other: &Amount) -> CelBool {
    (one.0 > other.0).into()
}

fn is_less_than(one: &Amount, other: &Amount) -> CelBool {
    (one.0 < other.0).into()
}

fn compare_to(one: &Amount, other: &Amount) -> CelInt {
    (one.0.cmp(&other.0) as i64).into()
}

fn sign(amount: &Amount) -> CelInt {
    let value = amount.0.value();
    (i64::from(value > 0.0) - i64::from(value < 0.0)).into()
}

/// The amount as a whole number of 64 bits, if it is one, exactly.
fn whole(amount: &Amount) -> Option<i64> {
    let near = amount.0.value();
    if near.abs() > 9.3e18 {
        return None;
    }
    // A double is off by up to 512 near the ends of 64 bits: what is left over says by how much.
    let near = near as i64;
    let left = amount.0.sub(&Quantity::parse(&near.to_string()).ok()?).value();
    let exact = near.checked_add(left as i64)?;
    (Quantity::parse(&exact.to_string()).ok()? == amount.0).then_some(exact)
}

fn is_integer(amount: &Amount) -> CelBool {
    whole(amount).is_some().into()
}

fn as_integer(amount: &Amount) -> Result<CelInt, ExecutionError> {
    let whole = whole(amount).map(CelInt::from);
    whole
        .ok_or_else(|| ExecutionError::function_error("asInteger", "not a whole number of 64 bits"))
}

fn as_approximate_float(amount: &Amount) -> CelDouble {
    amount.0.value().into()
}

fn in_range(sum: Quantity) -> Result<Amount, ExecutionError> {
    if sum.value().abs() <= LARGEST {
        return Ok(Amount(sum));
    }
    Err(ExecutionError::function_error("quantity", "beyond 10^28"))
}

fn add(one: &Amount, other: &Amount) -> Result<Amount, ExecutionError> {
    in_range(one.0.add(&other.0))
}

fn sub(one: &Amount, other: &Amount) -> Result<Amount, ExecutionError> {
    in_range(one.0.sub(&other.0))
}

fn add_int(one: &Amount, other: &CelInt) -> Result<Amount, ExecutionError> {
    add(one, &quantity_of_int(other)?)
}

fn sub_int(one: &Amount, other: &CelInt) -> Result<Amount, ExecutionError> {
    sub(one, &quantity_of_int(other)?)
}

/// Declares `quantity`, `isQuantity` and what a quantity answers. `quantity` takes an int too, for the wire has both
/// `cpu: 2` and `cpu: "2"`.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    cel::add_overload!(env, fn quantity: (CelString) -> Result<Amount>)?;
    cel::add_overload!(env, fn quantity_of_int: (CelInt) -> Result<Amount>, name = "quantity")?;
    cel::add_overload!(env, fn quantity_of_quantity: (Amount) -> Amount, name = "quantity")?;
    cel::add_overload!(env, fn is_quantity: (CelString) -> CelBool)?;
    cel::add_member_overload!(env, fn is_greater_than: (Amount, Amount) -> CelBool)?;
    cel::add_member_overload!(env, fn is_less_than: (Amount, Amount) -> CelBool)?;
    cel::add_member_overload!(env, fn compare_to: (Amount, Amount) -> CelInt)?;
    cel::add_member_overload!(env, fn sign: (Amount) -> CelInt)?;
    cel::add_member_overload!(env, fn is_integer: (Amount) -> CelBool)?;
    cel::add_member_overload!(env, fn as_integer: (Amount) -> Result<CelInt>)?;
    cel::add_member_overload!(env, fn as_approximate_float: (Amount) -> CelDouble)?;
    cel::add_member_overload!(env, fn add: (Amount, Amount) -> Result<Amount>)?;
    cel::add_member_overload!(env, fn sub: (Amount, Amount) -> Result<Amount>)?;
    cel::add_member_overload!(env, fn add_int: (Amount, CelInt) -> Result<Amount>, name = "add")?;
    cel::add_member_overload!(env, fn sub_int: (Amount, CelInt) -> Result<Amount>, name = "sub")
}
