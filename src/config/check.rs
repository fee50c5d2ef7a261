//! Single values that must have a certain form: text in, the checked value out, or a sentence that says what is wrong
//! and what to write. Pure; each stands behind the key's name in a message, so none repeats it.

use std::fmt;

use http::{HeaderName, HeaderValue};
use reqwest::Url;

use crate::cluster::is_loopback;
use crate::model::labels::is_legacy_label_name;
use crate::model::matcher::Matcher;
use crate::promql;

/// Longest cluster name in bytes, so that it fits a DNS label and a path segment.
pub(super) const CLUSTER_NAME_BYTES_MAX: usize = 63;

/// Headers that we set ourselves, or that another key sets.
const RESERVED_HEADERS: [&str; 17] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "www-authenticate",
    "x-prometheus-scrape-timeout-seconds",
];

/// A selector that was read: the text as written, for the request, and what it means.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    pub(super) text: String,
    pub(super) matchers: Vec<Matcher>,
}

/// A cluster's address: the URL without its trailing slashes, and what the warnings need to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseUrl {
    pub(super) text: String,
    /// Whether credentials sent there can be read on the way: plain HTTP to another machine.
    pub(super) exposed: bool,
    /// Host, port and path, the same for every way to write the address of one server.
    pub(super) server: String,
}

/// Where we listen. Written `host:port`, with an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// A host name or an IP address without brackets; `0.0.0.0` when only `:port` was given.
    pub host: String,
    /// The port; 0 lets the operating system choose.
    pub port: u16,
}

impl ListenAddress {
    /// Whether only this machine can reach the listener.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// Reads `host:port`, `:9095` or `[::]:9095`.
pub fn listen_address(text: &str) -> Result<ListenAddress, String> {
    let bad = |why: &str| {
        format!("{text:?} {why}; write host:port, such as 127.0.0.1:9095, :9095 or [::]:9095")
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(|| bad("has no port"))?;
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = port
        .parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| bad("has no port from 0 to 65535 behind its last colon"))?;
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = match bracketed {
        Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
        Some(_) => return Err(bad("has no IPv6 address in its brackets")),
        None if host.contains(':') => return Err(bad("is an IPv6 address without brackets")),
        None if host.is_empty() => "0.0.0.0",
        None if host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) =>
        {
            host
        }
        None => return Err(bad("has no host name in front")),
    };
    Ok(ListenAddress {
        host: host.to_owned(),
        port,
    })
}

/// A cluster's name: 1 to 63 letters, digits and `.`, `_`, `-`, the first a letter or digit.
pub(super) fn cluster_name(text: &str) -> Result<String, String> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let starts = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    if plain && starts && text.len() <= CLUSTER_NAME_BYTES_MAX {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is no cluster name; write up to 63 letters, digits, `.`, `_` or `-`, the first a letter or digit"
    ))
}

/// The address of a cluster's Prometheus, with a base path where it has one.
///
/// No message shows the text when it may hold a password.
pub(super) fn base_url(text: &str) -> Result<BaseUrl, String> {
    let shown = if text.contains('@') {
        "the URL".to_owned()
    } else {
        format!("{text:?}")
    };
    let scheme = text
        .split_once("://")
        .map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("http" | "https")) {
        return Err(format!(
            "{shown} does not begin with http:// or https://; write it like https://prometheus.example.com:9090"
        ));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(format!(
            "{shown} holds a blank, a backslash or a control character; write them as %XX or remove them"
        ));
    }
    let url = Url::parse(text).map_err(|error| {
        format!("{shown} is not a URL ({error}); write it like https://prometheus.example.com:9090")
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "holds a user or password; write them as basic_auth: {username: …, password_file: …}"
                .to_owned(),
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "{shown} has a query or fragment; write only scheme, host, port and base path, and selectors as match"
        ));
    }
    let host = url.host_str().unwrap_or_default();
    Ok(BaseUrl {
        exposed: url.scheme() == "http" && !is_loopback(host),
        server: server(&url),
        text: url.as_str().trim_end_matches('/').to_owned(),
    })
}

/// An address on the command line that others are to ask, without slash at the end.
pub fn address(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err(
            "the URL holds a user or password; write scheme, host, port and path only".to_owned(),
        );
    }
    Ok(base_url(text)?.text)
}

/// Host, port and path of an address, by which two addresses of one server are told.
fn server(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{host}:{port}{}", url.path().trim_end_matches('/'))
}

/// Whether what is sent to an address can be read on the way: over plain HTTP to another machine, be it a proxy.
pub(super) fn is_exposed(url: &str, proxied: bool) -> bool {
    base_url(url).is_ok_and(|url| url.exposed || (proxied && url.text.starts_with("http:")))
}

/// The path of the exposition below the cluster's URL.
pub(super) fn metrics_path(text: &str) -> Result<String, String> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"?#\\".contains(&b));
    if text.starts_with('/') && plain {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is no path; write it from its first slash and without query, such as /federate"
    ))
}

/// The name of a label that we add or drop.
pub(super) fn label_name(text: &str) -> Result<String, String> {
    if is_legacy_label_name(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is no label name; write letters, digits and `_`, the first not a digit"
    ))
}

/// The name of a label that a user may add to series: those that begin with `__` are Prometheus' own.
pub(super) fn added_label_name(text: &str) -> Result<String, String> {
    if text.starts_with("__") {
        return Err(format!(
            "{text:?} begins with `__`, which is kept for Prometheus itself; write another label name"
        ));
    }
    label_name(text)
}

/// The value of a label that we add; an empty one would be the same as no label.
pub(super) fn label_value(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(
            "is empty, which is the same as no label; write a value or leave the label out"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// A selector, which must ask for something: one that matches every series would be an accident.
pub(super) fn selector(text: &str) -> Result<Selector, String> {
    let remedy = "write a series selector such as {job=\"node\"}";
    if text.trim().is_empty() {
        return Err(format!("is empty; {remedy}"));
    }
    let shown = in_ticks(text);
    let matchers = promql::parse_metric_selector(text)
        .map_err(|error| format!("{shown} is not a selector: {error}; {remedy}"))?;
    if matchers.iter().all(|matcher| matcher.matches("")) {
        return Err(format!(
            "{shown} matches series without any label; write {{__name__=~\".+\"}} when you mean all series"
        ));
    }
    Ok(Selector {
        text: text.to_owned(),
        matchers,
    })
}

/// The text in backquotes, since selectors are full of double quotes; escaped where that would mislead.
fn in_ticks(text: &str) -> String {
    if text.contains(|c: char| c == '`' || c.is_control()) {
        format!("{text:?}")
    } else {
        format!("`{text}`")
    }
}

/// The name of a header that the user adds to our requests.
pub(super) fn header_name(text: &str) -> Result<String, String> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| format!("{text:?} is no header name; write letters, digits and `-`"))?;
    match name.as_str() {
        "authorization" => Err(
            "is set by authorization, basic_auth or oauth2; write one of these keys instead"
                .to_owned(),
        ),
        name if RESERVED_HEADERS.contains(&name) => {
            Err("is set by Tributary itself; remove it".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}

/// The name of a header for the proxy alone.
pub(super) fn proxy_header_name(text: &str) -> Result<String, String> {
    if text.eq_ignore_ascii_case("proxy-authorization") {
        return Ok(text.to_owned());
    }
    header_name(text)
}

/// The name of an environment variable.
pub(super) fn variable(text: &str) -> Result<String, String> {
    if is_legacy_label_name(text) {
        return Ok(text.to_owned());
    }
    Err(
        "is no name of an environment variable; write letters, digits and `_`, without `$`"
            .to_owned(),
    )
}

/// A text that must say something.
pub(super) fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err("is empty or holds control characters; write some text on one line".to_owned());
    }
    Ok(text.to_owned())
}

/// The address of a token server, which may have a query.
pub(super) fn token_url(text: &str) -> Result<String, String> {
    let without_query = text.split('?').next().unwrap_or_default();
    base_url(without_query).map_err(|error| {
        if error.contains("user or password") {
            "holds a user or password; write them as client_id and client_secret_file".to_owned()
        } else {
            error
        }
    })?;
    match Url::parse(text) {
        Ok(url) if url.fragment().is_none() => Ok(url.into()),
        _ => Err(
            "is not a URL without fragment; write it like https://login.example.com/oauth2/token"
                .to_owned(),
        ),
    }
}

/// The name of a further parameter for a token server.
pub(super) fn endpoint_param(text: &str) -> Result<String, String> {
    match text {
        "grant_type" | "scope" | "client_id" => Err("is set by Tributary itself; remove it".to_owned()),
        "client_secret" | "client_assertion" | "password" => Err(
            "is a secret, and secrets are read from files or the environment only: write client_secret_file".to_owned(),
        ),
        _ => not_empty(text),
    }
}

/// The value of such a header.
pub(super) fn header_value(text: &str) -> Result<String, String> {
    match HeaderValue::from_str(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(
            "holds a line end or another control character; write the value on one line".to_owned(),
        ),
    }
}

/// The scheme of an `Authorization` header, such as `Bearer`.
pub(super) fn authorization_type(text: &str) -> Result<String, String> {
    if text.eq_ignore_ascii_case("basic") {
        return Err(
            "cannot be Basic; write basic_auth: {username: …, password_file: …}".to_owned(),
        );
    }
    // The scheme of RFC 9110 section 11.1 is a token, like the name of a header.
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!(
            "{text:?} is no authorization scheme; write Bearer or leave it out"
        )),
    }
}

/// The user of basic authentication.
pub(super) fn username(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(|c: char| c == ':' || c.is_control()) {
        return Err(format!(
            "{text:?} is no user name; write one without colon and control characters"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_host_and_port() {
        fn check(input: &str, want: Result<&str, &str>) {
            match (listen_address(input), want) {
                (Ok(address), Ok(want)) => assert_eq!(address.to_string(), want, "{input}"),
                (Err(error), Err(want)) => assert!(error.contains(want), "{input}: {error}"),
                (got, _) => panic!("{input}: {got:?}"),
            }
        }
        check("0.0.0.0:9095", Ok("0.0.0.0:9095"));
        check(":9095", Ok("0.0.0.0:9095"));
        check("[::]:9095", Ok("[::]:9095"));
        check("[::1]:0", Ok("[::1]:0"));
        check("localhost:9095", Ok("localhost:9095"));
        check("9095", Err("has no port"));
        check("localhost", Err("has no port"));
        check("localhost:", Err("no port from 0 to 65535"));
        check("localhost:+80", Err("no port from 0 to 65535"));
        check("localhost:65536", Err("no port from 0 to 65535"));
        check("::1:9095", Err("IPv6 address without brackets"));
        check("[localhost]:9095", Err("no IPv6 address in its brackets"));
        check("http://localhost:9095", Err("without brackets"));
        check("a b:9095", Err("no host name"));
        assert!(listen_address("[::1]:1").is_ok_and(|address| address.is_loopback()));
        assert!(listen_address(":1").is_ok_and(|address| !address.is_loopback()));
    }

    #[test]
    fn cluster_names_fit_a_path_segment() {
        fn check(input: &str, want: bool) {
            assert_eq!(cluster_name(input).is_ok(), want, "{input}");
        }
        check("cluster-1", true);
        check("EU.west_1", true);
        check("1", true);
        check(&"a".repeat(63), true);
        check(&"a".repeat(64), false);
        check("", false);
        check("-a", false);
        check(".", false);
        check("a/b", false);
        check("a b", false);
        check("ä", false);
    }

    #[test]
    fn urls_lose_their_last_slash_and_know_who_can_listen() {
        fn check(input: &str, text: &str, exposed: bool) {
            let url = base_url(input).expect(input);
            assert_eq!((url.text.as_str(), url.exposed), (text, exposed), "{input}");
        }
        check("http://localhost:9090", "http://localhost:9090", false);
        check("http://127.0.0.1:9090/", "http://127.0.0.1:9090", false);
        check("http://[::1]:9090/", "http://[::1]:9090", false);
        check("http://prom:9090/base/", "http://prom:9090/base", true);
        check("https://prom/base", "https://prom/base", false);
        check(
            "HTTPS://Prom.example.com:443//",
            "https://prom.example.com",
            false,
        );
        assert!(is_exposed("http://localhost", true) && !is_exposed("http://localhost", false));
        assert!(!is_exposed("https://prom", true) && is_exposed("http://prom", false));
    }

    #[test]
    fn one_server_is_known_in_all_its_addresses() {
        fn check(a: &str, b: &str, want: bool) {
            let server = |url: &str| base_url(url).expect(url).server;
            assert_eq!(server(a) == server(b), want, "{a} {b}");
        }
        check("http://a:9090", "http://A.:9090/", true);
        check("http://a:9090", "https://a:9090", true);
        check("http://a", "http://a:80", true);
        check("http://a/x", "http://a/x//", true);
        check("http://a/x", "http://a/y", false);
        check("http://a:1", "http://a:2", false);
        check("http://a", "https://a", false);
    }

    #[test]
    fn what_is_no_url_is_refused_without_showing_a_password() {
        fn check(input: &str, want: &str) {
            let error = base_url(input).expect_err(input);
            assert!(error.contains(want), "{input}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        check("prom:9090", "does not begin with http://");
        check("ftp://prom", "does not begin with http://");
        check("user:hunter2@prom:9090", "does not begin with http://");
        check("", "does not begin with http://");
        check("http://", "is not a URL (empty host)");
        check("http://prom:99999", "is not a URL (invalid port number)");
        check(
            "http://user:hunter2@prom:99999",
            "is not a URL (invalid port number)",
        );
        check("http://user:hunter2@prom", "write them as basic_auth");
        check("http://user@prom", "write them as basic_auth");
        check("http://prom/?match[]=up", "has a query or fragment");
        check("http://prom/#graph", "has a query or fragment");
        check("http://prom/a b", "holds a blank");
        check("http:\\\\prom", "does not begin");
    }

    #[test]
    fn other_values_have_their_form() {
        fn check<T>(got: Result<T, String>, want: &str) {
            let error = got.err().unwrap_or_default();
            assert!(
                if want.is_empty() {
                    error.is_empty()
                } else {
                    error.contains(want)
                },
                "{want}: {error}"
            );
        }
        check(metrics_path("/federate"), "");
        check(metrics_path("federate"), "is no path");
        check(metrics_path("/federate?x=1"), "is no path");
        check(label_name("__replica__"), "");
        check(label_name("a-b"), "is no label name");
        check(label_name(""), "is no label name");
        check(added_label_name("region"), "");
        check(added_label_name("__name__"), "begins with `__`");
        check(label_value(""), "is empty");
        check(selector("up"), "");
        check(selector("{}"), "write {__name__=~\".+\"}");
        check(selector("{job=~\".*\"}"), "write {__name__=~\".+\"}");
        check(selector(""), "is empty");
        check(selector("{job="), "is not a selector: 1:");
        check(header_name("X-Scope-OrgID"), "");
        check(header_name("Authorization"), "authorization, basic_auth");
        check(proxy_header_name("Proxy-Authorization"), "");
        check(proxy_header_name("Host"), "is set by Tributary itself");
        check(variable("TOKEN_1"), "");
        check(variable("$TOKEN"), "without `$`");
        check(token_url("https://login/token?x=1"), "");
        check(
            token_url("https://a:b@login/token"),
            "write them as client_id",
        );
        check(token_url("login/token"), "does not begin with http://");
        check(endpoint_param("audience"), "");
        check(endpoint_param("client_secret"), "is a secret");
        check(header_name("Accept-Encoding"), "is set by Tributary itself");
        check(header_name("a b"), "is no header name");
        check(header_value("team-1"), "");
        check(header_value("a\nb"), "holds a line end");
        check(authorization_type("Bearer"), "");
        check(authorization_type("basic"), "write basic_auth");
        check(authorization_type("a b"), "is no authorization scheme");
        check(username("a:b"), "is no user name");
    }
}
