//! Sums, extremes, quantiles and the like over the samples of a range.

use crate::query::kahan::{Mean, Sum};
use crate::query::select::{RangeRow, Window};
use crate::query::value::ABSENT;

pub(super) fn avg(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each_values(out, |values| {
        let mut mean = Mean::of(values[0]);
        for value in &values[1..] {
            mean.add(*value);
        }
        mean.mean()
    });
}

pub(super) fn sum(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each_values(out, |values| {
        let mut sum = Sum::default();
        for value in values {
            sum.add(*value);
        }
        sum.total()
    });
}

pub(super) fn count(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each_values(out, |values| values.len() as f64);
}

pub(super) fn present(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each_values(out, |_| 1.0);
}

pub(super) fn first(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each_values(out, |values| values[0]);
}

pub(super) fn last(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each_values(out, |values| values[values.len() - 1]);
}

pub(super) fn max(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each_values(out, |values| {
        values[extreme(values, |new, best| new > best)]
    });
}

pub(super) fn min(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each_values(out, |values| {
        values[extreme(values, |new, best| new < best)]
    });
}

pub(super) fn time_of_first(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each(out, |window| seconds(window, 0));
}

pub(super) fn time_of_last(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each(out, |window| seconds(window, window.times.len() - 1));
}

pub(super) fn time_of_max(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each(out, |window| {
        seconds(window, extreme(window.values, |new, best| new >= best))
    });
}

pub(super) fn time_of_min(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each(out, |window| {
        seconds(window, extreme(window.values, |new, best| new <= best))
    });
}

fn seconds(window: &Window<'_>, at: usize) -> f64 {
    window.times[at] as f64 / 1000.0
}

/// The place of the value that is better than all others; any number is better than NaN.
fn extreme(values: &[f64], better: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if better(*value, values[best]) || values[best].is_nan() {
            best = at;
        }
    }
    best
}

pub(super) fn stddev(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each_values(out, |values| variance(values).sqrt());
}

pub(super) fn stdvar(row: &RangeRow<'_>, out: &mut [f64]) {
    row.each_values(out, variance);
}

/// Welford's method, with compensated sums.
fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares) = (Sum::default(), Sum::default());
    let mut count = 0.0;
    for value in values {
        count += 1.0;
        let delta = value - mean.total();
        mean.add(delta / count);
        squares.add(delta * (value - mean.total()));
    }
    squares.total() / count
}

pub(super) fn mad(row: &RangeRow<'_>, out: &mut [f64]) {
    let mut scratch = Vec::new();
    row.each_values(out, |values| {
        if values.iter().any(|v| v.is_nan()) {
            return f64::NAN;
        }
        scratch.clear();
        scratch.extend_from_slice(values);
        let median = quantile_of(0.5, &mut scratch);
        scratch.clear();
        scratch.extend(values.iter().map(|v| (v - median).abs()));
        quantile_of(0.5, &mut scratch)
    });
}

pub(super) fn quantile(row: &RangeRow<'_>, out: &mut [f64]) {
    let quantiles = &row.numbers[0];
    let mut scratch = Vec::new();
    row.each(out, |window| {
        let quantile = quantiles[window.step];
        if !(0.0..=1.0).contains(&quantile) {
            row.eval.notes.invalid_quantile(row.first_span, quantile);
        }
        scratch.clear();
        scratch.extend_from_slice(window.values);
        quantile_of(quantile, &mut scratch)
    });
}

/// The quantile of the values, between two of them where it falls there. NaN is smaller than all numbers. Sorts them.
pub(in crate::query) fn quantile_of(quantile: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal),
        (a_nan, b_nan) => b_nan.cmp(&a_nan),
    });
    let last = values.len() - 1;
    let rank = quantile * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the number of values"
    )]
    let lower = rank.floor() as usize;
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[last.min(lower + 1)] * weight
}

pub(super) fn double_exponential_smoothing(row: &RangeRow<'_>, out: &mut [f64]) {
    let (smoothing, trend) = (&row.numbers[0], &row.numbers[1]);
    row.each(out, |window| {
        let (sf, tf) = (smoothing[window.step], trend[window.step]);
        for (name, short, factor) in [("smoothing", "sf", sf), ("trend", "tf", tf)] {
            if factor <= 0.0 || factor >= 1.0 {
                row.fail(format!(
                    "invalid {name} factor. Expected: 0 < {short} < 1, got: {factor:.6}"
                ));
            }
        }
        smooth(window.values, sf, tf)
    });
}

fn smooth(values: &[f64], sf: f64, tf: f64) -> f64 {
    let [first, second, ..] = values else {
        return ABSENT;
    };
    let (mut before, mut now, mut slope) = (0.0, *first, second - first);
    for (at, value) in values.iter().enumerate().skip(1) {
        if at > 1 {
            slope = tf * (now - before) + (1.0 - tf) * slope;
        }
        let next = sf * value + (1.0 - sf) * (now + slope);
        before = now;
        now = next;
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let check = |q: f64, values: &[f64], want: f64| {
            let got = quantile_of(q, &mut values.to_vec());
            assert!(
                got == want || (got.is_nan() && want.is_nan()),
                "{q} {values:?} {got}"
            );
        };
        check(0.5, &[], f64::NAN);
        check(f64::NAN, &[1.0], f64::NAN);
        check(-0.1, &[1.0], f64::NEG_INFINITY);
        check(1.1, &[1.0], f64::INFINITY);
        check(0.5, &[4.0, 1.0, 0.0], 1.0);
        check(0.75, &[4.0, 1.0, 0.0], 2.5);
        check(1.0, &[4.0, 1.0, 0.0], 4.0);
        check(0.5, &[1.0, f64::NAN, 0.0], 0.0);
        check(0.2, &[1.0, f64::NAN, 0.0], f64::NAN);
    }

    #[test]
    fn extremes_prefer_numbers() {
        let nan = f64::NAN;
        assert_eq!(extreme(&[nan, 1.0, 3.0, nan, 2.0], |a, b| a > b), 2);
        assert_eq!(extreme(&[2.0, 1.0, 1.0], |a, b| a < b), 1);
        assert_eq!(extreme(&[2.0, 1.0, 1.0], |a, b| a <= b), 2);
    }
}
