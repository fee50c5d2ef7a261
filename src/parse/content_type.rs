//! Which format a body is in: comes in as the `Content-Type` header, goes out as a [`Format`] or as a refusal. Since
//! version 3, Prometheus does not guess, and nor do we: a login page must not be read as metrics.

use super::Format;

/// A body that we cannot read, by its header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownContentType {
    /// No header, or an empty one.
    #[error("the answer has no Content-Type")]
    Missing,
    /// Not the form of a media type, or a parameter given twice with two values.
    #[error("the answer's Content-Type {0:?} is malformed")]
    Malformed(String),
    /// Another type than the two.
    #[error(
        "the answer's Content-Type {0:?} is neither text/plain nor application/openmetrics-text"
    )]
    Unsupported(String),
}

impl Format {
    /// Reads the header as Go's `mime.ParseMediaType` does, and knows two types of Prometheus' three (the protobuf one
    /// is not text). Parameters, the version among them, must be well-formed and decide nothing.
    pub fn from_content_type(header: Option<&str>) -> Result<Format, UnknownContentType> {
        let header = header
            .map(str::trim)
            .filter(|header| !header.is_empty())
            .ok_or(UnknownContentType::Missing)?;
        let malformed = || UnknownContentType::Malformed(header.chars().take(64).collect());
        let (media_type, parameters) = header.split_once(';').unwrap_or((header, ""));
        let media_type = media_type.trim().to_ascii_lowercase();
        let (kind, subtype) = media_type.split_once('/').ok_or_else(malformed)?;
        if !is_token(kind) || !is_token(subtype) || !are_parameters(parameters) {
            return Err(malformed());
        }
        match &*media_type {
            "text/plain" => Ok(Format::Text),
            "application/openmetrics-text" => Ok(Format::OpenMetrics),
            _ => Err(UnknownContentType::Unsupported(
                media_type.chars().take(64).collect(),
            )),
        }
    }
}

/// `name=value` with semicolons between; a trailing one is fine, a name may come back only with the same value.
fn are_parameters(text: &str) -> bool {
    let mut seen: Vec<(String, &str)> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once('=') else {
            return false;
        };
        let name = name.trim().to_ascii_lowercase();
        let Some((value, after)) = parameter_value(after.trim_start()) else {
            return false;
        };
        if !is_token(&name)
            || seen
                .iter()
                .any(|(other, theirs)| *other == name && *theirs != value)
        {
            return false;
        }
        seen.push((name, value));
        let after = after.trim_start();
        rest = match after.strip_prefix(';') {
            Some(next) => next.trim_start(),
            None if after.is_empty() => after,
            None => return false,
        };
    }
    true
}

/// A token or a quoted string, and what stands behind it.
fn parameter_value(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c| !is_token_char(c)).unwrap_or(text.len());
        return (end > 0).then(|| text.split_at(end));
    };
    let mut escaped = false;
    let end = quoted.find(|c| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    })?;
    Some((&quoted[..end], &quoted[end + 1..]))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_char)
}

/// RFC 9110, 5.6.2.
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_types() {
        let check = |header: &str, want| {
            assert_eq!(
                Format::from_content_type(Some(header)),
                Ok(want),
                "{header:?}"
            );
        };
        check("text/plain", Format::Text);
        check(" Text/Plain ", Format::Text);
        check("text/plain;", Format::Text);
        check("text/plain; version=0.0.4", Format::Text);
        check(
            "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8",
            Format::Text,
        );
        check(
            "text/plain;version=1.0.0;charset=\"a;\\\"b\" ; x=y",
            Format::Text,
        );
        check("text/plain; charset=utf-8; Charset=utf-8", Format::Text);
        check("application/openmetrics-text", Format::OpenMetrics);
        check(
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::OpenMetrics,
        );
    }

    #[test]
    fn unknown_types() {
        let check = |header: Option<&str>, want: &str| {
            let err = Format::from_content_type(header).unwrap_err().to_string();
            assert!(err.contains(want), "{header:?}: {err}");
        };
        check(None, "no Content-Type");
        check(Some(""), "no Content-Type");
        check(Some("  "), "no Content-Type");
        check(Some("text"), "malformed");
        check(Some("invalid/"), "malformed");
        check(Some("invalid/invalid/invalid"), "malformed");
        check(Some("/"), "malformed");
        check(Some("text/plain text/html"), "malformed");
        check(Some("text/plain; version"), "malformed");
        check(Some("text/plain; version="), "malformed");
        check(Some("text/plain; version=\"1"), "malformed");
        check(Some("text/plain; a=b c=d"), "malformed");
        check(
            Some("application/openmetrics-text; charset=UTF-8; charset=utf-8"),
            "malformed",
        );
        check(Some("text/html"), "\"text/html\" is neither");
        check(
            Some("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily"),
            "protobuf",
        );
    }
}
