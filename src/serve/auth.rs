//! Users and passwords: what stands in a request's `Authorization` in, whether it may pass out.
//!
//! A check by bcrypt is expensive on purpose, some 50 ms, and anybody may ask for one. So:
//!
//! - A verdict is remembered by a keyed hash of user, bcrypt hash and password; the key lives as long as the process.
//!   Whoever was let in before is let in at once, whatever others try.
//! - One check runs at a time, in the pool. Wrong passwords pay for theirs from a small allowance of CPU time
//!   (`Allowance`); when it is used up, checks wait until it has grown again.
//! - Few may wait: while the allowance is used up, one password of an address, and one more that comes back after it
//!   was turned away. An address from which no wrong password came goes first, then what comes back: a guesser never
//!   sends the same password twice, a person or a scraper does. So the right password gets in beside a flood, also
//!   from the same address. Everybody else is told to come again (429).
//!
//! Nobody learns which users exist: a name that does not exist is checked against the hash of one that does.

mod memory;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bcrypt::HashParts;
use http::header::{AUTHORIZATION, HeaderMap};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::warn;

use self::memory::{Begin, Known, Memory, Tag};
use crate::pool::Pool;

/// Most of a password that bcrypt looks at, in bytes, with the zero behind it.
const PASSWORD_BYTES_MAX: usize = 72;

/// Highest cost of a hash: one check of cost 16 takes some 4 s.
const COST_MAX: u32 = 16;

/// Longest time that a request waits for its check.
const PATIENCE: Duration = Duration::from_secs(10);

/// A bcrypt hash. Never shown.
#[derive(Clone, Debug)]
pub struct Hash(SecretString);

/// Why a text is no hash that can be used. The text itself may be a password, so that it is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// It is something else.
    #[error(
        "is no bcrypt hash ($2a$, $2b$ or $2y$ and 57 more characters); make one with `htpasswd -nBC 10 \"\"`, without its colon"
    )]
    NoHash,
    /// Every check would take very long, or none.
    #[error(
        "has cost {0}; write a hash of cost 4 to 16, where 10 takes some 50 ms for the first request of a client"
    )]
    Cost(u32),
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let parts = HashParts::from_str(text).map_err(|_| HashError::NoHash)?;
        match parts.get_cost() {
            4..=COST_MAX => Ok(Self(text.into())),
            cost => Err(HashError::Cost(cost)),
        }
    }
}

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It passes.
    Good,
    /// It does not.
    Wrong,
    /// It was not looked at: it may come again.
    Later,
}

/// What a client says it is.
pub(super) struct Credentials {
    user: Vec<u8>,
    password: SecretSlice<u8>,
}

impl Credentials {
    /// Reads `Basic` credentials as Go does: the first header, the scheme in any case, all behind the first colon.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(AUTHORIZATION)?.as_bytes();
        let (scheme, encoded) = text.split_at_checked("Basic ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return None;
        }
        let mut user = STANDARD.decode(encoded).ok()?;
        let colon = memchr::memchr(b':', &user)?;
        let password = user.split_off(colon + 1).into();
        user.pop();
        Some(Self { user, password })
    }
}

/// Who may pass.
#[derive(Debug)]
pub(super) struct Users {
    /// By the tag of the name, so that a comparison takes the same time for all names.
    hashes: HashMap<Tag, Hash>,
    /// The hashes that names which do not exist are checked against.
    dummies: Vec<Hash>,
}

/// Checks passwords. There is one for all connections.
#[derive(Debug)]
pub(super) struct Guard {
    key: hmac::Key,
    pool: Pool,
    memory: Mutex<Memory>,
    /// Told to all that wait when a check is over or somebody has left.
    changed: Notify,
}

impl Guard {
    /// Knows nothing yet.
    pub(super) fn new(pool: Pool) -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self {
            key: key.expect("the system gives random bytes"),
            pool,
            memory: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// The users of a configuration.
    pub(super) fn users(&self, users: &[(String, Hash)]) -> Users {
        let tagged = users
            .iter()
            .map(|(name, hash)| (self.tag(&[name.as_bytes()]), hash.clone()));
        Users {
            hashes: tagged.collect(),
            dummies: users.iter().map(|(_, hash)| hash.clone()).collect(),
        }
    }

    /// Whether these credentials pass.
    pub(super) async fn check(
        self: &Arc<Self>,
        users: &Users,
        credentials: &Credentials,
        peer: IpAddr,
    ) -> Verdict {
        let name = self.tag(&[&credentials.user]);
        let known = users.hashes.get(&name);
        let index = usize::from(u16::from_le_bytes([name[0], name[1]]));
        let Some(hash) = known.or_else(|| users.dummies.get(index % users.dummies.len().max(1)))
        else {
            return Verdict::Wrong;
        };
        let password = repeated(credentials.password.expose_secret());
        let tag = self.tag(&[
            &credentials.user,
            hash.0.expose_secret().as_bytes(),
            &password[..],
        ]);
        let check = Check {
            tag,
            address: address(peer),
            is_user: known.is_some(),
            hash: hash.clone(),
            password: credentials.password.clone(),
        };
        let verdict = timeout(PATIENCE, self.decide(check)).await;
        verdict.unwrap_or_else(|_| {
            self.memory().turned_away.add(tag);
            Verdict::Later
        })
    }

    async fn decide(self: &Arc<Self>, check: Check) -> Verdict {
        loop {
            let known = self.memory().look(&check, Instant::now());
            match known {
                Known::Verdict(verdict) => return verdict,
                Known::Follow(mut over) => while over.changed().await.is_ok() {},
                Known::Unknown(over) => return self.wait_and_check(check, over).await,
            }
        }
    }

    /// Waits for its turn and for the allowance, then runs bcrypt.
    async fn wait_and_check(self: &Arc<Self>, check: Check, over: watch::Sender<()>) -> Verdict {
        let place = Place {
            guard: self.clone(),
            tag: check.tag,
            _over: over,
        };
        loop {
            let changed = self.changed.notified();
            let begin = self.memory().begin(&check.tag, Instant::now());
            match begin {
                Begin::Now => break,
                Begin::Behind => changed.await,
                Begin::At(time) => {
                    let _ = timeout_at(time, changed).await;
                }
            }
        }
        // All that must happen behind a check goes along, since a client may leave while it runs.
        let work = move || place.run(&check);
        self.pool.run(work).await.unwrap_or_else(|error| {
            warn!(%error, "A password was not checked.");
            Verdict::Later
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A keyed hash of texts, each with its length.
    fn tag(&self, texts: &[&[u8]]) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for text in texts {
            context.update(&text.len().to_le_bytes());
            context.update(text);
        }
        let tag = context.sign();
        tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

/// A password to be checked.
struct Check {
    tag: Tag,
    address: IpAddr,
    is_user: bool,
    hash: Hash,
    password: SecretSlice<u8>,
}

/// A place among those that wait, given back when this is dropped.
struct Place {
    guard: Arc<Guard>,
    tag: Tag,
    _over: watch::Sender<()>,
}

impl Place {
    /// Runs bcrypt and remembers what it says. Blocks for its time.
    fn run(self, check: &Check) -> Verdict {
        let begin = (Instant::now(), cpu_time());
        let matches = bcrypt::verify(check.password.expose_secret(), check.hash.0.expose_secret());
        let good = matches.unwrap_or(false) & check.is_user;
        let mut memory = self.guard.memory();
        if good {
            memory.good.add(check.tag);
        } else {
            memory.wrong.add(check.tag);
            memory.guessed(check.address);
            let end = Instant::now();
            memory.allowance.spend(spent(begin, (end, cpu_time())), end);
        }
        drop(memory);
        if good { Verdict::Good } else { Verdict::Wrong }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut memory = self.guard.memory();
        memory.waiting.remove(&self.tag);
        if memory.running == Some(self.tag) {
            memory.running = None;
        }
        drop(memory);
        self.guard.changed.notify_waiters();
    }
}

/// A moment: the time, and the CPU time of this thread where the system tells it.
type Moment = (Instant, Option<Duration>);

/// CPU time between two moments: on a busy machine much less than the time that has passed. Not less than an eighth
/// of that, lest a system that counts wrongly lets everybody guess for nothing.
fn spent((begin, cpu_begin): Moment, (end, cpu_end): Moment) -> Duration {
    let passed = end - begin;
    let cpu = cpu_end.zip(cpu_begin);
    let cpu = cpu.map(|(end, begin)| end.saturating_sub(begin).max(passed / 8));
    cpu.unwrap_or(passed)
}

/// The CPU time of this thread. A kernel that does not count it says 0.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split_ascii_whitespace().next()?.parse().ok()?;
    (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
}

/// What bcrypt makes of a password: it and a zero, repeated. Equal for passwords that are the same to bcrypt.
fn repeated(password: &[u8]) -> Zeroizing<[u8; PASSWORD_BYTES_MAX]> {
    let mut out = Zeroizing::new([0; PASSWORD_BYTES_MAX]);
    let bytes = password.iter().chain(&[0]).cycle();
    for (place, byte) in out.iter_mut().zip(bytes) {
        *place = *byte;
    }
    out
}

/// What counts as one address: an IPv6 host usually has a whole /64.
fn address(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
        IpAddr::V4(address) => address.into(),
    }
}
