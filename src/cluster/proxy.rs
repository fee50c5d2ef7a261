//! The HTTP proxy on the way to a server.

use http::header::{HeaderMap, HeaderName, HeaderValue as Value};
use reqwest::{NoProxy, Url};

use super::{FetchError, HeaderValue, is_loopback, sensitive, unusable};

/// Which proxy requests go through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// None, whatever the environment says.
    #[default]
    None,
    /// The one that `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name. As in Go, loopback addresses go through none.
    Environment,
    /// One that the configuration names.
    At(Box<At>),
}

/// A proxy of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Its address, `http://` or `https://`, without user and password.
    pub url: String,
    /// Hosts that are reached without it, as in `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// Headers for the proxy alone.
    pub headers: Vec<(String, Vec<HeaderValue>)>,
}

impl Proxy {
    /// Whether a request to `url` may go through a proxy.
    pub(super) fn may_take(&self, url: &Url) -> bool {
        match self {
            Self::None => false,
            Self::Environment => !is_loopback(url.host_str().unwrap_or_default()),
            Self::At(_) => true,
        }
    }

    /// Whether TLS is needed to reach the proxy itself.
    pub(super) fn may_need_tls(&self) -> bool {
        match self {
            Self::None => false,
            Self::Environment => true,
            Self::At(at) => at.url.starts_with("https:"),
        }
    }

    /// The headers for the proxy, with their secrets read now.
    pub(super) fn headers(&self) -> Result<HeaderMap, FetchError> {
        let mut headers = HeaderMap::new();
        let Self::At(at) = self else {
            return Ok(headers);
        };
        for (name, values) in &at.headers {
            let what = || format!("proxy_connect_header {name}");
            let key = HeaderName::try_from(name).map_err(|error| unusable(&what(), &error))?;
            for value in values {
                let value = match value {
                    HeaderValue::Plain(text) => Value::try_from(text),
                    HeaderValue::Secret(source) => sensitive(source.read()?.expose()),
                };
                headers.append(&key, value.map_err(|error| unusable(&what(), &error))?);
            }
        }
        Ok(headers)
    }

    /// Tells the client about it. `headers` are those of [`Proxy::headers`].
    pub(super) fn apply(
        &self,
        builder: reqwest::ClientBuilder,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<reqwest::ClientBuilder, FetchError> {
        if !self.may_take(url) {
            return Ok(builder.no_proxy());
        }
        let Self::At(at) = self else {
            return Ok(builder);
        };
        let mut proxy =
            reqwest::Proxy::all(&at.url).map_err(|error| unusable("proxy_url", &error))?;
        if let Some(hosts) = &at.no_proxy {
            proxy = proxy.no_proxy(NoProxy::from_string(hosts));
        }
        if !headers.is_empty() {
            proxy = proxy.headers(headers);
        }
        Ok(builder.proxy(proxy))
    }
}
