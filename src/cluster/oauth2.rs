//! Client credentials of OAuth 2.0 (RFC 6749 section 4.4): a client's id and secret in, a token out.
//!
//! A token is kept until shortly before it expires. When a server refuses it with 401, it is thrown away and fetched
//! once more. The secret is sent as HTTP basic authentication, as the RFC wants it; to a token server that refuses
//! that, as parameters of the form.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::{Serializer, byte_serialize};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Method, StatusCode};
use reqwest::{RequestBuilder, Response, Url};
use serde_json::Value as Json;
use tokio::time::{Instant, timeout_at};

use super::link::{self, Link, Redirects};
use super::secret::{Held, Secret, SecretSource, Troubles, mask};
use super::{FetchError, chain, clipped, sensitive, unusable};

/// Longest answer of a token server in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Of an error's text, this much is looked at, and this much is shown.
const SAID_BYTES_MAX: usize = 2000;
const ERROR_CHARS_MAX: usize = 200;

/// A token is fetched anew this long before it expires, or after three quarters of its life if that is sooner.
const MARGIN: Duration = Duration::from_secs(30);

/// Longest life of a token that is believed.
const LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The client's id.
    pub client_id: String,
    /// Where its secret stands.
    pub client_secret: SecretSource,
    /// The token server's address.
    pub token_url: String,
    /// What the token is wanted for.
    pub scopes: Vec<String>,
    /// Further parameters of the form.
    pub endpoint_params: Vec<(String, String)>,
    /// How to connect to the token server.
    pub link: link::Settings,
}

/// A token, kept as long as it is good.
#[derive(Debug)]
pub(super) struct Tokens {
    settings: Settings,
    url: Url,
    link: Link,
    secret: Held,
    kept: ArcSwapOption<Kept>,
    /// Whether the token server wants the secret as parameters.
    in_form: AtomicBool,
}

#[derive(Debug)]
struct Kept {
    /// What stands in the header: type and token.
    value: Arc<Secret>,
    /// The token alone.
    token: Arc<Secret>,
    /// Until when it is good; for ever without.
    until: Option<Instant>,
}

impl Tokens {
    /// Nothing is fetched yet.
    pub(super) fn new(settings: Settings) -> Result<Self, FetchError> {
        let url = Url::parse(&settings.token_url).map_err(|error| unusable("token_url", &error))?;
        let link = Link::new(settings.link.clone(), Redirects::Refused, url.clone())?;
        let secret = Held::new(settings.client_secret.clone());
        Ok(Self {
            settings,
            url,
            link,
            secret,
            kept: ArcSwapOption::empty(),
            in_form: AtomicBool::new(false),
        })
    }

    /// The value of an `Authorization` header: the token kept, else a new one.
    pub(super) async fn get(
        &self,
        deadline: Instant,
        troubles: &mut Troubles,
    ) -> Result<Arc<Secret>, FetchError> {
        if let Some(kept) = &*self.kept.load()
            && kept.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(kept.value.clone());
        }
        let kept = Arc::new(self.fetch(deadline, troubles).await?);
        self.kept.store(Some(kept.clone()));
        Ok(kept.value.clone())
    }

    /// Throws the token of this header away, if it is the one kept.
    pub(super) fn refuse(&self, value: &Arc<Secret>) {
        let is_kept = |kept: &Arc<Kept>| Arc::ptr_eq(&kept.value, value);
        if self.kept.load().as_ref().is_some_and(is_kept) {
            self.kept.store(None);
        }
    }

    /// Forgets the connections to the token server.
    pub(super) fn reconnect(&self) -> Result<(), FetchError> {
        self.link.reconnect()
    }

    /// Everything that no message may show.
    pub(super) fn secrets(&self) -> Vec<Arc<Secret>> {
        let token = self.kept.load().as_ref().map(|kept| kept.token.clone());
        let own = self.secret.last().into_iter().chain(token);
        own.chain(self.link.secrets()).collect()
    }

    async fn fetch(&self, deadline: Instant, troubles: &mut Troubles) -> Result<Kept, FetchError> {
        let asked = Instant::now();
        let in_form = self.in_form.load(Ordering::Relaxed);
        let mut response = self.ask(in_form, deadline, troubles).await?;
        let refused = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED];
        if refused.contains(&response.status()) {
            // One of the two ways to send the secret is the one that this server knows.
            let other = self.ask(!in_form, deadline, troubles).await?;
            if other.status().is_success() {
                self.in_form.store(!in_form, Ordering::Relaxed);
                response = other;
            }
        }
        let status = response.status();
        let body = self.body(response, deadline).await?;
        if !status.is_success() {
            return Err(self.error(&format!("it answered {}{}", status.as_u16(), said(&body))));
        }
        let answer = read_token(&body).map_err(|why| self.error(&why))?;
        let life = answer.life;
        Ok(Kept {
            value: Arc::new(answer.value),
            token: Arc::new(answer.token),
            until: life.map(|life| asked + life - MARGIN.min(life / 4)),
        })
    }

    async fn ask(
        &self,
        in_form: bool,
        deadline: Instant,
        troubles: &mut Troubles,
    ) -> Result<Response, FetchError> {
        let request = self.request(in_form, troubles)?;
        match timeout_at(deadline, request.send()).await {
            Ok(sent) => sent.map_err(|error| {
                self.error(&std::error::Error::source(&error).map_or("no answer".into(), chain))
            }),
            Err(_) => Err(self.error("it does not answer in time")),
        }
    }

    fn request(
        &self,
        in_form: bool,
        troubles: &mut Troubles,
    ) -> Result<RequestBuilder, FetchError> {
        let secret = self.secret.read(troubles)?;
        let Settings {
            client_id, scopes, ..
        } = &self.settings;
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !scopes.is_empty() {
            form.append_pair("scope", &scopes.join(" "));
        }
        form.extend_pairs(&self.settings.endpoint_params);
        let mut request = self
            .link
            .request(Method::POST, self.url.clone(), troubles)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if in_form {
            form.append_pair("client_id", client_id);
            form.append_pair("client_secret", secret.expose());
        } else {
            let basic = sensitive(&format!("Basic {}", self.basic(&secret)));
            request = request.header(
                AUTHORIZATION,
                basic.map_err(|error| unusable("client_id", &error))?,
            );
        }
        Ok(request.body(form.finish()))
    }

    /// Id and secret as RFC 6749 section 2.3.1 wants them in a header.
    fn basic(&self, secret: &Secret) -> String {
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        STANDARD.encode(format!(
            "{}:{}",
            encoded(&self.settings.client_id),
            encoded(secret.expose())
        ))
    }

    async fn body(&self, mut response: Response, deadline: Instant) -> Result<Vec<u8>, FetchError> {
        let mut body = Vec::new();
        loop {
            match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(chunk))) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                    body.extend_from_slice(&chunk);
                }
                Ok(Ok(Some(_))) => return Err(self.error("its answer is longer than 1MiB")),
                Ok(Ok(None)) => return Ok(body),
                Ok(Err(_)) => return Err(self.error("its answer was cut")),
                Err(_) => return Err(self.error("it does not answer in time")),
            }
        }
    }

    fn error(&self, why: &str) -> FetchError {
        let host = self.url.host_str().unwrap_or_default();
        let mut secrets = self.secrets();
        let basic = self.secret.last();
        let basic = basic.map(|secret| Arc::new(Secret::from(self.basic(&secret))));
        secrets.extend(basic);
        FetchError::Token {
            host: host.to_owned(),
            why: mask(clipped(why, SAID_BYTES_MAX), &secrets)
                .chars()
                .take(ERROR_CHARS_MAX)
                .collect(),
        }
    }
}

/// What an error's body says: the two members that RFC 6749 section 5.2 names, or its beginning.
fn said(body: &[u8]) -> String {
    let json: Json = serde_json::from_slice(body).unwrap_or_default();
    let member = |name| json.get(name).and_then(Json::as_str);
    match (member("error"), member("error_description")) {
        (Some(error), Some(more)) => format!(": {error}: {more}"),
        (Some(error), None) => format!(": {error}"),
        _ if body.is_empty() => String::new(),
        _ => {
            let head = &body[..body.len().min(SAID_BYTES_MAX)];
            format!(": {:?}", String::from_utf8_lossy(head))
        }
    }
}

/// What a token server's answer says.
#[derive(Debug)]
struct Granted {
    value: Secret,
    token: Secret,
    life: Option<Duration>,
}

/// Reads an answer. What is wrong with it is told without its text.
fn read_token(body: &[u8]) -> Result<Granted, String> {
    let json: Json =
        serde_json::from_slice(body).map_err(|_| "its answer is not JSON".to_owned())?;
    let token = json.get("access_token").and_then(Json::as_str);
    let token = token.filter(|token| !token.is_empty());
    let token = token.ok_or("its answer has no access_token")?;
    let kind = match json.get("token_type").and_then(Json::as_str) {
        None | Some("") => "Bearer",
        Some(kind) if kind.eq_ignore_ascii_case("bearer") => "Bearer",
        Some(kind) => kind,
    };
    let value = format!("{kind} {token}");
    if http::HeaderValue::try_from(&value).is_err() {
        return Err("its token cannot stand in a header".to_owned());
    }
    // Some servers write the number as text.
    let life = match json.get("expires_in") {
        Some(Json::Number(number)) => number.as_f64(),
        Some(Json::String(text)) => text.parse().ok(),
        _ => None,
    };
    let life = life
        .filter(|seconds| *seconds > 0.0)
        .map(|seconds| Duration::try_from_secs_f64(seconds).map_or(LIFE_MAX, |l| l.min(LIFE_MAX)));
    Ok(Granted {
        value: Secret::from(value),
        token: Secret::from(token.to_owned()),
        life,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_without_showing_them() {
        fn check(body: &str, want: Result<(&str, Option<u64>), &str>) {
            match (read_token(body.as_bytes()), want) {
                (Ok(granted), Ok((text, seconds))) => {
                    assert_eq!(granted.value.expose(), text, "{body}");
                    assert_eq!(granted.life.map(|life| life.as_secs()), seconds, "{body}");
                    assert!(!format!("{granted:?}").contains(text));
                }
                (Err(error), Err(want)) => assert!(error.contains(want), "{body}: {error}"),
                (got, _) => panic!("{body}: {got:?}"),
            }
        }
        check(
            r#"{"access_token":"a","token_type":"bearer","expires_in":60}"#,
            Ok(("Bearer a", Some(60))),
        );
        check(
            r#"{"access_token":"a","token_type":"MAC","expires_in":"90"}"#,
            Ok(("MAC a", Some(90))),
        );
        check(r#"{"access_token":"a"}"#, Ok(("Bearer a", None)));
        check(
            r#"{"access_token":"a","expires_in":0}"#,
            Ok(("Bearer a", None)),
        );
        check(
            r#"{"access_token":"a","expires_in":1e300}"#,
            Ok(("Bearer a", Some(365 * 24 * 3600))),
        );
        check(r#"{"access_token":5}"#, Err("has no access_token"));
        check(r#"{"access_token":""}"#, Err("has no access_token"));
        check(r#"{"access_token":"a\nb"}"#, Err("cannot stand"));
        check("hunter2", Err("is not JSON"));
    }

    #[test]
    fn errors_say_what_the_server_says() {
        assert_eq!(
            said(br#"{"error":"invalid_client","error_description":"who?"}"#),
            ": invalid_client: who?"
        );
        assert_eq!(said(br#"{"error":"invalid_client"}"#), ": invalid_client");
        assert_eq!(said(b"no"), ": \"no\"");
        assert_eq!(said(b""), "");
    }
}
