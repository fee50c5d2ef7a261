//! Quantiles and fractions of classic histograms: series with a label `le`. Native histograms do not occur here, so
//! what takes only those gives nothing.

use hashbrown::HashMap;

use crate::promql::ast::Span;
use crate::query::annotate::Monotonicity;
use crate::query::error::QueryError;
use crate::query::eval::{Evaluator, Sink};
use crate::query::labels::{LabelEdit, LabelKey, LabelSet};
use crate::query::plan::{Call, Node};
use crate::query::value::{ABSENT, Block, Grid, Key, Row, entry_bytes, is_absent, is_present};

type Done = Result<(), QueryError>;

/// Label of the upper bound of a bucket.
const BUCKET_LABEL: &str = "le";

/// Differences of neighbouring buckets up to this part of their sum come from rounding.
const TOLERANCE: f64 = 1e-12;

/// `histogram_count` and others of native histograms.
pub(super) fn of_native(eval: &Evaluator<'_>, call: &Call, grid: Grid, _: Sink<'_>) -> Done {
    // The argument is evaluated for its errors and annotations.
    eval.rows(&call.args[0], grid, &mut |_, _| Ok(()))
}

/// `histogram_quantile(q, v)`
pub(super) fn quantile(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let [q, vector] = call.args.as_slice() else {
        return Err(QueryError::internal(
            "histogram_quantile takes two arguments",
        ));
    };
    let quantiles = quantiles_of(eval, q, grid)?;
    let histograms = Histograms::read(eval, vector, grid)?;
    eval.nameless(false, grid, sink, |sink| {
        histograms.each(eval, sink, |of, step| {
            of.quantile(eval, vector.span, quantiles[step], grid.at(step))
        })
    })
}

/// `histogram_quantiles(v, label, q…)`
pub(super) fn quantiles(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let [vector, label, qs @ ..] = call.args.as_slice() else {
        return Err(QueryError::internal(
            "histogram_quantiles takes three arguments or more",
        ));
    };
    let mut wanted = Vec::new();
    for q in qs {
        wanted.push(quantiles_of(eval, q, grid)?);
    }
    let histograms = Histograms::read(eval, vector, grid)?;
    eval.nameless(false, grid, sink, |sink| {
        for quantiles in &wanted {
            // The label's value may differ from step to step, and so the row.
            let mut done: Vec<f64> = vec![];
            for q in quantiles.iter() {
                let bits = q.to_bits();
                if done.iter().any(|d| d.to_bits() == bits) {
                    continue;
                }
                done.push(*q);
                let text = open_metrics(*q);
                histograms.each(
                    eval,
                    &mut |key, cells| {
                        let mut edit = LabelEdit::new(&key.to_set());
                        edit.set(label.text(), &text);
                        let mut labelled = Key::set(edit.finish());
                        labelled.drop_name = key.drop_name;
                        sink(&mut labelled, cells)
                    },
                    |of, step| {
                        if quantiles[step].to_bits() == bits {
                            of.quantile(eval, vector.span, *q, grid.at(step))
                        } else {
                            ABSENT
                        }
                    },
                )?;
            }
        }
        Ok(())
    })
}

/// The number of each step, with a warning about those that are no quantiles.
fn quantiles_of(eval: &Evaluator<'_>, node: &Node, grid: Grid) -> Result<Row, QueryError> {
    let quantiles = eval.scalar(node, grid)?;
    for q in quantiles.iter() {
        if !(0.0..=1.0).contains(q) {
            eval.notes.invalid_quantile(node.span, *q);
        }
    }
    Ok(quantiles)
}

/// A number as `OpenMetrics` writes it: `1` is `1.0`.
fn open_metrics(value: f64) -> String {
    let text = crate::query::annotate::general(value);
    if text.contains(['e', '.', 'N', 'I']) {
        return text;
    }
    format!("{text}.0")
}

/// `histogram_fraction(lower, upper, v)`
pub(super) fn fraction(eval: &Evaluator<'_>, call: &Call, grid: Grid, sink: Sink<'_>) -> Done {
    let [lower, upper, vector] = call.args.as_slice() else {
        return Err(QueryError::internal(
            "histogram_fraction takes three arguments",
        ));
    };
    let lower = eval.scalar(lower, grid)?;
    let upper = eval.scalar(upper, grid)?;
    let histograms = Histograms::read(eval, vector, grid)?;
    eval.nameless(false, grid, sink, |sink| {
        histograms.each(eval, sink, |of, step| of.fraction(lower[step], upper[step]))
    })
}

/// The histograms of a vector.
struct Histograms {
    grid: Grid,
    block: Block,
    list: Vec<Histogram>,
}

/// The rows of one histogram's buckets, with their upper bounds, sorted by these.
struct Histogram {
    labels: LabelSet,
    drop_name: bool,
    rows: Vec<(f64, usize)>,
}

impl Histograms {
    fn read(eval: &Evaluator<'_>, vector: &Node, grid: Grid) -> Result<Self, QueryError> {
        let mut block = eval.block(vector, grid)?;
        block.hold((block.len() * size_of::<(f64, usize)>()) as u64)?;
        let mut list: Vec<Histogram> = Vec::new();
        let mut places: HashMap<Box<str>, usize> = HashMap::new();
        let (mut scratch, mut bound) = (LabelKey::default(), String::new());
        for row in 0..block.len() {
            let key = &block.keys[row];
            scratch.clear();
            bound.clear();
            key.visit(&mut |name, value| {
                if name == BUCKET_LABEL {
                    bound.push_str(value);
                } else {
                    scratch.push(name, value);
                }
            });
            let Ok(upper) = bound.parse::<f64>() else {
                let metric = Self::metric(eval, key);
                eval.notes.bad_bucket_label(vector.span, &metric, &bound);
                continue;
            };
            let text = scratch.as_str();
            let at = if let Some(at) = places.get(text) {
                *at
            } else {
                let (labels, drop_name) = (scratch.to_set(), key.drop_name);
                let bytes = labels.size_bytes() + size_of::<Histogram>();
                block.hold(entry_bytes(text) + bytes as u64)?;
                places.insert(text.into(), list.len());
                let rows = vec![];
                list.push(Histogram {
                    labels,
                    drop_name,
                    rows,
                });
                list.len() - 1
            };
            list[at].rows.push((upper, row));
        }
        for histogram in &mut list {
            histogram.rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Ok(Self { grid, block, list })
    }

    /// The name in an annotation; it is known only where names are dropped at the end.
    fn metric(eval: &Evaluator<'_>, key: &Key) -> String {
        if eval.rules.delayed_names {
            key.get(crate::model::labels::METRIC_NAME)
        } else {
            String::new()
        }
    }

    /// Computes a row for each histogram: `compute` sees the buckets that are there at each step.
    fn each(
        &self,
        eval: &Evaluator<'_>,
        sink: Sink<'_>,
        mut compute: impl FnMut(&mut Buckets, usize) -> f64,
    ) -> Done {
        let mut row = eval.row(ABSENT, self.grid)?;
        let mut buckets = Buckets::default();
        for histogram in &self.list {
            eval.worked(histogram.rows.len() * row.len())?;
            let mut key = Key::set(histogram.labels.clone());
            key.drop_name = histogram.drop_name;
            buckets.metric = Self::metric(eval, &key);
            for (step, cell) in row.iter_mut().enumerate() {
                buckets.fill(&self.block, histogram, step);
                *cell = if buckets.list.is_empty() {
                    ABSENT
                } else {
                    compute(&mut buckets, step)
                };
            }
            if !row.iter().all(|cell| is_absent(*cell)) {
                sink(&mut key, &mut row)?;
            }
        }
        Ok(())
    }
}

/// The buckets of one histogram at one step: upper bounds, rising, each once, and counts up to there.
#[derive(Debug, Default)]
struct Buckets {
    list: Vec<(f64, f64)>,
    metric: String,
}

impl Buckets {
    fn fill(&mut self, block: &Block, histogram: &Histogram, step: usize) {
        self.list.clear();
        for (bound, row) in &histogram.rows {
            let count = block.cell(*row, step);
            match self.list.last_mut() {
                _ if !is_present(count) => {}
                Some(last) if last.0 == *bound => last.1 += count,
                _ => self.list.push((*bound, count)),
            }
        }
    }

    /// Whether the last bucket has everything.
    fn is_complete(&self) -> bool {
        self.list.last().is_some_and(|last| last.0 == f64::INFINITY)
    }

    fn quantile(&mut self, eval: &Evaluator<'_>, span: Span, q: f64, time_ms: i64) -> f64 {
        if q.is_nan() {
            return f64::NAN;
        }
        if q < 0.0 {
            return f64::NEG_INFINITY;
        }
        if q > 1.0 {
            return f64::INFINITY;
        }
        if !self.is_complete() {
            return f64::NAN;
        }
        let forced = make_monotonic(&mut self.list);
        let result = interpolated(&self.list, q);
        if let Some((low, high, difference)) = forced.filter(|_| self.list.len() > 1) {
            let how = Monotonicity {
                from_ms: time_ms,
                to_ms: time_ms,
                lowest_bucket: low,
                highest_bucket: high,
                largest_difference: difference,
                count: 1,
            };
            eval.notes.forced_monotonicity(span, &self.metric, how);
        }
        result
    }

    /// The part of all observations between two values, spread evenly over each bucket.
    fn fraction(&self, lower: f64, upper: f64) -> f64 {
        let total = self.list.last().map_or(0.0, |last| last.1);
        if !self.is_complete() || total == 0.0 || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        (rank_of(&self.list, upper).min(total) - rank_of(&self.list, lower).min(total)) / total
    }
}

/// How many observations are up to `value`.
fn rank_of(buckets: &[(f64, f64)], value: f64) -> f64 {
    let (mut below, mut start) = (0.0, f64::NEG_INFINITY);
    for (at, (end, count)) in buckets.iter().enumerate() {
        if at == 0 && *end > 0.0 {
            start = 0.0; // nothing is below zero unless a bucket says so
        }
        if start >= value {
            return below;
        }
        if *end > value {
            if start.is_infinite() {
                return *count;
            }
            return below + (count - below) * (value - start) / (end - start);
        }
        below = *count;
        start = *end;
    }
    below
}

/// Counts that fall from one bucket to the next are raised. `Some` with the lowest and highest bound and the largest
/// difference where that was more than rounding.
fn make_monotonic(buckets: &mut [(f64, f64)]) -> Option<(f64, f64, f64)> {
    let mut forced: Option<(f64, f64, f64)> = None;
    let mut before = buckets.first()?.1;
    for (bound, count) in &mut buckets[1..] {
        if *count == before {
            continue;
        }
        let difference = before - *count;
        if difference.abs() < TOLERANCE * (before.abs() + count.abs()).min(f64::MAX) {
            *count = before;
        } else if *count < before {
            *count = before;
            let (low, high, most) = forced.unwrap_or((*bound, *bound, difference));
            forced = Some((low.min(*bound), high.max(*bound), most.max(difference)));
        } else {
            before = *count;
        }
    }
    forced
}

fn interpolated(buckets: &[(f64, f64)], q: f64) -> f64 {
    let [.., second_last, last] = buckets else {
        return f64::NAN;
    };
    if last.1 == 0.0 || last.1.is_nan() {
        return f64::NAN;
    }
    let rank = q * last.1;
    let inner = &buckets[..buckets.len() - 1];
    let at = inner.partition_point(|(_, count)| *count < rank);
    let Some((end, count)) = inner.get(at) else {
        return second_last.0;
    };
    if at == 0 {
        if *end <= 0.0 {
            return *end;
        }
        return end * (rank / count);
    }
    let (start, below) = inner[at - 1];
    start + (end - start) * ((rank - below) / (count - below))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quantiles_of_buckets() {
        let check = |buckets: &[(f64, f64)], q: f64, want: f64| {
            let got = interpolated(buckets, q);
            assert!(
                got == want || (got.is_nan() && want.is_nan()),
                "{buckets:?} {q} {got}"
            );
        };
        let buckets = [(1.0, 2.0), (2.0, 4.0), (INF, 4.0)];
        check(&buckets, 0.0, 0.0);
        check(&buckets, 0.25, 0.5);
        check(&buckets, 0.75, 1.5);
        check(&buckets, 1.0, 2.0);
        check(&[(-1.0, 2.0), (INF, 4.0)], 0.1, -1.0);
        check(&[(1.0, 2.0), (INF, 4.0)], 0.9, 1.0);
        check(&[(1.0, 0.0), (INF, 0.0)], 0.5, f64::NAN);
        check(&[(INF, 4.0)], 0.5, f64::NAN);
    }

    #[test]
    fn falling_counts_are_raised() {
        let mut buckets = [(1.0, 2.0), (2.0, 1.0), (3.0, 5.0), (4.0, 1.0), (INF, 6.0)];
        assert_eq!(make_monotonic(&mut buckets), Some((2.0, 4.0, 4.0)));
        assert_eq!(buckets.map(|b| b.1), [2.0, 2.0, 5.0, 5.0, 6.0]);
        let mut rounded = [(1.0, 1.0), (2.0, 1.0 - 1e-15), (INF, 2.0)];
        assert_eq!(make_monotonic(&mut rounded), None);
        assert_eq!(rounded[1].1, 1.0);
    }

    #[test]
    fn numbers_of_labels() {
        let check = |value: f64, want: &str| assert_eq!(open_metrics(value), want);
        check(0.0, "0.0");
        check(1.0, "1.0");
        check(0.25, "0.25");
        check(-0.1, "-0.1");
        check(f64::NAN, "NaN");
        check(1e-7, "1e-07");
    }
}
