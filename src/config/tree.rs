//! YAML text in, a tree of nodes that know their line out. The only file that names the YAML crate.
//!
//! serde stops at its first error, while a configuration wants all of its mistakes named at once. So the crate only
//! builds this tree (and refuses broken YAML and alias bombs); [`super::decode`] then reads the tree and collects
//! what is wrong. Scalars keep the text as it stands in the file, so that `1e3` or `0x10` as a label's value stays
//! what the user wrote.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned};

/// Deepest nesting that is read; the configuration itself needs seven levels.
const DEPTH_MAX: usize = 32;

/// One value and the line (from 1) on which it begins. What an alias brought in has the line of its anchor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) value: Value,
}

/// What stands at a node.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar of whatever kind: its text, without quotes.
    Text(String),
    /// `[…]` or lines with `-`.
    List(Vec<Node>),
    /// `{…}` or lines with `key:`, in the order of the file; a key may stand there twice.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Line of the key, which for a list or a mapping is not the line of the value.
    pub(super) line: u64,
    pub(super) node: Node,
}

/// Why the text is no YAML: the line (0 when unknown) and what the parser says.
#[derive(Debug, PartialEq)]
pub(super) struct SyntaxError {
    pub(super) line: u64,
    pub(super) text: String,
}

/// Parses one YAML document. An empty text is a null.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX },
        // Repeated keys reach the tree, so that they are reported together with everything else.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        // An empty file is reported on its first line, wherever its comments end.
        Ok(Spanned {
            value: Raw::Null, ..
        })
        | Err(serde_saphyr::Error::Eof { .. }) => Ok(Node {
            line: 1,
            value: Value::Null,
        }),
        Ok(root) => Ok(root.value.into_node(root.defined, text)),
        Err(error) => Err(SyntaxError {
            line: error.location().map_or(0, |at| at.line()),
            text: message(&error),
        }),
    }
}

/// The crate's message without the ` at line 1, column 4` that we say in our own way.
fn message(error: &serde_saphyr::Error) -> String {
    if matches!(error, serde_saphyr::Error::MultipleDocuments { .. }) {
        return "a second document begins here".to_owned();
    }
    if matches!(error, serde_saphyr::Error::Budget { .. }) {
        return "it is too large, too deep or holds too many aliases".to_owned();
    }
    let text = error.to_string();
    text.rsplit_once(" at line ")
        .map_or(text.as_str(), |(message, _)| message)
        .to_owned()
}

/// What the crate hands over, before the text of numbers and booleans is looked up in the source.
enum Raw {
    Null,
    Text(String),
    /// A number or a boolean, with how the crate would write it.
    Typed(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl Raw {
    fn into_node(self, at: Location, source: &str) -> Node {
        let value = match self {
            Raw::Null => Value::Null,
            Raw::Text(text) => Value::Text(text),
            Raw::Typed(written) => {
                Value::Text(source_text(at, source).map_or(written, str::to_owned))
            }
            Raw::List(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| item.value.into_node(item.defined, source))
                    .collect(),
            ),
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, node)| entry(key, node, source))
                    .collect(),
            ),
        };
        Node {
            line: at.line(),
            value,
        }
    }
}

fn entry(key: Spanned<String>, node: Spanned<Raw>, source: &str) -> Entry {
    Entry {
        line: key.defined.line(),
        key: key.value,
        node: node.value.into_node(node.defined, source),
    }
}

/// The scalar as it stands in the source; `None` when the crate does not say where that is.
fn source_text(at: Location, source: &str) -> Option<&str> {
    let start = usize::try_from(at.span().byte_offset()?).ok()?;
    let length = usize::try_from(at.span().byte_len()?).ok()?;
    source
        .get(start..start.checked_add(length)?)
        .filter(|text| !text.is_empty())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

/// Takes whatever comes.
struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// One line for a tree: `key@line=value`.
    fn show(node: &Node) -> String {
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::Text(text) => format!("{text:?}"),
            Value::List(items) => {
                let items: Vec<_> = items
                    .iter()
                    .map(|item| format!("{}:{}", item.line, show(item)))
                    .collect();
                format!("[{}]", items.join(" "))
            }
            Value::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|e| format!("{}@{}={}", e.key, e.line, show(&e.node)))
                    .collect();
                format!("{{{}}}", entries.join(" "))
            }
        }
    }

    #[test]
    fn nodes_keep_their_text_and_line() {
        fn check(yaml: &str, want: &str) {
            assert_eq!(show(&parse(yaml).expect(yaml)), want, "{yaml}");
        }
        check("", "null");
        check("# only a comment\n", "null");
        check("a: b", r#"{a@1="b"}"#);
        check(
            "a: 0x10\nb: 1e3\nc: 007\nd: 1_000\ne: 1.50 # comment\nf: +1",
            r#"{a@1="0x10" b@2="1e3" c@3="007" d@4="1_000" e@5="1.50" f@6="+1"}"#,
        );
        check(
            "a: yes\nb: True\nc: .inf\nd: 1e999\ne: -.INF",
            r#"{a@1="yes" b@2="True" c@3=".inf" d@4="1e999" e@5="-.INF"}"#,
        );
        check(
            "a: 123456789012345678901234567890",
            r#"{a@1="123456789012345678901234567890"}"#,
        );
        check(
            "a:\nb: ~\nc: ''\nd: '~'",
            r#"{a@1=null b@2=null c@3="" d@4="~"}"#,
        );
        check("a: '1'\nb: \"x\\ty\"", r#"{a@1="1" b@2="x\ty"}"#);
        check(
            "a:\n  - x\n  - b: 1\n    c: 2\n",
            r#"{a@1=[2:"x" 3:{b@3="1" c@4="2"}]}"#,
        );
        check("a: [1,\n  2]\n1: x", r#"{a@1=[1:"1" 2:"2"] 1@3="x"}"#);
        check(
            "a: |\n  x\n  y\nb: >-\n  x\n  y",
            r#"{a@1="x\ny\n" b@4="x y"}"#,
        );
        check("a: 1\na: 2", r#"{a@1="1" a@2="2"}"#);
        check("é: 'ü'\nb: 12 ", r#"{é@1="ü" b@2="12"}"#);
    }

    #[test]
    fn aliases_and_merges_point_to_where_the_text_stands() {
        fn check(yaml: &str, want: &str) {
            assert_eq!(show(&parse(yaml).expect(yaml)), want, "{yaml}");
        }
        check("a: &x\n  b: 1\nc: *x", r#"{a@1={b@2="1"} c@3={b@2="1"}}"#);
        check(
            "a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3",
            r#"{a@1={b@1="1" c@1="2"} d@2={c@4="3" b@1="1"}}"#,
        );
        check("a: &x 10\nb: [*x]", r#"{a@1="10" b@2=[1:"10"]}"#);
    }

    #[test]
    fn broken_yaml_and_bombs_are_refused_with_their_line() {
        fn check(yaml: &str, line: u64, want: &str) {
            let error = parse(yaml).expect_err(yaml);
            assert!(
                error.line == line && error.text.contains(want),
                "{yaml}: {error:?}"
            );
        }
        check("a: [1", 1, "");
        check("a: 1\n\tb: 2", 1, "found a tab");
        check("a: 1\n---\nb: 2", 3, "a second document");
        check("a: *nothing", 1, "unknown anchor");
        check(&"[".repeat(100), 1, "");
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            writeln!(bomb, "a{level}: &a{level} [{aliases}]")
                .expect("writing to a String cannot fail");
        }
        assert!(parse(&bomb).is_err());
    }
}
