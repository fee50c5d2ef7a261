//! What can be wrong with a line: comes in from the two grammars, goes out as one sentence for a log or a status page
//! (in the spirit of upstream's, which people search for), a word for a metric label and the place to go on from.

use std::borrow::Cow;
use std::fmt;

use super::number::NumberError;

/// How much of an offending text an error shows, in bytes.
pub(super) const EXCERPT_BYTES_MAX: usize = 64;

/// A bad entry: one fault, and what is needed to pass over it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{fault}")]
pub struct ParseError {
    /// What is wrong.
    pub fault: Box<Fault>,
    /// The metric name, if the entry could be read so far: the family that the bad line stands in.
    pub name: Option<String>,
    /// Where to go on: the offset in the input just after the first newline of the bad entry, or the input's length
    /// when the body ends before one. It is 0 only for an empty input ([`Fault::NoEof`]): then there is nothing left.
    pub resume: usize,
}

impl ParseError {
    pub(super) fn new(fault: Box<Fault>, name: Option<Cow<'_, str>>, resume: usize) -> Self {
        Self {
            fault,
            name: name.map(Cow::into_owned),
            resume,
        }
    }

    /// One word for the kind of fault, as a metric label.
    pub fn reason(&self) -> &'static str {
        match &*self.fault {
            Fault::Expected { .. } => "syntax",
            Fault::Number { .. } | Fault::TimestampRange { .. } => "number",
            Fault::Utf8 { .. } => "utf8",
            Fault::NoName { .. } | Fault::NameTwice { .. } => "name",
            Fault::LabelTwice { .. } | Fault::LabelName { .. } => "label",
            Fault::NoText { .. } | Fault::Kind { .. } | Fault::Unit { .. } => "metadata",
            Fault::AfterEof | Fault::NoEof => "eof",
        }
    }
}

/// The ways in which an entry is wrong. Excerpts are cut and escaped already.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The grammar wants something else here.
    #[error("expected {what}, got {got} while parsing: {line}")]
    Expected {
        /// What upstream's message calls it.
        what: &'static str,
        /// The text that stands there instead.
        got: Excerpt,
        /// The entry up to there.
        line: Excerpt,
    },
    /// A value or a timestamp that is no number.
    #[error("cannot read {what} {text}: {source} while parsing: {line}")]
    Number {
        /// "value", "timestamp", "exemplar value" or "exemplar timestamp".
        what: &'static str,
        /// The number as it stands.
        text: Excerpt,
        /// The entry up to there.
        line: Excerpt,
        /// What Go would say.
        source: NumberError,
    },
    /// A timestamp that is infinite, `NaN` or no 64-bit count of milliseconds.
    #[error("invalid {what} {text}")]
    TimestampRange {
        /// "timestamp" or "exemplar timestamp".
        what: &'static str,
        /// The timestamp as it stands.
        text: Excerpt,
    },
    /// A quoted text or a help text that is not UTF-8.
    #[error("invalid UTF-8 {what}: {text}")]
    Utf8 {
        /// "label value", "label name", "metric name", "help text" or "unit".
        what: &'static str,
        /// The text as it stands.
        text: Excerpt,
    },
    /// Braces without a metric name before or in them.
    #[error("metric name not set while parsing: {line}")]
    NoName {
        /// The entry up to there.
        line: Excerpt,
    },
    /// A second metric name inside the braces.
    #[error("metric name already set while parsing: {line}")]
    NameTwice {
        /// The entry up to there.
        line: Excerpt,
    },
    /// A label that the sample already has.
    #[error("label name {label} is not unique while parsing: {line}")]
    LabelTwice {
        /// The name of the label.
        label: Excerpt,
        /// The start of the entry.
        line: Excerpt,
    },
    /// A label called `__name__`, or nothing.
    #[error("invalid label name {label} while parsing: {line}")]
    LabelName {
        /// The name of the label.
        label: Excerpt,
        /// The start of the entry.
        line: Excerpt,
    },
    /// A metadata line that ends too early (`OpenMetrics`).
    #[error("expected text in {word}, got {got}")]
    NoText {
        /// `HELP`, `TYPE` or `UNIT`.
        word: &'static str,
        /// What stands behind the name.
        got: Excerpt,
    },
    /// A word that this format does not know as a type.
    #[error("invalid metric type {word}")]
    Kind {
        /// The word.
        word: Excerpt,
    },
    /// A unit in which the name does not end.
    #[error("unit {unit} not a suffix of metric {name}")]
    Unit {
        /// The unit.
        unit: Excerpt,
        /// The family.
        name: Excerpt,
    },
    /// Something stands behind `# EOF`.
    #[error("unexpected data after # EOF")]
    AfterEof,
    /// The body ends without `# EOF`, or within a line.
    #[error("data does not end with # EOF")]
    NoEof,
}

/// A piece of input, safe to show: quoted, escaped, at most 64 bytes of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    /// Cuts `text` after 64 bytes, or a little earlier so as not to cut a character in two.
    pub(super) fn of(text: &[u8]) -> Self {
        use fmt::Write as _;
        let mut end = text.len().min(EXCERPT_BYTES_MAX);
        while end > 0
            && text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80)
            && EXCERPT_BYTES_MAX - end < 3
        {
            end -= 1;
        }
        let mut shown = String::from('"');
        for chunk in text[..end].utf8_chunks() {
            // Debug escapes quotes, control characters and what does not print, such as changes of writing direction.
            let quoted = format!("{:?}", chunk.valid());
            shown.push_str(&quoted[1..quoted.len() - 1]);
            write!(shown, "{}", chunk.invalid().escape_ascii()).expect("a String takes all text");
        }
        shown.push_str(if end < text.len() { "…\"" } else { "\"" });
        Self(shown)
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], want: &str) {
        assert_eq!(Excerpt::of(text).to_string(), want);
    }

    #[test]
    fn excerpts_are_escaped_and_cut() {
        check(b"", r#""""#);
        check(b"a\"b\\c\n\0", r#""a\"b\\c\n\0""#);
        check(b"it's \xff \xc3\xa9", "\"it's \\xff é\"");
        check("\u{202e}".as_bytes(), r#""\u{202e}""#);
        check(&[b'x'; 64], &format!("\"{}\"", "x".repeat(64)));
        check(&[b'x'; 65], &format!("\"{}…\"", "x".repeat(64)));
        check(
            format!("{}é!", "x".repeat(63)).as_bytes(),
            &format!("\"{}…\"", "x".repeat(63)),
        );
        check(&[0x80; 65], &format!("\"{}…\"", "\\x80".repeat(61)));
    }
}
