//! Where samples come from: matchers and a stretch of time in, series with their samples out. A source knows nothing
//! of the query language.
//!
//! Selecting may wait (for clusters, over HTTP) and happens before evaluation, once for each selector of the plan. What
//! it gives is read while evaluating, which never waits: labels are visited and samples decoded series by series into
//! a buffer that is used again, so that a million series need no million allocations.

use std::future::Future;
use std::sync::Arc;

use crate::model::matcher::Matcher;
use crate::query::budget::Budget;

/// Something that holds samples.
pub trait Source: Sync {
    /// All series that fit and that may have a sample in the time asked for.
    fn select(
        &self,
        want: &Want<'_>,
        budget: &Budget,
    ) -> impl Future<Output = Result<Selected, SourceError>> + Send;
}

/// What a selector asks for.
#[derive(Clone, Copy, Debug)]
pub struct Want<'a> {
    /// All of them hold for a series; a missing label counts as empty.
    pub matchers: &'a [Matcher],
    /// The oldest time of interest, in milliseconds since 1970, included.
    pub from_ms: i64,
    /// The newest, included.
    pub to_ms: i64,
    /// Hints, which change nothing in the result but what it costs.
    pub hints: Hints<'a>,
}

impl Want<'_> {
    /// What no series fits.
    pub(super) fn nothing() -> Self {
        Want {
            matchers: &[],
            from_ms: 0,
            to_ms: 0,
            hints: Hints::default(),
        }
    }
}

/// What the query will do with the series.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// The distance of the evaluation times, in milliseconds; 0 for a single time.
    pub step_ms: i64,
    /// The length of the range, in milliseconds; 0 for an instant selector.
    pub range_ms: i64,
    /// The function or aggregation right around the selector.
    pub function: Option<&'a str>,
    /// Where that is an aggregation: the labels of `by` (or of `without`, if `without`).
    pub grouping: &'a [String],
    /// See `grouping`.
    pub without: bool,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The series, readable from several threads.
    pub series: Arc<dyn SeriesSet>,
    /// Told to the user beside the answer: what is missing, and why.
    pub warnings: Vec<String>,
    /// Clusters whose samples begin after `from_ms`, with the time where they begin.
    pub short: Vec<Short>,
}

impl Selected {
    /// Series without anything to tell.
    pub fn of(series: Arc<dyn SeriesSet>) -> Self {
        Self {
            series,
            warnings: vec![],
            short: vec![],
        }
    }
}

/// A cluster that does not reach as far back as was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Short {
    /// The cluster's name.
    pub cluster: String,
    /// The oldest time of which it has samples, in milliseconds since 1970.
    pub oldest_ms: i64,
}

/// Series that fit a selector, in an order that stays as it is. No two of them have the same labels.
pub trait SeriesSet: Send + Sync + std::fmt::Debug {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `visit(name, value)` for each label of the series, `__name__` included, sorted by name, without empty
    /// values.
    fn labels(&self, series: usize, visit: &mut dyn FnMut(&str, &str));

    /// Writes the samples of the series into `out`, which is empty, in order of time, each time once. They cover the
    /// time asked for and may go beyond it. Stale markers are among them.
    fn samples(&self, series: usize, out: &mut Samples);

    /// The newest sample of the series that is not newer than `at_ms`: a stale marker too. For sources that know it
    /// without reading the others; `buffer` may be used, and holds nothing of interest before or after.
    fn newest(&self, series: usize, at_ms: i64, buffer: &mut Samples) -> Option<(i64, f64)> {
        buffer.clear();
        self.samples(series, buffer);
        let count = buffer.times.partition_point(|time| *time <= at_ms);
        let at = count.checked_sub(1)?;
        Some((buffer.times[at], buffer.values[at]))
    }

    /// A number for each series, small ones: those with the same number have the same values of all labels that
    /// `counts` takes. Those with different ones may have too. For sources that know it without reading the labels.
    fn alike(&self, _counts: &dyn Fn(&str) -> bool) -> Option<Vec<u32>> {
        None
    }

    /// Whether any of them may carry a label `__type__` or `__unit__`: then two of them may differ in nothing else.
    fn may_have_type_or_unit(&self) -> bool;
}

/// Samples of one series, as columns of the same length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Milliseconds since 1970, rising.
    pub times: Vec<i64>,
    /// The values, bit for bit as they were read.
    pub values: Vec<f64>,
    /// Start timestamps in milliseconds since 1970, 0 where unknown. Empty where none is known.
    pub starts: Vec<i64>,
}

impl Samples {
    /// Forgets all samples, keeps the memory.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.starts.clear();
    }

    /// Adds a sample that is newer than all others.
    #[inline]
    pub fn push(&mut self, time_ms: i64, value: f64) {
        self.times.push(time_ms);
        self.values.push(value);
    }
}

/// Bits of the NaN that marks the end of a series.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Whether the value is a stale marker.
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// Selecting failed; the query fails with it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    /// Data that is needed cannot be had.
    #[error("{0}")]
    Unavailable(String),
    /// Our own fault: work was lost.
    #[error("{0}")]
    Internal(String),
    /// A budget of the query or the process is used up.
    #[error(transparent)]
    Budget(#[from] crate::query::budget::Stop),
}
