//! Parses a source into a checked tree.
//!
//! The parser runs on its own thread with a large stack, where a panic is caught and becomes an error. The resulting tree
//! is visited once: functions and regular expressions are checked, free variables are collected, nodes and depth are
//! limited. Then the tree is rewritten where CEL's semantics are not suitable: comparisons with unknown values have no
//! value, maps are iterated in sorted order, and shifts by more than 63 bits are errors.

use std::collections::BTreeMap;

use cel::common::ast::SourceInfo;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators,
};
use cel::{ParseErrors, Value};

use super::error::{ExpressionCode, ExpressionError, truncated};
use super::library::{CallStyle, ENV, EXPANSIONS, FUNCTIONS, TYPES, internal};
use super::pattern::{Pattern, Patterns};
use super::token;

/// Maximum number of nodes of a tree after macro expansion.
pub(super) const MAX_NODES: usize = 500;
/// Maximum nesting of a tree; a chain (`a + b + c`, `a.b.c`) counts as one level.
pub(super) const MAX_DEPTH: usize = 32;
/// Maximum nesting of comprehensions.
pub(super) const MAX_COMPREHENSIONS: usize = 4;
/// Stack size of the threads that parse and that evaluate deep trees, in bytes.
const STACK_BYTES: usize = 16 << 20;

/// A position in a source: line and column, from 1.
type SourcePos = (usize, usize);

/// A checked and rewritten tree.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: IdedExpr,
    /// The free variables, each with the position of its first use.
    pub(super) variables: BTreeMap<String, SourcePos>,
    /// Members of free variables that are accessed by a literal name (`a.b`, `a['b']`), each with the position of its variable.
    pub(super) members: BTreeMap<(String, String), SourcePos>,
    pub(super) patterns: Patterns,
    pub(super) uses_patterns: bool,
    /// Number of nodes on the longest path from the root; determines the stack that a recursive visit needs.
    pub(super) height: usize,
}

/// Runs `work` on a thread with a large stack; `None` if it panicked or the thread could not be created.
pub(super) fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("expression".into()).stack_size(STACK_BYTES);
        builder.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// Parses and checks a source.
pub(super) fn parse_tree(source: &str) -> Result<Tree, ExpressionError> {
    token::check_limits(source)?;
    on_deep_stack(|| parse(source)).unwrap_or_else(|| {
        Err(ExpressionError::new(
            ExpressionCode::ExpressionSyntax,
            "the parser failed on this expression",
        ))
    })
}

fn parse(source: &str) -> Result<Tree, ExpressionError> {
    let (mut root, positions) = ENV
        .parser()
        .parse_with_source_info(source)
        .map_err(|errors| syntax_error(source, &errors))?;
    let mut visitor = TreeVisitor {
        source,
        positions: &positions,
        nodes: 0,
        height: 0,
        scope: Vec::new(),
        variables: BTreeMap::new(),
        members: BTreeMap::new(),
        patterns: Patterns::new(),
        uses_patterns: false,
    };
    visitor.visit(&root, Level { depth: 1, height: 1, comprehensions: 0 })?;
    let TreeVisitor { variables, members, patterns, uses_patterns, height, .. } = visitor;
    rewrite(&mut root);
    // The rewrite wraps each comprehension range in one more node.
    Ok(Tree {
        root,
        variables,
        members,
        patterns,
        uses_patterns,
        height: height + MAX_COMPREHENSIONS,
    })
}

/// Returns the first error of the parser with its position.
fn syntax_error(source: &str, errors: &ParseErrors) -> ExpressionError {
    let Some(first) = errors.errors.first() else {
        return ExpressionError::new(ExpressionCode::ExpressionSyntax, "not an expression");
    };
    let message = first.msg.trim_start_matches("Syntax error: ");
    let line = usize::try_from(first.pos.0).unwrap_or_default().max(1);
    let column = usize::try_from(first.pos.1).unwrap_or_default().max(1);
    let last_line = source.lines().count().max(1);
    ExpressionError::new(ExpressionCode::ExpressionSyntax, message)
        .at((line.min(last_line), column))
}

/// Depth of the visited node.
#[derive(Clone, Copy)]
struct Level {
    depth: usize,
    height: usize,
    comprehensions: usize,
}

impl Level {
    /// Returns the level of the next element of a chain.
    fn next_in_chain(self) -> Self {
        Self { height: self.height + 1, ..self }
    }

    /// Returns the level one nesting deeper.
    fn nested(self) -> Self {
        Self { depth: self.depth + 1, height: self.height + 1, ..self }
    }
}

struct TreeVisitor<'a> {
    source: &'a str,
    positions: &'a SourceInfo,
    nodes: usize,
    height: usize,
    /// Variables of the enclosing comprehensions.
    scope: Vec<String>,
    variables: BTreeMap<String, SourcePos>,
    members: BTreeMap<(String, String), SourcePos>,
    patterns: Patterns,
    uses_patterns: bool,
}

impl TreeVisitor<'_> {
    fn byte(&self, id: u64) -> Option<usize> {
        self.positions
            .offset_for(id)
            .map(|(start, _)| self.source.floor_char_boundary(start as usize))
    }

    fn position(&self, id: u64) -> SourcePos {
        self.byte(id).map_or((0, 0), |byte| token::position(self.source, byte))
    }

    /// Returns the position of the name of a called function; the parser only records the position of its bracket.
    fn position_of_name(&self, id: u64, name: &str) -> SourcePos {
        let Some(bracket) = self.byte(id) else { return (0, 0) };
        let before = self.source[..bracket].trim_end();
        let name = name.rsplit('.').next().unwrap_or(name);
        let byte = before.strip_suffix(name).map_or(bracket, str::len);
        token::position(self.source, byte)
    }

    fn visit(&mut self, node: &IdedExpr, level: Level) -> Result<(), ExpressionError> {
        self.nodes += 1;
        self.height = self.height.max(level.height);
        if self.nodes > MAX_NODES {
            let message =
                format!("the expression has more than {MAX_NODES} nodes after macro expansion");
            return Err(ExpressionError::new(ExpressionCode::ExpressionTooManyNodes, message)
                .hint("split it into several conditions"));
        }
        if level.depth > MAX_DEPTH {
            let message = format!("the expression is nested deeper than {MAX_DEPTH} levels");
            return Err(ExpressionError::new(ExpressionCode::ExpressionTooDeep, message)
                .at(self.position(node.id))
                .hint("split the expression"));
        }
        match &node.expr {
            Expr::Unspecified => {
                Err(ExpressionError::new(ExpressionCode::ExpressionSyntax, "not an expression")
                    .at(self.position(node.id)))
            }
            Expr::Struct(_) => Err(ExpressionError::new(
                ExpressionCode::ExpressionSyntax,
                "message literals are not supported",
            )
            .at(self.position(node.id))
            .hint("write a map: {'name': value}")),
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => {
                self.name(name, node.id);
                Ok(())
            }
            Expr::Select(select) => {
                let is_type =
                    !select.test && path(node).is_some_and(|path| TYPES.contains(&path.as_str()));
                if is_type {
                    return Ok(());
                }
                self.member(&select.operand, &select.field);
                self.visit(&select.operand, level.next_in_chain())
            }
            Expr::List(list) => {
                list.elements.iter().try_for_each(|element| self.visit(element, level.nested()))
            }
            Expr::Map(map) => {
                map.entries.iter().try_for_each(|entry| self.entry(entry, level.nested()))
            }
            Expr::Call(call) => self.call(call, node.id, level),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, node.id, level),
        }
    }

    fn name(&mut self, name: &str, id: u64) {
        // A leading dot refers to the outermost scope.
        let (name, is_outermost) =
            name.strip_prefix('.').map_or((name, false), |name| (name, true));
        let is_bound = !is_outermost && self.scope.iter().any(|bound| bound == name);
        if !is_bound && !TYPES.contains(&name) && !self.variables.contains_key(name) {
            let position = self.position(id);
            self.variables.insert(name.to_owned(), position);
        }
    }

    /// Records `variable.field` if the variable is free.
    fn member(&mut self, variable: &IdedExpr, field: &str) {
        let Expr::Ident(name) = &variable.expr else { return };
        if self.scope.iter().any(|bound| bound == name) {
            return;
        }
        let key = (name.trim_start_matches('.').to_owned(), field.to_owned());
        let position = self.position(variable.id);
        self.members.entry(key).or_insert(position);
    }

    fn entry(&mut self, entry: &IdedEntryExpr, level: Level) -> Result<(), ExpressionError> {
        match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key, level)?;
                self.visit(&entry.value, level)
            }
            EntryExpr::StructField(field) => self.visit(&field.value, level),
        }
    }

    fn call(&mut self, call: &CallExpr, id: u64, level: Level) -> Result<(), ExpressionError> {
        let qualified = qualified(call);
        let is_operator = call.target.is_none() && is_operator(&call.func_name);
        if !is_operator {
            let name = qualified.as_deref().unwrap_or(&call.func_name);
            let style = if call.target.is_some() && qualified.is_none() {
                CallStyle::Member
            } else {
                CallStyle::Global
            };
            self.function(name, style, call.args.len(), id)?;
            self.pattern(name, style, &call.args)?;
        }
        if let (operators::INDEX, [variable, field]) =
            (call.func_name.as_str(), call.args.as_slice())
            && let Some(field) = literal_text(field)
        {
            self.member(variable, field);
        }
        if let Some(target) = call.target.as_deref().filter(|_| qualified.is_none()) {
            self.visit(target, level.next_in_chain())?;
        }
        for (position, argument) in call.args.iter().enumerate() {
            // The left operand of an operator is the preceding chain, and the parser balances `&&` and `||` of many terms, so
            // neither counts as nesting.
            let is_chain = is_operator && (position == 0 || is_logical(&call.func_name));
            self.visit(argument, if is_chain { level.next_in_chain() } else { level.nested() })?;
        }
        Ok(())
    }

    fn function(
        &self,
        name: &str,
        style: CallStyle,
        arguments: usize,
        id: u64,
    ) -> Result<(), ExpressionError> {
        let signatures = || FUNCTIONS.iter().chain(EXPANSIONS);
        let mut same =
            signatures().filter(|signature| signature.0 == name && signature.1 == style).peekable();
        let error = |message: String| {
            ExpressionError::new(ExpressionCode::ExpressionUnknownFunction, message)
                .at(self.position_of_name(id, name))
        };
        if same.peek().is_none() {
            let shown = truncated(name, 64);
            let other = signatures().any(|signature| signature.0 == name);
            return Err(error(format!("there is no function `{shown}`")).hint(
                match (other, style) {
                    (true, CallStyle::Global) => format!("call it on a value: value.{shown}(…)"),
                    (true, CallStyle::Member) => {
                        format!("call it with the value as its argument: {shown}(value)")
                    }
                    (false, _) if name == "now" => {
                        "expressions have no clock: pass the time as a variable".to_owned()
                    }
                    (false, _) => String::new(),
                },
            ));
        }
        if same.any(|&(_, _, least, most)| (least..=most).contains(&arguments)) {
            return Ok(());
        }
        let hint = if name.starts_with("get") { "timestamps are always in UTC" } else { "" };
        Err(error(format!("`{name}` does not take {arguments} arguments")).hint(hint))
    }

    /// Compiles a literal pattern.
    fn pattern(
        &mut self,
        name: &str,
        style: CallStyle,
        arguments: &[IdedExpr],
    ) -> Result<(), ExpressionError> {
        if !matches!(name, "matches" | "find" | "findAll") {
            return Ok(());
        }
        self.uses_patterns = true;
        let position = if style == CallStyle::Member { 0 } else { 1 };
        let Some(pattern) = arguments.get(position) else { return Ok(()) };
        if let Some(text) = literal_text(pattern)
            && !self.patterns.contains_key(text)
        {
            let compiled =
                Pattern::compile(text).map_err(|error| error.at(self.position(pattern.id)))?;
            self.patterns.insert(text.to_owned(), compiled);
        }
        Ok(())
    }

    fn comprehension(
        &mut self,
        loops: &ComprehensionExpr,
        id: u64,
        level: Level,
    ) -> Result<(), ExpressionError> {
        let inner = Level { comprehensions: level.comprehensions + 1, ..level.nested() };
        if inner.comprehensions > MAX_COMPREHENSIONS {
            let message =
                format!("comprehensions are nested deeper than {MAX_COMPREHENSIONS} levels");
            return Err(ExpressionError::new(ExpressionCode::ExpressionTooDeep, message)
                .at(self.position(id))
                .hint("filter the outer list first, or split the expression"));
        }
        self.visit(&loops.iter_range, level.next_in_chain())?;
        // The variables of a macro are part of the chain: `x.sortBy(…)` binds x.
        self.visit(&loops.accu_init, level.next_in_chain())?;
        let outer = self.scope.len();
        self.scope.push(loops.accu_var.clone());
        self.scope.push(loops.iter_var.clone());
        self.visit(&loops.loop_cond, inner)?;
        self.visit(&loops.loop_step, inner)?;
        self.scope.truncate(outer + 1);
        self.visit(&loops.result, inner)?;
        self.scope.truncate(outer);
        Ok(())
    }
}

/// Whether a function name is that of an operator. The parser represents operators as calls with these names.
fn is_operator(name: &str) -> bool {
    name.contains('_') && name.starts_with(['_', '!', '-'])
        || name == operators::IN
        || name == operators::NOT_STRICTLY_FALSE
}

fn is_logical(name: &str) -> bool {
    matches!(name, operators::LOGICAL_AND | operators::LOGICAL_OR)
}

/// Returns the value of a string literal.
pub(super) fn literal_text(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// Returns the dotted path of a chain of field accesses, or `None` if the node is something else.
fn path(node: &IdedExpr) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", path(&select.operand)?, select.field))
        }
        _ => None,
    }
}

/// Returns the qualified name of a namespaced function, such as `math.ceil`.
fn qualified(call: &CallExpr) -> Option<String> {
    let Expr::Ident(namespace) = &call.target.as_deref()?.expr else { return None };
    let namespace = namespace.strip_prefix('.').unwrap_or(namespace);
    let is_namespace = matches!(namespace, "base64" | "lists" | "math" | "optional" | "strings");
    is_namespace.then(|| format!("{namespace}.{}", call.func_name))
}

fn is_null(node: &IdedExpr) -> bool {
    matches!(node.expr, Expr::Literal(LiteralValue::Null))
}

fn rewrite(node: &mut IdedExpr) {
    match &mut node.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => {}
        Expr::Select(select) => rewrite(&mut select.operand),
        Expr::List(list) => list.elements.iter_mut().for_each(rewrite),
        Expr::Map(map) => map.entries.iter_mut().for_each(rewrite_entry),
        Expr::Struct(message) => message.entries.iter_mut().for_each(rewrite_entry),
        Expr::Call(call) => rewrite_call(call),
        Expr::Comprehension(loops) => {
            for part in [
                &mut loops.accu_init,
                &mut loops.loop_cond,
                &mut loops.loop_step,
                &mut loops.result,
            ] {
                rewrite(part);
            }
            rewrite(&mut loops.iter_range);
            let range = std::mem::take(&mut loops.iter_range);
            let id = range.id;
            let ordered = CallExpr {
                func_name: internal::ORDERED.to_owned(),
                target: None,
                args: vec![range],
            };
            loops.iter_range = IdedExpr { id, expr: Expr::Call(ordered) };
        }
    }
}

fn rewrite_entry(entry: &mut IdedEntryExpr) {
    match &mut entry.expr {
        EntryExpr::MapEntry(entry) => {
            rewrite(&mut entry.key);
            rewrite(&mut entry.value);
        }
        EntryExpr::StructField(field) => rewrite(&mut field.value),
    }
}

fn rewrite_call(call: &mut CallExpr) {
    if let Some(name) = qualified(call) {
        call.target = None;
        call.func_name = name;
    }
    call.target.as_deref_mut().into_iter().for_each(rewrite);
    call.args.iter_mut().for_each(rewrite);
    if call.target.is_some() {
        return;
    }
    // `x == null` tests for null; every other comparison requires a known value on both sides.
    let is_null_test = call.args.iter().any(is_null);
    let name = match call.func_name.as_str() {
        operators::EQUALS if !is_null_test => internal::EQUAL,
        operators::NOT_EQUALS if !is_null_test => internal::NOT_EQUAL,
        operators::LESS => internal::LESS,
        operators::LESS_EQUALS => internal::LESS_EQUAL,
        operators::GREATER => internal::GREATER,
        operators::GREATER_EQUALS => internal::GREATER_EQUAL,
        operators::IN => internal::CONTAINED,
        "math.bitShiftLeft" => internal::SHIFT_LEFT,
        "math.bitShiftRight" => internal::SHIFT_RIGHT,
        _ => return,
    };
    call.func_name = name.to_owned();
}

/// Converts an evaluation error without its values, because they may be long or secret.
pub(super) fn failure(error: &cel::ExecutionError) -> ExpressionError {
    use cel::ExecutionError as E;
    let unknown = |name: &str| {
        let message = format!("there is no variable `{}`", truncated(name, 64));
        ExpressionError::new(ExpressionCode::ExpressionUnknownVariable, message)
    };
    let message = match error {
        E::UndeclaredReference(name) => return unknown(name),
        E::NoSuchKey(key) => format!("there is no `{}`", truncated(key, 64)),
        E::NoSuchOverload(overload) => overload.to_string(),
        E::FunctionError { function, message } => format!("{function}: {message}"),
        E::UnexpectedType { got, want } => format!("found {}, expected {want}", truncated(got, 64)),
        E::DivisionByZero(_) => "division by zero".to_owned(),
        E::RemainderByZero(_) => "remainder of a division by zero".to_owned(),
        E::Overflow(operator, _, _) => format!("the result of `{operator}` is out of range"),
        E::IndexOutOfBounds(_) => "the index is out of bounds".to_owned(),
        E::DuplicateKey(_) => "a map has a duplicate key".to_owned(),
        E::UnsupportedKeyType(key) => format!("{} cannot be a key", key_type(key)),
        E::ValuesNotComparable(one, other) => {
            format!("{} cannot be compared with {}", key_type(one), key_type(other))
        }
        E::UnsupportedBinaryOperator(operator, one, other) => {
            format!("cannot {operator} {} and {}", key_type(one), key_type(other))
        }
        E::UnsupportedIndex(index, of) => {
            format!("{} cannot index {}", key_type(index), key_type(of))
        }
        E::InvalidArgumentCount { expected, actual } => {
            format!("expected {expected} arguments, found {actual}")
        }
        _ => "the expression has no value for its inputs".to_owned(),
    };
    ExpressionError::new(ExpressionCode::ExpressionEvaluation, message)
}

fn key_type(value: &Value) -> String {
    value.type_of().to_string()
}
