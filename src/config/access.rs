//! How a cluster is entered: its credentials, headers, certificates and proxy, read from the cluster's keys.
//!
//! Secrets are named by file or environment variable and never stand in the configuration itself. Paths are relative
//! to the folder of the configuration file, as in Prometheus.

mod link;
mod oauth2;

use std::path::{Path, PathBuf};

pub(super) use self::link::PROXY_KEYS;
#[cfg(test)]
pub(super) use self::link::TLS_KEYS;
#[cfg(test)]
pub(super) use self::oauth2::KEYS as OAUTH2_KEYS;
use super::check;
use super::decode::{Field, Section};
use super::{Auth, HeaderValue};
use crate::cluster::link::Settings as Link;
use crate::cluster::proxy::Proxy;
use crate::cluster::secret::SecretSource;

/// The keys of a cluster that this file reads, beside [`PROXY_KEYS`].
pub(super) const KEYS: &[&str] = &[
    "tls_config",
    "authorization",
    "basic_auth",
    "oauth2",
    "http_headers",
];
pub(super) const AUTHORIZATION_KEYS: &[&str] = &["type", "credentials_file", "credentials_env"];
pub(super) const BASIC_AUTH_KEYS: &[&str] = &["username", "password_file", "password_env"];
pub(super) const HEADER_KEYS: &[&str] = &["values", "files", "env"];

/// Keys of which one at most may stand.
const ONE_OF: [&str; 3] = ["authorization", "basic_auth", "oauth2"];

/// How a cluster is entered.
#[derive(Debug, Default)]
pub(super) struct Access {
    pub(super) link: Link,
    pub(super) auth: Option<Auth>,
    pub(super) http_headers: Vec<(String, Vec<HeaderValue>)>,
}

impl Access {
    /// Reads these keys of a cluster; files are relative to `folder`.
    pub(super) fn read(cluster: &Section<'_>, folder: &Path) -> Self {
        Self {
            link: link::read(cluster, folder),
            auth: auth(cluster, folder),
            http_headers: cluster
                .get("http_headers")
                .map(|field| headers(field, folder))
                .unwrap_or_default(),
        }
    }

    /// Whether anything sent to the cluster is secret.
    pub(super) fn has_secrets(&self) -> bool {
        self.auth.is_some() || has_secret_values(&self.http_headers)
    }

    /// Refuses what could be read by anyone on the way: secrets over plain HTTP to another machine. `exposed` are the
    /// addresses of the cluster for which that holds.
    pub(super) fn refuse_plaintext(&self, cluster: &Section<'_>, exposed: &[&Field<'_>]) {
        if self.has_secrets() {
            for address in exposed {
                address.fail(plaintext("credentials are sent to it", "https:// in it"));
            }
        }
        if let (Proxy::At(at), Some(field)) = (&self.link.proxy, cluster.get("proxy_url")) {
            refuse_plain_proxy(at, field);
        }
        if let (Some(Auth::OAuth2(oauth2)), Some(field)) = (&self.auth, cluster.get("oauth2")) {
            oauth2::refuse_plaintext(oauth2, field);
        }
    }

    /// What cannot be read now of all that a cluster needs, as sentences that begin with the key.
    pub(super) fn unreadable(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut look = |key: &str, source: &SecretSource| {
            if let Err(error) = source.read() {
                found.push(format!("{key}: {error}"));
            }
        };
        match &self.auth {
            None => {}
            Some(Auth::Header { credentials, .. }) => look("authorization", credentials),
            Some(Auth::Basic { password, .. }) => look("basic_auth", password),
            Some(Auth::OAuth2(oauth2)) => look("oauth2", &oauth2.client_secret),
        }
        for source in secrets_of(&self.http_headers) {
            look("http_headers", source);
        }
        let mut links = vec![("", &self.link)];
        if let Some(Auth::OAuth2(oauth2)) = &self.auth {
            links.push(("oauth2.", &oauth2.link));
        }
        for (prefix, link) in links {
            if let Proxy::At(at) = &link.proxy {
                for source in secrets_of(&at.headers) {
                    look(&format!("{prefix}proxy_connect_header"), source);
                }
            }
        }
        for (prefix, link) in [
            ("", Some(&self.link)),
            ("oauth2.", oauth2_link(self.auth.as_ref())),
        ] {
            let has_files = |link: &&Link| link.tls.ca.is_some() || link.tls.own.is_some();
            if let Some(Err(error)) = link.filter(has_files).map(|link| link.tls.check()) {
                found.push(format!("{prefix}tls_config: {error}"));
            }
        }
        found
    }
}

fn oauth2_link(auth: Option<&Auth>) -> Option<&Link> {
    match auth {
        Some(Auth::OAuth2(oauth2)) => Some(&oauth2.link),
        _ => None,
    }
}

fn secrets_of(headers: &[(String, Vec<HeaderValue>)]) -> impl Iterator<Item = &SecretSource> {
    let values = headers.iter().flat_map(|(_, values)| values);
    values.filter_map(|value| match value {
        HeaderValue::Plain(_) => None,
        HeaderValue::Secret(source) => Some(source),
    })
}

fn has_secret_values(headers: &[(String, Vec<HeaderValue>)]) -> bool {
    secrets_of(headers).next().is_some()
}

/// The sentence about something secret that anyone on the way can read.
fn plaintext(what: &str, remedy: &str) -> String {
    format!(
        "{what} over plain HTTP, where anyone on the way can read them; write {remedy}, or allow it with \
         allow_plaintext_credentials: true"
    )
}

/// A proxy on another machine that is sent secrets in plain text.
fn refuse_plain_proxy(at: &crate::cluster::proxy::At, field: &Field<'_>) {
    let exposed = check::base_url(&at.url).is_ok_and(|url| url.exposed);
    if exposed && has_secret_values(&at.headers) {
        field.fail(plaintext(
            "credentials of proxy_connect_header are sent to it",
            "https:// in it",
        ));
    }
}

fn auth(cluster: &Section<'_>, folder: &Path) -> Option<Auth> {
    let mut written = ONE_OF.into_iter().filter(|key| cluster.get(key).is_some());
    let first = written.next()?;
    for other in written {
        cluster
            .get(other)?
            .fail(format!("cannot stand beside {first}; keep one of them"));
    }
    let read = |key: &str| {
        let field = cluster.get(key)?;
        match key {
            "authorization" => authorization(field, folder),
            "basic_auth" => basic_auth(field, folder),
            _ => oauth2::read(field, folder).map(|settings| Auth::OAuth2(Box::new(settings))),
        }
    };
    let auths: Vec<_> = ONE_OF.into_iter().map(read).collect();
    auths.into_iter().flatten().next()
}

fn authorization(field: &Field<'_>, folder: &Path) -> Option<Auth> {
    let hints = [(
        "credentials",
        "secrets are read from files or the environment only: write credentials_file or credentials_env",
    )];
    let section = field.section(&[AUTHORIZATION_KEYS], &hints)?;
    let scheme = section
        .read("type", check::authorization_type)
        .unwrap_or_else(|| "Bearer".to_owned());
    let keys = ["credentials_file", "credentials_env"];
    let credentials = secret(&section, keys, "token", folder)?;
    Some(Auth::Header {
        scheme,
        credentials,
    })
}

fn basic_auth(field: &Field<'_>, folder: &Path) -> Option<Auth> {
    let hints = [
        (
            "password",
            "secrets are read from files or the environment only: write password_file or password_env",
        ),
        ("username_file", "write username"),
    ];
    let section = field.section(&[BASIC_AUTH_KEYS], &hints)?;
    let username = section
        .require("username", "write the user's name")
        .map(|field| field.parse(check::username));
    let keys = ["password_file", "password_env"];
    let password = secret(&section, keys, "password", folder);
    Some(Auth::Basic {
        username: username??,
        password: password?,
    })
}

/// `NAME: {values: […], files: […], env: […]}`, as Prometheus' `http_headers`.
fn headers(field: &Field<'_>, folder: &Path) -> Vec<(String, Vec<HeaderValue>)> {
    named_headers(field, folder, check::header_name)
}

/// Headers whose names `check` accepts.
fn named_headers(
    field: &Field<'_>,
    folder: &Path,
    check: impl Fn(&str) -> Result<String, String>,
) -> Vec<(String, Vec<HeaderValue>)> {
    let mut headers: Vec<(String, Vec<HeaderValue>)> = Vec::new();
    for (name, field) in field.entries().unwrap_or_default() {
        if let Err(text) = check(name) {
            field.fail(text);
        } else if headers
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
        {
            field.fail("is the same header as one above, since case does not count; write its values in one place");
        } else {
            headers.push((name.to_owned(), header_values(&field, folder)));
        }
    }
    headers
}

fn header_values(field: &Field<'_>, folder: &Path) -> Vec<HeaderValue> {
    let hints = [(
        "secrets",
        "secrets are read from files or the environment only: write files or env",
    )];
    let Some(section) = field.section(&[HEADER_KEYS], &hints) else {
        return Vec::new();
    };
    if HEADER_KEYS.iter().all(|key| section.get(key).is_none()) {
        section.fail(
            "has neither values nor files; write values: [text], files: [path] or env: [NAME]",
        );
    }
    let list = |key: &str, parse: &dyn Fn(&str) -> Result<HeaderValue, String>| {
        let list = section.get(key).and_then(|field| field.list(parse));
        list.unwrap_or_default()
    };
    let mut values = list("values", &|text| {
        check::header_value(text).map(HeaderValue::Plain)
    });
    values.extend(list("files", &|text| {
        file(text, folder).map(|path| HeaderValue::Secret(SecretSource::File(path)))
    }));
    values.extend(list("env", &|text| {
        check::variable(text).map(|name| HeaderValue::Secret(SecretSource::Env(name)))
    }));
    values
}

/// A secret by the one of two keys (file, environment variable) that stands there. `what` it is.
fn secret(
    section: &Section<'_>,
    [by_file, by_env]: [&str; 2],
    what: &str,
    folder: &Path,
) -> Option<SecretSource> {
    match (section.get(by_file), section.get(by_env)) {
        (Some(_), Some(field)) => {
            field.fail(format!("cannot stand beside {by_file}; keep one of them"));
            None
        }
        (Some(field), None) => field
            .parse(|text| file(text, folder))
            .map(SecretSource::File),
        (None, Some(field)) => field.parse(check::variable).map(SecretSource::Env),
        (None, None) => {
            section.fail(format!(
                "{by_file} is missing; name the file that holds the {what}, or with {by_env} the environment variable"
            ));
            None
        }
    }
}

/// A path as it stands in the file, seen from the file's folder.
fn file(text: &str, folder: &Path) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("is empty; write the path of a file".to_owned());
    }
    Ok(folder.join(text))
}
