//! How fast things change: rates of counters with resets and extrapolation, differences, trends.

use super::extended;
use crate::promql::ast::{Extent, Span};
use crate::query::eval::Evaluator;
use crate::query::kahan::Sum;
use crate::query::labels::TYPE_LABEL;
use crate::query::plan::{Kind, Node};
use crate::query::select::{RangeRow, Window};
use crate::query::source::Samples;
use crate::query::value::{ABSENT, Key};

/// What kind of difference is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Per second, of a counter.
    Rate,
    /// Of a counter.
    Increase,
    /// Of a gauge.
    Delta,
}

impl Difference {
    pub(super) fn is_counter(self) -> bool {
        self != Self::Delta
    }
}

pub(super) fn rate(row: &RangeRow<'_>, out: &mut [f64]) {
    difference(row, out, Difference::Rate);
}

pub(super) fn increase(row: &RangeRow<'_>, out: &mut [f64]) {
    difference(row, out, Difference::Increase);
}

pub(super) fn delta(row: &RangeRow<'_>, out: &mut [f64]) {
    difference(row, out, Difference::Delta);
}

fn difference(row: &RangeRow<'_>, out: &mut [f64], kind: Difference) {
    if row.stretch.extent != Extent::Plain {
        let smoothed = row.stretch.extent == Extent::Smoothed;
        row.each(out, |window| extended::difference(window, kind, smoothed));
        return;
    }
    if kind.is_counter() {
        note_overlaps(row);
    }
    let resets = if kind.is_counter() {
        resets_of(row.samples)
    } else {
        vec![]
    };
    let mut next = 0; // the first reset that is not before the window
    row.each(out, |window| {
        while resets.get(next).is_some_and(|at| *at <= window.first) {
            next += 1;
        }
        let end = window.first + window.values.len();
        let within = resets[next..].iter().take_while(|at| **at < end);
        let lost = within.map(|at| row.samples.values[at - 1]);
        extrapolated(window, kind, lost)
    });
}

/// The places of samples before which a counter began again. There are hardly ever any, so they are found once for
/// all windows.
fn resets_of(samples: &Samples) -> Vec<usize> {
    let (values, times, starts) = (&samples.values, &samples.times, &samples.starts);
    let falls = |at: usize| values[at] < values[at - 1];
    if starts.is_empty() {
        return (1..values.len()).filter(|at| falls(*at)).collect();
    }
    (1..values.len())
        .filter(|at| falls(*at) || starts_again(times, starts, *at))
        .collect()
}

/// Whether the start timestamp of a sample says that the counter began again after the sample before.
fn starts_again(times: &[i64], starts: &[i64], at: usize) -> bool {
    let (before, start) = (times[at - 1], starts[at]);
    if start == 0 || start > times[at] || start < before {
        return false;
    }
    // A start right at the sample before is how deltas are written, unless the counter had that start already, or none.
    start > before || (starts[at - 1] != 0 && starts[at - 1] != start)
}

fn note_overlaps(row: &RangeRow<'_>) {
    let Samples { times, starts, .. } = row.samples;
    let overlaps =
        |at: usize| starts[at] != 0 && starts[at] < times[at - 1] && starts[at] != starts[at - 1];
    if !starts.is_empty() && (1..starts.len()).any(overlaps) {
        let name = row.key.get(crate::model::labels::METRIC_NAME);
        row.eval.notes.start_time_overlap(row.span, &name);
    }
}

/// The difference of the last and the first value, plus what resets `lost`, extrapolated to the ends of the window:
/// all the way where a sample is expected there, else by half of the usual distance. A counter is not extrapolated to
/// below zero. A counter that is known to have started within the window was zero then.
fn extrapolated(window: &Window<'_>, kind: Difference, lost: impl Iterator<Item = f64>) -> f64 {
    let (times, values) = (window.times, window.values);
    let last = values.len() - 1;
    let born = born_within(window).filter(|_| kind.is_counter());
    if last == 0 && born.is_none() {
        return ABSENT;
    }
    let mut result = values[last] - values[0];
    for value in lost {
        result += value;
    }
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let covered = seconds(times[last] - times[0]);
    let usual = if last == 0 {
        0.0
    } else {
        covered / last as f64
    };
    let near = usual * 1.1;
    let (mut to_start, mut sampled) = (seconds(times[0] - window.start_ms), covered);
    if let Some(born) = born {
        result += values[0];
        sampled = seconds(times[last] - born);
        to_start = 0.0;
    } else {
        if to_start >= near {
            to_start = usual / 2.0;
        }
        if kind.is_counter() && result > 0.0 && values[0] >= 0.0 {
            to_start = to_start.min(sampled * (values[0] / result));
        }
    }
    let mut to_end = seconds(window.end_ms - times[last]);
    if to_end >= near {
        to_end = usual / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if kind == Difference::Rate {
        factor /= seconds(window.end_ms - window.start_ms);
    }
    result * factor
}

/// When the counter began, if that is known and lies between the start of the window and its first sample.
fn born_within(window: &Window<'_>) -> Option<i64> {
    let start = *window.starts.first()?;
    (start != 0 && start > window.start_ms && start < window.times[0]).then_some(start)
}

pub(super) fn irate(row: &RangeRow<'_>, out: &mut [f64]) {
    note_overlaps(row);
    row.each(out, |window| last_two(window, true));
}

pub(super) fn idelta(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each(out, |window| last_two(window, false));
}

/// The difference of the last two samples, per second for a counter.
fn last_two(window: &Window<'_>, is_counter: bool) -> f64 {
    let Some(before) = window.values.len().checked_sub(2) else {
        return ABSENT;
    };
    let last = before + 1;
    let (old, new) = (window.values[before], window.values[last]);
    let apart = window.times[last] - window.times[before];
    if !is_counter {
        return new - old;
    }
    let again = !window.starts.is_empty() && starts_again(window.times, window.starts, last);
    let result = if new < old || again { new } else { new - old };
    result / (apart as f64 / 1000.0)
}

pub(super) fn changes(row: &RangeRow<'_>, out: &mut [f64]) {
    let changed = |a: f64, b: f64| a != b && !(a.is_nan() && b.is_nan());
    row.each(out, |window| {
        let Some(first) = anchor(row, window) else {
            return ABSENT;
        };
        let pairs = window.values[first..].windows(2);
        pairs.filter(|pair| changed(pair[0], pair[1])).count() as f64
    });
}

pub(super) fn resets(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each(out, |window| {
        let Some(first) = anchor(row, window) else {
            return ABSENT;
        };
        let falls = |at: &usize| {
            window.values[*at] < window.values[at - 1]
                || (!window.starts.is_empty() && starts_again(window.times, window.starts, *at))
        };
        (first + 1..window.values.len()).filter(falls).count() as f64
    });
}

/// Where the samples begin that count: at the last one before an anchored window, else with the first. `None` where an
/// anchored window has no sample of its own.
fn anchor(row: &RangeRow<'_>, window: &Window<'_>) -> Option<usize> {
    if row.stretch.extent != Extent::Anchored {
        return Some(0);
    }
    extended::anchor(window.times, window.start_ms)
}

pub(super) fn deriv(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each(out, |window| match window.times {
        // A time near those of the samples, so that nothing is lost to rounding.
        [first, _, ..] => trend(window.times, window.values, *first).0,
        _ => ABSENT,
    });
}

pub(super) fn predict_linear(row: &RangeRow<'_>, out: &mut [f64]) {
    let ahead = &row.numbers[0];
    row.each(out, |window| {
        if window.times.len() < 2 {
            return ABSENT;
        }
        let now = row.stretch.grid.at(window.step);
        let (slope, intercept) = trend(window.times, window.values, now);
        slope * ahead[window.step] + intercept
    });
}

/// The line that fits the samples best: slope per second, and its value at `at_ms`.
fn trend(times: &[i64], values: &[f64], at_ms: i64) -> (f64, f64) {
    if values.iter().skip(1).all(|v| *v == values[0]) {
        return if values[0].is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, values[0])
        };
    }
    let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [Sum::default(); 4];
    for (time, y) in times.iter().zip(values) {
        let x = (time - at_ms) as f64 / 1000.0;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let count = values.len() as f64;
    let (x, y) = (x_sum.total(), y_sum.total());
    let covariance = xy_sum.total() - x * y / count;
    let variance = xx_sum.total() - x * x / count;
    let slope = covariance / variance;
    (slope, y / count - slope * x / count)
}

/// Tells the user of metrics that do not look like counters. Most selectors have one name, which is looked at once.
pub(in crate::query) struct CounterNotes<'a> {
    eval: &'a Evaluator<'a>,
    span: Span,
    wanted: bool,
    /// The name of all series, and whether the verdict on it stands.
    fixed: bool,
}

/// For `rate` and `increase`; for all other functions it does nothing.
pub(in crate::query) fn counter_notes<'a>(
    eval: &'a Evaluator<'a>,
    function: &str,
    matrix: &Node,
) -> CounterNotes<'a> {
    let fixed = match matrix.kind {
        Kind::Range(at) => eval.plan.selectors[at].fixed_name().is_some(),
        _ => false,
    };
    CounterNotes {
        eval,
        span: matrix.span,
        wanted: matches!(function, "rate" | "increase"),
        fixed: fixed && !eval.rules.type_labels,
    }
}

impl CounterNotes<'_> {
    /// Looks at a series that has a result.
    #[inline]
    pub(in crate::query) fn row(&mut self, key: &Key) {
        if !self.wanted {
            return;
        }
        self.wanted = !self.fixed;
        let notes = self.eval.notes;
        let name = key.get(crate::model::labels::METRIC_NAME);
        if name.is_empty() {
            return;
        }
        if self.eval.rules.type_labels {
            let kind = key.get(TYPE_LABEL);
            if kind != "counter" && kind != "histogram" {
                notes.possible_non_counter_type(self.span, &name, &kind);
            }
            return;
        }
        let endings = ["_total", "_sum", "_count", "_bucket"];
        if !endings.iter().any(|ending| name.ends_with(ending)) {
            notes.possible_non_counter(self.span, &name);
        }
    }
}
