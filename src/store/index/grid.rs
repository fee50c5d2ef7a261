//! The rows of a table: for each series its slot, when it was there, and a cell for each label whose value is not the same
//! in all rows.
//!
//! Row after row: a birth writes one or two lines of the processor's cache, a death and an expiry touch one, and who reads
//! labels reads them together. By column a matcher would look at fewer lines, but tables mostly have some hundred rows, and
//! where one series in a hundred is new in every round, births and deaths cost as much as all samples.

use std::sync::atomic::{AtomicU32, Ordering};

/// When a series had a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Tenancy {
    pub(in crate::store) slot: u32,
    /// Number of the first round with the series.
    pub(in crate::store) born: u32,
    /// Number of the first round without it; [`ALIVE`] while there is none.
    pub(in crate::store) died: u32,
}

pub(in crate::store) const ALIVE: u32 = u32::MAX;

/// The places of slot, born and died in a row; behind them come its cells.
const SLOT: usize = 0;
const BORN: usize = 1;
const DIED: usize = 2;
const CELLS: usize = 3;

/// A label of all rows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    /// The text that all rows have.
    One(u32),
    /// Where in a row its text stands: in the order of the columns.
    Each(usize),
}

/// In the place of the text that all rows have, if they do not have one.
const EACH: u32 = u32::MAX;

/// Rows and room for more. What readers know of is not written again, but for deaths.
#[derive(Debug)]
pub(super) struct Grid {
    /// By label: the text that all rows have, or [`EACH`].
    shared: Box<[u32]>,
    /// Numbers of a row.
    width: usize,
    /// How many rows there is room for.
    capacity: usize,
    numbers: Box<[AtomicU32]>,
}

impl Grid {
    /// Without rows and without room.
    pub(super) fn empty(columns: usize) -> Self {
        Self {
            shared: vec![0; columns].into(),
            width: CELLS,
            capacity: 0,
            numbers: Box::default(),
        }
    }

    /// A copy of some rows, in which there is room for `capacity`, and in the columns also for these cells.
    pub(super) fn of_rows(
        &self,
        rows: &(impl ExactSizeIterator<Item = u32> + Clone),
        capacity: usize,
        cells: Option<&[u32]>,
    ) -> Self {
        let mut shared = self.shared.clone();
        let known = shared.iter_mut().zip(cells.unwrap_or_default());
        for (known, cell) in known {
            if rows.len() == 0 {
                *known = *cell;
            } else if *known != *cell {
                *known = EACH;
            }
        }
        let each = shared.iter().filter(|text| **text == EACH);
        let width = CELLS + each.count();
        let mut numbers = Vec::with_capacity(capacity * width);
        let copy = |number: &AtomicU32| AtomicU32::new(number.load(Ordering::Relaxed));
        for row in rows.clone() {
            let row = self.row(row);
            if width == self.width {
                numbers.extend(row.iter().map(copy)); // no column has come, and none ever goes
                continue;
            }
            numbers.extend(row[..CELLS].iter().map(copy));
            let cells = self.cells_of(row).zip(&shared);
            let each = cells.filter(|(_, shared)| **shared == EACH);
            numbers.extend(each.map(|(cell, _)| AtomicU32::new(cell)));
        }
        numbers.resize_with(capacity * width, Default::default);
        Self {
            shared,
            width,
            capacity,
            numbers: numbers.into(),
        }
    }

    /// How many rows there is room for.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The labels, as many as the table has names.
    pub(super) fn columns(&self) -> impl Iterator<Item = Column> {
        self.shared.iter().scan(CELLS, |next, &text| {
            if text != EACH {
                return Some(Column::One(text));
            }
            *next += 1;
            Some(Column::Each(*next - 1))
        })
    }

    /// The numbers of a row, of which a [`Column`] knows its own.
    #[inline]
    pub(super) fn row(&self, row: u32) -> &[AtomicU32] {
        let begin = row as usize * self.width;
        &self.numbers[begin..begin + self.width]
    }

    /// The text of each label of a row.
    #[inline]
    pub(super) fn cells(&self, row: u32) -> impl ExactSizeIterator<Item = u32> {
        self.cells_of(self.row(row))
    }

    #[inline]
    fn cells_of(&self, row: &[AtomicU32]) -> impl ExactSizeIterator<Item = u32> {
        let mut own = row[CELLS..].iter();
        self.shared.iter().map(move |&text| match text {
            EACH => own.next().map_or(EACH, |cell| cell.load(Ordering::Relaxed)),
            text => text,
        })
    }

    /// The texts of the labels in which rows differ.
    #[inline]
    pub(super) fn own_cells(&self, row: u32) -> impl Iterator<Item = u32> {
        let cells = self.row(row)[CELLS..].iter();
        cells.map(|cell| cell.load(Ordering::Relaxed))
    }

    /// The texts of the labels in which they do not.
    pub(super) fn shared_cells(&self) -> impl Iterator<Item = u32> {
        self.shared.iter().copied().filter(|text| *text != EACH)
    }

    /// Whether a row with these cells can be written at a place.
    pub(super) fn has_room(&self, row: u32, cells: &[u32]) -> bool {
        let columns = self.shared.iter().zip(cells);
        // Counted, since nearly always all fit: several are compared at once.
        let misfits = columns.filter(|(shared, cell)| shared != cell && **shared != EACH);
        (row as usize) < self.capacity() && misfits.count() == 0
    }

    /// Writes a row for which there is room.
    pub(super) fn put(&self, row: u32, cells: &[u32], tenancy: Tenancy) {
        self.put_tenancy(row, tenancy);
        let cells = self.shared.iter().zip(cells);
        let own = cells.filter(|(shared, _)| **shared == EACH);
        for (place, (_, cell)) in self.row(row)[CELLS..].iter().zip(own) {
            place.store(*cell, Ordering::Relaxed);
        }
    }

    pub(super) fn put_tenancy(&self, row: u32, tenancy: Tenancy) {
        let row = self.row(row);
        row[SLOT].store(tenancy.slot, Ordering::Relaxed);
        row[BORN].store(tenancy.born, Ordering::Relaxed);
        row[DIED].store(tenancy.died, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn tenancy(&self, row: u32) -> Tenancy {
        let row = self.row(row);
        Tenancy {
            slot: row[SLOT].load(Ordering::Relaxed),
            born: row[BORN].load(Ordering::Relaxed),
            died: row[DIED].load(Ordering::Relaxed),
        }
    }

    /// Number of the first round without the series of a row.
    #[inline]
    pub(super) fn died(&self, row: u32) -> u32 {
        self.row(row)[DIED].load(Ordering::Relaxed)
    }

    /// The series of a row is no longer there, from round `number` on.
    pub(super) fn end(&self, row: u32, number: u32) {
        self.row(row)[DIED].store(number, Ordering::Relaxed);
    }

    /// Bytes held, without the grid itself.
    pub(super) fn bytes(&self) -> usize {
        4 * (self.shared.len() + self.numbers.len())
    }
}
