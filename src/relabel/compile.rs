//! From a rule as written to a rule that is ready to run.
//!
//! Comes in: a `RuleSpec` and the naming scheme. Goes out: a `Rule`, or the first thing that is wrong with it. The
//! checks and their order are Prometheus'. A key counts as not given while its value is the default, except for `regex`
//! and `source_labels`, where Prometheus sees the difference.

use super::{Action, NameScheme, RelabelError, Rule, RuleSpec, Step};
use crate::model::regex::{Regex, Template};

const SEPARATOR: &str = ";";
const REGEX: &str = "(.*)";
const REPLACEMENT: &str = "$1";

impl Rule {
    /// Checks and compiles a rule. `scheme` decides which names its target may have.
    pub fn compile(spec: &RuleSpec, scheme: NameScheme) -> Result<Self, RelabelError> {
        let action = match spec.action.as_deref() {
            None => Action::Replace,
            Some("") => return Err(RelabelError::EmptyAction),
            Some(word) => Action::from_word(word)
                .ok_or_else(|| RelabelError::UnknownAction(word.to_owned()))?,
        };
        // First, as Prometheus does: it reads the pattern before it looks at what belongs together.
        let regex = Regex::new(spec.regex.as_deref().unwrap_or(REGEX))?;
        check_target(spec, action, scheme)?;
        check_replacement(spec, action, scheme)?;
        check_other_keys(spec, action)?;
        let sources = spec.source_labels.clone().unwrap_or_default();
        if sources.iter().any(String::is_empty) {
            return Err(RelabelError::EmptySource);
        }
        let separator = spec
            .separator
            .clone()
            .unwrap_or_else(|| SEPARATOR.to_owned());
        Ok(Self {
            action,
            sources,
            separator,
            step: step(spec, action, regex, scheme),
        })
    }
}

fn target(spec: &RuleSpec) -> &str {
    spec.target_label.as_deref().unwrap_or_default()
}

fn replacement(spec: &RuleSpec) -> &str {
    spec.replacement.as_deref().unwrap_or(REPLACEMENT)
}

fn step(spec: &RuleSpec, action: Action, regex: Regex, scheme: NameScheme) -> Step {
    let target = target(spec).to_owned();
    match action {
        Action::Replace => {
            let (target, replacement) =
                (regex.template(&target), regex.template(replacement(spec)));
            Step::Replace {
                regex,
                target,
                replacement,
                scheme,
            }
        }
        Action::Keep => Step::Keep(regex),
        Action::Drop => Step::Drop(regex),
        Action::KeepEqual => Step::KeepEqual { target },
        Action::DropEqual => Step::DropEqual { target },
        Action::HashMod => Step::HashMod {
            target,
            modulus: spec.modulus.unwrap_or_default(),
        },
        Action::LabelMap => {
            let replacement: Template = regex.template(replacement(spec));
            Step::LabelMap {
                regex,
                replacement,
                scheme,
            }
        }
        Action::LabelDrop => Step::LabelDrop(regex),
        Action::LabelKeep => Step::LabelKeep(regex),
        Action::Lowercase => Step::Lowercase { target },
        Action::Uppercase => Step::Uppercase { target },
    }
}

fn check_target(spec: &RuleSpec, action: Action, scheme: NameScheme) -> Result<(), RelabelError> {
    if action == Action::HashMod && spec.modulus.unwrap_or_default() == 0 {
        return Err(RelabelError::NoModulus);
    }
    let target = target(spec);
    let is_valid = match action {
        Action::Replace => is_name_template(target, scheme),
        Action::HashMod
        | Action::Lowercase
        | Action::Uppercase
        | Action::KeepEqual
        | Action::DropEqual => scheme.is_label_name(target),
        Action::Keep | Action::Drop | Action::LabelMap | Action::LabelDrop | Action::LabelKeep => {
            return Ok(());
        }
    };
    match is_valid {
        _ if target.is_empty() => Err(RelabelError::NoTarget(action)),
        false => Err(RelabelError::BadTarget(target.to_owned(), action)),
        true => Ok(()),
    }
}

fn check_replacement(
    spec: &RuleSpec,
    action: Action,
    scheme: NameScheme,
) -> Result<(), RelabelError> {
    let replacement = replacement(spec);
    match action {
        Action::Lowercase | Action::Uppercase | Action::KeepEqual | Action::DropEqual
            if replacement != REPLACEMENT =>
        {
            Err(RelabelError::ReplacementSet(action))
        }
        Action::LabelMap if !is_name_template(replacement, scheme) => {
            Err(RelabelError::BadReplacement(replacement.to_owned(), action))
        }
        _ => Ok(()),
    }
}

fn check_other_keys(spec: &RuleSpec, action: Action) -> Result<(), RelabelError> {
    let has_modulus = spec.modulus.unwrap_or_default() != 0;
    let has_separator = spec
        .separator
        .as_deref()
        .is_some_and(|separator| separator != SEPARATOR);
    let has_replacement = replacement(spec) != REPLACEMENT;
    let first =
        |keys: &[(bool, &'static str)]| keys.iter().find(|(given, _)| *given).map(|(_, key)| *key);
    let shared = [
        (has_modulus, "modulus"),
        (has_separator, "separator"),
        (has_replacement, "replacement"),
    ];
    match action {
        Action::KeepEqual | Action::DropEqual => first(&[(spec.regex.is_some(), "regex")])
            .or(first(&shared))
            .map_or(Ok(()), |key| {
                Err(RelabelError::OnlySourcesAndTarget(action, key))
            }),
        Action::LabelDrop | Action::LabelKeep => {
            let own = [
                (spec.source_labels.is_some(), "source_labels"),
                (!target(spec).is_empty(), "target_label"),
            ];
            first(&own)
                .or(first(&shared))
                .map_or(Ok(()), |key| Err(RelabelError::OnlyRegex(action, key)))
        }
        _ => Ok(()),
    }
}

/// Whether a text with `$1` and `${name}` can become a label name. With legacy names what stands around the variables
/// has to fit, and the first character may not be a digit; with UTF-8 names anything can.
fn is_name_template(text: &str, scheme: NameScheme) -> bool {
    if scheme == NameScheme::Utf8 || !text.contains('$') {
        return scheme.is_label_name(text);
    }
    let is_word = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    let word_len = |text: &str| text.bytes().take_while(|byte| is_word(*byte)).count();
    let mut rest = text;
    if rest.starts_with(|first: char| first.is_ascii_digit()) {
        return false;
    }
    while !rest.is_empty() {
        rest = &rest[word_len(rest)..];
        let Some(variable) = rest.strip_prefix('$') else {
            break;
        };
        let in_braces = variable.strip_prefix('{');
        let name = in_braces.unwrap_or(variable);
        let (name, after) = name.split_at(word_len(name));
        if name.is_empty() {
            return false;
        }
        rest = after;
        if in_braces.is_some() {
            let Some(after) = after.strip_prefix('}') else {
                return false;
            };
            rest = after;
        }
    }
    rest.is_empty()
}
