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
    /// All queries together would hold more samples than they may.
    #[error(
        "query would hold {asked} samples more while all queries hold {held} of the {limit} that they may: try again \
         later, or raise --query.max-samples"
    )]
    AllSamples {
        /// What this query asked for.
        asked: u64,
        /// What all queries hold.
        held: u64,
        /// What they may hold.
        limit: u64,
    },
    /// This query would take more memory than one may.
    #[error(
        "query would take {asked} bytes more and holds {held} of the {limit} bytes that one query may: ask for fewer \
         series or steps, or raise --memory.limit"
    )]
    Memory {
        /// What it asked for.
        asked: u64,
        /// What it holds.
        held: u64,
        /// What it may hold.
        limit: u64,
    },
    /// All queries together would take more memory than they may.
    #[error(
        "query would take {asked} bytes more while all queries hold {held} of the {limit} bytes that they may: ask for \
         fewer series or steps, try again later, or raise --memory.limit"
    )]
    AllMemory {
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

/// What one query may hold, or all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Samples.
    pub samples: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self {
        samples: u64::MAX,
        bytes: u64::MAX,
    };
}

/// What all queries together hold, and may hold.
#[derive(Debug)]
pub struct Shared {
    limits: Limits,
    samples: AtomicU64,
    bytes: AtomicU64,
}

impl Shared {
    /// All queries together hold at most this.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            samples: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Bytes that are held now.
    pub fn held_bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

/// The limits of one query, and what it has used.
#[derive(Debug)]
pub struct Budget {
    deadline: Instant,
    canceled: Arc<AtomicBool>,
    limits: Limits,
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
        limits: Limits,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            deadline,
            canceled,
            limits,
            samples: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            scanned: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            shared,
        }
    }

    /// A budget that never ends a query, for what runs outside of one.
    pub fn unlimited() -> Self {
        Self::of(&Arc::new(Shared::new(Limits::NONE)))
    }

    /// A budget that ends with that of all queries only.
    pub fn of(shared: &Arc<Shared>) -> Self {
        let year = Instant::now() + Duration::from_secs(365 * 86_400);
        Self::new(year, Arc::default(), Limits::NONE, shared.clone())
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
        let shared = &self.shared;
        let own = Limits {
            samples: self.samples.fetch_add(samples, Relaxed),
            bytes: self.bytes.fetch_add(bytes, Relaxed),
        };
        let all = Limits {
            samples: shared.samples.fetch_add(samples, Relaxed),
            bytes: shared.bytes.fetch_add(bytes, Relaxed),
        };
        self.peak.fetch_max(own.samples + samples, Relaxed);
        self.check_samples(samples, own.samples, all.samples)?;
        let over = |held: u64, limit: u64| held.saturating_add(bytes) > limit;
        if over(own.bytes, self.limits.bytes) {
            return Err(Stop::Memory {
                asked: bytes,
                held: own.bytes,
                limit: self.limits.bytes,
            });
        }
        if over(all.bytes, shared.limits.bytes) {
            return Err(Stop::AllMemory {
                asked: bytes,
                held: all.bytes,
                limit: shared.limits.bytes,
            });
        }
        Ok(())
    }

    fn check_samples(&self, asked: u64, own: u64, all: u64) -> Result<(), Stop> {
        if own.saturating_add(asked) > self.limits.samples {
            return Err(Stop::Samples);
        }
        let limit = self.shared.limits.samples;
        if all.saturating_add(asked) > limit {
            return Err(Stop::AllSamples {
                asked,
                held: all,
                limit,
            });
        }
        Ok(())
    }

    /// The opposite of [`hold`](Self::hold), also after one that failed.
    pub fn release(&self, samples: u64, bytes: u64) {
        self.samples.fetch_sub(samples, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
        self.shared.samples.fetch_sub(samples, Relaxed);
        self.shared.bytes.fetch_sub(bytes, Relaxed);
    }

    /// Fails if so many samples more, held for a moment, would be too many.
    pub fn peek(&self, samples: u64) -> Result<(), Stop> {
        let own = self.samples.load(Relaxed);
        self.peak.fetch_max(own.saturating_add(samples), Relaxed);
        self.check_samples(samples, own, self.shared.samples.load(Relaxed))
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
        self.release(self.samples.load(Relaxed), self.bytes.load(Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limits: Limits, shared: &Arc<Shared>) -> Budget {
        let deadline = Instant::now() + Duration::from_secs(60);
        Budget::new(deadline, Arc::default(), limits, shared.clone())
    }

    fn limits(samples: u64, bytes: u64) -> Limits {
        Limits { samples, bytes }
    }

    #[test]
    fn samples_and_bytes_are_limited_and_given_back() {
        let shared = Arc::new(Shared::new(limits(15, 1000)));
        let [one, two] = [(); 2].map(|()| budget(limits(10, 800), &shared));
        assert_eq!(one.hold(10, 800), Ok(()));
        assert_eq!(one.hold(1, 0), Err(Stop::Samples));
        one.release(1, 0);
        let (asked, held, limit) = (1, 800, 800);
        let over = Stop::Memory { asked, held, limit };
        assert_eq!(one.hold(0, 1), Err(over));
        one.release(0, 1);
        let (asked, held, limit) = (201, 800, 1000);
        let over = Stop::AllMemory { asked, held, limit };
        assert_eq!(two.hold(5, 201), Err(over));
        two.release(5, 201);
        let (asked, held, limit) = (6, 10, 15);
        let over = Stop::AllSamples { asked, held, limit };
        assert_eq!(two.peek(6), Err(over.clone()));
        assert_eq!(two.hold(6, 0), Err(over));
        two.release(6, 0);
        one.release(10, 800);
        assert_eq!((one.peak_samples(), shared.held_bytes()), (11, 0));
        assert_eq!(two.hold(6, 201), Ok(()));
        drop(two);
        assert_eq!(shared.held_bytes(), 0);
        assert_eq!(one.hold(10, 0), Ok(()), "the samples went back too");
    }

    #[test]
    fn ends_at_the_deadline_or_when_nobody_waits() {
        let shared = Arc::new(Shared::new(Limits::NONE));
        let canceled = Arc::new(AtomicBool::new(false));
        let late = Budget::new(
            Instant::now(),
            canceled.clone(),
            Limits::NONE,
            shared.clone(),
        );
        let text = late.check().unwrap_err().to_string();
        assert_eq!(text, "query timed out in expression evaluation");
        canceled.store(true, Relaxed);
        let text = late.check().unwrap_err().to_string();
        assert_eq!(text, "query was canceled in expression evaluation");
        assert_eq!(budget(Limits::NONE, &shared).check(), Ok(()));
    }
}
