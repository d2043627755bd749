//! Regular expressions: `matches`, `find` and `findAll`, on a linear-time engine.
//!
//! A literal pattern is compiled once, with the expression. The size of its program is bounded and determines the cost of a
//! search. The length of the run_search text is bounded as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::common::types::{CelBool, CelInt, CelList, CelString};
use cel::common::value::{CowVal, Val};
use cel::{Context, ExecutionError, FunctionContext};
use regex::{Regex, RegexBuilder};

use super::error::{ExpressionCode, ExpressionError};

/// Maximum size of the program of a literal pattern, in bytes.
const MAX_PROGRAM_BYTES: usize = 1 << 20;
/// Maximum size of the program of a computed pattern, in bytes: it is compiled for each evaluation.
const MAX_COMPUTED_PROGRAM_BYTES: usize = 64 << 10;
/// Maximum length of a run_search text, in bytes.
pub(super) const MAX_HAYSTACK_BYTES: usize = 64 << 10;
/// Maximum nesting of groups.
const MAX_GROUP_NESTING: u32 = 64;

/// First size limit that a pattern is compiled with, in bytes; doubled up to [`MAX_PROGRAM_BYTES`].
const INITIAL_PROGRAM_BYTES: usize = 1 << 10;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// Upper bound of the size of the program, in bytes.
    pub(super) program_bytes: usize,
}

/// The compiled literal patterns of an expression.
pub(super) type Patterns = BTreeMap<String, Pattern>;

fn build(pattern: &str, program_bytes: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(program_bytes).nest_limit(MAX_GROUP_NESTING).build()
}

impl Pattern {
    /// Compiles a literal pattern with the smallest sufficient size limit.
    pub(super) fn compile(pattern: &str) -> Result<Self, ExpressionError> {
        let sizes = std::iter::successors(Some(INITIAL_PROGRAM_BYTES), |size| Some(size * 2));
        for program_bytes in sizes.take_while(|size| *size <= MAX_PROGRAM_BYTES) {
            match build(pattern, program_bytes) {
                Ok(regex) => return Ok(Self { regex, program_bytes }),
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => {
                    // The library's message repeats the pattern with markers; its last line is the error.
                    let error = error.to_string();
                    let reason = error
                        .lines()
                        .last()
                        .unwrap_or_default()
                        .trim_start_matches("error: ")
                        .to_owned();
                    return Err(ExpressionError::new(
                        ExpressionCode::RegexSyntax,
                        format!("invalid regular expression: {reason}"),
                    )
                    .hint("the syntax is that of RE2, without look-around and back-references"));
                }
            }
        }
        let message =
            format!("the compiled regular expression is larger than {MAX_PROGRAM_BYTES} bytes");
        let hint = "lower the repetition counts, or use [0-9A-Za-z_] instead of \\w, which includes all Unicode letters";
        Err(ExpressionError::new(ExpressionCode::RegexTooLarge, message).hint(hint))
    }
}

/// Adds `matches`, `find` and `findAll` to the context of one evaluation.
pub(super) fn bind(context: &mut Context<'_, '_>, patterns: &Arc<Patterns>) {
    let searches: [(&str, Search); 3] = [
        ("matches", |regex, text, _| Box::new(CelBool::from(regex.is_match(text)))),
        ("find", |regex, text, _| {
            let found = regex.find(text).map(|found| found.as_str().to_owned()).unwrap_or_default();
            Box::new(CelString::from(found))
        }),
        ("findAll", |regex, text, limit| {
            let found = regex.find_iter(text).take(limit);
            let found: Vec<Box<dyn Val>> = found
                .map(|found| Box::new(CelString::from(found.as_str().to_owned())) as Box<dyn Val>)
                .collect();
            Box::new(CelList::from(found))
        }),
    ];
    for (name, search) in searches {
        let patterns = patterns.clone();
        let function: Function = Box::new(move |call| run_search(call, &patterns, search));
        context
            .add_function(name, function)
            .expect("the CEL crate is built without its own regular expressions");
    }
}

/// Searches a text; the last argument is the maximum number of matches.
type Search = fn(&Regex, &str, usize) -> Box<dyn Val>;

/// A closure in the form that the interpreter requires.
type Function = Box<
    dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError>
        + Send
        + Sync,
>;

fn run_search<'c, 'v>(
    call: &mut FunctionContext<'c, 'v>,
    patterns: &Patterns,
    search: Search,
) -> Result<CowVal<'c, 'v>, ExecutionError> {
    let mut operands = call.this.iter().chain(&call.args);
    let (Some(text), Some(pattern)) = (operands.next(), operands.next()) else {
        return Err(call.error("requires a string and a pattern"));
    };
    let (Some(text), Some(pattern)) =
        (text.downcast_ref::<CelString<'_>>(), pattern.downcast_ref::<CelString<'_>>())
    else {
        return Err(call.error("requires two strings"));
    };
    let limit = match operands.next().map(|limit| limit.downcast_ref::<CelInt>()) {
        None => usize::MAX,
        Some(Some(limit)) => usize::try_from(*limit.inner()).unwrap_or(usize::MAX),
        Some(None) => return Err(call.error("requires an int as its limit")),
    };
    if text.len() > MAX_HAYSTACK_BYTES {
        return Err(call.error(format!("the text is longer than {MAX_HAYSTACK_BYTES} bytes")));
    }
    let found = match patterns.get(pattern.inner()) {
        Some(compiled) => search(&compiled.regex, text, limit),
        None => match build(pattern, MAX_COMPUTED_PROGRAM_BYTES) {
            Ok(regex) => search(&regex, text, limit),
            Err(regex::Error::CompiledTooBig(_)) => {
                return Err(call.error("the pattern is too large"));
            }
            Err(_) => return Err(call.error("the pattern is not a valid regular expression")),
        },
    };
    Ok(CowVal::Owned(found))
}
