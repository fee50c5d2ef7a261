//! What a query may use: time, samples and bytes, of its own and of all queries together; and the wish to end it.
//!
//! A query that goes over a limit fails alone and its error says which limit. Counting is cheap enough for inner loops:
//! clock and flag are looked at every few thousand steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// Why a query is ended before its time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Too many samples at the same time.
    #[error("query processing would load too many samples into memory in query execution")]
    Samples,
    /// All queries together would take more memory than they may.
    #[error(
        "query would take {asked} bytes more while all queries hold {held} of the {limit} bytes that they may: ask for \
         fewer series or steps, try again later, or raise --memory.limit"
    )]
    Memory {
        /// What this query asked for.
        asked: u64,
        /// What all queries hold.
        held: u64,
        /// What they may hold.
        limit: u64,
    },
    /// The deadline has passed.
    #[error("query timed out in {0}")]
    Timeout(&'static str),
    /// Nobody waits for the answer any more.
    #[error("query was canceled in {0}")]
    Canceled(&'static str),
}

/// The bytes that all queries together may hold.
#[derive(Debug)]
pub struct Shared {
    limit: u64,
    held: AtomicU64,
}

impl Shared {
    /// At most `limit_bytes` for all queries together.
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            limit: limit_bytes,
            held: AtomicU64::new(0),
        }
    }

    /// Bytes that are held now.
    pub fn held_bytes(&self) -> u64 {
        self.held.load(Relaxed)
    }
}

/// The limits of one query, and what it has used.
#[derive(Debug)]
pub struct Budget {
    deadline: Instant,
    canceled: Arc<AtomicBool>,
    samples_max: u64,
    samples: AtomicU64,
    peak: AtomicU64,
    scanned: AtomicU64,
    bytes: AtomicU64,
    shared: Arc<Shared>,
}

/// What work is called in the message of a query that ran out of time.
const EVALUATION: &str = "expression evaluation";

impl Budget {
    /// Limits of one query. `canceled` is set when nobody waits any more.
    pub fn new(
        deadline: Instant,
        canceled: Arc<AtomicBool>,
        samples_max: u64,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            deadline,
            canceled,
            samples_max,
            samples: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            scanned: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            shared,
        }
    }

    /// A budget that never ends a query, for what runs outside of one.
    pub fn unlimited() -> Self {
        let year = Duration::from_secs(365 * 86_400);
        let shared = Arc::new(Shared::new(u64::MAX));
        Self::new(Instant::now() + year, Arc::default(), u64::MAX, shared)
    }

    /// When the answer has to be there.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Fails once the deadline has passed or nobody waits any more.
    pub fn check(&self) -> Result<(), Stop> {
        if self.canceled.load(Relaxed) {
            return Err(Stop::Canceled(EVALUATION));
        }
        if Instant::now() >= self.deadline {
            return Err(Stop::Timeout(EVALUATION));
        }
        Ok(())
    }

    /// Notes samples that are held until [`release`](Self::release), with `bytes` of memory.
    pub fn hold(&self, samples: u64, bytes: u64) -> Result<(), Stop> {
        let now = self.samples.fetch_add(samples, Relaxed) + samples;
        self.peak.fetch_max(now, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        let held = self.shared.held.fetch_add(bytes, Relaxed);
        if now > self.samples_max {
            return Err(Stop::Samples);
        }
        if held.saturating_add(bytes) > self.shared.limit {
            return Err(Stop::Memory {
                asked: bytes,
                held,
                limit: self.shared.limit,
            });
        }
        Ok(())
    }

    /// The opposite of [`hold`](Self::hold), also after one that failed.
    pub fn release(&self, samples: u64, bytes: u64) {
        self.samples.fetch_sub(samples, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
        self.shared.held.fetch_sub(bytes, Relaxed);
    }

    /// Fails if so many samples more, held for a moment, would be too many.
    pub fn peek(&self, samples: u64) -> Result<(), Stop> {
        let now = self.samples.load(Relaxed) + samples;
        self.peak.fetch_max(now, Relaxed);
        if now > self.samples_max {
            return Err(Stop::Samples);
        }
        Ok(())
    }

    /// Notes samples that were read, for the statistics.
    pub fn read(&self, samples: u64) {
        self.scanned.fetch_add(samples, Relaxed);
    }

    /// Samples that were read so far.
    pub fn read_samples(&self) -> u64 {
        self.scanned.load(Relaxed)
    }

    /// The most samples that were held at the same time.
    pub fn peak_samples(&self) -> u64 {
        self.peak.load(Relaxed)
    }
}

/// What is left goes back when the query ends, however it ends.
impl Drop for Budget {
    fn drop(&mut self) {
        self.shared
            .held
            .fetch_sub(self.bytes.load(Relaxed), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(samples: u64, shared: &Arc<Shared>) -> Budget {
        let deadline = Instant::now() + Duration::from_secs(60);
        Budget::new(deadline, Arc::default(), samples, shared.clone())
    }

    #[test]
    fn samples_and_bytes_are_limited_and_given_back() {
        let shared = Arc::new(Shared::new(1000));
        let (one, two) = (budget(10, &shared), budget(10, &shared));
        assert_eq!(one.hold(10, 800), Ok(()));
        assert_eq!(one.hold(1, 0), Err(Stop::Samples));
        let memory = two.hold(5, 300).unwrap_err();
        assert_eq!(
            memory,
            Stop::Memory {
                asked: 300,
                held: 800,
                limit: 1000
            }
        );
        two.release(5, 300);
        one.release(11, 800);
        assert_eq!((one.peak_samples(), shared.held_bytes()), (11, 0));
        assert_eq!(two.hold(5, 300), Ok(()));
        drop(two);
        assert_eq!(shared.held_bytes(), 0);
    }

    #[test]
    fn ends_at_the_deadline_or_when_nobody_waits() {
        let shared = Arc::new(Shared::new(1));
        let canceled = Arc::new(AtomicBool::new(false));
        let late = Budget::new(Instant::now(), canceled.clone(), 1, shared.clone());
        let text = late.check().unwrap_err().to_string();
        assert_eq!(text, "query timed out in expression evaluation");
        canceled.store(true, Relaxed);
        let text = late.check().unwrap_err().to_string();
        assert_eq!(text, "query was canceled in expression evaluation");
        assert_eq!(budget(1, &shared).check(), Ok(()));
    }
}
