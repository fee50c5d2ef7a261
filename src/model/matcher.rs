//! One condition on one label, as it stands in a selector: `name="value"`, `!=`, `=~`, `!~`.
//!
//! Comes in: name, operator and value as text (`promql` reads them). Goes out: yes or no for a label's value. A missing
//! label counts as the empty value, so that `{foo=""}` selects series without `foo`.

use std::fmt;

use super::labels::is_legacy_label_name;
use super::quote::quoted;
use super::regex::{REGEX_BYTES_MAX, Regex, RegexError};

/// Operator of a matcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as written in a selector.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// A condition on the value of one label. Two matchers are equal when name, operator and value are.
#[derive(Clone, Debug)]
pub struct Matcher {
    op: MatchOp,
    name: String,
    value: String,
    regex: Option<Regex>, // Some for `=~` and `!~`
}

impl Matcher {
    /// Compiles the value where the operator asks for a regular expression; that is the only thing that can fail.
    pub fn new(
        op: MatchOp,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Self, RegexError> {
        Self::within(op, name, value, REGEX_BYTES_MAX)
    }

    /// The same with so many bytes of room for the expression: see [`Regex::within`].
    pub fn within(
        op: MatchOp,
        name: impl Into<String>,
        value: impl Into<String>,
        regex_bytes_max: usize,
    ) -> Result<Self, RegexError> {
        let value = value.into();
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Regex::within(&value, regex_bytes_max)?),
        };
        Ok(Self {
            op,
            name: name.into(),
            value,
            regex,
        })
    }

    /// Name of the label, `__name__` for the metric's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The operator.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value as written: a text, or a regular expression.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The compiled value of `=~` and `!~`, for an index that wants [`Regex::literals`].
    pub fn regex(&self) -> Option<&Regex> {
        self.regex.as_ref()
    }

    /// The bytes that its compiled value takes at most.
    pub fn regex_bytes(&self) -> usize {
        self.regex.as_ref().map_or(0, Regex::size_bytes)
    }

    /// Whether a label with this value is selected; pass `""` for a missing label.
    pub fn matches(&self, value: &str) -> bool {
        let found = match &self.regex {
            Some(regex) => regex.is_match(value),
            None => self.value == value,
        };
        found == matches!(self.op, MatchOp::Equal | MatchOp::Regex)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op && self.name == other.name && self.value == other.value
    }
}

impl Eq for Matcher {}

/// `name="value"`, the value quoted like Go's `%q`, the name too where it is not a legacy name.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_legacy_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            write!(f, "{}", quoted(&self.name))?;
        }
        write!(f, "{}{}", self.op.as_str(), quoted(&self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_values() {
        let check = |op, pattern: &str, value: &str, want: bool| {
            assert_eq!(
                Matcher::new(op, "l", pattern).unwrap().matches(value),
                want,
                "{op:?} {pattern:?} {value:?}"
            );
        };
        check(MatchOp::Equal, "bar", "bar", true);
        check(MatchOp::Equal, "bar", "foo-bar", false);
        check(MatchOp::Equal, "", "", true);
        check(MatchOp::NotEqual, "bar", "bar", false);
        check(MatchOp::NotEqual, "bar", "", true);
        check(MatchOp::Regex, "bar", "bar", true);
        check(MatchOp::Regex, "bar", "foo-bar", false);
        check(MatchOp::Regex, ".*bar", "foo-bar", true);
        check(MatchOp::Regex, "a.b", "a\nb", true);
        check(MatchOp::Regex, "foo|", "", true);
        check(MatchOp::Regex, ".+", "", false);
        check(MatchOp::NotRegex, "bar", "bar", false);
        check(MatchOp::NotRegex, "bar", "foo-bar", true);
        check(MatchOp::NotRegex, ".*bar", "foo-bar", false);
        check(MatchOp::NotRegex, ".+", "", true);
    }

    #[test]
    fn displays_as_prometheus_does() {
        let check = |op, name: &str, value: &str, want: &str| {
            assert_eq!(Matcher::new(op, name, value).unwrap().to_string(), want);
        };
        check(MatchOp::Equal, "foo", "bar", r#"foo="bar""#);
        check(MatchOp::NotEqual, "foo", "", r#"foo!="""#);
        check(MatchOp::Regex, "__name__", r"\d+", r#"__name__=~"\\d+""#);
        check(MatchOp::NotRegex, "foo", "a\nb\"", r#"foo!~"a\nb\"""#);
        check(MatchOp::Equal, "a.b", "x", r#""a.b"="x""#);
        check(MatchOp::Equal, "", "x", r#"""="x""#);
        check(MatchOp::Equal, "a:b", "x", r#""a:b"="x""#);
    }

    #[test]
    fn refuses_a_bad_regex_only_where_it_is_one() {
        let text = Matcher::new(MatchOp::Regex, "a", "abc(def")
            .unwrap_err()
            .to_string();
        assert_eq!(text, "error parsing regexp: missing closing ): `abc(def`");
        assert!(Matcher::new(MatchOp::Equal, "a", "abc(def").is_ok());
        assert_ne!(
            Matcher::new(MatchOp::Equal, "a", "b").unwrap(),
            Matcher::new(MatchOp::Regex, "a", "b").unwrap()
        );
    }
}
