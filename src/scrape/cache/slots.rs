//! What a cache knows of each slot, in columns: what is only read for every line of a round lies apart from what is
//! written for each, and what only a new series needs apart from both.

use crate::scrape::report::Dropped;

/// The columns, by slot and equally long.
#[derive(Debug, Default)]
pub(in crate::scrape) struct Slots {
    pub(in crate::scrape) series: Vec<Series>,
    pub(super) marks: Vec<Marks>,
    /// Where the series' line begins: in the text of the last round, or in the round's own if it came in it. Those
    /// not written have 0.
    pub(super) starts: Vec<u32>,
    /// Place in the order of the last body.
    pub(super) positions: Vec<u32>,
    pub(super) hashes: Vec<Hashes>,
}

/// One line that a cluster sends: what stays as it is for as long as it comes.
#[derive(Clone, Debug)]
pub(in crate::scrape) struct Series {
    /// How many bytes of the text the input line begins with.
    pub(super) shared: u32,
    /// What follows those bytes up to the end of the labels: in the input, in the output.
    pub(super) ending_in: u32,
    pub(super) ending_out: u32,
    /// Numbers of the metric name in the output and in the input.
    pub(in crate::scrape) family: u32,
    pub(in crate::scrape) name: u32,
    /// The round in which the series came.
    pub(in crate::scrape) born: u32,
    pub(in crate::scrape) fate: Fate,
}

const _: () = assert!(size_of::<Series>() == 32, "two in 64 bytes");

/// The rounds in which a series was seen last and written last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    pub(super) seen: u32,
    pub(super) written: u32,
}

/// Hashes of the bytes it comes in and of the labels it leaves with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hashes {
    pub(super) key: u64,
    pub(super) output: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scrape) enum Fate {
    /// It is written.
    Kept,
    /// The rules drop it, whatever its value.
    Dropped(Dropped),
    /// It becomes the same series as an earlier line.
    Shadow {
        /// The slot of the series that has the output labels.
        of: u32,
    },
    /// The slot is empty.
    Vacant,
}

/// The ending of empty slots, which must begin no line, so that none is taken for theirs.
pub(super) const VACANT_ENDING: u32 = 0;

impl Slots {
    /// How many there are, empty ones too.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// A new slot behind the others, empty.
    pub(super) fn push(&mut self) -> u32 {
        let slot = u32::try_from(self.len()).expect("a body has fewer than 2^32 lines");
        self.series.push(Series::VACANT);
        self.marks.push(Marks::default());
        self.starts.push(0);
        self.positions.push(0);
        self.hashes.push(Hashes::default());
        slot
    }

    /// Gives a slot to a series that has no line yet.
    pub(super) fn put(&mut self, slot: u32, series: Series, hashes: Hashes) {
        let at = slot as usize;
        self.series[at] = series;
        self.marks[at] = Marks::default();
        self.starts[at] = 0;
        self.positions[at] = 0;
        self.hashes[at] = hashes;
    }

    /// Empties a slot; returns what it held.
    pub(super) fn clear(&mut self, slot: u32) -> (Series, Marks, Hashes) {
        let at = slot as usize;
        let was = (self.series[at].clone(), self.marks[at], self.hashes[at]);
        self.put(slot, Series::VACANT, Hashes::default());
        was
    }

    /// Those that hold a series, rising.
    pub(super) fn occupied(&self) -> impl Iterator<Item = u32> {
        let occupied = |(_, series): &(u32, &Series)| series.fate != Fate::Vacant;
        (0..)
            .zip(&self.series)
            .filter(occupied)
            .map(|(slot, _)| slot)
    }
}

impl Series {
    const VACANT: Self = Self {
        shared: 0,
        ending_in: VACANT_ENDING,
        ending_out: VACANT_ENDING,
        family: 0,
        name: 0,
        born: 0,
        fate: Fate::Vacant,
    };
}
