//! Turns the text of a round into a [`Snapshot`]: families in the order of their names, described by metadata.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::cache::Cache;
use super::round::{Births, Run, Written};
use crate::expose::Block;
use crate::model::metadata::{Metadata, MetadataEntry, MetricKind};
use crate::store::buffers::Buffer;
use crate::store::column::Recorded;
use crate::store::snapshot::{Family, Heading, Line, Lines, Snapshot};

/// Cuts the text into blocks. Returns the snapshot, the whole text, and the table of its lines.
pub(super) fn snapshot(
    cache: &mut Cache,
    written: Written,
    declared: &Metadata,
    metadata: &Arc<Metadata>,
) -> (Snapshot, Bytes, Arc<Buffer<Line>>) {
    let Written {
        at_ms,
        out,
        lines,
        births,
        mut runs,
        newest_ms,
    } = written;
    let whole = Whole {
        text: out.freeze(),
        lines: Arc::new(lines),
    };
    let recorded = record(cache, at_ms, &whole, births);
    let ends: Vec<usize> = runs
        .iter()
        .skip(1)
        .map(|run| run.first)
        .chain([whole.lines.len()])
        .collect();
    let mut places: Vec<(Run, usize)> = runs.drain(..).zip(ends).collect();
    places.sort_by(|(a, _), (b, _)| {
        let name = |run: &Run| &cache.families[run.family as usize].heading.name;
        name(a).cmp(name(b)).then(a.first.cmp(&b.first))
    });
    let mut snapshot = Snapshot {
        lineage: cache.lineage,
        series: whole.lines.len() as u64,
        newest_ms,
        recorded,
        ..Snapshot::default()
    };
    for runs in places.chunk_by(|(a, _), (b, _)| a.family == b.family) {
        let (block, lines) = match runs {
            [(run, end)] => whole.cut(run.first, *end),
            _ => whole.gather(runs),
        };
        let state = &mut cache.families[runs[0].0.family as usize];
        if state.described_by.as_ptr() != Arc::as_ptr(metadata) || !declared.is_empty() {
            let heading = describe(&state.heading, declared, metadata);
            if heading != *state.heading {
                state.heading = heading.into();
            }
            state.described_by = Arc::downgrade(metadata);
        }
        snapshot.utf8 |= state.heading.utf8;
        snapshot.text_bytes += block.text().len() as u64;
        snapshot.families.push(Family {
            heading: state.heading.clone(),
            block,
            lines,
        });
    }
    (snapshot, whole.text, whole.lines)
}

/// The round as numbers, for the window, where there is one.
fn record(cache: &mut Cache, at_ms: i64, whole: &Whole, births: Births) -> Option<Box<Recorded>> {
    let (round, samples) = (cache.round, whole.lines.len() as u64);
    let recorder = cache.recorder.as_mut()?;
    let born = births.finish(whole);
    Some(Box::new(recorder.finish(round, at_ms, samples, born)))
}

/// The text of a round, and its lines.
pub(super) struct Whole {
    pub(super) text: Bytes,
    lines: Arc<Buffer<Line>>,
}

impl Whole {
    /// Where a line stands in the text.
    pub(super) fn place(&self, line: usize) -> Range<usize> {
        self.offset(line)..self.offset(line + 1)
    }

    fn offset(&self, line: usize) -> usize {
        self.lines
            .get(line)
            .map_or(self.text.len(), |line| line.start as usize)
    }

    /// Lines that stand one behind the other: a slice of the text.
    fn cut(&self, first: usize, end: usize) -> (Block, Lines) {
        let text = self.text.slice(self.offset(first)..self.offset(end));
        (Block::new(text), Lines::new(self.lines.clone(), first..end))
    }

    /// Lines of one family from several places: a copy.
    fn gather(&self, runs: &[(Run, usize)]) -> (Block, Lines) {
        let (mut text, mut lines) = (Vec::new(), Vec::new());
        for (run, end) in runs {
            for at in run.first..*end {
                let start =
                    u32::try_from(text.len()).expect("shorter than the text it is taken from");
                lines.push(Line {
                    start,
                    ..self.lines[at]
                });
                text.extend_from_slice(&self.text[self.offset(at)..self.offset(at + 1)]);
            }
        }
        let len = lines.len();
        (
            Block::new(text.into()),
            Lines::new(Arc::new(lines.into()), 0..len),
        )
    }
}

/// The heading with what the body or else the server says of the metric: by its name, then without `_total`, then as
/// a part of a histogram or summary.
fn describe(heading: &Heading, declared: &Metadata, metadata: &Metadata) -> Heading {
    let name = &*heading.name;
    let entry = |name: &str| declared.get(name).or_else(|| metadata.get(name));
    let described = |found: &MetadataEntry, base: Option<Arc<str>>| Heading {
        name: heading.name.clone(),
        kind: found.kind,
        base,
        help: found.help.clone(),
        utf8: heading.utf8,
    };
    if let Some(found) = entry(name).or_else(|| name.strip_suffix("_total").and_then(entry)) {
        let whole = matches!(found.kind, MetricKind::Histogram | MetricKind::Summary);
        return described(found, whole.then(|| heading.name.clone()));
    }
    for ending in ["_bucket", "_sum", "_count"] {
        let Some(base) = name.strip_suffix(ending) else {
            continue;
        };
        let Some(found) = entry(base) else { continue };
        let is_part = match found.kind {
            MetricKind::Histogram => true,
            MetricKind::Summary => ending != "_bucket",
            _ => false,
        };
        if is_part {
            return described(found, Some(base.into()));
        }
    }
    described(&MetadataEntry::default(), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::cache::FamilyState;

    #[test]
    fn names_are_described_by_themselves_then_without_their_endings() {
        let mut metadata = Metadata::default();
        for (name, kind) in [
            ("a", MetricKind::Counter),
            ("b_total", MetricKind::Counter),
            ("h", MetricKind::Histogram),
            ("s", MetricKind::Summary),
            ("g", MetricKind::Gauge),
        ] {
            metadata.insert(
                name,
                MetadataEntry {
                    kind,
                    help: name.into(),
                    ..MetadataEntry::default()
                },
            );
        }
        let check = |name: &str, kind: MetricKind, base: Option<&str>, help: &str| {
            let heading = FamilyState::new(name).heading;
            let got = describe(&heading, &Metadata::default(), &metadata);
            assert_eq!(
                (got.kind, got.base.as_deref(), &*got.help),
                (kind, base, help),
                "{name}"
            );
        };
        check("a", MetricKind::Counter, None, "a");
        check("a_total", MetricKind::Counter, None, "a");
        check("b_total", MetricKind::Counter, None, "b_total");
        check("b", MetricKind::Unknown, None, "");
        check("h_bucket", MetricKind::Histogram, Some("h"), "h");
        check("h_count", MetricKind::Histogram, Some("h"), "h");
        check("s", MetricKind::Summary, Some("s"), "s");
        check("s_sum", MetricKind::Summary, Some("s"), "s");
        check("s_bucket", MetricKind::Unknown, None, "");
        check("g_count", MetricKind::Unknown, None, "");
        check("rule:x:sum", MetricKind::Unknown, None, "");
    }
}
