//! What an evaluation may cost and hold at most, reckoned over the tree before it begins.
//!
//! A [`Shape`] bounds every value that a node may have: the bytes it takes, the length of its text, the number of its
//! elements and their shapes. The shapes of variables are those of the values actually bound. A comprehension costs its
//! body times the length of its list, `+` makes the sum of two sizes, and so on for every function; all of it
//! saturates, so that a bound is never too small.
//!
//! Guarantees: an evaluation whose bound is accepted takes at most [`COST`] units of work, a unit being in the order of
//! a microsecond, and makes values of at most [`SIZE_BYTES`] at any one time. No clock is read.

mod shape;

use std::collections::BTreeMap;
use std::rc::Rc;

use super::error::{ExpressionCode, ExpressionError};
use super::library::internal;
use super::pattern::{HAYSTACK_BYTES, Patterns};
use super::syntax::literal_text;
use super::{Bindings, value};
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};
use shape::{OVERHEAD, Shape};

/// Most units of work in one evaluation.
pub(super) const COST: u64 = 10_000;
/// Most bytes that the values of one evaluation take at one time, what is bound not counted.
pub(super) const SIZE_BYTES: u64 = 256 << 10;
/// Most bytes of what is bound, as values of the language.
pub(super) const BOUND_BYTES: u64 = 4 << 20;

/// Bytes that are copied, compared or searched for one unit.
const BYTES_PER_UNIT: u64 = 512;
/// Elements that are copied or compared for one unit.
const ELEMENTS_PER_UNIT: u64 = 8;
/// Steps of a naive search or of a regular expression's machine for one unit.
const STEPS_PER_UNIT: u64 = 20_000;
/// Bytes of a regular expression's program per state of its machine, at least.
const BYTES_PER_STATE: u64 = 32;
/// What compiling a computed pattern costs.
const COMPILE: u64 = 500;
/// The longest text that a number becomes: 2^1023 has 308 digits, and a format may ask for 100 decimals.
const NUMBER_TEXT: u64 = 420;

/// Bounds of a node: of its value, of its work, and of what is alive while it is worked out.
struct Bound<'a> {
    shape: Shape<'a>,
    cost: u64,
    peak: u64,
    /// Whether the value lives elsewhere: in a variable or in the tree.
    is_borrowed: bool,
}

impl<'a> Bound<'a> {
    fn borrowed(shape: Shape<'a>) -> Self {
        Self { shape, cost: 0, peak: 0, is_borrowed: true }
    }

    /// What the value takes beside what is bound.
    fn held(&self) -> u64 {
        if self.is_borrowed { 0 } else { self.shape.total }
    }
}

/// A new value made from operands, whatever the order in which they are worked out.
fn made<'a>(operands: &[Bound<'_>], shape: Shape<'a>, cost: u64) -> Bound<'a> {
    let held = operands.iter().fold(0_u64, |sum, operand| sum.saturating_add(operand.held()));
    let while_working = operands
        .iter()
        .map(|operand| operand.peak.saturating_sub(operand.held()))
        .max()
        .unwrap_or(0);
    let peak = held.saturating_add(while_working.max(shape.total));
    let cost = operands.iter().fold(cost, |sum, operand| sum.saturating_add(operand.cost));
    Bound { shape, cost, peak, is_borrowed: false }
}

fn of_bytes(bytes: u64) -> u64 {
    1_u64.saturating_add(bytes / BYTES_PER_UNIT)
}

fn of_list(shape: &Shape<'_>) -> u64 {
    of_bytes(shape.total).saturating_add(shape.length / ELEMENTS_PER_UNIT)
}

/// Of sorting a list.
fn of_sorting(shape: &Shape<'_>) -> u64 {
    let rounds = u64::from(shape.length.max(2).ilog2()) + 1;
    of_list(shape).saturating_mul(rounds)
}

/// Refuses an evaluation that may cost or hold too much.
pub(super) fn check<'a>(
    root: &'a IdedExpr,
    patterns: &'a Patterns,
    bindings: &'a Bindings,
    variables: impl Iterator<Item = &'a String>,
) -> Result<(), ExpressionError> {
    let over = |message: String| ExpressionError::new(ExpressionCode::ExpressionBudget, message);
    let mut shapes = BTreeMap::new();
    let mut bound_bytes = 0_u64;
    for name in variables {
        let Some(bound) = bindings.get(name) else { continue };
        if !value::is_shallow(bound) {
            return Err(over(format!("`{name}` nests deeper than {}", value::DEPTH)));
        }
        let shape = Shape::of(bound);
        bound_bytes = bound_bytes.saturating_add(shape.total);
        shapes.insert(name.as_str(), shape);
    }
    if bound_bytes > BOUND_BYTES {
        return Err(over(format!(
            "what it reads takes {bound_bytes} bytes, at most {BOUND_BYTES} are allowed"
        ))
        .hint("read fewer objects, or fewer fields of them"));
    }
    let bound = Estimate { variables: shapes, patterns, scope: Vec::new() }.node(root);
    if bound.cost > COST {
        return Err(over(format!(
            "it may take {} units of work, at most {COST} are allowed",
            bound.cost
        ))
        .hint("shorten the lists that it walks, or nest fewer of them"));
    }
    let size = bound.peak.max(bound.shape.total);
    if size > SIZE_BYTES {
        return Err(over(format!(
            "its values may take {size} bytes, at most {SIZE_BYTES} are allowed"
        ))
        .hint("make shorter texts and lists"));
    }
    Ok(())
}

struct Estimate<'a> {
    variables: BTreeMap<&'a str, Shape<'a>>,
    patterns: &'a Patterns,
    /// What enclosing comprehensions bind, innermost last.
    scope: Vec<(&'a str, Shape<'a>)>,
}

impl<'a> Estimate<'a> {
    fn node(&mut self, node: &'a IdedExpr) -> Bound<'a> {
        match &node.expr {
            Expr::Unspecified | Expr::Struct(_) => Bound::borrowed(Shape::scalar()),
            Expr::Literal(literal) => Bound::borrowed(match literal {
                LiteralValue::String(text) => Shape::text(text.len() as u64),
                LiteralValue::Bytes(bytes) => Shape::text(bytes.inner().len() as u64),
                LiteralValue::Int(int) => {
                    Shape::number(Some(u64::try_from(*int.inner()).unwrap_or(0)))
                }
                LiteralValue::UInt(uint) => Shape::number(Some(*uint.inner())),
                LiteralValue::Boolean(_) | LiteralValue::Double(_) | LiteralValue::Null => {
                    Shape::scalar()
                }
            }),
            Expr::Ident(name) => Bound::borrowed(self.variable(name)),
            Expr::Select(select) => {
                let operand = self.node(&select.operand);
                if select.test {
                    return made(&[operand], Shape::scalar(), 1);
                }
                let shape = (*operand.shape.field(&select.field)).clone();
                let is_borrowed = operand.is_borrowed;
                Bound { is_borrowed, ..made(&[operand], shape, 1) }
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

    fn variable(&self, name: &str) -> Shape<'a> {
        let bound =
            || self.scope.iter().rev().find(|(bound, _)| *bound == name).map(|(_, shape)| shape);
        let free = self.variables.get(name.strip_prefix('.').unwrap_or(name));
        bound().or(free).cloned().unwrap_or_else(Shape::scalar)
    }

    fn collection(&self, elements: Vec<Bound<'a>>) -> Bound<'a> {
        let total =
            elements.iter().fold(0_u64, |sum, element| sum.saturating_add(element.shape.total));
        let each = Shape::joined(elements.iter().map(|element| Rc::new(element.shape.clone())));
        let cost = of_bytes(total).saturating_add(elements.len() as u64 / ELEMENTS_PER_UNIT);
        made(&elements, Shape::list(elements.len() as u64, each, total), cost)
    }

    fn map(&mut self, entries: impl Iterator<Item = (&'a IdedExpr, &'a IdedExpr)>) -> Bound<'a> {
        let mut parts = Vec::new();
        let mut fields = BTreeMap::new();
        let mut others = Vec::new();
        let (mut total, mut key_bytes) = (OVERHEAD, 0);
        for (key, value) in entries {
            let (key_bound, value_bound) = (self.node(key), self.node(value));
            total =
                total.saturating_add(key_bound.shape.total).saturating_add(value_bound.shape.total);
            key_bytes = key_bound.shape.text.max(key_bytes);
            let shape = Rc::new(value_bound.shape.clone());
            match literal_text(key) {
                Some(name) => drop(fields.insert(name, shape)),
                None => others.push(shape),
            }
            parts.extend([key_bound, value_bound]);
        }
        let shape = Shape {
            total,
            length: parts.len() as u64 / 2,
            each: (!others.is_empty()).then(|| Shape::joined(others)),
            fields: Some(Rc::new(fields)),
            key: Some(key_bytes),
            ..Shape::scalar()
        };
        let cost = of_bytes(total).saturating_add(parts.len() as u64 / ELEMENTS_PER_UNIT);
        made(&parts, shape, cost)
    }

    fn comprehension(&mut self, loops: &'a ComprehensionExpr) -> Bound<'a> {
        let range = self.node(&loops.iter_range);
        let start = self.node(&loops.accu_init);
        let item = (*range.shape.element()).clone();
        let rounds = range.shape.length;
        let outer = self.scope.len();
        self.scope.push((&loops.accu_var, start.shape.clone()));
        self.scope.push((&loops.iter_var, item.clone()));
        let condition = self.node(&loops.loop_cond);
        let step = self.node(&loops.loop_step);
        self.scope.truncate(outer);

        let end = match appended(loops) {
            // Each round appends what one step makes. A filter keeps items of the range, so never more than it has.
            Some(Expr::Ident(kept)) if *kept == loops.iter_var => {
                Shape::list(rounds, Rc::new(item.clone()), range.shape.total)
            }
            Some(_) => {
                let each = step.shape.each.clone().unwrap_or_else(|| Rc::new(Shape::scalar()));
                Shape::list_of(rounds.saturating_mul(step.shape.length), each)
            }
            None => start.shape.or(&step.shape).grown(rounds),
        };
        self.scope.push((&loops.accu_var, end.clone()));
        let result = self.node(&loops.result);
        self.scope.truncate(outer);

        // A round copies its item, and works out the condition and the step.
        let round = of_bytes(item.total).saturating_add(condition.cost).saturating_add(step.cost);
        let cost =
            rounds.saturating_mul(round).saturating_add(range.cost).saturating_add(start.cost);
        let in_round = item.total.saturating_add(condition.peak.max(step.peak));
        let standing = range.held().saturating_add(start.held());
        let in_rounds =
            standing.saturating_add(end.total).saturating_add(in_round.max(result.peak));
        Bound {
            cost: cost.saturating_add(result.cost),
            peak: range.peak.max(start.peak).max(in_rounds),
            shape: result.shape,
            is_borrowed: false,
        }
    }

    fn call(&mut self, call: &'a CallExpr) -> Bound<'a> {
        // A receiver comes first, as it does for the functions themselves.
        let nodes: Vec<&'a IdedExpr> =
            call.target.as_deref().into_iter().chain(&call.args).collect();
        let operands: Vec<Bound<'a>> = nodes.iter().map(|node| self.node(node)).collect();
        if call.func_name == operators::CONDITIONAL
            && let [condition, yes, no] = operands.as_slice()
        {
            // Only one branch is taken.
            let shape = yes.shape.or(&no.shape);
            let cost = condition.cost.saturating_add(yes.cost.max(no.cost)).saturating_add(1);
            let is_borrowed = yes.is_borrowed && no.is_borrowed;
            return Bound {
                shape,
                cost,
                peak: condition.peak.max(yes.peak).max(no.peak),
                is_borrowed,
            };
        }
        let (shape, cost) = self.function(call, &nodes, &operands);
        let is_borrowed = match call.func_name.as_str() {
            internal::ORDERED => {
                operands.iter().all(|operand| operand.is_borrowed && operand.shape.key.is_none())
            }
            operators::INDEX => operands.first().is_some_and(|operand| operand.is_borrowed),
            _ => false,
        };
        Bound { is_borrowed, ..made(&operands, shape, cost) }
    }

    /// What a function makes, and what that costs beyond its operands.
    fn function(
        &self,
        call: &CallExpr,
        nodes: &[&'a IdedExpr],
        operands: &[Bound<'a>],
    ) -> (Shape<'a>, u64) {
        let none = Shape::scalar();
        let shape =
            |position: usize| operands.get(position).map_or(&none, |operand| &operand.shape);
        let (first, second) = (shape(0), shape(1));
        let text = |position: usize| nodes.get(position).and_then(|node| literal_text(node));
        let whole = |position: usize| shape(position).number;
        let all: u64 =
            operands.iter().fold(0, |sum, operand| sum.saturating_add(operand.shape.total));
        let scalar = |cost: u64| (Shape::scalar(), cost);
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
                scalar(of_bytes(first.total.min(second.total)))
            }
            internal::LESS | internal::LESS_EQUAL | internal::GREATER | internal::GREATER_EQUAL => {
                scalar(of_bytes(first.total.min(second.total)))
            }
            internal::CONTAINED => scalar(of_list(second)),
            operators::ADD => {
                let (length, each) =
                    (first.length.saturating_add(second.length), [&first.each, &second.each]);
                let each = each.into_iter().flatten().cloned().collect::<Vec<_>>();
                let number =
                    first.number.zip(second.number).map(|(one, other)| one.saturating_add(other));
                let each = (!each.is_empty()).then(|| Shape::joined(each));
                let text = first.text.saturating_add(second.text);
                let sum = Shape { total: all, text, length, number, each, ..Shape::scalar() };
                let cost = of_list(&sum);
                (sum, cost)
            }
            operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT => {
                let found = text(1).map_or_else(|| first.element(), |name| first.field(name));
                let cost =
                    if call.func_name == operators::INDEX { 1 } else { of_bytes(found.total) };
                ((*found).clone(), cost)
            }
            internal::ORDERED => {
                let cost = if first.key.is_some() { of_sorting(first) } else { 0 };
                (first.walked(), cost)
            }
            // Values and their types.
            "size" => (Shape::number(Some(first.text.max(first.length))), of_bytes(first.text)),
            "bool" | "double" | "isQuantity" | "duration" | "timestamp" => {
                scalar(of_bytes(first.text))
            }
            "int" | "uint" => (Shape::number(first.number), of_bytes(first.text)),
            "string" => {
                let made = Shape::text(first.text.saturating_add(NUMBER_TEXT));
                (made, of_bytes(first.text))
            }
            "bytes" | "dyn" => (first.clone(), of_bytes(first.total)),
            "quantity" | "add" | "sub" => (Shape::text(64), of_bytes(first.text).saturating_add(1)),
            "optional.none" => scalar(1),
            "optional.of" | "optional.ofNonZeroValue" | "value" => {
                (first.clone(), of_bytes(first.total))
            }
            "or" | "orValue" => (first.or(second), of_bytes(first.total.max(second.total))),
            // Strings.
            "contains" | "endsWith" | "startsWith" => scalar(of_bytes(all)),
            "charAt" => (Shape::text(4), of_bytes(first.text)),
            "indexOf" | "lastIndexOf" => {
                // The library compares at every place in turn.
                let steps = first.text.saturating_mul(second.text.max(1));
                let compared = first.length.saturating_mul(of_bytes(second.total));
                let cost = of_bytes(all.saturating_mul(4)).saturating_add(steps / STEPS_PER_UNIT);
                scalar(cost.saturating_add(compared / ELEMENTS_PER_UNIT))
            }
            "lowerAscii" | "upperAscii" | "trim" | "substring" => {
                (Shape::text(first.text), of_bytes(first.text.saturating_mul(2)))
            }
            "reverse" | "slice" => {
                (Shape { fields: None, key: None, ..first.clone() }, of_list(first))
            }
            "strings.quote" => {
                let made = Shape::text(first.text.saturating_mul(2).saturating_add(2));
                (made, of_bytes(first.text.saturating_mul(2)))
            }
            "base64.encode" | "base64.decode" => {
                let made = Shape::text(first.text.saturating_mul(4) / 3 + 4);
                (made, of_bytes(first.text.saturating_mul(2)))
            }
            "join" => {
                let made = Shape::text(
                    first.total.saturating_add(first.length.saturating_mul(second.text)),
                );
                let cost = of_bytes(made.text).saturating_add(first.length / ELEMENTS_PER_UNIT);
                (made, cost)
            }
            "replace" => {
                // An empty text is found before every character and at the end.
                let places = match text(1).map(str::len) {
                    Some(0) | None => first.text.saturating_add(1),
                    Some(length) => first.text / length as u64,
                };
                let places =
                    if nodes.len() > 3 { places.min(whole(3).unwrap_or(u64::MAX)) } else { places };
                let added = places.saturating_mul(shape(2).text);
                let made = Shape::text(first.text.saturating_add(added));
                let cost = of_bytes(made.text.saturating_add(first.text));
                (made, cost)
            }
            "split" => {
                let parts = match text(1).map(str::len) {
                    Some(0) | None => first.text.saturating_add(1),
                    Some(length) => first.text / length as u64 + 1,
                };
                let parts = if nodes.len() > 2 { parts.min(limit(nodes.get(2))) } else { parts };
                let total = parts.saturating_mul(OVERHEAD).saturating_add(first.text);
                let made = Shape::list(parts, Rc::new(Shape::text(first.text)), total);
                let cost = of_list(&made);
                (made, cost)
            }
            "format" => {
                // Each argument is written once at most: a text as it is or doubled in hexadecimal, a number in full.
                let written = second.total.saturating_mul(2);
                let numbers = (second.total / OVERHEAD).saturating_mul(NUMBER_TEXT);
                let made = Shape::text(first.text.saturating_add(written).saturating_add(numbers));
                let cost = of_bytes(made.text).saturating_add(second.total / OVERHEAD);
                (made, cost)
            }
            // Regular expressions.
            "matches" | "find" | "findAll" => self.search(call, nodes, first, second),
            // Lists.
            "distinct" => {
                let pairs = first.length.saturating_mul(first.length);
                let cost =
                    pairs.saturating_mul(of_bytes(first.element().total)) / (ELEMENTS_PER_UNIT * 8);
                (
                    Shape { fields: None, key: None, ..first.clone() },
                    of_list(first).saturating_add(cost),
                )
            }
            "flatten" => {
                // However deep it goes, no element is made: each keeps the bytes that it had.
                let mut each = first.each.clone();
                let mut levels = vec![Rc::new(Shape::scalar())];
                while let Some(level) = each {
                    each = level.each.clone();
                    levels.push(level);
                }
                let made = Shape::list(first.total / OVERHEAD, Shape::joined(levels), first.total);
                let cost = of_list(&made);
                (made, cost)
            }
            "lists.range" => {
                let made = Shape::list_of(
                    whole(0).unwrap_or(1_000_000).min(1_000_000),
                    Rc::new(Shape::scalar()),
                );
                let cost = of_list(&made);
                (made, cost)
            }
            "sort" | internal::SORT_BY_KEYS => {
                let cost = of_sorting(first).saturating_add(of_sorting(second));
                (Shape { fields: None, key: None, ..first.clone() }, cost)
            }
            "isSorted" => scalar(of_list(first)),
            "sum" => scalar(of_list(first)),
            "min" | "max" => ((*first.element()).clone(), of_list(first)),
            "math.@max" | "math.@min" => {
                let each =
                    if nodes.len() == 1 { first.element().number } else { whole(0).max(whole(1)) };
                let is_known = nodes.len() == 1 || (whole(0).is_some() && whole(1).is_some());
                (Shape::number(each.filter(|_| is_known)), of_list(first))
            }
            // Nothing else is let through when an expression is read; a function that is not priced is not afforded.
            _ => (Shape::text(u64::MAX), u64::MAX),
        }
    }

    fn search(
        &self,
        call: &CallExpr,
        nodes: &[&'a IdedExpr],
        subject: &Shape<'a>,
        pattern: &Shape<'a>,
    ) -> (Shape<'a>, u64) {
        let known = nodes
            .get(1)
            .and_then(|node| literal_text(node))
            .and_then(|text| self.patterns.get(text));
        let (program, compile) = match known {
            Some(known) => (known.program_bytes as u64, 0),
            None => (64 << 10, COMPILE.saturating_add(of_bytes(pattern.text))),
        };
        // Longer texts are refused before they are searched.
        let text = subject.text.min(HAYSTACK_BYTES as u64);
        let states = program / BYTES_PER_STATE;
        let fixed = of_bytes(text).saturating_add(compile);
        let one_search = text.saturating_mul(states);
        match call.func_name.as_str() {
            "find" => (Shape::text(text), fixed.saturating_add(one_search / STEPS_PER_UNIT)),
            "findAll" => {
                let most = if nodes.len() > 2 { limit(nodes.get(2)) } else { u64::MAX };
                let found = most.min(text.saturating_add(1));
                let total = found.saturating_mul(OVERHEAD).saturating_add(text);
                let made = Shape::list(found, Rc::new(Shape::text(text)), total);
                // Every search may read to the end of the text before it knows that a short match was the best.
                let searches = one_search.saturating_mul(found.max(1)) / STEPS_PER_UNIT;
                let cost = fixed.saturating_add(searches).saturating_add(of_list(&made));
                (made, cost)
            }
            _ => (Shape::scalar(), fixed.saturating_add(one_search / STEPS_PER_UNIT)),
        }
    }
}

/// A limit that is written out; a negative one is none.
fn limit(node: Option<&&IdedExpr>) -> u64 {
    match node.map(|node| &node.expr) {
        Some(Expr::Literal(LiteralValue::Int(int))) => {
            u64::try_from(*int.inner()).unwrap_or(u64::MAX)
        }
        _ => u64::MAX,
    }
}

/// The element that each round of `map` or `filter` appends, if that is what a comprehension is.
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

/// What a value takes by the reckoning of this module.
#[cfg(test)]
pub(super) fn weight(value: &serde_json::Value) -> u64 {
    Shape::of(value).total
}

/// The bound of the value of a tree.
#[cfg(test)]
pub(super) fn size(root: &IdedExpr, patterns: &Patterns, bindings: &Bindings) -> u64 {
    let variables =
        bindings.iter().map(|(name, value)| (name.as_str(), Shape::of(value))).collect();
    Estimate { variables, patterns, scope: Vec::new() }.node(root).shape.total
}
