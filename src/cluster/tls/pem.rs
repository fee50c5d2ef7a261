//! Certificates and keys in PEM form: a file's content in, what it holds out, or what is wrong with it and what to do.
//!
//! No error shows any of the text: it may be a key's.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::pki_types::pem::{Error, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// Longest file in bytes: several times the list of all public authorities.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// All certificates of a file's content, one at least. `what` is the key that names the file.
pub fn certificates(
    what: &'static str,
    path: &str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let holds = |holds| TlsError::Holds {
        what,
        path: path.to_owned(),
        holds,
        remedy: "the certificate in PEM form, which begins with -----BEGIN CERTIFICATE-----",
    };
    if pem.trim_ascii().is_empty() {
        return Err(holds("is empty"));
    }
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let list = list.map_err(|error| TlsError::Broken {
        what,
        path: path.to_owned(),
        why: pem_error(&error),
    })?;
    if list.is_empty() {
        return Err(holds("holds no certificate"));
    }
    Ok(list)
}

/// The first key of a file's content.
pub fn private_key(
    what: &'static str,
    path: &str,
    pem: &[u8],
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let holds = |holds| TlsError::Holds {
        what,
        path: path.to_owned(),
        holds,
        remedy: "the key in PEM form and without passphrase, which begins with -----BEGIN PRIVATE KEY-----",
    };
    if pem.trim_ascii().is_empty() {
        return Err(holds("is empty"));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound => holds("holds no usable key"),
        error => TlsError::Broken {
            what,
            path: path.to_owned(),
            why: pem_error(&error),
        },
    })
}

/// What is wrong.
fn pem_error(error: &Error) -> String {
    let text = match error {
        Error::MissingSectionEnd { .. } => "a part lacks its END line",
        Error::IllegalSectionStart { .. } => "a BEGIN line is broken",
        Error::Base64Decode(_) => "a part is not base64",
        _ => "it is not in PEM form",
    };
    text.to_owned()
}

/// Reads a file of certificates or a key whole.
pub fn read_file(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut content = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content));
    let read = read.and_then(|length| {
        if length as u64 > FILE_BYTES_MAX {
            Err(io::Error::other("it is longer than 4MiB"))
        } else {
            Ok(content)
        }
    });
    read.map_err(|source| TlsError::Read {
        what,
        path: path.display().to_string(),
        source,
    })
}
