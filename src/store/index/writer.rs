//! The writer's side of an [`Index`]: births and deaths of series in, rows, texts and tables out.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::dictionary::Dictionary;
use super::{ALIVE, Grid, Index, Place, Table, Tenancy};
use crate::model::labels::METRIC_NAME;
use crate::parse::finished::{Label, LabelReader};

/// A table is written anew when one row in so many is too old.
const EXPIRED_SHARE: u32 = 4;

/// Writes the index of an era.
#[derive(Debug, Default)]
pub(in crate::store) struct IndexWriter {
    index: Index,
    hasher: DefaultHashBuilder,
    /// A text is used by each row that has it as a value, by each table and by the latest series that have it as a name.
    dictionary: Dictionary,
    /// Tables by metric name and label names.
    tables: HashMap<(u32, Arc<[u32]>), u32>,
    free_tables: Vec<u32>,
    /// By slot.
    seats: Vec<Seat>,
    /// Rows without a slot, by the hash of their cells: a series that comes again has its row again.
    resting: HashTable<Seat>,
    /// Where rows died, in the order of the rounds.
    dead: VecDeque<(u32, u32)>,
    /// By table: how many of its rows are too old; some may have come again.
    expired: HashMap<u32, u32>,
    /// The series entered last.
    latest: Latest,
    /// Whether readers do not see the latest yet.
    changed: bool,
}

/// The row of a slot, and the hash of its cells.
#[derive(Clone, Copy, Debug)]
struct Seat {
    place: Place,
    hash: u32,
}

/// A value of its own rather than an `Option`, which would take a third more.
const NO_SEAT: Seat = Seat {
    place: Place {
        table: u32::MAX,
        row: u32::MAX,
    },
    hash: 0,
};

/// What a series looked like. Series come sorted by family, so the next one mostly has the same labels and, but for a
/// few, the same values.
#[derive(Debug, Default)]
struct Latest {
    /// By the place of a label in the line: its column.
    columns: Vec<usize>,
    /// By column: the text of the name, in use as long as this is the latest. Sorted by text.
    names: Arc<[u32]>,
    /// By column: the text of the value. In use by the row of the series, so it counts until something leaves: while
    /// series enter one after the other.
    cells: Vec<u32>,
    /// The column of the metric's name.
    metric: usize,
    table: u32,
}

impl IndexWriter {
    /// Series appear, in round `number`: their slots and finished lines. Returns how many lines could not be read; their
    /// series have no row and are not selected.
    pub(in crate::store) fn enter<'a>(
        &mut self,
        number: u32,
        series: impl Iterator<Item = (u32, &'a [u8])>,
    ) -> usize {
        let (mut reader, mut unread) = (LabelReader::default(), 0);
        for (slot, line) in series {
            let before = self.vacate(slot);
            self.end(before, number);
            if reader.read(line) {
                self.enter_one(slot, number, &reader);
            } else {
                unread += 1;
            }
        }
        unread
    }

    /// The series of a line appears. The line before it, if it had the same names, was the series entered last.
    fn enter_one(&mut self, slot: u32, number: u32, line: &LabelReader<'_>) {
        self.changed = true;
        match line.changed() {
            Some(changed) => self.change_cells(line.labels(), changed),
            None => self.change_names_and_cells(line.labels()),
        }
        let table = self.table_of_latest();
        let tenancy = Tenancy {
            slot,
            born: number,
            died: ALIVE,
        };
        let hash = self.hash(table, self.latest.cells.iter().copied());
        let row = self.add_latest(hash, tenancy);
        let at = slot as usize;
        if at >= self.seats.len() {
            self.seats.resize(at + 1, NO_SEAT);
        }
        self.seats[at] = Seat {
            place: Place { table, row },
            hash,
        };
    }

    /// The latest series is one with the same names as the one before it, whose row holds its texts, and with other
    /// values in some.
    fn change_cells(&mut self, labels: &[Label<'_>], changed: &[usize]) {
        let Latest { cells, columns, .. } = &mut self.latest;
        for cell in &*cells {
            self.dictionary.reuse(*cell);
        }
        let texts = &mut self.index.texts;
        for &at in changed {
            let cell = &mut cells[columns[at]];
            self.dictionary.release(texts, *cell);
            let value = &labels[at].value;
            *cell = self.dictionary.acquire_behind(*cell, texts, value);
        }
    }

    /// From now on the latest series is this one.
    fn change_names_and_cells(&mut self, labels: &[Label<'_>]) {
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_unstable_by(|a, b| labels[*a].name.cmp(&labels[*b].name));
        let texts = &mut self.index.texts;
        let mut acquire = |text: &[u8]| self.dictionary.acquire(texts, text);
        let name = |at: &usize| labels[*at].name.as_bytes();
        let names: Vec<u32> = order.iter().map(|at| acquire(name(at))).collect();
        let cells = order.iter().map(|at| acquire(&labels[*at].value)).collect();
        let metric = order.iter().position(|at| labels[*at].name == METRIC_NAME);
        let mut columns = vec![0; order.len()];
        for (column, at) in order.into_iter().enumerate() {
            columns[at] = column;
        }
        let latest = Latest {
            columns,
            cells,
            names: names.into(),
            metric: metric.unwrap_or(0),
            table: u32::MAX,
        };
        let before = std::mem::replace(&mut self.latest, latest);
        for name in &*before.names {
            self.dictionary.release(&mut self.index.texts, *name);
        }
    }

    /// The series of these slots are no longer there, from round `number` on.
    pub(in crate::store) fn leave_all(&mut self, slots: &[u32], number: u32) {
        // All seats first, then all rows: each step waits for memory of its own.
        let left: Vec<Seat> = slots.iter().map(|slot| self.vacate(*slot)).collect();
        for seat in left {
            self.end(seat, number);
        }
    }

    /// The slot has no series from now on; returns the seat of the one that it had.
    fn vacate(&mut self, slot: u32) -> Seat {
        let seat = self.seats.get_mut(slot as usize);
        seat.map_or(NO_SEAT, |seat| std::mem::replace(seat, NO_SEAT))
    }

    /// A series that had this seat, if any had, is no longer there, from round `number` on.
    fn end(&mut self, seat: Seat, number: u32) {
        let place = seat.place;
        if place == NO_SEAT.place {
            return;
        }
        let grid = &self.index.table(place.table).grid;
        grid.tenancies[place.row as usize][2].store(number, Ordering::Relaxed);
        self.dead.push_back((number, place.table));
        self.rest(seat);
    }

    /// Forgets rows that were not there in round `oldest` or later: in tables where they are many.
    pub(in crate::store) fn expire(&mut self, oldest: u32) {
        let mut touched = Vec::new();
        while let Some(&(_, table)) = self.dead.front().filter(|(died, _)| *died < oldest) {
            self.dead.pop_front();
            *self.expired.entry(table).or_default() += 1;
            touched.push(table);
        }
        touched.sort_unstable();
        touched.dedup();
        for table in touched {
            let rows = self.index.tables[table as usize]
                .as_ref()
                .map_or(0, |t| t.rows);
            let expired = self.expired.get(&table).copied().unwrap_or(0);
            if expired.saturating_mul(EXPIRED_SHARE) >= rows {
                self.expired.remove(&table);
                self.changed = true;
                self.expire_rows(table, oldest);
            }
        }
    }

    /// Makes what readers see the latest.
    pub(in crate::store) fn publish(&mut self, seen: &mut Arc<Index>) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let seats = size_of::<Seat>() * self.seats.capacity();
        let resting = (size_of::<Seat>() + 1) * self.resting.capacity();
        self.index.other_bytes = self.dictionary.bytes() + seats + resting;
        *seen = Arc::new(self.index.clone());
    }

    /// The table of the latest series.
    fn table_of_latest(&mut self) -> u32 {
        let Latest { cells, names, .. } = &self.latest;
        let metric = cells[self.latest.metric];
        let table = self.index.tables.get(self.latest.table as usize);
        let table = table.and_then(|table| table.as_ref());
        if table.is_none_or(|table| table.metric != metric || table.names != *names) {
            self.latest.table = self.table_of(metric, &names.clone());
        }
        self.latest.table
    }

    /// The table for these names.
    fn table_of(&mut self, metric: u32, names: &Arc<[u32]>) -> u32 {
        let key = (metric, names.clone());
        if let Some(&table) = self.tables.get(&key) {
            return table;
        }
        for &name in &**names {
            self.dictionary.reuse(name);
        }
        let id = self.free_tables.pop().unwrap_or_else(|| {
            self.index.tables.push(None);
            u32::try_from(self.index.tables.len() - 1).expect("not more tables than series")
        });
        self.index.tables[id as usize] = Some(Arc::new(Table {
            grid: Arc::new(Grid::empty(names.len())),
            names: names.clone(),
            metric,
            rows: 0,
            earlier: Arc::default(),
        }));
        self.tables.insert(key, id);
        let name = self.index.texts.get(metric);
        let at = self
            .index
            .by_name
            .partition_point(|other| self.index.metric(*other) <= name);
        Arc::make_mut(&mut self.index.by_name).insert(at, id);
        id
    }

    /// A row for the latest series: the one that it had, or a new one.
    fn add_latest(&mut self, hash: u32, tenancy: Tenancy) -> u32 {
        let Latest { cells, table, .. } = &self.latest;
        let has_cells = |seat: &Seat| self.has_cells(seat.place, *table, cells);
        let resting = self.resting.find(spread(hash), has_cells).copied();
        let of_table = self.index.tables[*table as usize].as_mut();
        let of_table = Arc::make_mut(of_table.expect("a place is in a table that is there"));
        let Some(seat) = resting else {
            self.index.rows += 1;
            return of_table.push(cells, tenancy);
        };
        of_table.renew(seat.place.row, tenancy);
        self.forget_resting(seat);
        self.release_row(seat.place);
        seat.place.row
    }

    /// A row has no slot from now on.
    fn rest(&mut self, seat: Seat) {
        let hash = |seat: &Seat| spread(seat.hash);
        self.resting.insert_unique(spread(seat.hash), seat, hash);
    }

    fn forget_resting(&mut self, seat: Seat) {
        let is_seat = |other: &Seat| other.place == seat.place;
        if let Ok(found) = self.resting.find_entry(spread(seat.hash), is_seat) {
            found.remove();
        }
    }

    fn has_cells(&self, place: Place, table: u32, cells: &[u32]) -> bool {
        let columns = &self.index.table(place.table).grid.columns;
        let row = place.row as usize;
        place.table == table
            && columns
                .iter()
                .zip(cells)
                .all(|(column, &cell)| column.get(row) == cell)
    }

    fn hash_of_row(&self, place: Place) -> u32 {
        let columns = &self.index.table(place.table).grid.columns;
        let row = place.row as usize;
        self.hash(place.table, columns.iter().map(|column| column.get(row)))
    }

    fn hash(&self, table: u32, cells: impl Iterator<Item = u32>) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u32(table);
        cells.for_each(|cell| hasher.write_u32(cell));
        let [low @ .., _, _, _, _] = hasher.finish().to_le_bytes();
        u32::from_le_bytes(low)
    }

    /// Gives back the texts of one row.
    fn release_row(&mut self, place: Place) {
        let table = self.index.table(place.table).clone();
        for column in &table.grid.columns {
            let text = column.get(place.row as usize);
            self.dictionary.release(&mut self.index.texts, text);
        }
    }

    fn expire_rows(&mut self, id: u32, oldest: u32) {
        let Some(table) = self.index.tables[id as usize].clone() else {
            return;
        };
        let mut kept: Vec<u32> = Vec::with_capacity(table.rows as usize);
        for row in 0..table.rows {
            if table.grid.died(row) >= oldest {
                kept.push(row);
                continue;
            }
            let place = Place { table: id, row };
            let hash = self.hash_of_row(place);
            self.forget_resting(Seat { place, hash });
            self.release_row(place);
        }
        self.index.rows -= table.rows as usize - kept.len();
        if kept.is_empty() {
            self.drop_table(id, &table);
        } else {
            self.keep_rows(id, &table, &kept, oldest);
        }
    }

    fn drop_table(&mut self, id: u32, table: &Table) {
        self.tables.remove(&(table.metric, table.names.clone()));
        Arc::make_mut(&mut self.index.by_name).retain(|other| *other != id);
        self.index.tables[id as usize] = None;
        self.free_tables.push(id);
        for name in &*table.names {
            self.dictionary.release(&mut self.index.texts, *name);
        }
    }

    /// Moves the rows that stay together.
    fn keep_rows(&mut self, id: u32, table: &Table, kept: &[u32], oldest: u32) {
        let mut resting = Vec::new();
        for (row, &old) in (0..).zip(kept) {
            let (tenancy, place) = (table.tenancy(old), Place { table: id, row });
            if tenancy.died == ALIVE {
                self.seats[tenancy.slot as usize].place = place;
            } else {
                let old = Place { row: old, ..place };
                let hash = self.hash_of_row(old);
                self.forget_resting(Seat { place: old, hash });
                resting.push(Seat { place, hash });
            }
        }
        for seat in resting {
            self.rest(seat);
        }
        let held = |(row, old): (u32, &u32)| {
            let still = table.earlier(*old).iter().filter(|(_, t)| t.died >= oldest);
            still
                .map(move |(_, tenancy)| (row, *tenancy))
                .collect::<Vec<_>>()
        };
        let earlier = if table.earlier.is_empty() {
            Vec::new()
        } else {
            (0..).zip(kept).flat_map(held).collect()
        };
        // Where as many series come as go, a third of these have come when a quarter of all is too old: until then the
        // table is not written anew for want of room.
        let capacity = kept.len() + kept.len() / (EXPIRED_SHARE as usize - 1) + 2;
        self.index.tables[id as usize] = Some(Arc::new(Table {
            names: table.names.clone(),
            grid: Arc::new(table.grid.of_rows(&kept.iter().copied(), capacity, None)),
            metric: table.metric,
            rows: u32::try_from(kept.len()).expect("rows are 32 bits wide"),
            earlier: Arc::new(earlier),
        }));
    }
}

#[cfg(test)]
impl IndexWriter {
    /// How often each text is counted, and how often it is used.
    pub(in crate::store) fn uses(&self) -> (&[u32], Vec<u32>) {
        let mut used = vec![0; self.index.texts.len()];
        let mut count = |id: u32| used[id as usize] += 1;
        self.latest.names.iter().copied().for_each(&mut count);
        for table in self.index.tables.iter().flatten() {
            table.names.iter().copied().for_each(&mut count);
            for row in 0..table.rows as usize {
                let columns = table.grid.columns.iter();
                columns.map(|column| column.get(row)).for_each(&mut count);
            }
        }
        (self.dictionary.uses(), used)
    }
}

/// The hash of a seat with all bits in use, as a table wants them.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn under_steady_churn_a_table_is_written_anew_only_when_rows_expire() {
        const SERIES: u32 = 100;
        const CHURN: u32 = 5;
        const ROUNDS_KEPT: u32 = 20;
        let mut writer = IndexWriter::default();
        let mut pods = 0..;
        let mut enter = |writer: &mut IndexWriter, round: u32, slots: &[u32]| {
            let pods = pods.by_ref().take(slots.len());
            let lines = pods.map(|pod: u32| format!("m{{pod=\"p{pod}\"}} 1 1\n"));
            let lines: Vec<(u32, String)> = slots.iter().copied().zip(lines).collect();
            let lines = lines.iter().map(|(slot, line)| (*slot, line.as_bytes()));
            assert_eq!(writer.enter(round, lines), 0);
        };
        let grid = |writer: &IndexWriter| Arc::as_ptr(&writer.index.table(0).grid);
        enter(&mut writer, 0, &(0..SERIES).collect::<Vec<_>>());
        let mut shrunk = 0;
        for round in 1..300 {
            let first = round * CHURN % SERIES;
            let slots: Vec<u32> = (first..first + CHURN).collect();
            writer.leave_all(&slots, round);
            let before = grid(&writer);
            enter(&mut writer, round, &slots);
            let steady = round > 3 * ROUNDS_KEPT;
            assert!(!steady || grid(&writer) == before, "no room in {round}");
            let before = writer.index.table(0).rows;
            writer.expire(round.saturating_sub(ROUNDS_KEPT));
            shrunk += u32::from(steady && writer.index.table(0).rows < before);
        }
        assert!(shrunk > 10, "{shrunk}");
    }
}
