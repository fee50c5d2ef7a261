//! The name and the labels of one sample while they are read: comes in piece by piece from either grammar, goes out
//! as a checked [`Sample`]. Here is decided which labels are `plain`, and refused what Prometheus' scrape loop would
//! refuse after parsing.

use std::borrow::Cow;
use std::collections::HashSet;

use super::cursor::{Cursor, Parsed, Quoted};
use super::error::{Excerpt, Fault};
use super::{Label, Sample};

/// The label that holds the metric name once the sample is a series; as an ordinary label it would be a second one.
const METRIC_NAME: &str = "__name__";

/// Up to here, comparing each name with each other is quicker than hashing them.
const PAIRWISE_MAX: usize = 16;

/// Room made at the first label: most series have fewer.
const LABELS_USUAL: usize = 12;

/// A label name and where it stands.
pub(super) struct LabelName<'a> {
    pub(super) text: Cow<'a, str>,
    /// The offset of its first byte, or of its opening quote.
    pub(super) start: usize,
    /// The offset just past it.
    pub(super) end: usize,
    pub(super) form: NameForm,
}

/// How a name is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NameForm {
    Bare,
    Quoted,
}

/// What is known of a sample so far. Offsets are those of the cursor until [`Series::finish`].
#[derive(Default)]
pub(super) struct Series<'a> {
    start: usize,
    end: usize,
    name_end: usize,
    labels: Vec<Label<'a>>,
    /// Where a plain label would have to begin: just behind the bare name or the label before.
    joint: Option<usize>,
}

impl<'a> Series<'a> {
    /// Reads the bare name, if there is one, and stays behind it.
    pub(super) fn start(cursor: &mut Cursor<'a>) -> Parsed<Self> {
        let start = cursor.at;
        let name = cursor.metric_name()?;
        let end = cursor.at;
        if name.is_empty() {
            return Ok(Self {
                start,
                end,
                ..Self::default()
            });
        }
        cursor.name = Some(name.into());
        Ok(Self {
            start,
            end,
            name_end: end - start,
            joint: Some(end),
            ..Self::default()
        })
    }

    /// Takes a quoted string inside the braces as the metric name.
    pub(super) fn set_name(&mut self, cursor: &mut Cursor<'a>, name: LabelName<'a>) -> Parsed<()> {
        if cursor.name.is_some() {
            return Err(Fault::NameTwice {
                line: cursor.line(),
            }
            .into());
        }
        cursor.name = Some(name.text);
        self.joint = None;
        Ok(())
    }

    /// Adds a label whose value began at `value_start` and ends at the cursor.
    pub(super) fn push(
        &mut self,
        cursor: &Cursor<'a>,
        name: LabelName<'a>,
        value_start: usize,
        value: Quoted<'a>,
    ) {
        let joined = self.joint.is_some_and(|joint| {
            name.start == joint + 1
                && matches!(cursor.input[joint], b'{' | b',')
                && value_start == name.end + 1
        });
        let plain = joined && name.form == NameForm::Bare && value.canonical;
        if self.labels.is_empty() {
            self.labels.reserve(LABELS_USUAL);
        }
        self.joint = Some(cursor.at);
        self.labels.push(Label {
            name: name.text,
            value: value.text,
            end: cursor.at - self.start,
            plain,
        });
    }

    /// The closing brace is just before the cursor.
    pub(super) fn close(&mut self, cursor: &Cursor<'a>) {
        self.end = cursor.at;
    }

    /// Refuses a series without a name, before its value is looked at.
    pub(super) fn check_name(cursor: &Cursor<'a>) -> Parsed<()> {
        match &cursor.name {
            Some(name) if !name.is_empty() => Ok(()),
            _ => Err(Fault::NoName {
                line: cursor.line(),
            }
            .into()),
        }
    }

    /// Checks the label names and makes the sample.
    pub(super) fn finish(
        self,
        cursor: &mut Cursor<'a>,
        value: &'a [u8],
        timestamp_ms: Option<i64>,
        exemplar: bool,
    ) -> Parsed<Sample<'a>> {
        self.check_labels(cursor)?;
        let name = cursor
            .name
            .take()
            .expect("check_name comes before the value");
        let key = &cursor.input[self.start..self.end];
        Ok(Sample {
            key,
            name,
            name_end: self.name_end,
            labels: self.labels,
            value,
            timestamp_ms,
            exemplar,
        })
    }

    fn check_labels(&self, cursor: &Cursor<'a>) -> Parsed<()> {
        let line = || Excerpt::of(&cursor.input[..self.end]);
        if let Some(bad) = self
            .labels
            .iter()
            .find(|label| label.name.is_empty() || label.name == METRIC_NAME)
        {
            return Err(Fault::LabelName {
                label: Excerpt::of(bad.name.as_bytes()),
                line: line(),
            }
            .into());
        }
        match first_repeated(&self.labels) {
            Some(label) => Err(Fault::LabelTwice {
                label: Excerpt::of(label.as_bytes()),
                line: line(),
            }
            .into()),
            None => Ok(()),
        }
    }
}

fn first_repeated<'b>(labels: &'b [Label<'_>]) -> Option<&'b str> {
    let names = labels.iter().map(|label| &*label.name);
    if labels.len() <= PAIRWISE_MAX {
        return names
            .enumerate()
            .find(|(i, name)| labels[..*i].iter().any(|l| l.name == *name))
            .map(|(_, name)| name);
    }
    let mut seen = HashSet::with_capacity(labels.len());
    names.into_iter().find(|name| !seen.insert(*name))
}
