//! Byte strings stored once, counted, and named by small numbers.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// The strings of one cluster: its line endings, its metric names.
#[derive(Debug, Default)]
pub(super) struct Interner {
    entries: Vec<Entry>,
    table: HashTable<u32>,
    free: Vec<u32>,
    hasher: DefaultHashBuilder,
}

#[derive(Debug, Default)]
struct Entry {
    bytes: Box<[u8]>,
    uses: u32,
}

impl Interner {
    /// The number of `bytes`, used once more.
    pub(super) fn acquire(&mut self, bytes: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(bytes);
        if let Some(&id) = self
            .table
            .find(hash, |&id| *self.entries[id as usize].bytes == *bytes)
        {
            self.entries[id as usize].uses += 1;
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            u32::try_from(self.entries.len() - 1)
                .expect("fewer strings than lines, fewer lines than bytes")
        });
        self.entries[id as usize] = Entry {
            bytes: bytes.into(),
            uses: 1,
        };
        let Self {
            entries,
            table,
            hasher,
            ..
        } = self;
        table.insert_unique(hash, id, |&id| {
            hasher.hash_one(&*entries[id as usize].bytes)
        });
        id
    }

    /// One use less; true when it was the last and the number is free for another string.
    pub(super) fn release(&mut self, id: u32) -> bool {
        let entry = &mut self.entries[id as usize];
        entry.uses -= 1;
        if entry.uses > 0 {
            return false;
        }
        let hash = self.hasher.hash_one(&*entry.bytes);
        if let Ok(found) = self.table.find_entry(hash, |&other| other == id) {
            found.remove();
        }
        entry.bytes = Box::default();
        self.free.push(id);
        true
    }

    /// The string of a number in use.
    #[inline]
    pub(super) fn get(&self, id: u32) -> &[u8] {
        &self.entries[id as usize].bytes
    }

    /// The number of a string, if it is in use.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(bytes);
        self.table
            .find(hash, |&id| *self.entries[id as usize].bytes == *bytes)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_stored_until_its_last_use_ends() {
        let mut strings = Interner::default();
        let (a, b) = (strings.acquire(b"a"), strings.acquire(b"b"));
        assert_ne!(a, b);
        assert_eq!(strings.acquire(b"a"), a);
        assert!(!strings.release(a));
        assert_eq!(strings.find(b"a"), Some(a));
        assert!(strings.release(a));
        assert_eq!((strings.find(b"a"), strings.table.len()), (None, 1));
        assert_eq!(strings.acquire(b"c"), a, "numbers are used again");
        assert_eq!((strings.get(a), strings.get(b)), (&b"c"[..], &b"b"[..]));
    }
}
