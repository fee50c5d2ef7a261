//! What a cluster's rounds remember of each other: every series by the bytes it came in, its fate, its place.
//!
//! A series' labels are not stored again: they are the front of its line in the text that was published last, and
//! the input line shares that front up to the first label that the rules change. Only what differs behind it is kept
//! beside it, interned, since it is the same few endings for nearly all lines (`,prometheus_replica="…"}` in,
//! `,cluster="…"}` out).

mod slots;

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use hashbrown::{DefaultHashBuilder, HashTable};

pub(super) use self::slots::Fate;
use self::slots::{Hashes, Series, Slots, VACANT_ENDING};
use super::interner::Interner;
use super::rules::{Rules, Stamped};
use crate::expose::text::{write_label, write_series};
use crate::model::labels::METRIC_NAME;
use crate::model::metadata::{Metadata, MetricKind};
use crate::parse::{self, Entry, Format, Sample, Step};
use crate::store::buffers::Buffer;
use crate::store::column::Recorder;
use crate::store::snapshot::{Heading, Line};

/// The memory of one cluster.
#[derive(Debug)]
pub struct Cache {
    /// Tells its slots from those of any other cache.
    pub(super) lineage: u64,
    /// Text of the last round.
    pub(super) text: Bytes,
    /// The series of the last body, in its order.
    pub(super) order: Vec<u32>,
    /// Room for the next order.
    pub(super) spare: Vec<u32>,
    /// What is known of each slot.
    pub(super) slots: Slots,
    /// Number of the round under way, from 1, never used twice.
    pub(super) round: u32,
    /// Slots that were taken in the round under way.
    pub(super) added: Vec<u32>,
    /// By name number: names that are or were families.
    pub(super) families: Vec<FamilyState>,
    rules: Option<Arc<Rules>>,
    /// Slots without series, falling.
    free: Vec<u32>,
    /// Slots emptied in the round under way; free when it is over, since its tables may still name them.
    vacated: Vec<u32>,
    /// Slots by input bytes, and by output labels.
    keys: HashTable<u32>,
    outputs: HashTable<u32>,
    hasher: DefaultHashBuilder,
    endings: Interner,
    names: Interner,
    /// Series seen in the round under way, and series that stand in another's shadow.
    seen: usize,
    shadows: usize,
    /// Front of the line of the series entered last, not yet written.
    fresh: Vec<u8>,
    /// Writes the samples of the round down as numbers, where a window wants them.
    pub(super) recorder: Option<Recorder>,
}

/// What is known of a metric name.
#[derive(Debug)]
pub(super) struct FamilyState {
    pub(super) heading: Arc<Heading>,
    /// The metadata that describes it in `heading`.
    pub(super) described_by: Weak<Metadata>,
}

impl Default for Cache {
    fn default() -> Self {
        let mut endings = Interner::default();
        let vacant = endings.acquire(b"\n");
        debug_assert_eq!(vacant, VACANT_ENDING);
        Self {
            lineage: LINEAGES.fetch_add(1, Ordering::Relaxed),
            text: Bytes::new(),
            order: Vec::new(),
            spare: Vec::new(),
            slots: Slots::default(),
            round: 0,
            added: Vec::new(),
            families: Vec::new(),
            rules: None,
            free: Vec::new(),
            vacated: Vec::new(),
            keys: HashTable::new(),
            outputs: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            endings,
            names: Interner::default(),
            seen: 0,
            shadows: 0,
            fresh: Vec::new(),
            recorder: None,
        }
    }
}

/// The lineage of the next cache.
static LINEAGES: AtomicU64 = AtomicU64::new(1);

/// Reading and writing lines.
impl Cache {
    /// An empty memory whose rounds also write their samples down for the window.
    pub fn recording() -> Self {
        Self {
            recorder: Some(Recorder::default()),
            ..Self::default()
        }
    }

    /// Begins a round. Other rules than before make everything new.
    pub(super) fn begin(&mut self, rules: &Arc<Rules>) {
        if !self
            .rules
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, rules))
        {
            *self = Self {
                rules: Some(rules.clone()),
                recorder: self.recorder.as_ref().map(|_| Recorder::default()),
                ..Self::default()
            };
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(self.slots.len());
        }
        self.round += 1;
        self.added.clear();
        self.seen = 0;
    }

    /// An empty cache whose rounds come after those of this one.
    pub(super) fn fresh(&self) -> Self {
        Self {
            round: self.round,
            rules: self.rules.clone(),
            recorder: self.recorder.as_ref().map(|_| Recorder::default()),
            ..Self::default()
        }
    }

    /// The text of the last round.
    pub(super) fn last_text(&self) -> &Bytes {
        &self.text
    }

    /// Series remembered, the dropped ones too.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True before the first round and after one without series.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Input bytes of a series of an earlier round, in two pieces.
    #[inline]
    pub(super) fn key_before(&self, slot: u32) -> (&[u8], &[u8]) {
        let series = &self.slots.series[slot as usize];
        let start = self.slots.starts[slot as usize] as usize;
        (
            &self.text[start..start + series.shared as usize],
            self.endings.get(series.ending_in),
        )
    }

    /// Appends the labels of a series.
    #[inline]
    pub(super) fn write_labels(&mut self, slot: u32, out: &mut Buffer<u8>) {
        let series = &self.slots.series[slot as usize];
        let start = &mut self.slots.starts[slot as usize];
        if series.born == self.round {
            *start = u32::try_from(out.len()).expect("checked by the caller");
            out.extend_from_slice(&self.fresh);
        } else {
            let start = *start as usize;
            out.extend_from_slice(&self.text[start..start + series.shared as usize]);
        }
        out.append_short(self.endings.get(series.ending_out));
    }

    /// Notes that a series has its place in the round.
    #[inline]
    pub(super) fn see(&mut self, slot: u32) {
        let marks = &mut self.slots.marks[slot as usize];
        if marks.seen != self.round {
            marks.seen = self.round;
            self.seen += 1;
        }
    }

    /// Notes that the line of a series is written; false if it was already.
    #[inline]
    pub(super) fn mark_written(&mut self, slot: u32) -> bool {
        let marks = &mut self.slots.marks[slot as usize];
        if marks.written == self.round {
            return false;
        }
        marks.written = self.round;
        self.see(slot);
        true
    }

    /// Whether the line of a series is written.
    pub(super) fn is_written(&self, slot: u32) -> bool {
        self.slots.marks[slot as usize].written == self.round
    }

    /// Takes back that a series was seen.
    pub(super) fn unsee(&mut self, slot: u32) {
        if let Some(recorder) = &mut self.recorder {
            recorder.forget(slot);
        }
        self.slots.marks[slot as usize].seen = 0;
        self.seen -= 1;
    }

    /// Where the line behind a series is expected; `otherwise` for a series that had no place yet.
    pub(super) fn position_behind(&self, slot: u32, otherwise: usize) -> usize {
        if self.slots.series[slot as usize].born == self.round {
            otherwise
        } else {
            self.slots.positions[slot as usize] as usize + 1
        }
    }

    fn fate(&self, slot: u32) -> Fate {
        self.slots.series[slot as usize].fate
    }

    /// The metric name of a number.
    pub(super) fn name_of(&self, name: u32) -> &str {
        &self.families[name as usize].heading.name
    }

    /// The number of a metric name that some series has.
    pub(super) fn known_name(&self, name: &str) -> Option<u32> {
        self.names.find(name.as_bytes())
    }

    /// Front of a series' line, in the text written so far or in that of the round before.
    fn front<'a>(&'a self, slot: u32, out: &'a [u8]) -> &'a [u8] {
        let series = &self.slots.series[slot as usize];
        let text = if series.born == self.round {
            out
        } else {
            &self.text
        };
        let start = self.slots.starts[slot as usize] as usize;
        &text[start..][..series.shared as usize]
    }
}

/// Finding and entering series.
impl Cache {
    /// Hash of input bytes.
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The series that comes as `key`.
    pub(super) fn find(&self, hash: u64, key: &[u8], out: &[u8]) -> Option<u32> {
        let is_same = |&slot: &u32| {
            let ending = self.slots.series[slot as usize].ending_in;
            let rest = key.strip_prefix(self.front(slot, out));
            rest.is_some_and(|rest| rest == self.endings.get(ending))
        };
        self.keys.find(hash, is_same).copied()
    }

    /// Hash of output labels.
    pub(super) fn identity(&self, stamped: &Stamped) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for (name, value) in stamped.labels.iter() {
            (name, value).hash(&mut hasher);
        }
        stamped.blank_instance.hash(&mut hasher);
        hasher.finish()
    }

    /// The series that leaves with these labels.
    pub(super) fn find_output(&self, hash: u64, stamped: &Stamped, out: &[u8]) -> Option<u32> {
        self.outputs
            .find(hash, |&slot| self.leaves_as(slot, stamped, out))
            .copied()
    }

    fn leaves_as(&self, slot: u32, stamped: &Stamped, out: &[u8]) -> bool {
        let ending = self.slots.series[slot as usize].ending_out;
        let line = [self.front(slot, out), self.endings.get(ending), b" 0\n"].concat();
        let Ok(Step::Entry {
            entry: Entry::Sample(sample),
            ..
        }) = parse::next(Format::Text, &line, true)
        else {
            return false;
        };
        let written = sample.labels.iter().filter(|label| !label.value.is_empty());
        let blank = sample
            .labels
            .iter()
            .any(|label| label.name == INSTANCE && label.value.is_empty());
        stamped.labels.name() == Some(&*sample.name)
            && blank == stamped.blank_instance
            && written.clone().count() + 1 == stamped.labels.len()
            && written
                .clone()
                .all(|label| stamped.labels.get(&label.name) == Some(&*label.value))
    }

    /// Enters a series that is written next.
    pub(super) fn enter(
        &mut self,
        sample: &Sample<'_>,
        hash: u64,
        output_hash: u64,
        stamped: &Stamped,
    ) -> u32 {
        let shared = shared_front(sample, stamped);
        self.fresh.clear();
        self.fresh.extend_from_slice(&sample.key[..shared.len]);
        let family = stamped.labels.name().unwrap_or_default();
        let unusual = !crate::model::labels::is_legacy_metric_name(family)
            || stamped
                .labels
                .iter()
                .any(|(name, _)| !crate::model::labels::is_legacy_label_name(name));
        let ending = ending_of(&shared, family, stamped);
        let ending_out = self.endings.acquire(&ending);
        let family = self.acquire_name(family);
        let heading = &mut self.families[family as usize].heading;
        if unusual && !heading.utf8 {
            Arc::make_mut(heading).utf8 = true;
        }
        let place = Place {
            shared: shared.len,
            ending_out,
            family,
            output_hash,
        };
        let slot = self.insert(sample, hash, Fate::Kept, &place);
        let Self { outputs, slots, .. } = self;
        outputs.insert_unique(output_hash, slot, |&slot| {
            slots.hashes[slot as usize].output
        });
        slot
    }

    /// Enters a series that is not written, now and when it comes again.
    pub(super) fn enter_unwritten(&mut self, sample: &Sample<'_>, hash: u64, fate: Fate) -> u32 {
        let ending_out = self.endings.acquire(b"");
        let family = self.acquire_name(&sample.name);
        let slot = self.insert(
            sample,
            hash,
            fate,
            &Place {
                shared: 0,
                ending_out,
                family,
                output_hash: 0,
            },
        );
        self.shadows += usize::from(matches!(fate, Fate::Shadow { .. }));
        self.see(slot);
        slot
    }

    fn insert(&mut self, sample: &Sample<'_>, key_hash: u64, fate: Fate, place: &Place) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| self.slots.push());
        let series = Series {
            shared: u32::try_from(place.shared).expect("lines are shorter than 4 GiB"),
            ending_in: self.endings.acquire(&sample.key[place.shared..]),
            ending_out: place.ending_out,
            family: place.family,
            name: self.acquire_name(&sample.name),
            born: self.round,
            fate,
        };
        let hashes = Hashes {
            key: key_hash,
            output: place.output_hash,
        };
        self.slots.put(slot, series, hashes);
        let Self { keys, slots, .. } = self;
        keys.insert_unique(key_hash, slot, |&slot| slots.hashes[slot as usize].key);
        self.added.push(slot);
        if let Some(recorder) = &mut self.recorder {
            recorder.enter(slot);
        }
        slot
    }

    fn acquire_name(&mut self, name: &str) -> u32 {
        let id = self.names.acquire(name.as_bytes());
        let at = id as usize;
        if at >= self.families.len() {
            self.families.push(FamilyState::new(name));
        } else if *self.families[at].heading.name != *name {
            self.families[at] = FamilyState::new(name);
        }
        id
    }

    /// Empties a slot in the middle of a round.
    pub(super) fn vacate(&mut self, slot: u32) {
        let (series, marks, hashes) = self.slots.clear(slot);
        if let Ok(entry) = self.keys.find_entry(hashes.key, |&other| other == slot) {
            entry.remove();
        }
        match series.fate {
            Fate::Kept => {
                if let Ok(entry) = self
                    .outputs
                    .find_entry(hashes.output, |&other| other == slot)
                {
                    entry.remove();
                }
            }
            Fate::Shadow { .. } => self.shadows -= 1,
            Fate::Dropped(_) | Fate::Vacant => {}
        }
        self.seen -= usize::from(marks.seen == self.round);
        self.endings.release(series.ending_in);
        self.endings.release(series.ending_out);
        self.names.release(series.family);
        self.names.release(series.name);
        self.vacated.push(slot);
    }
}

/// Ending a round.
impl Cache {
    /// Makes the round the one that the next is matched with; returns how many known series did not come.
    pub(super) fn commit(&mut self, mut order: Vec<u32>, text: Bytes, lines: &[Line]) -> u64 {
        for line in lines {
            self.slots.starts[line.slot as usize] = line.start;
        }
        self.text = text;
        let removed = self.evict();
        if removed > 0 || !self.vacated.is_empty() || self.shadows > 0 {
            order.retain(|&slot| self.fate(slot) != Fate::Vacant);
        }
        if order != self.order {
            for (position, &slot) in (0u32..).zip(&order) {
                self.slots.positions[slot as usize] = position;
            }
            std::mem::swap(&mut self.order, &mut order);
        }
        order.clear();
        self.spare = order;
        self.free_vacated();
        removed
    }

    /// Forgets the series that have no place in the round, and those in the shadow of one.
    fn evict(&mut self) -> u64 {
        let mut removed = 0;
        if self.seen == self.keys.len() && self.shadows == 0 {
            return removed;
        }
        let round = self.round;
        let unseen = |slot: &u32| self.slots.marks[*slot as usize].seen != round;
        let gone: Vec<u32> = self.slots.occupied().filter(unseen).collect();
        for slot in gone {
            removed += u64::from(self.slots.series[slot as usize].born != round);
            self.vacate(slot);
        }
        self.vacate_lost_shadows();
        removed
    }

    /// Gives emptied slots to new series, lowest first: as series that come are in the order of families, as those that
    /// went were, slots stay near the order of lines, and in most of them one series of a family follows another.
    fn free_vacated(&mut self) {
        if !self.vacated.is_empty() {
            self.free.append(&mut self.vacated);
            self.free.sort_by(|a, b| b.cmp(a));
        }
    }

    /// Undoes what the round under way entered.
    pub(super) fn roll_back(&mut self) {
        for slot in std::mem::take(&mut self.added) {
            if self.fate(slot) != Fate::Vacant {
                self.vacate(slot);
            }
        }
        self.vacate_lost_shadows();
        self.free_vacated();
    }

    /// Empties the shadows of series that have gone, before another series takes their slot.
    fn vacate_lost_shadows(&mut self) {
        if self.shadows == 0 {
            return;
        }
        let is_lost = |slot: &u32| matches!(self.fate(*slot), Fate::Shadow { of } if self.fate(of) != Fate::Kept);
        let lost: Vec<u32> = self.slots.occupied().filter(is_lost).collect();
        for slot in lost {
            self.vacate(slot);
        }
    }
}

impl FamilyState {
    /// A name of which nothing is known yet.
    pub(super) fn new(name: &str) -> Self {
        let heading = Heading {
            name: name.into(),
            kind: MetricKind::Unknown,
            base: None,
            help: Arc::default(),
            utf8: false,
        };
        Self {
            heading: heading.into(),
            described_by: Weak::new(),
        }
    }
}

/// Where a series' text is.
struct Place {
    shared: usize,
    ending_out: u32,
    family: u32,
    output_hash: u64,
}

/// The front that a line has in common with the line written for it.
struct Shared {
    /// Bytes of the input line.
    len: usize,
    /// Labels in those bytes: the first so many of the sample's.
    labels: Vec<String>,
}

/// How much of the input line can be the front of the output line: the bare name and the labels up to the first that
/// the rules change or that is not written as we write it.
fn shared_front(sample: &Sample<'_>, stamped: &Stamped) -> Shared {
    let mut shared = Shared {
        len: 0,
        labels: Vec::new(),
    };
    if sample.name_end == 0 || stamped.labels.name() != Some(&*sample.name) {
        return shared;
    }
    shared.len = sample.name_end;
    for label in &sample.labels {
        let kept = match stamped.labels.get(&label.name) {
            Some(value) => value == label.value,
            None => label.name == INSTANCE && stamped.blank_instance && label.value.is_empty(),
        };
        if !kept || !label.plain {
            break;
        }
        shared.len = label.end;
        shared.labels.push(label.name.clone().into_owned());
    }
    shared
}

/// What is written behind the shared front: the other labels and the closing brace.
fn ending_of(shared: &Shared, family: &str, stamped: &Stamped) -> Vec<u8> {
    let blank = stamped.blank_instance.then_some((INSTANCE, ""));
    let labels = stamped
        .labels
        .iter()
        .filter(|(name, _)| *name != METRIC_NAME)
        .chain(blank);
    let others = labels.filter(|(name, _)| !shared.labels.iter().any(|known| known == name));
    let mut ending = Vec::new();
    if shared.len == 0 {
        write_series(&mut ending, family, others);
        return ending;
    }
    let mut open = !shared.labels.is_empty();
    for (name, value) in others {
        ending.push(if open { b',' } else { b'{' });
        write_label(&mut ending, name, value);
        open = true;
    }
    if open {
        ending.push(b'}');
    }
    ending
}

/// The label that every series on `/federate` has, if only empty, so that the scraper adds none of its own.
pub(super) const INSTANCE: &str = "instance";
