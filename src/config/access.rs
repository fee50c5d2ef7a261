//! How a cluster is entered: its certificate authority, credentials and headers, read from the cluster's keys.
//!
//! Secrets are named by file and never stand in the configuration itself. Paths are relative to the folder of the
//! configuration file, as in Prometheus.

use std::path::{Path, PathBuf};

use super::check;
use super::decode::{Field, Section};
use super::{Auth, HeaderValue};
use crate::cluster::secret::SecretFile;

/// The keys of a cluster that this file reads.
pub(super) const KEYS: &[&str] = &["tls_config", "authorization", "basic_auth", "http_headers"];
pub(super) const TLS_KEYS: &[&str] = &["ca_file"];
pub(super) const AUTHORIZATION_KEYS: &[&str] = &["type", "credentials_file"];
pub(super) const BASIC_AUTH_KEYS: &[&str] = &["username", "password_file"];
pub(super) const HEADER_KEYS: &[&str] = &["values", "files"];

/// How a cluster is entered.
#[derive(Debug, Default)]
pub(super) struct Access {
    pub(super) ca_file: Option<PathBuf>,
    pub(super) auth: Option<Auth>,
    pub(super) http_headers: Vec<(String, Vec<HeaderValue>)>,
}

impl Access {
    /// Reads these keys of a cluster; files are relative to `folder`.
    pub(super) fn read(cluster: &Section<'_>, folder: &Path) -> Self {
        Self {
            ca_file: cluster
                .get("tls_config")
                .and_then(|field| ca_file(field, folder)),
            auth: auth(cluster, folder),
            http_headers: cluster
                .get("http_headers")
                .map(|field| headers(field, folder))
                .unwrap_or_default(),
        }
    }

    /// Whether anything sent to the cluster is secret.
    pub(super) fn has_secrets(&self) -> bool {
        let file = |value: &HeaderValue| matches!(value, HeaderValue::File(_));
        self.auth.is_some()
            || self
                .http_headers
                .iter()
                .any(|(_, values)| values.iter().any(file))
    }

    /// Every file that is read when the cluster is scraped, with the key that names it.
    pub(super) fn files(&self) -> Vec<(&'static str, &Path)> {
        let mut files: Vec<(&'static str, &Path)> = Vec::new();
        files.extend(
            self.ca_file
                .iter()
                .map(|path| ("tls_config.ca_file", path.as_path())),
        );
        files.extend(self.auth.iter().map(|auth| match auth {
            Auth::Header {
                credentials_file, ..
            } => ("authorization.credentials_file", credentials_file.path()),
            Auth::Basic { password_file, .. } => ("basic_auth.password_file", password_file.path()),
        }));
        files.extend(
            self.http_headers
                .iter()
                .flat_map(|(_, values)| values)
                .filter_map(|value| match value {
                    HeaderValue::Plain(_) => None,
                    HeaderValue::File(file) => Some(("http_headers", file.path())),
                }),
        );
        files
    }
}

fn ca_file(field: &Field<'_>, folder: &Path) -> Option<PathBuf> {
    let section = field.section(
        &[TLS_KEYS],
        &[(
            "ca",
            "write the certificate into a file and name it as ca_file",
        )],
    )?;
    section.read("ca_file", |text| file(text, folder))
}

fn auth(cluster: &Section<'_>, folder: &Path) -> Option<Auth> {
    let bearer = cluster
        .get("authorization")
        .map(|field| authorization(field, folder));
    let basic = cluster
        .get("basic_auth")
        .map(|field| basic_auth(field, folder));
    if bearer.is_some() && basic.is_some() {
        cluster
            .get("basic_auth")?
            .fail("cannot stand beside authorization; keep one of them");
    }
    bearer.or(basic).flatten()
}

fn authorization(field: &Field<'_>, folder: &Path) -> Option<Auth> {
    let hints = [(
        "credentials",
        "secrets are read from files only: write credentials_file",
    )];
    let section = field.section(&[AUTHORIZATION_KEYS], &hints)?;
    let scheme = section
        .read("type", check::authorization_type)
        .unwrap_or_else(|| "Bearer".to_owned());
    let credentials_file = secret(
        section.require("credentials_file", "name the file that holds the token")?,
        folder,
    )?;
    Some(Auth::Header {
        scheme,
        credentials_file,
    })
}

fn basic_auth(field: &Field<'_>, folder: &Path) -> Option<Auth> {
    let hints = [
        (
            "password",
            "secrets are read from files only: write password_file",
        ),
        ("username_file", "write username"),
    ];
    let section = field.section(&[BASIC_AUTH_KEYS], &hints)?;
    let username = section
        .require("username", "write the user's name")
        .map(|field| field.parse(check::username));
    let password_file = section.require("password_file", "name the file that holds the password");
    Some(Auth::Basic {
        username: username??,
        password_file: secret(password_file?, folder)?,
    })
}

/// `NAME: {values: […], files: […]}`, as Prometheus' `http_headers`.
fn headers(field: &Field<'_>, folder: &Path) -> Vec<(String, Vec<HeaderValue>)> {
    let mut headers: Vec<(String, Vec<HeaderValue>)> = Vec::new();
    for (name, field) in field.entries().unwrap_or_default() {
        if let Err(text) = check::header_name(name) {
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
    let hints = [("secrets", "secrets are read from files only: write files")];
    let Some(section) = field.section(&[HEADER_KEYS], &hints) else {
        return Vec::new();
    };
    let plain = section
        .get("values")
        .and_then(|values| values.list(check::header_value))
        .unwrap_or_default();
    let files = section
        .get("files")
        .and_then(|files| files.list(|text| file(text, folder)))
        .unwrap_or_default();
    if section.get("values").is_none() && section.get("files").is_none() {
        section.fail("has neither values nor files; write values: [text] or files: [path]");
    }
    let files = files
        .into_iter()
        .map(|path| HeaderValue::File(SecretFile::new(path)));
    plain
        .into_iter()
        .map(HeaderValue::Plain)
        .chain(files)
        .collect()
}

fn secret(field: &Field<'_>, folder: &Path) -> Option<SecretFile> {
    field.parse(|text| file(text, folder)).map(SecretFile::new)
}

/// A path as it stands in the file, seen from the file's folder.
fn file(text: &str, folder: &Path) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("is empty; write the path of a file".to_owned());
    }
    Ok(folder.join(text))
}
