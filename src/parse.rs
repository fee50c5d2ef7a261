//! Exposition text, read entry by entry: comes in as a window of a body and its format, goes out as entries that
//! borrow from the window. Nothing is built that a caller may not need: labels are slices of the line unless an
//! escape stands in them, values stay text, timestamps become milliseconds.
//!
//! The grammar is that of Prometheus' own parsers (`model/textparse`), to the letter, since whatever we let through a
//! central Prometheus has to read again; in addition every sample is checked for what Prometheus' scrape loop refuses
//! afterwards: a label given twice, `__name__` as a label, an empty name, bytes that are not UTF-8.
//!
//! ```text
//! parse.rs          the entries, and `next`
//! content_type.rs   header → format
//! text.rs           lines of the text format 0.0.4 (and 1.0.0, which adds quoted names)
//! openmetrics.rs    lines of OpenMetrics 1.0
//! series.rs         what both share of a sample: name, labels, `plain`
//! cursor.rs         the place in the window; quoted strings and their escapes
//! number.rs         values and timestamps
//! finished.rs       the labels of lines that we wrote ourselves
//! error.rs          what can be wrong, and how it is said
//! ```

use std::borrow::Cow;

use crate::model::metadata::MetricKind;

mod content_type;
mod cursor;
mod error;
pub mod finished;
pub mod number;
mod openmetrics;
mod series;
mod text;

#[cfg(test)]
mod against_others;
#[cfg(test)]
mod upstream_tables;

pub use content_type::UnknownContentType;
pub use error::{Fault, ParseError};

use cursor::{Cursor, Stop};

/// The two text formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, all versions.
    Text,
    /// `OpenMetrics` text.
    OpenMetrics,
}

/// One line, mostly: quoted strings of the text format may go over several.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    /// Nothing but blanks.
    Blank,
    /// A `#` line that is neither `HELP` nor `TYPE`.
    Comment,
    /// `# HELP name text`.
    Help {
        /// The family, unescaped.
        name: Cow<'a, str>,
        /// The text, unescaped; may be empty.
        text: Cow<'a, str>,
    },
    /// `# TYPE name word`.
    Type {
        /// The family, unescaped.
        name: Cow<'a, str>,
        /// Its type; `untyped` and `unknown` are one.
        kind: MetricKind,
    },
    /// `# UNIT name unit` (`OpenMetrics`).
    Unit {
        /// The family, unescaped; ends in `_unit`.
        name: Cow<'a, str>,
        /// The unit; may be empty.
        unit: Cow<'a, str>,
    },
    /// The input is at its end, rightly: the text format's is empty, that of `OpenMetrics` ended in `# EOF`. There is
    /// nothing after it.
    Eof,
    /// A line with a value.
    Sample(Sample<'a>),
}

/// One sample, borrowed from its line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Name and labels exactly as written: from the first byte of the name or brace to the end of the name or the
    /// closing brace, without trailing blanks. UTF-8; may hold newlines (inside quotes).
    pub key: &'a [u8],
    /// The metric name, unescaped; never empty.
    pub name: Cow<'a, str>,
    /// The offset in `key` just after the bare name; 0 when the name stands quoted inside the braces.
    pub name_end: usize,
    /// The labels as they stand, so unsorted; names are unique and none is empty or `__name__`, values may be empty.
    pub labels: Vec<Label<'a>>,
    /// The text of the value; [`number::parse`] reads it without an error.
    pub value: &'a [u8],
    /// The timestamp in milliseconds, if the line has one.
    pub timestamp_ms: Option<i64>,
    /// Whether an exemplar stands behind the sample (`OpenMetrics`); it is checked and not kept.
    pub exemplar: bool,
}

/// One label of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// The name, unescaped.
    pub name: Cow<'a, str>,
    /// The value, unescaped; may be empty, which Prometheus takes for no label.
    pub value: Cow<'a, str>,
    /// The offset in [`Sample::key`] just past the closing quote of the value.
    pub end: usize,
    /// Whether the bytes of the key from the end of the bare name (or of the label before) to `end` are exactly what
    /// we would write: `{` or `,`, bare name, `="`, value with only the three escapes that must be, `"`; no blanks, no
    /// raw newline. Never true for the first label behind a quoted metric name.
    pub plain: bool,
}

/// What [`next`] found.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<'a> {
    /// One whole entry.
    Entry {
        /// The entry.
        entry: Entry<'a>,
        /// How many bytes of the input it took, its newline included. 0 only for [`Entry::Eof`].
        used: usize,
    },
    /// The input ends where the entry could still go on: call again from the same place with more bytes, or with
    /// `at_end`. Never returned when `at_end` is set.
    More,
}

/// Reads the entry at the start of `input`, which is a window of a body that begins at the start of a line. `at_end`
/// says that the body ends with the window; a missing last newline is then accepted where upstream does.
///
/// The answer does not depend on where the window ends: it is `More` or what the whole body would give. So it is also
/// `More` when a line is surely wrong but its newline, from which to go on ([`ParseError::resume`]), is not there yet.
/// How much a caller is ready to collect for one entry is the caller's limit to set.
///
/// ```
/// use tributary::parse::{self, Entry, Format, Step};
///
/// let Ok(Step::Entry { entry: Entry::Sample(sample), used }) = parse::next(Format::Text, b"up{job=\"a\"} 1\n", true) else {
///     unreachable!()
/// };
/// assert_eq!((sample.key, sample.value, used), (&b"up{job=\"a\"}"[..], &b"1"[..], 14));
/// ```
pub fn next(format: Format, input: &[u8], at_end: bool) -> Result<Step<'_>, ParseError> {
    let mut cursor = Cursor::new(input, at_end);
    let result = match format {
        Format::Text => text::entry(&mut cursor),
        Format::OpenMetrics => openmetrics::entry(&mut cursor),
    };
    let name = cursor.name.filter(|name| !name.is_empty());
    match result {
        Ok(entry) => Ok(Step::Entry {
            entry,
            used: cursor.at,
        }),
        Err(Stop::More) => Ok(Step::More),
        Err(Stop::Bad(fault)) => match memchr::memchr(b'\n', input) {
            Some(newline) => Err(ParseError::new(fault, name, newline + 1)),
            None if at_end => Err(ParseError::new(fault, name, input.len())),
            None => Ok(Step::More),
        },
    }
}
