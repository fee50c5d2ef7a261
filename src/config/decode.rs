//! Reads the tree of a file key by key: nodes in, values out; what is wrong goes to [`Problems`] and reading goes on.
//!
//! A value that is absent and one that is wrong are both `None`: for the wrong one a problem has been noted, so that
//! no configuration comes out at the end and the default taken meanwhile does not matter.

use std::collections::HashMap;

use super::problem::Problems;
use super::tree::{Entry, Node, Value};

/// A value in the file together with its place.
#[derive(Clone)]
pub(super) struct Field<'t> {
    node: &'t Node,
    line: u64,
    path: String,
    problems: &'t Problems,
}

impl<'t> Field<'t> {
    /// The file as a whole, whose path is empty.
    pub(super) fn root(node: &'t Node, problems: &'t Problems) -> Self {
        Self {
            node,
            line: node.line,
            path: String::new(),
            problems,
        }
    }

    /// Line of the key, or of the item in a list.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The key, without the path to it.
    pub(super) fn key(&self) -> &str {
        self.path
            .rsplit_once('.')
            .map_or(&self.path, |(_, key)| key)
    }

    /// What stands here, whatever it is.
    pub(super) fn node(&self) -> &'t Node {
        self.node
    }

    /// The text of a scalar; nothing is noted when it is none.
    pub(super) fn scalar(&self) -> Option<&'t str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entries of a mapping; none when it is no mapping, of which nothing is noted.
    pub(super) fn entries_if_any(&self) -> Vec<(&'t str, Field<'t>)> {
        match &self.node.value {
            Value::Map(_) => self.entries().unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Notes what is wrong with this value.
    pub(super) fn fail(&self, text: impl Into<String>) {
        self.problems.at(self.line, &self.path, text);
    }

    /// Whether nothing stands here (`key:`, `~`, `null`): the same as leaving the key out.
    pub(super) fn is_null(&self) -> bool {
        self.node.value == Value::Null
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&'t str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            Value::Null => self.wrong("has no value; write one or leave the item out"),
            Value::List(_) => self.wrong("is a list; write a single value"),
            Value::Map(_) => self.wrong("is a mapping; write a single value"),
        }
    }

    /// A scalar through `parse`, whose error is a sentence to stand behind the key.
    pub(super) fn parse<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(self.text()?) {
            Ok(value) => Some(value),
            Err(text) => self.wrong(&text),
        }
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Option<Vec<Field<'t>>> {
        match &self.node.value {
            Value::List(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, node)| self.item(index, node))
                    .collect(),
            ),
            Value::Text(text) => self.wrong(&format!(
                "is a single value; write a list: [{}]",
                quoted(text)
            )),
            Value::Map(_) => {
                self.wrong("is a mapping; write a list, each item on a line of its own behind `- `")
            }
            Value::Null => self.wrong("has no value; write a list"),
        }
    }

    /// A list of scalars through `parse`; `None` when the value is no list, and without the items that are wrong.
    pub(super) fn list<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        Some(
            self.items()?
                .iter()
                .filter_map(|item| item.parse(&parse))
                .collect(),
        )
    }

    /// The entries of a mapping, each key once.
    pub(super) fn entries(&self) -> Option<Vec<(&'t str, Field<'t>)>> {
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            // An empty file lacks its keys, and is told so key by key.
            Value::Null if self.path.is_empty() => &[],
            Value::Null => {
                return self
                    .wrong("has no value; write `key: value` lines below it or leave it out");
            }
            _ => return self.wrong("is not a mapping; write `key: value` lines below it"),
        };
        let mut out: Vec<(&str, Field<'t>)> = Vec::with_capacity(entries.len());
        let mut lines = HashMap::with_capacity(entries.len());
        for entry in entries {
            let field = self.entry(entry);
            match lines.insert(&*entry.key, field.line) {
                Some(first) => {
                    lines.insert(&entry.key, first);
                    field.fail(format!(
                        "stands here twice, first on line {first}; keep one of them"
                    ));
                }
                None => out.push((&entry.key, field)),
            }
        }
        Some(out)
    }

    /// A mapping whose keys are fixed: each key outside `known` is refused. `hints` tells what to write instead of
    /// keys that users of Prometheus are likely to try.
    pub(super) fn section(&self, known: &[&[&str]], hints: &[(&str, &str)]) -> Option<Section<'t>> {
        let entries = self.entries()?;
        for (key, field) in &entries {
            if !known.iter().any(|keys| keys.contains(key)) {
                field.fail(unknown(key, known, hints));
            }
        }
        Some(Section {
            field: self.clone(),
            entries,
        })
    }

    fn wrong<T>(&self, text: &str) -> Option<T> {
        self.fail(text);
        None
    }

    fn item(&self, index: usize, node: &'t Node) -> Field<'t> {
        Field {
            node,
            line: node.line,
            path: format!("{}[{index}]", self.path),
            problems: self.problems,
        }
    }

    fn entry(&self, entry: &'t Entry) -> Field<'t> {
        let dot = if self.path.is_empty() { "" } else { "." };
        let path = format!("{}{dot}{}", self.path, entry.key);
        Field {
            node: &entry.node,
            line: entry.line,
            path,
            problems: self.problems,
        }
    }
}

/// A mapping with fixed keys.
pub(super) struct Section<'t> {
    field: Field<'t>,
    entries: Vec<(&'t str, Field<'t>)>,
}

impl<'t> Section<'t> {
    /// The value of `key`; `None` when the key is absent or has no value.
    pub(super) fn get(&self, key: &str) -> Option<&Field<'t>> {
        self.entries
            .iter()
            .find(|(name, field)| *name == key && !field.is_null())
            .map(|(_, field)| field)
    }

    /// The value of `key`, which must be there: `remedy` tells what to write.
    pub(super) fn require(&self, key: &str, remedy: &str) -> Option<&Field<'t>> {
        let found = self.get(key);
        if found.is_none() {
            self.fail(format!("{key} is missing; {remedy}"));
        }
        found
    }

    /// A scalar through `parse`.
    pub(super) fn read<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.get(key)?.parse(parse)
    }

    /// `true` or `false`, in the spellings of YAML 1.1 that Prometheus accepts too.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.read(key, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(format!(
                "{text:?} is neither true nor false; write one of them"
            )),
        })
    }

    /// A whole number from 0.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.read(key, |text| {
            text.parse()
                .map_err(|_| format!("{text:?} is not a whole number from 0; write digits only"))
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        self.read(key, |text| {
            let found = words
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, value)| *value);
            found.ok_or_else(|| {
                format!(
                    "{text:?} is not known; write {}",
                    one_of(words.iter().map(|(word, _)| *word))
                )
            })
        })
    }

    /// Notes what is wrong with the mapping as a whole.
    pub(super) fn fail(&self, text: impl Into<String>) {
        self.field.fail(text);
    }
}

/// `a, b or c`.
fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// The text for a key that is not known here: the hint, the nearest known key, or all of them.
fn unknown(key: &str, known: &[&[&str]], hints: &[(&str, &str)]) -> String {
    if let Some((_, hint)) = hints.iter().find(|(name, _)| *name == key) {
        return format!("is not a key here; {hint}");
    }
    let keys = || known.iter().copied().flatten().copied();
    let nearest = keys()
        .map(|name| (distance(key, name), name))
        .min()
        .filter(|(steps, _)| *steps <= 1 + key.len() / 4);
    match nearest {
        Some((_, name)) => format!("is not a key here; did you mean {name}?"),
        None => format!(
            "is not a key here; known are {}",
            keys().collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Edits of one character (insert, delete, replace) that lead from one key to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

/// The text in quotes of YAML that need no escapes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_get_the_nearest_or_all() {
        fn check(key: &str, want: &str) {
            let known: &[&[&str]] = &[&["scrape_interval", "scrape_timeout"], &["match", "url"]];
            assert_eq!(
                unknown(key, known, &[("targets", "write url")]),
                format!("is not a key here; {want}")
            );
        }
        check("scrape_intervall", "did you mean scrape_interval?");
        check("scrap_timeout", "did you mean scrape_timeout?");
        check("urll", "did you mean url?");
        check("Match", "did you mean match?");
        check("targets", "write url");
        check(
            "anything",
            "known are scrape_interval, scrape_timeout, match, url",
        );
    }

    #[test]
    fn distances_count_single_edits() {
        fn check(from: &str, to: &str, want: usize) {
            assert_eq!(distance(from, to), want, "{from} {to}");
        }
        check("", "", 0);
        check("", "abc", 3);
        check("abc", "", 3);
        check("kitten", "sitting", 3);
        check("label", "labels", 1);
        check("ab", "ba", 2);
    }

    #[test]
    fn values_of_the_wrong_kind_are_noted_and_reading_goes_on() {
        fn check(yaml: &str, read: impl Fn(&Section<'_>) -> bool, want: &str) {
            let node = super::super::tree::parse(yaml).expect(yaml);
            let problems = Problems::default();
            let section = Field::root(&node, &problems)
                .section(&[&["k", "l"]], &[])
                .expect("a mapping");
            assert!(!read(&section), "{yaml}");
            let error = problems.finish("f").expect_err(yaml).to_string();
            assert!(error.starts_with(want), "{yaml}: {error}");
        }
        check(
            "k: [1]",
            |s| s.flag("k").is_some(),
            "f:1: k: is a list; write a single value",
        );
        check(
            "k: {a: 1}",
            |s| s.number("k").is_some(),
            "f:1: k: is a mapping; write a single value",
        );
        check(
            "l: 1\nk: maybe",
            |s| s.flag("k").is_some(),
            "f:2: k: \"maybe\" is neither true nor false",
        );
        check(
            "k: -1",
            |s| s.number("k").is_some(),
            "f:1: k: \"-1\" is not a whole number",
        );
        check(
            "k: c",
            |s| s.choice("k", &[("a", 1), ("b", 2)]).is_some(),
            "f:1: k: \"c\" is not known; write a or b",
        );
        check(
            "k: it's",
            |s| s.get("k").is_some_and(|f| f.items().is_some()),
            "f:1: k: is a single value; write a list: ['it''s']",
        );
        check(
            "k:\n  - a: 1\n",
            |s| {
                s.get("k")
                    .is_some_and(|f| f.list(|t| Ok(t.len())).is_none())
            },
            "f:2: k[0]: is a mapping",
        );
        check(
            "k: 1\nk: 2",
            |s| s.number("k") == Some(2),
            "f:2: k: stands here twice, first on line 1",
        );
        check(
            "k:",
            |s| s.require("k", "write one").is_some(),
            "f:1: k is missing; write one",
        );
    }
}
