//! What a cluster's last rounds were like, for `/api/v1/clusters` and the log.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::replica::Why;
use super::report::Report;

/// Bytes of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// On the wire.
    pub compressed: u64,
    /// Decoded.
    pub decoded: u64,
}

impl Wire {
    pub(super) fn add(&mut self, compressed: u64, decoded: u64) {
        self.compressed += compressed;
        self.decoded += decoded;
    }
}

/// Where the time of a round went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Until the headers of the answer came: connection, and the server's own work.
    pub wait: Duration,
    /// Waiting for the body.
    pub read: Duration,
    /// Decoding, matching, parsing, relabelling, writing.
    pub parse: Duration,
    /// Making the snapshot and publishing it.
    pub publish: Duration,
}

/// State of a cluster. Written by its scrape loop.
#[derive(Debug)]
pub struct Status {
    /// Address without credentials.
    pub url: String,
    /// Addresses of all replicas; empty when there is one server.
    pub replicas: Vec<String>,
    /// Time between rounds.
    pub interval: Duration,
    current: ArcSwap<State>,
    /// Classes of errors that are logged already.
    known: Mutex<Vec<&'static str>>,
}

/// State after the last round.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What the last successful round brought.
    pub success: Option<Success>,
    /// The last failure, also when a success came after it.
    pub failure: Option<Failure>,
    /// Rounds, well or not.
    pub rounds: u64,
    /// How long the last round took.
    pub duration: Duration,
    /// Whether the last round failed.
    pub failing: bool,
    /// Ids of the Tributaries whose data the cluster's answer holds.
    pub via: Vec<String>,
    /// Files with secrets or certificates that cannot be used as they are, so that older content holds.
    pub access_error: Option<Arc<String>>,
    /// The replica in use, by its place among all.
    pub used: usize,
    /// The last time that another replica was taken.
    pub last_switch: Option<Switch>,
}

/// A replica was given up for another.
#[derive(Clone, Debug)]
pub struct Switch {
    /// When.
    pub at: SystemTime,
    /// Places of both among all replicas.
    pub from: usize,
    /// The one in use since.
    pub to: usize,
    /// Why.
    pub why: Why,
    /// What was wrong, in words.
    pub message: String,
}

/// A successful round.
#[derive(Clone, Debug)]
pub struct Success {
    /// When it was over.
    pub at: SystemTime,
    /// Samples.
    pub report: Report,
    /// Bytes.
    pub wire: Wire,
    /// Times.
    pub phases: Phases,
    /// The newest sample, in milliseconds.
    pub newest_ms: Option<i64>,
}

/// A failed round.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When it was over.
    pub at: SystemTime,
    /// The class of the error.
    pub reason: &'static str,
    /// The error.
    pub message: String,
}

impl Status {
    /// Nothing has happened yet.
    pub fn new(url: String, interval: Duration) -> Self {
        Self {
            url,
            replicas: Vec::new(),
            interval,
            current: ArcSwap::default(),
            known: Mutex::default(),
        }
    }

    /// The same for a cluster with replicas.
    #[must_use]
    pub fn with_replicas(mut self, replicas: Vec<String>) -> Self {
        self.replicas = replicas;
        self
    }

    /// The address of the replica in use, or the only one.
    pub fn used_url(&self) -> &str {
        let used = self.current.load().used;
        self.replicas.get(used).unwrap_or(&self.url)
    }

    /// The state now.
    pub fn load(&self) -> Arc<State> {
        self.current.load_full()
    }

    /// True the first time since the last recovery that this class of error is seen.
    pub(super) fn is_news(&self, reason: &'static str) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let news = !known.contains(&reason);
        if news {
            known.push(reason);
        }
        news
    }

    /// True when the round before failed, and at the first round.
    pub(super) fn recovers(&self) -> bool {
        let state = self.current.load();
        state.failing || state.success.is_none()
    }

    pub(super) fn set_via(&self, via: Vec<String>) {
        if self.current.load().via != via {
            self.change(|state| state.via = via);
        }
    }

    /// True when it is another one than before, and there is one.
    pub(super) fn set_access_error(&self, error: Option<Arc<String>>) -> bool {
        if self.current.load().access_error == error {
            return false;
        }
        let is_news = error.is_some();
        self.change(|state| state.access_error = error);
        is_news
    }

    pub(super) fn switch(&self, switch: Switch) {
        self.change(|state| {
            state.used = switch.to;
            state.last_switch = Some(switch);
        });
    }

    pub(super) fn succeed(&self, success: Success, duration: Duration) {
        if success.report.first_bad_line.is_none() {
            self.known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clear();
        }
        self.change(|state| {
            state.success = Some(success);
            state.rounds += 1;
            state.duration = duration;
            state.failing = false;
        });
    }

    /// The class of the last error, if a round ever failed.
    pub(super) fn last_reason(&self) -> Option<&'static str> {
        self.current
            .load()
            .failure
            .as_ref()
            .map(|failure| failure.reason)
    }

    pub(super) fn fail(&self, reason: &'static str, message: String, duration: Duration) {
        self.change(|state| {
            state.failure = Some(Failure {
                at: SystemTime::now(),
                reason,
                message,
            });
            state.rounds += 1;
            state.duration = duration;
            state.failing = true;
        });
    }

    /// One loop writes, so that nothing is lost between reading and storing.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = State::clone(&self.current.load());
        change(&mut state);
        self.current.store(Arc::new(state));
    }
}
