//! What is known of passwords, who waits for a check, and when the next one may begin. Pure: times come in.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Check, Verdict};

/// Requests of different passwords that wait at the same time.
pub(super) const WAITING_MAX: usize = 64;

/// Those of one address, while the allowance is not used up.
const WAITING_OF_ADDRESS_MAX: usize = 8;

/// Verdicts of each kind that are remembered, and passwords that were turned away.
pub(super) const REMEMBERED_MAX: usize = 2048;

/// Addresses of wrong passwords that are remembered.
const GUESSERS_MAX: usize = 256;

/// A keyed hash.
pub(super) type Tag = [u8; 32];

/// What all requests share.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) good: Ring,
    pub(super) wrong: Ring,
    pub(super) turned_away: Ring,
    /// Checks that run or wait for their turn, by the tag of what they check.
    pub(super) waiting: HashMap<Tag, Waiting>,
    /// The one that runs.
    pub(super) running: Option<Tag>,
    /// Number of checks that were ever waited for.
    arrivals: u64,
    /// Addresses that wrong passwords came from, the last one behind.
    guessers: VecDeque<IpAddr>,
    pub(super) allowance: Allowance,
}

/// A check that runs or waits.
#[derive(Debug)]
pub(super) struct Waiting {
    address: IpAddr,
    comes_back: bool,
    /// Its number among all that came.
    arrival: u64,
    /// Closes when it is over, for those that wait with it.
    over: watch::Receiver<()>,
}

/// What is known of some credentials.
pub(super) enum Known {
    Verdict(Verdict),
    /// The same are under way: wait, and look again.
    Follow(watch::Receiver<()>),
    /// Nothing: check them.
    Unknown(watch::Sender<()>),
}

/// When a check may begin.
pub(super) enum Begin {
    Now,
    /// Not before this time.
    At(Instant),
    /// Behind another one.
    Behind,
}

impl Memory {
    /// What is known; if nothing is and there is a place, the place is taken.
    pub(super) fn look(&mut self, check: &Check, now: Instant) -> Known {
        let tag = &check.tag;
        if check.is_user && self.good.has(tag) {
            return Known::Verdict(Verdict::Good);
        }
        if self.wrong.has(tag) {
            return Known::Verdict(Verdict::Wrong);
        }
        if let Some(same) = self.waiting.get(tag) {
            return Known::Follow(same.over.clone());
        }
        let comes_back = self.turned_away.has(tag);
        if !self.has_room(check.address, comes_back, now) {
            self.turned_away.add(*tag);
            return Known::Verdict(Verdict::Later);
        }
        let (sender, over) = watch::channel(());
        self.arrivals += 1;
        let waiting = Waiting {
            address: check.address,
            comes_back,
            arrival: self.arrivals,
            over,
        };
        self.waiting.insert(*tag, waiting);
        Known::Unknown(sender)
    }

    /// Whether a check that waits may begin; then it is the one that runs.
    pub(super) fn begin(&mut self, tag: &Tag, now: Instant) -> Begin {
        if self.running.is_some() {
            return Begin::Behind;
        }
        if let Some(time) = self.allowance.ready_at(now) {
            return Begin::At(time);
        }
        let rank = |waiting: &Waiting| {
            let guessed = self.guessers.iter().position(|at| *at == waiting.address);
            (guessed, !waiting.comes_back, waiting.arrival)
        };
        let first = self.waiting.iter().min_by_key(|(_, waiting)| rank(waiting));
        if first.is_some_and(|(first, _)| first != tag) {
            return Begin::Behind;
        }
        self.running = Some(*tag);
        Begin::Now
    }

    /// Notes where a wrong password came from.
    pub(super) fn guessed(&mut self, address: IpAddr) {
        self.guessers.retain(|other| *other != address);
        self.guessers.push_back(address);
        if self.guessers.len() > GUESSERS_MAX {
            self.guessers.pop_front();
        }
    }

    fn has_room(&self, address: IpAddr, comes_back: bool, now: Instant) -> bool {
        let mut of_address = self
            .waiting
            .values()
            .filter(|other| other.address == address);
        let has_place = if self.allowance.ready_at(now).is_some() {
            !of_address.any(|other| other.comes_back == comes_back)
        } else {
            of_address.count() < WAITING_OF_ADDRESS_MAX
        };
        has_place && self.waiting.len() < WAITING_MAX
    }
}

/// The CPU time that wrong passwords may take: a little at once, then a small share of all time.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// When all of [`Allowance::AT_ONCE`] will be there again; none: it is.
    pub(super) full_at: Option<Instant>,
}

impl Allowance {
    /// CPU time that may be spent at once.
    const AT_ONCE: Duration = Duration::from_millis(100);

    /// The time that a wrong password took is followed by this many times as long without one: 3 % of a core.
    const REST: u32 = 30;

    pub(super) fn spend(&mut self, time: Duration, now: Instant) {
        let from = self.full_at.map_or(now, |full_at| full_at.max(now));
        self.full_at = Some(from + time * Self::REST);
    }

    /// When the next check may begin; none: at once.
    pub(super) fn ready_at(&self, now: Instant) -> Option<Instant> {
        let at = self.full_at?.checked_sub(Self::AT_ONCE * Self::REST)?;
        (at > now).then_some(at)
    }
}

/// The tags that came last, up to [`REMEMBERED_MAX`].
#[derive(Debug, Default)]
pub(super) struct Ring {
    pub(super) tags: HashSet<Tag>,
    pub(super) order: VecDeque<Tag>,
}

impl Ring {
    pub(super) fn has(&self, tag: &Tag) -> bool {
        self.tags.contains(tag)
    }

    pub(super) fn add(&mut self, tag: Tag) {
        if !self.tags.insert(tag) {
            return;
        }
        self.order.push_back(tag);
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.tags.remove(&oldest);
        }
    }
}
