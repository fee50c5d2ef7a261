//! Cache misses: headers, lines out of their place, new lines, bad lines.

use std::collections::HashSet;

use memchr::memchr;

use super::{Ending, LINE_MAX, Round, excerpt};
use crate::model::metadata::{MetadataEntry, MetricKind};
use crate::parse::{self, Entry, Format, Sample, Step, number};
use crate::scrape::cache::Fate;
use crate::scrape::limits::check_labels;
use crate::scrape::report::{Dropped, RoundError};
use crate::scrape::rules::OnBadLine;

/// At most this many names are quarantined one by one; a body with more bad families fails.
const QUARANTINE_MAX: usize = 1000;

impl Round {
    /// Takes one entry from the front of `input`; returns the bytes taken, or none when its end is not there yet.
    pub(super) fn miss(&mut self, input: &[u8], at_end: bool) -> Option<usize> {
        match parse::next(self.format, input, at_end) {
            Ok(Step::More) if input.len() <= LINE_MAX => None,
            Ok(Step::More) => Some(self.bad_line(&too_long(), None, input)),
            Ok(Step::Entry { used, .. }) if used > LINE_MAX => {
                let name = name_in(self.format, &input[..used]);
                self.bad_line(&too_long(), name.as_deref(), &input[..used]);
                Some(used)
            }
            Ok(Step::Entry { entry, used }) => {
                if self.eof {
                    self.failed
                        .get_or_insert(RoundError::BadLine("data after # EOF".into()));
                }
                self.entry(entry);
                Some(used)
            }
            Err(error) => Some(self.bad_line(&error.to_string(), error.name.as_deref(), input)),
        }
    }

    fn entry(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Sample(sample) => self.sample(&sample),
            Entry::Type { name, kind } => {
                if kind != MetricKind::Unknown {
                    self.declare(&name, |entry| entry.kind = kind);
                }
                self.typed_name.clear();
                self.typed_name.push_str(&name);
            }
            Entry::Help { name, text } => self.declare(&name, |entry| entry.help = text.into()),
            Entry::Unit { .. } | Entry::Blank | Entry::Comment => {}
            Entry::Eof => self.eof = true,
        }
    }

    fn declare(&mut self, name: &str, change: impl FnOnce(&mut MetadataEntry)) {
        let mut entry = self.declared.get(name).cloned().unwrap_or_default();
        change(&mut entry);
        self.declared.insert(name, entry);
    }

    fn sample(&mut self, sample: &Sample<'_>) {
        let hash = self.cache.hash(sample.key);
        let canonical = canonical_value(sample.value);
        let ending = Ending {
            value: canonical.unwrap_or(sample.value),
            // The parser has looked at it: it is a number.
            number: number::parse(sample.value).unwrap_or(f64::NAN),
            timestamp_ms: sample.timestamp_ms,
            finished: None,
        };
        if let Some(slot) = self.cache.find(hash, sample.key, &self.out) {
            if self.take(slot, &ending) {
                self.expected = self.cache.position_behind(slot, self.expected);
                self.order.push(slot);
                return;
            }
            self.cache.vacate(slot);
        }
        if let Some(slot) = self.admit(sample, hash, &ending) {
            self.order.push(slot);
        }
    }

    /// A line never seen before: relabels it, enters the series and writes its line. None: it is not remembered.
    fn admit(&mut self, sample: &Sample<'_>, hash: u64, ending: &Ending<'_>) -> Option<u32> {
        self.last_name = None;
        self.last_new_name.clear();
        self.last_new_name.push_str(&sample.name);
        let stamped = match self.rules.stamp(sample) {
            Ok(stamped) => stamped,
            Err(reason) => {
                self.report.drop(reason);
                return Some(
                    self.cache
                        .enter_unwritten(sample, hash, Fate::Dropped(reason)),
                );
            }
        };
        if let Err(limit) = check_labels(&stamped.labels, &self.rules.limits) {
            self.failed.get_or_insert(RoundError::LabelLimit(limit));
            return None;
        }
        if self.is_ahead(self.timestamp(ending)) {
            self.report.drop(Dropped::Future);
            return None;
        }
        let identity = self.cache.identity(&stamped);
        if let Some(of) = self.cache.find_output(identity, &stamped, &self.out) {
            if self.cache.is_written(of) {
                self.report.drop(Dropped::Duplicate);
                return Some(
                    self.cache
                        .enter_unwritten(sample, hash, Fate::Shadow { of }),
                );
            }
            // This line stands before the one that had the series so far: the first one in a body has it.
            self.cache.vacate(of);
        }
        let slot = self.cache.enter(sample, hash, identity, &stamped);
        self.keep(slot, ending);
        Some(slot)
    }

    /// Notes a line that cannot be read and quarantines its family; returns the bytes to skip.
    pub(super) fn bad_line(&mut self, error: &str, name: Option<&str>, input: &[u8]) -> usize {
        self.report.drop(Dropped::BadLine);
        let skip = memchr(b'\n', input).map_or(input.len(), |newline| newline + 1);
        self.report
            .first_bad_line
            .get_or_insert_with(|| error.to_owned());
        if self.rules.on_bad_line == OnBadLine::Fail || self.quarantined.len() >= QUARANTINE_MAX {
            self.failed
                .get_or_insert_with(|| RoundError::BadLine(error.to_owned()));
        }
        let name = name.unwrap_or_else(|| self.last_sample_name());
        let name = self
            .family_of(if name.is_empty() {
                &self.typed_name
            } else {
                name
            })
            .to_owned();
        if !name.is_empty() {
            self.quarantined.insert(name);
        }
        skip
    }

    fn last_sample_name(&self) -> &str {
        self.last_name
            .map_or(&self.last_new_name, |name| self.cache.name_of(name))
    }

    /// The name under whose TYPE a metric stands: that of a histogram for its parts.
    fn family_of<'a>(&'a self, name: &'a str) -> &'a str {
        let typed = self.typed_name.as_str();
        let ending = name.strip_prefix(typed).filter(|_| !typed.is_empty());
        if ending.is_some_and(|ending| PARTS.contains(&ending)) {
            typed
        } else {
            name
        }
    }

    /// Takes out what was written of quarantined families.
    pub(super) fn quarantine(&mut self) {
        if self.quarantined.is_empty() {
            return;
        }
        let names: Vec<String> = self.quarantined.iter().cloned().collect();
        let parts = |name: &String| {
            PARTS
                .map(|part| format!("{name}{part}"))
                .into_iter()
                .chain([name.clone()])
        };
        let is_bad: HashSet<u32> = names
            .iter()
            .flat_map(parts)
            .filter_map(|name| self.cache.known_name(&name))
            .collect();
        let (old, lines) = (
            std::mem::take(&mut *self.out),
            std::mem::take(&mut *self.lines),
        );
        self.runs.clear();
        self.births.clear();
        for (at, line) in lines.iter().enumerate() {
            let end = lines
                .get(at + 1)
                .map_or(old.len(), |next| next.start as usize);
            let series = &self.cache.slots.series[line.slot as usize];
            if is_bad.contains(&series.name) {
                self.cache.unsee(line.slot);
                self.report.drop(Dropped::Quarantined);
                continue;
            }
            let start =
                u32::try_from(self.out.len()).expect("shorter than the text it is taken from");
            let text = &old[line.start as usize..end];
            let line = self.place(start, line.slot);
            self.out.extend_from_slice(text);
            if line.born == self.cache.round {
                self.note_birth(line);
            }
        }
        self.report.quarantined = names.iter().map(|name| excerpt(name.as_bytes())).collect();
    }
}

/// Endings that a TYPE line's name has in the samples under it: histograms, summaries, and OpenMetrics' counters and
/// infos.
const PARTS: [&str; 8] = [
    "_bucket", "_sum", "_count", "_total", "_created", "_info", "_gsum", "_gcount",
];

/// The one way to write a value that is not a number with digits; none for one that is.
fn canonical_value(value: &[u8]) -> Option<&'static [u8]> {
    if value.iter().any(u8::is_ascii_digit) {
        return None;
    }
    match number::parse(value) {
        Ok(value) if value.is_nan() => Some(b"NaN"),
        Ok(value) if value > 0.0 => Some(b"+Inf"),
        Ok(_) => Some(b"-Inf"),
        Err(_) => None,
    }
}

pub(super) fn too_long() -> String {
    format!("a line is longer than {LINE_MAX} bytes")
}

/// The metric name in a line, whatever else is wrong with it.
pub(super) fn name_in(format: Format, line: &[u8]) -> Option<String> {
    match parse::next(format, line, true) {
        Ok(Step::Entry { entry, .. }) => match entry {
            Entry::Sample(Sample { name, .. })
            | Entry::Help { name, .. }
            | Entry::Type { name, .. } => Some(name.into_owned()),
            _ => None,
        },
        Ok(Step::More) => None,
        Err(error) => error.name,
    }
}
