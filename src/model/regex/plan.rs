//! Which patterns can be decided without running a regular expression.
//!
//! Comes in: the tree of a pattern. Goes out: a plan that answers "does this text match?" for the patterns that
//! dashboards and rules are full of: plain words, alternatives of words, `.*`, `.+`, `prefix.*`, `.*part.*`. Since a
//! pattern is anchored and its dot matches a newline, these are comparisons of strings. Everything else is a program.

use std::collections::HashSet;

use super::syntax::{Class, ClassItem, Look, Node};

/// More alternatives with a wildcard than this are better left to the program, which looks at the text once.
const GLOBS_MAX: usize = 16;
/// Bytes that the spelled-out forms of one pattern may take; `[ab][ab][ab]…` doubles with each bracket.
const LITERAL_BYTES_MAX: usize = 4 << 20;
/// A class with more characters than this is not spelled out.
const CLASS_CHARS_MAX: u32 = 32;

/// How to decide whether a text matches.
#[derive(Debug, Default)]
pub(super) enum Plan {
    /// The text is this one.
    Literal(String),
    /// The text is one of these.
    OneOf(HashSet<String>),
    /// The text fits one of these.
    Globs(Vec<Glob>),
    /// Run the compiled pattern.
    #[default]
    Program,
}

/// `head`, then for each part at least so many characters and then the part. The last part ends the text.
#[derive(Debug, Default)]
pub(super) struct Glob {
    head: String,
    parts: Vec<(u32, String)>,
}

impl Plan {
    pub(super) fn new(node: &Node) -> Self {
        let branches = match node {
            Node::Alternate(branches) => branches.as_slice(),
            _ => std::slice::from_ref(node),
        };
        if let Some(mut words) = spell_branches(branches) {
            return match words.len() {
                1 => Self::Literal(words.swap_remove(0)),
                _ => Self::OneOf(words.into_iter().collect()),
            };
        }
        if branches.len() > GLOBS_MAX {
            return Self::Program;
        }
        branches
            .iter()
            .map(Glob::new)
            .collect::<Option<_>>()
            .map_or(Self::Program, Self::Globs)
    }

    /// The bytes that it takes, about.
    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Self::Literal(word) => word.len(),
            Self::OneOf(words) => {
                let texts: usize = words.iter().map(String::len).sum();
                texts + 2 * size_of::<String>() * words.len()
            }
            Self::Globs(globs) => globs.iter().map(Glob::size_bytes).sum(),
            Self::Program => 0,
        }
    }

    /// Whether `text` matches, or `None` where only the program knows.
    pub(super) fn is_match(&self, text: &str) -> Option<bool> {
        match self {
            Self::Literal(word) => Some(word == text),
            Self::OneOf(words) => Some(words.contains(text)),
            Self::Globs(globs) => Some(globs.iter().any(|glob| glob.is_match(text))),
            Self::Program => None,
        }
    }
}

/// How many groups stand around the whole pattern: 1 for `(.*)` and for `(a|b)`, 0 for `.*`.
pub(super) fn groups_around(mut node: &Node) -> usize {
    let mut groups = 0;
    while let Node::Capture(inner) = node {
        node = inner;
        groups += 1;
    }
    groups
}

/// `.*` is 0, `.+` is 1: the least number of characters.
fn gap(node: &Node) -> Option<u32> {
    match node {
        Node::Repeat {
            node,
            min: min @ (0 | 1),
            max: None,
            ..
        } if **node == Node::Dot { newline: true } => Some(*min),
        _ => None,
    }
}

/// The parts of a sequence. Anchors at the edges of an anchored pattern say nothing new: `^foo$` is `foo`.
fn sequence(node: &Node) -> &[Node] {
    let mut nodes = match node {
        Node::Concat(nodes) => nodes.as_slice(),
        _ => std::slice::from_ref(node),
    };
    while let [Node::Look(Look::TextStart | Look::LineStart), rest @ ..] = nodes {
        nodes = rest;
    }
    while let [rest @ .., Node::Look(Look::TextEnd | Look::LineEnd)] = nodes {
        nodes = rest;
    }
    nodes
}

/// What may still be spent on spelling out, in bytes.
struct Budget(usize);

impl Budget {
    fn spend(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.checked_sub(bytes)?;
        Some(())
    }
}

/// All texts that one of the branches matches, where they are few.
fn spell_branches(branches: &[Node]) -> Option<Vec<String>> {
    let mut budget = Budget(LITERAL_BYTES_MAX);
    let mut words = vec![];
    for branch in branches {
        words.append(&mut spell_sequence(sequence(branch), &mut budget)?);
    }
    Some(words)
}

/// All texts that a sequence matches, where they are few.
fn spell_sequence(nodes: &[Node], budget: &mut Budget) -> Option<Vec<String>> {
    let mut words = vec![String::new()];
    for node in nodes {
        words = cross(words, &spell(node, budget)?, budget)?;
    }
    Some(words)
}

/// All texts that a node matches, where they are few.
fn spell(node: &Node, budget: &mut Budget) -> Option<Vec<String>> {
    match node {
        Node::Empty => Some(vec![String::new()]),
        Node::Literal { text, fold: false } => {
            budget.spend(text.len())?;
            Some(vec![text.clone()])
        }
        Node::Class(class) => spell_class(class),
        Node::Capture(node) => spell(node, budget),
        Node::Repeat {
            node,
            min: 0,
            max: Some(1),
            ..
        } => {
            let mut words = spell(node, budget)?;
            words.push(String::new());
            Some(words)
        }
        Node::Concat(nodes) => spell_sequence(nodes, budget),
        Node::Alternate(branches) => {
            let mut words = vec![];
            for branch in branches {
                words.append(&mut spell(branch, budget)?);
            }
            Some(words)
        }
        Node::Literal { fold: true, .. }
        | Node::Dot { .. }
        | Node::Look(_)
        | Node::Repeat { .. } => None,
    }
}

fn spell_class(class: &Class) -> Option<Vec<String>> {
    if class.negated || class.fold || class.items.is_empty() {
        return None;
    }
    let mut words = vec![];
    for item in &class.items {
        let ClassItem::Range(low, high) = item else {
            return None;
        };
        if u32::from(*high) - u32::from(*low) + u32::try_from(words.len()).ok()? >= CLASS_CHARS_MAX
        {
            return None;
        }
        words.extend((*low..=*high).map(String::from));
    }
    Some(words)
}

/// Each of `heads` followed by each of `tails`.
fn cross(mut heads: Vec<String>, tails: &[String], budget: &mut Budget) -> Option<Vec<String>> {
    let bytes = |words: &[String]| words.iter().map(String::len).sum::<usize>();
    let cost = bytes(&heads)
        .saturating_mul(tails.len())
        .saturating_add(bytes(tails).saturating_mul(heads.len()));
    let count = heads.len().saturating_mul(tails.len());
    budget.spend(cost.saturating_add(count.saturating_mul(size_of::<String>())))?;
    if let [tail] = tails {
        for head in &mut heads {
            head.push_str(tail);
        }
        return Some(heads);
    }
    Some(
        heads
            .iter()
            .flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}")))
            .collect(),
    )
}

impl Glob {
    fn new(node: &Node) -> Option<Self> {
        let mut glob = Self::default();
        sequence(node).iter().try_for_each(|node| glob.add(node))?;
        Some(glob)
    }

    fn size_bytes(&self) -> usize {
        let parts = self.parts.iter().map(|(_, part)| part.len());
        self.head.len() + parts.sum::<usize>() + size_of::<(u32, String)>() * self.parts.len()
    }

    fn add(&mut self, node: &Node) -> Option<()> {
        if let Some(min) = gap(node) {
            match self.parts.last_mut() {
                Some((least, part)) if part.is_empty() => *least += min,
                _ => self.parts.push((min, String::new())),
            }
            return Some(());
        }
        match node {
            Node::Empty => {}
            Node::Literal { text, fold: false } => match self.parts.last_mut() {
                Some((_, part)) => part.push_str(text),
                None => self.head.push_str(text),
            },
            Node::Capture(node) => self.add(node)?,
            Node::Concat(nodes) => nodes.iter().try_for_each(|node| self.add(node))?,
            _ => return None,
        }
        Some(())
    }

    /// Takes each part where it comes first, which leaves the most text for the parts behind it.
    fn is_match(&self, text: &str) -> bool {
        let Some(mut rest) = text.strip_prefix(self.head.as_str()) else {
            return false;
        };
        let Some(((least, tail), inner)) = self.parts.split_last() else {
            return rest.is_empty();
        };
        for (least, part) in inner {
            let Some(from) = skip_chars(rest, *least) else {
                return false;
            };
            let Some(at) = from.find(part.as_str()) else {
                return false;
            };
            rest = &from[at + part.len()..];
        }
        skip_chars(rest, *least).is_some_and(|rest| rest.ends_with(tail.as_str()))
    }
}

/// `text` without its first characters; `None` where it has fewer.
fn skip_chars(text: &str, count: u32) -> Option<&str> {
    let mut chars = text.chars();
    for _ in 0..count {
        chars.next()?;
    }
    Some(chars.as_str())
}
