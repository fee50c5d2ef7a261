//! Why a pattern is refused, worded as Go's `regexp/syntax` words it, since users know those texts from Prometheus.

use thiserror::Error;

/// A pattern that RE2 refuses, or that is too large. Displays like Go's:
/// ``error parsing regexp: missing closing ): `abc(def` ``.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("error parsing regexp: {kind}: `{expression}`")]
pub struct RegexError {
    kind: RegexErrorKind,
    expression: String,
}

impl RegexError {
    pub(super) fn new(kind: RegexErrorKind, expression: &str) -> Self {
        Self {
            kind,
            expression: expression.to_owned(),
        }
    }

    /// What is wrong.
    pub fn kind(&self) -> RegexErrorKind {
        self.kind
    }

    /// The part of the pattern that is at fault, sometimes the whole pattern.
    pub fn expression(&self) -> &str {
        &self.expression
    }
}

/// What is wrong with a pattern; one variant per error code of Go's `regexp/syntax` that a UTF-8 pattern can raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the text of each variant is its documentation")]
pub enum RegexErrorKind {
    #[error("invalid character class range")]
    InvalidCharRange,
    #[error("invalid escape sequence")]
    InvalidEscape,
    #[error("invalid named capture")]
    InvalidNamedCapture,
    #[error("invalid or unsupported Perl syntax")]
    InvalidPerlSyntax,
    #[error("invalid nested repetition operator")]
    InvalidRepeatOperator,
    #[error("invalid repeat count")]
    InvalidRepeatCount,
    #[error("missing closing ]")]
    MissingBracket,
    #[error("missing closing )")]
    MissingParen,
    #[error("missing argument to repetition operator")]
    MissingRepeatArgument,
    #[error("trailing backslash at end of expression")]
    TrailingBackslash,
    #[error("unexpected )")]
    UnexpectedParen,
    #[error("expression nests too deeply")]
    NestingDepth,
    #[error("expression too large")]
    TooLarge,
}
