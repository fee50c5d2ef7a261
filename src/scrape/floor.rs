//! What was sent last of every series of a cluster, below which no timestamp may go after a switch of replicas.
//!
//! Two replicas scrape the same targets at different moments, and evaluate the same rules at the same moments with
//! different results. So after a switch a sample that is not newer than the one sent last is replaced by that one,
//! value and timestamp. A series is raised until the new replica has a newer sample of it.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Range;

use bytes::Bytes;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::parse::{self, Entry, Format, Sample, Step};

/// How long a floor is kept: longer than any answer of a server looks back (5 minutes by default).
const KEPT_MS: i64 = 10 * 60 * 1000;

/// What was sent last of every series.
#[derive(Debug)]
pub struct Floor {
    /// Texts as they were published.
    texts: Vec<Bytes>,
    table: HashTable<Sent>,
    hasher: DefaultHashBuilder,
    until_ms: i64,
}

/// The line of a series in one of the texts.
#[derive(Clone, Copy, Debug)]
struct Sent {
    hash: u64,
    text: u32,
    start: u32,
    /// Where the value begins, after a space.
    value: u32,
    end: u32,
    timestamp_ms: i64,
}

/// A published line, taken apart: ` value timestamp\n` begins at `value`.
struct Parts {
    value: usize,
    timestamp_ms: i64,
}

impl Floor {
    /// A floor without any series, at the time of a switch.
    pub fn new(now_ms: i64) -> Self {
        Self {
            texts: Vec::new(),
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            until_ms: now_ms.saturating_add(KEPT_MS),
        }
    }

    /// Keeps the floor on for another switch at `now_ms`.
    pub fn renew(&mut self, now_ms: i64) {
        self.until_ms = now_ms.saturating_add(KEPT_MS);
    }

    /// Whether nothing needs to be raised any more.
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.table.is_empty() || now_ms > self.until_ms
    }

    /// Enters the lines of a text that was published. Of two lines of one series the newer one counts.
    pub fn enter(&mut self, text: &Bytes) {
        let at = u32::try_from(self.texts.len()).expect("a few texts");
        self.texts.push(text.clone());
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', text) {
            let end = newline + 1;
            if let Some(parts) = take_apart(&text[start..end]) {
                let number = |at: usize| u32::try_from(at).expect("texts are shorter than 4 GiB");
                self.insert(Sent {
                    hash: self.hash(&text[start..end]),
                    text: at,
                    start: number(start),
                    value: number(start + parts.value),
                    end: number(end),
                    timestamp_ms: parts.timestamp_ms,
                });
            }
            start = end;
        }
    }

    fn insert(&mut self, sent: Sent) {
        let labels = slice(&self.texts, sent.text, sent.start..sent.value);
        let is_same = |known: &Sent| {
            let other = slice(&self.texts, known.text, known.start..known.value);
            known.hash == sent.hash && is_same_series(labels, other)
        };
        match self.table.find_mut(sent.hash, is_same) {
            Some(known) if known.timestamp_ms <= sent.timestamp_ms => *known = sent,
            Some(_) => {}
            None => {
                self.table.insert_unique(sent.hash, sent, |sent| sent.hash);
            }
        }
    }

    /// What is to be written behind the labels of `line` instead of its own value and timestamp, if anything. A
    /// series that has a newer sample is forgotten.
    pub(super) fn raise(&mut self, line: &[u8]) -> Option<(usize, Bytes)> {
        let parts = take_apart(line)?;
        let labels = &line[..parts.value];
        let hash = self.hash(line);
        let texts = &self.texts;
        let is_same = |known: &Sent| {
            let other = slice(texts, known.text, known.start..known.value);
            known.hash == hash && is_same_series(labels, other)
        };
        let entry = self.table.find_entry(hash, is_same).ok()?;
        let sent = *entry.get();
        if parts.timestamp_ms > sent.timestamp_ms {
            entry.remove();
            return None;
        }
        let text = &self.texts[sent.text as usize];
        let ending = text.slice(sent.value as usize..sent.end as usize);
        (ending != line[parts.value..]).then_some((parts.value, ending))
    }

    /// The same for every order in which the labels of a series may stand.
    fn hash(&self, line: &[u8]) -> u64 {
        let Some(sample) = sample(line) else {
            return self.hasher.hash_one(line);
        };
        let labels = sample.labels.iter();
        let labels = labels.map(|label| self.hasher.hash_one((&label.name, &label.value)));
        labels.fold(self.hasher.hash_one(&sample.name), u64::wrapping_add)
    }
}

fn slice(texts: &[Bytes], text: u32, range: Range<u32>) -> &[u8] {
    &texts[text as usize][range.start as usize..range.end as usize]
}

/// A line that we wrote: labels, a space, the value, a space, the timestamp.
fn take_apart(line: &[u8]) -> Option<Parts> {
    let body = line.strip_suffix(b"\n")?;
    let stamp = memchr::memrchr(b' ', body)?;
    let value = memchr::memrchr(b' ', &body[..stamp])?;
    let digits = std::str::from_utf8(&body[stamp + 1..]).ok()?;
    Some(Parts {
        value,
        timestamp_ms: digits.parse().ok()?,
    })
}

/// Whether two fronts of lines are the same series, whatever the order of the labels.
fn is_same_series(a: &[u8], b: &[u8]) -> bool {
    if a == b || a.len() != b.len() {
        return a == b;
    }
    let (a, b) = ([a, b" 0\n"].concat(), [b, b" 0\n"].concat());
    let (Some(a), Some(b)) = (sample(&a), sample(&b)) else {
        return false;
    };
    let labels = |sample: &Sample<'_>| {
        let pairs = sample.labels.iter();
        let pairs = pairs.map(|label| (label.name.to_string(), label.value.to_string()));
        pairs.collect::<BTreeMap<_, _>>()
    };
    a.name == b.name && labels(&a) == labels(&b)
}

fn sample(line: &[u8]) -> Option<Sample<'_>> {
    match parse::next(Format::Text, line, true).ok()? {
        Step::Entry {
            entry: Entry::Sample(sample),
            ..
        } => Some(sample),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(texts: &[&'static str]) -> Floor {
        let mut floor = Floor::new(0);
        for text in texts {
            floor.enter(&Bytes::from_static(text.as_bytes()));
        }
        floor
    }

    #[test]
    fn a_line_is_raised_to_the_one_sent_last() {
        fn check(sent: &[&'static str], line: &str, want: Option<&str>) {
            let raised = floor(sent).raise(line.as_bytes());
            let got = raised.map(|(at, ending)| {
                let ending = String::from_utf8(ending.to_vec()).unwrap();
                format!("{}{ending}", &line[..at])
            });
            assert_eq!(got.as_deref(), want, "{line}");
        }
        let sent = &["a{b=\"x y\",c=\"1\"} 5 1000\nd 7 1000\n"];
        check(sent, "a{b=\"x y\",c=\"1\"} 6 1001\n", None);
        let kept = Some("a{b=\"x y\",c=\"1\"} 5 1000\n");
        check(sent, "a{b=\"x y\",c=\"1\"} 6 999\n", kept);
        check(sent, "a{b=\"x y\",c=\"1\"} 6 1000\n", kept);
        check(sent, "a{b=\"x y\",c=\"1\"} 5 1000\n", None);
        let other_order = Some("a{c=\"1\",b=\"x y\"} 5 1000\n");
        check(sent, "a{c=\"1\",b=\"x y\"} 6 900\n", other_order);
        check(sent, "a{b=\"x y\",c=\"2\"} 6 900\n", None);
        check(sent, "d NaN 900\n", Some("d 7 1000\n"));
        check(sent, "e 1 900\n", None);
        check(sent, "d 1\n", None);
        let twice = &["d 7 1000\n", "d 8 1100\n"];
        check(twice, "d 1 1050\n", Some("d 8 1100\n"));
        let back = &["d 7 1000\n", "d 8 900\n"];
        check(back, "d 1 950\n", Some("d 7 1000\n"));
    }

    #[test]
    fn a_series_is_forgotten_once_it_is_newer() {
        let mut floor = floor(&["a 1 1000\nb 1 1000\n"]);
        assert!(floor.raise(b"a 2 900\n").is_some());
        assert!(!floor.is_over(1));
        assert!(floor.raise(b"a 2 1001\n").is_none());
        assert!(
            floor.raise(b"a 2 900\n").is_none(),
            "that is the replica's own order"
        );
        assert!(floor.raise(b"b 2 1001\n").is_none());
        assert!(floor.is_over(1));
    }

    #[test]
    fn a_floor_does_not_last_for_ever() {
        let mut floor = floor(&["a 1 1000\n"]);
        assert!(!floor.is_over(KEPT_MS));
        assert!(floor.is_over(KEPT_MS + 1));
        floor.renew(1);
        assert!(!floor.is_over(KEPT_MS + 1));
    }
}
