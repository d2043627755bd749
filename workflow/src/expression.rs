//! Expressions in manifests: the Common Expression Language (CEL) with resource limits.
//!
//! An [`Expression`] is parsed and checked once and evaluated against named variables. It has no other input: no clock, no
//! files, no other run. Parsing and evaluation take bounded time and memory and never abort the process, whatever the
//! input:
//!
//! - A source has at most 2 KiB, 200 tokens of one class of operators and 32 levels of brackets. These limits are checked
//!   before parsing; the parser runs on its own thread and stack.
//! - A tree has at most 500 nodes, 32 levels and 4 nested comprehensions, and calls only known functions.
//! - An evaluation costs at most 10,000 units and allocates at most 256 KiB. Both are estimated before the evaluation from
//!   the tree and the sizes of the variables. Regular expressions run on a linear-time engine with a bounded program.
//!
//! The language is CEL's standard library with the extensions for strings, lists, mathematics and encodings. As in the
//! Kubernetes API server, it also has quantities, `find`/`findAll` and `isSorted`/`sum`/`min`/`max`/`indexOf` for lists.
//! Timestamps are created from RFC 3339 strings by `timestamp(…)` and read in UTC. Unlike in CEL, a comparison with null,
//! NaN or infinity has no value, except where it is explicit (`x == null`, `math.isNaN(x)`).

mod cost;
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
pub use template::{Placeholder, TemplateString, placeholders, render, render_value};

use library::ENV;
use pattern::Patterns;
use syntax::Tree;

/// Values of the variables of an expression, by name.
pub type Variables = BTreeMap<String, Value>;

/// Maximum height of a tree that is evaluated on the caller's stack. A 2 MiB stack is enough for much higher trees.
const MAX_INLINE_HEIGHT: usize = 40;

/// Cache of parsed expressions by source: at most 1 MiB of sources.
static CACHE: Mutex<BTreeMap<String, Expression>> = Mutex::new(BTreeMap::new());

/// Maximum number of cached expressions.
const MAX_CACHED_EXPRESSIONS: usize = 512;

/// A checked CEL expression. Cheap to clone: the tree is shared.
///
/// ```
/// use serde_json::json;
/// use workflow::expression::{ExpressionCode, Variables};
/// use workflow::{Expression, Truth};
///
/// let is_ready = Expression::parse("d.status.readyReplicas >= d.spec.replicas")?;
/// let deployment = json!({"spec": {"replicas": 3}, "status": {"readyReplicas": 3}});
/// let variables = Variables::from([("d".to_string(), deployment)]);
/// assert_eq!(is_ready.evaluate_condition(&variables), Truth::True);
/// // A missing value makes the condition unknown, never true.
/// assert!(matches!(is_ready.evaluate_condition(&Variables::new()), Truth::Unknown { .. }));
///
/// let error = Expression::parse("d.status.readyReplicas >= now()").unwrap_err();
/// assert_eq!(error.code, ExpressionCode::ExpressionUnknownFunction);
/// assert_eq!((error.line, error.column), (1, 27));
/// # Ok::<(), workflow::expression::ExpressionError>(())
/// ```
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

/// The result of an expression that is evaluated as a condition.
///
/// `Unknown` is distinct from `False`: nothing follows from it. An expression is never true because of an error or missing
/// data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "truth", rename_all = "camelCase")]
pub enum Truth {
    /// The condition is true.
    True,
    /// The condition is false.
    False,
    /// The expression has no value for these variables, or a value that is not a boolean.
    Unknown {
        /// Why the result is unknown.
        message: String,
    },
}

impl Expression {
    /// Parses and checks an expression.
    ///
    /// # Errors
    /// If it is not valid CEL, exceeds a limit, or calls an unknown function; with the position in the source.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        // Plans and records contain the same few expressions many times, and the parser rebuilds its tables on every call.
        // The cache is transparent because the same source always gives the same tree.
        let cache = || CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(expression) = cache().get(source) {
            return Ok(expression.clone());
        }
        let expression = Self::parse_uncached(source)?;
        let mut cache = cache();
        if cache.len() >= MAX_CACHED_EXPRESSIONS {
            cache.clear();
        }
        cache.insert(source.to_owned(), expression.clone());
        Ok(expression)
    }

    fn parse_uncached(source: &str) -> Result<Self, ExpressionError> {
        let mut tree = syntax::parse_tree(source)?;
        let patterns = Arc::new(std::mem::take(&mut tree.patterns));
        let variables = tree.variables.keys().cloned().collect();
        Ok(Self {
            compiled: Arc::new(Compiled { source: source.to_owned(), tree, patterns, variables }),
        })
    }

    /// Returns the source text.
    pub fn source(&self) -> &str {
        &self.compiled.source
    }

    /// Returns the free variables. Variables of comprehensions are not included.
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.compiled.variables
    }

    /// Returns the members of the free variable `variable` that are accessed by a literal name (`v.member`, `v['member']`),
    /// each with line and column of the variable.
    pub fn members(&self, variable: &str) -> impl Iterator<Item = (&str, (usize, usize))> {
        let members = self.compiled.tree.members.iter();
        members
            .filter(move |((name, _), _)| name == variable)
            .map(|((_, member), position)| (member.as_str(), *position))
    }

    /// Checks that every free variable is in `allowed`.
    ///
    /// # Errors
    /// [`ExpressionCode::ExpressionUnknownVariable`], with the position of the first unknown variable.
    pub fn check_variables(&self, allowed: &BTreeSet<String>) -> Result<(), ExpressionError> {
        let mut unknown: Vec<_> = self
            .compiled
            .tree
            .variables
            .iter()
            .filter(|(name, _)| !allowed.contains(*name))
            .collect();
        unknown.sort_by_key(|(_, position)| **position);
        let Some((name, position)) = unknown.first() else { return Ok(()) };
        let message = format!("there is no variable `{}`", error::truncated(name, 64));
        let names: Vec<&str> = allowed.iter().map(String::as_str).collect();
        let hint = match names.len() {
            0 => "no variables are available here".to_owned(),
            _ => format!("available variables: {}", error::truncated(&names.join(", "), 200)),
        };
        Err(ExpressionError::new(ExpressionCode::ExpressionUnknownVariable, message)
            .at(**position)
            .hint(hint))
    }

    /// Evaluates the expression.
    ///
    /// Timestamps, durations and quantities are returned as strings. Variables that the expression does not use are ignored.
    ///
    /// # Errors
    /// If it has no value for these variables (a variable is missing, an integer overflows, a division by zero), or if the
    /// evaluation might exceed the limits ([`ExpressionCode::ExpressionBudget`]).
    pub fn evaluate(&self, bindings: &Variables) -> Result<Value, ExpressionError> {
        if self.compiled.tree.height <= MAX_INLINE_HEIGHT {
            return self.compiled.evaluate(bindings);
        }
        syntax::on_deep_stack(|| self.compiled.evaluate(bindings))
            .unwrap_or_else(|| Err(evaluation_failed()))
    }

    /// Evaluates the expression as a condition: every result other than `true` and `false` is unknown.
    pub fn evaluate_condition(&self, bindings: &Variables) -> Truth {
        match self.evaluate(bindings) {
            Ok(Value::Bool(true)) => Truth::True,
            Ok(Value::Bool(false)) => Truth::False,
            Ok(other) => {
                Truth::Unknown { message: format!("the value is {}, not a boolean", kind(&other)) }
            }
            Err(error) => Truth::Unknown { message: format!("{}: {}", error.code, error.message) },
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

fn evaluation_failed() -> ExpressionError {
    ExpressionError::new(ExpressionCode::ExpressionEvaluation, "the evaluation failed")
}

impl Compiled {
    fn evaluate(&self, bindings: &Variables) -> Result<Value, ExpressionError> {
        cost::check(&self.tree.root, &self.patterns, bindings, self.variables.iter())?;
        // A panic is a bug in the interpreter. It ends only this evaluation, which leaves no state behind.
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
        .unwrap_or_else(|_| Err(evaluation_failed()))
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
            let position = if error.line > 0 {
                format!(" ({}:{})", error.line, error.column)
            } else {
                String::new()
            };
            serde::de::Error::custom(format!("{}: {}{position}", error.code, error.message))
        })
    }
}

impl JsonSchema for Expression {
    fn schema_name() -> Cow<'static, str> {
        "Expression".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": token::MAX_SOURCE_BYTES, "description": "A CEL expression." })
    }
}
