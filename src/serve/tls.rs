//! The server's side of TLS: certificates, keys and choices in, a rustls configuration out.
//!
//! Everything is decided when the configuration is built, so that what cannot work is refused before it is used: a
//! key that belongs to another certificate, an authority that is none, no cipher suite left. The cryptography is the
//! provider that outgoing connections use too (aws-lc).

mod san;

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, SupportedKxGroup, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme, SupportedCipherSuite,
};

use aws_lc_rs::{cipher_suite, kx_group};

/// The protocol that is spoken behind the handshake.
const ALPN: &[u8] = b"http/1.1";

/// What the server shows, asks for and agrees to.
pub struct Settings {
    /// The server's certificate and its key.
    pub identity: Arc<CertifiedKey>,
    /// What is asked of clients.
    pub clients: Clients,
    /// A client's certificate must have one of these names; none: any will do.
    pub allowed_sans: Vec<String>,
    /// Oldest version.
    pub min: Version,
    /// Newest version.
    pub max: Version,
    /// Cipher suites, the preferred first; none: those of the provider. When only suites of TLS 1.2 stand here, TLS 1.3
    /// has all of its own, as in Go, where the list concerns TLS 1.2 alone.
    pub suites: Vec<SupportedCipherSuite>,
    /// Groups for the key exchange, the preferred first; none: those of the provider.
    pub groups: Vec<&'static dyn SupportedKxGroup>,
    /// Whether our order of suites counts, not the client's.
    pub our_order: bool,
}

/// A version of TLS, the older first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.2.
    Tls12,
    /// 1.3.
    Tls13,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Tls12 => "1.2",
            Version::Tls13 => "1.3",
        })
    }
}

/// What is asked of clients. Authorities are certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Nothing.
    Anonymous,
    /// A certificate, whoever issued it, or none.
    Asked,
    /// A certificate, whoever issued it.
    Any,
    /// None, or one that these authorities issued.
    VerifiedIfGiven(Vec<CertificateDer<'static>>),
    /// A certificate that these authorities issued.
    Verified(Vec<CertificateDer<'static>>),
}

/// Why TLS cannot be set up. The texts stand behind the name of the file or key that holds what is wrong.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no certificate.
    #[error(
        "holds no certificate in PEM; write the certificate and the ones between it and its authority"
    )]
    NoCertificate,
    /// There is no key.
    #[error(
        "holds no private key in PEM that is not encrypted; write one as PKCS#8, PKCS#1 or SEC1"
    )]
    NoKey,
    /// The PEM is broken.
    #[error("is not PEM ({0}); write the file again")]
    Pem(pem::Error),
    /// The key or a certificate cannot be used.
    #[error("cannot be used ({0}); have it issued anew")]
    Unusable(Error),
    /// The key is another certificate's.
    #[error(
        "does not belong to the certificate; name the certificate and key that were issued together"
    )]
    Mismatch,
    /// The choices exclude each other.
    #[error("leave nothing to agree on ({0}); name a cipher suite and a group for each version")]
    Choices(Error),
}

/// Cipher suites by the names that Go gives them.
pub static SUITES: [(&str, SupportedCipherSuite); 9] = [
    (
        "TLS_AES_128_GCM_SHA256",
        cipher_suite::TLS13_AES_128_GCM_SHA256,
    ),
    (
        "TLS_AES_256_GCM_SHA384",
        cipher_suite::TLS13_AES_256_GCM_SHA384,
    ),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// Groups for the key exchange by the names that Go gives them.
pub static GROUPS: [(&str, &dyn SupportedKxGroup); 4] = [
    ("CurveP256", kx_group::SECP256R1),
    ("CurveP384", kx_group::SECP384R1),
    ("X25519", kx_group::X25519),
    ("X25519MLKEM768", kx_group::X25519MLKEM768),
];

/// All certificates of a text in PEM, in its order: at least one.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(TlsError::Pem)?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    Ok(found)
}

/// Certificates that clients' certificates are to be issued by: at least one.
pub fn authorities(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = certificates(text)?;
    roots(&found)?;
    Ok(found)
}

/// The first private key of a text in PEM.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey,
        error => TlsError::Pem(error),
    })
}

/// Checks that key and certificate, which stands first in its chain, belong together.
pub fn identity(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, TlsError> {
    match CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()) {
        Ok(identity) => Ok(Arc::new(identity)),
        Err(Error::InconsistentKeys(_)) => Err(TlsError::Mismatch),
        Err(error) => Err(TlsError::Unusable(error)),
    }
}

/// Builds what connections are accepted with.
pub fn server(settings: Settings) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(provider(settings.suites, settings.groups));
    let verifier = verifier(&settings.clients, settings.allowed_sans, &provider)?;
    let versions: Vec<_> = [(Version::Tls13, &TLS13), (Version::Tls12, &TLS12)]
        .into_iter()
        .filter(|(version, _)| (settings.min..=settings.max).contains(version))
        .map(|(_, version)| version)
        .collect();
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(TlsError::Choices)?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let resolver = SingleCertAndKey::from(Arc::unwrap_or_clone(settings.identity));
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ignore_client_order = settings.our_order;
    if settings.clients != Clients::Anonymous {
        // A resumed session would not look at the client's certificate again, which may have expired.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// The provider with the suites and groups that were chosen.
fn provider(
    suites: Vec<SupportedCipherSuite>,
    groups: Vec<&'static dyn SupportedKxGroup>,
) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if !suites.is_empty() {
        let is_13 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
        let names_13 = suites.iter().any(is_13);
        provider
            .cipher_suites
            .retain(|suite| is_13(suite) && !names_13);
        provider.cipher_suites.splice(..0, suites);
    }
    if !groups.is_empty() {
        provider.kx_groups = groups;
    }
    provider
}

fn roots(authorities: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(TlsError::Unusable)?;
    }
    Ok(Arc::new(roots))
}

/// Looks at the certificates of clients; none: they are not asked for one.
fn verifier(
    clients: &Clients,
    allowed_sans: Vec<String>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let (trust, mandatory) = match clients {
        Clients::Anonymous => return Ok(None),
        Clients::Asked => (None, false),
        Clients::Any => (None, true),
        Clients::VerifiedIfGiven(authorities) => (Some(authorities), false),
        Clients::Verified(authorities) => (Some(authorities), true),
    };
    let build = |roots| {
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        let error = |error: rustls::server::VerifierBuilderError| {
            TlsError::Unusable(Error::General(error.to_string()))
        };
        builder.build().map_err(error)
    };
    let trust = match trust {
        Some(authorities) => Some(build(roots(authorities)?)?),
        None => None,
    };
    Ok(Some(Arc::new(Verifier {
        trust,
        mandatory,
        allowed_sans,
        algorithms: provider.signature_verification_algorithms,
    })))
}

/// Checks a client's certificate as far as it was asked for.
#[derive(Debug)]
struct Verifier {
    /// Who must have issued it; none: anybody.
    trust: Option<Arc<dyn ClientCertVerifier>>,
    mandatory: bool,
    allowed_sans: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.trust
            .as_ref()
            .map_or(&[], |trust| trust.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(trust) = &self.trust {
            trust.verify_client_cert(certificate, intermediates, now)?;
        }
        if !self.allowed_sans.is_empty() {
            let names = san::names(certificate)
                .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
            if !names.iter().any(|name| self.allowed_sans.contains(name)) {
                let refused = CertificateError::ApplicationVerificationFailure;
                return Err(Error::InvalidCertificate(refused));
            }
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
