//! `oauth2`: client credentials, with Prometheus' keys.

use std::path::Path;

use super::{PROXY_KEYS, link, plaintext, refuse_plain_proxy, secret};
use crate::cluster::oauth2::Settings;
use crate::cluster::proxy::Proxy;
use crate::config::check;
use crate::config::decode::Field;

pub(in crate::config) const KEYS: &[&str] = &[
    "client_id",
    "client_secret_file",
    "client_secret_env",
    "token_url",
    "scopes",
    "endpoint_params",
    "tls_config",
];

const HINTS: &[(&str, &str)] = &[(
    "client_secret",
    "secrets are read from files or the environment only: write client_secret_file or client_secret_env",
)];

/// Reads it; files are relative to `folder`.
pub(super) fn read(field: &Field<'_>, folder: &Path) -> Option<Settings> {
    let section = field.section(&[KEYS, PROXY_KEYS], HINTS)?;
    let client_id = section
        .require("client_id", "write the client's id")
        .map(|field| field.parse(check::not_empty));
    let token_url = section
        .require("token_url", "write the address that gives tokens")
        .map(|field| field.parse(check::token_url));
    let keys = ["client_secret_file", "client_secret_env"];
    let client_secret = secret(&section, keys, "client's secret", folder);
    let scopes = section
        .get("scopes")
        .and_then(|field| field.list(check::not_empty));
    let params = section.get("endpoint_params").and_then(Field::entries);
    let params = params.unwrap_or_default().into_iter();
    let params = params.filter_map(|(name, field)| {
        if let Err(text) = check::endpoint_param(name) {
            field.fail(text);
        }
        let value = field.parse(|text| Ok(text.to_owned()))?;
        Some((name.to_owned(), value))
    });
    let (endpoint_params, link) = (params.collect(), link::read(&section, folder));
    Some(Settings {
        client_id: client_id??,
        client_secret: client_secret?,
        token_url: token_url??,
        scopes: scopes.unwrap_or_default(),
        endpoint_params,
        link,
    })
}

/// Refuses to send the client's secret where anyone on the way can read it.
pub(super) fn refuse_plaintext(settings: &Settings, field: &Field<'_>) {
    let proxied = matches!(settings.link.proxy, Proxy::At(_));
    if check::is_exposed(&settings.token_url, proxied) {
        field.fail(plaintext(
            "the client's secret is sent to token_url",
            "https:// in token_url",
        ));
    }
    if let Proxy::At(at) = &settings.link.proxy {
        refuse_plain_proxy(at, field);
    }
}
