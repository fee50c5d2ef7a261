//! Limits on what a round may bring. As in Prometheus, a round that exceeds one fails whole: half of a cluster would
//! be a wrong sum that nobody sees.

use crate::model::labels::Labels;

/// Limits of one cluster; 0 means none. Names and meaning are Prometheus' (`sample_limit` is `series_limit` here).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Series per round, after relabelling.
    pub series: u64,
    /// Labels per series, the name included.
    pub labels: u64,
    /// Bytes of a label's name.
    pub label_name_length: u64,
    /// Bytes of a label's value.
    pub label_value_length: u64,
}

/// Checks the labels that a series leaves with; the error names the series and the limit.
pub fn check_labels(labels: &Labels, limits: &Limits) -> Result<(), String> {
    let over = |len: usize, limit: u64| limit > 0 && len as u64 > limit;
    let name = labels.name().unwrap_or_default();
    if over(labels.len(), limits.labels) {
        return Err(format!(
            "{name}: {} labels, more than label_limit {}",
            labels.len(),
            limits.labels
        ));
    }
    for (label, value) in labels.iter() {
        if over(label.len(), limits.label_name_length) {
            let limit = limits.label_name_length;
            return Err(format!(
                "{name}: label name of {} bytes, more than label_name_length_limit {limit}",
                label.len()
            ));
        }
        if over(value.len(), limits.label_value_length) {
            let limit = limits.label_value_length;
            let found = value.len();
            return Err(format!(
                "{name}: {label} has {found} bytes, more than label_value_length_limit {limit}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_the_last_value_allowed() {
        let labels = Labels::from_pairs([("__name__", "metric"), ("ab", "cdef")]);
        let check = |limits: Limits, want: Result<(), &str>| {
            let got = check_labels(&labels, &limits);
            assert_eq!(
                got.as_ref()
                    .map(|&()| ())
                    .map_err(|error| error.split(", ").last().unwrap()),
                want
            );
        };
        let none = Limits::default();
        check(none, Ok(()));
        check(Limits { labels: 2, ..none }, Ok(()));
        check(Limits { labels: 1, ..none }, Err("more than label_limit 1"));
        check(
            Limits {
                label_name_length: 8,
                ..none
            },
            Ok(()),
        );
        check(
            Limits {
                label_name_length: 7,
                ..none
            },
            Err("more than label_name_length_limit 7"),
        );
        check(
            Limits {
                label_value_length: 6,
                ..none
            },
            Ok(()),
        );
        check(
            Limits {
                label_value_length: 5,
                ..none
            },
            Err("more than label_value_length_limit 5"),
        );
    }
}
