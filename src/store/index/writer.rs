//! The writer's side of an [`Index`]: births and deaths of series in, rows, texts and tables out.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::dictionary::Dictionary;
use super::grid::{ALIVE, Column, Grid, Tenancy};
use super::layouts::{Layout, Layouts};
use super::{Index, Place, Table};
use crate::parse::finished::{Label, LabelReader};

/// A table is written anew when one row in so many is too old.
const EXPIRED_SHARE: u32 = 3;

/// How many more layouts of labels than tables are kept.
const LAYOUTS: usize = 16;

/// A step writes tables anew until it has gone over so many rows, at 0.1 to 0.3 µs each; a table is not divided.
const EXPIRED_STEP: u32 = 1 << 13;

/// Writes the index of an era.
#[derive(Debug, Default)]
pub(in crate::store) struct IndexWriter {
    index: Index,
    hasher: DefaultHashBuilder,
    /// A text is used by each row that has it as a value of its own, by each table that has it as a name or as the value
    /// of all rows, and by each layout that has it as a name.
    dictionary: Dictionary,
    layouts: Layouts,
    /// Tables by metric name and label names.
    tables: HashMap<(u32, Arc<[u32]>), u32>,
    free_tables: Vec<u32>,
    /// By slot.
    seats: Vec<Place>,
    /// By table.
    ended: Vec<Ended>,
    /// By table: the one that a series came to behind one of its own, the last time. A guess, as series come sorted by
    /// family, and the same families in most rounds.
    behind: Vec<u32>,
    /// What these take, as of the last time that rows were forgotten: to ask all of them is too dear for each round.
    ended_bytes: usize,
    /// Where rows died, in the order of the rounds: round and table.
    dead: VecDeque<(u32, u32)>,
    /// Tables in which so many rows are too old that they are to be written anew.
    due: Vec<u32>,
    /// The series entered last.
    latest: Latest,
    /// Whether readers do not see the latest yet.
    changed: bool,
}

/// The seat of a slot without a series. A value of its own rather than an `Option`, which would take a half more.
const NO_SEAT: Place = Place {
    table: u32::MAX,
    row: u32::MAX,
};

/// The rows of a table that have no slot any more.
#[derive(Debug, Default)]
struct Ended {
    /// By the hash of their texts: a series that comes again has its row again. Only from when one might on, which most
    /// tables never see, until the table is written anew.
    rows: Option<HashTable<u32>>,
    /// How many of them are too old; some of these may have come again.
    expired: u32,
    /// Whether the table is to be written anew.
    is_due: bool,
}

impl Ended {
    fn bytes(&self) -> usize {
        let rows = self.rows.as_ref().map_or(0, HashTable::capacity);
        size_of::<Self>() + (size_of::<u32>() + 1) * rows
    }
}

/// What a series looked like. Series come sorted by family, so the next one mostly has the same labels and, but for a
/// few, the same values.
#[derive(Debug, Default)]
struct Latest {
    layout: Layout,
    /// By column: the text of the value.
    cells: Vec<u32>,
    table: u32,
}

impl Latest {
    /// The value of a label, if it has one.
    fn cell_of(&self, name: u32) -> Option<u32> {
        let mut names = self.layout.names.iter();
        let column = names.position(|known| *known == name)?;
        self.cells.get(column).copied()
    }
}

impl IndexWriter {
    /// Series appear, in round `number`: their slots and finished lines. Returns how many lines could not be read; their
    /// series have no row and are not selected.
    pub(in crate::store) fn enter<'a>(
        &mut self,
        number: u32,
        series: impl Iterator<Item = (u32, &'a [u8])> + Clone,
    ) -> usize {
        let slots: Vec<u32> = series.clone().map(|(slot, _)| slot).collect();
        self.leave_all(&slots, number);
        self.dictionary.begin(number);
        let (mut reader, mut unread) = (LabelReader::default(), 0);
        for (slot, line) in series {
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
        let row = self.add_latest(tenancy);
        let at = slot as usize;
        if at >= self.seats.len() {
            self.seats.resize(at + 1, NO_SEAT);
        }
        self.seats[at] = Place { table, row };
    }

    /// The latest series is one with the same names as the one before it, and with other values in some.
    fn change_cells(&mut self, labels: &[Label<'_>], changed: &[usize]) {
        let Latest { cells, layout, .. } = &mut self.latest;
        let texts = &mut self.index.texts;
        for &at in changed {
            let cell = &mut cells[layout.columns[at]];
            let value = &labels[at].value;
            *cell = self.dictionary.number_behind(*cell, texts, value);
        }
    }

    /// From now on the latest series is this one.
    fn change_names_and_cells(&mut self, labels: &[Label<'_>]) {
        let most = LAYOUTS + self.tables.len();
        let texts = &mut self.index.texts;
        let layout = self.layouts.of(labels, most, &mut self.dictionary, texts);
        let mut cells = vec![0; labels.len()];
        for (&column, Label { value, .. }) in layout.columns.iter().zip(labels) {
            cells[column] = match self.latest.cell_of(layout.names[column]) {
                Some(before) => self.dictionary.number_near(before, texts, value),
                None => self.dictionary.number(texts, value),
            };
        }
        (self.latest.layout, self.latest.cells) = (layout, cells);
    }

    /// The series of these slots are no longer there, from round `number` on.
    pub(in crate::store) fn leave_all(&mut self, slots: &[u32], number: u32) {
        // All seats first, then all rows: each loop waits for memory of its own, and is so short that the processor waits
        // for that of several series at once.
        let mut left: Vec<Place> = slots.iter().map(|slot| self.vacate(*slot)).collect();
        left.retain(|seat| *seat != NO_SEAT);
        for &Place { table, row } in &left {
            self.index.table(table).grid.end(row, number);
        }
        for Place { table, row } in left {
            self.dead.push_back((number, table));
            if let Some(rows) = &mut self.ended[table as usize].rows {
                let hash = |row: &u32| hash_of(&self.hasher, self.index.table(table), *row);
                rows.insert_unique(hash(&row), row, hash);
            }
        }
    }

    /// The slot has no series from now on; returns the seat of the one that it had.
    fn vacate(&mut self, slot: u32) -> Place {
        let seat = self.seats.get_mut(slot as usize);
        seat.map_or(NO_SEAT, |seat| std::mem::replace(seat, NO_SEAT))
    }

    /// Forgets rows that were not there in round `oldest` or later: in tables where they are many. A step of it; false if
    /// there are more.
    pub(in crate::store) fn expire(&mut self, oldest: u32) -> bool {
        self.count_expired(oldest);
        let mut rows = 0;
        while rows < EXPIRED_STEP
            && let Some(table) = self.due.pop()
        {
            rows += self.index.table(table).rows;
            self.changed = true;
            self.expire_rows(table, oldest);
        }
        self.ended_bytes = self.ended.iter().map(Ended::bytes).sum();
        self.due.is_empty()
    }

    fn count_expired(&mut self, oldest: u32) {
        let is_old = |(died, _): &(u32, u32)| *died < oldest;
        let old = self.dead.partition_point(is_old);
        let mut tables: Vec<u32> = self.dead.drain(..old).map(|(_, table)| table).collect();
        for &table in &tables {
            self.ended[table as usize].expired += 1;
        }
        // How many rows a table has is asked once: it is far from the processor.
        tables.sort_unstable();
        tables.dedup();
        for table in tables {
            let ended = &mut self.ended[table as usize];
            let rows = self.index.table(table).rows;
            if !ended.is_due && ended.expired.saturating_mul(EXPIRED_SHARE) >= rows {
                ended.is_due = true;
                self.due.push(table);
            }
        }
    }

    /// Makes what readers see the latest.
    pub(in crate::store) fn publish(&mut self, seen: &mut Arc<Index>) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let seats = size_of::<Place>() * self.seats.capacity();
        let tables = self.ended_bytes + size_of::<u32>() * self.behind.capacity();
        self.index.other_bytes = self.dictionary.bytes() + self.layouts.bytes() + seats + tables;
        *seen = Arc::new(self.index.clone());
    }

    /// The table of the latest series, for which that of the one before it stands.
    fn table_of_latest(&mut self) -> u32 {
        let Latest {
            cells,
            layout,
            table: before,
        } = &self.latest;
        let (metric, names) = (cells[layout.metric], &layout.names);
        let is_it = |table: u32| {
            let table = self
                .index
                .tables
                .find(table)
                .and_then(|table| table.as_ref());
            table.is_some_and(|table| table.metric == metric && table.names == *names)
        };
        let before = *before;
        if is_it(before) {
            return before;
        }
        let guess = self.behind.get(before as usize).copied();
        let table = match guess.filter(|guess| is_it(*guess)) {
            Some(table) => table,
            None => self.table_of(metric, &names.clone()),
        };
        if let Some(behind) = self.behind.get_mut(before as usize) {
            *behind = table;
        }
        self.latest.table = table;
        table
    }

    /// The table for these names.
    fn table_of(&mut self, metric: u32, names: &Arc<[u32]>) -> u32 {
        let key = (metric, names.clone());
        if let Some(&table) = self.tables.get(&key) {
            return table;
        }
        for &name in &**names {
            self.dictionary.retain(name);
        }
        let id = self.free_tables.pop().unwrap_or_else(|| {
            self.ended.push(Ended::default());
            self.behind.push(u32::MAX);
            self.index.tables.push(None)
        });
        *self.index.tables.get_mut(id) = Some(Table::empty(names.clone(), metric));
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
    fn add_latest(&mut self, tenancy: Tenancy) -> u32 {
        let before = self.take_ended();
        let Latest { cells, table, .. } = &self.latest;
        let of_table = self.index.tables.get_mut(*table).as_mut();
        let of_table = of_table.expect("a place is in a table that is there");
        if let Some(row) = before {
            of_table.renew(row, tenancy);
            return row;
        }
        self.index.rows += 1;
        let (row, before) = of_table.push(cells, tenancy);
        self.use_row(row, before.as_deref().map(|before| &before.grid));
        row
    }

    /// The row that the latest series had, if it was there before: it is no longer one of those that have ended.
    fn take_ended(&mut self) -> Option<u32> {
        let Latest { cells, table, .. } = &self.latest;
        if cells.iter().any(|text| self.dictionary.is_new(*text)) {
            return None;
        }
        let of_table = self.index.table(*table);
        let hash = |row: &u32| hash_of(&self.hasher, of_table, *row);
        let rows = self.ended[*table as usize].rows.get_or_insert_with(|| {
            let mut rows = HashTable::new();
            for row in (0..of_table.rows).filter(|row| of_table.grid.died(*row) != ALIVE) {
                rows.insert_unique(hash(&row), row, hash);
            }
            rows
        });
        let is_it = |row: &u32| of_table.grid.cells(*row).eq(cells.iter().copied());
        let found = rows.find_entry(hash_cells(&self.hasher, cells.iter().copied()), is_it);
        found.ok().map(|found| found.remove().0)
    }

    /// The texts of the latest series are used by its row, which is new; `before` is the grid of the rows before it, if
    /// that was another.
    fn use_row(&mut self, row: u32, before: Option<&Grid>) {
        let Latest { cells, table, .. } = &self.latest;
        if row == 0 {
            return cells.iter().for_each(|text| self.dictionary.retain(*text)); // by the table
        }
        let grid = &self.index.table(*table).grid;
        grid.own_cells(row)
            .for_each(|text| self.dictionary.retain(text));
        let before = before.into_iter().flat_map(Grid::columns);
        for pair in grid.columns().zip(before) {
            if let (Column::Each(_), Column::One(shared)) = pair {
                // By each of the rows that shared it, no longer by the table.
                self.dictionary.retain_by(shared, row - 1);
            }
        }
    }

    /// Gives back the texts of one row.
    fn release_row(&mut self, place: Place) {
        let table = self.index.table(place.table).clone();
        for text in table.grid.own_cells(place.row) {
            self.dictionary.release(&mut self.index.texts, text);
        }
    }

    /// Forgets all rows of a table that were not there in round `oldest` or later.
    fn expire_rows(&mut self, id: u32, oldest: u32) {
        let table = self.index.table(id).clone();
        let ended = &mut self.ended[id as usize];
        (ended.expired, ended.is_due) = (0, false);
        let mut kept: Vec<u32> = Vec::with_capacity(table.rows as usize);
        for row in 0..table.rows {
            if table.grid.died(row) >= oldest {
                kept.push(row);
                continue;
            }
            self.release_row(Place { table: id, row });
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
        *self.index.tables.get_mut(id) = None;
        self.free_tables.push(id);
        self.ended[id as usize] = Ended::default();
        for text in table.names.iter().copied().chain(table.grid.shared_cells()) {
            self.dictionary.release(&mut self.index.texts, text);
        }
    }

    /// Moves the rows that stay together.
    fn keep_rows(&mut self, id: u32, table: &Table, kept: &[u32], oldest: u32) {
        self.ended[id as usize].rows = None;
        for (row, &old) in (0..).zip(kept) {
            let tenancy = table.tenancy(old);
            if tenancy.died == ALIVE {
                self.seats[tenancy.slot as usize] = Place { table: id, row };
            }
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
        // Where as many series come as go, there will be as many rows as now when the table is written anew the next time:
        // until then it is not for want of room. Where more have gone than come there is room for as many again.
        let capacity = (table.rows as usize).min(2 * kept.len()) + 2;
        let grid = table.grid.of_rows(&kept.iter().copied(), capacity, None);
        *self.index.tables.get_mut(id) = Some(Table {
            rows: u32::try_from(kept.len()).expect("rows are 32 bits wide"),
            body: Arc::new(table.with(grid, earlier)),
        });
    }
}

#[cfg(test)]
impl IndexWriter {
    /// By text: how often it is counted, and how often it is used.
    pub(in crate::store) fn uses(&self) -> (Vec<u32>, Vec<u32>) {
        let mut used = vec![0; self.index.texts.len()];
        let mut count = |id: u32| used[id as usize] += 1;
        self.layouts.names().for_each(&mut count);
        for table in self.index.tables.iter().flatten() {
            table.names.iter().copied().for_each(&mut count);
            table.grid.shared_cells().for_each(&mut count);
            for row in 0..table.rows {
                table.grid.own_cells(row).for_each(&mut count);
            }
        }
        (self.dictionary.uses(), used)
    }
}

fn hash_of(hasher: &DefaultHashBuilder, table: &Table, row: u32) -> u64 {
    hash_cells(hasher, table.grid.cells(row))
}

fn hash_cells(hasher: &DefaultHashBuilder, cells: impl Iterator<Item = u32>) -> u64 {
    let mut hasher = hasher.build_hasher();
    cells.for_each(|cell| hasher.write_u32(cell));
    hasher.finish()
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
        let body = |writer: &IndexWriter| Arc::as_ptr(&writer.index.table(0).body);
        enter(&mut writer, 0, &(0..SERIES).collect::<Vec<_>>());
        let mut shrunk = 0;
        for round in 1..300 {
            let first = round * CHURN % SERIES;
            let slots: Vec<u32> = (first..first + CHURN).collect();
            writer.leave_all(&slots, round);
            let before = body(&writer);
            enter(&mut writer, round, &slots);
            let steady = round > 3 * ROUNDS_KEPT;
            assert!(!steady || body(&writer) == before, "no room in {round}");
            let before = writer.index.table(0).rows;
            writer.expire(round.saturating_sub(ROUNDS_KEPT));
            shrunk += u32::from(steady && writer.index.table(0).rows < before);
        }
        assert!(shrunk > 10, "{shrunk}");
    }
}
