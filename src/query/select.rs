//! From samples to steps: the newest sample at each step, or all samples of a stretch of time before it.
//!
//! Ranges and lookback are open to the left: a sample right at their start is not part of them. A stale marker ends a
//! series at once for an instant selector; a range has none.

use std::cell::Cell;

use super::error::QueryError;
use super::eval::{Evaluator, Merger, Sink, emit};
use super::functions::RangeRun;
use super::functions::extended::{extend, smoothed_at};
use super::functions::rate::counter_notes;
use super::plan::{Call, Kind, Node, Selector, Subquery, subquery_grid};
use super::source::{Samples, is_stale};
use super::value::{ABSENT, Grid, Held, Key, Row, Series, is_absent, is_present};
use crate::promql::ast::{Extent, Span};

/// What of the newest sample is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Its value.
    Value,
    /// Its time, in seconds.
    Time,
    /// Its start timestamp, in seconds; 0 where it is not known.
    Start,
}

/// The newest sample of each series at each step.
pub(super) fn instant(
    eval: &Evaluator<'_>,
    selector: usize,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    newest(eval, selector, Part::Value, grid, sink)
}

/// As [`instant`], of any part of the samples.
pub(super) fn newest(
    eval: &Evaluator<'_>,
    at: usize,
    part: Part,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    let (set, selector) = (&eval.fetched[at], &eval.plan.selectors[at]);
    let lookback = eval.rules.lookback_ms;
    let smoothed = selector.extent == Extent::Smoothed && part == Part::Value;
    let mut key = Key::series(set, 0);
    let (mut samples, mut row) = (Samples::default(), eval.row(ABSENT, grid)?);
    for series in 0..set.len() {
        let read = if grid.steps == 1 && !smoothed && part != Part::Start {
            let time = selector.shifted(grid.start);
            row[0] = match set.newest(series, time, &mut samples) {
                Some((t, v)) if t > time - lookback && !is_stale(v) => match part {
                    Part::Value => v,
                    _ => seconds(t),
                },
                _ => ABSENT,
            };
            1
        } else {
            samples.clear();
            set.samples(series, &mut samples);
            if smoothed {
                remove_stale(&mut samples);
                smoothed_at(&samples, selector, lookback, grid, &mut row);
            } else {
                at_steps(&samples, selector, lookback, part, grid, &mut row);
            }
            samples.times.len()
        };
        eval.worked(grid.steps + read)?;
        let found = row.iter().filter(|cell| is_present(**cell)).count();
        if found > 0 {
            eval.note_read(found);
            key.move_to(series);
            sink(&mut key, &mut row)?;
        }
    }
    Ok(())
}

fn at_steps(
    samples: &Samples,
    selector: &Selector,
    lookback_ms: i64,
    part: Part,
    grid: Grid,
    row: &mut [f64],
) {
    let mut count = 0; // samples that are not newer than the step
    for (cell, time) in row.iter_mut().zip(grid.times()) {
        let time = selector.shifted(time);
        while samples.times.get(count).is_some_and(|t| *t <= time) {
            count += 1;
        }
        *cell = ABSENT;
        if let Some(at) = count.checked_sub(1) {
            let (t, v) = (samples.times[at], samples.values[at]);
            if t > time - lookback_ms && !is_stale(v) {
                *cell = match part {
                    Part::Value => v,
                    Part::Time => seconds(t),
                    Part::Start => seconds(samples.starts.get(at).copied().unwrap_or(0)),
                };
            }
        }
    }
}

pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn remove_stale(samples: &mut Samples) {
    if !samples.values.iter().any(|v| is_stale(*v)) {
        return;
    }
    let fresh: Vec<bool> = samples.values.iter().map(|v| !is_stale(*v)).collect();
    let mut at = 0..;
    samples.times.retain(|_| fresh[at.next().unwrap_or(0)]);
    let mut at = 0..;
    samples.values.retain(|_| fresh[at.next().unwrap_or(0)]);
    let mut at = 0..;
    samples.starts.retain(|_| fresh[at.next().unwrap_or(0)]);
}

/// The stretches of time of a range vector, one for each step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) grid: Grid,
    pub(super) range_ms: i64,
    pub(super) offset_ms: i64,
    pub(super) at: Option<i64>,
    pub(super) extent: Extent,
    pub(super) lookback_ms: i64,
}

impl Stretch {
    /// The end of the stretch at a step; it starts `range_ms` before.
    #[inline]
    fn end(&self, step: usize) -> i64 {
        self.at.unwrap_or_else(|| self.grid.at(step)) - self.offset_ms
    }
}

/// Samples of one series, for a function to be applied to each stretch of them.
pub(super) struct RangeRow<'a> {
    pub(super) samples: &'a Samples,
    pub(super) stretch: Stretch,
    /// The other arguments of the function, a number for each step.
    pub(super) numbers: &'a [Row],
    pub(super) key: &'a Key,
    pub(super) eval: &'a Evaluator<'a>,
    /// Where the range stands, and where the first argument.
    pub(super) span: Span,
    pub(super) first_span: Span,
    /// Why the function cannot be applied.
    pub(super) failure: Cell<Option<String>>,
}

/// The samples of one stretch of time; there is one at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    pub(super) times: &'a [i64],
    pub(super) values: &'a [f64],
    /// Empty, or one for each sample.
    pub(super) starts: &'a [i64],
    /// The place of the first of them among all samples of the series.
    pub(super) first: usize,
    /// The stretch, its start not included. Of an extended range the samples may go beyond it.
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) step: usize,
}

impl RangeRow<'_> {
    /// Notes why the function cannot be applied; the query fails.
    pub(super) fn fail(&self, text: String) {
        self.failure.set(Some(text));
    }

    /// Applies `f` to the samples of each step; where there are none the result is absent.
    #[inline]
    pub(super) fn each(&self, out: &mut [f64], mut f: impl FnMut(&Window<'_>) -> f64) {
        let Samples {
            times,
            values,
            starts,
        } = self.samples;
        let stretch = &self.stretch;
        let (before, behind) = match stretch.extent {
            Extent::Plain => (0, 0),
            Extent::Anchored => (stretch.lookback_ms, 0),
            Extent::Smoothed => (stretch.lookback_ms, stretch.lookback_ms),
        };
        let (mut first, mut end, mut read) = (0, 0, 0);
        for (step, cell) in out.iter_mut().enumerate() {
            let end_ms = stretch.end(step);
            let start_ms = end_ms - stretch.range_ms;
            while times.get(end).is_some_and(|t| *t <= end_ms + behind) {
                end += 1;
            }
            while first < end && times[first] <= start_ms - before {
                first += 1;
            }
            read += end - first;
            *cell = if first == end {
                ABSENT
            } else {
                f(&Window {
                    times: &times[first..end],
                    values: &values[first..end],
                    starts: starts.get(first..end).unwrap_or(&[]),
                    first,
                    start_ms,
                    end_ms,
                    step,
                })
            };
        }
        self.eval.note_read(read);
    }

    /// As [`each`](Self::each), where the values are all that counts.
    #[inline]
    pub(super) fn each_values(&self, out: &mut [f64], mut f: impl FnMut(&[f64]) -> f64) {
        self.each(out, |window| f(window.values));
    }
}

/// Applies a function over ranges: `rate(x[5m])`, `max_over_time(…[1h:1m])`.
pub(super) fn over_ranges(
    eval: &Evaluator<'_>,
    call: &Call,
    run: RangeRun,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    let (matrix, numbers) = arguments(eval, call, grid)?;
    let keeps_name = matches!(call.name, "last_over_time" | "first_over_time");
    let delayed = eval.rules.delayed_names;
    let checked = !keeps_name && !delayed && !eval.distinct_without_names(matrix);
    let mut merged = Merger::new(grid.steps, eval.budget);
    let mut row = eval.row(ABSENT, grid)?;
    let mut notes = counter_notes(eval, call.name, matrix);
    let mut most = 0; // samples of one series
    series(eval, matrix, grid, &mut |key, samples, stretch| {
        if samples.times.len() > most {
            most = samples.times.len();
            eval.budget.peek(most as u64)?;
        }
        eval.worked(samples.times.len() + grid.steps)?;
        let range = RangeRow {
            samples,
            stretch,
            numbers: &numbers,
            key,
            eval,
            span: matrix.span,
            first_span: call.args[0].span,
            failure: Cell::default(),
        };
        run(&range, &mut row);
        if let Some(text) = range.failure.take() {
            return Err(QueryError::execution(text));
        }
        if row.iter().all(|cell| is_absent(*cell)) {
            return Ok(());
        }
        notes.row(key);
        key.drop_name |= !keeps_name;
        key.stripped |= !keeps_name && !delayed;
        if checked {
            merged.push_new(key, &row)
        } else {
            sink(key, &mut row)
        }
    })?;
    emit(merged.block, sink)
}

/// The range vector among the arguments, and the numbers of all others.
fn arguments<'p>(
    eval: &Evaluator<'_>,
    call: &'p Call,
    grid: Grid,
) -> Result<(&'p Node, Vec<Row>), QueryError> {
    let mut matrix = None;
    let mut numbers = Vec::new();
    for arg in &call.args {
        match arg.kind {
            Kind::Range(_) | Kind::Subquery(_) => matrix = Some(arg),
            _ => numbers.push(eval.scalar(arg, grid)?),
        }
    }
    let matrix = matrix.ok_or_else(|| QueryError::internal("a range was expected in the plan"))?;
    if let Kind::Range(at) = matrix.kind {
        check_extent(eval.plan.selectors[at].extent, call.name)?;
    }
    Ok((matrix, numbers))
}

/// Only some functions know what to do with the ends of an extended range.
pub(super) fn check_extent(extent: Extent, function: &str) -> Result<(), QueryError> {
    let (word, allowed): (&str, &[&str]) = match extent {
        Extent::Plain => return Ok(()),
        Extent::Anchored => (
            "anchored",
            &["changes", "delta", "increase", "rate", "resets"],
        ),
        Extent::Smoothed => ("smoothed", &["delta", "increase", "rate"]),
    };
    if allowed.contains(&function) {
        return Ok(());
    }
    Err(QueryError::execution(format!(
        "{word} modifier can only be used with: {} - not with {function}",
        allowed.join(", ")
    )))
}

/// Takes a series, its samples without stale markers, and the stretches that are asked for.
type SeriesSink<'s> = &'s mut dyn FnMut(&mut Key, &Samples, Stretch) -> Result<(), QueryError>;

/// All series of a range vector, or of a subquery.
pub(super) fn series(
    eval: &Evaluator<'_>,
    node: &Node,
    grid: Grid,
    sink: SeriesSink<'_>,
) -> Result<(), QueryError> {
    match &node.kind {
        Kind::Range(at) => selected_series(eval, *at, grid, sink),
        Kind::Subquery(subquery) => subquery_series(eval, subquery, grid, sink),
        _ => Err(QueryError::internal("a range was expected in the plan")),
    }
}

fn selected_series(
    eval: &Evaluator<'_>,
    at: usize,
    grid: Grid,
    sink: SeriesSink<'_>,
) -> Result<(), QueryError> {
    let (set, selector) = (&eval.fetched[at], &eval.plan.selectors[at]);
    let stretch = Stretch {
        grid,
        range_ms: selector.range_ms,
        offset_ms: selector.offset_ms,
        at: selector.at,
        extent: selector.extent,
        lookback_ms: eval.rules.lookback_ms,
    };
    let mut key = Key::series(set, 0);
    let mut samples = Samples::default();
    for series in 0..set.len() {
        samples.clear();
        set.samples(series, &mut samples);
        remove_stale(&mut samples);
        if !eval.rules.start_timestamps {
            samples.starts.clear();
        }
        key.move_to(series);
        sink(&mut key, &samples, stretch)?;
    }
    Ok(())
}

/// What a sample of a subquery's series takes, in bytes: time and value.
const SAMPLE_BYTES: u64 = 16;

fn subquery_series(
    eval: &Evaluator<'_>,
    subquery: &Subquery,
    grid: Grid,
    sink: SeriesSink<'_>,
) -> Result<(), QueryError> {
    let inner = subquery_grid(subquery, grid);
    let stretch = Stretch {
        grid,
        range_ms: subquery.range_ms,
        offset_ms: subquery.offset_ms,
        at: subquery.at,
        extent: Extent::Plain,
        lookback_ms: eval.rules.lookback_ms,
    };
    eval.budget.peek(inner.steps as u64)?;
    let mut held = Held::new(eval.budget);
    held.add(0, SAMPLE_BYTES.saturating_mul(inner.steps as u64))?;
    let mut samples = Samples::default();
    let mut gather = |key: &mut Key, cells: &mut [f64]| {
        samples.clear();
        for (time, value) in inner.times().zip(cells.iter()) {
            if is_present(*value) {
                samples.push(time, *value);
            }
        }
        sink(key, &samples, stretch)
    };
    // The samples that count are those of the subquery.
    eval.read_times(0, &mut gather, |sink| {
        eval.rows(&subquery.inner, inner, sink)
    })
}

/// The series of a range vector that is the answer itself: the samples of its only stretch.
pub(super) fn matrix(
    eval: &Evaluator<'_>,
    node: &Node,
    grid: Grid,
) -> Result<Vec<(Key, Series)>, QueryError> {
    let mut found = Vec::new();
    series(eval, node, grid, &mut |key, samples, stretch| {
        let end = stretch.end(0);
        let start = end - stretch.range_ms;
        let points = match stretch.extent {
            Extent::Plain => samples
                .times
                .iter()
                .zip(&samples.values)
                .filter(|(t, _)| **t > start && **t <= end)
                .map(|(t, v)| (*t, *v))
                .collect(),
            _ => extend(samples, start, end, stretch.extent, stretch.lookback_ms),
        };
        if !points.is_empty() {
            eval.worked(points.len())?;
            eval.note_read(points.len());
            eval.budget
                .hold(points.len() as u64, size_of_val(points.as_slice()) as u64)?;
            let labels = key.to_set();
            eval.budget.hold(0, labels.size_bytes() as u64)?;
            found.push((key.clone(), Series { labels, points }));
        }
        Ok(())
    })?;
    Ok(found)
}
