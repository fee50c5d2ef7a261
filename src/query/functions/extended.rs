//! `anchored` and `smoothed` (experimental): what happens at the ends of a range.
//!
//! An anchored range takes the last sample before it for its start; a smoothed one takes what lies between the samples
//! before and behind each of its ends. So the samples come from a longer stretch, by the lookback.

use super::rate::Difference;
use crate::promql::ast::Extent;
use crate::query::plan::Selector;
use crate::query::select::Window;
use crate::query::source::Samples;
use crate::query::value::{ABSENT, Grid};

/// A sample.
type Point = (i64, f64);

/// The value between two samples. A counter that fell between them began again at zero.
fn between((t1, v1): Point, (t2, v2): Point, at_ms: i64, is_counter: bool) -> f64 {
    let low = if is_counter && v2 < v1 { 0.0 } else { v1 };
    low + (v2 - low) * (at_ms - t1) as f64 / (t2 - t1) as f64
}

/// The first and last sample that count for a stretch, and the values at its ends.
struct Ends {
    first: usize,
    last: usize,
    left: f64,
    right: f64,
}

impl Ends {
    /// `None` where the stretch has no sample of its own.
    fn find(
        times: &[i64],
        values: &[f64],
        (start_ms, end_ms): (i64, i64),
        smoothed: bool,
        is_counter: bool,
    ) -> Option<Self> {
        let newest = times.len().checked_sub(1)?;
        let point = |at: usize| (times[at], values[at]);
        let first = times[..newest]
            .partition_point(|t| *t <= start_ms)
            .saturating_sub(1);
        let last = if smoothed {
            times[..newest].partition_point(|t| *t < end_ms)
        } else {
            newest
        };
        if times[last] <= start_ms || times[first] > end_ms {
            return None;
        }
        let left = if smoothed && times[first] < start_ms {
            between(point(first), point(first + 1), start_ms, is_counter)
        } else {
            values[first]
        };
        let right = if smoothed && last > 0 && times[last] > end_ms {
            between(point(last - 1), point(last), end_ms, is_counter)
        } else {
            values[last]
        };
        Some(Self {
            first,
            last,
            left,
            right,
        })
    }

    /// The samples strictly between the ends.
    fn inner<'v, T>(&self, all: &'v [T], times: &[i64], (start_ms, end_ms): (i64, i64)) -> &'v [T] {
        let first = self.first + usize::from(times[self.first] <= start_ms);
        let end = self.last + usize::from(times[self.last] < end_ms);
        all.get(first..end).unwrap_or(&[])
    }
}

/// Where an anchored window begins: at the last sample that is not after its start. `None` where all samples are.
pub(super) fn anchor(times: &[i64], start_ms: i64) -> Option<usize> {
    let newest = times.len().checked_sub(1)?;
    if times[newest] <= start_ms {
        return None;
    }
    let after = times[..newest].partition_point(|t| *t <= start_ms);
    Some(after.saturating_sub(1))
}

/// `rate`, `increase` and `delta` between the two ends.
pub(super) fn difference(window: &Window<'_>, kind: Difference, smoothed: bool) -> f64 {
    let stretch = (window.start_ms, window.end_ms);
    let is_counter = kind.is_counter();
    let Some(ends) = Ends::find(window.times, window.values, stretch, smoothed, is_counter) else {
        return ABSENT;
    };
    let mut result = ends.right - ends.left;
    if is_counter {
        let (mut lost, mut before) = (0.0, ends.left);
        let inner = ends.inner(window.values, window.times, stretch);
        for value in inner.iter().copied().chain([ends.right]) {
            if value < before {
                lost += before;
            }
            before = value;
        }
        result += lost;
    }
    if kind == Difference::Rate {
        result /= (window.end_ms - window.start_ms) as f64 / 1000.0;
    }
    result
}

/// The values of a smoothed instant selector: between the samples around each step, or the last one before.
pub(in crate::query) fn smoothed_at(
    samples: &Samples,
    selector: &Selector,
    lookback_ms: i64,
    grid: Grid,
    row: &mut [f64],
) {
    let (times, values) = (&samples.times, &samples.values);
    for (cell, time) in row.iter_mut().zip(grid.times()) {
        let time = selector.shifted(time);
        let oldest = times.partition_point(|t| *t <= time - lookback_ms);
        let newest = times.partition_point(|t| *t <= time + lookback_ms);
        let at = times.partition_point(|t| *t < time);
        *cell = if at < newest && times[at] == time {
            values[at]
        } else if at <= oldest {
            ABSENT
        } else if at < newest {
            let (before, after) = (at - 1, at);
            between(
                (times[before], values[before]),
                (times[after], values[after]),
                time,
                false,
            )
        } else {
            values[at - 1]
        };
    }
}

/// The samples of an extended range that is the answer itself, with a sample at each of its ends.
pub(in crate::query) fn extend(
    samples: &Samples,
    start_ms: i64,
    end_ms: i64,
    extent: Extent,
    lookback_ms: i64,
) -> Vec<Point> {
    let smoothed = extent == Extent::Smoothed;
    let ahead = if smoothed { lookback_ms } else { 0 };
    let from = samples
        .times
        .partition_point(|t| *t <= start_ms - lookback_ms);
    let to = samples.times.partition_point(|t| *t <= end_ms + ahead);
    let (times, values) = (&samples.times[from..to], &samples.values[from..to]);
    let stretch = (start_ms, end_ms);
    let Some(ends) = Ends::find(times, values, stretch, smoothed, false) else {
        return vec![];
    };
    let inner = ends.inner(times, times, stretch);
    let inner = inner.iter().zip(ends.inner(values, times, stretch));
    let mut points = vec![(start_ms, ends.left)];
    points.extend(inner.map(|(t, v)| (*t, *v)));
    points.push((end_ms, ends.right));
    points
}
