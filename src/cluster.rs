//! One cluster's Prometheus, as something that can be asked.
//!
//! In: settings with addresses and credentials. Out: the bytes of `/federate` as they come, and what the server says
//! of its metrics and itself. All outgoing requests of the program are made here.

pub mod api;
mod credentials;
pub mod decode;
pub mod http;
pub mod link;
pub mod oauth2;
pub mod pass;
pub mod proxy;
pub mod secret;
pub mod tls;

use std::time::Duration;

use self::secret::{SecretError, SecretSource};
use self::tls::TlsError;
use crate::parse::Format;

/// How to reach a cluster and what to ask.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster's name, for messages.
    pub name: String,
    /// `http://` or `https://`, host, port, base path, without a last slash.
    pub url: String,
    /// The same of all replicas, the first too; empty when there is one server.
    pub replicas: Vec<String>,
    /// Path of the exposition behind the URL.
    pub metrics_path: String,
    /// Selectors for `match[]`; none are sent when there are none.
    pub matches: Vec<String>,
    /// Certificates, and the proxy on the way.
    pub link: link::Settings,
    /// Credentials.
    pub auth: Option<Auth>,
    /// Further request headers.
    pub headers: Vec<(String, Vec<HeaderValue>)>,
    /// Whether a redirect is followed.
    pub follow_redirects: bool,
    /// What is asked for in `Accept-Encoding`.
    pub compression: Compression,
    /// Told to the server as `X-Prometheus-Scrape-Timeout-Seconds`.
    pub timeout: Duration,
}

/// Credentials. Secrets stay where they are and are read for each request, so that a rotated one is used at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: SCHEME CREDENTIALS`.
    Header {
        /// `Bearer` unless written otherwise; never `Basic`.
        scheme: String,
        /// Where the token stands.
        credentials: SecretSource,
    },
    /// HTTP basic authentication.
    Basic {
        /// Without a colon.
        username: String,
        /// Where the password stands.
        password: SecretSource,
    },
    /// A token that a token server gives for a client's id and secret.
    OAuth2(Box<oauth2::Settings>),
}

/// A header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// As it stands in the configuration.
    Plain(String),
    /// Elsewhere, since it is a secret.
    Secret(SecretSource),
}

/// Whether bodies are asked for compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// `identity` to addresses on this machine, `gzip` to others.
    #[default]
    Auto,
    /// `gzip`, and the server decides.
    Gzip,
    /// `identity`: costs the network more and both ends less CPU.
    Identity,
}

impl Settings {
    /// How many servers there are to choose from.
    pub fn servers(&self) -> usize {
        self.replicas.len().max(1)
    }

    /// The same with the address of one of the replicas, by its place.
    #[must_use]
    pub fn replica(&self, number: usize) -> Self {
        let mut settings = self.clone();
        if let Some(url) = self.replicas.get(number) {
            settings.url.clone_from(url);
        }
        settings
    }

    /// Whether the exposition is a `/federate`, which has a query API beside it.
    pub fn is_federate(&self) -> bool {
        self.metrics_path.ends_with("/federate")
    }

    /// The `Accept` header: a `/federate` knows text 0.0.4 only; an exporter may know OpenMetrics.
    fn accept(&self) -> &'static str {
        if self.is_federate() {
            "text/plain;version=0.0.4;escaping=allow-utf-8"
        } else {
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        }
    }
}

/// Why a cluster could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A secret that cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A file with a certificate or a key.
    #[error(transparent)]
    Files(#[from] TlsError),
    /// No token from the token server.
    #[error("cannot get an OAuth2 token from {host}: {why}")]
    Token {
        /// The token server.
        host: String,
        /// What is wrong.
        why: String,
    },
    /// A header, setting or URL that cannot be used.
    #[error("cannot use {what}: {why}")]
    Unusable {
        /// What it is.
        what: String,
        /// Why not.
        why: String,
    },
    /// No address for the host.
    #[error("cannot resolve the host: {0}")]
    Dns(String),
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// No secure connection.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// The deadline passed.
    #[error("no whole answer within {0:?}: raise scrape_timeout, or select less with match")]
    Timeout(Duration),
    /// An answer other than 200.
    #[error("the server answered {status}{}", excerpt(.body))]
    Status {
        /// The status code.
        status: u16,
        /// The beginning of its body.
        body: String,
    },
    /// A redirect that is not followed.
    #[error("the server redirects to {location:?}: use that address; {remedy}")]
    Redirect {
        /// Where to.
        location: String,
        /// What else can be done about it.
        remedy: &'static str,
    },
    /// An answer that is no exposition.
    #[error("the answer is no metrics text: {0}")]
    ContentType(String),
    /// A body over a limit.
    #[error("the {kind} body exceeds {limit} bytes: raise {key}, or select less with match")]
    TooLarge {
        /// `decoded` or `compressed`.
        kind: &'static str,
        /// The limit in bytes.
        limit: u64,
        /// The limit's name in the configuration.
        key: &'static str,
    },
    /// A body that is not what its `Content-Encoding` says.
    #[error("cannot decode the body: {0}")]
    Encoding(String),
    /// A body that ended too early, or a connection that broke.
    #[error("the connection broke: {0}")]
    Cut(String),
    /// The answer came from ourselves.
    #[error(
        "this address is Tributary itself ({0}), directly or through another one: its own answers would be scraped \
         again and again; name the clusters' Prometheus servers instead"
    )]
    Loop(String),
    /// An answer of the API that is not understood.
    #[error("cannot read the answer of {path}: {why}")]
    Api {
        /// The path asked.
        path: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl FetchError {
    /// The class of the error, as it stands in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Secret(_) | Self::Files(_) => "file",
            Self::Token { .. } => "oauth2",
            Self::Unusable { .. } => "config",
            Self::Dns(_) => "dns",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout(_) => "timeout",
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::ContentType(_) => "content_type",
            Self::TooLarge { .. } => "too_large",
            Self::Encoding(_) => "encoding",
            Self::Cut(_) => "cut",
            Self::Loop(_) => "loop",
            Self::Api { .. } => "api",
        }
    }
}

/// An error with its causes, innermost last, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// The front of a text, at most so many bytes.
fn clipped(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A header's value that no `Debug` output shows.
fn sensitive(text: &str) -> Result<::http::HeaderValue, ::http::header::InvalidHeaderValue> {
    let mut value = ::http::HeaderValue::try_from(text)?;
    value.set_sensitive(true);
    Ok(value)
}

fn unusable(what: &str, error: &dyn std::error::Error) -> FetchError {
    FetchError::Unusable {
        what: what.to_owned(),
        why: chain(error),
    }
}

/// Whether a host, in brackets or not, is this machine.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

fn excerpt(body: &str) -> String {
    if body.is_empty() {
        String::new()
    } else {
        format!(": {body:?}")
    }
}

/// What an answer's headers say of its body.
#[derive(Debug)]
pub struct BodyHead {
    /// The exposition format.
    pub format: Format,
    /// Whether the body is gzip.
    pub gzip: bool,
    /// Whether the end of the body can be told from the end of the connection.
    pub framed: bool,
}
