//! Regular expressions as Prometheus understands them: RE2 syntax and semantics on top of the `regex` crate.
//!
//! Comes in: a pattern from a matcher, a relabelling rule or `label_replace`. Goes out: whether a text matches as a
//! whole, and what the groups took. Both engines run in linear time, but they read patterns differently: `\d` is ASCII
//! in RE2, `[a&&b]` is no set operation there, `\Q…\E` quotes, `{` may be a character, `a**` is refused. So a pattern
//! is read by RE2's rules into a tree (`parse`), which is written out again for the `regex` crate (`syntax`). Patterns
//! that are plain words or prefixes never get that far (`plan`).

mod error;
mod escape;
mod parse;
mod plan;
mod syntax;
mod template;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

pub use error::{RegexError, RegexErrorKind};
pub use template::Template;

use parse::Parsed;
use plan::Plan;

/// Longest pattern, in bytes. Grafana sends alternatives of thousands of words.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Longest pattern that is more than words and wildcards, in bytes as written for the `regex` crate.
const PROGRAM_TEXT_BYTES_MAX: usize = 256 << 10;
/// Most bytes that a pattern may come to when it is spelled out or compiled.
pub const REGEX_BYTES_MAX: usize = 16 << 20;
/// Sizes that are tried one after the other, since the `regex` crate does not tell how large a program has become.
const PROGRAM_BYTES: [usize; 4] = [16 << 10, 256 << 10, 2 << 20, REGEX_BYTES_MAX];
/// Nesting that the `regex` crate is told to accept. The tree is at most 1,000 deep and each of its levels takes up to
/// three levels there.
const PROGRAM_NESTING_MAX: u32 = 4000;

/// Trees up to this height are compiled on the caller's stack, which may be a worker's 2 MiB: the `regex` crate recurses
/// and takes up to 10 KiB a level.
const SHALLOW_MAX: u32 = 32;
/// Stack for all others; the memory is taken only as far as it is used.
const LARGE_STACK_BYTES: usize = 64 << 20;

/// A compiled pattern, anchored at both ends; the dot matches a newline. Cheap to clone.
///
/// ```
/// use tributary::model::regex::Regex;
/// let regex = Regex::new(r"(\w+)-\d+").unwrap();
/// assert!(regex.is_match("node-7") && !regex.is_match("node-7 "));
/// assert_eq!(regex.expand("node-7", "is $1").as_deref(), Some("is node"));
/// ```
#[derive(Clone, Debug)]
pub struct Regex(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    pattern: String,
    /// Names of the groups 1, 2, …; empty for a group without a name.
    names: Vec<String>,
    plan: Plan,
    /// Set where every group takes the whole text, as in `(.*)` and `(a|b)`: how many there are. Mostly 0 or 1.
    whole_groups: Option<usize>,
    /// The pattern for the `regex` crate, and what it compiles to. With a plan it is compiled when groups are asked
    /// for, and not even written where every group takes the whole text.
    translated: String,
    program: OnceLock<regex::Regex>,
    /// What all this takes at most.
    bytes: usize,
}

impl Inner {
    /// `None` where it takes more than `bytes_max`: everything else that can be wrong was found while reading.
    fn new(pattern: &str, parsed: Parsed, bytes_max: usize) -> Option<Self> {
        let Parsed {
            node,
            height,
            names,
        } = parsed;
        let plan = Plan::new(&node);
        let whole_groups = Some(plan::groups_around(&node)).filter(|groups| *groups == names.len());
        let mut inner = Self {
            pattern: pattern.to_owned(),
            names,
            plan,
            whole_groups,
            ..Self::default()
        };
        inner.bytes = size_of::<Self>() + pattern.len() + inner.plan.size_bytes();
        let left = bytes_max.checked_sub(inner.bytes)?;
        let has_plan = !matches!(inner.plan, Plan::Program);
        if has_plan && whole_groups.is_some() {
            return Some(inner);
        }
        inner.translated = node.to_anchored_pattern();
        if inner.translated.len() > PROGRAM_TEXT_BYTES_MAX {
            return None;
        }
        if !has_plan || height > SHALLOW_MAX {
            let (program, bytes) = compile_within(&inner.translated, left)?;
            inner.bytes += bytes;
            inner.program = OnceLock::from(program);
        }
        Some(inner)
    }
}

impl Regex {
    /// Reads and compiles a pattern in RE2 syntax. Refuses what RE2 refuses, patterns over 1 MiB, and patterns that come
    /// to more than [`REGEX_BYTES_MAX`].
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        Self::within(pattern, REGEX_BYTES_MAX)
    }

    /// The same with less room. A program that fills 16 MiB takes some 0.1 s to compile, so whoever takes patterns from
    /// outside has to limit all of them together.
    pub fn within(pattern: &str, bytes_max: usize) -> Result<Self, RegexError> {
        let too_large = || RegexError::new(RegexErrorKind::TooLarge, pattern);
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(too_large());
        }
        let parsed = parse::parse(pattern)?;
        let inner = if parsed.height > SHALLOW_MAX {
            on_large_stack(|| Inner::new(pattern, parsed, bytes_max)).unwrap_or(None)
        } else {
            Inner::new(pattern, parsed, bytes_max)
        };
        inner
            .map(|inner| Self(Arc::new(inner)))
            .ok_or_else(too_large)
    }

    /// The bytes that it takes at most.
    pub fn size_bytes(&self) -> usize {
        self.0.bytes
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0.pattern
    }

    /// Whether the whole of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.0
            .plan
            .is_match(text)
            .unwrap_or_else(|| self.program().is_match(text))
    }

    /// The only texts that match, in no order, where the pattern is a list of words. For an index.
    pub fn literals(&self) -> Option<impl Iterator<Item = &str>> {
        let (one, many) = match &self.0.plan {
            Plan::Literal(word) => (Some(word), None),
            Plan::OneOf(words) => (None, Some(words)),
            Plan::Globs(_) | Plan::Program => return None,
        };
        Some(
            one.into_iter()
                .chain(many.into_iter().flatten())
                .map(String::as_str),
        )
    }

    /// What the groups took of `text`, or `None` where it does not match.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        if let Some(groups) = self.0.whole_groups {
            return self
                .is_match(text)
                .then_some(Captures(Taken::Whole { text, groups }));
        }
        if self.0.plan.is_match(text) == Some(false) {
            return None;
        }
        self.program()
            .captures(text)
            .map(|taken| Captures(Taken::Parts(taken)))
    }

    /// Prepares a replacement text with `$1`, `${name}` and `$$` for this pattern.
    pub fn template(&self, text: &str) -> Template {
        Template::new(text, &self.0.names)
    }

    /// The replacement text for `text`, or `None` where it does not match. See [`Template`] for the rules.
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        let captures = self.captures(text)?;
        let mut out = String::new();
        self.template(template).expand(&captures, &mut out);
        Some(out)
    }

    /// The replacement text where `text` matches, else `text`. There is one match at most, since it spans everything.
    pub fn replace_all<'t>(&self, text: &'t str, template: &str) -> Cow<'t, str> {
        self.expand(text, template)
            .map_or(Cow::Borrowed(text), Cow::Owned)
    }

    fn program(&self) -> &regex::Regex {
        self.0.program.get_or_init(|| {
            // Words and wildcards give a program that is linear in the pattern, and the pattern's length is limited.
            compile(&self.0.translated, usize::MAX).expect("words and wildcards always compile")
        })
    }
}

/// Two expressions are equal when their patterns are written alike.
impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.0.pattern == other.0.pattern
    }
}

impl Eq for Regex {}

/// Runs `work` on a thread of its own with room for the deepest pattern. `None` where there is no memory for a thread.
fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    let builder = std::thread::Builder::new().stack_size(LARGE_STACK_BYTES);
    std::thread::scope(|scope| builder.spawn_scoped(scope, work).ok()?.join().ok())
}

/// The program, and the bytes that it takes at most.
fn compile_within(translated: &str, bytes_max: usize) -> Option<(regex::Regex, usize)> {
    let sizes = PROGRAM_BYTES.map(|bytes| bytes.min(bytes_max));
    let program = |bytes: usize| Some((compile(translated, bytes).ok()?, bytes));
    sizes.into_iter().find_map(program)
}

fn compile(translated: &str, bytes_max: usize) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(translated)
        .size_limit(bytes_max)
        .nest_limit(PROGRAM_NESTING_MAX)
        .build()
}

/// What the groups of a pattern took of one text.
#[derive(Debug)]
pub struct Captures<'t>(Taken<'t>);

#[derive(Debug)]
enum Taken<'t> {
    Whole { text: &'t str, groups: usize },
    Parts(regex::Captures<'t>),
}

impl<'t> Captures<'t> {
    /// What group `number` took; 0 is the whole text. `None` where there is no such group or it took no part.
    pub fn get(&self, number: usize) -> Option<&'t str> {
        match &self.0 {
            Taken::Whole { text, groups } => (number <= *groups).then_some(*text),
            Taken::Parts(parts) => parts.get(number).map(|part| part.as_str()),
        }
    }
}

#[cfg(test)]
mod tests;
