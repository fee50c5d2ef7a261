//! Runs compiled rules over the labels of one series.
//!
//! Comes in: rules and labels. Goes out: the labels, changed in place, and whether the series is kept. Buffers are
//! shared between the rules of one run, and a rule with one source reads that label where it stands.

use std::fmt::Write as _;

use md5::{Digest, Md5};

use super::{NameScheme, Rule, Step};
use crate::model::labels::Labels;
use crate::model::regex::{Regex, Template};

/// Runs `rules` in order. False means that the series is dropped: a `keep` or `drop` rule said so, and no rule behind
/// it ran, or no label is left. The labels of a dropped series are in no useful state.
///
/// One departure from Prometheus: where `labelmap` makes a name that is no label name, that label is not copied.
/// Prometheus would set it and then refuse the whole scrape.
pub fn apply(rules: &[Rule], labels: &mut Labels) -> bool {
    let maps_behind_others = rules
        .iter()
        .skip(1)
        .any(|rule| matches!(rule.step, Step::LabelMap { .. }));
    let mut run = Run {
        added: maps_behind_others.then(Vec::new),
        ..Run::default()
    };
    rules.iter().all(|rule| run.step(rule, labels)) && !labels.is_empty()
}

/// What the rules of one run share.
#[derive(Default)]
struct Run {
    /// Names that earlier rules have set, in that order: `labelmap` takes those last, which decides who wins where two
    /// labels map to one name. `None` where no rule can tell.
    added: Option<Vec<String>>,
    joined: String,
    name: String,
    value: String,
}

impl Run {
    /// Runs one rule. False = dropped.
    fn step(&mut self, rule: &Rule, labels: &mut Labels) -> bool {
        let joined = join(rule, labels, &mut self.joined);
        match &rule.step {
            Step::Keep(regex) => return regex.is_match(joined),
            Step::Drop(regex) => return !regex.is_match(joined),
            Step::KeepEqual { target } => return labels.get(target).unwrap_or_default() == joined,
            Step::DropEqual { target } => return labels.get(target).unwrap_or_default() != joined,
            Step::LabelMap {
                regex,
                replacement,
                scheme,
            } => self.map(regex, replacement, *scheme, labels),
            Step::LabelDrop(regex) => self.retain(labels, |name| !regex.is_match(name)),
            Step::LabelKeep(regex) => self.retain(labels, |name| regex.is_match(name)),
            Step::HashMod { .. }
            | Step::Lowercase { .. }
            | Step::Uppercase { .. }
            | Step::Replace { .. } => {
                self.name.clear();
                self.value.clear();
                if compute(&rule.step, joined, &mut self.name, &mut self.value) {
                    self.set(labels);
                }
            }
        }
        true
    }

    /// Sets the label `self.name` to `self.value`.
    fn set(&mut self, labels: &mut Labels) {
        labels.set(&self.name, &self.value);
        let Some(added) = &mut self.added else { return };
        let known = added.iter().position(|name| *name == self.name);
        match known {
            Some(at) if self.value.is_empty() => drop(added.remove(at)),
            None if !self.value.is_empty() => added.push(self.name.clone()),
            _ => {}
        }
    }

    fn retain(&mut self, labels: &mut Labels, keep: impl Fn(&str) -> bool) {
        labels.retain(|name, _| keep(name));
        if let Some(added) = &mut self.added {
            added.retain(|name| keep(name));
        }
    }

    /// Copies from the labels as they were before the rule, so that a copy is not copied again.
    fn map(
        &mut self,
        regex: &Regex,
        replacement: &Template,
        scheme: NameScheme,
        labels: &mut Labels,
    ) {
        let added = self.added.as_deref().unwrap_or_default();
        let is_added = |name: &str| added.iter().any(|have| have == name);
        let before = labels.iter().filter(|(name, _)| !is_added(name));
        let since = added
            .iter()
            .filter_map(|name| Some((name.as_str(), labels.get(name)?)));
        let mut copies = vec![];
        for (name, value) in before.chain(since) {
            let Some(captures) = regex.captures(name) else {
                continue;
            };
            let mut target = String::new();
            replacement.expand(&captures, &mut target);
            if scheme.is_label_name(&target) {
                copies.push((target, value.to_owned()));
            }
        }
        for (name, value) in copies {
            (self.name, self.value) = (name, value);
            self.set(labels);
        }
    }
}

/// The values of the rule's sources with the separator between them; a missing label is empty.
fn join<'a>(rule: &Rule, labels: &'a Labels, buffer: &'a mut String) -> &'a str {
    let value = |name: &String| labels.get(name).unwrap_or_default();
    match rule.sources.as_slice() {
        [] => "",
        [only] => value(only),
        [first, others @ ..] => {
            buffer.clear();
            buffer.push_str(value(first));
            for name in others {
                buffer.push_str(&rule.separator);
                buffer.push_str(value(name));
            }
            buffer
        }
    }
}

/// Writes the name and the value of the label that a rule sets. False where it sets none.
fn compute(step: &Step, joined: &str, name: &mut String, value: &mut String) -> bool {
    match step {
        Step::Replace {
            regex,
            target,
            replacement,
            scheme,
        } => {
            return replace(regex, target, replacement, joined, name, value)
                && scheme.is_label_name(name);
        }
        Step::HashMod { target, modulus } => {
            name.push_str(target);
            write!(value, "{}", hash(joined) % modulus).expect("a String takes any text");
        }
        Step::Lowercase { target } => {
            name.push_str(target);
            value.extend(joined.chars().map(lower));
        }
        Step::Uppercase { target } => {
            name.push_str(target);
            value.extend(joined.chars().map(upper));
        }
        _ => return false,
    }
    true
}

/// An empty value deletes the label, like everywhere.
fn replace(
    regex: &Regex,
    target: &Template,
    replacement: &Template,
    joined: &str,
    name: &mut String,
    value: &mut String,
) -> bool {
    if let (Some(target), Some(replacement)) = (target.as_fixed(), replacement.as_fixed()) {
        name.push_str(target);
        value.push_str(replacement);
        return regex.is_match(joined);
    }
    let Some(captures) = regex.captures(joined) else {
        return false;
    };
    target.expand(&captures, name);
    replacement.expand(&captures, value);
    true
}

/// The last 8 bytes of the MD5 sum, big-endian.
fn hash(text: &str) -> u64 {
    Md5::digest(text.as_bytes())[8..]
        .iter()
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// Go maps character by character: no final sigma, and `İ` becomes a plain `i`.
fn lower(char: char) -> char {
    char.to_lowercase().next().unwrap_or(char)
}

/// Go maps character by character: `ß` stays, and `ᾳ` becomes the one character `ᾼ`, not two.
fn upper(char: char) -> char {
    let mut mapped = char.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(only), None) => only,
        _ => match char {
            '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
                offset(char, 8)
            }
            '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => offset(char, 9),
            _ => char,
        },
    }
}

fn offset(char: char, by: u32) -> char {
    char::from_u32(u32::from(char) + by).unwrap_or(char)
}
