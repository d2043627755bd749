//! Estimates an upper bound of the cost and memory of an evaluation from the tree, before it starts.
//!
//! A [`ValueSize`] bounds every value that a node may have: its bytes, the length of its text, the number of its elements
//! and their sizes. Variables have the sizes of their actual values. A comprehension costs its body times the length of its
//! list, `+` adds two sizes, and every function has its own rule. All arithmetic saturates, so a bound is never too small.
//!
//! # Guarantees
//! An accepted evaluation takes at most [`MAX_COST`] units of work (one unit is in the order of a microsecond) and allocates at
//! most [`MAX_VALUE_BYTES`] at any time. No clock is read.

mod value_size;

use std::collections::BTreeMap;
use std::rc::Rc;

use super::error::{ExpressionCode, ExpressionError};
use super::library::internal;
use super::pattern::{MAX_HAYSTACK_BYTES, Patterns};
use super::syntax::literal_text;
use super::{Variables, value};
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};
use value_size::{OVERHEAD, ValueSize};

/// Maximum cost of one evaluation, in units of work.
pub(super) const MAX_COST: u64 = 10_000;
/// Maximum bytes of the values of one evaluation at any time, excluding the variables.
pub(super) const MAX_VALUE_BYTES: u64 = 256 << 10;
/// Maximum bytes of all variables, as CEL values.
pub(super) const MAX_VARIABLE_BYTES: u64 = 4 << 20;

/// Bytes copied, compared or searched per unit of work.
const BYTES_PER_UNIT: u64 = 512;
/// Elements copied or compared per unit of work.
const ELEMENTS_PER_UNIT: u64 = 8;
/// Steps of a naive search or of a regular expression's automaton per unit of work.
const STEPS_PER_UNIT: u64 = 20_000;
/// Minimum bytes of a regular expression's program per state of its automaton.
const BYTES_PER_STATE: u64 = 32;
/// Cost of compiling a computed pattern.
const COMPILE_COST: u64 = 500;
/// Maximum length of a formatted number: 2^1023 has 308 digits, and a format may request 100 decimals.
const MAX_NUMBER_LENGTH: u64 = 420;

/// Upper bounds of a node: its value, its cost, and the peak memory of its evaluation.
struct NodeCost<'a> {
    size: ValueSize<'a>,
    cost: u64,
    peak: u64,
    /// Whether the value is borrowed from a variable or from the tree, and so takes no memory of its own.
    is_borrowed: bool,
}

impl<'a> NodeCost<'a> {
    fn borrowed(size: ValueSize<'a>) -> Self {
        Self { size, cost: 0, peak: 0, is_borrowed: true }
    }

    /// Bytes that the value takes in addition to the variables.
    fn owned_bytes(&self) -> u64 {
        if self.is_borrowed { 0 } else { self.size.total }
    }
}

/// Charges a new value that is computed from operands, independent of their evaluation order.
fn charge_alloc<'a>(operands: &[NodeCost<'_>], size: ValueSize<'a>, cost: u64) -> NodeCost<'a> {
    let owned =
        operands.iter().fold(0_u64, |sum, operand| sum.saturating_add(operand.owned_bytes()));
    let during_evaluation = operands
        .iter()
        .map(|operand| operand.peak.saturating_sub(operand.owned_bytes()))
        .max()
        .unwrap_or(0);
    let peak = owned.saturating_add(during_evaluation.max(size.total));
    let cost = operands.iter().fold(cost, |sum, operand| sum.saturating_add(operand.cost));
    NodeCost { size, cost, peak, is_borrowed: false }
}

fn byte_cost(bytes: u64) -> u64 {
    1_u64.saturating_add(bytes / BYTES_PER_UNIT)
}

fn list_cost(size: &ValueSize<'_>) -> u64 {
    byte_cost(size.total).saturating_add(size.length / ELEMENTS_PER_UNIT)
}

/// Cost of sorting a list.
fn sort_cost(size: &ValueSize<'_>) -> u64 {
    let iterations = u64::from(size.length.max(2).ilog2()) + 1;
    list_cost(size).saturating_mul(iterations)
}

/// Rejects an evaluation that might exceed the cost or memory limits.
pub(super) fn check<'a>(
    root: &'a IdedExpr,
    patterns: &'a Patterns,
    bindings: &'a Variables,
    variables: impl Iterator<Item = &'a String>,
) -> Result<(), ExpressionError> {
    let over = |message: String| ExpressionError::new(ExpressionCode::ExpressionBudget, message);
    let mut sizes = BTreeMap::new();
    let mut variable_bytes = 0_u64;
    for name in variables {
        let Some(bound) = bindings.get(name) else { continue };
        if !value::is_shallow(bound) {
            return Err(over(format!(
                "`{name}` is nested deeper than {} levels",
                value::MAX_DEPTH
            )));
        }
        let size = ValueSize::of(bound);
        variable_bytes = variable_bytes.saturating_add(size.total);
        sizes.insert(name.as_str(), size);
    }
    if variable_bytes > MAX_VARIABLE_BYTES {
        return Err(over(format!(
            "the variables take {variable_bytes} bytes; the limit is {MAX_VARIABLE_BYTES}"
        ))
        .hint("read fewer objects"));
    }
    let bound = Estimator { variables: sizes, patterns, scope: Vec::new() }.node(root);
    if bound.cost > MAX_COST {
        return Err(over(format!(
            "the evaluation may cost {} units; the limit is {MAX_COST}",
            bound.cost
        ))
        .hint("use shorter lists or fewer nested comprehensions"));
    }
    let size = bound.peak.max(bound.size.total);
    if size > MAX_VALUE_BYTES {
        return Err(over(format!(
            "its values may take {size} bytes; the limit is {MAX_VALUE_BYTES}"
        ))
        .hint("create shorter strings and lists"));
    }
    Ok(())
}

struct Estimator<'a> {
    variables: BTreeMap<&'a str, ValueSize<'a>>,
    patterns: &'a Patterns,
    /// Variables of the enclosing comprehensions, innermost last.
    scope: Vec<(&'a str, ValueSize<'a>)>,
}

impl<'a> Estimator<'a> {
    fn node(&mut self, node: &'a IdedExpr) -> NodeCost<'a> {
        match &node.expr {
            Expr::Unspecified | Expr::Struct(_) => NodeCost::borrowed(ValueSize::scalar()),
            Expr::Literal(literal) => NodeCost::borrowed(match literal {
                LiteralValue::String(text) => ValueSize::text(text.len() as u64),
                LiteralValue::Bytes(bytes) => ValueSize::text(bytes.inner().len() as u64),
                LiteralValue::Int(int) => {
                    ValueSize::number(Some(u64::try_from(*int.inner()).unwrap_or(0)))
                }
                LiteralValue::UInt(uint) => ValueSize::number(Some(*uint.inner())),
                LiteralValue::Boolean(_) | LiteralValue::Double(_) | LiteralValue::Null => {
                    ValueSize::scalar()
                }
            }),
            Expr::Ident(name) => NodeCost::borrowed(self.variable(name)),
            Expr::Select(select) => {
                let operand = self.node(&select.operand);
                if select.test {
                    return charge_alloc(&[operand], ValueSize::scalar(), 1);
                }
                let size = (*operand.size.field(&select.field)).clone();
                let is_borrowed = operand.is_borrowed;
                NodeCost { is_borrowed, ..charge_alloc(&[operand], size, 1) }
            }
            Expr::List(list) => {
                let elements: Vec<_> =
                    list.elements.iter().map(|element| self.node(element)).collect();
                self.collection(elements)
            }
            Expr::Map(map) => self.map(map.entries.iter().filter_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => Some((&entry.key, &entry.value)),
                EntryExpr::StructField(_) => None,
            })),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(loops) => self.comprehension(loops),
        }
    }

    fn variable(&self, name: &str) -> ValueSize<'a> {
        let bound =
            || self.scope.iter().rev().find(|(bound, _)| *bound == name).map(|(_, size)| size);
        let free = self.variables.get(name.strip_prefix('.').unwrap_or(name));
        bound().or(free).cloned().unwrap_or_else(ValueSize::scalar)
    }

    fn collection(&self, elements: Vec<NodeCost<'a>>) -> NodeCost<'a> {
        let total =
            elements.iter().fold(0_u64, |sum, element| sum.saturating_add(element.size.total));
        let each = ValueSize::joined(elements.iter().map(|element| Rc::new(element.size.clone())));
        let cost = byte_cost(total).saturating_add(elements.len() as u64 / ELEMENTS_PER_UNIT);
        charge_alloc(&elements, ValueSize::list(elements.len() as u64, each, total), cost)
    }

    fn map(&mut self, entries: impl Iterator<Item = (&'a IdedExpr, &'a IdedExpr)>) -> NodeCost<'a> {
        let mut parts = Vec::new();
        let mut fields = BTreeMap::new();
        let mut others = Vec::new();
        let (mut total, mut key_bytes) = (OVERHEAD, 0);
        for (key, value) in entries {
            let (key_bound, value_bound) = (self.node(key), self.node(value));
            total =
                total.saturating_add(key_bound.size.total).saturating_add(value_bound.size.total);
            key_bytes = key_bound.size.text.max(key_bytes);
            let size = Rc::new(value_bound.size.clone());
            match literal_text(key) {
                Some(name) => drop(fields.insert(name, size)),
                None => others.push(size),
            }
            parts.extend([key_bound, value_bound]);
        }
        let size = ValueSize {
            total,
            length: parts.len() as u64 / 2,
            each: (!others.is_empty()).then(|| ValueSize::joined(others)),
            fields: Some(Rc::new(fields)),
            key: Some(key_bytes),
            ..ValueSize::scalar()
        };
        let cost = byte_cost(total).saturating_add(parts.len() as u64 / ELEMENTS_PER_UNIT);
        charge_alloc(&parts, size, cost)
    }

    fn comprehension(&mut self, loops: &'a ComprehensionExpr) -> NodeCost<'a> {
        let range = self.node(&loops.iter_range);
        let start = self.node(&loops.accu_init);
        let item = (*range.size.element()).clone();
        let iterations = range.size.length;
        let outer = self.scope.len();
        self.scope.push((&loops.accu_var, start.size.clone()));
        self.scope.push((&loops.iter_var, item.clone()));
        let condition = self.node(&loops.loop_cond);
        let step = self.node(&loops.loop_step);
        self.scope.truncate(outer);

        let end = match appended(loops) {
            // Each iteration appends the result of one step. A filter only keeps items of the range.
            Some(Expr::Ident(kept)) if *kept == loops.iter_var => {
                ValueSize::list(iterations, Rc::new(item.clone()), range.size.total)
            }
            Some(_) => {
                let each = step.size.each.clone().unwrap_or_else(|| Rc::new(ValueSize::scalar()));
                ValueSize::list_of(iterations.saturating_mul(step.size.length), each)
            }
            None => start.size.or(&step.size).accumulated(iterations),
        };
        self.scope.push((&loops.accu_var, end.clone()));
        let result = self.node(&loops.result);
        self.scope.truncate(outer);

        // Each iteration copies its item and evaluates the condition and the step.
        let round = byte_cost(item.total).saturating_add(condition.cost).saturating_add(step.cost);
        let cost =
            iterations.saturating_mul(round).saturating_add(range.cost).saturating_add(start.cost);
        let in_iteration = item.total.saturating_add(condition.peak.max(step.peak));
        let live = range.owned_bytes().saturating_add(start.owned_bytes());
        let in_loop = live.saturating_add(end.total).saturating_add(in_iteration.max(result.peak));
        NodeCost {
            cost: cost.saturating_add(result.cost),
            peak: range.peak.max(start.peak).max(in_loop),
            size: result.size,
            is_borrowed: false,
        }
    }

    fn call(&mut self, call: &'a CallExpr) -> NodeCost<'a> {
        // The receiver is the first operand, as in the functions themselves.
        let nodes: Vec<&'a IdedExpr> =
            call.target.as_deref().into_iter().chain(&call.args).collect();
        let operands: Vec<NodeCost<'a>> = nodes.iter().map(|node| self.node(node)).collect();
        if call.func_name == operators::CONDITIONAL
            && let [condition, yes, no] = operands.as_slice()
        {
            // Only one branch is evaluated.
            let size = yes.size.or(&no.size);
            let cost = condition.cost.saturating_add(yes.cost.max(no.cost)).saturating_add(1);
            let is_borrowed = yes.is_borrowed && no.is_borrowed;
            return NodeCost {
                size,
                cost,
                peak: condition.peak.max(yes.peak).max(no.peak),
                is_borrowed,
            };
        }
        let (size, cost) = self.function_cost(call, &nodes, &operands);
        let is_borrowed = match call.func_name.as_str() {
            internal::ORDERED => {
                operands.iter().all(|operand| operand.is_borrowed && operand.size.key.is_none())
            }
            operators::INDEX => operands.first().is_some_and(|operand| operand.is_borrowed),
            _ => false,
        };
        NodeCost { is_borrowed, ..charge_alloc(&operands, size, cost) }
    }

    /// Returns the size of a function's result and its cost, excluding its operands.
    fn function_cost(
        &self,
        call: &CallExpr,
        nodes: &[&'a IdedExpr],
        operands: &[NodeCost<'a>],
    ) -> (ValueSize<'a>, u64) {
        let none = ValueSize::scalar();
        let size = |position: usize| operands.get(position).map_or(&none, |operand| &operand.size);
        let (first, second) = (size(0), size(1));
        let text = |position: usize| nodes.get(position).and_then(|node| literal_text(node));
        let whole = |position: usize| size(position).number;
        let all: u64 =
            operands.iter().fold(0, |sum, operand| sum.saturating_add(operand.size.total));
        let scalar = |cost: u64| (ValueSize::scalar(), cost);
        match call.func_name.as_str() {
            operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | operators::NOT_STRICTLY_FALSE
            | operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO
            | operators::NEGATE
            | internal::SHIFT_LEFT
            | internal::SHIFT_RIGHT
            | "math.abs"
            | "math.bitAnd"
            | "math.bitNot"
            | "math.bitOr"
            | "math.bitXor"
            | "math.ceil"
            | "math.floor"
            | "math.isFinite"
            | "math.isInf"
            | "math.isNaN"
            | "math.round"
            | "math.sign"
            | "math.sqrt"
            | "math.trunc"
            | "getDate"
            | "getDayOfMonth"
            | "getDayOfWeek"
            | "getDayOfYear"
            | "getFullYear"
            | "getHours"
            | "getMilliseconds"
            | "getMinutes"
            | "getMonth"
            | "getSeconds"
            | "isInteger"
            | "isGreaterThan"
            | "isLessThan"
            | "compareTo"
            | "asInteger"
            | "asApproximateFloat"
            | "sign"
            | "hasValue"
            | "type" => scalar(1),
            operators::EQUALS | operators::NOT_EQUALS | internal::EQUAL | internal::NOT_EQUAL => {
                scalar(byte_cost(first.total.min(second.total)))
            }
            internal::LESS | internal::LESS_EQUAL | internal::GREATER | internal::GREATER_EQUAL => {
                scalar(byte_cost(first.total.min(second.total)))
            }
            internal::CONTAINED => scalar(list_cost(second)),
            operators::ADD => {
                let (length, each) =
                    (first.length.saturating_add(second.length), [&first.each, &second.each]);
                let each = each.into_iter().flatten().cloned().collect::<Vec<_>>();
                let number =
                    first.number.zip(second.number).map(|(one, other)| one.saturating_add(other));
                let each = (!each.is_empty()).then(|| ValueSize::joined(each));
                let text = first.text.saturating_add(second.text);
                let sum =
                    ValueSize { total: all, text, length, number, each, ..ValueSize::scalar() };
                let cost = list_cost(&sum);
                (sum, cost)
            }
            operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT => {
                let found = text(1).map_or_else(|| first.element(), |name| first.field(name));
                let cost =
                    if call.func_name == operators::INDEX { 1 } else { byte_cost(found.total) };
                ((*found).clone(), cost)
            }
            internal::ORDERED => {
                let cost = if first.key.is_some() { sort_cost(first) } else { 0 };
                (first.iterated(), cost)
            }
            // Values and their types.
            "size" => {
                (ValueSize::number(Some(first.text.max(first.length))), byte_cost(first.text))
            }
            "bool" | "double" | "isQuantity" | "duration" | "timestamp" => {
                scalar(byte_cost(first.text))
            }
            "int" | "uint" => (ValueSize::number(first.number), byte_cost(first.text)),
            "string" => {
                let result = ValueSize::text(first.text.saturating_add(MAX_NUMBER_LENGTH));
                (result, byte_cost(first.text))
            }
            "bytes" | "dyn" => (first.clone(), byte_cost(first.total)),
            "quantity" | "add" | "sub" => {
                (ValueSize::text(64), byte_cost(first.text).saturating_add(1))
            }
            "optional.none" => scalar(1),
            "optional.of" | "optional.ofNonZeroValue" | "value" => {
                (first.clone(), byte_cost(first.total))
            }
            "or" | "orValue" => (first.or(second), byte_cost(first.total.max(second.total))),
            // Strings.
            "contains" | "endsWith" | "startsWith" => scalar(byte_cost(all)),
            "charAt" => (ValueSize::text(4), byte_cost(first.text)),
            "indexOf" | "lastIndexOf" => {
                // The library compares at every position.
                let steps = first.text.saturating_mul(second.text.max(1));
                let compared = first.length.saturating_mul(byte_cost(second.total));
                let cost = byte_cost(all.saturating_mul(4)).saturating_add(steps / STEPS_PER_UNIT);
                scalar(cost.saturating_add(compared / ELEMENTS_PER_UNIT))
            }
            "lowerAscii" | "upperAscii" | "trim" | "substring" => {
                (ValueSize::text(first.text), byte_cost(first.text.saturating_mul(2)))
            }
            "reverse" | "slice" => {
                (ValueSize { fields: None, key: None, ..first.clone() }, list_cost(first))
            }
            "strings.quote" => {
                let result = ValueSize::text(first.text.saturating_mul(2).saturating_add(2));
                (result, byte_cost(first.text.saturating_mul(2)))
            }
            "base64.encode" | "base64.decode" => {
                let result = ValueSize::text(first.text.saturating_mul(4) / 3 + 4);
                (result, byte_cost(first.text.saturating_mul(2)))
            }
            "join" => {
                let result = ValueSize::text(
                    first.total.saturating_add(first.length.saturating_mul(second.text)),
                );
                let cost = byte_cost(result.text).saturating_add(first.length / ELEMENTS_PER_UNIT);
                (result, cost)
            }
            "replace" => {
                // An empty text matches before every character and at the end.
                let places = match text(1).map(str::len) {
                    Some(0) | None => first.text.saturating_add(1),
                    Some(length) => first.text / length as u64,
                };
                let places =
                    if nodes.len() > 3 { places.min(whole(3).unwrap_or(u64::MAX)) } else { places };
                let added = places.saturating_mul(size(2).text);
                let result = ValueSize::text(first.text.saturating_add(added));
                let cost = byte_cost(result.text.saturating_add(first.text));
                (result, cost)
            }
            "split" => {
                let parts = match text(1).map(str::len) {
                    Some(0) | None => first.text.saturating_add(1),
                    Some(length) => first.text / length as u64 + 1,
                };
                let parts = if nodes.len() > 2 { parts.min(limit(nodes.get(2))) } else { parts };
                let total = parts.saturating_mul(OVERHEAD).saturating_add(first.text);
                let result = ValueSize::list(parts, Rc::new(ValueSize::text(first.text)), total);
                let cost = list_cost(&result);
                (result, cost)
            }
            "format" => {
                // Each argument is written at most once: a string verbatim or twice as long in hexadecimal, a number in full.
                let written = second.total.saturating_mul(2);
                let numbers = (second.total / OVERHEAD).saturating_mul(MAX_NUMBER_LENGTH);
                let result =
                    ValueSize::text(first.text.saturating_add(written).saturating_add(numbers));
                let cost = byte_cost(result.text).saturating_add(second.total / OVERHEAD);
                (result, cost)
            }
            // Regular expressions.
            "matches" | "find" | "findAll" => self.search(call, nodes, first, second),
            // Lists.
            "distinct" => {
                let pairs = first.length.saturating_mul(first.length);
                let cost = pairs.saturating_mul(byte_cost(first.element().total))
                    / (ELEMENTS_PER_UNIT * 8);
                (
                    ValueSize { fields: None, key: None, ..first.clone() },
                    list_cost(first).saturating_add(cost),
                )
            }
            "flatten" => {
                // Flattening creates no elements at any depth: each keeps its bytes.
                let mut each = first.each.clone();
                let mut levels = vec![Rc::new(ValueSize::scalar())];
                while let Some(level) = each {
                    each = level.each.clone();
                    levels.push(level);
                }
                let result =
                    ValueSize::list(first.total / OVERHEAD, ValueSize::joined(levels), first.total);
                let cost = list_cost(&result);
                (result, cost)
            }
            "lists.range" => {
                let result = ValueSize::list_of(
                    whole(0).unwrap_or(1_000_000).min(1_000_000),
                    Rc::new(ValueSize::scalar()),
                );
                let cost = list_cost(&result);
                (result, cost)
            }
            "sort" | internal::SORT_BY_KEYS => {
                let cost = sort_cost(first).saturating_add(sort_cost(second));
                (ValueSize { fields: None, key: None, ..first.clone() }, cost)
            }
            "isSorted" => scalar(list_cost(first)),
            "sum" => scalar(list_cost(first)),
            "min" | "max" => ((*first.element()).clone(), list_cost(first)),
            "math.@max" | "math.@min" => {
                let each =
                    if nodes.len() == 1 { first.element().number } else { whole(0).max(whole(1)) };
                let is_known = nodes.len() == 1 || (whole(0).is_some() && whole(1).is_some());
                (ValueSize::number(each.filter(|_| is_known)), list_cost(first))
            }
            // The parser rejects unknown functions; a function without a cost rule always exceeds the budget.
            _ => (ValueSize::text(u64::MAX), u64::MAX),
        }
    }

    fn search(
        &self,
        call: &CallExpr,
        nodes: &[&'a IdedExpr],
        subject: &ValueSize<'a>,
        pattern: &ValueSize<'a>,
    ) -> (ValueSize<'a>, u64) {
        let known = nodes
            .get(1)
            .and_then(|node| literal_text(node))
            .and_then(|text| self.patterns.get(text));
        let (program, compile) = match known {
            Some(known) => (known.program_bytes as u64, 0),
            None => (64 << 10, COMPILE_COST.saturating_add(byte_cost(pattern.text))),
        };
        // Longer texts are rejected before the search.
        let text = subject.text.min(MAX_HAYSTACK_BYTES as u64);
        let states = program / BYTES_PER_STATE;
        let fixed = byte_cost(text).saturating_add(compile);
        let one_search = text.saturating_mul(states);
        match call.func_name.as_str() {
            "find" => (ValueSize::text(text), fixed.saturating_add(one_search / STEPS_PER_UNIT)),
            "findAll" => {
                let most = if nodes.len() > 2 { limit(nodes.get(2)) } else { u64::MAX };
                let found = most.min(text.saturating_add(1));
                let total = found.saturating_mul(OVERHEAD).saturating_add(text);
                let result = ValueSize::list(found, Rc::new(ValueSize::text(text)), total);
                // Every search may read to the end of the text before it returns a short match.
                let searches = one_search.saturating_mul(found.max(1)) / STEPS_PER_UNIT;
                let cost = fixed.saturating_add(searches).saturating_add(list_cost(&result));
                (result, cost)
            }
            _ => (ValueSize::scalar(), fixed.saturating_add(one_search / STEPS_PER_UNIT)),
        }
    }
}

/// Returns a literal limit; a negative or computed one is unlimited.
fn limit(node: Option<&&IdedExpr>) -> u64 {
    match node.map(|node| &node.expr) {
        Some(Expr::Literal(LiteralValue::Int(int))) => {
            u64::try_from(*int.inner()).unwrap_or(u64::MAX)
        }
        _ => u64::MAX,
    }
}

/// Returns the element that each iteration appends if the comprehension is a `map` or `filter`.
fn appended(loops: &ComprehensionExpr) -> Option<&Expr> {
    let step = match &loops.loop_step.expr {
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => &call.args.get(1)?.expr,
        step => step,
    };
    let Expr::Call(call) = step else { return None };
    let [accumulated, Expr::List(list)] = [&call.args.first()?.expr, &call.args.get(1)?.expr]
    else {
        return None;
    };
    let is_append = call.func_name == operators::ADD
        && matches!(accumulated, Expr::Ident(name) if *name == loops.accu_var)
        && list.elements.len() == 1;
    is_append.then(|| &list.elements[0].expr)
}

/// Returns the estimated bytes of a value.
#[cfg(test)]
pub(super) fn value_bytes(value: &serde_json::Value) -> u64 {
    ValueSize::of(value).total
}

/// Returns the bound of the bytes of a tree's value.
#[cfg(test)]
pub(super) fn max_value_bytes(root: &IdedExpr, patterns: &Patterns, bindings: &Variables) -> u64 {
    let variables =
        bindings.iter().map(|(name, value)| (name.as_str(), ValueSize::of(value))).collect();
    Estimator { variables, patterns, scope: Vec::new() }.node(root).size.total
}
