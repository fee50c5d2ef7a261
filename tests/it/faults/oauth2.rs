//! Client credentials of OAuth 2.0: tokens are kept, renewed and refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::access::{one, rewrite, wait_for_access_error};
use super::proxy::{Proxy, wait};
use super::upstream::{Reply, Request, Upstream};

/// `printf tributary:planted%2Fsecret | base64`: both parts are encoded before.
const BASIC: &str = "Basic dHJpYnV0YXJ5OnBsYW50ZWQlMkZzZWNyZXQ=";
const SECRET: &str = "planted/secret";

/// A token server that gives `token-1`, `token-2`, … to requests that `accepts`.
struct TokenServer {
    upstream: Upstream,
    given: Arc<AtomicUsize>,
}

fn token_server(
    expires_in: &'static str,
    accepts: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> TokenServer {
    let upstream = Upstream::new(Reply::new());
    let given = Arc::new(AtomicUsize::new(0));
    let counter = given.clone();
    upstream.api(move |request| {
        if !accepts(request) {
            let body = format!(
                "{{\"error\":\"invalid_client\",\"error_description\":\"not {} {}\"}}",
                request.header("authorization").unwrap_or_default(),
                request.body
            );
            return Reply::full("401 Unauthorized", &[], body);
        }
        let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
        Reply::full(
            "200 OK",
            &["Content-Type: application/json"],
            format!(
                "{{\"access_token\":\"token-{number}\",\"token_type\":\"bearer\"{expires_in}}}"
            ),
        )
    });
    TokenServer { upstream, given }
}

fn by_header(request: &Request) -> bool {
    request.header("authorization") == Some(BASIC)
}

fn start(upstream: &Upstream, tokens: &TokenServer, more: &str) -> Proxy {
    let keys = format!(
        "oauth2: {{client_id: tributary, client_secret_file: secret, token_url: '{}/token'{more}}}",
        tokens.upstream.url()
    );
    one(
        &upstream.url(),
        &keys,
        &[("secret", &format!("{SECRET}\n"))],
    )
}

/// A cluster that takes the tokens that `accepts` and says 401 to others.
fn cluster(accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Upstream {
    Upstream::with(move |request| {
        let token = request.header("authorization").unwrap_or_default();
        if accepts(token) {
            Reply::text("probe 1\n")
        } else {
            Reply::full("401 Unauthorized", &[], format!("not {token}\n"))
        }
    })
}

fn given(tokens: &TokenServer) -> usize {
    tokens.given.load(Ordering::Relaxed)
}

#[test]
fn a_token_is_kept_as_long_as_it_is_good() {
    let tokens = token_server(",\"expires_in\":3600", by_header);
    let upstream = cluster(|token| token.starts_with("Bearer token-"));
    let more = ", scopes: [read, write], endpoint_params: {audience: prom & co}";
    let proxy = start(&upstream, &tokens, more);
    proxy.wait_for_line("probe{");
    let form = tokens.upstream.last_form();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let want = [
        pair("grant_type", "client_credentials"),
        pair("scope", "read write"),
        pair("audience", "prom & co"),
    ];
    assert_eq!(form, want);
    proxy.wait_for_rounds("c", 4);
    // One for the rounds, one for what is asked beside them.
    assert!(given(&tokens) <= 2, "{}", given(&tokens));
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    let tokens = token_server(",\"expires_in\":\"1\"", by_header);
    let upstream = cluster(|token| token.starts_with("Bearer token-"));
    let proxy = start(&upstream, &tokens, "");
    proxy.wait_for_line("probe{");
    wait("more tokens", || {
        let count = given(&tokens);
        if count >= 4 { Ok(()) } else { Err(count) }
    });
    assert_eq!(proxy.failing("c"), None);
    assert!(upstream.rounds().len() > 4, "not one for each request");
}

#[test]
fn a_token_that_is_refused_is_renewed_once() {
    let tokens = token_server("", by_header);
    let upstream = cluster(|token| token == "Bearer token-4" || token == "Bearer token-5");
    let proxy = start(&upstream, &tokens, "");
    let message = proxy.wait_for_error("c", "status");
    assert!(message.contains("401"), "{message}");
    assert!(!message.contains("token-"), "{message}");
    proxy.wait_for_line("probe{");
    let refused = tokens.upstream.requests().len();
    assert!(refused <= 8, "two for each request at most: {refused}");
}

#[test]
fn the_secret_goes_into_the_form_where_the_server_wants_it_so() {
    let tokens = token_server("", |request| {
        let form = form_urlencoded::parse(request.body.as_bytes());
        let form: Vec<_> = form.into_owned().collect();
        form.contains(&("client_secret".into(), SECRET.into()))
            && form.contains(&("client_id".into(), "tributary".into()))
            && request.header("authorization").is_none()
    });
    let upstream = cluster(|token| token.starts_with("Bearer token-"));
    start(&upstream, &tokens, "").wait_for_line("probe{");
}

#[test]
fn a_token_server_that_refuses_is_quoted_without_the_secret() {
    let tokens = token_server("", |_| false);
    let upstream = cluster(|_| true);
    let proxy = start(&upstream, &tokens, "");
    let message = proxy.wait_for_error("c", "oauth2");
    assert!(
        message.starts_with(
            "cannot get an OAuth2 token from 127.0.0.1: it answered 401: invalid_client"
        ),
        "{message}"
    );
    assert!(message.contains("<secret>"), "{message}");
    for secret in [SECRET, "planted", &BASIC[6..]] {
        assert!(!message.contains(secret), "{message}");
    }
    assert_eq!(
        upstream.requests().len(),
        0,
        "nothing is sent without a token"
    );
    tokens
        .upstream
        .api(|_| Reply::full("200 OK", &[], "hunter2"));
    wait("an answer that is no JSON", || {
        let message = proxy.wait_for_error("c", "oauth2");
        if message.contains("its answer is not JSON") {
            Ok(())
        } else {
            Err(message)
        }
    });
    tokens
        .upstream
        .api(|_| Reply::full("302 Found", &["Location: http://127.0.0.1:1/"], ""));
    wait("a redirect", || {
        let message = proxy.wait_for_error("c", "oauth2");
        if message.contains("it answered 302") {
            Ok(())
        } else {
            Err(message)
        }
    });
}

#[test]
fn a_secret_that_has_gone_holds() {
    let tokens = token_server(",\"expires_in\":1", by_header);
    let upstream = cluster(|token| token.starts_with("Bearer token-"));
    let proxy = start(&upstream, &tokens, "");
    proxy.wait_for_line("probe{");
    std::fs::remove_file(proxy.folder.path().join("secret")).unwrap();
    wait_for_access_error(&proxy, "cannot read the secret in ");
    proxy.wait_for_rounds("c", 4);
    assert_eq!(proxy.failing("c"), None);
    rewrite(proxy.folder.path(), "secret", "another");
    let message = proxy.wait_for_error("c", "oauth2");
    assert!(!message.contains("another"), "{message}");
}
