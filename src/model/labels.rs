//! Labels of one series as a sorted list of pairs, for the cold path (a series seen for the first time).
//!
//! What comes in may be in any order and may hold empty values; what is kept is sorted by name (byte order), has each
//! name once and has no empty value, since Prometheus treats an empty value as a missing label. A sorted list beats a
//! map here: a series has about ten labels, they are written out in this order, and comparing two sets is one pass.

use std::fmt;

use super::quote::quoted;

/// Name of the label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// Labels of one series, `__name__` included: sorted by name (byte order), names unique, no empty values.
///
/// Names are not checked: the parser and the relabelling rules decide which names they let in.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Vec<(String, String)>);

impl Labels {
    /// A set without labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes pairs in any order. Of two pairs with the same name the later one wins, and empty values are left out.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut list: Vec<(String, String)> = pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        list.sort_by(|a, b| a.0.cmp(&b.0)); // stable, so that of equal names the last one given stands last
        list.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(&mut later.1, &mut kept.1);
            }
            same
        });
        list.retain(|(_, value)| !value.is_empty());
        Self(list)
    }

    /// The value of `name`, or `None` where the label is missing (which means the same as an empty value).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).ok().map(|at| self.0[at].1.as_str())
    }

    /// Sets or replaces a label. An empty value deletes it.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.find(name) {
            Ok(at) if value.is_empty() => drop(self.0.remove(at)),
            Ok(at) => value.clone_into(&mut self.0[at].1),
            Err(_) if value.is_empty() => {}
            Err(at) => self.0.insert(at, (name.to_owned(), value.to_owned())),
        }
    }

    /// Deletes a label and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.find(name).ok().map(|at| self.0.remove(at).1)
    }

    /// Keeps the labels for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.0.retain(|(name, value)| keep(name, value));
    }

    /// All labels as (name, value), sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many labels there are, `__name__` included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True for a set without labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The metric's name: the value of `__name__`.
    pub fn name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(have, _)| have.as_str().cmp(name))
    }
}

/// `{a="b", c="d"}`, values quoted as Go does: for logs and tests, not for an exposition.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pairs(f, self.iter())
    }
}

/// Writes labels as [`Labels`] displays them.
pub fn write_pairs<'a>(
    f: &mut fmt::Formatter<'_>,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> fmt::Result {
    f.write_str("{")?;
    for (at, (name, value)) in pairs.enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        if is_legacy_label_name(name) {
            write!(f, "{comma}{name}={}", quoted(value))?;
        } else {
            write!(f, "{comma}{}={}", quoted(name), quoted(value))?;
        }
    }
    f.write_str("}")
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`: a metric name that needs no quotes.
pub fn is_legacy_metric_name(name: &str) -> bool {
    is_name(name, |byte| byte == b'_' || byte == b':')
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`: a label name that needs no quotes.
pub fn is_legacy_label_name(name: &str) -> bool {
    is_name(name, |byte| byte == b'_')
}

fn is_name(name: &str, mark: impl Fn(u8) -> bool) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || mark(byte);
    name.bytes()
        .next()
        .is_some_and(|first| !first.is_ascii_digit())
        && name.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_are_sorted_and_unique_and_not_empty() {
        let check = |pairs: &[(&str, &str)], want: &str| {
            assert_eq!(
                Labels::from_pairs(pairs.iter().copied()).to_string(),
                want,
                "{pairs:?}"
            );
        };
        check(&[], "{}");
        check(&[("b", "2"), ("a", "1")], r#"{a="1", b="2"}"#);
        check(&[("a", "1"), ("a", "2"), ("a", "3")], r#"{a="3"}"#);
        check(&[("a", "1"), ("a", "")], "{}");
        check(&[("a", ""), ("a", "1")], r#"{a="1"}"#);
        check(
            &[("b", "1"), ("B", "2"), ("_", "3")],
            r#"{B="2", _="3", b="1"}"#,
        );
        check(&[("a.b", "x\"y\n")], r#"{"a.b"="x\"y\n"}"#);
    }

    #[test]
    fn set_get_remove() {
        let mut labels = Labels::from_pairs([("__name__", "up"), ("job", "node")]);
        labels.set("instance", "a:1");
        labels.set("job", "");
        labels.set("gone", "");
        assert_eq!(labels.to_string(), r#"{__name__="up", instance="a:1"}"#);
        assert_eq!(labels.name(), Some("up"));
        assert_eq!(labels.get("job"), None);
        assert_eq!(labels.remove("instance").as_deref(), Some("a:1"));
        assert_eq!(labels.remove("instance"), None);
        assert_eq!((labels.len(), labels.is_empty()), (1, false));
        labels.retain(|name, _| name != METRIC_NAME);
        assert!(labels.is_empty());
    }

    #[test]
    fn legacy_names() {
        let check = |name: &str, metric: bool, label: bool| {
            assert_eq!(
                (is_legacy_metric_name(name), is_legacy_label_name(name)),
                (metric, label),
                "{name:?}"
            );
        };
        check("up", true, true);
        check("_a1", true, true);
        check("job:x:rate5m", true, false);
        check(":", true, false);
        check("", false, false);
        check("1a", false, false);
        check("a.b", false, false);
        check("a-b", false, false);
        check("é", false, false);
        check("a ", false, false);
    }

    proptest! {
        #[test]
        fn labels_stay_sorted_and_unique(steps in proptest::collection::vec(("[a-d]{1,2}", "[xy]{0,2}"), 0..40)) {
            let mut labels = Labels::new();
            let mut model = BTreeMap::new();
            for (name, value) in &steps {
                labels.set(name, value);
                if value.is_empty() { model.remove(name); } else { model.insert(name.clone(), value.clone()); }
            }
            let want: Vec<(&str, &str)> = model.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            prop_assert_eq!(labels.iter().collect::<Vec<_>>(), want);
            let pairs = Labels::from_pairs(steps.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            prop_assert!(pairs.iter().zip(pairs.iter().skip(1)).all(|(a, b)| a.0 < b.0));
            prop_assert_eq!(pairs, labels);
        }
    }
}
