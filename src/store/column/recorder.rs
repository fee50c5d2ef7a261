//! Lines of a round in, its [`Column`] out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::groups::{Groups, Moved, NO_GROUP};
use super::{Born, Column, NO_STAMP, Recorded, STALE, Values, WORD};

/// A new base is made when more than one slot in so many has moved.
const MOVED_SHARE: usize = 8;

/// Writes the columns of one cluster, round by round.
#[derive(Debug)]
pub struct Recorder {
    era: u64,
    values: Vec<u64>,
    stamps: Vec<i64>,
    /// By slot, as of now.
    groups: Vec<u32>,
    /// The groups as they were published last, and whether a series has changed its group since.
    published: Groups,
    moved: bool,
    /// Slots whose group is not the one in the published base.
    changed: Vec<u32>,
    /// A bit for each slot whose group is perhaps not the one in the column before.
    regrouped: Vec<u64>,
    /// The group that was first to have a timestamp, in the round under way.
    by_stamp: HashMap<i64, u32>,
    /// Groups without series.
    free: Vec<u32>,
    /// Slots of this round whose series are in no group or not in theirs, with their timestamps.
    strays: Vec<(u32, i64)>,
}

/// Numbers eras; 0 is none.
static ERAS: AtomicU64 = AtomicU64::new(1);

impl Default for Recorder {
    fn default() -> Self {
        Self {
            era: ERAS.fetch_add(1, Ordering::Relaxed),
            values: Vec::new(),
            stamps: Vec::new(),
            groups: Vec::new(),
            published: Groups::default(),
            moved: false,
            changed: Vec::new(),
            regrouped: Vec::new(),
            by_stamp: HashMap::new(),
            free: Vec::new(),
            strays: Vec::new(),
        }
    }
}

impl Recorder {
    /// Begins a round over so many slots; what was recorded of a round that was given up is forgotten.
    pub fn begin(&mut self, slots: usize) {
        self.values.clear();
        self.values.resize(slots, STALE);
        self.stamps.fill(NO_STAMP);
        self.by_stamp.clear();
        self.strays.clear();
    }

    /// Another series has the slot from now on.
    pub fn enter(&mut self, slot: u32) {
        self.regroup(slot, NO_GROUP);
    }

    /// The series of a slot is in this group from now on.
    fn regroup(&mut self, slot: u32, group: u32) {
        let at = slot as usize;
        if at >= self.groups.len() {
            self.groups.resize(at + 1, NO_GROUP);
        }
        self.groups[at] = group;
        if at / WORD >= self.regrouped.len() {
            self.regrouped.resize(at / WORD + 1, 0);
        }
        self.regrouped[at / WORD] |= 1 << (at % WORD);
    }

    /// Notes the sample of a slot.
    #[inline]
    pub fn record(&mut self, slot: u32, value: f64, timestamp_ms: i64) {
        let at = slot as usize;
        let group = self.groups.get(at).copied().unwrap_or(NO_GROUP);
        if self.stamps.get(group as usize) != Some(&timestamp_ms) {
            self.stamp(slot, group, timestamp_ms);
        }
        if let Some(place) = self.values.get_mut(at) {
            *place = value.to_bits();
        } else {
            self.values.resize(at + 1, STALE);
            self.values[at] = value.to_bits();
        }
    }

    /// Takes the sample of a slot back.
    pub fn forget(&mut self, slot: u32) {
        if let Some(place) = self.values.get_mut(slot as usize) {
            *place = STALE;
        }
    }

    /// The first line of a group in this round, or one whose series needs another group.
    #[cold]
    fn stamp(&mut self, slot: u32, group: u32, timestamp_ms: i64) {
        match self.stamps.get_mut(group as usize) {
            Some(stamp) if *stamp == NO_STAMP => {
                *stamp = timestamp_ms;
                self.by_stamp.entry(timestamp_ms).or_insert(group);
            }
            _ => self.strays.push((slot, timestamp_ms)),
        }
    }

    /// Finds groups for the series that have none, now that all others have shown their timestamps.
    fn gather_strays(&mut self) {
        for (slot, timestamp_ms) in std::mem::take(&mut self.strays) {
            let known = self.by_stamp.get(&timestamp_ms).copied();
            let group = known.unwrap_or_else(|| self.new_group(timestamp_ms));
            self.regroup(slot, group);
            self.changed.push(slot);
            self.moved = true;
        }
    }

    fn new_group(&mut self, timestamp_ms: i64) -> u32 {
        // A group that was free may have been taken up again.
        let is_free = |group: &u32| self.stamps[*group as usize] == NO_STAMP;
        let group = std::iter::from_fn(|| self.free.pop()).find(is_free);
        let group = group.unwrap_or_else(|| {
            self.stamps.push(NO_STAMP);
            u32::try_from(self.stamps.len() - 1).expect("not more groups than slots")
        });
        self.stamps[group as usize] = timestamp_ms;
        self.by_stamp.insert(timestamp_ms, group);
        group
    }

    /// Shows where series are now: as what differs from the base, unless that is much.
    fn publish_groups(&mut self) {
        self.moved = false;
        self.changed.sort_unstable();
        self.changed.dedup();
        if self.changed.len() * MOVED_SHARE > self.groups.len() {
            self.changed.clear();
            self.published = Groups {
                base: Arc::new(self.groups.clone()),
                moved: Arc::default(),
            };
            return;
        }
        self.published.moved = Arc::new(Moved::new(&self.changed, &self.groups));
    }

    /// Ends a round, which stands for `samples` lines and began at `at_ms`.
    pub fn finish(&mut self, round: u32, at_ms: i64, samples: u64, born: Born) -> Recorded {
        self.gather_strays();
        if self.moved {
            self.publish_groups();
        }
        self.free.clear();
        let unused = (0..).zip(&self.stamps).filter(|(_, at)| **at == NO_STAMP);
        self.free.extend(unused.map(|(group, _)| group));
        let column = Column {
            number: 2 * round,
            at_ms,
            values: Values::All(std::mem::take(&mut self.values)),
            stamps: self.stamps.clone(),
            groups: self.published.clone(),
            regrouped: std::mem::take(&mut self.regrouped).into(),
            samples,
        };
        Recorded {
            column,
            era: self.era,
            born,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::SlotValues;
    use super::*;

    fn finish(recorder: &mut Recorder, round: u32, samples: usize) -> Column {
        let born = Born {
            text: Bytes::new(),
            births: vec![],
        };
        recorder.finish(round, 0, samples as u64, born).column
    }

    fn column(recorder: &mut Recorder, round: u32, samples: &[(u32, f64, i64)]) -> Column {
        recorder.begin(4);
        for &(slot, value, at) in samples {
            if recorder.groups.get(slot as usize).is_none() {
                recorder.enter(slot);
            }
            recorder.record(slot, value, at);
        }
        finish(recorder, round, samples.len())
    }

    fn shown(column: &Column) -> Vec<Option<(f64, i64)>> {
        let values = column.all().unwrap_or_default().iter().enumerate();
        values
            .map(|(slot, &value)| {
                (value != STALE).then(|| (f64::from_bits(value), column.stamp(slot)))
            })
            .collect()
    }

    #[test]
    fn series_of_one_target_share_their_timestamps() {
        let mut recorder = Recorder::default();
        let first = [(0, 1.0, 10), (1, 2.0, 20), (2, 3.0, 10), (5, 4.0, 20)];
        let one = column(&mut recorder, 1, &first);
        let want = [
            Some((1.0, 10)),
            Some((2.0, 20)),
            Some((3.0, 10)),
            None,
            None,
            Some((4.0, 20)),
        ];
        assert_eq!((shown(&one), one.stamps.len()), (want.to_vec(), 2));
        let second = [(0, 1.0, 11), (1, 2.0, 21), (2, 3.0, 11), (5, 4.0, 21)];
        let two = column(&mut recorder, 2, &second);
        assert!(two.regrouped.is_empty(), "nothing has moved");
        assert!(Arc::ptr_eq(&one.groups.base, &two.groups.base));
        assert!(Arc::ptr_eq(&one.groups.moved, &two.groups.moved));
        assert_eq!(two.stamps, [11, 21]);
    }

    #[test]
    fn a_group_splits_and_an_empty_one_is_used_again() {
        let mut recorder = Recorder::default();
        column(
            &mut recorder,
            1,
            &[(0, 1.0, 10), (1, 1.0, 10), (2, 1.0, 10)],
        );
        let split = column(
            &mut recorder,
            2,
            &[(0, 1.0, 20), (1, 1.0, 21), (2, 1.0, 21)],
        );
        let want = [Some((1.0, 20)), Some((1.0, 21)), Some((1.0, 21)), None];
        assert_eq!(shown(&split), want);
        assert_eq!(split.groups.get(1), split.groups.get(2));
        let gone = column(&mut recorder, 3, &[(1, 1.0, 30), (2, 1.0, 30)]);
        assert_eq!(shown(&gone)[0], None);
        let new = column(
            &mut recorder,
            4,
            &[(1, 1.0, 40), (2, 1.0, 40), (3, 1.0, 41)],
        );
        assert_eq!((shown(&new)[3], new.stamps.len()), (Some((1.0, 41)), 2));
        recorder.begin(4);
        recorder.record(1, 5.0, 50);
        recorder.forget(1);
        let forgotten = finish(&mut recorder, 5, 0);
        assert_eq!(shown(&forgotten)[1], None);
    }

    #[test]
    fn a_shortened_column_has_the_same_values() {
        let mut recorder = Recorder::default();
        // Of the first slots all change in every round, of the others some.
        let each = |slot: u32| if slot < 64 { 1 } else { 1 + slot % 4 };
        let samples = |round: u32| -> Vec<(u32, f64, i64)> {
            // Every second column is shorter than the one before it.
            let slots = 200 - 50 * (round % 2);
            let there = (0..slots).filter(move |slot| !(slot + round).is_multiple_of(11));
            there
                .map(|slot| (slot, f64::from(slot + round / each(slot)), 10))
                .collect()
        };
        let columns: Vec<_> = (0..6)
            .map(|round| column(&mut recorder, round, &samples(round)))
            .collect();
        let mut gone = Vec::new();
        let shorter = |pair: &[Column]| pair[0].shortened(&pair[1], |slot| gone.push(slot));
        let short: Vec<_> = columns
            .windows(2)
            .map(shorter)
            .map(Option::unwrap)
            .collect();
        let newest = column(&mut recorder, 5, &samples(5));
        let short: Vec<_> = short.into_iter().chain([newest]).map(Arc::new).collect();
        for slot in 0..202 {
            let want = columns.iter().map(|column| column.own(slot).unwrap());
            let want: Vec<_> = want.collect();
            assert_eq!(
                SlotValues::new(&short, slot).collect::<Vec<_>>(),
                want,
                "{slot}"
            );
        }
        assert!(short[0].bytes() < columns[0].bytes());
        assert_eq!(&gone[..3], [10, 21, 32], "those that round 1 lacks");
    }
}
