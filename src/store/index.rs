//! The labels of one cluster's series, laid out to be selected from.
//!
//! In: births and deaths of series. Out: the series that a set of matchers selects, label names and values.
//!
//! Series of one metric with the same label names are a *table*: one row a series, one column a label, each cell the
//! number of a text ([`grid`]). A label that all rows share (the name, the cluster, mostly the job) takes one cell. So a
//! matcher is decided for a whole table where it can be, and else by looking up one byte a row: whether a text matches is
//! found out once per query and text. Postings would select a lone label of a million series faster and cost four
//! bytes a label and series; a table costs about half of that and hands the labels out as well.
//!
//! Readers hold the whole index as it was at one moment. A new row is written behind those that they know of, into the
//! same memory, and a death is a mark that no round they hold is behind; so both copy next to nothing. Of the texts the
//! writer copies the blocks that it changes.

mod blocks;
mod dictionary;
mod grid;
mod layouts;
mod writer;

use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use self::blocks::Blocks;
use self::dictionary::Texts;
pub(super) use self::grid::{ALIVE, Tenancy};
use self::grid::{Column, Grid};
pub(super) use self::writer::IndexWriter;
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};

/// Series of one metric name that have the same label names. A copy costs a count: as long as there is room, rows come
/// behind those of the copy, in the same grid.
#[derive(Clone, Debug)]
pub(super) struct Table {
    rows: u32,
    body: Arc<Body>,
}

/// What the copies of a table share.
#[derive(Debug)]
pub(super) struct Body {
    /// Label names, `__name__` among them, in the order of their texts.
    names: Arc<[u32]>,
    /// The text of the metric's name.
    metric: u32,
    /// As many columns as names; those behind a table's `rows` are not its own.
    grid: Grid,
    /// Rows that had other slots before, and those: by row, then oldest first.
    earlier: Vec<(u32, Tenancy)>,
}

impl Deref for Table {
    type Target = Body;

    fn deref(&self) -> &Body {
        &self.body
    }
}

impl Table {
    /// Without rows.
    fn empty(names: Arc<[u32]>, metric: u32) -> Self {
        let body = Body {
            grid: Grid::empty(names.len()),
            names,
            metric,
            earlier: Vec::new(),
        };
        Self {
            rows: 0,
            body: Arc::new(body),
        }
    }

    /// The last tenancy of a row. Its death may be later than all rounds that the reader holds.
    #[inline]
    pub(super) fn tenancy(&self, row: u32) -> Tenancy {
        self.grid.tenancy(row)
    }

    /// Rows that were there in round `oldest` or later.
    fn held(&self, oldest: u32) -> impl Iterator<Item = u32> {
        (0..self.rows).filter(move |row| self.grid.died(*row) >= oldest)
    }

    /// Appends a row; returns its number, and what there was before it if there is another grid now.
    fn push(&mut self, cells: &[u32], tenancy: Tenancy) -> (u32, Option<Arc<Body>>) {
        let (row, len) = (self.rows, self.rows as usize);
        let before = (!self.grid.has_room(row, cells)).then(|| {
            let room = self.grid.capacity();
            let capacity = if len < room {
                room
            } else {
                len + self.growth(tenancy.born) + 2
            };
            let grid = self.grid.of_rows(&(0..row), capacity, Some(cells));
            let body = self.with(grid, self.earlier.clone());
            std::mem::replace(&mut self.body, Arc::new(body))
        });
        self.grid.put(row, cells, tenancy);
        self.rows += 1;
        (row, before)
    }

    /// For how many rows more there is to be room, when a series comes in round `born`. Where series come after the first
    /// round, as many are about to go: a table of theirs grows until the first rows expire, and is copied each time.
    fn growth(&self, born: u32) -> usize {
        let comes_later = self.rows > 0 && self.grid.tenancy(0).born != born;
        self.rows as usize / if comes_later { 3 } else { 8 }
    }

    /// A series comes again, in another slot.
    fn renew(&mut self, row: u32, tenancy: Tenancy) {
        if let Some(body) = Arc::get_mut(&mut self.body) {
            return body.renew(row, tenancy);
        }
        let room = self.grid.capacity();
        let grid = self.grid.of_rows(&(0..self.rows), room, None);
        let mut body = self.with(grid, self.earlier.clone());
        body.renew(row, tenancy);
        self.body = Arc::new(body);
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + 2 * size_of::<usize>()
            + size_of::<Body>()
            + self.grid.bytes()
            + size_of::<(u32, Tenancy)>() * self.earlier.capacity()
            + 4 * self.names.len()
    }
}

impl Body {
    /// The same names with other rows.
    fn with(&self, grid: Grid, earlier: Vec<(u32, Tenancy)>) -> Self {
        Self {
            names: self.names.clone(),
            metric: self.metric,
            grid,
            earlier,
        }
    }

    fn renew(&mut self, row: u32, tenancy: Tenancy) {
        let last = self.grid.tenancy(row);
        self.grid.put_tenancy(row, tenancy);
        let at = self.earlier.partition_point(|(known, _)| *known <= row);
        self.earlier.insert(at, (row, last));
    }

    /// The row with its tenancies before the last one, oldest first.
    pub(super) fn earlier(&self, row: u32) -> &[(u32, Tenancy)] {
        let begin = self.earlier.partition_point(|(other, _)| *other < row);
        let len = self.earlier[begin..].partition_point(|(other, _)| *other == row);
        &self.earlier[begin..begin + len]
    }
}

/// All series of an era, as they were at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    texts: Texts,
    /// Those in which series come and go mostly have numbers close together.
    tables: Blocks<Option<Table>, 16>,
    /// Tables by the name of their metric.
    by_name: Arc<Vec<u32>>,
    /// Rows in all tables.
    pub(super) rows: usize,
    /// Bytes of texts, and of what the writer holds.
    other_bytes: usize,
}

/// A row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) table: u32,
    pub(super) row: u32,
}

/// Whether a matcher takes the texts of an index: each is looked at once.
struct Verdicts<'a> {
    matcher: &'a Matcher,
    texts: &'a Texts,
    known: Vec<u8>,
    of_none: bool,
}

const UNKNOWN: u8 = 0;
const TAKEN: u8 = 1;
const REFUSED: u8 = 2;

impl<'a> Verdicts<'a> {
    fn new(matcher: &'a Matcher, texts: &'a Texts) -> Self {
        Self {
            matcher,
            texts,
            known: vec![UNKNOWN; texts.len()],
            of_none: matcher.matches(""),
        }
    }

    #[inline]
    fn takes(&mut self, id: u32) -> bool {
        match self.known[id as usize] {
            UNKNOWN => {
                let taken = self.matcher.matches(self.texts.get(id));
                self.known[id as usize] = if taken { TAKEN } else { REFUSED };
                taken
            }
            verdict => verdict == TAKEN,
        }
    }
}

impl Index {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let tables = self.tables.iter().flatten();
        self.other_bytes + tables.map(Table::bytes).sum::<usize>()
    }

    pub(super) fn table(&self, table: u32) -> &Table {
        self.tables
            .get(table)
            .as_ref()
            .expect("a place is in a table that is there")
    }

    /// Name and value of each label, in the order of their names.
    pub(super) fn labels(
        &self,
        place: Place,
    ) -> impl ExactSizeIterator<Item = (&Arc<str>, &Arc<str>)> {
        let table = self.table(place.table);
        let labels = table.names.iter().zip(table.grid.cells(place.row));
        labels.map(|(name, value)| (self.texts.get(*name), self.texts.get(value)))
    }

    /// Appends a number for each of these rows of a table, the same for those that have the same values of the labels
    /// that count. The first is `from`; returns the one behind the last.
    pub(super) fn alike(
        &self,
        table: u32,
        rows: &(impl Iterator<Item = u32> + Clone),
        counts: impl Fn(&str) -> bool,
        from: u32,
        numbers: &mut Vec<u32>,
    ) -> u32 {
        let table = self.table(table);
        let first = numbers.len();
        numbers.extend(rows.clone().map(|_| from));
        let mut next = from + 1;
        for (&name, column) in table.names.iter().zip(table.grid.columns()) {
            if (next - from) as usize == numbers.len() - first {
                break; // no two rows are alike
            }
            let Column::Each(at) = column else {
                continue; // all rows are alike in it
            };
            if !counts(self.texts.get(name)) {
                continue;
            }
            next = from;
            let mut known: HashMap<(u32, u32), u32> = HashMap::new();
            let mut last = None; // rows that are alike often come one after the other
            for (row, number) in rows.clone().zip(&mut numbers[first..]) {
                let value = table.grid.row(row)[at].load(Ordering::Relaxed);
                let pair = (*number, value);
                *number = match last {
                    Some((known, number)) if known == pair => number,
                    _ => *known.entry(pair).or_insert_with(|| {
                        next += 1;
                        next - 1
                    }),
                };
                last = Some((pair, *number));
            }
        }
        next
    }

    /// Calls `found` for each row that all matchers take and that was there in round `oldest` or later. In the order of
    /// metric names.
    pub(super) fn select(&self, matchers: &[Matcher], oldest: u32, mut found: impl FnMut(Place)) {
        let mut verdicts: Vec<_> = matchers
            .iter()
            .map(|matcher| Verdicts::new(matcher, &self.texts))
            .collect();
        for range in self.ranges(matchers) {
            for &id in &self.by_name[range] {
                self.select_rows(id, &mut verdicts, oldest, &mut found);
            }
        }
    }

    fn select_rows(
        &self,
        id: u32,
        verdicts: &mut [Verdicts<'_>],
        oldest: u32,
        found: &mut impl FnMut(Place),
    ) {
        let table = self.table(id);
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (number, verdict) in verdicts.iter_mut().enumerate() {
            let name = verdict.matcher.name();
            let column = table
                .names
                .iter()
                .position(|known| **self.texts.get(*known) == *name);
            let taken = match column.and_then(|at| table.grid.columns().nth(at)) {
                None => verdict.of_none,
                Some(Column::One(value)) => verdict.takes(value),
                Some(Column::Each(at)) => {
                    open.push((number, at));
                    true
                }
            };
            if !taken {
                return;
            }
        }
        for row in table.held(oldest) {
            let cells = table.grid.row(row);
            let takes = |&(number, at): &(usize, usize)| {
                verdicts[number].takes(cells[at].load(Ordering::Relaxed))
            };
            if open.iter().all(takes) {
                found(Place { table: id, row });
            }
        }
    }

    /// The tables, as positions in the order of names, that can have a series of a name that the matchers take.
    fn ranges(&self, matchers: &[Matcher]) -> Vec<Range<usize>> {
        let of_name = |matcher: &&Matcher| matcher.name() == METRIC_NAME;
        let mut names: Option<Vec<&str>> = None;
        for matcher in matchers.iter().filter(of_name) {
            match (matcher.op(), matcher.regex().map(|regex| regex.literals())) {
                (MatchOp::Equal, _) => names = Some(vec![matcher.value()]),
                (MatchOp::Regex, Some(Some(words))) if names.is_none() => {
                    names = Some(words.collect());
                }
                _ => {}
            }
        }
        let Some(mut names) = names else {
            let all = 0..self.by_name.len();
            return std::iter::once(all).collect();
        };
        names.sort_unstable();
        names.into_iter().map(|name| self.named(name)).collect()
    }

    fn named(&self, name: &str) -> Range<usize> {
        let is_below = |id: &u32| &**self.metric(*id) < name;
        let first = self.by_name.partition_point(is_below);
        let len = self.by_name[first..].partition_point(|id| &**self.metric(*id) == name);
        first..first + len
    }

    fn metric(&self, table: u32) -> &Arc<str> {
        self.texts.get(self.table(table).metric)
    }

    /// The names of the labels of all rows or of some.
    pub(super) fn names(&self, rows: Rows<'_>, oldest: u32, found: &mut Vec<Arc<str>>) {
        let mut seen = vec![false; self.texts.len()];
        self.each_table(rows, oldest, |table, _| {
            table
                .names
                .iter()
                .for_each(|name| seen[*name as usize] = true);
        });
        self.collect(&seen, found);
    }

    /// The values that a label has in all rows or in some.
    pub(super) fn values(
        &self,
        name: &str,
        rows: Rows<'_>,
        oldest: u32,
        found: &mut Vec<Arc<str>>,
    ) {
        let mut seen = vec![false; self.texts.len()];
        self.each_table(rows, oldest, |table, rows| {
            let at = table
                .names
                .iter()
                .position(|known| **self.texts.get(*known) == *name);
            match at.and_then(|at| table.grid.columns().nth(at)) {
                None => {}
                Some(Column::One(value)) => seen[value as usize] = true,
                Some(Column::Each(at)) => {
                    let value = |row| table.grid.row(row)[at].load(Ordering::Relaxed) as usize;
                    rows.for_each(|row: u32| seen[value(row)] = true);
                }
            }
        });
        self.collect(&seen, found);
    }

    fn collect(&self, seen: &[bool], found: &mut Vec<Arc<str>>) {
        let seen = (0..).zip(seen).filter(|(_, seen)| **seen);
        found.extend(seen.map(|(id, _)| self.texts.get(id).clone()));
    }

    /// Every table with its wanted rows, tables without any left out.
    fn each_table(
        &self,
        rows: Rows<'_>,
        oldest: u32,
        mut visit: impl FnMut(&Table, &mut dyn Iterator<Item = u32>),
    ) {
        match rows {
            Rows::All => {
                for table in self.tables.iter().flatten() {
                    let mut held = table.held(oldest).peekable();
                    if held.peek().is_some() {
                        visit(table, &mut held);
                    }
                }
            }
            Rows::Some(places) => {
                for places in places.chunk_by(|a, b| a.table == b.table) {
                    visit(
                        self.table(places[0].table),
                        &mut places.iter().map(|place| place.row),
                    );
                }
            }
        }
    }
}

/// Which rows are asked about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rows<'a> {
    All,
    Some(&'a [Place]),
}
