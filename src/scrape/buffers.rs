//! Text buffers that go round: when the last reader of a snapshot has gone, its memory serves the next round.
//!
//! Without this, every round of a cluster would ask the system for fresh pages, 13 MB of them for 48,000 series.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// At most this many buffers wait for their next use: about as many as there are rounds at the same time.
const WAITING_MAX: usize = 4;

/// The buffers that wait.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    waiting: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A growing text that returns to its [`Buffers`] when dropped.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    home: Buffers,
}

impl Buffers {
    /// An empty buffer with room for about `len` bytes.
    pub fn take(&self, len: usize) -> Buffer {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that is large enough, but not one that would waste more than half of itself.
        let fits = |buffer: &Vec<u8>| (len..=2 * len).contains(&buffer.capacity());
        let best = waiting
            .iter()
            .enumerate()
            .filter(|(_, buffer)| fits(buffer))
            .min_by_key(|(_, b)| b.capacity());
        let bytes = match best.map(|(at, _)| at) {
            Some(at) => waiting.swap_remove(at),
            None => Vec::with_capacity(len),
        };
        Buffer {
            bytes,
            home: self.clone(),
        }
    }

    fn put(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == WAITING_MAX {
            waiting.remove(0);
        }
        waiting.push(bytes);
    }
}

impl Buffer {
    /// The finished text; the buffer goes home when the last slice of it is dropped.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.bytes));
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_when_the_last_reader_has_gone() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(1000);
        buffer.extend_from_slice(b"text");
        let address = buffer.as_ptr();
        let text = buffer.freeze();
        let slice = text.slice(1..3);
        drop(text);
        let other = buffers.take(1000);
        assert_ne!(other.as_ptr(), address);
        assert_eq!(&slice[..], b"ex");
        drop(slice);
        assert_eq!(buffers.take(1000).as_ptr(), address);
        drop(other);
    }

    #[test]
    fn a_small_round_does_not_hold_a_large_buffer() {
        let buffers = Buffers::default();
        drop(buffers.take(100_000));
        assert!(buffers.take(1000).capacity() <= 2000);
    }
}
