//! Conditions and values that people write: the Common Expression Language (CEL), under guards.
//!
//! An [`Expression`] is checked once, where it is read, and evaluated against values that are bound by name. It reads
//! nothing else: no clock, no files, no other run. Whatever is given to it, it answers in bounded time and memory and
//! never takes the process down:
//!
//! - a source has at most 2 KiB, 200 tokens of one class of operators and 32 levels of brackets, all of it held before
//!   the parser sees it; the parser has a thread and a stack of its own;
//! - a tree has at most 500 nodes, 32 levels and 4 nested comprehensions, and calls only functions that are known;
//! - an evaluation costs at most 10,000 units and holds at most 256 KiB, reckoned beforehand from the tree and the sizes
//!   of what is bound; regular expressions run on a linear engine with a bounded program.
//!
//! The language is CEL's standard library with the extensions for strings, lists, mathematics and encodings, and, as in
//! the Kubernetes API server, quantities, `find`/`findAll` and `isSorted`/`sum`/`min`/`max`/`indexOf` of lists. Times
//! are RFC 3339 texts made by `timestamp(…)` and read in UTC. It differs from CEL where CEL would guess: a comparison
//! with a null, a NaN or an infinity has no value, unless it asks for it by name (`x == null`, `math.isNaN(x)`).

mod bound;
mod error;
mod library;
mod pattern;
mod quantity;
mod syntax;
mod template;
mod time;
mod token;
mod value;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use cel::Context;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use error::{ExpressionCode, ExpressionError};
pub use template::{Hole, Template, holes, render, render_value};

use library::ENV;
use pattern::Patterns;
use syntax::Tree;

/// What is bound to the variables of an expression, by name.
pub type Bindings = BTreeMap<String, Value>;

/// Highest tree that is evaluated on the caller's stack: a 2 MiB stack holds many times as much.
const CALLERS_STACK: usize = 40;

/// Expressions that were read, by source: at most 1 MiB of sources.
static KNOWN: Mutex<BTreeMap<String, Expression>> = Mutex::new(BTreeMap::new());

/// How many are kept.
const KNOWN_AT_MOST: usize = 512;

/// A checked CEL expression. Cheap to clone: the tree is shared.
#[derive(Clone)]
pub struct Expression {
    compiled: Arc<Compiled>,
}

struct Compiled {
    source: String,
    tree: Tree,
    patterns: Arc<Patterns>,
    variables: BTreeSet<String>,
}

/// What an expression says as a condition.
///
/// `Unknown` is not false: nothing is concluded from it, and an expression is never true by mistake or for lack of
/// knowledge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "camelCase")]
pub enum Verdict {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It has no value here, or one that is neither true nor false.
    Unknown {
        /// Why.
        reason: String,
    },
}

impl Expression {
    /// Reads and checks an expression.
    ///
    /// # Errors
    /// If it is not CEL, exceeds a bound, or calls what is not there; with the place where that is.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        // Plans and records hold the same few expressions again and again, and the parser builds its tables for each
        // anew: what was read before is shared. The same source always gives the same tree.
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(expression) = known().get(source) {
            return Ok(expression.clone());
        }
        let expression = Self::read(source)?;
        let mut known = known();
        if known.len() >= KNOWN_AT_MOST {
            known.clear();
        }
        known.insert(source.to_owned(), expression.clone());
        Ok(expression)
    }

    fn read(source: &str) -> Result<Self, ExpressionError> {
        let mut tree = syntax::read(source)?;
        let patterns = Arc::new(std::mem::take(&mut tree.patterns));
        let variables = tree.variables.keys().cloned().collect();
        Ok(Self {
            compiled: Arc::new(Compiled { source: source.to_owned(), tree, patterns, variables }),
        })
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.compiled.source
    }

    /// The free variables: what has to be bound. What a comprehension binds is not among them.
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.compiled.variables
    }

    /// The members of the free variable `variable` that are named outright (`v.member`, `v['member']`), each with the
    /// line and column of the variable before it.
    pub fn members(&self, variable: &str) -> impl Iterator<Item = (&str, (usize, usize))> {
        let members = self.compiled.tree.members.iter();
        members
            .filter(move |((name, _), _)| name == variable)
            .map(|((_, member), place)| (member.as_str(), *place))
    }

    /// Refuses an expression that names a variable which is not among `allowed`.
    ///
    /// # Errors
    /// [`ExpressionCode::ExpressionUnknownVariable`], with the place of the first such name.
    pub fn check_variables(&self, allowed: &BTreeSet<String>) -> Result<(), ExpressionError> {
        let mut unknown: Vec<_> = self
            .compiled
            .tree
            .variables
            .iter()
            .filter(|(name, _)| !allowed.contains(*name))
            .collect();
        unknown.sort_by_key(|(_, place)| **place);
        let Some((name, place)) = unknown.first() else { return Ok(()) };
        let message = format!("there is no variable `{}`", error::shortened(name, 64));
        let names: Vec<&str> = allowed.iter().map(String::as_str).collect();
        let hint = match names.len() {
            0 => "no variables can be used here".to_owned(),
            _ => format!("known here: {}", error::shortened(&names.join(", "), 200)),
        };
        Err(ExpressionError::new(ExpressionCode::ExpressionUnknownVariable, message)
            .at(**place)
            .hint(hint))
    }

    /// Evaluates the expression.
    ///
    /// Timestamps, durations and quantities come back as text. Variables that are bound and not named are not looked at.
    ///
    /// # Errors
    /// If it has no value for these bindings (a variable is missing, a number overflows, a division is by zero), or
    /// finding it might exceed the bounds ([`ExpressionCode::ExpressionBudget`]).
    pub fn evaluate(&self, bindings: &Bindings) -> Result<Value, ExpressionError> {
        if self.compiled.tree.height <= CALLERS_STACK {
            return self.compiled.evaluate(bindings);
        }
        syntax::on_deep_stack(|| self.compiled.evaluate(bindings)).unwrap_or_else(|| Err(gave_up()))
    }

    /// Evaluates the expression as a condition: what is not `true` or `false` is unknown.
    pub fn judge(&self, bindings: &Bindings) -> Verdict {
        match self.evaluate(bindings) {
            Ok(Value::Bool(true)) => Verdict::True,
            Ok(Value::Bool(false)) => Verdict::False,
            Ok(other) => Verdict::Unknown {
                reason: format!("its value is {}, not true or false", kind(&other)),
            },
            Err(error) => Verdict::Unknown { reason: format!("{}: {}", error.code, error.message) },
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn gave_up() -> ExpressionError {
    ExpressionError::new(ExpressionCode::ExpressionEvaluation, "the evaluation failed")
}

impl Compiled {
    fn evaluate(&self, bindings: &Bindings) -> Result<Value, ExpressionError> {
        bound::check(&self.tree.root, &self.patterns, bindings, self.variables.iter())?;
        // A panic of the interpreter is a bug of it, and ends this evaluation alone: nothing of it is kept.
        catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::with_env(Arc::clone(&ENV));
            for name in &self.variables {
                if let Some(value) = bindings.get(name) {
                    context.add_variable_as_val(name.as_str(), value::from_json(value));
                }
            }
            if self.tree.uses_patterns {
                pattern::bind(&mut context, &self.patterns);
            }
            let value = cel::Value::resolve_val(&self.tree.root, &context)
                .map_err(|error| syntax::failure(&error))?;
            value::to_json(value.as_ref())
        }))
        .unwrap_or_else(|_| Err(gave_up()))
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Expression").field(&self.source()).finish()
    }
}

impl std::fmt::Display for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.source())
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Eq for Expression {}

impl std::str::FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(source: &str) -> Result<Self, ExpressionError> {
        Self::parse(source)
    }
}

impl Serialize for Expression {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.source())
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&source).map_err(|error| {
            let place = if error.line > 0 {
                format!(" ({}:{})", error.line, error.column)
            } else {
                String::new()
            };
            serde::de::Error::custom(format!("{}: {}{place}", error.code, error.message))
        })
    }
}

impl JsonSchema for Expression {
    fn schema_name() -> Cow<'static, str> {
        "Expression".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": token::SOURCE_BYTES, "description": "A CEL expression." })
    }
}
