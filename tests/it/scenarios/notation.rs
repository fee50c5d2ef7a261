//! The notation of Prometheus' tests for series, as far as the scenarios use it: `name{label="value"} 1+10x99 stale`.
//! Samples stand a minute apart, the first at the epoch.

use tributary::model::matcher::MatchOp;
use tributary::promql;

const STEP_MS: i64 = 60_000;

/// The value that marks the end of a series; among all NaN only these bits mean it.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// One series: labels by name, and samples as time in milliseconds and the value's bits.
pub(super) struct Series {
    pub(super) labels: Vec<(String, String)>,
    pub(super) samples: Vec<(i64, u64)>,
}

/// The series of a text, with all timestamps shifted. The line `load 1m` and comments are passed over.
pub(super) fn expand(text: &str, shift_ms: i64) -> Vec<Series> {
    let lines = text.lines().map(str::trim);
    let series: Vec<_> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#') && *line != "load 1m")
        .map(|line| one(line, shift_ms))
        .collect();
    assert!(!series.is_empty(), "no series in {text:?}");
    series
}

fn one(line: &str, shift_ms: i64) -> Series {
    let name_end = line
        .find('}')
        .map(|brace| brace + 1)
        .or(line.find(' '))
        .unwrap();
    let (selector, values) = line.split_at(name_end);
    let matchers = promql::parse_metric_selector(selector).unwrap();
    let mut labels: Vec<_> = matchers
        .iter()
        .map(|matcher| {
            assert_eq!(matcher.op(), MatchOp::Equal, "{line}");
            (matcher.name().to_owned(), matcher.value().to_owned())
        })
        .collect();
    labels.sort_unstable();
    let values = values.split_whitespace().flat_map(values_of);
    let samples = values
        .zip(0..)
        .map(|(bits, number)| (number * STEP_MS + shift_ms, bits));
    Series {
        labels,
        samples: samples.collect(),
    }
}

/// The bits of `stale`, or of `start+stepxtimes`: the start and as many more.
fn values_of(word: &str) -> Vec<u64> {
    if word == "stale" {
        return vec![STALE];
    }
    let (start, rest) = word.split_once('+').unwrap_or_else(|| panic!("{word}"));
    let (step, times) = rest.split_once('x').unwrap_or_else(|| panic!("{word}"));
    let (start, step): (f64, f64) = (start.parse().unwrap(), step.parse().unwrap());
    let times: u32 = times.parse().unwrap();
    (0..=times)
        .map(|time| (start + step * f64::from(time)).to_bits())
        .collect()
}

#[test]
fn series_are_expanded() {
    let series = expand(
        "# now\nload 1m\n  a{b=\"c d\"}   1+10x2 stale\n  e 0+0x0\n",
        5,
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(series[0].labels, [pair("__name__", "a"), pair("b", "c d")]);
    let value = |value: f64| value.to_bits();
    let want = [
        (5, value(1.0)),
        (60_005, value(11.0)),
        (120_005, value(21.0)),
        (180_005, STALE),
    ];
    assert_eq!(series[0].samples, want);
    assert_eq!(series[1].samples, [(5, value(0.0))]);
}
