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
    /// The text that was acquired behind it last. Series of one family come in the order of their pods, and those of the
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

    /// One more use of a text that stands where the text `before` stands in the line before, and may be the same.
    pub(super) fn acquire_near(&mut self, before: u32, texts: &mut Texts, text: &[u8]) -> u32 {
        if texts.get(before).as_bytes() == text {
            self.reuse(before);
            return before;
        }
        self.acquire_behind(before, texts, text)
    }

    /// One more use of a text, not empty, that stands where another, `before`, stood in the line before; returns its
    /// number.
    #[inline]
    pub(super) fn acquire_behind(&mut self, before: u32, texts: &mut Texts, text: &[u8]) -> u32 {
        let known = self.entries[before as usize].behind;
        let is_it = |known: &Arc<str>| known.as_bytes() == text;
        if texts.find(known).is_some_and(is_it) {
            self.reuse(known);
            return known;
        }
        let id = self.acquire(texts, text);
        self.entries[before as usize].behind = id;
        id
    }

    /// One more use of a text; returns its number.
    pub(super) fn acquire(&mut self, texts: &mut Texts, text: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(text);
        let is_text = |&id: &u32| texts.get(id).as_bytes() == text;
        if let Some(&id) = self.numbers.find(hash, is_text) {
            self.reuse(id);
            return id;
        }
        let Ok(new) = std::str::from_utf8(text) else {
            return self.acquire(texts, String::from_utf8_lossy(text).as_bytes());
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry {
                uses: 0,
                born: 0,
                behind: u32::MAX,
            });
            texts.push(Arc::default());
            u32::try_from(self.entries.len() - 1).expect("fewer texts than bytes in a body")
        });
        let entry = &mut self.entries[id as usize];
        (entry.uses, entry.born) = (1, self.round);
        self.text_bytes += new.len();
        *texts.get_mut(id) = new.into();
        let (numbers, hasher) = (&mut self.numbers, &self.hasher);
        numbers.insert_unique(hash, id, |&id| hasher.hash_one(texts.get(id).as_bytes()));
        id
    }

    /// One more use of a text that is in use.
    #[inline]
    pub(super) fn reuse(&mut self, id: u32) {
        self.entries[id as usize].uses += 1;
    }

    /// So many more uses of a text that is in use.
    pub(super) fn reuse_by(&mut self, id: u32, more: u32) {
        self.entries[id as usize].uses += more;
    }

    /// By text: how often it is used.
    #[cfg(test)]
    pub(super) fn uses(&self) -> Vec<u32> {
        self.entries.iter().map(|entry| entry.uses).collect()
    }

    /// One use less.
    pub(super) fn release(&mut self, texts: &mut Texts, id: u32) {
        let uses = &mut self.entries[id as usize].uses;
        *uses -= 1;
        if *uses > 0 {
            return;
        }
        let text = texts.get(id).clone();
        self.text_bytes -= text.len();
        let hash = self.hasher.hash_one(text.as_bytes());
        if let Ok(found) = self.numbers.find_entry(hash, |&other| other == id) {
            found.remove();
        }
        *texts.get_mut(id) = Arc::default();
        self.free.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_behind_a_text_is_only_a_guess() {
        let (mut dictionary, mut texts) = (Dictionary::default(), Texts::default());
        let a = dictionary.acquire(&mut texts, b"a");
        let b = dictionary.acquire_behind(a, &mut texts, b"b");
        assert_eq!(dictionary.acquire_behind(a, &mut texts, b"b"), b);
        assert_eq!(dictionary.uses(), [1, 2]);
        // What was guessed goes, and another text has its number.
        dictionary.release(&mut texts, b);
        dictionary.release(&mut texts, b);
        let c = dictionary.acquire(&mut texts, b"c");
        assert_eq!(c, b);
        let other = dictionary.acquire_behind(a, &mut texts, b"b");
        assert_ne!(other, c);
        assert_eq!(dictionary.acquire_behind(a, &mut texts, b"c"), c);
        // So does the text that the guess belongs to.
        dictionary.release(&mut texts, a);
        let d = dictionary.acquire(&mut texts, b"d");
        assert_eq!(d, a);
        assert_eq!(dictionary.acquire_behind(d, &mut texts, b"b"), other);
        assert_eq!(dictionary.uses(), [1, 2, 2]);
        let shown = [d, c, other].map(|id| &**texts.get(id));
        assert_eq!(shown, ["d", "c", "b"]);
    }
}
