//! Why a query has no answer: Prometheus' error types and texts.

use super::budget::Stop;
use super::source::SourceError;
use crate::promql::{ParseError, ParseErrors};

/// The type of an error, as the HTTP API names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The query is wrong as it stands.
    BadData,
    /// It cannot be answered with this data.
    Execution,
    /// The deadline has passed.
    Timeout,
    /// Nobody waited for the answer.
    Canceled,
    /// Our own fault.
    Internal,
}

impl ErrorKind {
    /// The word in `errorType`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Internal => "internal",
        }
    }
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct QueryError {
    /// The type.
    pub kind: ErrorKind,
    /// What is wrong, in Prometheus' words where it has some.
    pub text: String,
}

impl QueryError {
    fn new(kind: ErrorKind, text: String) -> Self {
        Self { kind, text }
    }

    /// The query is wrong as it stands.
    pub fn bad_data(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, text.into())
    }

    /// It cannot be answered with this data.
    pub fn execution(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Execution, text.into())
    }

    /// Our own fault.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, text.into())
    }

    /// Two series have become the same.
    pub(super) fn same_labels() -> Self {
        Self::execution("vector cannot contain metrics with the same labelset")
    }
}

impl From<Stop> for QueryError {
    fn from(stop: Stop) -> Self {
        let kind = match stop {
            Stop::Samples
            | Stop::AllSamples { .. }
            | Stop::Memory { .. }
            | Stop::AllMemory { .. } => ErrorKind::Execution,
            Stop::Timeout(_) => ErrorKind::Timeout,
            Stop::Canceled(_) => ErrorKind::Canceled,
        };
        Self::new(kind, stop.to_string())
    }
}

impl From<SourceError> for QueryError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Unavailable(text) => Self::execution(format!("expanding series: {text}")),
            SourceError::Internal(text) => Self::internal(text),
            SourceError::Budget(stop) => stop.into(),
        }
    }
}

impl From<ParseError> for QueryError {
    fn from(error: ParseError) -> Self {
        Self::bad_data(error.to_string())
    }
}

impl From<ParseErrors> for QueryError {
    fn from(errors: ParseErrors) -> Self {
        errors.into_first().into()
    }
}
