//! Credentials, TLS, proxies and headers of a job: the same keys here, except that a secret which stands in the input
//! itself becomes the name of a file.

use super::source::Job;
use super::{Notes, Paths, secret, yaml};
use crate::config::decode::{Field, Section};
use crate::config::tree::Value;

/// Keys that say who we are; one of them is allowed.
const WHO: [&str; 5] = [
    "basic_auth",
    "authorization",
    "oauth2",
    "bearer_token",
    "bearer_token_file",
];

/// Notes two ways to say who we are, and a secret given twice. Values are not shown.
pub(super) fn check(section: &Section<'_>) {
    let mut given = WHO.iter().filter_map(|key| section.get(key));
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        second.fail(format!(
            "cannot stand beside {}; keep one of them",
            first.key()
        ));
    }
    let pairs = [
        ("basic_auth", "password", "password_file"),
        ("basic_auth", "username", "username_file"),
        ("authorization", "credentials", "credentials_file"),
        ("oauth2", "client_secret", "client_secret_file"),
        ("tls_config", "ca", "ca_file"),
        ("tls_config", "cert", "cert_file"),
        ("tls_config", "key", "key_file"),
    ];
    for (key, inline, file) in pairs {
        let Some(field) = section.get(key) else {
            continue;
        };
        let entries = field.entries_if_any();
        let has = |name| {
            entries
                .iter()
                .any(|(key, field)| *key == name && !field.is_null())
        };
        if has(inline) && has(file) {
            field.fail(format!("has both {inline} and {file}; keep {file}"));
        }
    }
    if let Some(field) = section.get("authorization") {
        let entries = field.entries_if_any();
        let basic = entries.iter().find(|(key, field)| {
            *key == "type"
                && field
                    .scalar()
                    .is_some_and(|text| text.trim().eq_ignore_ascii_case("basic"))
        });
        if let Some((_, field)) = basic {
            field.fail("cannot be Basic; write basic_auth: {username: …, password_file: …}");
        }
    }
}

/// The keys of a job that stay under their names.
const CARRIED: [&str; 9] = [
    "tls_config",
    "basic_auth",
    "authorization",
    "oauth2",
    "http_headers",
    "proxy_url",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
];

/// These keys of a job under ours.
pub(super) fn carry(job: &Job<'_>, paths: &Paths, notes: &mut Notes) -> Vec<(String, Value)> {
    let mut carry = Carry {
        job,
        paths,
        notes,
        proxy_login: None,
    };
    let mut entries = Vec::new();
    for key in CARRIED {
        if let Some(field) = job.section.get(key) {
            let entry = carry.entry("job", key, field, key);
            entries.extend(entry.map(|(key, value)| (key.to_owned(), value)));
        }
    }
    carry.add_proxy_login(&mut entries);
    if let Some(field) = job.section.get("bearer_token") {
        let file = carry.placeholder(field, "bearer_token", "token");
        entries.push((
            "authorization".to_owned(),
            yaml::map([("credentials_file", file)]),
        ));
    }
    if let Some(text) = job.section.get("bearer_token_file").and_then(Field::scalar) {
        let file = yaml::text(paths.carry(text));
        entries.push((
            "authorization".to_owned(),
            yaml::map([("credentials_file", file)]),
        ));
    }
    entries
}

/// Whether secrets are sent with these keys, and to whom beside the server itself.
pub(super) fn sends_secrets(entries: &[(String, Value)]) -> bool {
    let is_who = |key: &str| WHO.contains(&key);
    entries.iter().any(|(key, value)| {
        is_who(key) || key.ends_with("header") || key == "http_headers" && names_files(value)
    })
}

fn names_files(headers: &Value) -> bool {
    let Value::Map(headers) = headers else {
        return false;
    };
    headers.iter().any(|header| match &header.node.value {
        Value::Map(entries) => entries.iter().any(|entry| entry.key == "files"),
        _ => false,
    })
}

/// What happens to one key of a mapping.
enum Way {
    /// It stays.
    Keep,
    /// It stays, seen from the output's folder.
    Path,
    /// It stays, unless a password stands in it.
    Url,
    /// It stays; the password in it becomes a header for the proxy.
    Proxy,
    /// The key of the file that takes its place, and the file's ending.
    Secret(&'static str, &'static str),
    /// The same, but not secret.
    Inline(&'static str, &'static str),
    /// Secrets that become `files` of a header.
    ProxyHeader,
    /// A mapping of its own kind.
    Below(&'static str),
    /// It has no counterpart: what to do.
    No(&'static str),
}

/// What becomes of `key` in a mapping of that kind.
fn way(kind: &str, key: &str, value: Option<&str>) -> Way {
    const REFERENCE: &str = "names a secret of a provider that Tributary does not have; write the secret into a file and name it";
    match (kind, key) {
        ("job" | "oauth2", "tls_config") => Way::Below("tls_config"),
        ("job", "basic_auth") => Way::Below("basic_auth"),
        ("job", "authorization") => Way::Below("authorization"),
        ("job", "oauth2") => Way::Below("oauth2"),
        ("job", "http_headers") => Way::Below("http_headers"),
        ("http_headers", _) => Way::Below("header"),
        ("job" | "oauth2", "proxy_connect_header") => Way::Below("proxy_connect_header"),
        ("proxy_connect_header", _) => Way::ProxyHeader,
        ("job" | "oauth2", "proxy_url") if value.is_some_and(|url| url.starts_with("socks")) => {
            Way::No("is a SOCKS proxy, which is not supported; name an HTTP proxy")
        }
        ("job" | "oauth2", "proxy_url") => Way::Proxy,
        ("tls_config", "max_version") if matches!(value, Some("TLS10" | "TLS11")) => {
            Way::No("is not spoken, since it is broken; have the server speak TLS 1.2")
        }
        ("job" | "oauth2", "no_proxy" | "proxy_from_environment")
        | (
            "tls_config",
            "server_name" | "insecure_skip_verify" | "ca" | "min_version" | "max_version",
        )
        | ("basic_auth", "username")
        | ("authorization", "type")
        | ("oauth2", "client_id" | "scopes" | "endpoint_params")
        | ("header", "values") => Way::Keep,
        ("tls_config", "ca_file" | "cert_file" | "key_file")
        | ("basic_auth", "password_file")
        | ("authorization", "credentials_file")
        | ("oauth2", "client_secret_file")
        | ("header", "files") => Way::Path,
        ("oauth2", "token_url") => Way::Url,
        ("tls_config", "cert") => Way::Inline("cert_file", "cert.pem"),
        ("tls_config", "key") => Way::Secret("key_file", "key.pem"),
        ("basic_auth", "password") => Way::Secret("password_file", "password"),
        ("authorization", "credentials") => Way::Secret("credentials_file", "token"),
        ("oauth2", "client_secret") => Way::Secret("client_secret_file", "client_secret"),
        ("header", "secrets") => Way::Secret("files", "header"),
        ("basic_auth", "username_file") => {
            Way::No("has no counterpart; write the name of the user as username")
        }
        (_, key) if key.ends_with("_ref") => Way::No(REFERENCE),
        _ => Way::No("has no counterpart; see whether the server lets Tributary in without it"),
    }
}

struct Carry<'c, 't> {
    job: &'c Job<'t>,
    paths: &'c Paths,
    notes: &'c mut Notes,
    /// The file for a password that stood in the URL of a proxy.
    proxy_login: Option<String>,
}

impl Carry<'_, '_> {
    fn mapping(&mut self, field: &Field<'_>, kind: &'static str, path: &str) -> Option<Value> {
        let mut out: Vec<(String, Value)> = Vec::new();
        for (key, field) in field.entries_if_any() {
            if field.is_null() {
                continue;
            }
            let Some((key, value)) = self.entry(kind, key, &field, &format!("{path}.{key}")) else {
                continue;
            };
            match (value, out.iter_mut().find(|(other, _)| other == key)) {
                // `secrets` and `files` of a header become one list.
                (Value::List(more), Some((_, Value::List(list)))) => list.extend(more),
                (value, _) => out.push((key.to_owned(), value)),
            }
        }
        self.complete(kind, field, path, &mut out);
        if kind == "oauth2" {
            self.add_proxy_login(&mut out);
        }
        (!out.is_empty()).then(|| yaml::map(out))
    }

    /// One key of a mapping under ours; `None` when it has no counterpart, which has been noted.
    fn entry<'k>(
        &mut self,
        kind: &str,
        key: &'k str,
        field: &Field<'_>,
        path: &str,
    ) -> Option<(&'k str, Value)> {
        let value = &field.node().value;
        match way(kind, key, field.scalar()) {
            Way::Keep => Some((key, value.clone())),
            Way::Path => Some((key, self.paths_in(value))),
            Way::Url => self.url(field, path).map(|url| (key, url)),
            Way::Proxy => self.proxy(field, path).map(|url| (key, url)),
            Way::ProxyHeader => {
                let files = match self.placeholder(field, path, "proxy") {
                    file @ Value::Text(_) => Value::List(vec![yaml::node(file)]),
                    files => files,
                };
                Some((key, yaml::map([("files", files)])))
            }
            Way::Secret(file, ending) => Some((file, self.placeholder(field, path, ending))),
            Way::Inline(file, ending) => Some((
                file,
                self.file(field, path, ending, "stands in the file itself"),
            )),
            Way::Below(kind) => self.mapping(field, kind, path).map(|value| (key, value)),
            Way::No(why) => {
                self.note(field, path, why);
                None
            }
        }
    }

    /// What we demand and Prometheus does not.
    fn complete(
        &mut self,
        kind: &str,
        field: &Field<'_>,
        path: &str,
        out: &mut Vec<(String, Value)>,
    ) {
        let demanded: &[(&str, &str)] = match kind {
            "basic_auth" => &[("username", ""), ("password_file", "password")],
            "authorization" => &[("credentials_file", "token")],
            "oauth2" => &[("client_secret_file", "client_secret")],
            _ => &[],
        };
        for (key, ending) in demanded {
            if out.iter().any(|(other, _)| other == key) {
                continue;
            }
            let path = format!("{path}.{key}");
            let value = if ending.is_empty() {
                self.note(
                    field,
                    &path,
                    "is missing or stands elsewhere; write the name of the user in place of USER",
                );
                yaml::text("USER")
            } else {
                self.file(field, &path, ending, "is missing or stands elsewhere")
            };
            out.push(((*key).to_owned(), value));
        }
    }

    fn paths_in(&self, value: &Value) -> Value {
        match value {
            Value::Text(text) => yaml::text(self.paths.carry(text)),
            Value::List(items) => Value::List(
                items
                    .iter()
                    .map(|item| yaml::node(self.paths_in(&item.value)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    /// A URL, which stays unless a password stands in it.
    fn url(&mut self, field: &Field<'_>, path: &str) -> Option<Value> {
        let text = field.scalar()?;
        if secret::without_login(text).is_some() {
            let why =
                "holds a user or password, which are read from files only; write it without them";
            self.note(field, path, why);
            return None;
        }
        Some(yaml::text(text))
    }

    /// The URL of a proxy, whose password moves into a header.
    fn proxy(&mut self, field: &Field<'_>, path: &str) -> Option<Value> {
        let text = field.scalar()?;
        let Some(bare) = secret::without_login(text) else {
            return Some(yaml::text(text));
        };
        let name = self.file_name("proxy");
        let why = format!(
            "holds a user and password; write `Basic` and the base64 of USER:PASSWORD into the file {name} beside the \
             configuration, readable for Tributary only"
        );
        self.note(field, path, &why);
        self.proxy_login = Some(name);
        Some(yaml::text(bare))
    }

    fn add_proxy_login(&mut self, entries: &mut Vec<(String, Value)>) {
        let Some(file) = self.proxy_login.take() else {
            return;
        };
        let login = yaml::map([(
            "Proxy-Authorization",
            yaml::map([("files", yaml::texts([file]))]),
        )]);
        let headers = entries
            .iter_mut()
            .find(|(key, _)| key == "proxy_connect_header");
        match (headers, login) {
            (Some((_, Value::Map(headers))), Value::Map(login)) => headers.extend(login),
            (_, login) => entries.push(("proxy_connect_header".to_owned(), login)),
        }
    }

    /// A file in the place of one secret, or of each in a list.
    fn placeholder(&mut self, field: &Field<'_>, path: &str, ending: &str) -> Value {
        let why = "is a secret that stands in the file itself";
        match &field.node().value {
            Value::List(items) => {
                let names: Vec<_> = (1..=items.len())
                    .map(|number| self.file_name(&format!("{ending}{number}")))
                    .collect();
                for name in &names {
                    self.note(field, path, &written_to(why, name));
                }
                yaml::texts(names)
            }
            _ => self.file(field, path, ending, why),
        }
    }

    fn file(&mut self, field: &Field<'_>, path: &str, ending: &str, why: &str) -> Value {
        let name = self.file_name(ending);
        self.note(field, path, &written_to(why, &name));
        yaml::text(name)
    }

    /// `federate-eu.password`: one for all clusters of a job.
    fn file_name(&self, ending: &str) -> String {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        };
        let job: String = self.job.name.chars().map(plain).collect();
        format!("{}.{ending}", job.trim_start_matches('.'))
    }

    fn note(&mut self, field: &Field<'_>, path: &str, text: &str) {
        self.notes.add(field.line(), &self.job.name, path, text);
    }
}

fn written_to(why: &str, name: &str) -> String {
    format!(
        "{why}; write it into the file {name} beside the configuration, readable for Tributary only"
    )
}
