//! A secret that lives in a file: the path comes in from the configuration, the content goes out when it is used.
//!
//! The file is read at every use, so that a rotated token or password takes effect with the next request and no
//! secret is kept in the configuration. What is read is a [`SecretString`], which prints as `[REDACTED]` and is
//! wiped when dropped. Errors name the path, never the content.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use secrecy::zeroize::Zeroize;

/// Longest secret in bytes: longer than any token, and a bound on what a wrong path can make us read.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Where a secret is read from. Clones share nothing but the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    path: PathBuf,
}

/// Why a secret could not be read. `path` is the file's.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be opened or read.
    #[error("cannot read the secret in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Nothing but line ends stands in the file.
    #[error("the secret file {path} is empty")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is longer than any secret.
    #[error("the secret file {path} is longer than 64KiB")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file is not UTF-8 text.
    #[error("the secret file {path} is not UTF-8 text")]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

impl SecretFile {
    /// The secret in the file at `path`, which is not touched yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file's path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the secret as it is now, without the line ends at its end. Blocks for the time of one small file.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let path = || self.path.clone();
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|file| {
            file.take(SECRET_BYTES_MAX as u64 + 1)
                .read_to_end(&mut bytes)
        });
        let outcome = match read {
            Err(source) => Err(SecretError::Read {
                path: path(),
                source,
            }),
            Ok(length) if length > SECRET_BYTES_MAX => Err(SecretError::TooLong { path: path() }),
            Ok(_) => {
                match std::str::from_utf8(&bytes).map(|text| text.trim_end_matches(['\r', '\n'])) {
                    Err(_) => Err(SecretError::NotText { path: path() }),
                    Ok("") => Err(SecretError::Empty { path: path() }),
                    Ok(text) => Ok(SecretString::from(text)),
                }
            }
        };
        bytes.zeroize();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn secret_in(content: &[u8]) -> Result<SecretString, SecretError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, content).expect("the folder is writable");
        SecretFile::new(path).read()
    }

    #[test]
    fn a_secret_is_read_without_its_line_end() {
        fn check(content: &str, want: &str) {
            assert_eq!(
                secret_in(content.as_bytes())
                    .expect(content)
                    .expose_secret(),
                want
            );
        }
        check("abc", "abc");
        check("abc\n", "abc");
        check("abc\r\n", "abc");
        check(" a b \n\n", " a b ");
    }

    #[test]
    fn a_file_that_holds_no_secret_is_refused() {
        fn check(content: &[u8], want: &str) {
            let error = secret_in(content).expect_err(want).to_string();
            assert!(error.contains(want), "{error}");
        }
        check(b"", "is empty");
        check(b"\n", "is empty");
        check(b"\xff\xfe", "is not UTF-8 text");
        check(&vec![b'a'; SECRET_BYTES_MAX + 1], "is longer than 64KiB");
        assert!(secret_in(&vec![b'a'; SECRET_BYTES_MAX]).is_ok());
    }

    #[test]
    fn a_secret_is_read_anew_at_every_use_and_never_printed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = SecretFile::new(folder.path().join("token"));
        let error = file.read().expect_err("the file is not there yet");
        assert!(error.to_string().contains("token"), "{error}");
        for word in ["first", "second"] {
            std::fs::write(file.path(), word).expect("the folder is writable");
            let secret = file.read().expect(word);
            assert_eq!(secret.expose_secret(), word);
            assert!(!format!("{secret:?} {file:?}").contains(word));
        }
    }
}
