//! Texts of labels by number, each once.
//!
//! Readers hold the [`Texts`] as they were at one moment; the writer's [`Dictionary`] finds the number of a text and
//! knows when it is free for another.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::blocks::Blocks;

/// Texts by number. With the 20,000 of a cluster a publication copies 312 pointers, and a new text a block of 64.
pub(super) type Texts = Blocks<Arc<str>, 64>;

/// The writer's side of [`Texts`].
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    hasher: DefaultHashBuilder,
    /// Texts by content.
    numbers: HashTable<u32>,
    /// By text.
    entries: Vec<Entry>,
    /// Numbers to use again.
    free: Vec<u32>,
    text_bytes: usize,
    /// The round under way.
    round: u32,
}

/// What is known of a text.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// How often it is used.
    uses: u32,
    /// The round in which it was new.
    born: u32,
    /// The text that was looked up behind it last. Series of one family come in the order of their pods, and those of the
    /// next family in the same. A guess: either number may be free or another text's by now.
    behind: u32,
}

impl Dictionary {
    /// Bytes held, those of the texts among them.
    pub(super) fn bytes(&self) -> usize {
        let entries = size_of::<Entry>() * self.entries.capacity();
        // An `Arc<str>` is two words where it is used, two counts and the text.
        let texts = self.text_bytes + 32 * self.entries.len();
        5 * self.numbers.capacity() + entries + texts
    }

    /// Texts that are new from now on are so in this round.
    pub(super) fn begin(&mut self, round: u32) {
        self.round = round;
    }

    /// Whether a text is new in this round.
    #[inline]
    pub(super) fn is_new(&self, id: u32) -> bool {
        self.entries[id as usize].born == self.round
    }

    /// The number of a text that stands where the text `before` stands in the line before, and may be the same.
    pub(super) fn number_near(&mut self, before: u32, texts: &mut Texts, text: &[u8]) -> u32 {
        if texts.get(before).as_bytes() == text {
            return before;
        }
        self.number_behind(before, texts, text)
    }

    /// The number of a text that stands where another, `before`, stood in the line before.
    #[inline]
    pub(super) fn number_behind(&mut self, before: u32, texts: &mut Texts, text: &[u8]) -> u32 {
        let known = self.entries[before as usize].behind;
        let is_it = |known: &Arc<str>| known.as_bytes() == text;
        if texts.find(known).is_some_and(is_it) {
            return known;
        }
        let id = self.number(texts, text);
        self.entries[before as usize].behind = id;
        id
    }

    /// The number of a text, UTF-8 and not empty. If it is new it is to be used at once.
    pub(super) fn number(&mut self, texts: &mut Texts, text: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(text);
        let is_text = |&id: &u32| texts.get(id).as_bytes() == text;
        if let Some(&id) = self.numbers.find(hash, is_text) {
            return id;
        }
        let new = std::str::from_utf8(text).expect("labels of a line are UTF-8");
        let id = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry {
                uses: 0,
                born: 0,
                behind: u32::MAX,
            });
            texts.push(Arc::default())
        });
        self.entries[id as usize].born = self.round;
        self.text_bytes += new.len();
        *texts.get_mut(id) = new.into();
        let (numbers, hasher) = (&mut self.numbers, &self.hasher);
        numbers.insert_unique(hash, id, |&id| hasher.hash_one(texts.get(id).as_bytes()));
        id
    }

    /// One more use of a text.
    #[inline]
    pub(super) fn retain(&mut self, id: u32) {
        self.retain_by(id, 1);
    }

    /// So many more uses of a text.
    #[inline]
    pub(super) fn retain_by(&mut self, id: u32, more: u32) {
        self.entries[id as usize].uses += more;
    }

    /// By text: how often it is used.
    #[cfg(test)]
    pub(super) fn uses(&self) -> Vec<u32> {
        self.entries.iter().map(|entry| entry.uses).collect()
    }

    /// One use less.
    #[inline]
    pub(super) fn release(&mut self, texts: &mut Texts, id: u32) {
        let uses = &mut self.entries[id as usize].uses;
        *uses -= 1;
        if *uses == 0 {
            self.forget(texts, id);
        }
    }

    /// Frees the number of a text that is not used any more.
    fn forget(&mut self, texts: &mut Texts, id: u32) {
        let text = std::mem::take(texts.get_mut(id));
        self.text_bytes -= text.len();
        let hash = self.hasher.hash_one(text.as_bytes());
        if let Ok(found) = self.numbers.find_entry(hash, |&other| other == id) {
            found.remove();
        }
        self.free.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_behind_a_text_is_only_a_guess() {
        let (mut dictionary, mut texts) = (Dictionary::default(), Texts::default());
        let a = dictionary.number(&mut texts, b"a");
        let b = dictionary.number_behind(a, &mut texts, b"b");
        dictionary.retain(a);
        dictionary.retain(b);
        assert_eq!(dictionary.number_behind(a, &mut texts, b"b"), b);
        assert_eq!(dictionary.number_near(b, &mut texts, b"b"), b);
        assert_eq!(dictionary.number_near(a, &mut texts, b"b"), b);
        // What was guessed goes, and another text has its number.
        dictionary.release(&mut texts, b);
        let c = dictionary.number(&mut texts, b"c");
        dictionary.retain(c);
        assert_eq!(c, b);
        let other = dictionary.number_behind(a, &mut texts, b"b");
        dictionary.retain(other);
        assert_ne!(other, c);
        assert_eq!(dictionary.number_behind(a, &mut texts, b"c"), c);
        // So does the text that the guess belongs to.
        dictionary.release(&mut texts, a);
        let d = dictionary.number(&mut texts, b"d");
        dictionary.retain(d);
        assert_eq!(d, a);
        assert_eq!(dictionary.number_behind(d, &mut texts, b"b"), other);
        assert_eq!(dictionary.uses(), [1, 1, 1]);
        let shown = [d, c, other].map(|id| &**texts.get(id));
        assert_eq!(shown, ["d", "c", "b"]);
    }
}
