//! Memory of rounds that goes round: when the last reader of a snapshot has gone, its text and its table of lines serve
//! the next round.
//!
//! Without this, every round of a cluster would ask the system for fresh pages, 14 MB of them for 48,000 series.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::snapshot::Line;

/// At most this many buffers of a kind wait for their next use: about as many as there are rounds at the same time.
const WAITING_MAX: usize = 4;

/// The buffers that wait, of all clusters.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    /// For texts.
    pub texts: Waiting<u8>,
    /// For tables of lines.
    pub lines: Waiting<Line>,
}

/// Buffers of one kind.
#[derive(Clone, Debug)]
pub struct Waiting<T>(Arc<Mutex<Vec<Vec<T>>>>);

/// A growing list that returns to where it was taken from when dropped.
#[derive(Debug)]
pub struct Buffer<T> {
    items: Vec<T>,
    home: Waiting<T>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Waiting<T> {
    /// An empty buffer with room for about `len` items.
    pub fn take(&self, len: usize) -> Buffer<T> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that is large enough, but not one that would waste more than half of itself.
        let fits = |buffer: &Vec<T>| (len..=2 * len).contains(&buffer.capacity());
        let best = waiting
            .iter()
            .enumerate()
            .filter(|(_, buffer)| fits(buffer))
            .min_by_key(|(_, b)| b.capacity());
        let items = match best.map(|(at, _)| at) {
            Some(at) => waiting.swap_remove(at),
            None => Vec::with_capacity(len),
        };
        Buffer {
            items,
            home: Self(self.0.clone()),
        }
    }

    fn put(&self, mut items: Vec<T>) {
        items.clear();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == WAITING_MAX {
            waiting.remove(0);
        }
        waiting.push(items);
    }
}

impl Buffer<u8> {
    /// Appends a text that is mostly 16 to 32 bytes long: as its first and its last 16 bytes, which may overlap. So
    /// nothing depends on how long it is, which differs from line to line.
    #[inline]
    pub fn append_short(&mut self, text: &[u8]) {
        let text_len = text.len();
        match (text.first_chunk::<16>(), text.last_chunk::<16>()) {
            (Some(first), Some(last)) if text_len <= 32 => {
                let end = self.items.len() + text_len;
                self.items.extend_from_slice(first);
                self.items.truncate(end - 16);
                self.items.extend_from_slice(last);
            }
            _ => self.items.extend_from_slice(text),
        }
    }

    /// The finished text; the buffer goes home when the last slice of it is dropped.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

/// A list that goes nowhere when dropped.
impl<T> From<Vec<T>> for Buffer<T> {
    fn from(items: Vec<T>) -> Self {
        Self {
            items,
            home: Waiting::default(),
        }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.items));
    }
}

impl<T> Deref for Buffer<T> {
    type Target = Vec<T>;
    fn deref(&self) -> &Vec<T> {
        &self.items
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.items
    }
}

impl AsRef<[u8]> for Buffer<u8> {
    fn as_ref(&self) -> &[u8] {
        &self.items
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Lines;
    use super::*;

    #[test]
    fn memory_comes_back_when_the_last_reader_has_gone() {
        let buffers = Buffers::default();
        let mut buffer = buffers.texts.take(1000);
        buffer.extend_from_slice(b"text");
        let address = buffer.as_ptr();
        let text = buffer.freeze();
        let slice = text.slice(1..3);
        drop(text);
        let other = buffers.texts.take(1000);
        assert_ne!(other.as_ptr(), address);
        assert_eq!(&slice[..], b"ex");
        drop(slice);
        assert_eq!(buffers.texts.take(1000).as_ptr(), address);
        drop(other);
    }

    #[test]
    fn a_table_of_lines_comes_back_too() {
        let buffers = Buffers::default();
        let mut lines = buffers.lines.take(10);
        lines.push(Line {
            start: 0,
            slot: 0,
            born: 1,
        });
        let (address, lines) = (lines.as_ptr(), Arc::new(lines));
        let family = Lines::new(lines.clone(), 0..1);
        drop(lines);
        let other = buffers.lines.take(10);
        assert_ne!(other.as_ptr(), address);
        drop(family);
        let again = buffers.lines.take(10);
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
        drop(other);
    }

    #[test]
    fn a_small_round_does_not_hold_a_large_buffer() {
        let buffers = Buffers::default();
        drop(buffers.texts.take(100_000));
        assert!(buffers.texts.take(1000).capacity() <= 2000);
    }

    #[test]
    fn a_short_text_is_appended_whole_whatever_its_length() {
        let text: Vec<u8> = (0..64).collect();
        for len in 0..=text.len() {
            // Room for all, and none: then it grows in between.
            for room in [0, 100] {
                let mut buffer = Buffers::default().texts.take(room);
                buffer.extend_from_slice(b"before");
                buffer.append_short(&text[..len]);
                assert_eq!(buffer[..], [b"before", &text[..len]].concat());
            }
        }
    }
}
