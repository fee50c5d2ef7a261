//! The series that came in a round, and their lines while these are at hand.

use super::super::publish::Whole;
use crate::store::column::{Birth, Born};

/// Lines of more bytes in all are not copied: mostly they are those of a first round, and stand one behind the other in its text.
const COPIED_MAX: usize = 1 << 20;

/// Births of a round, in the order of its text.
///
/// Who enters them comes when the round's text has left the processor's caches, and would wait for each line: 1 to 2 of
/// the real fleet's 30 ns a sample. So the lines are copied when they are written.
#[derive(Debug, Default)]
pub(in crate::scrape) struct Births {
    /// Slot, and number of the line in the round.
    places: Vec<(u32, u32)>,
    /// Lines one behind the other, and where each ends; fewer than there are places if they are too long.
    copied: Vec<u8>,
    ends: Vec<usize>,
}

impl Births {
    /// Notes a series whose line has been written.
    pub(super) fn push(&mut self, slot: u32, number: u32, line: &[u8]) {
        let is_whole = self.ends.len() == self.places.len();
        self.places.push((slot, number));
        if is_whole && self.copied.len() + line.len() <= COPIED_MAX {
            self.copied.extend_from_slice(line);
            self.ends.push(self.copied.len());
        } else if is_whole {
            (self.copied, self.ends) = Default::default();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// As the window wants them.
    pub(in crate::scrape) fn finish(self, whole: &Whole) -> Born {
        let is_whole = self.ends.len() == self.places.len();
        let birth = |(at, (slot, number)): (usize, (u32, u32))| Birth {
            slot,
            line: if is_whole {
                at.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[at]
            } else {
                whole.place(number as usize)
            },
        };
        let births = self.places.iter().copied().enumerate().map(birth).collect();
        let text = if is_whole {
            self.copied.into()
        } else {
            whole.text.clone()
        };
        Born { text, births }
    }
}
