//! Tokens to tree. So far vector selectors only; nothing here recurses.
//!
//! The grammar and the messages are those of Prometheus (`promql/parser/generated_parser.y`, `parse.go`): a message
//! names the token that does not fit, what was being read, and what would have fitted. Only the first error is kept,
//! which is the one Prometheus shows.

use std::fmt;

use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::promql::ast::{Extent, Length, Span, VectorSelector};
use crate::promql::lex::{Kind, LexError, Lexer, Operator, Token, unquote};
use crate::promql::print::quote;

/// The most levels of a tree: parentheses, calls, signs, and operators in a row. Everything that walks a tree may recurse
/// this deep.
pub const NESTING_MAX: usize = 200;

/// The longest text that is parsed, in bytes. Prometheus has no limit of its own but that of a request.
pub const INPUT_BYTES_MAX: usize = 256 * 1024;

/// The most matchers in one selector, since each may cost the compilation of a regular expression.
pub const MATCHERS_MAX: usize = 500;

/// Text that is not what it should be. Displays as Prometheus does: `1:4: parse error: unexpected <op:->`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{position}: parse error: {message}")]
pub struct ParseError {
    position: Position,
    message: String,
}

impl ParseError {
    fn new(input: &str, offset: usize, message: impl Into<String>) -> Self {
        ParseError {
            position: Position::new(input, offset),
            message: message.into(),
        }
    }

    /// Where the error is.
    pub fn position(&self) -> Position {
        self.position
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// A place in a query. Displays as `line:column`; in an empty query as `unknown position`, as Prometheus has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Bytes from the start of the query.
    pub offset: usize,
    /// The line, counted from 1; 0 in an empty query.
    pub line: usize,
    /// The byte within the line, counted from 1; 0 in an empty query.
    pub column: usize,
}

impl Position {
    /// The place of the byte at `offset`, which begins a character or is one past the end.
    fn new(input: &str, offset: usize) -> Self {
        if input.is_empty() {
            return Position {
                offset,
                line: 0,
                column: 0,
            };
        }
        let before = &input[..offset];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = 1 + before.matches('\n').count();
        Position {
            offset,
            line,
            column: offset - line_start + 1,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str("unknown position"),
            line => write!(f, "{line}:{}", self.column),
        }
    }
}

/// Reads a vector selector and nothing else, as Prometheus reads `match[]`.
///
/// Matchers come in written order; a name before the braces comes last, as `__name__="…"`. As in Prometheus' function
/// of this name, `{}` is fine here and a name may be given twice: those are rules for expressions, see
/// [`parse_vector_selector`]. Refused beyond Prometheus: strings whose escapes make no UTF-8, and input over
/// [`INPUT_BYTES_MAX`] or [`MATCHERS_MAX`].
pub fn parse_metric_selector(input: &str) -> Result<Vec<Matcher>, ParseError> {
    selector(input).map(|selector| selector.matchers)
}

/// Reads a vector selector as Prometheus reads it within an expression: one metric name at most when it stands before
/// the braces, and at least one matcher that does not match the empty string.
pub fn parse_vector_selector(input: &str) -> Result<VectorSelector, ParseError> {
    let selector = selector(input)?;
    let fail = |message: String| Err(ParseError::new(input, selector.span.start, message));
    let Some(name) = &selector.name else {
        if has_non_empty_matcher(&selector.matchers) {
            return Ok(selector);
        }
        return fail("vector selector must contain at least one non-empty matcher".to_owned());
    };
    let inside = selector
        .matchers
        .split_last()
        .map_or(&[][..], |(_, inside)| inside);
    match inside.iter().find(|m| m.name() == METRIC_NAME) {
        Some(other) => {
            let (name, other) = (quote(name), quote(other.value()));
            fail(format!(
                "metric name must not be set twice: {name} or {other}"
            ))
        }
        None => Ok(selector),
    }
}

/// Whether some matcher refuses the empty string, so that the selector cannot mean every series by mistake.
pub fn has_non_empty_matcher(matchers: &[Matcher]) -> bool {
    matchers.iter().any(|m| !m.matches(""))
}

/// The grammar's `vector_selector`, up to the end of the input.
fn selector(input: &str) -> Result<VectorSelector, ParseError> {
    if input.len() > INPUT_BYTES_MAX {
        let message = format!(
            "input of {} bytes is over the limit of {INPUT_BYTES_MAX}",
            input.len()
        );
        return Err(ParseError::new(input, 0, message));
    }
    let mut parser = Parser {
        input,
        lexer: Lexer::new(input),
    };
    let first = parser.next()?;
    let (name, open) = if first.kind.can_be_metric_name() {
        (Some(first.text), parser.next()?)
    } else {
        (None, first)
    };
    let (mut matchers, end, behind) = match (open.kind, name) {
        (Kind::LeftBrace, _) => {
            let (matchers, end) = parser.label_matchers()?;
            (matchers, end, parser.next()?)
        }
        (_, Some(_)) => (Vec::new(), first.end(), open),
        (_, None) => return Err(parser.unexpected(&open, "")),
    };
    if behind.kind != Kind::Eof {
        return Err(parser.unexpected(&behind, ""));
    }
    if let Some(name) = name {
        matchers.push(parser.matcher(&first, MatchOp::Equal, METRIC_NAME, name)?);
    }
    Ok(VectorSelector {
        name: name.map(str::to_owned),
        matchers,
        offset: Length::ZERO,
        at: None,
        extent: Extent::Plain,
        may_match_everything: false,
        span: Span::new(first.start, end),
    })
}

struct Parser<'a> {
    input: &'a str,
    lexer: Lexer<'a>,
}

/// What was being read when a token did not fit, and what would have fitted: the tail of the message.
const WANT_LABEL: &str = r#" in label matching, expected identifier or "}""#;
const WANT_OPERATOR: &str = " in label matching, expected label matching operator";
const WANT_VALUE: &str = " in label matching, expected string";
const WANT_COMMA: &str = r#" in label matching, expected "," or "}""#;

impl<'a> Parser<'a> {
    /// Everything behind `{`, and the offset behind the closing brace. Commas separate, and one may come last.
    fn label_matchers(&mut self) -> Result<(Vec<Matcher>, usize), ParseError> {
        let mut matchers = Vec::new();
        let mut token = self.next()?;
        while token.kind != Kind::RightBrace {
            if matchers.len() == MATCHERS_MAX {
                return Err(self.error(
                    token.start,
                    format!("more than {MATCHERS_MAX} label matchers"),
                ));
            }
            let (matcher, behind) = self.label_matcher(&token)?;
            matchers.push(matcher);
            token = match behind.kind {
                Kind::Comma => self.next()?,
                Kind::RightBrace => behind,
                _ => return Err(self.unexpected(&behind, WANT_COMMA)),
            };
        }
        Ok((matchers, token.end()))
    }

    /// One matcher, or a quoted metric name, that begins with `first`; and the token behind it.
    ///
    /// Each token is asked for only when the one before has been dealt with: of two mistakes Prometheus reports the
    /// one it meets first, and a bad regex counts as met before the next token is read.
    fn label_matcher(&mut self, first: &Token<'a>) -> Result<(Matcher, Token<'a>), ParseError> {
        let label = match first.kind {
            Kind::Identifier => first.text.to_owned(),
            Kind::String => self.unquote(first)?,
            _ => return Err(self.unexpected(first, WANT_LABEL)),
        };
        let operator = self.next()?;
        let Some(op) = match_op(operator.kind) else {
            if first.kind == Kind::String {
                return Ok((
                    self.matcher(first, MatchOp::Equal, METRIC_NAME, &label)?,
                    operator,
                ));
            }
            return Err(self.unexpected(&operator, WANT_OPERATOR));
        };
        let value = self.next()?;
        if value.kind != Kind::String {
            return Err(self.unexpected(&value, WANT_VALUE));
        }
        let matcher = self.matcher(first, op, &label, &self.unquote(&value)?)?;
        Ok((matcher, self.next()?))
    }

    /// Builds a matcher; a regex that does not compile is an error at the matcher's first token.
    fn matcher(
        &self,
        at: &Token<'a>,
        op: MatchOp,
        label: &str,
        value: &str,
    ) -> Result<Matcher, ParseError> {
        Matcher::new(op, label, value).map_err(|err| self.error(at.start, err.to_string()))
    }

    fn unquote(&self, token: &Token<'a>) -> Result<String, ParseError> {
        unquote(token.text).map_err(|err| {
            self.error(
                token.start,
                format!("error unquoting string {}: {err}", quote(token.text)),
            )
        })
    }

    fn next(&mut self) -> Result<Token<'a>, ParseError> {
        let input = self.input;
        self.lexer
            .next_token()
            .map_err(|LexError { at, message }| ParseError::new(input, at, message))
    }

    fn unexpected(&self, token: &Token<'a>, tail: &str) -> ParseError {
        self.error(
            token.start,
            format!("unexpected {}{tail}", token.describe()),
        )
    }

    fn error(&self, offset: usize, message: String) -> ParseError {
        ParseError::new(self.input, offset, message)
    }
}

/// The comparison that an operator inside braces stands for.
fn match_op(kind: Kind) -> Option<MatchOp> {
    match kind {
        Kind::Assign => Some(MatchOp::Equal),
        Kind::Operator(Operator::NotEqual) => Some(MatchOp::NotEqual),
        Kind::Operator(Operator::EqualRegex) => Some(MatchOp::Regex),
        Kind::Operator(Operator::NotEqualRegex) => Some(MatchOp::NotRegex),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
