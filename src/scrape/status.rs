//! What a cluster's last rounds were like, for `/api/v1/clusters` and the log.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

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
            interval,
            current: ArcSwap::default(),
            known: Mutex::default(),
        }
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
