//! Names outside the legacy set, written for clients that cannot read quoted names.
//!
//! Schemes and their names: Prometheus' `model.EscapingScheme`, asked for by the `escaping` parameter of `Accept`.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::text::write_series;
use crate::model::labels::is_legacy_metric_name;
use crate::parse::{self, Entry, Format, Step};

/// How a client wants such names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// As they are, quoted.
    Utf8,
    /// Every other character becomes `_`. What a client gets that asks for nothing.
    #[default]
    Underscores,
    /// `.` becomes `_dot_`, `_` becomes `__`, every other character `__`.
    Dots,
    /// `U__` before the name, other characters as `_hex_`, `_` as `__`.
    Values,
}

impl Escaping {
    /// The scheme that an `Accept` header asks for: from any of its clauses, as Prometheus' handler does.
    pub fn from_accept(header: &str) -> Self {
        let parameters = header.split([',', ';']).map(str::trim);
        let scheme = parameters
            .filter_map(|parameter| parameter.strip_prefix("escaping="))
            .find_map(Self::from_name);
        scheme.unwrap_or_default()
    }

    fn from_name(name: &str) -> Option<Self> {
        match name.trim_matches('"') {
            "allow-utf-8" => Some(Self::Utf8),
            "underscores" => Some(Self::Underscores),
            "dots" => Some(Self::Dots),
            "values" => Some(Self::Values),
            _ => None,
        }
    }

    /// The name of the scheme, as it stands in `Content-Type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}

/// A metric or label name under a scheme.
pub fn name(name: &str, scheme: Escaping) -> Cow<'_, str> {
    let legacy = is_legacy_metric_name(name);
    match scheme {
        Escaping::Utf8 => Cow::Borrowed(name),
        Escaping::Underscores | Escaping::Values if legacy => Cow::Borrowed(name),
        Escaping::Underscores => Cow::Owned(map(name, |out, _| out.push('_'))),
        Escaping::Dots => Cow::Owned(map(&name.replace('_', "__"), |out, c| {
            out.push_str(if c == '.' { "_dot_" } else { "__" });
        })),
        Escaping::Values => Cow::Owned(format!(
            "U__{}",
            map(&name.replace('_', "__"), |out, c| {
                write!(out, "_{:x}_", u32::from(c)).expect("a String takes all");
            })
        )),
    }
}

/// The name with `other` called for each character that a legacy name may not have in its place.
fn map(name: &str, other: impl Fn(&mut String, char)) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for (at, c) in name.chars().enumerate() {
        let allowed =
            c.is_ascii_alphabetic() || c == '_' || c == ':' || at > 0 && c.is_ascii_digit();
        if allowed {
            out.push(c);
        } else {
            other(&mut out, c);
        }
    }
    out
}

/// Finished lines with all their names under a scheme.
pub fn rewrite(lines: &[u8], scheme: Escaping) -> Vec<u8> {
    let mut out = Vec::with_capacity(lines.len() + lines.len() / 8);
    let mut rest = lines;
    while !rest.is_empty() {
        let step = parse::next(Format::Text, rest, true);
        let Ok(Step::Entry {
            entry: Entry::Sample(sample),
            used,
        }) = step
        else {
            debug_assert!(false, "finished text holds samples only");
            break;
        };
        let labels: Vec<_> = sample
            .labels
            .iter()
            .map(|label| (name(&label.name, scheme), &*label.value))
            .collect();
        write_series(
            &mut out,
            &name(&sample.name, scheme),
            labels.iter().map(|(name, value)| (&**name, *value)),
        );
        out.extend_from_slice(&rest[sample.key.len()..used]);
        rest = &rest[used..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_prometheus_does() {
        let check = |input: &str, want: [&str; 3]| {
            let got = [Escaping::Underscores, Escaping::Dots, Escaping::Values]
                .map(|scheme| name(input, scheme));
            assert_eq!(got, want.map(Cow::Borrowed), "{input}");
        };
        check("up", ["up", "up", "up"]);
        check("a:b_c", ["a:b_c", "a:b__c", "a:b_c"]);
        check(
            "http.status",
            ["http_status", "http_dot_status", "U__http_2e_status"],
        );
        check(
            "a_b.c é",
            ["a_b_c__", "a__b_dot_c____", "U__a__b_2e_c_20__e9_"],
        );
        check("1x", ["_x", "__x", "U___31_x"]);
    }

    #[test]
    fn lines_keep_values_and_timestamps() {
        let lines = b"{\"a.b\",\"c.d\"=\"e\\\"f\",g=\"h\"} 1.5 1000\nplain{x=\"y\"} 2 3\n";
        let want = "a_b{c_d=\"e\\\"f\",g=\"h\"} 1.5 1000\nplain{x=\"y\"} 2 3\n";
        assert_eq!(
            String::from_utf8(rewrite(lines, Escaping::Underscores)).unwrap(),
            want
        );
    }

    #[test]
    fn the_scheme_comes_from_any_clause() {
        let check = |header: &str, want: Escaping| {
            assert_eq!(Escaping::from_accept(header), want, "{header}");
        };
        check("", Escaping::Underscores);
        check("*/*", Escaping::Underscores);
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain",
            Escaping::Utf8,
        );
        check(
            "text/plain; version=0.0.4; escaping=values",
            Escaping::Values,
        );
        check("text/plain; escaping=nonsense", Escaping::Underscores);
    }
}
