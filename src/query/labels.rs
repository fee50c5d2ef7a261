//! Labels as the engine passes them on: one shared, immutable text with its hash, and the scratch in which keys of
//! groups and matches are written.
//!
//! A query over a million series makes millions of such keys and keeps a few thousand. So a key is written into a
//! buffer that is used again, looked up as it stands, and becomes a [`LabelSet`] only where it is new. The text of a
//! set and the bytes of a key are the same thing: for each label the lengths of name and value, then name and value.
//! Lengths are written as characters, which keeps everything one `str`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use crate::model::labels::{Labels, METRIC_NAME, write_pairs};

/// Label of the type that was known of a metric (`type-and-unit-labels`).
pub const TYPE_LABEL: &str = "__type__";
/// Label of its unit.
pub const UNIT_LABEL: &str = "__unit__";

/// Whether a label says what the metric is rather than which series: its name, type or unit. These go when an
/// operation makes something else of the values.
pub fn is_metadata(name: &str) -> bool {
    name.starts_with("__") && (name == METRIC_NAME || name == TYPE_LABEL || name == UNIT_LABEL)
}

/// Labels of one series, `__name__` included: sorted by name, names unique, no empty values. Cheap to clone, hashed
/// once. Ordered as Prometheus orders label sets: by the first name or value that differs.
#[derive(Clone)]
pub struct LabelSet {
    hash: u64,
    text: Arc<str>,
}

impl LabelSet {
    /// The set without labels.
    pub fn empty() -> Self {
        static EMPTY: LazyLock<LabelSet> = LazyLock::new(|| LabelKey::default().to_set());
        EMPTY.clone()
    }

    /// Takes pairs in any order; of two with the same name the later one wins, and empty values are left out.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let labels = Labels::from_pairs(pairs);
        LabelKey::of(labels.iter()).to_set()
    }

    /// All labels as (name, value), sorted by name.
    pub fn iter(&self) -> Pairs<'_> {
        Pairs { rest: &self.text }
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The metric's name.
    pub fn name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// Whether there are no labels.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Hash of all names and values; differs from process to process.
    pub fn hash_value(&self) -> u64 {
        self.hash
    }

    /// The bytes that it takes up.
    pub fn size_bytes(&self) -> usize {
        self.text.len() + 32
    }
}

impl<'a> IntoIterator for &'a LabelSet {
    type Item = (&'a str, &'a str);
    type IntoIter = Pairs<'a>;

    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

impl From<&Labels> for LabelSet {
    fn from(labels: &Labels) -> Self {
        LabelKey::of(labels.iter()).to_set()
    }
}

impl PartialEq for LabelSet {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.text == other.text
    }
}

impl Eq for LabelSet {}

impl Hash for LabelSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialOrd for LabelSet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LabelSet {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

/// `{__name__="up", job="node"}`, as Prometheus writes label sets in its messages.
impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pairs(f, self.iter())
    }
}

impl fmt::Debug for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The labels of a set, sorted by name.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let name = read_length(&mut self.rest);
        let value = read_length(&mut self.rest);
        let (name, rest) = self.rest.split_at(name);
        let (value, rest) = rest.split_at(value);
        self.rest = rest;
        Some((name, value))
    }
}

/// Digits of a length are characters below this, so that almost every length is one byte and no digit is a surrogate.
const DIGIT: usize = 1 << 13;
/// Set in all digits of a length but the last.
const MORE: u32 = 1 << 13;

fn write_length(out: &mut String, mut length: usize) {
    while length >= DIGIT {
        out.push(digit(length % DIGIT, MORE));
        length /= DIGIT;
    }
    out.push(digit(length, 0));
}

fn digit(value: usize, more: u32) -> char {
    let value = u32::try_from(value).ok().map(|value| value | more);
    value
        .and_then(char::from_u32)
        .expect("digits are below the surrogates")
}

#[inline]
fn read_length(rest: &mut &str) -> usize {
    // Almost every length is one byte.
    if let Some(byte) = rest.bytes().next().filter(u8::is_ascii) {
        *rest = &rest[1..];
        return usize::from(byte);
    }
    let (mut length, mut factor) = (0, 1);
    let mut chars = rest.chars();
    for c in chars.by_ref() {
        let value = u32::from(c);
        length += (value & !MORE) as usize * factor;
        if value < MORE {
            break;
        }
        factor *= DIGIT;
    }
    *rest = chars.as_str();
    length
}

/// A label set being written: push labels sorted by name, look it up by [`as_str`](Self::as_str), clear, begin again.
#[derive(Clone, Debug, Default)]
pub struct LabelKey {
    text: String,
}

impl LabelKey {
    /// The key of these labels, which come sorted by name, without empty values.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut key = Self::default();
        for (name, value) in pairs {
            key.push(name, value);
        }
        key
    }

    /// Adds a label that stands behind all that were pushed before; an empty value is left out.
    #[inline]
    pub fn push(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        write_length(&mut self.text, name.len());
        write_length(&mut self.text, value.len());
        self.text.push_str(name);
        self.text.push_str(value);
    }

    /// Forgets all labels, keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
    }

    /// What is equal for equal label sets, and only for these.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The labels so far.
    pub fn pairs(&self) -> Pairs<'_> {
        Pairs { rest: &self.text }
    }

    /// A set of the labels so far.
    pub fn to_set(&self) -> LabelSet {
        LabelSet {
            hash: hash_text(&self.text),
            text: Arc::from(self.text.as_str()),
        }
    }
}

fn hash_text(text: &str) -> u64 {
    static STATE: LazyLock<hashbrown::DefaultHashBuilder> =
        LazyLock::new(hashbrown::DefaultHashBuilder::default);
    STATE.hash_one(text)
}

/// Changes to a label set: sets and deletes, then a new set.
#[derive(Clone, Debug)]
pub struct LabelEdit(Labels);

impl LabelEdit {
    /// Begins with the labels of `set`.
    pub fn new(set: &LabelSet) -> Self {
        Self(Labels::from_pairs(set.iter()))
    }

    /// Sets a label; an empty value deletes it.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.set(name, value);
    }

    /// Keeps the labels for which `keep(name)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|name, _| keep(name));
    }

    /// The set as changed.
    pub fn finish(&self) -> LabelSet {
        LabelSet::from(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_keep_their_labels() {
        let long = "x".repeat(3 * DIGIT + 7);
        let set = LabelSet::from_pairs([
            ("job", "node"),
            ("__name__", "up"),
            ("é", "世"),
            ("long", &long),
            ("no", ""),
        ]);
        let want = [
            ("__name__", "up"),
            ("job", "node"),
            ("long", long.as_str()),
            ("é", "世"),
        ];
        assert_eq!(set.iter().collect::<Vec<_>>(), want);
        assert_eq!(
            (set.name(), set.get("job"), set.get("no")),
            (Some("up"), Some("node"), None)
        );
        assert_eq!(LabelEdit::new(&set).finish().hash_value(), set.hash_value());
        assert!(LabelSet::empty().is_empty() && LabelSet::empty().iter().next().is_none());
    }

    #[test]
    fn orders_as_prometheus_does() {
        let set = |pairs: &[(&str, &str)]| LabelSet::from_pairs(pairs.iter().copied());
        let less = |a: &[(&str, &str)], b: &[(&str, &str)]| assert!(set(a) < set(b), "{a:?} {b:?}");
        less(&[], &[("a", "1")]);
        less(&[("a", "1")], &[("a", "2")]);
        less(&[("a", "1")], &[("a", "1"), ("b", "1")]);
        less(&[("a", "11"), ("b", "1")], &[("a", "2")]);
        less(&[("a", "1"), ("aa", "1")], &[("b", "1")]);
        assert_eq!(
            set(&[("b.c", "x\"y"), ("a", "1")]).to_string(),
            r#"{a="1", "b.c"="x\"y"}"#
        );
    }

    #[test]
    fn edits() {
        let set = LabelSet::from_pairs([("__name__", "up"), ("a", "1"), ("b", "2")]);
        let mut edit = LabelEdit::new(&set);
        edit.set("c", "3");
        edit.set("a", "");
        edit.retain(|name| !is_metadata(name));
        assert_eq!(edit.finish().to_string(), r#"{b="2", c="3"}"#);
    }
}
