//! Requests to one cluster: addresses, headers, credentials, one deadline over everything.
//!
//! Bodies are read chunk by chunk and never by reqwest's own gzip, which stops at the first member and hides the size
//! on the wire.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap,
    HeaderValue as Value, LOCATION, TRANSFER_ENCODING,
};
use http::{Method, StatusCode};
use reqwest::{Response, Url};
use tokio::time::{Instant, timeout_at};

use super::credentials::Credentials;
use super::link::{Link, Redirects};
use super::secret::{Secret, Troubles, mask};
use super::{BodyHead, Compression, FetchError, Settings, chain, clipped, is_loopback, unusable};
use crate::parse::Format;

/// Names the Tributaries whose data an answer holds, so that a loop is seen: their instance ids, separated by commas.
pub const VIA: &str = "tributary-via";

/// Most ids taken from an answer, and most bytes of one: they are handed on in our own answers.
pub const VIA_MAX: usize = 64;
const VIA_ID_MAX: usize = 64;

/// URLs longer than this are split: servers and proxies commonly refuse request lines over 8 KiB.
const URL_BYTES_MAX: usize = 8000;

/// Of an error page, this much is kept for the message, and this much is read: what is kept must hold no part of a
/// credential that the server sends back.
const ERROR_BODY_MAX: usize = 200;
const ERROR_BODY_READ_MAX: usize = 2000;

/// What rustls' errors say, one of these at least: the last three when the other side speaks no TLS, or another one.
const TLS_WORDS: [&str; 7] = [
    "certificate",
    "tls",
    "TLS",
    "handshake",
    "corrupt message",
    "fatal alert",
    "peer is incompatible",
];

/// A client for one cluster. Keeps its connection between requests.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    link: Link,
    credentials: Credentials,
    /// One URL per request of a round.
    urls: Vec<Url>,
    /// What the last answer said of its way.
    via: ArcSwap<Vec<String>>,
    /// Files that could not be read anew for the last request.
    trouble: ArcSwapOption<String>,
}

/// A request without its credentials.
struct Ask {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct Answer {
    /// What its headers say.
    pub head: BodyHead,
    response: Response,
}

impl Client {
    /// A client; nothing is sent yet.
    pub fn new(settings: Settings) -> Result<Self, FetchError> {
        let urls = urls(&settings)?;
        let redirects = if settings.follow_redirects {
            Redirects::SameServer
        } else {
            Redirects::Refused
        };
        let link = Link::new(settings.link.clone(), redirects, urls[0].clone())?;
        let credentials = Credentials::new(settings.auth.as_ref(), &settings.headers)?;
        Ok(Self {
            settings,
            link,
            credentials,
            urls,
            via: ArcSwap::default(),
            trouble: ArcSwapOption::empty(),
        })
    }

    /// What the client was made from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Ids of the Tributaries whose data the last answer held, of whatever status it was.
    pub fn via(&self) -> Arc<Vec<String>> {
        self.via.load_full()
    }

    /// How many requests a round needs: more than one where the selectors do not fit into one URL.
    pub fn requests(&self) -> usize {
        self.urls.len()
    }

    /// Which files with secrets or certificates could not be used as they were at the last request, so that what
    /// was read before holds; none when all is well.
    pub fn trouble(&self) -> Option<Arc<String>> {
        self.trouble.load_full()
    }

    /// The text without any credential of this cluster: whoever was sent one may send it back.
    pub fn mask(&self, text: &str) -> String {
        let mut secrets = self.credentials.secrets();
        secrets.extend(self.link.secrets());
        mask(text, &secrets)
    }

    /// The same for an error that quotes an answer.
    pub(super) fn masked(&self, error: FetchError) -> FetchError {
        match error {
            FetchError::ContentType(text) => FetchError::ContentType(self.mask(&text)),
            FetchError::Encoding(text) => FetchError::Encoding(self.mask(&text)),
            FetchError::Api { path, why } => FetchError::Api {
                path,
                why: self.mask(clipped(&why, ERROR_BODY_READ_MAX)),
            },
            error => error,
        }
    }

    /// Forgets the connections, so that the next request resolves the host anew.
    pub fn reconnect(&self) -> Result<(), FetchError> {
        self.link.reconnect()?;
        self.credentials.reconnect()
    }

    /// Sends request `number` of a round; the answer is checked up to its headers. `own_id` is this process' id.
    pub async fn federate(
        &self,
        number: usize,
        own_id: &str,
        deadline: Instant,
    ) -> Result<Answer, FetchError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, Value::from_static(self.settings.accept()));
        headers.insert(ACCEPT_ENCODING, Value::from_static(self.accept_encoding()));
        headers.insert(
            "x-prometheus-scrape-timeout-seconds",
            seconds(self.settings.timeout),
        );
        let response = self
            .send(self.urls[number].clone(), headers, deadline)
            .await?;
        let via = Arc::new(via_of(response.headers()));
        self.via.store(via.clone());
        if via.iter().any(|id| id == own_id) {
            return Err(FetchError::Loop(self.settings.url.clone()));
        }
        let response = self.check_status(response, deadline).await?;
        let head = body_head(response.headers()).map_err(|error| self.masked(error))?;
        Ok(Answer { head, response })
    }

    /// Asks one path of the query API; the whole body, which may have `bytes_max` bytes.
    pub async fn get(
        &self,
        path: &str,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<Vec<u8>, FetchError> {
        let url = parse_url(&format!("{}{path}", self.settings.url))?;
        let headers = HeaderMap::from_iter([(ACCEPT, Value::from_static("application/json"))]);
        let response = self.send(url, headers, deadline).await?;
        let mut response = self.check_status(response, deadline).await?;
        let mut body = Vec::new();
        while let Some(chunk) = self.within(deadline, response.chunk()).await? {
            if body.len() + chunk.len() > bytes_max {
                return Err(FetchError::TooLarge {
                    kind: "decoded",
                    limit: bytes_max as u64,
                    key: "body_size_limit",
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The next piece of a body, as it comes from the wire.
    pub async fn chunk(
        &self,
        answer: &mut Answer,
        deadline: Instant,
    ) -> Result<Option<Bytes>, FetchError> {
        self.within(deadline, answer.response.chunk()).await
    }

    async fn send(
        &self,
        url: Url,
        headers: HeaderMap,
        deadline: Instant,
    ) -> Result<Response, FetchError> {
        let (method, body) = (Method::GET, None);
        let ask = Ask {
            method,
            url,
            headers,
            body,
        };
        self.deliver(&ask, deadline).await
    }

    /// Asks a path and query behind the cluster's URL by this method, perhaps with a body.
    pub(super) async fn send_to(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Option<Bytes>,
        deadline: Instant,
    ) -> Result<Response, FetchError> {
        let url = parse_url(&format!("{}{target}", self.settings.url))?;
        let ask = Ask {
            method,
            url,
            headers,
            body,
        };
        self.deliver(&ask, deadline).await
    }

    /// Sends a request with credentials. A token that is refused is fetched anew, once.
    async fn deliver(&self, ask: &Ask, deadline: Instant) -> Result<Response, FetchError> {
        let mut troubles = Troubles::default();
        let result = self.send_once(ask, deadline, &mut troubles);
        let (response, token) = match result.await {
            Ok(sent) => sent,
            Err(error) => {
                self.trouble.store(troubles.text().map(Arc::new));
                return Err(error);
            }
        };
        let result = match token {
            Some(token) if response.status() == StatusCode::UNAUTHORIZED => {
                self.credentials.refuse(&token);
                troubles = Troubles::default();
                let again = self.send_once(ask, deadline, &mut troubles);
                again.await.map(|(response, _)| response)
            }
            _ => Ok(response),
        };
        self.trouble.store(troubles.text().map(Arc::new));
        result
    }

    /// The answer, and the token that was sent with the request.
    async fn send_once(
        &self,
        ask: &Ask,
        deadline: Instant,
        troubles: &mut Troubles,
    ) -> Result<(Response, Option<Arc<Secret>>), FetchError> {
        let carried = self.credentials.carry(deadline, troubles).await?;
        let mut all = ask.headers.clone();
        all.extend(carried.headers);
        let request = self
            .link
            .request(ask.method.clone(), ask.url.clone(), troubles)
            .headers(all);
        let request = match &ask.body {
            Some(body) => request.body(body.clone()),
            None => request,
        };
        let response = self.within(deadline, request.send()).await?;
        Ok((response, carried.token))
    }

    async fn within<T>(
        &self,
        deadline: Instant,
        step: impl Future<Output = Result<T, reqwest::Error>>,
    ) -> Result<T, FetchError> {
        match timeout_at(deadline, step).await {
            Ok(result) => result.map_err(|error| explain(&error, self.settings.timeout)),
            Err(_) => Err(FetchError::Timeout(self.settings.timeout)),
        }
    }

    fn accept_encoding(&self) -> &'static str {
        let near = || is_loopback(self.urls[0].host_str().unwrap_or_default());
        match self.settings.compression {
            Compression::Gzip => "gzip",
            Compression::Identity => "identity",
            Compression::Auto => {
                if near() {
                    "identity"
                } else {
                    "gzip"
                }
            }
        }
    }

    async fn check_status(
        &self,
        mut response: Response,
        deadline: Instant,
    ) -> Result<Response, FetchError> {
        let status = response.status();
        if status == http::StatusCode::OK {
            return Ok(response);
        }
        if status.is_redirection() {
            let location = response
                .headers()
                .get(LOCATION)
                .map(|value| String::from_utf8_lossy(value.as_bytes()));
            let location = location.unwrap_or_default();
            let location = clipped(&location, ERROR_BODY_READ_MAX);
            return Err(FetchError::Redirect {
                location: self.mask(location),
                remedy: self.redirect_remedy(),
            });
        }
        let page = self
            .within(deadline, response.chunk())
            .await
            .ok()
            .flatten()
            .unwrap_or_default();
        let head = &page[..page.len().min(ERROR_BODY_READ_MAX)];
        let body = self.mask(String::from_utf8_lossy(head).trim());
        let body = clipped(&body, ERROR_BODY_MAX).trim().to_owned();
        Err(FetchError::Status {
            status: status.as_u16(),
            body,
        })
    }
}

impl Client {
    fn redirect_remedy(&self) -> &'static str {
        if self.settings.follow_redirects {
            "redirects are followed within one server only"
        } else {
            "or set follow_redirects: true"
        }
    }
}

/// The URLs of one round: as many selectors in each as fit.
fn urls(settings: &Settings) -> Result<Vec<Url>, FetchError> {
    let base = parse_url(&format!("{}{}", settings.url, settings.metrics_path))?;
    let mut urls = vec![base.clone()];
    for selector in &settings.matches {
        let last = urls.last_mut().expect("there is one at least");
        let before = last.clone();
        last.query_pairs_mut().append_pair("match[]", selector);
        if last.as_str().len() > URL_BYTES_MAX && before.query().is_some() {
            *last = before;
            let mut next = base.clone();
            next.query_pairs_mut().append_pair("match[]", selector);
            urls.push(next);
        }
    }
    Ok(urls)
}

fn parse_url(url: &str) -> Result<Url, FetchError> {
    Url::parse(url).map_err(|error| unusable(&format!("url {url}"), &error))
}

/// Sorts reqwest's errors into ours. The URL is left out: the cluster's name says enough.
fn explain(error: &reqwest::Error, timeout: Duration) -> FetchError {
    let cause = error.source().map_or_else(|| error.to_string(), chain);
    if error.is_timeout() && error.is_connect() {
        FetchError::Connect(cause)
    } else if error.is_timeout() {
        FetchError::Timeout(timeout)
    } else if error.is_redirect() {
        FetchError::Redirect {
            location: error.url().map(Url::to_string).unwrap_or_default(),
            remedy: "it cannot be followed",
        }
    } else if cause.contains("dns error") {
        FetchError::Dns(cause)
    } else if TLS_WORDS.iter().any(|word| cause.contains(word)) {
        FetchError::Tls(cause)
    } else if error.is_connect() {
        FetchError::Connect(cause)
    } else {
        FetchError::Cut(cause)
    }
}

fn seconds(timeout: Duration) -> Value {
    Value::try_from(timeout.as_secs_f64().to_string()).expect("digits and a point")
}

/// The ids that [`VIA`] names in an answer or a request.
pub fn via_of(headers: &HeaderMap) -> Vec<String> {
    let values = headers
        .get_all(VIA)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|id| id.trim().to_owned())
        .filter(|id| id.len() <= VIA_ID_MAX)
        .take(VIA_MAX)
        .collect()
}

fn body_head(headers: &HeaderMap) -> Result<BodyHead, FetchError> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &Value| value.to_str().ok())
    };
    let format = Format::from_content_type(text(CONTENT_TYPE))
        .map_err(|e| FetchError::ContentType(e.to_string()))?;
    let gzip = match text(CONTENT_ENCODING) {
        None | Some("identity" | "") => false,
        Some("gzip") => true,
        Some(other) => {
            return Err(FetchError::Encoding(format!(
                "Content-Encoding {other:?} was not asked for"
            )));
        }
    };
    let framed = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    Ok(BodyHead {
        format,
        gzip,
        framed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::link;

    #[test]
    fn many_selectors_become_several_requests() {
        let selector = |number: usize| format!("{{__name__=\"metric_{number:04}\",job=~\"a|b\"}}");
        let settings = settings((0..300).map(selector).collect());
        let urls = urls(&settings).unwrap();
        assert!(urls.len() > 2);
        assert!(urls.iter().all(|url| url.as_str().len() <= URL_BYTES_MAX));
        let all: Vec<String> = urls
            .iter()
            .flat_map(|url| {
                url.query_pairs()
                    .map(|(_, value)| value.into_owned())
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(all, (0..300).map(selector).collect::<Vec<_>>());
        assert_eq!(
            super::urls(&super::tests::settings(vec!["x".repeat(9000)]))
                .unwrap()
                .len(),
            1,
            "one that cannot be cut"
        );
    }

    fn settings(matches: Vec<String>) -> Settings {
        Settings {
            name: "c".into(),
            url: "http://h:1/base".into(),
            replicas: Vec::new(),
            metrics_path: "/federate".into(),
            matches,
            link: link::Settings::default(),
            auth: None,
            headers: Vec::new(),
            follow_redirects: false,
            compression: Compression::Auto,
            timeout: Duration::from_secs(1),
        }
    }
}
