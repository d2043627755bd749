//! From a source to a checked tree.
//!
//! The parser runs on a thread of its own with a deep stack, where a panic of it becomes an error. What it yields is
//! walked once: functions and regular expressions are checked, free variables collected, nodes and depth bounded. Then
//! the tree is rewritten where the language's own meaning would not do: comparisons that know what is not known, maps
//! that are walked in order, shifts that do not silently lose every bit.

use std::collections::BTreeMap;

use cel::common::ast::SourceInfo;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators,
};
use cel::{ParseErrors, Value};

use super::error::{ExpressionCode, ExpressionError, shortened};
use super::library::{ENV, EXPANSIONS, FUNCTIONS, Style, TYPES, internal};
use super::pattern::{Pattern, Patterns};
use super::token;

/// Most nodes of a tree, after macros are expanded.
pub(super) const NODES: usize = 500;
/// Deepest nesting of a tree, where a chain (`a + b + c`, `a.b.c`) counts once.
pub(super) const DEPTH: usize = 32;
/// Deepest nesting of comprehensions.
pub(super) const COMPREHENSIONS: usize = 4;
/// Stack of the threads that parse and that evaluate deep trees, in bytes.
const STACK_BYTES: usize = 16 << 20;

/// A place in a source: line and column from 1.
type Place = (usize, usize);

/// A checked and rewritten tree.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: IdedExpr,
    /// The free variables, each with the place where it first stands.
    pub(super) variables: BTreeMap<String, Place>,
    /// The members of free variables that are named outright (`a.b`, `a['b']`), each with the place of its variable.
    pub(super) members: BTreeMap<(String, String), Place>,
    pub(super) patterns: Patterns,
    pub(super) uses_patterns: bool,
    /// Nodes on the longest path from the root: what a walk of the tree needs of a stack.
    pub(super) height: usize,
}

/// Runs `work` on a thread with a deep stack; `None` if it panicked or no thread could be had.
pub(super) fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("expression".into()).stack_size(STACK_BYTES);
        builder.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// Parses and checks a source.
pub(super) fn read(source: &str) -> Result<Tree, ExpressionError> {
    token::inspect(source)?;
    on_deep_stack(|| parse(source)).unwrap_or_else(|| {
        Err(ExpressionError::new(
            ExpressionCode::ExpressionSyntax,
            "the parser failed on this expression",
        ))
    })
}

fn parse(source: &str) -> Result<Tree, ExpressionError> {
    let (mut root, places) =
        ENV.parser().parse_with_source_info(source).map_err(|errors| refused(source, &errors))?;
    let mut walk = Walk {
        source,
        places: &places,
        nodes: 0,
        height: 0,
        scope: Vec::new(),
        variables: BTreeMap::new(),
        members: BTreeMap::new(),
        patterns: Patterns::new(),
        uses_patterns: false,
    };
    walk.visit(&root, At { depth: 1, height: 1, comprehensions: 0 })?;
    let Walk { variables, members, patterns, uses_patterns, height, .. } = walk;
    rewrite(&mut root);
    // The rewriting wraps each range once.
    Ok(Tree { root, variables, members, patterns, uses_patterns, height: height + COMPREHENSIONS })
}

/// The first complaint of the parser, in its place.
fn refused(source: &str, errors: &ParseErrors) -> ExpressionError {
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

/// Where a walk stands.
#[derive(Clone, Copy)]
struct At {
    depth: usize,
    height: usize,
    comprehensions: usize,
}

impl At {
    /// The next link of a chain.
    fn along(self) -> Self {
        Self { height: self.height + 1, ..self }
    }

    /// One level further in.
    fn inside(self) -> Self {
        Self { depth: self.depth + 1, height: self.height + 1, ..self }
    }
}

struct Walk<'a> {
    source: &'a str,
    places: &'a SourceInfo,
    nodes: usize,
    height: usize,
    /// The variables that enclosing comprehensions bind.
    scope: Vec<String>,
    variables: BTreeMap<String, Place>,
    members: BTreeMap<(String, String), Place>,
    patterns: Patterns,
    uses_patterns: bool,
}

impl Walk<'_> {
    fn byte(&self, id: u64) -> Option<usize> {
        self.places.offset_for(id).map(|(start, _)| self.source.floor_char_boundary(start as usize))
    }

    fn place(&self, id: u64) -> Place {
        self.byte(id).map_or((0, 0), |byte| token::place(self.source, byte))
    }

    /// Where the name of a called function stands; the parser knows where its bracket is.
    fn place_of_name(&self, id: u64, name: &str) -> Place {
        let Some(bracket) = self.byte(id) else { return (0, 0) };
        let before = self.source[..bracket].trim_end();
        let name = name.rsplit('.').next().unwrap_or(name);
        let byte = before.strip_suffix(name).map_or(bracket, str::len);
        token::place(self.source, byte)
    }

    fn visit(&mut self, node: &IdedExpr, at: At) -> Result<(), ExpressionError> {
        self.nodes += 1;
        self.height = self.height.max(at.height);
        if self.nodes > NODES {
            let message =
                format!("the expression has more than {NODES} nodes, its macros expanded");
            return Err(ExpressionError::new(ExpressionCode::ExpressionTooManyNodes, message)
                .hint("split it into several conditions"));
        }
        if at.depth > DEPTH {
            let message = format!("the expression nests deeper than {DEPTH}");
            return Err(ExpressionError::new(ExpressionCode::ExpressionTooDeep, message)
                .at(self.place(node.id))
                .hint("split the expression"));
        }
        match &node.expr {
            Expr::Unspecified => {
                Err(ExpressionError::new(ExpressionCode::ExpressionSyntax, "not an expression")
                    .at(self.place(node.id)))
            }
            Expr::Struct(_) => Err(ExpressionError::new(
                ExpressionCode::ExpressionSyntax,
                "messages cannot be made here",
            )
            .at(self.place(node.id))
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
                self.visit(&select.operand, at.along())
            }
            Expr::List(list) => {
                list.elements.iter().try_for_each(|element| self.visit(element, at.inside()))
            }
            Expr::Map(map) => {
                map.entries.iter().try_for_each(|entry| self.entry(entry, at.inside()))
            }
            Expr::Call(call) => self.call(call, node.id, at),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, node.id, at),
        }
    }

    fn name(&mut self, name: &str, id: u64) {
        // A leading dot asks for the outermost scope.
        let (name, is_outermost) =
            name.strip_prefix('.').map_or((name, false), |name| (name, true));
        let is_bound = !is_outermost && self.scope.iter().any(|bound| bound == name);
        if !is_bound && !TYPES.contains(&name) && !self.variables.contains_key(name) {
            let place = self.place(id);
            self.variables.insert(name.to_owned(), place);
        }
    }

    /// Notes `variable.field` where the variable is free.
    fn member(&mut self, variable: &IdedExpr, field: &str) {
        let Expr::Ident(name) = &variable.expr else { return };
        if self.scope.iter().any(|bound| bound == name) {
            return;
        }
        let key = (name.trim_start_matches('.').to_owned(), field.to_owned());
        let place = self.place(variable.id);
        self.members.entry(key).or_insert(place);
    }

    fn entry(&mut self, entry: &IdedEntryExpr, at: At) -> Result<(), ExpressionError> {
        match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key, at)?;
                self.visit(&entry.value, at)
            }
            EntryExpr::StructField(field) => self.visit(&field.value, at),
        }
    }

    fn call(&mut self, call: &CallExpr, id: u64, at: At) -> Result<(), ExpressionError> {
        let qualified = qualified(call);
        let is_operator = call.target.is_none() && is_operator(&call.func_name);
        if !is_operator {
            let name = qualified.as_deref().unwrap_or(&call.func_name);
            let style = if call.target.is_some() && qualified.is_none() {
                Style::Member
            } else {
                Style::Global
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
            self.visit(target, at.along())?;
        }
        for (position, argument) in call.args.iter().enumerate() {
            // The left operand of an operator is the chain so far, and a balanced `&&` of many terms is no nesting.
            let is_chain = is_operator && (position == 0 || is_logical(&call.func_name));
            self.visit(argument, if is_chain { at.along() } else { at.inside() })?;
        }
        Ok(())
    }

    fn function(
        &self,
        name: &str,
        style: Style,
        arguments: usize,
        id: u64,
    ) -> Result<(), ExpressionError> {
        let signatures = || FUNCTIONS.iter().chain(EXPANSIONS);
        let mut same =
            signatures().filter(|signature| signature.0 == name && signature.1 == style).peekable();
        let error = |message: String| {
            ExpressionError::new(ExpressionCode::ExpressionUnknownFunction, message)
                .at(self.place_of_name(id, name))
        };
        if same.peek().is_none() {
            let shown = shortened(name, 64);
            let other = signatures().any(|signature| signature.0 == name);
            return Err(error(format!("there is no function `{shown}`")).hint(
                match (other, style) {
                    (true, Style::Global) => format!("call it on a value: value.{shown}(…)"),
                    (true, Style::Member) => {
                        format!("call it with the value as its argument: {shown}(value)")
                    }
                    (false, _) if name == "now" => {
                        "there is no clock here: bind the time as a variable".to_owned()
                    }
                    (false, _) => String::new(),
                },
            ));
        }
        if same.any(|&(_, _, least, most)| (least..=most).contains(&arguments)) {
            return Ok(());
        }
        let hint = if name.starts_with("get") { "times are read in UTC only" } else { "" };
        Err(error(format!("`{name}` does not take {arguments} arguments")).hint(hint))
    }

    /// Compiles a pattern that is written out.
    fn pattern(
        &mut self,
        name: &str,
        style: Style,
        arguments: &[IdedExpr],
    ) -> Result<(), ExpressionError> {
        if !matches!(name, "matches" | "find" | "findAll") {
            return Ok(());
        }
        self.uses_patterns = true;
        let position = if style == Style::Member { 0 } else { 1 };
        let Some(pattern) = arguments.get(position) else { return Ok(()) };
        if let Some(text) = literal_text(pattern)
            && !self.patterns.contains_key(text)
        {
            let compiled =
                Pattern::compile(text).map_err(|error| error.at(self.place(pattern.id)))?;
            self.patterns.insert(text.to_owned(), compiled);
        }
        Ok(())
    }

    fn comprehension(
        &mut self,
        loops: &ComprehensionExpr,
        id: u64,
        at: At,
    ) -> Result<(), ExpressionError> {
        let inner = At { comprehensions: at.comprehensions + 1, ..at.inside() };
        if inner.comprehensions > COMPREHENSIONS {
            let message = format!("comprehensions nest deeper than {COMPREHENSIONS}");
            return Err(ExpressionError::new(ExpressionCode::ExpressionTooDeep, message)
                .at(self.place(id))
                .hint("filter the outer list first, or split the expression"));
        }
        self.visit(&loops.iter_range, at.along())?;
        // What a macro binds is a chain too: `x.sortBy(…)` binds x.
        self.visit(&loops.accu_init, at.along())?;
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

/// Whether a name is an operator's: the parser writes these for what stands between operands.
fn is_operator(name: &str) -> bool {
    name.contains('_') && name.starts_with(['_', '!', '-'])
        || name == operators::IN
        || name == operators::NOT_STRICTLY_FALSE
}

fn is_logical(name: &str) -> bool {
    matches!(name, operators::LOGICAL_AND | operators::LOGICAL_OR)
}

/// The text of a string literal.
pub(super) fn literal_text(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// The dotted path that a node spells, if it is one.
fn path(node: &IdedExpr) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", path(&select.operand)?, select.field))
        }
        _ => None,
    }
}

/// The name of the function in a name space that a call is of, such as `math.ceil`.
fn qualified(call: &CallExpr) -> Option<String> {
    let Expr::Ident(space) = &call.target.as_deref()?.expr else { return None };
    let space = space.strip_prefix('.').unwrap_or(space);
    let is_space = matches!(space, "base64" | "lists" | "math" | "optional" | "strings");
    is_space.then(|| format!("{space}.{}", call.func_name))
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
    // `x == null` asks whether a value is there; every other comparison wants one on both sides.
    let asks_for_null = call.args.iter().any(is_null);
    let name = match call.func_name.as_str() {
        operators::EQUALS if !asks_for_null => internal::EQUAL,
        operators::NOT_EQUALS if !asks_for_null => internal::NOT_EQUAL,
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

/// What went wrong in an evaluation, without the values that it went wrong on: they may be long, or secret.
pub(super) fn failure(error: &cel::ExecutionError) -> ExpressionError {
    use cel::ExecutionError as E;
    let unknown = |name: &str| {
        let message = format!("there is no variable `{}`", shortened(name, 64));
        ExpressionError::new(ExpressionCode::ExpressionUnknownVariable, message)
    };
    let message = match error {
        E::UndeclaredReference(name) => return unknown(name),
        E::NoSuchKey(key) => format!("there is no `{}`", shortened(key, 64)),
        E::NoSuchOverload(overload) => overload.to_string(),
        E::FunctionError { function, message } => format!("{function}: {message}"),
        E::UnexpectedType { got, want } => format!("found {}, wanted {want}", shortened(got, 64)),
        E::DivisionByZero(_) => "division by zero".to_owned(),
        E::RemainderByZero(_) => "remainder of a division by zero".to_owned(),
        E::Overflow(operator, _, _) => format!("the result of `{operator}` is out of range"),
        E::IndexOutOfBounds(_) => "the index is out of bounds".to_owned(),
        E::DuplicateKey(_) => "a map repeats a key".to_owned(),
        E::UnsupportedKeyType(key) => format!("{} cannot be a key", key_type(key)),
        E::ValuesNotComparable(one, other) => {
            format!("{} does not compare with {}", key_type(one), key_type(other))
        }
        E::UnsupportedBinaryOperator(operator, one, other) => {
            format!("cannot {operator} {} and {}", key_type(one), key_type(other))
        }
        E::UnsupportedIndex(index, of) => {
            format!("{} is no index of {}", key_type(index), key_type(of))
        }
        E::InvalidArgumentCount { expected, actual } => {
            format!("wants {expected} arguments, has {actual}")
        }
        _ => "the expression has no value for its inputs".to_owned(),
    };
    ExpressionError::new(ExpressionCode::ExpressionEvaluation, message)
}

fn key_type(value: &Value) -> String {
    value.type_of().to_string()
}
