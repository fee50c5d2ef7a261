//! `tls_server_config`: keys in, what connections are accepted with out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::SupportedKxGroup;
use rustls::{ServerConfig, SupportedCipherSuite};
use secrecy::zeroize::Zeroizing;

use super::super::decode::{Field, Section};
use super::WebFile;
use crate::serve::tls::{self, Clients, TlsError, Version};

const TLS_KEYS: &[&str] = &[
    "cert",
    "key",
    "client_ca",
    "cert_file",
    "key_file",
    "client_auth_type",
    "client_ca_file",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
];
/// What is asked of clients, in Go's words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientAuth {
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

const CLIENT_AUTH_TYPES: [(&str, ClientAuth); 6] = [
    ("NoClientCert", ClientAuth::None),
    ("RequestClientCert", ClientAuth::Request),
    ("RequireAnyClientCert", ClientAuth::RequireAny),
    ("RequireClientCert", ClientAuth::RequireAny),
    ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
    ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerify),
];

impl WebFile {
    /// What connections are accepted with, and whether clients' certificates are verified.
    pub(super) fn tls(&mut self, field: &Field<'_>) -> Option<(Arc<ServerConfig>, bool)> {
        let section = field.section(&[TLS_KEYS], &[])?;
        if TLS_KEYS.iter().all(|key| section.get(key).is_none()) {
            return None;
        }
        let remedy = "name the certificate and its key as cert_file and key_file";
        let chain = self.pem(&section, ["cert", "cert_file"], tls::certificates);
        let key = self.pem(&section, ["key", "key_file"], tls::private_key);
        for (found, keys) in [
            (chain.is_some(), ["cert", "cert_file"]),
            (key.is_some(), ["key", "key_file"]),
        ] {
            if !found && keys.iter().all(|key| section.get(key).is_none()) {
                section.fail(format!("{} is missing; {remedy}", keys[1]));
            }
        }
        let clients = self.clients(&section);
        let (min, max) = versions(&section);
        let suites = names(&section, "cipher_suites", suite);
        let groups = names(&section, "curve_preferences", group);
        let (chain, (place, key)) = (chain?.1, key?);
        let identity = accepted(tls::identity(chain, key), &place)?;
        let (clients, allowed_sans) = clients?;
        self.tls = Some(describe_tls(min, max, &clients));
        let verified = matches!(clients, Clients::Verified(_));
        let settings = tls::Settings {
            identity,
            clients,
            allowed_sans,
            min,
            max,
            suites: suites?,
            groups: groups?,
            our_order: section.flag("prefer_server_cipher_suites").unwrap_or(true),
        };
        let config = tls::server(settings);
        let config = config.map_err(|error| section.fail(error.to_string()));
        Some((config.ok()?, verified))
    }

    /// What is read from PEM, which stands in the configuration or in a file, together with its place.
    fn pem<'t, T>(
        &mut self,
        section: &Section<'t>,
        [inline, file]: [&str; 2],
        read: impl FnOnce(&[u8]) -> Result<T, TlsError>,
    ) -> Option<(Place<'t>, T)> {
        let (field, path, text) = match (section.get(inline), section.get(file)) {
            (None, None) => return None,
            (Some(_), Some(field)) => {
                field.fail(format!("cannot stand beside {inline}; keep one of them"));
                return None;
            }
            (Some(field), None) => (field, None, Zeroizing::new(field.text()?.into())),
            (None, Some(field)) => {
                let path = self.folder().join(field.parse(not_empty)?);
                let text = self.open(&path).map_err(|error| {
                    let path = path.display();
                    field.fail(format!(
                        "cannot read {path} ({error}); name a file that exists and may be read"
                    ));
                });
                (field, Some(path), text.ok()?)
            }
        };
        let place = Place {
            field: field.clone(),
            path,
        };
        let value = accepted(read(&text), &place)?;
        Some((place, value))
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// What is asked of clients, and the names one of which their certificates must have.
    fn clients(&mut self, section: &Section<'_>) -> Option<(Clients, Vec<String>)> {
        let keys = ["client_ca", "client_ca_file"];
        let authorities = self.pem(section, keys, tls::authorities);
        let given = keys.iter().find_map(|key| section.get(key));
        let auth = match section.get("client_auth_type") {
            Some(field) if field.text() != Some("") => {
                section.choice("client_auth_type", &CLIENT_AUTH_TYPES)?
            }
            _ => ClientAuth::None,
        };
        let sans = names(section, "client_allowed_sans", not_empty);
        if let Some(field) = section.get("client_allowed_sans")
            && !matches!(auth, ClientAuth::RequireAny | ClientAuth::RequireAndVerify)
        {
            field.fail("needs clients that must have a certificate; write client_auth_type: RequireAndVerifyClientCert");
        }
        let clients = match (auth, given) {
            (ClientAuth::None, Some(field)) => {
                field.fail("is not used, since clients are asked for no certificate; write client_auth_type: RequireAndVerifyClientCert");
                return None;
            }
            (ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify, None) => {
                section.fail("client_ca_file is missing; name the authorities whose clients may enter, since those of the system serve everybody");
                return None;
            }
            (ClientAuth::None, None) => Clients::Anonymous,
            (ClientAuth::Request, _) => Clients::Asked,
            (ClientAuth::RequireAny, _) => Clients::Any,
            (ClientAuth::VerifyIfGiven, Some(_)) => Clients::VerifiedIfGiven(authorities?.1),
            (ClientAuth::RequireAndVerify, Some(_)) => Clients::Verified(authorities?.1),
        };
        if matches!(clients, Clients::Asked | Clients::Any) {
            self.warnings.push(
                "tls_server_config.client_auth_type: certificates of clients are not verified; RequireAndVerifyClientCert does that"
                    .to_owned(),
            );
        }
        Some((clients, sans?))
    }
}

/// Where a text in PEM stands.
struct Place<'t> {
    field: Field<'t>,
    path: Option<PathBuf>,
}

/// The value, or a note of what is wrong at its place.
fn accepted<T>(result: Result<T, TlsError>, place: &Place<'_>) -> Option<T> {
    let note = |error: TlsError| match &place.path {
        Some(path) => place.field.fail(format!("{} {error}", path.display())),
        None => place.field.fail(error.to_string()),
    };
    result.map_err(note).ok()
}

/// `TLS 1.2 to 1.3, client certificates verified`.
fn describe_tls(min: Version, max: Version, clients: &Clients) -> String {
    let clients = match clients {
        Clients::Anonymous => "",
        Clients::Asked | Clients::Any => ", client certificates not verified",
        Clients::VerifiedIfGiven(_) => ", client certificates verified if given",
        Clients::Verified(_) => ", client certificates verified",
    };
    if min == max {
        format!("TLS {min}{clients}")
    } else {
        format!("TLS {min} to {max}{clients}")
    }
}

fn versions(section: &Section<'_>) -> (Version, Version) {
    let version = |text: &str| match text {
        "TLS13" => Ok(Version::Tls13),
        "TLS12" => Ok(Version::Tls12),
        "TLS11" | "TLS10" => Err(format!(
            "{text} is not offered, since it is not safe; write TLS12 or TLS13"
        )),
        _ => Err(format!("{text:?} is not known; write TLS12 or TLS13")),
    };
    let min = section.read("min_version", version);
    let max = section.read("max_version", version);
    let (min, max) = (min.unwrap_or(Version::Tls12), max.unwrap_or(Version::Tls13));
    if min > max
        && let Some(field) = section.get("max_version")
    {
        field.fail("is older than min_version; write a newer one or leave it out");
    }
    (min, max)
}

/// A list of names through `parse`, empty when there is none; `None` when a problem was noted.
fn names<T>(
    section: &Section<'_>,
    key: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let Some(field) = section.get(key) else {
        return Some(Vec::new());
    };
    let items = field.items()?;
    let values = items.iter().map(|item| item.parse(&parse));
    values.collect()
}

fn suite(text: &str) -> Result<SupportedCipherSuite, String> {
    let suites = &tls::SUITES;
    let found = suites.iter().find(|(name, _)| *name == text);
    found.map(|(_, suite)| *suite).ok_or_else(|| {
        let known: Vec<_> = suites.iter().map(|(name, _)| *name).collect();
        let known = known.join(", ");
        format!("{text:?} is not offered, only suites with forward secrecy and authenticated encryption are; write some of {known}")
    })
}

fn group(text: &str) -> Result<&'static dyn SupportedKxGroup, String> {
    let groups = &tls::GROUPS;
    let found = groups.iter().find(|(name, _)| *name == text);
    found.map(|(_, group)| *group).ok_or_else(|| {
        let known: Vec<_> = groups.iter().map(|(name, _)| *name).collect();
        format!(
            "{text:?} is not offered; write some of {}",
            known.join(", ")
        )
    })
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty; write a value or leave it out".to_owned());
    }
    Ok(text.to_owned())
}
