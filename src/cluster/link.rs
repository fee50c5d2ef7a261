//! A client for one address whose certificates and proxy credentials follow their files.
//!
//! Before each request the files are read and compared by content; when it changed, the client is built anew, and
//! only then are connections lost. New content that cannot be used leaves the client as it is.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use http::Method;
use http::header::{HOST, HeaderMap};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client as Http, RequestBuilder, Url, redirect};
use rustls::pki_types::ServerName;
use tracing::info;

use super::proxy::Proxy;
use super::secret::{Secret, Troubles};
use super::{FetchError, tls, unusable};

/// Redirects followed in one request.
const REDIRECTS_MAX: usize = 5;

/// How to connect to an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Certificates and versions.
    pub tls: tls::Settings,
    /// The proxy on the way.
    pub proxy: Proxy,
    /// Time for a connection to be there, where a request's deadline is not enough of a bound.
    pub connect_timeout: Option<Duration>,
    /// Connections kept open between requests; one where nothing else is said.
    pub idle_max: Option<usize>,
}

/// Which redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirects {
    /// None.
    Refused,
    /// Those within one server only (scheme, host and port): credentials and headers go to nobody else.
    SameServer,
}

/// A client for one address.
#[derive(Debug)]
pub(super) struct Link {
    settings: Settings,
    redirects: Redirects,
    url: Url,
    name: ServerNameSource,
    current: ArcSwap<Current>,
    /// Content that cannot be used, and why.
    refused: ArcSwapOption<(Material, String)>,
}

#[derive(Debug)]
struct Current {
    http: Http,
    material: Material,
}

/// What the files hold.
#[derive(Debug, PartialEq, Eq)]
struct Material {
    tls: tls::Material,
    proxy: HeaderMap,
}

/// Where the name comes from that the server is told and that its certificate must have.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ServerNameSource {
    /// The address.
    Url,
    /// The configuration: requests are sent to this host, which resolves to that of the address.
    Alias(String),
    /// The configuration, for the certificate only: an IP address is told to nobody, and a proxy must be told the
    /// host to connect to.
    Checked(ServerName<'static>),
}

impl Link {
    /// A client for the server at `url`; nothing is sent yet.
    pub(super) fn new(
        settings: Settings,
        redirects: Redirects,
        url: Url,
    ) -> Result<Self, FetchError> {
        let name = server_name(&settings, &url)?;
        let material = read(&settings)?;
        let http = connect(&settings, redirects, &url, &name, &material)?;
        Ok(Self {
            settings,
            redirects,
            url,
            name,
            current: ArcSwap::from_pointee(Current { http, material }),
            refused: ArcSwapOption::empty(),
        })
    }

    /// A request, with the files' content as it is now. What cannot be used of it goes to `troubles`.
    pub(super) fn request(
        &self,
        method: Method,
        mut url: Url,
        troubles: &mut Troubles,
    ) -> RequestBuilder {
        self.follow_files(troubles);
        let http = &self.current.load().http;
        let ServerNameSource::Alias(name) = &self.name else {
            return http.request(method, url);
        };
        let host = authority(&url);
        match url.set_host(Some(name)) {
            Ok(()) => http.request(method, url).header(HOST, host),
            Err(_) => http.request(method, url),
        }
    }

    /// Forgets the connections, so that the next request resolves the host anew.
    pub(super) fn reconnect(&self) -> Result<(), FetchError> {
        // Without its files the client stays as it is; the next request tells why.
        let Ok(material) = read(&self.settings) else {
            return Ok(());
        };
        let http = self.connect(&material)?;
        self.current.store(Arc::new(Current { http, material }));
        Ok(())
    }

    /// The proxy's credentials, which no message may show.
    pub(super) fn secrets(&self) -> Vec<Arc<Secret>> {
        let current = self.current.load();
        let values = current.material.proxy.values();
        let texts = values.filter(|value| value.is_sensitive());
        let texts = texts.filter_map(|value| value.to_str().ok());
        texts
            .map(|text| Arc::new(Secret::from(text.to_owned())))
            .collect()
    }

    /// Takes new content of the files, if there is any and it can be used.
    fn follow_files(&self, troubles: &mut Troubles) {
        let material = match read(&self.settings) {
            Ok(material) => material,
            Err(error) => return troubles.note(&error),
        };
        if material == self.current.load().material {
            return;
        }
        if let Some(refused) = self.refused.load_full()
            && refused.0 == material
        {
            return troubles.note(&refused.1);
        }
        match self.connect(&material) {
            Ok(http) => {
                let host = self.url.host_str().unwrap_or_default();
                info!(host, "Certificates or proxy credentials have changed.");
                self.current.store(Arc::new(Current { http, material }));
                self.refused.store(None);
            }
            Err(error) => {
                troubles.note(&error);
                self.refused
                    .store(Some(Arc::new((material, error.to_string()))));
            }
        }
    }

    fn connect(&self, material: &Material) -> Result<Http, FetchError> {
        connect(
            &self.settings,
            self.redirects,
            &self.url,
            &self.name,
            material,
        )
    }
}

fn read(settings: &Settings) -> Result<Material, FetchError> {
    Ok(Material {
        tls: settings.tls.read()?,
        proxy: settings.proxy.headers()?,
    })
}

fn connect(
    settings: &Settings,
    redirects: Redirects,
    url: &Url,
    name: &ServerNameSource,
    material: &Material,
) -> Result<Http, FetchError> {
    let secure = url.scheme() == "https";
    let tls = if secure || (settings.proxy.may_take(url) && settings.proxy.may_need_tls()) {
        let checked = match name {
            ServerNameSource::Checked(name) => Some(name.clone()),
            ServerNameSource::Url | ServerNameSource::Alias(_) => None,
        };
        tls::client_config(&settings.tls, &material.tls, checked)?
    } else {
        tls::no_tls()
    };
    let mut builder = Http::builder()
        .user_agent(concat!("Tributary/", env!("CARGO_PKG_VERSION")))
        .redirect(match redirects {
            Redirects::Refused => redirect::Policy::none(),
            Redirects::SameServer => same_server(),
        })
        .http1_only()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(settings.idle_max.unwrap_or(1))
        .referer(false)
        .tls_backend_preconfigured(tls);
    if let Some(timeout) = settings.connect_timeout {
        builder = builder.connect_timeout(timeout);
    }
    if let ServerNameSource::Alias(_) = name {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).to_owned();
        builder = builder.dns_resolver(Arc::new(Elsewhere { host }));
    }
    settings
        .proxy
        .apply(builder, url, material.proxy.clone())?
        .build()
        .map_err(|error| unusable("the connection's settings", &error))
}

fn server_name(settings: &Settings, url: &Url) -> Result<ServerNameSource, FetchError> {
    let Some(text) = &settings.tls.server_name else {
        return Ok(ServerNameSource::Url);
    };
    if url.scheme() != "https" || url.host_str() == Some(text) {
        return Ok(ServerNameSource::Url);
    }
    let name = ServerName::try_from(text.clone())
        .map_err(|error| unusable(&format!("server_name {text:?}"), &error))?;
    Ok(match name {
        ServerName::DnsName(_) if !settings.proxy.may_take(url) => {
            ServerNameSource::Alias(text.clone())
        }
        name => ServerNameSource::Checked(name),
    })
}

/// Resolves every name to the addresses of one host.
#[derive(Debug)]
struct Elsewhere {
    host: String,
}

impl Resolve for Elsewhere {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.host.clone();
        Box::pin(async move {
            // Port 0 is replaced by the URL's.
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Host and port as they stand in a `Host` header.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Redirects within one server only, so of the same host and port: credentials and headers go to nobody else.
fn same_server() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let next = attempt.url();
        let same = attempt
            .previous()
            .last()
            .is_some_and(|before| before.origin() == next.origin());
        if same && attempt.previous().len() <= REDIRECTS_MAX {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}
