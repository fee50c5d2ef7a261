//! Which replica of a cluster is used, and when it is given up: pure decisions over what the replicas answer.
//!
//! One replica is used and stays in use. The others are asked only in a round in which it fails, or in which its
//! answer raises suspicion: no series, nine tenths fewer than before, or no sample younger than three intervals. It is
//! given up when it fails, or when the other's answer is well where its own is not. A suspicion that leads nowhere is
//! followed less and less often, so that a cluster that did shrink does not cost twice for ever.

/// An answer is suspicious when its newest sample is older than this many intervals.
const STALE_INTERVALS: i64 = 3;

/// An answer is suspicious when it has not more than this part of the series that there were.
const SMALLER_BY: u64 = 10;

/// After a suspicion that led nowhere, at most this many rounds pass before the others are asked again.
const PAUSE_ROUNDS_MAX: u32 = 4;

/// What a replica's answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Series that would be published.
    pub series: u64,
    /// The newest sample, in milliseconds since 1970.
    pub newest_ms: Option<i64>,
}

/// Why a replica is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// It could not be asked, or its answer could not be used.
    Failed,
    /// Its newest sample is too old.
    Stale,
    /// It has no series.
    Empty,
    /// It has nine tenths fewer series than the other.
    Smaller,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Failed, Self::Stale, Self::Empty, Self::Smaller];

    /// The value of the metric's label `reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Stale => "stale",
            Self::Empty => "empty",
            Self::Smaller => "smaller",
        }
    }
}

/// The choice of one cluster, as it stands between two rounds.
#[derive(Clone, Debug)]
pub struct Choice {
    count: usize,
    used: usize,
    interval_ms: i64,
    /// Series of the last answer that was not suspicious, or that another replica confirmed.
    trusted: Option<u64>,
    /// Whether the used one took all the time of the last round and failed: the next begins with another.
    late: bool,
    /// Rounds until a suspicion is followed again, and how many it was made to wait last time.
    pause: u32,
    last_pause: u32,
}

impl Choice {
    /// The choice among `count` replicas, of which `used` is used.
    pub fn new(count: usize, used: usize, interval_ms: i64) -> Self {
        Self {
            count,
            used: if used < count { used } else { 0 },
            interval_ms,
            trusted: None,
            late: false,
            pause: 0,
            last_pause: 0,
        }
    }

    /// The replica in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// All replicas in the order in which they are asked in this round, as far as need be.
    pub fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let (used, count) = (self.used, self.count);
        let first = usize::from(self.late);
        (0..count).map(move |number| (used + first + number) % count)
    }

    /// Whether the used replica's answer gives reason to ask another one in this round.
    pub fn suspects(&mut self, answer: Answer, now_ms: i64) -> Option<Why> {
        let found = self.suspicion(answer, now_ms);
        if found.is_none() {
            self.trusted = Some(answer.series);
            (self.pause, self.last_pause) = (0, 0);
            self.late = false;
            return None;
        }
        if self.pause > 0 {
            self.pause -= 1;
            self.late = false;
            return None;
        }
        found
    }

    fn suspicion(&self, answer: Answer, now_ms: i64) -> Option<Why> {
        let trusted = self.trusted.unwrap_or(u64::MAX);
        if answer.series == 0 {
            return (trusted > 0).then_some(Why::Empty);
        }
        if self.trusted.is_some() && is_smaller(answer.series, trusted) {
            return Some(Why::Smaller);
        }
        self.is_stale(answer, now_ms).then_some(Why::Stale)
    }

    fn is_stale(&self, answer: Answer, now_ms: i64) -> bool {
        let age = |newest: i64| now_ms.saturating_sub(newest);
        let oldest = self.interval_ms.saturating_mul(STALE_INTERVALS);
        answer.newest_ms.is_some_and(|newest| age(newest) > oldest)
    }

    /// Whether another replica's answer is to be used instead. `used` is that of the used one, none when it failed.
    pub fn prefers(&self, why: Why, used: Option<Answer>, other: Answer, now_ms: i64) -> bool {
        let Some(used) = used else {
            // Anything is better than nothing, except nothing in place of what there was.
            return other.series > 0 || self.trusted.is_none_or(|trusted| trusted == 0);
        };
        if other.series == 0 || self.is_stale(other, now_ms) {
            return false;
        }
        match why {
            Why::Stale => {
                let newer = |(a, b): (i64, i64)| b.saturating_sub(a) >= self.interval_ms;
                !is_smaller(other.series, used.series)
                    && used.newest_ms.zip(other.newest_ms).is_some_and(newer)
            }
            Why::Failed | Why::Empty | Why::Smaller => is_smaller(used.series, other.series),
        }
    }

    /// Another replica is used from now on; `answer` is its first.
    pub fn switch(&mut self, to: usize, answer: Answer) {
        let shrunk = |trusted| is_smaller(answer.series, trusted);
        if !self.trusted.is_some_and(shrunk) {
            self.trusted = Some(answer.series);
        }
        self.used = to;
        self.late = false;
        (self.pause, self.last_pause) = (0, 0);
    }

    /// A suspicion led nowhere. `confirmed`: another replica gave an answer that is not better.
    pub fn stay(&mut self, answer: Answer, confirmed: bool) {
        if confirmed {
            self.trusted = Some(answer.series);
        }
        self.last_pause = (self.last_pause * 2).clamp(1, PAUSE_ROUNDS_MAX);
        self.pause = self.last_pause;
        self.late = false;
    }

    /// The round gave nothing. `late`: there was no time left to ask another replica after the used one.
    pub fn fail(&mut self, late: bool) {
        self.late = late;
    }
}

/// Whether there are nine tenths fewer.
pub(super) fn is_smaller(series: u64, than: u64) -> bool {
    series.saturating_mul(SMALLER_BY) <= than
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn answer(series: u64, age_ms: i64) -> Answer {
        Answer {
            series,
            newest_ms: (series > 0).then_some(NOW - age_ms),
        }
    }

    /// A pair scraped every 10 s, of which the first is used and had `trusted` series.
    fn pair(trusted: Option<u64>) -> Choice {
        let mut choice = Choice::new(2, 0, 10_000);
        if let Some(series) = trusted {
            choice.trusted = Some(series);
        }
        choice
    }

    #[test]
    fn what_raises_suspicion() {
        fn check(trusted: Option<u64>, series: u64, age_ms: i64, want: Option<Why>) {
            let got = pair(trusted).suspects(answer(series, age_ms), NOW);
            assert_eq!(got, want, "{trusted:?} {series} {age_ms}");
        }
        check(None, 100, 0, None);
        check(Some(100), 100, 30_000, None);
        check(Some(100), 100, 30_001, Some(Why::Stale));
        check(Some(100), 100, -5_000, None);
        check(None, 100, 60_000, Some(Why::Stale));
        check(Some(100), 11, 0, None);
        check(Some(100), 10, 0, Some(Why::Smaller));
        check(Some(100), 10, 60_000, Some(Why::Smaller));
        check(Some(100), 0, 0, Some(Why::Empty));
        check(None, 0, 0, Some(Why::Empty));
        check(Some(0), 0, 0, None);
        check(Some(0), 5, 0, None);
    }

    #[test]
    fn when_the_other_is_preferred() {
        fn check(why: Why, used: Option<Answer>, other: Answer, want: bool) {
            let got = pair(Some(100)).prefers(why, used, other, NOW);
            assert_eq!(got, want, "{why:?} {used:?} {other:?}");
        }
        let well = answer(100, 5_000);
        check(Why::Failed, None, well, true);
        check(Why::Failed, None, answer(3, 5_000), true);
        check(Why::Failed, None, answer(100, 90_000), true);
        check(Why::Failed, None, answer(0, 0), false);
        check(Why::Stale, Some(answer(100, 40_000)), well, true);
        check(
            Why::Stale,
            Some(answer(100, 40_000)),
            answer(100, 35_000),
            false,
        );
        check(
            Why::Stale,
            Some(answer(100, 31_000)),
            answer(100, 29_000),
            false,
        );
        check(Why::Stale, Some(answer(100, 40_000)), answer(10, 0), false);
        check(Why::Stale, Some(answer(100, 40_000)), answer(0, 0), false);
        check(Why::Empty, Some(answer(0, 0)), well, true);
        check(Why::Empty, Some(answer(0, 0)), answer(1, 0), true);
        check(Why::Empty, Some(answer(0, 0)), answer(0, 0), false);
        check(Why::Empty, Some(answer(0, 0)), answer(100, 90_000), false);
        check(Why::Smaller, Some(answer(10, 0)), well, true);
        check(Why::Smaller, Some(answer(10, 0)), answer(99, 0), false);
        check(Why::Smaller, Some(answer(10, 0)), answer(8, 0), false);
        assert!(pair(None).prefers(Why::Failed, None, answer(0, 0), NOW));
    }

    #[test]
    fn a_replica_stays_in_use_after_a_switch() {
        let mut choice = pair(Some(100));
        assert_eq!(choice.order().collect::<Vec<_>>(), [0, 1]);
        choice.switch(1, answer(100, 0));
        assert_eq!((choice.used(), choice.order().collect()), (1, vec![1, 0]));
        assert_eq!(choice.suspects(answer(100, 0), NOW), None);
        assert_eq!(choice.order().collect::<Vec<_>>(), [1, 0]);
        let three = Choice::new(3, 7, 1);
        assert_eq!(three.order().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_replica_that_took_all_the_time_is_asked_last() {
        let mut choice = pair(Some(100));
        choice.fail(true);
        assert_eq!(choice.order().collect::<Vec<_>>(), [1, 0]);
        assert_eq!(choice.used(), 0);
        choice.fail(false);
        assert_eq!(choice.order().collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_suspicion_that_leads_nowhere_is_followed_less_often() {
        let mut choice = pair(Some(100));
        let old = answer(100, 60_000);
        let mut asked = Vec::new();
        for round in 0..16 {
            if choice.suspects(old, NOW).is_some() {
                asked.push(round);
                choice.stay(old, true);
            }
        }
        assert_eq!(asked, [0, 2, 5, 10, 15]);
        assert_eq!(choice.suspects(answer(100, 0), NOW), None);
        assert!(
            choice.suspects(old, NOW).is_some(),
            "at once after a good round"
        );
    }

    #[test]
    fn a_cluster_that_shrank_is_believed_once_the_other_says_so_too() {
        let small = answer(5, 0);
        let mut choice = pair(Some(100));
        assert_eq!(choice.suspects(small, NOW), Some(Why::Smaller));
        choice.stay(small, true);
        assert_eq!(choice.suspects(small, NOW), None);
        let mut alone = pair(Some(100));
        assert_eq!(alone.suspects(small, NOW), Some(Why::Smaller));
        alone.stay(small, false);
        assert_eq!(alone.suspects(small, NOW), None, "a pause");
        assert_eq!(alone.suspects(small, NOW), Some(Why::Smaller));
        // A small one taken in place of one that failed is still measured by what there was.
        let mut lost = pair(Some(100));
        lost.switch(1, small);
        assert_eq!(lost.suspects(small, NOW), Some(Why::Smaller));
    }
}
