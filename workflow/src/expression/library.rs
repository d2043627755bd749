//! The functions that expressions may call: the CEL standard library, its extensions for strings, lists, mathematics and
//! encodings, and our own.

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelNull, CelUInt, DYN_TYPE, INT_TYPE, LIST_TYPE,
    UINT_TYPE,
};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError, extensions};

use super::{quantity, time};

/// Functions that operators are rewritten to after parsing; a source cannot contain `@` in a name.
pub(super) mod internal {
    pub(in crate::expression) const EQUAL: &str = "@equal";
    pub(in crate::expression) const NOT_EQUAL: &str = "@notEqual";
    pub(in crate::expression) const LESS: &str = "@less";
    pub(in crate::expression) const LESS_EQUAL: &str = "@lessEqual";
    pub(in crate::expression) const GREATER: &str = "@greater";
    pub(in crate::expression) const GREATER_EQUAL: &str = "@greaterEqual";
    pub(in crate::expression) const CONTAINED: &str = "@contained";
    pub(in crate::expression) const ORDERED: &str = "@ordered";
    pub(in crate::expression) const SHIFT_LEFT: &str = "@shiftLeft";
    pub(in crate::expression) const SHIFT_RIGHT: &str = "@shiftRight";
    /// Declared by the lists extension as the expansion of `sortBy`.
    pub(in crate::expression) const SORT_BY_KEYS: &str = "@sortByAssociatedKeys";
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallStyle {
    /// `name(…)` or `namespace.name(…)`.
    Global,
    /// `value.name(…)`.
    Member,
}

/// A function: name, call style, minimum and maximum number of arguments (without the receiver).
pub(super) type Signature = (&'static str, CallStyle, usize, usize);

use CallStyle::{Global, Member};

/// Every function that an expression may call. Calls of other functions are rejected by the parser.
pub(super) const FUNCTIONS: &[Signature] = &[
    // Type conversions.
    ("bool", Global, 1, 1),
    ("bytes", Global, 1, 1),
    ("double", Global, 1, 1),
    ("dyn", Global, 1, 1),
    ("int", Global, 1, 1),
    ("string", Global, 1, 1),
    ("type", Global, 1, 1),
    ("uint", Global, 1, 1),
    ("size", Global, 1, 1),
    ("size", Member, 0, 0),
    // Optionals.
    ("optional.none", Global, 0, 0),
    ("optional.of", Global, 1, 1),
    ("optional.ofNonZeroValue", Global, 1, 1),
    ("hasValue", Member, 0, 0),
    ("or", Member, 1, 1),
    ("orValue", Member, 1, 1),
    ("value", Member, 0, 0),
    // Strings.
    ("charAt", Member, 1, 1),
    ("contains", Member, 1, 1),
    ("endsWith", Member, 1, 1),
    ("format", Member, 1, 1),
    ("indexOf", Member, 1, 2),
    ("join", Member, 0, 1),
    ("lastIndexOf", Member, 1, 2),
    ("lowerAscii", Member, 0, 0),
    ("replace", Member, 2, 3),
    ("reverse", Member, 0, 0),
    ("split", Member, 1, 2),
    ("startsWith", Member, 1, 1),
    ("strings.quote", Global, 1, 1),
    ("substring", Member, 1, 2),
    ("trim", Member, 0, 0),
    ("upperAscii", Member, 0, 0),
    // Regular expressions.
    ("find", Member, 1, 1),
    ("findAll", Member, 1, 2),
    ("matches", Global, 2, 2),
    ("matches", Member, 1, 1),
    // Encodings.
    ("base64.decode", Global, 1, 1),
    ("base64.encode", Global, 1, 1),
    // Lists.
    ("distinct", Member, 0, 0),
    ("flatten", Member, 0, 1),
    ("isSorted", Member, 0, 0),
    ("lists.range", Global, 1, 1),
    ("max", Member, 0, 0),
    ("min", Member, 0, 0),
    ("slice", Member, 2, 2),
    ("sort", Member, 0, 0),
    ("sum", Member, 0, 0),
    // Mathematics.
    ("math.abs", Global, 1, 1),
    ("math.bitAnd", Global, 2, 2),
    ("math.bitNot", Global, 1, 1),
    ("math.bitOr", Global, 2, 2),
    ("math.bitShiftLeft", Global, 2, 2),
    ("math.bitShiftRight", Global, 2, 2),
    ("math.bitXor", Global, 2, 2),
    ("math.ceil", Global, 1, 1),
    ("math.floor", Global, 1, 1),
    ("math.isFinite", Global, 1, 1),
    ("math.isInf", Global, 1, 1),
    ("math.isNaN", Global, 1, 1),
    ("math.round", Global, 1, 1),
    ("math.sign", Global, 1, 1),
    ("math.sqrt", Global, 1, 1),
    ("math.trunc", Global, 1, 1),
    // Time, in UTC.
    ("duration", Global, 1, 1),
    ("timestamp", Global, 1, 1),
    ("getDate", Member, 0, 0),
    ("getDayOfMonth", Member, 0, 0),
    ("getDayOfWeek", Member, 0, 0),
    ("getDayOfYear", Member, 0, 0),
    ("getFullYear", Member, 0, 0),
    ("getHours", Member, 0, 0),
    ("getMilliseconds", Member, 0, 0),
    ("getMinutes", Member, 0, 0),
    ("getMonth", Member, 0, 0),
    ("getSeconds", Member, 0, 0),
    // Kubernetes quantities.
    ("isQuantity", Global, 1, 1),
    ("quantity", Global, 1, 1),
    ("add", Member, 1, 1),
    ("asApproximateFloat", Member, 0, 0),
    ("asInteger", Member, 0, 0),
    ("compareTo", Member, 1, 1),
    ("isGreaterThan", Member, 1, 1),
    ("isInteger", Member, 0, 0),
    ("isLessThan", Member, 1, 1),
    ("sign", Member, 0, 0),
    ("sub", Member, 1, 1),
];

/// Functions that macros expand to; a source cannot call them.
pub(super) const EXPANSIONS: &[Signature] = &[
    ("math.@max", Global, 1, 2),
    ("math.@min", Global, 1, 2),
    (internal::SORT_BY_KEYS, Member, 1, 1),
];

/// Names that denote a type unless a variable of that name is bound.
pub(super) const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "type",
    "uint",
];

/// Declares functions in an environment.
type Extension = fn(&mut Env) -> Result<(), DeclarationError>;

/// The CEL environment. It has no state, so all evaluations share it.
pub(super) static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    let extensions: [Extension; 8] = [
        extensions::strings,
        extensions::lists,
        extensions::math,
        extensions::encoders,
        time::extension,
        quantity::extension,
        comparisons,
        lists,
    ];
    for extension in extensions {
        env.add_extension(extension).expect("no two extensions declare the same function");
    }
    Arc::new(env)
});

type Args<'b, 'v> = Vec<CowVal<'b, 'v>>;
type OverloadResult<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

fn failed(function: &str, message: impl ToString) -> ExecutionError {
    ExecutionError::function_error(function, message)
}

fn take<'b, 'v, const N: usize>(args: Args<'b, 'v>) -> Result<[CowVal<'b, 'v>; N], ExecutionError> {
    args.try_into().map_err(|args: Vec<_>| ExecutionError::invalid_argument_count(N, args.len()))
}

/// Declares comparisons with unknown values: a comparison with `null`, NaN or infinity has no value. An explicit null test
/// (`x == null`) keeps CEL's semantics.
fn comparisons(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(internal::EQUAL, "equal", vec![DYN_TYPE, DYN_TYPE], |args| {
        Ok(bool(equal(args)?))
    })?;
    env.add_overload(internal::NOT_EQUAL, "not_equal", vec![DYN_TYPE, DYN_TYPE], |args| {
        Ok(bool(!equal(args)?))
    })?;
    env.add_overload(internal::LESS, "less", vec![DYN_TYPE, DYN_TYPE], |args| {
        Ok(bool(order(args)?.is_lt()))
    })?;
    env.add_overload(internal::LESS_EQUAL, "less_equal", vec![DYN_TYPE, DYN_TYPE], |args| {
        Ok(bool(order(args)?.is_le()))
    })?;
    env.add_overload(internal::GREATER, "greater", vec![DYN_TYPE, DYN_TYPE], |args| {
        Ok(bool(order(args)?.is_gt()))
    })?;
    env.add_overload(internal::GREATER_EQUAL, "greater_equal", vec![DYN_TYPE, DYN_TYPE], |args| {
        Ok(bool(order(args)?.is_ge()))
    })?;
    env.add_overload(internal::CONTAINED, "contained", vec![DYN_TYPE, DYN_TYPE], contained)?;
    env.add_overload(internal::ORDERED, "ordered", vec![DYN_TYPE], ordered)?;
    for (name, is_left) in [(internal::SHIFT_LEFT, true), (internal::SHIFT_RIGHT, false)] {
        let (int, uint): (cel::common::functions::Function, cel::common::functions::Function) =
            if is_left { (shift_left, shift_left) } else { (shift_right, shift_right) };
        env.add_overload(name, "int", vec![INT_TYPE, INT_TYPE], int)?;
        env.add_overload(name, "uint", vec![UINT_TYPE, INT_TYPE], uint)?;
    }
    Ok(())
}

fn bool<'b, 'v>(value: bool) -> CowVal<'b, 'v> {
    CowVal::owned(CelBool::from(value))
}

/// Rejects values that represent "unknown": null, NaN and infinity.
fn reject_unknown(value: &dyn Val) -> Result<(), ExecutionError> {
    if value.downcast_ref::<CelNull>().is_some() {
        return Err(failed("comparison", "null cannot be compared; test for it with `== null`"));
    }
    match value.downcast_ref::<CelDouble>() {
        Some(number) if !number.inner().is_finite() => Err(failed(
            "comparison",
            "NaN and infinity cannot be compared; test with math.isFinite()",
        )),
        _ => Ok(()),
    }
}

fn equal(args: Args<'_, '_>) -> Result<bool, ExecutionError> {
    let [one, other] = take(args)?;
    reject_unknown(one.as_ref())?;
    reject_unknown(other.as_ref())?;
    Ok(one.as_ref().equals(other.as_ref()))
}

fn compare(one: &dyn Val, other: &dyn Val) -> Result<Ordering, ExecutionError> {
    reject_unknown(one)?;
    reject_unknown(other)?;
    let ordering = one.as_comparer().and_then(|one| one.compare(other).ok());
    ordering.ok_or_else(|| {
        failed(
            "comparison",
            format!(
                "{} cannot be compared with {}",
                one.get_type().name(),
                other.get_type().name()
            ),
        )
    })
}

fn order(args: Args<'_, '_>) -> Result<Ordering, ExecutionError> {
    let [one, other] = take(args)?;
    compare(one.as_ref(), other.as_ref())
}

fn contained<'b, 'v>(args: Args<'b, 'v>) -> OverloadResult<'b, 'v> {
    let [item, container] = take(args)?;
    reject_unknown(item.as_ref())?;
    let found =
        container.as_container().and_then(|container| container.contains(item.as_ref()).ok());
    let name = container.get_type().name();
    found
        .map(bool)
        .ok_or_else(|| failed("in", format!("{} cannot be in {name}", item.get_type().name())))
}

/// Returns what a comprehension iterates over: a list unchanged, a map as its sorted keys, because maps are unordered.
fn ordered<'b, 'v>(args: Args<'b, 'v>) -> OverloadResult<'b, 'v> {
    let [range] = take(args)?;
    let Some(map) = range.downcast_ref::<CelMap<'_>>() else { return Ok(range) };
    let mut keys: Vec<_> = map.inner().keys().collect();
    keys.sort();
    let keys: Vec<Box<dyn Val + 'v>> =
        keys.into_iter().map(|key| key.inner().clone_as_boxed()).collect();
    Ok(CowVal::owned(CelList::from(keys)))
}

/// Returns the number of bits of a shift. CEL allows any number, but a shift by 64 or more is always a mistake.
fn shift(function: &str, bits: &dyn Val) -> Result<u32, ExecutionError> {
    let bits = bits.downcast_ref::<CelInt>().and_then(|bits| u32::try_from(*bits.inner()).ok());
    bits.filter(|bits| *bits < u64::BITS).ok_or_else(|| failed(function, "requires 0 to 63 bits"))
}

fn shift_left<'b, 'v>(args: Args<'b, 'v>) -> OverloadResult<'b, 'v> {
    let [value, bits] = take(args)?;
    let bits = shift("math.bitShiftLeft", bits.as_ref())?;
    if let Some(int) = value.downcast_ref::<CelInt>() {
        return Ok(CowVal::owned(CelInt::from(int.inner() << bits)));
    }
    let uint = value
        .downcast_ref::<CelUInt>()
        .ok_or_else(|| failed("math.bitShiftLeft", "requires an integer"))?;
    Ok(CowVal::owned(CelUInt::from(uint.inner() << bits)))
}

fn shift_right<'b, 'v>(args: Args<'b, 'v>) -> OverloadResult<'b, 'v> {
    let [value, bits] = take(args)?;
    let bits = shift("math.bitShiftRight", bits.as_ref())?;
    if let Some(int) = value.downcast_ref::<CelInt>() {
        // Logical shift without sign extension, as in CEL.
        return Ok(CowVal::owned(CelInt::from(
            (int.inner().cast_unsigned() >> bits).cast_signed(),
        )));
    }
    let uint = value
        .downcast_ref::<CelUInt>()
        .ok_or_else(|| failed("math.bitShiftRight", "requires an integer"))?;
    Ok(CowVal::owned(CelUInt::from(uint.inner() >> bits)))
}

/// Declares the list functions of the Kubernetes API server.
fn lists(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_member_overload("isSorted", "list_is_sorted", LIST_TYPE, vec![], is_sorted)?;
    env.add_member_overload("sum", "list_sum", LIST_TYPE, vec![], sum)?;
    env.add_member_overload("min", "list_min", LIST_TYPE, vec![], |args| {
        extreme(args, "min", Ordering::Less)
    })?;
    env.add_member_overload("max", "list_max", LIST_TYPE, vec![], |args| {
        extreme(args, "max", Ordering::Greater)
    })?;
    env.add_member_overload("indexOf", "list_index_of", LIST_TYPE, vec![DYN_TYPE], |args| {
        let [list, item] = take(args)?;
        position(items("indexOf", &list)?.iter().position(|other| other.equals(item.as_ref())))
    })?;
    env.add_member_overload(
        "lastIndexOf",
        "list_last_index_of",
        LIST_TYPE,
        vec![DYN_TYPE],
        |args| {
            let [list, item] = take(args)?;
            position(
                items("lastIndexOf", &list)?.iter().rposition(|other| other.equals(item.as_ref())),
            )
        },
    )
}

fn items<'a, 'v>(
    function: &str,
    list: &'a CowVal<'_, 'v>,
) -> Result<&'a [Box<dyn Val + 'v>], ExecutionError> {
    list.downcast_ref::<CelList<'v>>()
        .map(CelList::inner)
        .ok_or_else(|| failed(function, "requires a list"))
}

fn position<'b, 'v>(found: Option<usize>) -> OverloadResult<'b, 'v> {
    Ok(CowVal::owned(CelInt::from(found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))))
}

fn is_sorted<'b, 'v>(args: Args<'b, 'v>) -> OverloadResult<'b, 'v> {
    let [list] = take(args)?;
    for pair in items("isSorted", &list)?.windows(2) {
        if compare(pair[0].as_ref(), pair[1].as_ref())?.is_gt() {
            return Ok(bool(false));
        }
    }
    Ok(bool(true))
}

fn sum<'b, 'v>(args: Args<'b, 'v>) -> OverloadResult<'b, 'v> {
    let [list] = take(args)?;
    let items = items("sum", &list)?;
    // Strings and lists also support `+`, but their sum would grow with every step.
    if !items.iter().all(|item| item.as_adder().is_some() && item.as_sizer().is_none()) {
        return Err(failed("sum", "requires numbers or durations"));
    }
    let Some((first, rest)) = items.split_first() else {
        return Ok(CowVal::owned(CelInt::from(0)));
    };
    let mut total: Box<dyn Val + 'v> = first.clone();
    for item in rest {
        let adder =
            total.as_adder().ok_or_else(|| failed("sum", "requires numbers or durations"))?;
        total = adder.add(item.as_ref())?.into_owned();
    }
    Ok(CowVal::Owned(total))
}

fn extreme<'b, 'v>(args: Args<'b, 'v>, function: &str, order: Ordering) -> OverloadResult<'b, 'v> {
    let [list] = take(args)?;
    let mut items = items(function, &list)?.iter();
    let mut best = items.next().ok_or_else(|| failed(function, "requires a non-empty list"))?;
    reject_unknown(best.as_ref())?;
    for item in items {
        if compare(item.as_ref(), best.as_ref())? == order {
            best = item;
        }
    }
    Ok(CowVal::Owned(best.clone()))
}
