//! The series that came in a round, and their lines while these are at hand.

use super::super::publish::Whole;
use crate::store::column::{Birth, Born};

/// Lines of more bytes in all are not copied: mostly they are those of a first round, and stand one behind the other in
/// its text.
const COPIED_MAX: usize = 1 << 20;

/// Births of a round, in the order of its text.
///
/// Who enters them comes when the round's text has left the processor's caches, and would wait for each line: 1 to 2 ns a
/// sample of the real fleet. So the lines are copied when they are written.
#[derive(Debug, Default)]
pub(in crate::scrape) struct Births {
    /// Slots, and where each line stands in the copy.
    noted: Vec<Birth>,
    /// By birth: the number of its line in the round.
    numbers: Vec<u32>,
    copied: Vec<u8>,
    /// Whether they are too long to be copied.
    is_over: bool,
}

impl Births {
    /// Notes a series whose line has been written.
    pub(super) fn push(&mut self, slot: u32, number: u32, line: &[u8]) {
        self.is_over |= self.copied.len() + line.len() > COPIED_MAX;
        if self.is_over {
            self.copied = Vec::new();
        } else {
            self.copied.extend_from_slice(line);
        }
        let end = self.copied.len();
        let line = end.saturating_sub(line.len())..end;
        self.noted.push(Birth { slot, line });
        self.numbers.push(number);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// As the window wants them.
    pub(in crate::scrape) fn finish(mut self, whole: &Whole) -> Born {
        let mut text = self.copied.into();
        if self.is_over {
            text = whole.text.clone();
            for (birth, number) in self.noted.iter_mut().zip(self.numbers) {
                birth.line = whole.place(number as usize);
            }
        }
        Born {
            text,
            births: self.noted,
        }
    }
}
