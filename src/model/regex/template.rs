//! What stands in for a match: text with `$1`, `${name}` and `$$`, by the rules of Go's `Regexp.Expand`.
//!
//! Comes in: the text as written, and the names of the pattern's groups. Goes out: a list of parts, so that a rule that
//! is applied to a million series looks at the dollar signs once.
//!
//! A name is the longest run of letters, digits and `_`: `$1x` is the group `1x`. A group that the pattern does not
//! have, or that took no part in the match, stands for nothing. A `$` that begins no name is a dollar sign.

use std::sync::LazyLock;

use super::Captures;

/// A replacement text, prepared for one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Numbers of groups, the first one that took part counts. (Several groups may have the same name.)
    Groups(Vec<usize>),
}

impl Template {
    /// `names` are those of the groups 1, 2, …
    pub(super) fn new(text: &str, names: &[String]) -> Self {
        let mut template = Self { parts: vec![] };
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            template.push_text(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                template.push_text("$");
                rest = after;
            } else if let Some((name, after)) = group_name(rest) {
                template.parts.push(Part::Groups(groups(name, names)));
                rest = after;
            } else {
                template.push_text("$");
            }
        }
        template.push_text(rest);
        template
    }

    fn push_text(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }

    /// The text, where it is the same for every match.
    pub fn as_fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text for one match to `out`.
    pub fn expand(&self, captures: &Captures<'_>, out: &mut String) {
        self.pieces(captures).for_each(|piece| out.push_str(piece));
    }

    /// How many bytes [`expand`](Self::expand) appends.
    pub fn expanded_bytes(&self, captures: &Captures<'_>) -> usize {
        self.pieces(captures).map(str::len).sum()
    }

    fn pieces<'p>(&'p self, captures: &'p Captures<'_>) -> impl Iterator<Item = &'p str> {
        self.parts.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Groups(groups) => {
                let mut taken = groups.iter().filter_map(|group| captures.get(*group));
                taken.next().unwrap_or_default()
            }
        })
    }
}

/// Reads `1`, `name` or `{name}` behind a dollar sign.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{');
    let from = inner.unwrap_or(text);
    let end = from.find(|char| !is_name_char(char)).unwrap_or(from.len());
    let (name, rest) = from.split_at(end);
    let rest = if inner.is_some() {
        rest.strip_prefix('}')?
    } else {
        rest
    };
    (!name.is_empty()).then_some((name, rest))
}

/// `_`, a letter (L) or a decimal digit (Nd), of any script.
fn is_name_char(char: char) -> bool {
    static LETTER_OR_DIGIT: LazyLock<regex::Regex> =
        LazyLock::new(|| regex::Regex::new(r"[\p{L}\p{Nd}]").expect("a constant pattern compiles"));
    match char {
        '_' => true,
        _ if char.is_ascii() => char.is_ascii_alphanumeric(),
        _ => LETTER_OR_DIGIT.is_match(char.encode_utf8(&mut [0; 4])),
    }
}

fn groups(name: &str, names: &[String]) -> Vec<usize> {
    let is_number =
        name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if is_number && let Ok(number) = name.parse() {
        return vec![number];
    }
    names
        .iter()
        .zip(1..)
        .filter(|(have, _)| *have == name)
        .map(|(_, number)| number)
        .collect()
}
