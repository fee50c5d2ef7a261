//! How labels stand in lines: which names, in which order.

use std::sync::Arc;

use hashbrown::HashMap;

use super::dictionary::{Dictionary, Texts};
use crate::model::labels::METRIC_NAME;
use crate::parse::finished::Label;

/// Behind each name of a key; no text has it.
const BEHIND_NAME: u8 = 0xff;

/// The names of labels in the order in which they stand in some lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// By the place of a label in the line: its column.
    pub(super) columns: Arc<[usize]>,
    /// By column: the text of the name. Sorted by text.
    pub(super) names: Arc<[u32]>,
    /// The column of the metric's name.
    pub(super) metric: usize,
}

/// The layouts that lines had before: to find one again takes a look at its names where they stand together, rather than
/// at the text of each.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    /// By the names, one behind the other.
    known: HashMap<Vec<u8>, Layout>,
    /// The names of the line under way.
    key: Vec<u8>,
    bytes: usize,
}

impl Layouts {
    /// The layout of a line with these labels; it uses the texts of its names. If more than `most` are known, all are
    /// forgotten before.
    pub(super) fn of(
        &mut self,
        labels: &[Label<'_>],
        most: usize,
        dictionary: &mut Dictionary,
        texts: &mut Texts,
    ) -> Layout {
        if self.known.len() > most {
            self.forget(dictionary, texts);
        }
        self.key.clear();
        for label in labels {
            self.key.extend_from_slice(label.name.as_bytes());
            self.key.push(BEHIND_NAME);
        }
        let layout = self.known.entry_ref(&self.key[..]).or_insert_with(|| {
            let layout = layout_of(labels, dictionary, texts);
            self.bytes += self.key.len() + layout.bytes();
            layout
        });
        layout.clone()
    }

    fn forget(&mut self, dictionary: &mut Dictionary, texts: &mut Texts) {
        for (_, layout) in self.known.drain() {
            for &name in &*layout.names {
                dictionary.release(texts, name);
            }
        }
        self.bytes = 0;
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The names of all layouts.
    #[cfg(test)]
    pub(super) fn names(&self) -> impl Iterator<Item = u32> {
        let layouts = self.known.values();
        layouts.flat_map(|layout| layout.names.iter().copied())
    }
}

impl Layout {
    fn bytes(&self) -> usize {
        let label = size_of::<usize>() + size_of::<u32>();
        size_of::<(Vec<u8>, Self)>() + label * self.names.len()
    }
}

fn layout_of(labels: &[Label<'_>], dictionary: &mut Dictionary, texts: &mut Texts) -> Layout {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_unstable_by(|a, b| labels[*a].name.cmp(&labels[*b].name));
    let names = order.iter().map(|at| {
        let name = dictionary.number(texts, labels[*at].name.as_bytes());
        dictionary.retain(name);
        name
    });
    let names = names.collect();
    let metric = order.iter().position(|at| labels[*at].name == METRIC_NAME);
    let mut columns = vec![0; order.len()];
    for (column, at) in order.into_iter().enumerate() {
        columns[at] = column;
    }
    Layout {
        columns: columns.into(),
        names,
        metric: metric.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::finished::LabelReader;

    #[test]
    fn layouts_are_forgotten_when_there_are_too_many() {
        let (mut dictionary, mut texts) = (Dictionary::default(), Texts::default());
        let mut layouts = Layouts::default();
        let mut of = |line: &str, most: usize| {
            let mut reader = LabelReader::default();
            assert!(reader.read(line.as_bytes()));
            let layout = layouts.of(reader.labels(), most, &mut dictionary, &mut texts);
            let names = layout.names.iter().map(|name| texts.get(*name).to_string());
            let names = names.collect::<Vec<_>>().join(" ");
            let shown = (names, layout.columns.to_vec(), layout.metric);
            (shown, layouts.names().count(), dictionary.uses(), layout)
        };
        let first = of(r#"m{b="1",a="2"}"#, 1);
        assert_eq!(first.0, ("__name__ a b".into(), vec![0, 2, 1], 0));
        let again = of(r#"n{b="3",a="4"}"#, 1);
        assert!(Arc::ptr_eq(&first.3.names, &again.3.names));
        let other = of(r#"m{a="1",B="2"}"#, 1);
        assert_eq!(other.0, ("B __name__ a".into(), vec![1, 2, 0], 1));
        assert_eq!((other.1, other.2), (6, vec![2, 2, 1, 1]));
        // Two are more than one: both go before the next comes, and with them the uses of their names.
        let last = of(r#"m{a="1"}"#, 1);
        assert_eq!(last.0, ("__name__ a".into(), vec![0, 1], 0));
        assert_eq!((last.1, last.2.iter().sum::<u32>()), (2, 2));
    }
}
