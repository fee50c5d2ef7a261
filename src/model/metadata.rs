//! What is known about a metric beside its samples: kind, help, unit.
//!
//! Comes in from `# TYPE`/`# HELP`/`# UNIT` lines and from a server's `/api/v1/metadata`; goes out on the merged page
//! and on `/api/v1/metadata`. Help and unit are shared strings, since the same text stands in many clusters.

use std::collections::HashMap;
use std::sync::Arc;

/// Kind of a metric, over both text formats and the HTTP API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only goes up, except for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count, all cumulative.
    Histogram,
    /// Buckets that go up and down (`OpenMetrics` only).
    GaugeHistogram,
    /// Quantiles, sum and count.
    Summary,
    /// Facts as labels, the value is always 1 (`OpenMetrics` only).
    Info,
    /// One of several named states (`OpenMetrics` only).
    StateSet,
    /// Not known; written `untyped` in the text format and `unknown` in `OpenMetrics` and the HTTP API.
    #[default]
    Unknown,
}

impl MetricKind {
    /// Reads the word of either text format or of the HTTP API. `None` for any other word, also in other case.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "gaugehistogram" => Self::GaugeHistogram,
            "summary" => Self::Summary,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            "unknown" | "untyped" => Self::Unknown,
            _ => return None,
        })
    }

    /// The word in text format 0.0.4, which knows five kinds; all others are `untyped` there.
    pub fn as_text_word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::GaugeHistogram | Self::Info | Self::StateSet | Self::Unknown => "untyped",
        }
    }

    /// The word in `OpenMetrics` and in `/api/v1/metadata`.
    pub fn as_word(self) -> &'static str {
        match self {
            Self::GaugeHistogram => "gaugehistogram",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
            Self::Counter | Self::Gauge | Self::Histogram | Self::Summary => self.as_text_word(),
        }
    }
}

/// What is known about one metric name. Empty help or unit means that none was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataEntry {
    /// Kind of the metric.
    pub kind: MetricKind,
    /// Help text, unescaped.
    pub help: Arc<str>,
    /// Unit, such as `seconds`.
    pub unit: Arc<str>,
}

/// Metric name → what is known about it, for one cluster. No order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(HashMap<String, MetadataEntry>);

impl Metadata {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known about `name`, written exactly so.
    pub fn get(&self, name: &str) -> Option<&MetadataEntry> {
        self.0.get(name)
    }

    /// Sets or replaces what is known about `name`.
    pub fn insert(&mut self, name: impl Into<String>, entry: MetadataEntry) {
        self.0.insert(name.into(), entry);
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MetadataEntry)> {
        self.0.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// How many names are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True where nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |word: &str, text: &str, api: &str| {
            let kind = MetricKind::from_word(word).unwrap();
            assert_eq!((kind.as_text_word(), kind.as_word()), (text, api), "{word}");
        };
        check("counter", "counter", "counter");
        check("gauge", "gauge", "gauge");
        check("histogram", "histogram", "histogram");
        check("summary", "summary", "summary");
        check("gaugehistogram", "untyped", "gaugehistogram");
        check("info", "untyped", "info");
        check("stateset", "untyped", "stateset");
        check("unknown", "untyped", "unknown");
        check("untyped", "untyped", "unknown");
        assert_eq!(MetricKind::from_word("Counter"), None);
        assert_eq!(MetricKind::from_word(""), None);
    }

    #[test]
    fn entries_are_replaced() {
        let mut metadata = Metadata::new();
        assert!(metadata.is_empty());
        metadata.insert("up", MetadataEntry::default());
        let gauge = MetadataEntry {
            kind: MetricKind::Gauge,
            help: "Is it up?".into(),
            unit: "".into(),
        };
        metadata.insert("up", gauge.clone());
        assert_eq!(
            (metadata.get("up"), metadata.get("down"), metadata.len()),
            (Some(&gauge), None, 1)
        );
        assert_eq!(metadata.iter().collect::<Vec<_>>(), [("up", &gauge)]);
    }
}
