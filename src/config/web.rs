//! The web configuration: a file in the format of Prometheus' `--web.config.file` in, the door's settings out.
//!
//! The format is that of Prometheus' exporter-toolkit. What it can say and rustls cannot do (TLS 1.0, old ciphers,
//! `CurveP521`) is refused, never ignored. The files named in it are relative to its folder.
//!
//! [`WebFile`] remembers what was read, by its hash, so that a look tells whether anything has changed: the content
//! counts, whether a file was written, renamed into place or a link swapped (as Kubernetes does it).

#[cfg(test)]
mod tests;
mod tls;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{self, SHA256};
use http::{HeaderName, HeaderValue};
use secrecy::zeroize::Zeroizing;

use super::decode::Field;
use super::problem::{ConfigErrors, Problems};
use super::tree;
use super::units::{format_duration, parse_duration};
use crate::serve::auth::Hash;
use crate::serve::door::{RateLimit, Settings};

/// Longest file: more than any chain of certificates, and a bound on what a wrong path can make us read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Longest interval of a rate limit, and most requests at once: far beyond what limits anything.
const INTERVAL_MAX: Duration = Duration::from_secs(86_400);
const BURST_MAX: u64 = 1_000_000;

const TOP_KEYS: &[&str] = &[
    "tls_server_config",
    "http_server_config",
    "basic_auth_users",
    "rate_limit",
];
const HTTP_KEYS: &[&str] = &["http2", "headers"];
const RATE_KEYS: &[&str] = &["interval", "burst"];

/// The headers that may be added, each with the only values it may have; none: any value.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// A web configuration as it was read last.
#[derive(Debug)]
pub struct WebFile {
    path: PathBuf,
    /// The file and those that it names.
    seen: Vec<(PathBuf, Seen)>,
    /// What check-config says of TLS.
    tls: Option<String>,
    warnings: Vec<String>,
}

/// What a file held.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Sha256([u8; 32]),
    Unreadable(io::ErrorKind),
}

/// Reads a web configuration and the files it names. All mistakes come back together.
pub fn load(path: &Path) -> Result<(Settings, WebFile), ConfigErrors> {
    let (settings, file) = WebFile::read(path);
    Ok((settings?, file))
}

impl WebFile {
    fn read(path: &Path) -> (Result<Settings, ConfigErrors>, Self) {
        let mut file = Self {
            path: path.to_owned(),
            seen: Vec::new(),
            tls: None,
            warnings: Vec::new(),
        };
        let problems = Problems::default();
        let settings = file.settings(&problems);
        let result = problems.finish(&path.display().to_string());
        (result.map(|()| settings), file)
    }

    /// Looks whether the content of a file has changed; then reads all of them. Blocks for the time of a few files.
    pub fn changed(&mut self) -> Option<Result<Settings, ConfigErrors>> {
        let same = |(path, seen): &(PathBuf, Seen)| Seen::of(&read_file(path)) == *seen;
        if self.seen.iter().all(same) {
            return None;
        }
        let (settings, file) = Self::read(&self.path);
        *self = file;
        Some(settings)
    }

    /// What may be a mistake but need not be.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What check-config prints for a good file: a line, then the warnings.
    pub fn describe(&self, settings: &Settings) -> String {
        let tls = self.tls.as_deref().unwrap_or("plain HTTP");
        let mut text = format!("{}: ok, {tls}", self.path.display());
        let count = |number: usize, what: &str| match number {
            1 => format!(", 1 {what}"),
            number => format!(", {number} {what}s"),
        };
        text += &count(settings.users.len(), "user");
        if !settings.headers.is_empty() {
            text += &count(settings.headers.len(), "header");
        }
        if let Some(RateLimit { interval, burst }) = settings.rate_limit {
            let interval = format_duration(interval);
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                ", {burst} requests at once, then one every {interval}"
            );
        }
        text.push('\n');
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        if !settings.is_locked() {
            text += "warning: neither a password nor a verified client certificate is asked for: anyone who reaches \
                     the port can read all metrics\n";
        }
        text
    }

    /// The settings; when a problem was noted they are of no use.
    fn settings(&mut self, problems: &Problems) -> Settings {
        let text = match self.open(&self.path.clone()) {
            Ok(text) => text,
            Err(error) => {
                let text = format!(
                    "cannot be read ({error}); name a YAML file that exists and may be read"
                );
                problems.outside("", text);
                return Settings::default();
            }
        };
        let parsed = std::str::from_utf8(&text)
            .map_err(|error| (0, error.to_string()))
            .and_then(|text| tree::parse(text).map_err(|error| (error.line, error.text)));
        let root = match parsed {
            Ok(root) => root,
            Err((line, error)) => {
                let text = format!("is not YAML: {error}; correct the line or the ones above it");
                problems.at(line, "", text);
                return Settings::default();
            }
        };
        let Some(top) = Field::root(&root, problems).section(&[TOP_KEYS], &[]) else {
            return Settings::default();
        };
        let mut settings = Settings::default();
        if let Some(field) = top.get("tls_server_config") {
            let tls = self.tls(field);
            settings.clients_verified = tls.as_ref().is_some_and(|(_, verified)| *verified);
            settings.tls = tls.map(|(config, _)| config);
        }
        if let Some(field) = top.get("http_server_config") {
            settings.headers = self.http(field).unwrap_or_default();
        }
        if let Some(field) = top.get("basic_auth_users") {
            settings.users = users(field);
        }
        settings.rate_limit = top.get("rate_limit").and_then(rate_limit);
        settings
    }

    /// Reads a file and remembers what it held.
    fn open(&mut self, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        let read = read_file(path);
        self.seen.push((path.to_owned(), Seen::of(&read)));
        read
    }

    fn http(&mut self, field: &Field<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let section = field.section(&[HTTP_KEYS], &[])?;
        if section.flag("http2") == Some(true) {
            self.warnings.push(
                "http_server_config.http2: Tributary speaks HTTP/1.1, also to clients that offer HTTP/2"
                    .to_owned(),
            );
        }
        let entries = section.get("headers")?.entries()?;
        let headers = entries
            .iter()
            .filter_map(|(name, field)| header(name, field));
        Some(headers.collect())
    }
}

impl Seen {
    fn of(read: &io::Result<Zeroizing<Vec<u8>>>) -> Self {
        match read {
            Ok(bytes) => {
                let digest = digest::digest(&SHA256, bytes);
                Self::Sha256(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
            }
            Err(error) => Self::Unreadable(error.kind()),
        }
    }
}

fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Opening a pipe would wait for its other end.
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        ));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    let length = File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if length as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it is longer than 1MB",
        ));
    }
    Ok(bytes)
}

/// A header to add; `None` when it is blank, which means without it, or wrong.
fn header(name: &str, field: &Field<'_>) -> Option<(HeaderName, HeaderValue)> {
    let Some((_, values)) = HEADERS.iter().find(|(known, _)| *known == name) else {
        let same = HEADERS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        let known: Vec<_> = HEADERS.iter().map(|(known, _)| *known).collect();
        field.fail(match same {
            Some((known, _)) => format!("is not a header that can be set; write it as {known}"),
            None => format!(
                "is not a header that can be set, as in Prometheus; known are {}",
                known.join(", ")
            ),
        });
        return None;
    };
    let text = field.text().filter(|text| !text.is_empty())?;
    if !values.is_empty() && !values.contains(&text) {
        field.fail(format!(
            "{text:?} is not known; write {}",
            values.join(" or ")
        ));
        return None;
    }
    let name = HeaderName::try_from(name).expect("the known names are header names");
    let value =
        HeaderValue::try_from(text).map_err(|_| field.fail("holds a control character; remove it"));
    Some((name, value.ok()?))
}

fn users(field: &Field<'_>) -> Vec<(String, Hash)> {
    let mut users = Vec::new();
    for (name, field) in field.entries().unwrap_or_default() {
        if name.contains(':') {
            field.fail("is a name with a colon, which no client can send; choose another");
        }
        let hash = field.parse(|text| text.parse::<Hash>().map_err(|error| error.to_string()));
        users.extend(hash.map(|hash| (name.to_owned(), hash)));
    }
    users
}

fn rate_limit(field: &Field<'_>) -> Option<RateLimit> {
    let section = field.section(&[RATE_KEYS], &[])?;
    let interval = section.read("interval", |text| match text {
        "0" => Ok(Duration::ZERO),
        text => parse_duration(text),
    });
    let burst = section.number("burst");
    let interval = interval.filter(|interval| !interval.is_zero())?;
    if interval > INTERVAL_MAX {
        section.fail("interval is longer than a day; write a shorter one");
    }
    match burst {
        Some(1..=BURST_MAX) => {}
        Some(_) => section.fail(format!(
            "burst is not from 1 to {BURST_MAX}, so that none or all would be answered; write such a number"
        )),
        None => section.fail("burst is missing or wrong; write how many requests may come at once"),
    }
    let burst = u32::try_from(burst?).ok()?;
    Some(RateLimit { interval, burst })
}
