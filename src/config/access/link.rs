//! `tls_config` and the keys of the proxy, as they stand at a cluster and at `oauth2`.

use std::path::Path;

use rustls::pki_types::ServerName;

use super::{file, named_headers};
use crate::cluster::link::Settings as Link;
use crate::cluster::proxy::{At, Proxy};
use crate::cluster::tls::{Authorities, OwnFiles, Settings as Tls, Version};
use crate::config::HeaderValue;
use crate::config::check;
use crate::config::decode::{Field, Section};

pub(in crate::config) const TLS_KEYS: &[&str] = &[
    "ca_file",
    "ca",
    "cert_file",
    "key_file",
    "server_name",
    "insecure_skip_verify",
    "min_version",
    "max_version",
];
pub(in crate::config) const PROXY_KEYS: &[&str] = &[
    "proxy_url",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
];

const TLS_HINTS: &[(&str, &str)] = &[
    (
        "cert",
        "write the certificate into a file and name it as cert_file",
    ),
    (
        "key",
        "secrets are read from files or the environment only: write key_file",
    ),
    ("key_ref", "write key_file"),
    ("cert_ref", "write cert_file"),
    ("ca_ref", "write ca_file"),
];

/// Reads them; files are relative to `folder`.
pub(super) fn read(section: &Section<'_>, folder: &Path) -> Link {
    Link {
        tls: section
            .get("tls_config")
            .and_then(|field| tls(field, folder))
            .unwrap_or_default(),
        proxy: proxy(section, folder),
        connect_timeout: None,
        idle_max: None,
    }
}

fn tls(field: &Field<'_>, folder: &Path) -> Option<Tls> {
    let section = field.section(&[TLS_KEYS], TLS_HINTS)?;
    let path = |key| section.read(key, |text| file(text, folder));
    let ca_file = path("ca_file").map(Authorities::File);
    if let (true, Some(ca)) = (ca_file.is_some(), section.get("ca")) {
        ca.fail("cannot stand beside ca_file; keep one of them");
    }
    let ca = section
        .read("ca", inline_authorities)
        .map(Authorities::Inline);
    let (cert_file, key_file) = (path("cert_file"), path("key_file"));
    for (has, key, other) in [
        (&cert_file, "cert_file", "key_file"),
        (&key_file, "key_file", "cert_file"),
    ] {
        if has.is_some() && section.get(other).is_none() {
            section.fail(format!(
                "{other} is missing beside {key}; a certificate is used with its key, name both"
            ));
        }
    }
    let own = cert_file.zip(key_file);
    let (min, max) = (
        version(&section, "min_version"),
        version(&section, "max_version"),
    );
    if let (Some(min), Some(max), Some(field)) = (min, max, section.get("max_version"))
        && max < min
    {
        field.fail("is older than min_version; write the same or a newer one");
    }
    Some(Tls {
        ca: ca_file.or(ca),
        own: own.map(|(cert_file, key_file)| OwnFiles {
            cert_file,
            key_file,
        }),
        server_name: section.read("server_name", server_name),
        insecure_skip_verify: section.flag("insecure_skip_verify").unwrap_or(false),
        min_version: min,
        max_version: max,
    })
}

/// Prometheus' names. Versions before 1.2 are never spoken, so that as a lower bound they mean 1.2.
fn version(section: &Section<'_>, key: &str) -> Option<Version> {
    section.read(key, |text| match text {
        "TLS13" => Ok(Version::Tls13),
        "TLS12" => Ok(Version::Tls12),
        "TLS10" | "TLS11" if key == "min_version" => Ok(Version::Tls12),
        "TLS10" | "TLS11" => {
            Err("is not spoken, since it is broken; write TLS12 or TLS13".to_owned())
        }
        _ => Err(format!("{text:?} is not known; write TLS12 or TLS13")),
    })
}

fn inline_authorities(text: &str) -> Result<String, String> {
    match crate::cluster::tls::certificates("ca", "", text.as_bytes()) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(
            "holds no certificate in PEM form; write it with its BEGIN and END lines below `ca: |`, or its path as \
             ca_file"
                .to_owned(),
        ),
    }
}

fn server_name(text: &str) -> Result<String, String> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!(
            "{text:?} is no host name; write the name in the server's certificate"
        )),
    }
}

fn proxy(section: &Section<'_>, folder: &Path) -> Proxy {
    let from_environment = section.flag("proxy_from_environment").unwrap_or(false);
    let url = section.get("proxy_url");
    for key in ["no_proxy", "proxy_connect_header"] {
        if let (Some(field), None) = (section.get(key), url) {
            field.fail("has an effect beside proxy_url only; write proxy_url or remove it");
        }
    }
    if from_environment {
        if let Some(field) = url {
            field.fail("cannot stand beside proxy_from_environment: true; keep one of them");
        }
        return Proxy::Environment;
    }
    let Some(url) = url.and_then(|field| field.parse(proxy_url)) else {
        return Proxy::None;
    };
    let headers = section
        .get("proxy_connect_header")
        .map(|field| proxy_headers(field, folder));
    Proxy::At(Box::new(At {
        url,
        no_proxy: section.read("no_proxy", |text| Ok(text.to_owned())),
        headers: headers.unwrap_or_default(),
    }))
}

fn proxy_url(text: &str) -> Result<String, String> {
    if text
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.to_ascii_lowercase().starts_with("socks"))
    {
        return Err(
            "is a SOCKS proxy, which is not supported; write the address of an HTTP proxy"
                .to_owned(),
        );
    }
    match check::base_url(text) {
        Ok(url) => Ok(url.text),
        Err(_) if text.contains('@') => Err(
            "holds a user or password, or is no URL; write http://HOST:PORT, and credentials as \
             proxy_connect_header: {Proxy-Authorization: {files: [path]}}"
                .to_owned(),
        ),
        Err(text) => Err(text),
    }
}

fn proxy_headers(field: &Field<'_>, folder: &Path) -> Vec<(String, Vec<HeaderValue>)> {
    let headers = named_headers(field, folder, check::proxy_header_name);
    let is_inline = |(name, values): &(String, Vec<HeaderValue>)| {
        name.eq_ignore_ascii_case("proxy-authorization")
            && values
                .iter()
                .any(|value| matches!(value, HeaderValue::Plain(_)))
    };
    if headers.iter().any(is_inline) {
        field.fail(
            "holds credentials; secrets are read from files or the environment only: write files or env instead of \
             values",
        );
    }
    headers
}
