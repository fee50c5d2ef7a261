//! What went wrong, with Prometheus' error types and the codes that belong to them.

use http::{Response, StatusCode};

use super::super::body::Body;
use super::super::json;
use crate::pool::Lost;
use crate::promql::{ParseError, ParseErrors};
use crate::query::{ErrorKind, QueryError};

/// The type of an error, as clients read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    BadData,
    Execution,
    Canceled,
    Timeout,
    Internal,
    Unavailable,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Canceled => StatusCode::from_u16(499).expect("three digits"),
            Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Why a request gets no data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct ApiError {
    pub(super) kind: Kind,
    pub(super) text: String,
}

impl ApiError {
    pub(super) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }

    /// The request is wrong.
    pub(super) fn bad_data(text: impl Into<String>) -> Self {
        Self::new(Kind::BadData, text)
    }

    /// One parameter is wrong.
    pub(super) fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {why}"))
    }

    /// As the API answers it.
    pub(super) fn response(&self) -> Response<Body> {
        json::error(self.kind.status(), self.kind.as_str(), &self.text)
    }
}

/// What is wrong with a query as it stands is wrong with the parameter that holds it.
impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let kind = match error.kind {
            ErrorKind::BadData => return Self::parameter("query", error.text),
            ErrorKind::Execution => Kind::Execution,
            ErrorKind::Timeout => Kind::Timeout,
            ErrorKind::Canceled => Kind::Canceled,
            ErrorKind::Internal => Kind::Internal,
        };
        Self::new(kind, error.text)
    }
}

impl From<ParseErrors> for ApiError {
    fn from(errors: ParseErrors) -> Self {
        let first: ParseError = errors.into_first();
        Self::parameter("query", first)
    }
}

impl From<Lost> for ApiError {
    fn from(lost: Lost) -> Self {
        Self::new(Kind::Internal, lost.to_string())
    }
}
