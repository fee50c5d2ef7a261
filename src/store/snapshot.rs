//! The immutable result of one round.

use std::ops::Range;
use std::sync::Arc;

use super::buffers::Buffer;
use super::column::Recorded;
use crate::expose::Block;
use crate::model::metadata::MetricKind;

/// All families of one cluster after one round.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Sorted by name, names unique.
    pub families: Vec<Family>,
    /// Which numbering the slots of its lines are from: no two loops, and no two sets of rules, share one. Never 0
    /// in a snapshot that has lines.
    pub lineage: u64,
    /// Series in all families.
    pub series: u64,
    /// Bytes of text in all families.
    pub text_bytes: u64,
    /// Whether any name in here must be quoted.
    pub utf8: bool,
    /// The newest sample's timestamp in milliseconds; none in an empty snapshot.
    pub newest_ms: Option<i64>,
    /// The same as numbers, for the window: taken out before the snapshot is published.
    pub recorded: Option<Box<Recorded>>,
}

/// The lines of one metric name in one cluster.
#[derive(Clone, Debug)]
pub struct Family {
    /// What they are lines of. The same `Arc` from round to round for as long as it says the same, so that the order
    /// of a page can be kept.
    pub heading: Arc<Heading>,
    /// The finished lines, in the order in which the cluster sent them.
    pub block: Block,
    /// Where each line begins, and which series it is.
    pub lines: Lines,
}

/// What is known of a metric name in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// The metric name.
    pub name: Arc<str>,
    /// What the cluster's metadata says the name, or the histogram or summary that it is part of, is.
    pub kind: MetricKind,
    /// For a part of a histogram or summary: the name without `_bucket`, `_sum` or `_count`.
    pub base: Option<Arc<str>>,
    /// The HELP text, unescaped; empty when there is none.
    pub help: Arc<str>,
    /// Whether the name or a label name of its series must be quoted.
    pub utf8: bool,
}

/// One line of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Offset of its first byte in the round's text.
    pub start: u32,
    /// Number of the series in its cluster, small and used again after the series has gone.
    pub slot: u32,
    /// Round in which the series took the slot: lineage, slot and birth together name a series for good.
    pub born: u32,
}

/// A family's part of the round's table of lines.
#[derive(Clone, Debug)]
pub struct Lines {
    all: Arc<Buffer<Line>>,
    range: Range<usize>,
    /// Where the block's text begins in the text that the offsets count from.
    base: u32,
}

impl Lines {
    /// The lines `range` of `all`, the first of which is the first of the block.
    pub fn new(all: Arc<Buffer<Line>>, range: Range<usize>) -> Self {
        let base = all[range.clone()].first().map_or(0, |line| line.start);
        Self { all, range, base }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// True for a block without lines.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Each line with its place in the block's text, newline included.
    pub fn iter(&self, text_len: usize) -> impl Iterator<Item = (&Line, Range<usize>)> {
        let lines = &self.all[self.range.clone()];
        let offset = move |line: &Line| (line.start - self.base) as usize;
        lines.iter().enumerate().map(move |(number, line)| {
            let end = lines.get(number + 1).map_or(text_len, offset);
            (line, offset(line)..end)
        })
    }
}
