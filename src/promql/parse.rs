//! Tokens to tree.
//!
//! The grammar and the messages are those of Prometheus (`promql/parser/generated_parser.y`, `parse.go`): a message
//! names the token that does not fit, what was being read, and what would have fitted. Prometheus' parser is a table
//! driven by one token of lookahead, ours descends; where the table decides a message or a meaning, a comment says so.
//! A mistake in the syntax ends the reading, mistakes in meaning are collected, and the first is the one to show. Types
//! are checked only when the syntax is good (`check.rs`).

mod aggregate;
mod call;
mod check;
mod duration;
mod error;
mod expr;
mod extent;
mod fill;
mod grouping;
mod matching;
mod modifier;
mod selector;

use crate::model::matcher::Matcher;
use crate::model::regex::REGEX_BYTES_MAX;
use crate::promql::ast::{Expr, Span, VectorSelector};
use crate::promql::features::{Feature, Features};
use crate::promql::lex::{Kind, LexError, Lexer, Token};

pub use error::{ParseError, ParseErrors, Position};
pub use selector::has_non_empty_matcher;

/// The most levels of a tree: parentheses, calls, signs, and operators in a row. Everything that walks a tree may recurse
/// this deep; a duration within it may have as many levels again.
pub const NESTING_MAX: usize = 200;

/// The longest text that is parsed, in bytes. Prometheus has no limit of its own but that of a request.
pub const INPUT_BYTES_MAX: usize = 256 * 1024;

/// The most matchers in one selector, and the most regular expressions in one text, since each costs a compilation.
pub const MATCHERS_MAX: usize = 500;

/// Texts without regular expressions up to this many bytes are read in no time.
const SHORT_BYTES: usize = 4096;

/// The most mistakes that are kept: placing one costs a walk over the text.
const MISTAKES_MAX: usize = 20;

/// Reads an expression of any type and checks the types within.
///
/// Refused beyond Prometheus: trees of more than [`NESTING_MAX`] levels, input over [`INPUT_BYTES_MAX`], more than
/// [`MATCHERS_MAX`] matchers in a selector or regular expressions in all, such expressions of more than
/// [`REGEX_BYTES_MAX`] together, label names and values whose escapes make no UTF-8, and ranges of less than a
/// millisecond. Of many mistakes the first 20 are kept.
pub fn parse_expr(input: &str, features: Features) -> Result<Expr, ParseErrors> {
    let mut parser = Parser::new(input, features);
    let expr = parser.whole_expression().ok();
    match expr {
        Some(expr) if parser.errors.is_empty() => check::check(input, expr),
        _ => Err(ParseErrors::new(parser.errors)),
    }
}

/// Reads a vector selector and nothing else, as Prometheus reads `match[]`.
///
/// Matchers come in written order; a name before the braces comes last, as `__name__="…"`. As in Prometheus' function
/// of this name, `{}` is fine here and a name may be given twice: those are rules for expressions, see
/// [`parse_vector_selector`]. Refused beyond Prometheus: strings whose escapes make no UTF-8, and input over
/// [`INPUT_BYTES_MAX`] or [`MATCHERS_MAX`].
pub fn parse_metric_selector(input: &str) -> Result<Vec<Matcher>, ParseError> {
    parse_metric_selectors([input]).map(|mut sets| sets.swap_remove(0))
}

/// The same of each of several: their regular expressions share one [`REGEX_BYTES_MAX`].
pub fn parse_metric_selectors<'t>(
    inputs: impl IntoIterator<Item = &'t str>,
) -> Result<Vec<Vec<Matcher>>, ParseError> {
    let mut regex_bytes_left = REGEX_BYTES_MAX;
    let read = inputs.into_iter().map(|input| {
        let selector = whole_selector(input, &mut regex_bytes_left)?;
        Ok(selector.matchers)
    });
    read.collect()
}

/// Whether reading a text may take longer than some 100 µs: it is long, or has regular expressions.
pub fn is_slow_to_parse(input: &str) -> bool {
    input.len() > SHORT_BYTES || input.contains('~')
}

/// Reads a vector selector as Prometheus reads it within an expression: one metric name at most when it stands before
/// the braces, and at least one matcher that does not match the empty string.
pub fn parse_vector_selector(input: &str) -> Result<VectorSelector, ParseError> {
    let selector = whole_selector(input, &mut { REGEX_BYTES_MAX })?;
    match check::selector_mistake(&selector) {
        Some(message) => Err(ParseError::new(input, selector.span.start, message)),
        None => Ok(selector),
    }
}

fn whole_selector(input: &str, regex_bytes_left: &mut usize) -> Result<VectorSelector, ParseError> {
    let mut parser = Parser::new(input, Features::NONE);
    parser.regex_bytes_left = *regex_bytes_left;
    let selector = parser.whole_selector();
    *regex_bytes_left = parser.regex_bytes_left;
    match selector {
        Ok(selector) if parser.errors.is_empty() => Ok(selector),
        _ => Err(ParseErrors::new(parser.errors).into_first()),
    }
}

/// The rest cannot be read. What is wrong stands in the parser's list.
#[derive(Debug)]
struct Stop;

/// What one step of reading gives.
type Read<T> = Result<T, Stop>;

/// A part of the tree, and its levels below this node: 0 for a leaf.
struct Built {
    expr: Box<Expr>,
    height: usize,
}

impl Built {
    fn leaf(expr: Expr) -> Self {
        Built {
            expr: Box::new(expr),
            height: 0,
        }
    }
}

struct Parser<'a> {
    input: &'a str,
    lexer: Lexer<'a>,
    /// The token that comes next, once it has been looked at. Prometheus looks no sooner than it must, and of two
    /// mistakes the one it meets first counts.
    ahead: Option<Token<'a>>,
    features: Features,
    errors: Vec<ParseError>,
    /// The tail of the message for a token that does not fit: the innermost construct around that has a message.
    context: &'static str,
    /// How many levels of the tree stand above the part being read.
    depth: usize,
    /// How many regular expressions were compiled, and what all others may take.
    regexes: usize,
    regex_bytes_left: usize,
}

impl<'a> Parser<'a> {
    fn new(input: &'a str, features: Features) -> Self {
        Parser {
            input,
            lexer: Lexer::new(input),
            ahead: None,
            features,
            errors: Vec::new(),
            context: "",
            depth: 0,
            regexes: 0,
            regex_bytes_left: REGEX_BYTES_MAX,
        }
    }

    /// Refuses what is too long to be read.
    fn begin(&mut self) -> Read<()> {
        if self.input.len() <= INPUT_BYTES_MAX {
            return Ok(());
        }
        let message = format!(
            "input of {} bytes is over the limit of {INPUT_BYTES_MAX}",
            self.input.len()
        );
        Err(self.stop(0, message))
    }

    /// The next token, which stays the next.
    fn peek(&mut self) -> Read<Token<'a>> {
        if let Some(token) = self.ahead {
            return Ok(token);
        }
        match self.lexer.next_token() {
            Ok(token) => {
                self.ahead = Some(token);
                Ok(token)
            }
            Err(LexError { at, message }) => Err(self.stop(at, message)),
        }
    }

    /// The next token.
    fn next(&mut self) -> Read<Token<'a>> {
        let token = self.peek()?;
        self.ahead = None;
        Ok(token)
    }

    /// The next token if it is of this kind.
    fn accept(&mut self, kind: Kind) -> Read<Option<Token<'a>>> {
        if self.peek()?.kind == kind {
            self.next().map(Some)
        } else {
            Ok(None)
        }
    }

    /// The next token, which must be of this kind.
    fn expect(&mut self, kind: Kind) -> Read<Token<'a>> {
        let token = self.next()?;
        if token.kind == kind {
            Ok(token)
        } else {
            Err(self.unexpected(&token))
        }
    }

    /// Reads with another tail for the message of a token that does not fit.
    fn within<T>(
        &mut self,
        context: &'static str,
        read: impl FnOnce(&mut Self) -> Read<T>,
    ) -> Read<T> {
        let outer = std::mem::replace(&mut self.context, context);
        let result = read(self);
        self.context = outer;
        result
    }

    /// Reads one level further down, unless that is too deep.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth == NESTING_MAX {
            let at = self.peek()?.start;
            return Err(self.too_deep(at));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// The levels of a node above parts of this height, unless there are too many.
    fn above(&mut self, at: usize, height: usize) -> Read<usize> {
        if height < NESTING_MAX {
            Ok(height + 1)
        } else {
            Err(self.too_deep(at))
        }
    }

    fn too_deep(&mut self, at: usize) -> Stop {
        self.stop(
            at,
            format!("expression is nested more than {NESTING_MAX} levels deep"),
        )
    }

    /// The end of reading at a token that does not fit.
    fn unexpected(&mut self, token: &Token<'a>) -> Stop {
        let message = format!("unexpected {}{}", token.describe(), self.context);
        self.stop(token.start, message)
    }

    fn stop(&mut self, at: usize, message: impl Into<String>) -> Stop {
        self.mistake(at, message);
        Stop
    }

    /// Notes a mistake that does not end the reading.
    fn mistake(&mut self, at: usize, message: impl Into<String>) {
        if self.errors.len() < MISTAKES_MAX {
            self.errors.push(ParseError::new(self.input, at, message));
        }
    }

    /// Whether an experimental part is switched on.
    fn has(&self, feature: Feature) -> bool {
        self.features.has(feature)
    }
}

fn span(token: &Token<'_>) -> Span {
    Span::new(token.start, token.end())
}

#[cfg(test)]
mod tests;
