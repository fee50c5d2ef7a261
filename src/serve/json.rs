//! Answers in the envelope of Prometheus' API.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use super::body::Body;

/// What `Content-Type` says of JSON.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    status: &'static str,
    error_type: &'static str,
    error: &'a str,
}

/// Any value as an answer.
pub(super) fn answer(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let (status, body) = match serde_json::to_vec(value) {
        Ok(body) => (status, body),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Vec::new()),
    };
    let mut response = Response::new(Body::full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// `{"status":"error","errorType":…,"error":…}`, which Grafana shows.
pub(super) fn error(
    status: StatusCode,
    error_type: &'static str,
    error: impl AsRef<str>,
) -> Response<Body> {
    let failure = Failure {
        status: "error",
        error_type,
        error: error.as_ref(),
    };
    answer(status, &failure)
}
