//! What is wrong with a query, and where.

use std::fmt;

/// Text that is not what it should be. Displays as Prometheus does: `1:4: parse error: unexpected <op:->`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{position}: parse error: {message}")]
pub struct ParseError {
    position: Position,
    message: String,
}

impl ParseError {
    /// A mistake at a byte of the query.
    pub fn new(input: &str, offset: usize, message: impl Into<String>) -> Self {
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

/// All that is wrong with a query, one mistake at least. Displays as the first, which is what Prometheus shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0[0])]
pub struct ParseErrors(Vec<ParseError>);

impl ParseErrors {
    /// From a list that is not empty.
    pub(super) fn new(errors: Vec<ParseError>) -> Self {
        debug_assert!(!errors.is_empty(), "an error that says nothing");
        ParseErrors(errors)
    }

    /// All of them, in the order in which they were met.
    pub fn all(&self) -> &[ParseError] {
        &self.0
    }

    /// The one to show.
    pub fn into_first(mut self) -> ParseError {
        self.0.swap_remove(0)
    }
}

impl From<ParseError> for ParseErrors {
    fn from(error: ParseError) -> Self {
        ParseErrors(vec![error])
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
    pub fn new(input: &str, offset: usize) -> Self {
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
