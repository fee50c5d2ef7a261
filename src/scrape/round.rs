//! One round: the bytes of a cluster's answer, the rules and the cache of the round before in; [`Snapshot`] and
//! [`Report`] out. No socket, no clock, no log.
//!
//! In the steady state a body repeats the lines of the round before with new numbers at their ends, so a line is
//! first compared with the line that stood there (`Round::hit`), then looked up by its bytes, and only a line
//! never seen before is parsed, relabelled and entered (`Round::admit`). What a round gives depends on the body
//! and the rules alone: with a warm cache and with an empty one it is the same, byte for byte.

mod births;
mod miss;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use memchr::{memchr, memrchr};

pub(super) use self::births::Births;
use self::miss::{name_in, too_long};
use super::cache::{Cache, Fate};
use super::floor::Floor;
use super::publish;
use super::report::{Dropped, Report, RoundError};
use super::rules::Rules;
use crate::model::metadata::Metadata;
use crate::parse::{Format, number};
use crate::store::buffers::{Buffer, Buffers};
use crate::store::snapshot::{Line, Snapshot};

/// Samples further ahead of the clock are dropped, as a Prometheus that scrapes us would do (its `maxAheadTime`).
const AHEAD_MAX_MS: i64 = 10 * 60 * 1000;

/// A line that is longer than this is a bad line.
const LINE_MAX: usize = 1 << 20;

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By its length or its last chunk: nothing is missing.
    Framed,
    /// By the end of the connection: a last line without newline was cut.
    Closed,
}

/// A round under way.
#[derive(Debug)]
pub struct Round {
    cache: Box<Cache>,
    rules: Arc<Rules>,
    format: Format,
    /// The round's start, milliseconds since 1970.
    now_ms: i64,
    /// The text written so far, and where each line of it begins.
    out: Buffer<u8>,
    lines: Buffer<Line>,
    /// Series that came in this round, where a recorder is to know.
    births: Births,
    /// Runs of lines of one family, in the order written.
    runs: Vec<Run>,
    /// Every series of this body in its order, kept or not: what the next round is matched with.
    order: Vec<u32>,
    /// Where in the order of the round before the next line is expected.
    expected: usize,
    /// Whether a byte of the body has come.
    begun: bool,
    /// Bytes of a line whose end has not come yet.
    carry: Vec<u8>,
    /// Whether what comes up to the next newline belongs to a line that was too long.
    skipping: bool,
    newest_ms: Option<i64>,
    /// The name of the last `# TYPE`.
    typed_name: String,
    /// The name of the last sample: by number, or as text when its series is new.
    last_name: Option<u32>,
    last_new_name: String,
    /// Families with a bad line, by the name in their TYPE line or else their own, in their order.
    quarantined: BTreeSet<String>,
    /// Types and HELP that the body itself declares.
    declared: Metadata,
    eof: bool,
    report: Report,
    failed: Option<RoundError>,
}

/// Lines of one family, one behind the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) family: u32,
    /// First line in [`Round::lines`].
    pub(super) first: usize,
}

/// What a finished round hands on.
pub(super) struct Written {
    /// The round's start, milliseconds since 1970.
    pub(super) at_ms: i64,
    pub(super) out: Buffer<u8>,
    pub(super) lines: Buffer<Line>,
    pub(super) births: Births,
    pub(super) runs: Vec<Run>,
    pub(super) newest_ms: Option<i64>,
}

/// What stands behind name and labels of a line.
#[derive(Clone, Copy)]
struct Ending<'a> {
    /// The value, as it is to be written, and as a number.
    value: &'a [u8],
    number: f64,
    timestamp_ms: Option<i64>,
    /// The whole ending, when it is ` value timestamp\n` with nothing to change.
    finished: Option<&'a [u8]>,
}

impl Round {
    /// Begins a round at `now_ms`. The cache is handed back by [`Round::finish`].
    pub fn start(
        mut cache: Box<Cache>,
        rules: Arc<Rules>,
        format: Format,
        now_ms: i64,
        buffers: &Buffers,
    ) -> Self {
        cache.begin(&rules);
        let series = cache.order.len() + cache.order.len() / 64;
        let mut order = std::mem::take(&mut cache.spare);
        order.reserve(series);
        let lines = buffers.lines.take(series);
        let out = buffers.texts.take(cache.text.len() + cache.text.len() / 64);
        Self {
            cache,
            rules,
            format,
            now_ms,
            out,
            lines,
            births: Births::default(),
            runs: Vec::new(),
            order,
            expected: 0,
            begun: false,
            carry: Vec::new(),
            skipping: false,
            newest_ms: None,
            typed_name: String::new(),
            last_name: None,
            last_new_name: String::new(),
            quarantined: BTreeSet::new(),
            declared: Metadata::default(),
            eof: false,
            report: Report::default(),
            failed: None,
        }
    }

    /// True while most lines are new, so that a window of them takes milliseconds rather than microseconds.
    pub fn is_cold(&self) -> bool {
        self.report.matched * 2 < self.order.len() as u64 || self.cache.order.is_empty()
    }

    /// Takes the next window of the body.
    pub fn push(&mut self, mut window: &[u8]) -> Result<(), RoundError> {
        self.begun |= !window.is_empty();
        if self.skipping {
            let Some(newline) = memchr(b'\n', window) else {
                return self.result();
            };
            self.skipping = false;
            window = &window[newline + 1..];
        }
        while !self.carry.is_empty() && !window.is_empty() {
            window = self.complete_carry(window);
        }
        let Some(last) = memrchr(b'\n', window) else {
            self.carry.extend_from_slice(window);
            return self.result();
        };
        let used = self.lines(&window[..=last], false);
        self.carry.extend_from_slice(&window[used..]);
        self.result()
    }

    /// Begins the next body of the same round.
    pub fn next_body(&mut self, format: Format) {
        self.format = format;
    }

    /// Ends one body: a round may read several, when the selectors do not fit into one URL.
    pub fn end_body(&mut self, end: End) -> Result<(), RoundError> {
        let carry = std::mem::take(&mut self.carry);
        if self.format == Format::OpenMetrics && !self.eof && !carry.starts_with(b"# EOF") {
            return Err(RoundError::NoEof);
        }
        if end == End::Closed && !std::mem::take(&mut self.begun) {
            return Err(RoundError::Cut(String::new()));
        }
        let skipping = std::mem::take(&mut self.skipping);
        if end == End::Closed && skipping {
            return Err(RoundError::Cut("a very long line".into()));
        }
        if end == End::Closed
            && !carry.is_empty()
            && !carry.ends_with(b"\n")
            && self.format == Format::Text
        {
            return Err(RoundError::Cut(excerpt(&carry)));
        }
        self.lines(&carry, true);
        self.eof = false;
        self.typed_name.clear();
        self.last_name = None;
        self.last_new_name.clear();
        self.result()
    }

    /// The round's result. `metadata` is what the cluster says of its metrics.
    pub fn finish(
        mut self,
        metadata: &Arc<Metadata>,
    ) -> (Box<Cache>, Result<(Snapshot, Report), RoundError>) {
        if let Err(error) = self.settle() {
            return (self.abandon(), Err(error));
        }
        self.report.kept = self.lines.len() as u64;
        self.report.added = self.cache.added.len() as u64;
        let at_ms = self.now_ms;
        let written = Written {
            at_ms,
            out: self.out,
            lines: self.lines,
            births: self.births,
            runs: self.runs,
            newest_ms: self.newest_ms,
        };
        let (snapshot, text, lines) =
            publish::snapshot(&mut self.cache, written, &self.declared, metadata);
        self.report.removed = self.cache.commit(self.order, text, &lines);
        (self.cache, Ok((snapshot, self.report)))
    }

    /// Takes out what bad lines cost, and says whether the rest can be published. For a round whose bodies are read;
    /// a second time it changes nothing.
    pub fn settle(&mut self) -> Result<(), RoundError> {
        let limit = self.rules.limits.series;
        let found = self.lines.len() as u64;
        if limit > 0 && found > limit {
            self.failed
                .get_or_insert(RoundError::SeriesLimit { found, limit });
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.quarantine();
        match &self.report.first_bad_line {
            Some(error) if self.lines.is_empty() => Err(RoundError::BadLine(error.clone())),
            _ => Ok(()),
        }
    }

    /// Series in the bodies read so far.
    pub fn series(&self) -> u64 {
        self.lines.len() as u64
    }

    /// The newest sample, in milliseconds since 1970.
    pub fn newest_ms(&self) -> Option<i64> {
        self.newest_ms
    }

    /// A cache that knows nothing, for another replica's answer in the same round: what it publishes is never taken
    /// for what this one's cache published before.
    pub fn fresh_cache(&self) -> Box<Cache> {
        Box::new(self.cache.fresh())
    }

    /// Replaces samples that are not newer than what the floor says was sent of their series. For a round whose bodies
    /// are read, before [`Round::finish`].
    pub fn raise(&mut self, floor: &mut Floor) {
        let starts = self.lines.iter().map(|line| line.start as usize);
        let starts: Vec<usize> = starts.chain([self.out.len()]).collect();
        let ending = |(at, places): (usize, &[usize])| {
            let (keep, ending) = floor.raise(&self.out[places[0]..places[1]])?;
            Some((at, (places[0] + keep, ending)))
        };
        let raised: HashMap<usize, (usize, Bytes)> =
            starts.windows(2).enumerate().filter_map(ending).collect();
        if raised.is_empty() {
            return;
        }
        let old = std::mem::take(&mut *self.out);
        for (at, line) in self.lines.iter_mut().enumerate() {
            let Ok(start) = u32::try_from(self.out.len()) else {
                self.failed.get_or_insert(RoundError::TooLarge);
                return;
            };
            line.start = start;
            let (from, to) = (starts[at], starts[at + 1]);
            if let Some((keep, ending)) = raised.get(&at) {
                self.out.extend_from_slice(&old[from..*keep]);
                self.out.extend_from_slice(ending);
            } else {
                self.out.extend_from_slice(&old[from..to]);
            }
        }
    }

    /// Gives the round up; the cache is as it was before.
    pub fn abandon(mut self) -> Box<Cache> {
        self.cache.roll_back();
        self.cache
    }

    fn result(&self) -> Result<(), RoundError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Adds to the carried piece up to a newline and takes what has become whole. Returns what is left.
    fn complete_carry<'w>(&mut self, window: &'w [u8]) -> &'w [u8] {
        let Some(newline) = self.newline_for_carry(window) else {
            self.carry.extend_from_slice(window);
            while self.carry.len() > LINE_MAX && self.failed.is_none() {
                self.give_up_line();
            }
            return &[];
        };
        self.carry.extend_from_slice(&window[..=newline]);
        let too_long = self.carry.len() > LINE_MAX;
        self.retry_carry(too_long);
        &window[newline + 1..]
    }

    /// The newline with which the carried piece is tried again. A piece that holds lines already, between quotes, is
    /// doubled where that can be: trying it with each further line would take the square of its length.
    fn newline_for_carry(&self, window: &[u8]) -> Option<usize> {
        let least = memchr(b'\n', &self.carry).map_or(0, |_| self.carry.len().min(window.len()));
        let found = memchr(b'\n', &window[least..]).map(|newline| least + newline);
        found.or_else(|| memrchr(b'\n', window))
    }

    /// Gives up a carried line that has become too long: whole lines in it are taken, of the last one the rest is
    /// skipped when it comes.
    fn give_up_line(&mut self) {
        if let Some(newline) = memrchr(b'\n', &self.carry) {
            let rest = self.carry.split_off(newline + 1);
            self.retry_carry(true);
            self.carry.extend_from_slice(&rest);
            return;
        }
        let line = std::mem::take(&mut self.carry);
        let name = name_in(self.format, &line);
        self.bad_line(&too_long(), name.as_deref(), &line);
        self.skipping = true;
    }

    /// Takes lines from the carried bytes; with `at_end` also one that has no end.
    fn retry_carry(&mut self, at_end: bool) {
        let carry = std::mem::take(&mut self.carry);
        let used = self.lines(&carry, at_end);
        self.carry = carry;
        self.carry.drain(..used);
    }

    /// Takes whole lines; returns how many bytes of them were taken.
    fn lines(&mut self, input: &[u8], at_end: bool) -> usize {
        let mut at = 0;
        while at < input.len() && self.failed.is_none() {
            if self.format == Format::Text {
                at += self.hits(&input[at..]);
            }
            if at < input.len() {
                match self.miss(&input[at..], at_end) {
                    Some(used) => at += used,
                    None => return at,
                }
            }
        }
        at
    }
}

/// Cache hits: lines that stand where they stood in the round before.
impl Round {
    /// Takes lines from the front of `input` as long as they are the ones expected; returns the bytes taken.
    fn hits(&mut self, input: &[u8]) -> usize {
        let mut at = 0;
        while let Some(&slot) = self.cache.order.get(self.expected) {
            let Some(taken) = self.hit(slot, &input[at..]) else {
                break;
            };
            at += taken;
            self.expected += 1;
            self.report.matched += 1;
        }
        at
    }

    /// Takes one line if it is series `slot` with a plain number behind it; returns its length.
    fn hit(&mut self, slot: u32, line: &[u8]) -> Option<usize> {
        let (prefix, tail) = self.cache.key_before(slot);
        let rest = line.strip_prefix(prefix)?.strip_prefix(tail)?;
        let (ending, len) = plain_ending(rest)?;
        if !self.take(slot, &ending) {
            return None;
        }
        self.order.push(slot);
        Some(line.len() - rest.len() + len)
    }

    /// Counts a known series in and writes its line, unless its fate or the timestamp say otherwise. False: it must
    /// be admitted anew, since the series in whose shadow it stood has not come.
    #[inline]
    fn take(&mut self, slot: u32, ending: &Ending<'_>) -> bool {
        let series = &self.cache.slots.series[slot as usize];
        self.last_name = Some(series.name);
        match series.fate {
            Fate::Kept => self.keep(slot, ending),
            Fate::Dropped(reason) => {
                self.report.drop(reason);
                self.cache.see(slot);
            }
            Fate::Shadow { .. } if self.is_ahead(self.timestamp(ending)) => {
                self.report.drop(Dropped::Future);
            }
            Fate::Shadow { of } if self.cache.is_written(of) => {
                self.report.drop(Dropped::Duplicate);
                self.cache.see(slot);
            }
            Fate::Shadow { .. } | Fate::Vacant => return false,
        }
        true
    }

    /// Writes the line of a series that no rule drops.
    #[inline]
    fn keep(&mut self, slot: u32, ending: &Ending<'_>) {
        let timestamp_ms = self.timestamp(ending);
        if self.is_ahead(timestamp_ms) {
            return self.report.drop(Dropped::Future);
        }
        if !self.cache.mark_written(slot) {
            return self.report.drop(Dropped::Duplicate);
        }
        let Ok(start) = u32::try_from(self.out.len()) else {
            self.failed.get_or_insert(RoundError::TooLarge);
            return;
        };
        if self.newest_ms.is_none_or(|newest| newest < timestamp_ms) {
            self.newest_ms = Some(timestamp_ms);
        }
        let line = self.place(start, slot);
        if let Some(recorder) = &mut self.cache.recorder {
            recorder.record(slot, ending.number, timestamp_ms);
        }
        self.cache.write_labels(slot, &mut self.out);
        self.write_ending(ending, timestamp_ms);
        if line.born == self.cache.round {
            self.note_birth(line);
        }
    }

    /// Notes where the line of a series begins.
    #[inline]
    fn place(&mut self, start: u32, slot: u32) -> Line {
        let series = &self.cache.slots.series[slot as usize];
        let (family, born) = (series.family, series.born);
        if self.runs.last().is_none_or(|run| run.family != family) {
            let first = self.lines.len();
            self.runs.push(Run { family, first });
        }
        let line = Line { start, slot, born };
        self.lines.push(line);
        line
    }

    /// Notes the line written last, whose series came in this round, where a recorder is to know.
    fn note_birth(&mut self, line: Line) {
        if self.cache.recorder.is_some() {
            let number = u32::try_from(self.lines.len() - 1);
            let number = number.expect("fewer lines than bytes before its start");
            let text = &self.out[line.start as usize..];
            self.births.push(line.slot, number, text);
        }
    }

    fn timestamp(&self, ending: &Ending<'_>) -> i64 {
        ending
            .timestamp_ms
            .filter(|_| self.rules.honor_timestamps)
            .unwrap_or(self.now_ms)
    }

    fn is_ahead(&self, timestamp_ms: i64) -> bool {
        timestamp_ms > self.now_ms.saturating_add(AHEAD_MAX_MS)
    }

    fn write_ending(&mut self, ending: &Ending<'_>, timestamp_ms: i64) {
        match ending.finished {
            Some(finished) if self.rules.honor_timestamps => self.out.append_short(finished),
            _ => {
                self.out.push(b' ');
                self.out.extend_from_slice(ending.value);
                self.out
                    .extend_from_slice(format!(" {timestamp_ms}\n").as_bytes());
            }
        }
    }
}

/// ` value timestamp\n` or ` value\n` with a plain decimal value, and its length; none for anything else.
fn plain_ending(rest: &[u8]) -> Option<(Ending<'_>, usize)> {
    let number = rest.strip_prefix(b" ")?;
    let (value_len, read) = number::scan_value(number)?;
    let (value, behind) = number.split_at(value_len);
    if behind.first() == Some(&b'\n') {
        return Some((
            Ending {
                value,
                number: read,
                timestamp_ms: None,
                finished: None,
            },
            value_len + 2,
        ));
    }
    let stamp = behind
        .strip_prefix(b" ")
        .filter(|stamp| !stamp.starts_with(b"-"))?;
    let (timestamp_ms, stamp_len) = number::timestamp_line(stamp)?;
    let len = value_len + stamp_len + 2;
    let ending = Ending {
        value,
        number: read,
        timestamp_ms: Some(timestamp_ms),
        finished: Some(&rest[..len]),
    };
    Some((ending, len))
}

/// The front of some text, for an error message.
fn excerpt(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(64)]).into_owned()
}
