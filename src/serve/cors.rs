//! Which other web pages may read the API: the answer's headers for the origins that `--web.cors.origin` names.
//!
//! As in Prometheus (`util/httputil/cors.go`), except that without the flag no page may: what a browser reaches with
//! its user's password is nobody else's.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use http::{Method, Request, Response, StatusCode};

use super::body::Body;
use crate::model::regex::{Regex, RegexError};

/// Origins that may read the API.
#[derive(Clone, Debug)]
pub struct Cors {
    origin: Regex,
}

impl Cors {
    /// Origins that match a pattern as a whole.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        Ok(Self {
            origin: Regex::new(pattern)?,
        })
    }

    /// The answer to a browser that asks what it may do, before it sends a request to the API.
    pub(super) fn preflight<B>(request: &Request<B>) -> Option<Response<Body>> {
        let asks = request.method() == Method::OPTIONS && is_api(request.uri().path());
        asks.then(|| {
            let mut response = Response::new(Body::full(bytes::Bytes::new()));
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        })
    }

    /// Adds what lets the page at `origin` read an answer of `path`.
    pub(super) fn sign(&self, path: &str, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        if !is_api(path) {
            return;
        }
        // Also without an origin, since a cache must not give such an answer to a page.
        answer.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin else {
            return;
        };
        for (name, text) in [
            (
                ACCESS_CONTROL_ALLOW_HEADERS,
                "Accept, Authorization, Content-Type, Origin",
            ),
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ] {
            answer.insert(name, HeaderValue::from_static(text));
        }
        let allowed = if self.origin.as_str() == ".*" {
            Some(HeaderValue::from_static("*"))
        } else {
            let matches = |text: &str| self.origin.is_match(text);
            let allowed = origin.to_str().is_ok_and(matches);
            allowed.then(|| origin.clone())
        };
        // An upstream's answer that is passed on may have one that is its own.
        answer.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
        if let Some(allowed) = allowed {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        }
    }
}

/// The origin that a request names.
pub(super) fn origin<B>(request: &Request<B>) -> Option<HeaderValue> {
    request.headers().get(ORIGIN).cloned()
}

/// `/api/…`, and the same of one cluster.
fn is_api(path: &str) -> bool {
    let of_cluster = |path: &str| {
        let (_, rest) = path.strip_prefix("/clusters/")?.split_once('/')?;
        Some(rest.starts_with("api/"))
    };
    path.starts_with("/api/") || of_cluster(path).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_named_origins_may_read_the_api() {
        fn check(pattern: &str, path: &str, origin: &str, want: Option<&str>) {
            let origin = (!origin.is_empty()).then(|| origin.parse().unwrap());
            let mut answer = HeaderMap::new();
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, "upstream".parse().unwrap());
            let cors = Cors::new(pattern).unwrap();
            cors.sign(path, origin.as_ref(), &mut answer);
            let got = answer.get(ACCESS_CONTROL_ALLOW_ORIGIN);
            let got = got.map(|value| value.to_str().unwrap());
            assert_eq!(got, want, "{pattern} {path} {origin:?}");
        }
        let (api, page) = ("/api/v1/clusters", "https://a.example.com");
        let one = r"https://a\.example\.com";
        check(one, api, page, Some(page));
        check(one, "/clusters/c/api/v1/query", page, Some(page));
        check(".*", api, page, Some("*"));
        check(one, api, "https://b.example.com", None);
        check(one, api, "https://a.example.com.evil.org", None);
        check(one, api, "x https://a.example.com", None);
        check("https://.*", api, "http://a", None);
        // Nothing is done where there is no API or no page.
        check(one, api, "", Some("upstream"));
        check(one, "/federate", page, Some("upstream"));
        check(one, "/clusters/c/federate", page, Some("upstream"));
        check(one, "/clusters/api/", page, Some("upstream"));
        assert!(Cors::new("(").is_err());
    }
}
