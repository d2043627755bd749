//! Regular expressions: `matches`, `find` and `findAll`, on an engine whose time is linear in the text.
//!
//! A literal pattern is compiled once, with the expression. Its program is bounded in size, and how large it is sets
//! what a search costs; the text that it searches is bounded too.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::common::types::{CelBool, CelInt, CelList, CelString};
use cel::common::value::{CowVal, Val};
use cel::{Context, ExecutionError, FunctionContext};
use regex::{Regex, RegexBuilder};

use super::error::{ExpressionCode, ExpressionError};

/// Largest program of a literal pattern, in bytes.
const PROGRAM_BYTES: usize = 1 << 20;
/// Largest program of a pattern that is computed, in bytes: it is compiled anew for each evaluation.
const COMPUTED_PROGRAM_BYTES: usize = 64 << 10;
/// Longest text that is searched, in bytes.
pub(super) const HAYSTACK_BYTES: usize = 64 << 10;
/// Deepest nesting of groups.
const GROUPS: u32 = 64;

/// The smallest size of program that a pattern is tried at, in bytes; it doubles up to [`PROGRAM_BYTES`].
const SMALLEST: usize = 1 << 10;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// The program is at most so large, in bytes.
    pub(super) program_bytes: usize,
}

/// The compiled literal patterns of an expression.
pub(super) type Patterns = BTreeMap<String, Pattern>;

fn build(pattern: &str, program_bytes: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(program_bytes).nest_limit(GROUPS).build()
}

impl Pattern {
    /// Compiles a literal pattern at the smallest size that holds it.
    pub(super) fn compile(pattern: &str) -> Result<Self, ExpressionError> {
        let sizes = std::iter::successors(Some(SMALLEST), |size| Some(size * 2));
        for program_bytes in sizes.take_while(|size| *size <= PROGRAM_BYTES) {
            match build(pattern, program_bytes) {
                Ok(regex) => return Ok(Self { regex, program_bytes }),
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => {
                    // The message of the library draws a picture of the pattern; its last line says what is wrong.
                    let error = error.to_string();
                    let reason = error
                        .lines()
                        .last()
                        .unwrap_or_default()
                        .trim_start_matches("error: ")
                        .to_owned();
                    return Err(ExpressionError::new(
                        ExpressionCode::RegexSyntax,
                        format!("not a regular expression: {reason}"),
                    )
                    .hint("the syntax is RE2's: no look-around, no back-references"));
                }
            }
        }
        let message =
            format!("the regular expression needs a program of more than {PROGRAM_BYTES} bytes");
        let hint = "lower its counts of repetition, or write [0-9A-Za-z_] for \\w, which stands for all letters";
        Err(ExpressionError::new(ExpressionCode::RegexTooLarge, message).hint(hint))
    }
}

/// Makes `matches`, `find` and `findAll` known to one evaluation.
pub(super) fn bind(context: &mut Context<'_, '_>, patterns: &Arc<Patterns>) {
    let searches: [(&str, Search); 3] = [
        ("matches", |regex, text, _| Box::new(CelBool::from(regex.is_match(text)))),
        ("find", |regex, text, _| {
            let found = regex.find(text).map(|found| found.as_str().to_owned()).unwrap_or_default();
            Box::new(CelString::from(found))
        }),
        ("findAll", |regex, text, most| {
            let found = regex.find_iter(text).take(most);
            let found: Vec<Box<dyn Val>> = found
                .map(|found| Box::new(CelString::from(found.as_str().to_owned())) as Box<dyn Val>)
                .collect();
            Box::new(CelList::from(found))
        }),
    ];
    for (name, search) in searches {
        let patterns = patterns.clone();
        let function: Function = Box::new(move |call| searched(call, &patterns, search));
        context
            .add_function(name, function)
            .expect("the language is built without regular expressions of its own");
    }
}

/// Searches a text, for at most so many matches.
type Search = fn(&Regex, &str, usize) -> Box<dyn Val>;

/// A closure as the interpreter wants it.
type Function = Box<
    dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError>
        + Send
        + Sync,
>;

fn searched<'c, 'v>(
    call: &mut FunctionContext<'c, 'v>,
    patterns: &Patterns,
    search: Search,
) -> Result<CowVal<'c, 'v>, ExecutionError> {
    let mut operands = call.this.iter().chain(&call.args);
    let (Some(text), Some(pattern)) = (operands.next(), operands.next()) else {
        return Err(call.error("wants a text and a pattern"));
    };
    let (Some(text), Some(pattern)) =
        (text.downcast_ref::<CelString<'_>>(), pattern.downcast_ref::<CelString<'_>>())
    else {
        return Err(call.error("wants two strings"));
    };
    let most = match operands.next().map(|most| most.downcast_ref::<CelInt>()) {
        None => usize::MAX,
        Some(Some(most)) => usize::try_from(*most.inner()).unwrap_or(usize::MAX),
        Some(None) => return Err(call.error("wants an int as its limit")),
    };
    if text.len() > HAYSTACK_BYTES {
        return Err(call.error(format!("the text is longer than {HAYSTACK_BYTES} bytes")));
    }
    let found = match patterns.get(pattern.inner()) {
        Some(known) => search(&known.regex, text, most),
        None => match build(pattern, COMPUTED_PROGRAM_BYTES) {
            Ok(regex) => search(&regex, text, most),
            Err(regex::Error::CompiledTooBig(_)) => {
                return Err(call.error("the pattern is too large"));
            }
            Err(_) => return Err(call.error("the pattern is not a regular expression")),
        },
    };
    Ok(CowVal::Owned(found))
}
