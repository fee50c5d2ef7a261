//! Why a rule is refused. The texts are Prometheus', since users search for them.

use thiserror::Error;

use super::Action;
use crate::model::quote::quoted;
use crate::model::regex::RegexError;

/// A rule that cannot be compiled; [`RelabelError::key`] says where to look.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RelabelError {
    /// `action` is there, but empty.
    #[error("relabel action cannot be empty")]
    EmptyAction,
    /// `action` is no word of [`Action`].
    #[error("unknown relabel action {}", quoted(.0))]
    UnknownAction(String),
    /// `hashmod` without `modulus`, or with 0.
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    NoModulus,
    /// The action sets or compares a label and none is named.
    #[error("relabel configuration for {} action requires 'target_label' value", .0.as_str())]
    NoTarget(Action),
    /// `target_label` can never be a valid name.
    #[error("{} is invalid 'target_label' for {} action", quoted(.0), .1.as_str())]
    BadTarget(String, Action),
    /// `replacement` of a `labelmap` can never be a valid name.
    #[error("{} is invalid 'replacement' for {} action", quoted(.0), .1.as_str())]
    BadReplacement(String, Action),
    /// `replacement` with an action that has no use for it.
    #[error("'replacement' can not be set for {} action", .0.as_str())]
    ReplacementSet(Action),
    /// Another key with `keepequal` or `dropequal`; the second field names it.
    #[error("{} action requires only 'source_labels' and `target_label`, and no other fields", .0.as_str())]
    OnlySourcesAndTarget(Action, &'static str),
    /// Another key with `labeldrop` or `labelkeep`; the second field names it.
    #[error("{} action requires only 'regex', and no other fields", .0.as_str())]
    OnlyRegex(Action, &'static str),
    /// A name in `source_labels` is empty.
    #[error("\"\" is not a valid label name")]
    EmptySource,
    /// `regex` is no RE2 pattern, or too large.
    #[error(transparent)]
    Regex(#[from] RegexError),
}

impl RelabelError {
    /// The YAML key at fault.
    pub fn key(&self) -> &'static str {
        match self {
            Self::EmptyAction | Self::UnknownAction(_) => "action",
            Self::NoModulus => "modulus",
            Self::NoTarget(_) | Self::BadTarget(..) => "target_label",
            Self::BadReplacement(..) | Self::ReplacementSet(_) => "replacement",
            Self::OnlySourcesAndTarget(_, key) | Self::OnlyRegex(_, key) => key,
            Self::EmptySource => "source_labels",
            Self::Regex(_) => "regex",
        }
    }
}
