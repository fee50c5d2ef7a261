//! Secrets that live in a file or in an environment variable: the place comes in from the configuration, the content
//! goes out when it is used.
//!
//! A place is read at every use, so that a rotated token or password takes effect with the next request. While it
//! cannot be read, what was read last holds ([`Held`]). A [`Secret`] prints as `<secret>` and is wiped when dropped;
//! errors name the place, never the content; [`mask`] takes secrets out of what others say.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretString};

/// Longest secret in bytes: longer than any token, and a bound on what a wrong path can make us read.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Of a secret, this many bytes in a row are taken out of a text; shorter secrets are taken out whole.
const MASKED_BYTES_MIN: usize = 8;

/// What is written in place of a secret.
const MASK: &str = "<secret>";

/// Where a secret is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file with nothing else in it.
    File(PathBuf),
    /// An environment variable, by its name.
    Env(String),
}

/// A secret as it was read. Prints as `<secret>`.
#[derive(Clone)]
pub struct Secret(SecretString);

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be opened or read.
    #[error("cannot read the secret in {path}: {source}; name a file that exists and may be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The environment lacks the variable.
    #[error(
        "the environment variable {0} with a secret is not set; set it where Tributary is started"
    )]
    NotSet(String),
    /// Nothing but line ends stands there.
    #[error("the secret in {0} is empty; write the secret into it")]
    Empty(String),
    /// It is longer than any secret.
    #[error("the secret in {0} is longer than 64KiB; name the file that holds nothing else")]
    TooLong(String),
    /// It cannot stand in a header.
    #[error(
        "the secret in {0} holds a line end or another control character; write it on one line"
    )]
    Control(String),
    /// It is not UTF-8 text.
    #[error("the secret in {0} is not UTF-8 text; write it as text")]
    NotText(String),
}

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// A file by its path, a variable as `$NAME`.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "${name}"),
        }
    }
}

impl SecretSource {
    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Env(_) => None,
        }
    }

    /// Reads the secret as it is now, without the line ends at its end. Blocks for the time of one small file.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let mut bytes = match self {
            Self::File(path) => read_file(path)?,
            Self::Env(name) => std::env::var_os(name)
                .ok_or_else(|| SecretError::NotSet(name.clone()))?
                .into_encoded_bytes(),
        };
        let place = || self.to_string();
        let outcome = if bytes.len() > SECRET_BYTES_MAX {
            Err(SecretError::TooLong(place()))
        } else {
            match std::str::from_utf8(&bytes).map(|text| text.trim_end_matches(['\r', '\n'])) {
                Err(_) => Err(SecretError::NotText(place())),
                Ok("") => Err(SecretError::Empty(place())),
                Ok(text) => Ok(Secret(SecretString::from(text))),
            }
        };
        bytes.zeroize();
        outcome
    }
}

/// One byte more than a secret may have, at most.
fn read_file(path: &Path) -> Result<Vec<u8>, SecretError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        file.take(SECRET_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => Ok(bytes),
        Err(source) => {
            bytes.zeroize();
            Err(SecretError::Read {
                path: path.to_owned(),
                source,
            })
        }
    }
}

/// A place with what was read from it last.
#[derive(Debug)]
pub struct Held {
    source: SecretSource,
    /// Whether it is sent as it is.
    in_header: bool,
    last: ArcSwapOption<Secret>,
}

impl Held {
    /// A secret of whatever text; nothing is read yet.
    pub fn new(source: SecretSource) -> Self {
        Self {
            source,
            in_header: false,
            last: ArcSwapOption::empty(),
        }
    }

    /// A secret that is sent as it is in a header.
    pub fn for_header(source: SecretSource) -> Self {
        Self {
            in_header: true,
            ..Self::new(source)
        }
    }

    /// The secret as it is now. While it cannot be read, the one read last holds and `troubles` tells why; an error
    /// only when there is none yet.
    pub fn read(&self, troubles: &mut Troubles) -> Result<Arc<Secret>, SecretError> {
        match (self.read_now(), self.last()) {
            (Ok(secret), _) => {
                let secret = Arc::new(secret);
                self.last.store(Some(secret.clone()));
                Ok(secret)
            }
            (Err(error), Some(last)) => {
                troubles.note(&error);
                Ok(last)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn read_now(&self) -> Result<Secret, SecretError> {
        let secret = self.source.read()?;
        if self.in_header && secret.expose().contains(char::is_control) {
            return Err(SecretError::Control(self.source.to_string()));
        }
        Ok(secret)
    }

    /// What was read last, if anything was.
    pub fn last(&self) -> Option<Arc<Secret>> {
        self.last.load_full()
    }
}

/// What could not be read anew for a request, so that older content holds.
#[derive(Debug, Default)]
pub struct Troubles(Vec<String>);

impl Troubles {
    /// Notes an error.
    pub fn note(&mut self, error: &dyn fmt::Display) {
        self.0.push(error.to_string());
    }

    /// All of them in one text; none when there are none.
    pub fn text(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| format!("{}; what was read before holds", self.0.join("; ")))
    }
}

/// The text without any of the secrets, whole or cut: someone who was sent a secret may send it back in an error.
pub fn mask(text: &str, secrets: &[Arc<Secret>]) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let longest = secrets
            .iter()
            .map(|secret| common(rest, secret.expose()))
            .max();
        match longest {
            Some(len) if len > 0 => {
                masked.push_str(MASK);
                rest = &rest[len..];
            }
            _ => {
                masked.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    masked
}

/// How many bytes the text begins with that the secret has somewhere too; 0 when it is too little to tell.
fn common(text: &str, secret: &str) -> usize {
    let enough = secret.len().min(MASKED_BYTES_MIN);
    if enough == 0 || text.len() < enough || !text.is_char_boundary(enough) {
        return 0;
    }
    let runs = secret.match_indices(&text[..enough]).map(|(at, _)| {
        let same = text.chars().zip(secret[at..].chars());
        same.take_while(|(a, b)| a == b)
            .map(|(c, _)| c.len_utf8())
            .sum()
    });
    runs.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &tempfile::TempDir, content: &[u8]) -> SecretSource {
        let path = folder.path().join("secret");
        std::fs::write(&path, content).expect("the folder is writable");
        SecretSource::File(path)
    }

    fn secret_in(content: &[u8]) -> Result<Secret, SecretError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        file(&folder, content).read()
    }

    #[test]
    fn a_secret_is_read_without_its_line_end() {
        fn check(content: &str, want: &str) {
            assert_eq!(secret_in(content.as_bytes()).expect(content).expose(), want);
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
    fn a_secret_may_stand_in_the_environment() {
        // Cargo sets this one for every test.
        let source = SecretSource::Env("CARGO_PKG_NAME".into());
        assert_eq!(source.read().expect("it is set").expose(), "tributary");
        let error = SecretSource::Env("TRIBUTARY_NOT_SET".into()).read();
        let error = error.expect_err("it is not set").to_string();
        assert!(error.contains("TRIBUTARY_NOT_SET") && error.contains("set it"));
    }

    #[test]
    fn a_secret_is_read_anew_at_every_use_and_the_last_one_holds() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("token");
        let held = Held::new(SecretSource::File(path.clone()));
        let mut troubles = Troubles::default();
        let error = held.read(&mut troubles).expect_err("it is not there yet");
        assert!(error.to_string().contains("token"), "{error}");
        for word in ["first", "second"] {
            std::fs::write(&path, word).expect("the folder is writable");
            let secret = held.read(&mut troubles).expect(word);
            assert_eq!(secret.expose(), word);
            assert!(!format!("{secret:?} {held:?}").contains(word));
        }
        assert_eq!(troubles.text(), None);
        std::fs::write(&path, "").expect("the folder is writable");
        let secret = held.read(&mut troubles).expect("the last one holds");
        assert_eq!(secret.expose(), "second");
        let text = troubles.text().expect("it is told");
        assert!(
            text.contains("is empty") && text.contains("holds"),
            "{text}"
        );
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!(held.read(&mut troubles).expect("holds").expose(), "second");
    }

    #[test]
    fn secrets_are_taken_out_of_what_others_say() {
        fn check(text: &str, secrets: &[&str], want: &str) {
            let secrets: Vec<_> = secrets
                .iter()
                .map(|&text| Arc::new(Secret::from(text.to_owned())))
                .collect();
            assert_eq!(mask(text, &secrets), want, "{text}");
        }
        check("no token abc", &["secret-token"], "no token abc");
        check(
            "Bearer secret-token!",
            &["secret-token"],
            "Bearer <secret>!",
        );
        check("cut: secret-to", &["secret-token"], "cut: <secret>");
        check("cut: cret-token", &["secret-token"], "cut: <secret>");
        check("pw and ipw", &["pw"], "<secret> and i<secret>");
        check("a1b2c3 x1y2z3", &["a1b2c3", "x1y2z3"], "<secret> <secret>");
        check("größe", &["größe"], "<secret>");
        check("x", &[""], "x");
    }
}
