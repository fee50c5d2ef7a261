//! TLS towards a server: files and settings in, the configuration of rustls out.
//!
//! Files are read whole (`Material`) and compared by content, never by time or name, so that a rewrite within the
//! same second and Kubernetes' swap of a symbolic link are both seen. Errors name the key, the file and the remedy;
//! what stands in a key's file is never shown.

mod pem;
mod verify;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, Error as RustlsError, InconsistentKeys, RootCertStore, SupportedProtocolVersion,
    version,
};
use secrecy::zeroize::Zeroizing;

pub use self::pem::{certificates, private_key, read_file};
use self::verify::{Anyone, Named};

/// How a server is trusted, and who we are to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Certificate authorities to trust instead of the system's.
    pub ca: Option<Authorities>,
    /// Our own certificate and its key.
    pub own: Option<OwnFiles>,
    /// The name that the server's certificate must have, instead of the address' host.
    pub server_name: Option<String>,
    /// Whether any certificate is good.
    pub insecure_skip_verify: bool,
    /// The oldest version that is spoken.
    pub min_version: Option<Version>,
    /// The newest.
    pub max_version: Option<Version>,
}

/// Certificate authorities in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorities {
    /// In a file.
    File(PathBuf),
    /// As they stand in the configuration.
    Inline(String),
}

/// A certificate with its key, in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFiles {
    /// The certificate, and those between it and its authority.
    pub cert_file: PathBuf,
    /// The key, without a passphrase.
    pub key_file: PathBuf,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.2.
    Tls12,
    /// 1.3.
    Tls13,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be opened or read.
    #[error(
        "cannot read {what} {path}: {source}; name a file in PEM form that exists and may be read"
    )]
    Read {
        /// The key of the configuration.
        what: &'static str,
        /// The file.
        path: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file holds nothing of what it should.
    #[error("{what} {path} {holds}; write {remedy} into it")]
    Holds {
        /// The key of the configuration.
        what: &'static str,
        /// The file.
        path: String,
        /// What is the matter with it.
        holds: &'static str,
        /// What it should hold.
        remedy: &'static str,
    },
    /// A file holds something that is broken.
    #[error("cannot use {what} {path}: {why}; make the file anew")]
    Broken {
        /// The key of the configuration.
        what: &'static str,
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The key belongs to another certificate.
    #[error(
        "key_file {key} does not match cert_file {cert}: the certificate was made for another key; \
         put the two that belong together there"
    )]
    Mismatch {
        /// The certificate's file.
        cert: String,
        /// The key's file.
        key: String,
    },
    /// TLS cannot be set up at all.
    #[error("cannot set up TLS: {0}")]
    Setup(String),
}

/// The content of the files, as it was read. Equal content is equal material.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Material {
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

impl Settings {
    /// Every file, with the key that names it.
    pub fn files(&self) -> Vec<(&'static str, &Path)> {
        let ca = match &self.ca {
            Some(Authorities::File(path)) => Some(("ca_file", path.as_path())),
            Some(Authorities::Inline(_)) | None => None,
        };
        let own = self.own.iter().flat_map(|own| {
            [
                ("cert_file", own.cert_file.as_path()),
                ("key_file", own.key_file.as_path()),
            ]
        });
        ca.into_iter().chain(own).collect()
    }

    /// Whether connections could be set up with the files as they are now.
    pub fn check(&self) -> Result<(), TlsError> {
        self.read()
            .and_then(|material| client_config(self, &material, None))
            .map(drop)
    }

    /// Reads the files. Blocks for the time of three small ones.
    pub(super) fn read(&self) -> Result<Material, TlsError> {
        let ca = match &self.ca {
            Some(Authorities::File(path)) => Some(read_file("ca_file", path)?),
            Some(Authorities::Inline(text)) => Some(text.as_bytes().to_vec()),
            None => None,
        };
        let (mut cert, mut key) = (None, None);
        if let Some(own) = &self.own {
            cert = Some(read_file("cert_file", &own.cert_file)?);
            key = Some(Zeroizing::new(read_file("key_file", &own.key_file)?));
        }
        Ok(Material { ca, cert, key })
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let all = [
            (Version::Tls13, &version::TLS13),
            (Version::Tls12, &version::TLS12),
        ];
        let spoken = all.into_iter().filter(|(version, _)| {
            self.min_version.is_none_or(|min| *version >= min)
                && self.max_version.is_none_or(|max| *version <= max)
        });
        spoken.map(|(_, version)| version).collect()
    }
}

/// The one provider of cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The configuration for connections that trust as `settings` say; `name` is what certificates must be made for,
/// where that is not the address' host.
pub(super) fn client_config(
    settings: &Settings,
    material: &Material,
    name: Option<ServerName<'static>>,
) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let verifier = verifier(settings, material, &provider)?;
    let verifier = match name {
        Some(name) => Arc::new(Named::new(name, verifier)) as Arc<dyn ServerCertVerifier>,
        None => verifier,
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&settings.versions())
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match own(settings, material, &provider)? {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A configuration that trusts nobody, for connections that need no TLS: the system's authorities are not even read.
pub(super) fn no_tls() -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider speaks both versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

fn verifier(
    settings: &Settings,
    material: &Material,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let setup = |error: &dyn fmt::Display| TlsError::Setup(error.to_string());
    let authorities = roots(settings, material)?;
    if settings.insecure_skip_verify {
        return Ok(Arc::new(Anyone::new(provider.clone())));
    }
    let Some(roots) = authorities else {
        let system = rustls_platform_verifier::Verifier::new(provider.clone());
        return Ok(Arc::new(system.map_err(|error| setup(&error))?));
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
    Ok(verifier.build().map_err(|error| setup(&error))?)
}

/// The authorities to trust; none when they are the system's.
fn roots(settings: &Settings, material: &Material) -> Result<Option<RootCertStore>, TlsError> {
    let (what, path, pem) = match (&settings.ca, &material.ca) {
        (Some(Authorities::File(path)), Some(pem)) => ("ca_file", path.display().to_string(), pem),
        (_, Some(pem)) => ("ca", "in the configuration".to_owned(), pem),
        (_, None) => return Ok(None),
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, &path, pem)? {
        roots.add(certificate).map_err(|error| TlsError::Broken {
            what,
            path: path.clone(),
            why: error.to_string(),
        })?;
    }
    Ok(Some(roots))
}

fn own(
    settings: &Settings,
    material: &Material,
    provider: &CryptoProvider,
) -> Result<Option<CertifiedKey>, TlsError> {
    let (Some(files), Some(cert), Some(key)) = (&settings.own, &material.cert, &material.key)
    else {
        return Ok(None);
    };
    let cert_path = files.cert_file.display().to_string();
    let key_path = files.key_file.display().to_string();
    certified(&cert_path, cert, &key_path, key, provider).map(Some)
}

/// A certificate with its key, from the content of `cert_file` and `key_file`.
pub fn certified(
    cert_file: &str,
    cert: &[u8],
    key_file: &str,
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("cert_file", cert_file, cert)?;
    let key = private_key("key_file", key_file, key)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        RustlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
            cert: cert_file.to_owned(),
            key: key_file.to_owned(),
        },
        RustlsError::InvalidCertificate(_) => TlsError::Broken {
            what: "cert_file",
            path: cert_file.to_owned(),
            why: error.to_string(),
        },
        error => TlsError::Broken {
            what: "key_file",
            path: key_file.to_owned(),
            why: error.to_string(),
        },
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A certificate that signs itself, and its key, in PEM form.
    fn pair(name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("keys can be made");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("it signs itself");
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_key_belongs_to_its_certificate() {
        fn check(cert: &str, key: &str, want: &str) {
            let got = certified(
                "c.pem",
                cert.as_bytes(),
                "k.pem",
                key.as_bytes(),
                &provider(),
            );
            match got {
                Ok(_) => assert_eq!(want, ""),
                Err(error) => {
                    let error = error.to_string();
                    assert!(
                        !want.is_empty() && error.starts_with(want),
                        "{error}, not {want}"
                    );
                }
            }
        }
        let ((cert, key), (_, other)) = (pair("a"), pair("b"));
        check(&cert, &key, "");
        check(
            &cert,
            &other,
            "key_file k.pem does not match cert_file c.pem: ",
        );
        check("", &key, "cert_file c.pem is empty; write the certificate");
        check(" \n", &key, "cert_file c.pem is empty");
        check("text", &key, "cert_file c.pem holds no certificate; write");
        check(&key, &cert, "cert_file c.pem holds no certificate");
        check(&cert, "", "key_file k.pem is empty; write the key");
        check(&cert, &cert, "key_file k.pem holds no usable key");
        let locked = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        check(&cert, &locked, "key_file k.pem holds no usable key");
        let cut = &cert[..cert.len() / 2];
        check(cut, &key, "cannot use cert_file c.pem: a part lacks");
        let junk = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        check(junk, &key, "cannot use cert_file c.pem: ");
        let junk = junk.replace("CERTIFICATE", "PRIVATE KEY");
        check(&cert, &junk, "cannot use key_file k.pem: ");
    }

    #[test]
    fn material_is_compared_by_content_and_never_shown() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let settings = Settings {
            ca: Some(Authorities::File(path("ca"))),
            own: Some(OwnFiles {
                cert_file: path("cert"),
                key_file: path("key"),
            }),
            ..Settings::default()
        };
        let error = settings.read().expect_err("nothing is there").to_string();
        assert!(error.starts_with("cannot read ca_file "), "{error}");
        let (cert, key) = pair("a");
        for (name, content) in [("ca", &cert), ("cert", &cert), ("key", &key)] {
            std::fs::write(path(name), content).expect("the folder is writable");
        }
        let first = settings.read().expect("they are there");
        assert_eq!(first, settings.read().expect("they are there"));
        assert!(settings.check().is_ok());
        let (_, other) = pair("a");
        std::fs::write(path("key"), &other).expect("the folder is writable");
        let second = settings.read().expect("they are there");
        assert_ne!(first, second);
        let error = settings.check().expect_err("the key is another's");
        assert!(matches!(error, TlsError::Mismatch { .. }), "{error}");
        let shown = format!("{second:?} {settings:?} {error:?} {error}");
        assert!(!shown.contains(other.lines().nth(1).expect("a line")));
    }

    #[test]
    fn versions_lie_between_the_two_named() {
        fn check(min: Option<Version>, max: Option<Version>, want: &[&SupportedProtocolVersion]) {
            let settings = Settings {
                min_version: min,
                max_version: max,
                ..Settings::default()
            };
            assert_eq!(settings.versions(), want);
        }
        let (older, newer) = (Some(Version::Tls12), Some(Version::Tls13));
        check(None, None, &[&version::TLS13, &version::TLS12]);
        check(newer, None, &[&version::TLS13]);
        check(None, older, &[&version::TLS12]);
        check(older, newer, &[&version::TLS13, &version::TLS12]);
    }
}
