//! Relabelling: rules that rewrite or drop label sets, as `metric_relabel_configs` of Prometheus.
//!
//! Comes in: rules as written in a file, and the labels of one series. Goes out: the labels rewritten in place, and
//! whether the series is kept. A rule is compiled once (`compile`), and runs once per series and not once per sample
//! (`apply`), since the scrape loop remembers what came of each series.
//!
//! The rules are those of Prometheus 3.14 (`model/relabel/relabel.go`), error texts included.

mod apply;
mod compile;
mod error;

use crate::model::labels::is_legacy_label_name;
use crate::model::regex::{Regex, Template};

pub use apply::apply;
pub use error::RelabelError;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sets a label to an expanded text where the sources match. The default.
    Replace,
    /// Drops the series unless the sources match.
    Keep,
    /// Drops the series if the sources match.
    Drop,
    /// Drops the series unless the target label equals the sources.
    KeepEqual,
    /// Drops the series if the target label equals the sources.
    DropEqual,
    /// Sets a label to the hash of the sources modulo a number.
    HashMod,
    /// Copies the labels whose name matches to other names.
    LabelMap,
    /// Deletes the labels whose name matches.
    LabelDrop,
    /// Deletes the labels whose name does not match.
    LabelKeep,
    /// Sets a label to the sources in lower case.
    Lowercase,
    /// Sets a label to the sources in upper case.
    Uppercase,
}

impl Action {
    const ALL: [Self; 11] = [
        Self::Replace,
        Self::Keep,
        Self::Drop,
        Self::KeepEqual,
        Self::DropEqual,
        Self::HashMod,
        Self::LabelMap,
        Self::LabelDrop,
        Self::LabelKeep,
        Self::Lowercase,
        Self::Uppercase,
    ];

    /// Reads an action as written in a file; upper and lower case are the same.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|action| action.as_str().eq_ignore_ascii_case(word))
    }

    /// The word for it in a file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }
}

/// A rule as written in a file. `None` means not given, and takes Prometheus' default.
#[derive(Default, Clone, Debug, PartialEq)]
pub struct RuleSpec {
    /// Labels whose values are joined. Default: none.
    pub source_labels: Option<Vec<String>>,
    /// What stands between joined values. Default: `;`.
    pub separator: Option<String>,
    /// What the joined values, or label names, have to match as a whole. Default: `(.*)`.
    pub regex: Option<String>,
    /// For `hashmod`; required there and not 0.
    pub modulus: Option<u64>,
    /// The label to set, or to compare with. Default: none.
    pub target_label: Option<String>,
    /// The value to set, or the name to copy to. Default: `$1`.
    pub replacement: Option<String>,
    /// A word of [`Action`]. Default: `replace`.
    pub action: Option<String>,
}

/// Which names labels may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameScheme {
    /// `[a-zA-Z_][a-zA-Z0-9_]*`
    Legacy,
    /// Any text but the empty one, as in Prometheus 3.
    #[default]
    Utf8,
}

impl NameScheme {
    /// Whether a label may have this name.
    pub fn is_label_name(self, name: &str) -> bool {
        match self {
            Self::Legacy => is_legacy_label_name(name),
            Self::Utf8 => !name.is_empty(),
        }
    }
}

/// A rule that is ready to run. Compile it from a [`RuleSpec`].
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    action: Action,
    sources: Vec<String>,
    separator: String,
    step: Step,
}

impl Rule {
    /// What the rule does.
    pub fn action(&self) -> Action {
        self.action
    }
}

/// What a rule needs to run, by action.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Replace {
        regex: Regex,
        target: Template,
        replacement: Template,
        scheme: NameScheme,
    },
    Keep(Regex),
    Drop(Regex),
    KeepEqual {
        target: String,
    },
    DropEqual {
        target: String,
    },
    HashMod {
        target: String,
        modulus: u64,
    },
    LabelMap {
        regex: Regex,
        replacement: Template,
        scheme: NameScheme,
    },
    LabelDrop(Regex),
    LabelKeep(Regex),
    Lowercase {
        target: String,
    },
    Uppercase {
        target: String,
    },
}

#[cfg(test)]
mod tests;
