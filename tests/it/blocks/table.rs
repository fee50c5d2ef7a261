//! The table of queries, `queries.txt`: one a line, behind its kind and lookback.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

/// Read at run time, so that another query needs no compiler.
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/blocks/queries.txt");

/// One query.
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) lookback: Lookback,
    pub(super) text: String,
}

/// How a query is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Instant,
    Range,
}

/// How old the newest sample may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookback {
    /// One interval.
    Interval,
    /// Five minutes.
    Default,
}

impl Lookback {
    pub(super) fn text(self) -> &'static str {
        match self {
            Lookback::Interval => "15s",
            Lookback::Default => "5m",
        }
    }

    pub(super) fn duration(self) -> Duration {
        match self {
            Lookback::Interval => Duration::from_secs(15),
            Lookback::Default => Duration::from_secs(300),
        }
    }
}

impl Entry {
    fn read(line: &str) -> Self {
        let mut words = line.splitn(3, ' ');
        let kind = match words.next() {
            Some("instant") => Kind::Instant,
            Some("range") => Kind::Range,
            _ => panic!("no kind: {line}"),
        };
        let lookback = match words.next() {
            Some("15s") => Lookback::Interval,
            Some("5m") => Lookback::Default,
            _ => panic!("no lookback: {line}"),
        };
        let text = words.next().expect("a query").trim().to_owned();
        Self {
            kind,
            lookback,
            text,
        }
    }

    /// Whether nothing but the lack of a series is asked for.
    pub(super) fn is_about_absence(&self) -> bool {
        self.text.starts_with("absent")
    }
}

/// All queries; no text stands there twice in the same way.
pub(super) fn read() -> Vec<Entry> {
    let text = fs::read_to_string(PATH).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entries: Vec<Entry> = lines.map(Entry::read).collect();
    let mut known = HashSet::new();
    for entry in &entries {
        assert!(
            known.insert((entry.kind, &entry.text)),
            "twice: {}",
            entry.text
        );
    }
    entries
}
