//! Checks the limits of an expression on its tokens, before parsing.
//!
//! The parser is recursive and bounds only part of its recursion. Sources that could exhaust its stack are rejected here by
//! a non-recursive loop.

use super::error::{ExpressionCode, ExpressionError};

/// Maximum length of a source in bytes.
pub(super) const MAX_SOURCE_BYTES: usize = 2 << 10;
/// Maximum number of tokens of one class of operators.
pub(super) const MAX_OPERATORS: usize = 200;
/// Maximum nesting of brackets.
pub(super) const MAX_NESTING: usize = 32;

/// A class of operators that one grammar rule handles, and that therefore form chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Or,
    And,
    Relation,
    Sum,
    Product,
    Not,
    Branch,
    Select,
    Index,
    Call,
    Comma,
}

impl Class {
    const COUNT: usize = 11;

    fn name(self) -> &'static str {
        match self {
            Self::Or => "`||`",
            Self::And => "`&&`",
            Self::Relation => "comparisons",
            Self::Sum => "`+` and `-`",
            Self::Product => "`*`, `/` and `%`",
            Self::Not => "`!`",
            Self::Branch => "`?` and `:`",
            Self::Select => "`.`",
            Self::Index => "`[`",
            Self::Call => "`(`",
            Self::Comma => "`,`",
        }
    }
}

enum Token {
    Open(char),
    Close(char),
    Operator(Class),
    /// Names, numbers, strings, comments, whitespace and invalid tokens. The parser reports the invalid ones.
    Other,
}

/// A string literal that starts at this byte offset and is not terminated on its line, or at all.
struct UnterminatedLiteral(usize);

struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_while(&mut self, predicate: impl Fn(char) -> bool) {
        self.at += self.rest().find(|c| !predicate(c)).unwrap_or(self.rest().len());
    }

    /// Reads the next token; `None` at the end.
    fn next(&mut self) -> Result<Option<Token>, UnterminatedLiteral> {
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        let pair = self.rest().get(..2).unwrap_or_default();
        let (token, length) = match (first, pair) {
            (_, "//") => {
                self.skip_while(|c| c != '\n');
                return Ok(Some(Token::Other));
            }
            (_, "||") => (Token::Operator(Class::Or), 2),
            (_, "&&") => (Token::Operator(Class::And), 2),
            (_, "==" | "!=" | "<=" | ">=") => (Token::Operator(Class::Relation), 2),
            ('<' | '>', _) => (Token::Operator(Class::Relation), 1),
            ('+' | '-', _) => (Token::Operator(Class::Sum), 1),
            ('*' | '/' | '%', _) => (Token::Operator(Class::Product), 1),
            ('!', _) => (Token::Operator(Class::Not), 1),
            ('?' | ':', _) => (Token::Operator(Class::Branch), 1),
            ('.', _) => (Token::Operator(Class::Select), 1),
            (',', _) => (Token::Operator(Class::Comma), 1),
            ('(' | '[' | '{', _) => (Token::Open(first), 1),
            (')' | ']' | '}', _) => (Token::Close(first), 1),
            ('"' | '\'', _) => {
                self.string(false)?;
                return Ok(Some(Token::Other));
            }
            ('0'..='9', _) => {
                self.number();
                return Ok(Some(Token::Other));
            }
            ('a'..='z' | 'A'..='Z' | '_', _) => return self.name().map(Some),
            (other, _) => (Token::Other, other.len_utf8()),
        };
        self.at += length;
        Ok(Some(token))
    }

    /// Reads a name, a string with a prefix, or the operator `in`.
    fn name(&mut self) -> Result<Token, UnterminatedLiteral> {
        let start = self.at;
        self.skip_while(|c| c.is_ascii_alphanumeric() || c == '_');
        let name = &self.text[start..self.at];
        let is_prefix = matches!(
            name,
            "r" | "R" | "b" | "B" | "br" | "bR" | "Br" | "BR" | "rb" | "rB" | "Rb" | "RB"
        );
        if is_prefix && self.rest().starts_with(['"', '\'']) {
            self.string(name.contains(['r', 'R']))?;
        }
        Ok(if name == "in" { Token::Operator(Class::Relation) } else { Token::Other })
    }

    /// Reads a number with fraction and exponent, so that the sign in `1e-9` does not count as an operator.
    fn number(&mut self) {
        if self.rest().starts_with("0x") {
            self.at += 2;
            return self.skip_while(|c| c.is_ascii_alphanumeric());
        }
        self.skip_while(|c| c.is_ascii_digit());
        let fraction = self
            .rest()
            .strip_prefix('.')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if fraction {
            self.at += 1;
            self.skip_while(|c| c.is_ascii_digit());
        }
        if self.rest().starts_with(['e', 'E']) {
            self.at += 1;
            if self.rest().starts_with(['+', '-']) {
                self.at += 1;
            }
        }
        self.skip_while(|c| c.is_ascii_alphanumeric());
    }

    /// Reads a string from its opening to its closing quote.
    fn string(&mut self, raw: bool) -> Result<(), UnterminatedLiteral> {
        let start = self.at;
        let quote = &self.text[self.at..self.at + 1];
        let triple = quote.repeat(3);
        let (end, is_long) =
            if self.rest().starts_with(&triple) { (triple.as_str(), true) } else { (quote, false) };
        self.at += end.len();
        loop {
            let rest = self.rest();
            if rest.starts_with(end) {
                self.at += end.len();
                return Ok(());
            }
            match rest.chars().next() {
                None => return Err(UnterminatedLiteral(start)),
                Some('\n' | '\r') if !is_long => return Err(UnterminatedLiteral(start)),
                Some('\\') if !raw => {
                    self.at += 1;
                    self.at += self.rest().chars().next().map_or(0, char::len_utf8);
                }
                Some(other) => self.at += other.len_utf8(),
            }
        }
    }
}

/// Rejects a source that is too long, nested too deeply or has too many operators.
pub(super) fn check_limits(source: &str) -> Result<(), ExpressionError> {
    if source.len() > MAX_SOURCE_BYTES {
        let message =
            format!("the expression has {} bytes; the limit is {MAX_SOURCE_BYTES}", source.len());
        return Err(ExpressionError::new(ExpressionCode::ExpressionTooLong, message)
            .hint("split it into several conditions"));
    }
    if source.trim().is_empty() {
        return Err(ExpressionError::new(
            ExpressionCode::ExpressionSyntax,
            "the expression is empty",
        )
        .at((1, 1)));
    }
    let mut counts = [0_usize; Class::COUNT];
    let mut nesting = 0_usize;
    let mut tokens = Tokens { text: source, at: 0 };
    loop {
        let start = tokens.at;
        let class = match tokens.next() {
            Ok(None) => return Ok(()),
            Ok(Some(Token::Operator(class))) => Some(class),
            Ok(Some(Token::Open(bracket))) => {
                nesting += 1;
                match bracket {
                    '(' => Some(Class::Call),
                    '[' => Some(Class::Index),
                    _ => None,
                }
            }
            Ok(Some(Token::Close(_))) => {
                nesting = nesting.saturating_sub(1);
                None
            }
            Ok(Some(Token::Other)) => None,
            Err(UnterminatedLiteral(at)) => {
                return Err(ExpressionError::new(ExpressionCode::ExpressionSyntax, "unterminated string")
                    .at(position(source, at))
                    .hint("close it with the quote that opened it; a string over several lines needs three quotes"));
            }
        };
        if nesting > MAX_NESTING {
            let message = format!("brackets are nested deeper than {MAX_NESTING} levels");
            return Err(ExpressionError::new(ExpressionCode::ExpressionTooDeep, message)
                .at(position(source, start))
                .hint("split the expression"));
        }
        if let Some(class) = class {
            counts[class as usize] += 1;
            if counts[class as usize] > MAX_OPERATORS {
                let message =
                    format!("more than {MAX_OPERATORS} operators of the class {}", class.name());
                return Err(ExpressionError::new(ExpressionCode::ExpressionOperators, message)
                    .at(position(source, start))
                    .hint("use `in` with a list, or split the expression"));
            }
        }
    }
}

/// Returns the byte offset of the `}}` that ends the expression at the start of `text`.
pub(super) fn placeholder_end(text: &str) -> Option<usize> {
    let mut tokens = Tokens { text, at: 0 };
    let mut braces = 0_usize;
    loop {
        let start = tokens.at;
        match tokens.next() {
            Ok(None) | Err(UnterminatedLiteral(_)) => return None,
            Ok(Some(Token::Open('{'))) => braces += 1,
            Ok(Some(Token::Close('}'))) => match braces.checked_sub(1) {
                Some(inner) => braces = inner,
                None => return tokens.rest().starts_with('}').then_some(start),
            },
            Ok(Some(Token::Open(_) | Token::Close(_) | Token::Operator(_) | Token::Other)) => {}
        }
    }
}

/// Returns line and column, from 1, of a byte offset in `text`.
pub(super) fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(byte)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
