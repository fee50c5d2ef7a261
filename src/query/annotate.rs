//! Warnings and infos beside an answer, in Prometheus' words (`util/annotations`): what is odd about the query or its
//! data without making the answer wrong. The same words are said once, with the place in the query where they were
//! said first.

use std::cell::RefCell;
use std::fmt::Write as _;

use hashbrown::HashMap;

use super::functions::time::rfc3339;
use crate::promql::Position;
use crate::promql::ast::Span;

/// All annotations of one query.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    notes: RefCell<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    list: Vec<Note>,
    places: HashMap<String, usize>,
}

#[derive(Debug)]
struct Note {
    is_info: bool,
    text: String,
    span: Span,
    monotonicity: Option<Monotonicity>,
}

/// How buckets had to be changed to rise, over all histograms of one name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Monotonicity {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    pub(super) lowest_bucket: f64,
    pub(super) highest_bucket: f64,
    pub(super) largest_difference: f64,
    pub(super) count: u64,
}

impl Monotonicity {
    fn join(&mut self, other: &Self) {
        self.from_ms = self.from_ms.min(other.from_ms);
        self.to_ms = self.to_ms.max(other.to_ms);
        self.lowest_bucket = self.lowest_bucket.min(other.lowest_bucket);
        self.highest_bucket = self.highest_bucket.max(other.highest_bucket);
        self.largest_difference = self.largest_difference.max(other.largest_difference);
        self.count += other.count;
    }
}

impl Annotations {
    fn add(&self, note: Note) {
        let mut notes = self.notes.borrow_mut();
        if let Some(&at) = notes.places.get(&note.text) {
            if let (Some(have), Some(new)) = (&mut notes.list[at].monotonicity, &note.monotonicity)
            {
                have.join(new);
            }
            return;
        }
        let at = notes.list.len();
        notes.places.insert(note.text.clone(), at);
        notes.list.push(note);
    }

    fn warn(&self, span: Span, text: &str) {
        self.add(Note {
            is_info: false,
            text: format!("PromQL warning: {text}"),
            span,
            monotonicity: None,
        });
    }

    fn inform(&self, span: Span, text: &str) {
        self.add(Note {
            is_info: true,
            text: format!("PromQL info: {text}"),
            span,
            monotonicity: None,
        });
    }

    pub(super) fn invalid_quantile(&self, span: Span, quantile: f64) {
        let got = general(quantile);
        self.warn(
            span,
            &format!("quantile value should be between 0 and 1, got {got}"),
        );
    }

    pub(super) fn invalid_ratio(&self, span: Span, ratio: f64, capped: f64) {
        let (got, to) = (general(ratio), general(capped));
        self.warn(
            span,
            &format!("ratio value should be between -1 and 1, got {got}, capping to {to}"),
        );
    }

    pub(super) fn bad_bucket_label(&self, span: Span, metric: &str, label: &str) {
        let label = go_quoted(label);
        let metric = for_metric(metric);
        self.warn(
            span,
            &format!("bucket label \"le\" is missing or has a malformed value of {label}{metric}"),
        );
    }

    pub(super) fn sort_in_range_query(&self, span: Span) {
        self.warn(
            span,
            "sort is ineffective for range queries since results are always ordered by labels",
        );
    }

    pub(super) fn start_time_overlap(&self, span: Span, metric: &str) {
        let metric = go_quoted(metric);
        self.warn(
            span,
            &format!(
                "sample has start time that overlaps with previous sample timestamp for metric {metric}"
            ),
        );
    }

    pub(super) fn possible_non_counter(&self, span: Span, metric: &str) {
        let metric = go_quoted(metric);
        self.inform(
            span,
            &format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {metric}"
            ),
        );
    }

    pub(super) fn possible_non_counter_type(&self, span: Span, metric: &str, kind: &str) {
        let (metric, kind) = (go_quoted(metric), go_quoted(kind));
        self.inform(
            span,
            &format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {kind}: {metric}"
            ),
        );
    }

    pub(super) fn incompatible_types(&self, span: Span, left: &str, op: &str, right: &str) {
        let quoted = go_quoted(op);
        self.inform(
            span,
            &format!(
                "incompatible sample types encountered for binary operator {quoted}: {left} {op} {right}"
            ),
        );
    }

    pub(super) fn forced_monotonicity(&self, span: Span, metric: &str, how: Monotonicity) {
        let metric = for_metric(metric);
        self.add(Note {
            is_info: true,
            text: format!(
                "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){metric}"
            ),
            span,
            monotonicity: Some(how),
        });
    }

    /// Warnings and infos as they are shown, each with its place in `query`.
    pub(super) fn finish(self, query: &str) -> (Vec<String>, Vec<String>) {
        let mut shown = (Vec::new(), Vec::new());
        for note in self.notes.into_inner().list {
            let mut text = note.text;
            if let Some(how) = note.monotonicity {
                let _ = write!(
                    text,
                    ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                    general(how.lowest_bucket),
                    general(how.highest_bucket),
                    two_digits(how.largest_difference),
                    how.count,
                    rfc3339(how.from_ms / 1000),
                    rfc3339(how.to_ms / 1000),
                );
            }
            if !query.is_empty() {
                let _ = write!(text, " ({})", Position::new(query, note.span.start));
            }
            if note.is_info {
                shown.1.push(text);
            } else {
                shown.0.push(text);
            }
        }
        shown
    }
}

fn for_metric(metric: &str) -> String {
    if metric.is_empty() {
        String::new()
    } else {
        format!(" for metric name {}", go_quoted(metric))
    }
}

fn go_quoted(text: &str) -> String {
    crate::model::quote::quoted(text).to_string()
}

/// A number as Go's `%g` writes it: the shortest digits, an exponent below 1e-4 and from 1e6.
pub(super) fn general(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        -4..6 => value.to_string(),
        exponent => with_exponent(digits, exponent),
    }
}

/// A number as Go's `%.2g` writes it.
fn two_digits(value: f64) -> String {
    if !value.is_finite() {
        return general(value);
    }
    let scientific = format!("{value:.1e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        -4..2 => scientific.parse::<f64>().unwrap_or(value).to_string(),
        exponent => with_exponent(digits.trim_end_matches(".0"), exponent),
    }
}

fn with_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_go_writes_them() {
        let check = |value: f64, want: &str, two: &str| {
            assert_eq!(
                (general(value).as_str(), two_digits(value).as_str()),
                (want, two)
            );
        };
        check(0.0, "0", "0");
        check(1.1, "1.1", "1.1");
        check(-0.1, "-0.1", "-0.1");
        check(123.456, "123.456", "1.2e+02");
        check(10.0, "10", "10");
        check(100.0, "100", "1e+02");
        check(0.00005, "5e-05", "5e-05");
        check(0.0001, "0.0001", "0.0001");
        check(f64::NAN, "NaN", "NaN");
        check(f64::NEG_INFINITY, "-Inf", "-Inf");
        check(1e21, "1e+21", "1e+21");
        check(123_456.0, "123456", "1.2e+05");
        check(1_234_567.0, "1.234567e+06", "1.2e+06");
        check(1.24e300, "1.24e+300", "1.2e+300");
    }

    #[test]
    fn the_same_words_are_said_once() {
        let notes = Annotations::default();
        notes.invalid_quantile(Span::new(9, 12), f64::NAN);
        notes.invalid_quantile(Span::new(2, 3), f64::NAN);
        notes.possible_non_counter(Span::new(14, 16), "foo");
        let (warnings, infos) = notes.finish("quantile\n(NaN, foo)");
        assert_eq!(
            warnings,
            ["PromQL warning: quantile value should be between 0 and 1, got NaN (2:1)"]
        );
        assert_eq!(
            infos,
            [
                "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"foo\" (2:6)"
            ]
        );
    }

    #[test]
    fn monotonicity_is_summed_up() {
        let notes = Annotations::default();
        let one = |from_ms, bucket, difference| Monotonicity {
            from_ms,
            to_ms: from_ms,
            lowest_bucket: bucket,
            highest_bucket: bucket,
            largest_difference: difference,
            count: 1,
        };
        notes.forced_monotonicity(Span::new(0, 1), "b", one(60_000, 10.0, 5.0));
        notes.forced_monotonicity(Span::new(0, 1), "b", one(0, 1000.0, 123.0));
        let (_, infos) = notes.finish("x");
        let want = "for metric name \"b\", from buckets 10 to 1000, with a max diff of 1.2e+02, over 2 samples from \
                    1970-01-01T00:00:00Z to 1970-01-01T00:01:00Z (1:1)";
        assert!(infos[0].ends_with(want), "{}", infos[0]);
    }
}
