//! Writes the text format 0.0.4: headers, names, label values.
//!
//! Source of the rules: the Prometheus documentation's page on exposition formats, and for quoted names its UTF-8
//! proposal.

use memchr::{memchr2, memchr3};

use crate::model::labels::{is_legacy_label_name, is_legacy_metric_name};
use crate::model::metadata::MetricKind;

/// The media type of everything that this module writes, without parameters.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Appends `# HELP` (when there is a text) and `# TYPE` of a family.
pub fn write_header(out: &mut Vec<u8>, name: &str, kind: MetricKind, help: &str) {
    if !help.is_empty() {
        out.extend_from_slice(b"# HELP ");
        write_metric_name(out, name);
        out.push(b' ');
        write_help(out, help);
        out.push(b'\n');
    }
    out.extend_from_slice(b"# TYPE ");
    write_metric_name(out, name);
    out.push(b' ');
    out.extend_from_slice(kind.as_text_word().as_bytes());
    out.push(b'\n');
}

/// Appends a metric name as it stands in a header: bare, or quoted when it is not a legacy name.
fn write_metric_name(out: &mut Vec<u8>, name: &str) {
    if is_legacy_metric_name(name) {
        out.extend_from_slice(name.as_bytes());
    } else {
        write_quoted(out, name);
    }
}

/// Appends name and labels of a series, `name{a="b"}`, as the canonical writer does: no blanks, no last comma, names
/// quoted only where they must be.
pub fn write_series<'a>(
    out: &mut Vec<u8>,
    name: &str,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    let mut open = false;
    if is_legacy_metric_name(name) {
        out.extend_from_slice(name.as_bytes());
    } else {
        out.push(b'{');
        write_quoted(out, name);
        open = true;
    }
    for (label, value) in labels {
        out.push(if open { b',' } else { b'{' });
        write_label(out, label, value);
        open = true;
    }
    if open {
        out.push(b'}');
    }
}

/// Appends `name="value"`.
pub fn write_label(out: &mut Vec<u8>, name: &str, value: &str) {
    if is_legacy_label_name(name) {
        out.extend_from_slice(name.as_bytes());
    } else {
        write_quoted(out, name);
    }
    out.push(b'=');
    write_quoted(out, value);
}

/// Appends `"text"` with backslash, quote and newline escaped.
fn write_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = memchr3(b'\\', b'"', b'\n', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\\' => b"\\\\",
            b'"' => b"\\\"",
            _ => b"\\n",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Appends a HELP text: only backslash and newline are escaped there.
fn write_help(out: &mut Vec<u8>, help: &str) {
    let mut rest = help.as_bytes();
    while let Some(at) = memchr2(b'\\', b'\n', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(if rest[at] == b'\n' { b"\\n" } else { b"\\\\" });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, labels: &[(&str, &str)]) -> String {
        let mut out = Vec::new();
        write_series(&mut out, name, labels.iter().copied());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn series_are_written_canonically() {
        assert_eq!(series("a", &[]), "a");
        assert_eq!(
            series("a:b", &[("c", "d"), ("e", "f,g")]),
            r#"a:b{c="d",e="f,g"}"#
        );
        assert_eq!(series("a", &[("b", "x\"y\\z\nw")]), r#"a{b="x\"y\\z\nw"}"#);
        assert_eq!(series("a.b", &[("c", "d")]), r#"{"a.b",c="d"}"#);
        assert_eq!(series("a.b", &[]), r#"{"a.b"}"#);
        assert_eq!(series("a", &[("k.ey", "v")]), r#"a{"k.ey"="v"}"#);
    }

    #[test]
    fn help_with_newlines_stays_one_line() {
        let mut out = Vec::new();
        write_header(&mut out, "a", MetricKind::Counter, "one\ntwo \\ \"three\"");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "# HELP a one\\ntwo \\\\ \"three\"\n# TYPE a counter\n"
        );
    }
}
