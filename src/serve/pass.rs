//! `/clusters/NAME/…`: one cluster as if it were reached directly.
//!
//! `/clusters/NAME/api/v1/…` goes to the cluster's own server: the endpoints of the list in [`path`], with the cluster's
//! credentials and none of the caller's headers. What comes back is its answer, byte for byte and piece by piece,
//! under its status, with headers of ours: and only JSON, so that nobody's page speaks in our name.
//! `/clusters/NAME/federate` is the cluster's part of our own `/federate`.

mod path;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue,
    RETRY_AFTER, VARY,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::debug;

use self::path::{Path, Place};
use super::body::Body;
use super::federate::{accepts_gzip, answer_of, header};
use super::form::{self, FormError};
use super::gate::{Closed, Gate, Passage};
use super::{Served, json};
use crate::cluster::FetchError;
use crate::cluster::http::{VIA_MAX, via_of};
use crate::cluster::pass::{Ask, Passed};
use crate::promql;

pub(super) use self::path::escape;

/// Where these paths begin.
pub(super) const PREFIX: &str = "/clusters/";

/// Time for a whole answer: a little more than a Prometheus gives a query, so that its own error is heard.
const DEADLINE: Duration = Duration::from_secs(130);

/// The same where the caller names a `timeout`: added to it.
const GRACE: Duration = Duration::from_secs(5);

/// The handler's name in our metrics, and its answer.
pub(super) async fn answer(
    request: Request<Incoming>,
    served: &Arc<Served>,
) -> (&'static str, Response<Body>) {
    let uri = request.uri();
    if uri.authority().is_some() {
        let why = "the request names a server: ask for the path alone";
        return ("/clusters", refusal(StatusCode::FORBIDDEN, why));
    }
    let path = uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let Path { cluster, place } = match path::read(path) {
        Ok(path) => path,
        Err(unclean) => {
            let why = format!("the path {unclean}");
            return ("/clusters", refusal(StatusCode::FORBIDDEN, why));
        }
    };
    let found = served.gates.get(&cluster).zip(served.store.slot(&cluster));
    let Some((gate, slot)) = found else {
        let why = format!("there is no cluster {cluster:?}: see /api/v1/clusters for their names");
        return ("/clusters", refusal(StatusCode::NOT_FOUND, why));
    };
    match place {
        Place::Nowhere => {
            let why = "nothing passes here but /federate and the endpoints of the query API that read: query, \
                       query_range, query_exemplars, series, labels, label/NAME/values, metadata, format_query, \
                       parse_query, targets, targets/metadata, rules, alerts, status/{buildinfo,runtimeinfo,tsdb}";
            ("/clusters", refusal(StatusCode::NOT_FOUND, why))
        }
        Place::Federate => {
            let response = match *request.method() {
                Method::GET | Method::HEAD => answer_of(&request, served, &slot, &gate).await,
                _ => other_method(request.method(), "GET, HEAD"),
            };
            ("/clusters/:name/federate", response)
        }
        Place::Api { path, form } => {
            let answer = api(request, served, &gate, &path, form).await;
            let response = answer.unwrap_or_else(|refused| refused);
            ("/clusters/:name/api/v1", response)
        }
    }
}

/// An endpoint of the query API.
async fn api(
    request: Request<Incoming>,
    served: &Served,
    gate: &Gate,
    path: &str,
    form: bool,
) -> Result<Response<Body>, Response<Body>> {
    let allowed = if form { "GET, HEAD, POST" } else { "GET, HEAD" };
    let posted = form && *request.method() == Method::POST;
    if !posted && !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(other_method(request.method(), allowed));
    }
    if !gate.settings().query {
        let why = format!(
            "{} has query: false, so its query API cannot be asked through here",
            gate.name()
        );
        return Err(refusal(StatusCode::FORBIDDEN, why));
    }
    let begin = Instant::now();
    let (head, body) = request.into_parts();
    let via = via(&head.headers, &served.instance_id).map_err(unavailable)?;
    let query = head.uri.query();
    let form = if posted {
        let within = form::PATIENCE.min(patience(query, None));
        Some(read_form(&head.headers, body, within).await?)
    } else {
        None
    };
    let deadline = begin + patience(query, form.as_deref());
    let passage = served
        .gates
        .enter(gate, deadline)
        .await
        .map_err(|closed| full(gate, &closed))?;
    let ask = Ask {
        target: query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")),
        form,
        gzip: accepts_gzip(header(&head.headers, ACCEPT_ENCODING)),
        via,
    };
    let used = served.status(gate.name());
    let used = used.map_or(0, |status| status.load().used);
    let passed = gate.pass(ask, used, &served.pool, deadline).await;
    let passed = passed.map_err(|error| unreachable(gate, &error, begin.elapsed()))?;
    Ok(respond(&head, gate, passed, passage, deadline))
}

/// The ids of the Tributaries on the request's way, ours behind them. A request that has been here, or in too many
/// places, goes in a circle.
fn via(headers: &HeaderMap, own: &str) -> Result<HeaderValue, &'static str> {
    let mut ids = via_of(headers);
    if ids.iter().any(|id| id == own) || ids.len() >= VIA_MAX {
        return Err(
            "this request goes in a circle: the cluster's url leads back to Tributary itself",
        );
    }
    ids.push(own.to_owned());
    HeaderValue::try_from(ids.join(",")).map_err(|_| "the request's way cannot be read")
}

/// Reads a form whole: it must be there before a place is taken.
async fn read_form(
    headers: &HeaderMap,
    body: Incoming,
    within: Duration,
) -> Result<Bytes, Response<Body>> {
    let is_empty = header(headers, CONTENT_LENGTH) == "0";
    if headers.contains_key(CONTENT_ENCODING) || !(form::is_form(headers) || is_empty) {
        let why = format!("a POST must carry {}, not compressed", form::MEDIA_TYPE);
        return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    form::read(body, within).await.map_err(|error| {
        let status = match error {
            FormError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            FormError::Broken(_) => StatusCode::BAD_REQUEST,
            FormError::Late => StatusCode::REQUEST_TIMEOUT,
        };
        refusal(status, error.to_string())
    })
}

/// How long the whole may take. A `timeout` of the query bounds it too: nobody waits for an answer behind it.
fn patience(query: Option<&str>, form: Option<&[u8]>) -> Duration {
    let parts = [form, query.map(str::as_bytes)].into_iter().flatten();
    let mut named = parts
        .flat_map(form_urlencoded::parse)
        .filter(|(name, _)| name == "timeout");
    let duration = |text: &str| match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => promql::lex::duration(text).ok(),
    };
    let timeout = named.next().and_then(|(_, text)| duration(&text));
    timeout.map_or(DEADLINE, |timeout| {
        timeout.saturating_add(GRACE).min(DEADLINE)
    })
}

/// The cluster's answer under headers of ours, or what is wrong with it.
fn respond(
    request: &Parts,
    gate: &Gate,
    passed: Passed,
    passage: Passage,
    deadline: Instant,
) -> Response<Body> {
    if let Some(why) = unfit(
        &passed,
        accepts_gzip(header(&request.headers, ACCEPT_ENCODING)),
    ) {
        return unavailable(format!("{} {why}", gate.name()));
    }
    let empty = request.method == Method::HEAD || passed.status == StatusCode::NO_CONTENT;
    let mut response = if empty {
        Response::new(Body::full(Bytes::new()))
    } else {
        Response::new(Body::passed(passed.body, passed.length, passage, deadline))
    };
    *response.status_mut() = passed.status;
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if passed.status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_TYPE, json::JSON);
    }
    if passed.encoding.is_some() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Some(retry_after) = passed.retry_after {
        headers.insert(RETRY_AFTER, retry_after);
    }
    if let (&Method::HEAD, Some(length)) = (&request.method, passed.length) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    response
}

/// Why an answer cannot be passed on; what the server itself says of it stays out.
fn unfit(passed: &Passed, gzip: bool) -> Option<String> {
    let status = passed.status.as_u16();
    if passed.status.is_redirection() {
        return Some(format!(
            "answered {status}, a redirect, which is not followed: write its target as url"
        ));
    }
    if matches!(
        passed.status,
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED
    ) {
        return Some(format!(
            "answered {status}: it does not take the credentials in our configuration"
        ));
    }
    if passed.status != StatusCode::NO_CONTENT && passed.media_type != "application/json" {
        return Some(format!(
            "answered {status} with {:.60?} and not with JSON",
            passed.media_type
        ));
    }
    match passed.encoding.as_deref() {
        None => None,
        Some("gzip") if gzip => None,
        Some(other) => Some(format!(
            "answered with Content-Encoding {other:.20?}, which was not asked for"
        )),
    }
}

/// 502 or 504 in Prometheus' form.
fn unreachable(gate: &Gate, error: &FetchError, after: Duration) -> Response<Body> {
    let name = gate.name();
    debug!(cluster = name, %error, "A request did not come through.");
    match error {
        FetchError::Timeout(_) => {
            let why = format!("{name} did not answer within {:.0} s", after.as_secs_f64());
            json::error(StatusCode::GATEWAY_TIMEOUT, "timeout", why)
        }
        // Names of our own files are no business of the caller.
        FetchError::Secret(_)
        | FetchError::Files(_)
        | FetchError::Token { .. }
        | FetchError::Unusable { .. } => {
            let why = "its certificates or credentials cannot be used now";
            unavailable(format!("{name} cannot be asked: {why}"))
        }
        error => unavailable(format!("{name} cannot be asked: {error}")),
    }
}

fn unavailable(why: impl AsRef<str>) -> Response<Body> {
    json::error(StatusCode::BAD_GATEWAY, "unavailable", why)
}

fn full(gate: &Gate, closed: &Closed) -> Response<Body> {
    let why = format!("{}: {closed}", gate.name());
    let mut response = json::error(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("2"));
    response
}

/// The caller's mistake.
fn refusal(status: StatusCode, why: impl AsRef<str>) -> Response<Body> {
    let kind = match status {
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::FORBIDDEN => "forbidden",
        _ => "bad_data",
    };
    json::error(status, kind, why)
}

/// `OPTIONS` is told what is allowed; anything else is refused with the same list.
fn other_method(method: &Method, allowed: &'static str) -> Response<Body> {
    let mut response = if *method == Method::OPTIONS {
        let mut response = Response::new(Body::full(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    } else {
        let why = format!("only {allowed} are answered here");
        refusal(StatusCode::METHOD_NOT_ALLOWED, why)
    };
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::http::VIA;

    #[test]
    fn a_named_timeout_bounds_the_whole() {
        let check = |query: &str, form: Option<&str>, want: Duration| {
            let got = patience(Some(query), form.map(str::as_bytes));
            assert_eq!(got, want, "{query} {form:?}");
        };
        let seconds = Duration::from_secs;
        check("query=up", None, DEADLINE);
        check("query=up&timeout=7", None, seconds(12));
        check("timeout=1m30s", None, seconds(95));
        check("timeout=0.5", None, seconds(5) + Duration::from_millis(500));
        check("timeout=1h", None, DEADLINE);
        check("timeout=1s", Some("timeout=2s"), seconds(7));
        for nonsense in ["", "-1", "NaN", "inf", "1e300", "soon"] {
            check(&format!("timeout={nonsense}"), None, DEADLINE);
        }
    }

    #[test]
    fn a_request_that_was_here_goes_in_a_circle() {
        let with = |ids: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(VIA, HeaderValue::try_from(ids).unwrap());
            via(&headers, "own").ok()
        };
        assert_eq!(via(&HeaderMap::new(), "own").unwrap(), "own");
        assert_eq!(with("a, b").unwrap(), "a,b,own");
        assert_eq!(with("a,own,b"), None);
        assert_eq!(with(&vec!["x"; VIA_MAX].join(",")), None);
    }
}
