//! What is said where a query looks further back than the samples in memory: `increase(x[1h])` over 15 minutes must
//! never pass for the truth.

use std::fmt::Write as _;

use super::functions::time::rfc3339;
use super::plan::Selector;
use super::source::{Selected, Short};
use super::value::Grid;

/// So many clusters are named; the others are counted.
const NAMED_MAX: usize = 5;

/// The warning about a selector whose reach begins before the samples of some clusters.
pub(super) fn warning(
    found: &Selected,
    selector: &Selector,
    query: &str,
    grid: Grid,
) -> Option<String> {
    let (from_ms, _) = selector.reach?;
    let short: Vec<&Short> = found
        .short
        .iter()
        .filter(|s| s.oldest_ms > from_ms)
        .collect();
    let (first, _) = short.split_first()?;
    let text = query
        .get(selector.span.start..selector.span.end)
        .unwrap_or("a selector");
    let back = duration(grid.start - (from_ms - 1));
    let mut names: Vec<String> = short
        .iter()
        .take(NAMED_MAX)
        .map(|s| format!("{:?}", s.cluster))
        .collect();
    if short.len() > NAMED_MAX {
        names.push(format!("{} more", short.len() - NAMED_MAX));
    }
    let mut out = format!(
        "{text} reaches back {back} to {}, but the samples in memory of cluster {} begin at {}",
        rfc3339((from_ms - 1).div_euclid(1000)),
        names.join(", "),
        rfc3339(
            short
                .iter()
                .fold(first.oldest_ms, |t, s| t.max(s.oldest_ms))
                .div_euclid(1000)
        ),
    );
    let _ = write!(
        out,
        ": the result lacks what was before; a longer --storage.window keeps more"
    );
    Some(out)
}

/// `1h5m`; with milliseconds where there are some.
fn duration(ms: i64) -> String {
    let units = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let mut rest = ms.max(0);
    let mut out = String::new();
    for (unit, length) in units {
        if rest >= length {
            let _ = write!(out, "{}{unit}", rest / length);
            rest %= length;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |ms, want: &str| assert_eq!(duration(ms), want);
        check(0, "0s");
        check(3_600_000, "1h");
        check(3_900_500, "1h5m500ms");
        check(90_000_000, "1d1h");
    }
}
