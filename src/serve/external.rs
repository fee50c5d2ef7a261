//! Where others reach us: `--web.external-url`, with Prometheus' meaning. Its path stands before all of ours.

use std::borrow::Cow;

use http::header::{HOST, LOCATION};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};

use super::body::Body;
use super::text;

/// A URL as `https://metrics.example.com/tributary`, or its path alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalUrl {
    /// Scheme, and host with port.
    origin: Option<(&'static str, String)>,
    /// Empty, or a path without a slash at its end.
    prefix: String,
}

impl ExternalUrl {
    /// Reads the flag's text; the error says what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            let shown = if text.contains('@') {
                "the URL".to_owned()
            } else {
                format!("{text:?}")
            };
            format!(
                "{shown} {why}; write it like https://metrics.example.com/tributary or /tributary"
            )
        };
        let uri: Uri = text.parse().map_err(|_| bad("is no URL"))?;
        let origin = match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) => Some(("http", authority)),
            (Some("https"), Some(authority)) => Some(("https", authority)),
            (None, None) if text.starts_with('/') => None,
            _ => {
                return Err(bad(
                    "begins neither with http:// or https:// nor with a slash",
                ));
            }
        };
        if text.contains(['?', '#', '@']) {
            return Err(bad("has a user, query or fragment"));
        }
        let prefix = uri.path().trim_end_matches('/');
        let plain = |segment: &str| {
            let bytes = segment.bytes();
            !matches!(segment, "" | "." | "..")
                && bytes
                    .clone()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        };
        if !prefix.is_empty() && !prefix[1..].split('/').all(plain) {
            return Err(bad(
                "has a path of other characters than letters, digits and -._~",
            ));
        }
        Ok(Self {
            origin: origin.map(|(scheme, authority)| (scheme, with_port(authority, scheme))),
            prefix: prefix.to_owned(),
        })
    }
}

/// The path that stands before all of ours; often empty.
pub(super) fn prefix(external: Option<&ExternalUrl>) -> &str {
    external.map_or("", |url| &url.prefix)
}

/// Scheme, and host with port, at which a client reaches us: as the flag says, else as the client itself did, by the
/// scheme that we speak.
pub(super) fn origin<'a>(
    external: Option<&'a ExternalUrl>,
    spoken: &'static str,
    headers: &HeaderMap,
) -> Option<(&'static str, Cow<'a, str>)> {
    if let Some((scheme, host)) = external.and_then(|url| url.origin.as_ref()) {
        return Some((scheme, host.into()));
    }
    let named = headers.get(HOST).map(HeaderValue::as_bytes);
    let host = named.and_then(|host| Authority::try_from(host).ok());
    let host = host.filter(|host| !host.as_str().contains('@'))?;
    Some((spoken, with_port(&host, spoken).into()))
}

fn with_port(authority: &Authority, scheme: &str) -> String {
    if authority.port().is_some() {
        return authority.to_string();
    }
    let port = if scheme == "https" { 443 } else { 80 };
    format!("{}:{port}", authority.host())
}

/// The request with its path as if nothing stood before it, or the answer where it asks for something else.
pub(super) fn inside<B>(
    external: Option<&ExternalUrl>,
    mut request: Request<B>,
) -> Result<Request<B>, Box<Response<Body>>> {
    let prefix = prefix(external);
    if prefix.is_empty() {
        return Ok(request);
    }
    let asked = request
        .uri()
        .path_and_query()
        .map_or("/", PathAndQuery::as_str);
    let rest = asked
        .strip_prefix(prefix)
        .filter(|rest| rest.starts_with('/'));
    let Some(Ok(rest)) = rest.map(PathAndQuery::try_from) else {
        return Err(outside(asked, prefix));
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(rest);
    if parts.authority.is_some() && parts.scheme.is_none() {
        parts.scheme = Some(Scheme::HTTP);
    }
    match Uri::from_parts(parts) {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return Err(outside(request.uri().path(), prefix)),
    }
    Ok(request)
}

/// As Prometheus: the root leads to where everything is.
fn outside(asked: &str, prefix: &str) -> Box<Response<Body>> {
    if asked != "/" && asked != prefix {
        let why =
            format!("404 page not found: everything is below {prefix}/ (--web.external-url)\n");
        return text(StatusCode::NOT_FOUND, why).into();
    }
    let mut response = text(
        StatusCode::FOUND,
        format!("everything is below {prefix}/\n"),
    );
    if let Ok(location) = HeaderValue::try_from(format!("{prefix}/")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn external(text: &str) -> ExternalUrl {
        ExternalUrl::parse(text).unwrap()
    }

    #[test]
    fn the_flag_is_a_url_or_a_path() {
        let check = |text: &str, origin: Option<(&'static str, &str)>, prefix: &str| {
            let want = ExternalUrl {
                origin: origin.map(|(scheme, host)| (scheme, host.to_owned())),
                prefix: prefix.to_owned(),
            };
            assert_eq!(external(text), want, "{text}");
        };
        check("http://h", Some(("http", "h:80")), "");
        check("https://h/", Some(("https", "h:443")), "");
        check("HTTPS://H:1/a/b//", Some(("https", "H:1")), "/a/b");
        check("https://[::1]/t", Some(("https", "[::1]:443")), "/t");
        check("/t/", None, "/t");
        check("/", None, "");
        let bad = |text: &str, want: &str| {
            let error = ExternalUrl::parse(text).unwrap_err();
            assert!(
                error.contains(want) && error.contains("write it like"),
                "{text}: {error}"
            );
            assert!(!error.contains("secret"), "{error}");
        };
        bad("", "is no URL");
        bad("h:1/t", "is no URL");
        bad("h", "begins neither");
        bad("ftp://h/", "begins neither");
        bad("https://u:secret@h/", "has a user");
        bad("http://h/?a=b", "has a user, query");
        bad("http://h/a%2fb", "other characters");
        bad("http://h/../b", "other characters");
        bad("http://h/a//b", "other characters");
    }

    #[test]
    fn paths_are_read_behind_the_prefix() {
        let check = |url: &str, asked: &str, want: Result<&str, u16>| {
            let external = external(url);
            let request = Request::get(asked).body(()).unwrap();
            let got = inside(Some(&external), request);
            let got = got.map(|request| request.uri().to_string());
            let got = got.map_err(|response| response.status().as_u16());
            assert_eq!(got, want.map(str::to_owned), "{url} {asked}");
        };
        check("http://h", "/federate?a=b", Ok("/federate?a=b"));
        check("/t", "/t/federate?a=b", Ok("/federate?a=b"));
        check("/t", "/t/", Ok("/"));
        check("/t", "http://h/t/clusters/a", Ok("http://h/clusters/a"));
        check("/t", "/t", Err(302));
        check("/t", "/", Err(302));
        check("/t", "/federate", Err(404));
        check("/t", "/tt/federate", Err(404));
        check("/t", "/t//federate", Ok("//federate"));
    }

    #[test]
    fn the_origin_is_the_flag_s_or_the_client_s() {
        let check = |external: Option<&str>, host: Option<&str>, want: Option<(&str, &str)>| {
            let external = external.map(self::external);
            let host = host.map(|host| (HOST, HeaderValue::try_from(host).unwrap()));
            let headers = HeaderMap::from_iter(host.clone());
            let got = origin(external.as_ref(), "http", &headers);
            let want = want.map(|(scheme, host)| (scheme, Cow::from(host.to_owned())));
            assert_eq!(got, want, "{external:?} {host:?}");
        };
        check(
            Some("https://h/t"),
            Some("other:1"),
            Some(("https", "h:443")),
        );
        check(Some("/t"), Some("other:1"), Some(("http", "other:1")));
        check(None, Some("other"), Some(("http", "other:80")));
        check(None, Some("[::1]:9"), Some(("http", "[::1]:9")));
        check(None, None, None);
        check(None, Some("u@h"), None);
        check(None, Some("a b"), None);
        check(None, Some(""), None);
        let named = HeaderMap::from_iter([(HOST, HeaderValue::from_static("h"))]);
        assert_eq!(
            origin(None, "https", &named),
            Some(("https", "h:443".into()))
        );
    }
}
