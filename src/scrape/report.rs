//! What a round tells of itself: samples that left it, samples that did not and why, and why it failed.

/// Why a sample that entered a round did not leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// The line cannot be read.
    BadLine,
    /// Another line of its family cannot be read.
    Quarantined,
    /// A relabelling rule said so.
    Relabel,
    /// No metric name is left.
    NoName,
    /// The same series stood further up in the body.
    Duplicate,
    /// The timestamp lies more than ten minutes ahead.
    Future,
    /// Its cluster label belongs to another cluster (`cluster_label_conflict: honor`).
    Cluster,
}

impl Dropped {
    /// All reasons, in the order of [`Report::dropped`].
    pub const ALL: [Self; 7] = [
        Self::BadLine,
        Self::Quarantined,
        Self::Relabel,
        Self::NoName,
        Self::Duplicate,
        Self::Future,
        Self::Cluster,
    ];

    /// The value of the metric's label `reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BadLine => "bad_line",
            Self::Quarantined => "quarantined",
            Self::Relabel => "relabel",
            Self::NoName => "no_name",
            Self::Duplicate => "duplicate",
            Self::Future => "future",
            Self::Cluster => "cluster_label",
        }
    }
}

/// Why a round gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoundError {
    /// The body ends in the middle of a line.
    #[error("the body ends in the middle of a line ({0:?}): the connection was cut")]
    Cut(String),
    /// An OpenMetrics body without its last line.
    #[error("the body does not end with # EOF: it was cut")]
    NoEof,
    /// A line cannot be read, and the cluster's `on_bad_line` is `fail`, or there are too many such families.
    #[error("cannot read a line: {0}")]
    BadLine(String),
    /// More series than allowed.
    #[error("{found} series, more than series_limit {limit}")]
    SeriesLimit {
        /// Series that would have been published.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A series exceeds one of the label limits.
    #[error("{0}")]
    LabelLimit(String),
    /// The text of the round would not fit in 4 GiB.
    #[error("more than 4 GiB of text; lower body_size_limit or select less")]
    TooLarge,
}

impl RoundError {
    /// The class of the error, as it stands in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Cut(_) | Self::NoEof => "cut",
            Self::BadLine(_) => "bad_line",
            Self::SeriesLimit { .. } => "series_limit",
            Self::LabelLimit(_) => "label_limit",
            Self::TooLarge => "too_large",
        }
    }
}

/// What happened in a round, in samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Samples that left the round.
    pub kept: u64,
    /// Samples that did not, by [`Dropped::ALL`].
    pub dropped: [u64; Dropped::ALL.len()],
    /// Lines that stood where they stood in the round before.
    pub matched: u64,
    /// Series that were not known before.
    pub added: u64,
    /// Series that were known and did not come again.
    pub removed: u64,
    /// The first bad line's error, if there was a bad line.
    pub first_bad_line: Option<String>,
    /// Metric names quarantined.
    pub quarantined: Vec<String>,
}

impl Report {
    pub(super) fn drop(&mut self, reason: Dropped) {
        self.dropped[reason as usize] += 1;
    }

    /// Samples dropped for a reason.
    pub fn dropped(&self, reason: Dropped) -> u64 {
        self.dropped[reason as usize]
    }
}
