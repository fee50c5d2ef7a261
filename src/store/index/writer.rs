//! The writer's side of an [`Index`]: births and deaths of series in, rows, texts and tables out.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::{ALIVE, Grid, Index, Place, Table, Tenancy};
use crate::model::labels::METRIC_NAME;

/// A table is written anew when one row in so many is too old.
const EXPIRED_SHARE: u32 = 4;

/// A series: name and value of each label in any order, names unique, no value empty, the metric's name as `__name__`
/// among them.
pub(in crate::store) type Pairs<'a> = [(Cow<'a, str>, Cow<'a, str>)];

/// Writes the index of an era.
#[derive(Debug, Default)]
pub(in crate::store) struct IndexWriter {
    index: Index,
    hasher: DefaultHashBuilder,
    /// Texts by content.
    numbers: HashTable<u32>,
    /// By text: how often it is used, as a value by each row, as a name by each table and by the latest series.
    uses: Vec<u32>,
    /// Numbers to use again.
    free: Vec<u32>,
    text_bytes: usize,
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
/// few, the same values: they are compared before they are looked up.
#[derive(Debug, Default)]
struct Latest {
    /// By column: where in the pairs the label stands.
    order: Vec<usize>,
    /// By column: the text of the name, in use as long as this is the latest. Sorted by text.
    names: Arc<[u32]>,
    /// By column: the text of the value. It may not be in use any more, or be another.
    cells: Vec<u32>,
    /// The column of the metric's name.
    metric: usize,
    table: u32,
}

impl IndexWriter {
    /// A series appears, in round `number`.
    pub(in crate::store) fn enter(&mut self, slot: u32, number: u32, pairs: &Pairs<'_>) {
        self.leave(slot, number);
        self.changed = true;
        if !self.is_like_latest(pairs) {
            self.change_names(pairs);
        }
        let mut latest = std::mem::take(&mut self.latest);
        for (cell, &at) in latest.cells.iter_mut().zip(&latest.order) {
            *cell = self.acquire_again(*cell, &pairs[at].1);
        }
        let metric = latest.cells[latest.metric];
        if !self.is_table(latest.table, metric, &latest.names) {
            latest.table = self.table_of(metric, &latest.names);
        }
        let table = latest.table;
        let tenancy = Tenancy {
            slot,
            born: number,
            died: ALIVE,
        };
        let hash = self.hash(table, latest.cells.iter().copied());
        let row = self.add_row(table, &latest.cells, hash, tenancy);
        self.latest = latest;
        let at = slot as usize;
        if at >= self.seats.len() {
            self.seats.resize(at + 1, NO_SEAT);
        }
        self.seats[at] = Seat {
            place: Place { table, row },
            hash,
        };
    }

    /// Whether a series has the labels of the one before, in the same order.
    fn is_like_latest(&self, pairs: &Pairs<'_>) -> bool {
        let Latest { order, names, .. } = &self.latest;
        let is_name = |(&at, &name): (&usize, &u32)| **self.index.texts.get(name) == *pairs[at].0;
        order.len() == pairs.len() && order.iter().zip(&**names).all(is_name)
    }

    /// From now on the labels of the latest series are these, whatever their values.
    fn change_names(&mut self, pairs: &Pairs<'_>) {
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        order.sort_unstable_by(|a, b| pairs[*a].0.cmp(&pairs[*b].0));
        let names: Vec<u32> = order.iter().map(|at| self.acquire(&pairs[*at].0)).collect();
        let metric = order.iter().position(|at| pairs[*at].0 == METRIC_NAME);
        let before = std::mem::take(&mut self.latest);
        before.names.iter().for_each(|name| self.release(*name));
        self.latest = Latest {
            order,
            cells: names.clone(),
            names: names.into(),
            metric: metric.unwrap_or(0),
            table: u32::MAX,
        };
    }

    /// The series of a slot is no longer there, from round `number` on.
    pub(in crate::store) fn leave(&mut self, slot: u32, number: u32) {
        let seat = self.seats.get_mut(slot as usize);
        let seat = seat.map_or(NO_SEAT, |seat| std::mem::replace(seat, NO_SEAT));
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
        let numbers = 5 * self.numbers.capacity() + 4 * self.uses.capacity();
        // An `Arc<str>` is two words where it is used, two counts and the text.
        let texts = self.text_bytes + 32 * self.uses.len();
        let seats = size_of::<Seat>() * self.seats.capacity();
        let resting = (size_of::<Seat>() + 1) * self.resting.capacity();
        self.index.other_bytes = numbers + texts + seats + resting;
        *seen = Arc::new(self.index.clone());
    }

    /// The number of a text that is mostly that of `known`.
    #[inline]
    fn acquire_again(&mut self, known: u32, text: &str) -> u32 {
        // A number out of use has the empty text, which no label has.
        if **self.index.texts.get(known) == *text {
            self.uses[known as usize] += 1;
            return known;
        }
        self.acquire(text)
    }

    fn acquire(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        let texts = &self.index.texts;
        if let Some(&id) = self.numbers.find(hash, |&id| **texts.get(id) == *text) {
            self.uses[id as usize] += 1;
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.uses.push(0);
            u32::try_from(self.uses.len() - 1).expect("fewer texts than bytes in a body")
        });
        self.uses[id as usize] = 1;
        self.text_bytes += text.len();
        self.index.texts.set(id, text.into());
        let Self {
            numbers,
            hasher,
            index,
            ..
        } = self;
        numbers.insert_unique(hash, id, |&id| hasher.hash_one(&**index.texts.get(id)));
        id
    }

    fn release(&mut self, id: u32) {
        let uses = &mut self.uses[id as usize];
        *uses -= 1;
        if *uses > 0 {
            return;
        }
        let text = self.index.texts.get(id).clone();
        self.text_bytes -= text.len();
        let hash = self.hasher.hash_one(&*text);
        if let Ok(found) = self.numbers.find_entry(hash, |&other| other == id) {
            found.remove();
        }
        self.index.texts.set(id, Arc::default());
        self.free.push(id);
    }

    fn table_mut(&mut self, table: u32) -> &mut Table {
        let table = self.index.tables[table as usize].as_mut();
        Arc::make_mut(table.expect("a place is in a table that is there"))
    }

    fn is_table(&self, table: u32, metric: u32, names: &Arc<[u32]>) -> bool {
        let table = self.index.tables.get(table as usize);
        let table = table.and_then(|table| table.as_ref());
        table.is_some_and(|table| table.metric == metric && table.names == *names)
    }

    /// The table for these names.
    fn table_of(&mut self, metric: u32, names: &Arc<[u32]>) -> u32 {
        let key = (metric, names.clone());
        if let Some(&table) = self.tables.get(&key) {
            return table;
        }
        for &name in &**names {
            self.uses[name as usize] += 1;
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

    fn add_row(&mut self, table: u32, cells: &[u32], hash: u32, tenancy: Tenancy) -> u32 {
        let has_cells = |seat: &Seat| self.has_cells(seat.place, table, cells);
        let resting = self.resting.find(spread(hash), has_cells).copied();
        if let Some(seat) = resting {
            self.forget_resting(seat);
            self.release_row(seat.place);
            self.table_mut(table).renew(seat.place.row, tenancy);
            return seat.place.row;
        }
        self.index.rows += 1;
        self.table_mut(table).push(cells, tenancy)
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
            self.release(column.get(place.row as usize));
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
        table.names.iter().for_each(|name| self.release(*name));
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
        let capacity = kept.len() + kept.len() / 8;
        self.index.tables[id as usize] = Some(Arc::new(Table {
            names: table.names.clone(),
            grid: Arc::new(table.grid.of_rows(&kept.iter().copied(), capacity, None)),
            metric: table.metric,
            rows: u32::try_from(kept.len()).expect("rows are 32 bits wide"),
            earlier: Arc::new(earlier),
        }));
    }
}

/// The hash of a seat with all bits in use, as a table wants them.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
