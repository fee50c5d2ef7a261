//! What the window does with a round: births and deaths, the column, sealing, labels that go. In slices, since a first
//! round enters 48,000 series and sealing goes over as many chunks.

use std::sync::Arc;

use tracing::warn;

use super::super::chunk::{ROUNDS, ROUNDS_MAX, Sealing};
use super::super::column::{Born, Column, Recorded};
use super::super::index::IndexWriter;
use super::{ClusterWindow, Era, Window, Writer};

/// Series entered in one slice, at about a microsecond each.
const BIRTHS: usize = 500;

/// Slots sealed in one slice, in words of 64; a slot takes 5 to 20 nanoseconds a round.
const WORDS: usize = 128;

/// A round on its way into the window.
#[derive(Debug)]
pub struct Work {
    cluster: Arc<ClusterWindow>,
    /// Rounds that began before this may go.
    oldest_ms: i64,
    step: Option<WorkStep>,
}

#[derive(Debug)]
enum WorkStep {
    /// The first step of a round with births.
    Shorten(Column, Born),
    /// The series that the round lacks leave, then others are born.
    Change {
        round: Round,
        gone: Vec<u32>,
        born: Born,
        /// The birth to go on with.
        next: usize,
    },
    /// All of a round without births, up to where readers see it.
    Append(Column),
    Publish(Round),
    Seal(Box<Sealing>),
    /// After sealing, since whole batches leave, and as often; after each round where none is sealed.
    Expire,
}

/// What a step works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Values and timestamps.
    Samples,
    /// Labels of series that come and go.
    Labels,
}

/// A round on its way to readers.
#[derive(Debug)]
struct Round {
    column: Column,
    /// The round before as what differs from this one, if that is shorter.
    before: Option<Column>,
}

impl ClusterWindow {
    /// Takes a round in. What is left to do is worth a slice in the pool if [`Work::is_heavy`], until it is done.
    pub fn append(self: &Arc<Self>, window: &Window, recorded: Recorded) -> Work {
        let oldest_ms = window.oldest_allowed(recorded.column.at_ms);
        self.lock().begin_era(&recorded);
        let Recorded { column, born, .. } = recorded;
        let step = if born.births.is_empty() {
            WorkStep::Append(column)
        } else {
            WorkStep::Shorten(column, born)
        };
        Work {
            cluster: self.clone(),
            oldest_ms,
            step: Some(step),
        }
    }
}

impl Work {
    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.step.is_none()
    }

    /// Whether the next step may take more than some 100 µs.
    pub fn is_heavy(&self) -> bool {
        !matches!(
            self.step,
            Some(WorkStep::Append(_) | WorkStep::Publish(_)) | None
        )
    }

    /// What the next step works on: for the bench, since the one is paid for each sample and the other for each series.
    pub fn part(&self) -> Part {
        match self.step {
            Some(WorkStep::Change { .. } | WorkStep::Expire) => Part::Labels,
            _ => Part::Samples,
        }
    }

    /// Does the next step: at most some 4 ms.
    pub fn step(&mut self) {
        self.step = match self.step.take() {
            Some(WorkStep::Shorten(column, born)) => {
                let (round, gone) = self.cluster.lock().shorten(column);
                Some(WorkStep::Change {
                    round,
                    gone,
                    born,
                    next: 0,
                })
            }
            Some(WorkStep::Change {
                round,
                gone,
                born,
                next,
            }) => {
                // First: where a source writes the same labels otherwise, the row is to be had again.
                self.cluster.lock().leave(&gone, round.column.number);
                let next = self.enter(&round.column, &born, next);
                Some(if next < born.births.len() {
                    WorkStep::Change {
                        round,
                        gone: Vec::new(),
                        born,
                        next,
                    }
                } else {
                    WorkStep::Publish(round)
                })
            }
            Some(WorkStep::Append(column)) => {
                let mut writer = self.cluster.lock();
                let (round, gone) = writer.shorten(column);
                writer.leave(&gone, round.column.number);
                drop(writer);
                self.publish(round)
            }
            Some(WorkStep::Publish(round)) => self.publish(round),
            Some(WorkStep::Seal(mut sealing)) => {
                if sealing.step(WORDS) {
                    self.install(*sealing);
                    Some(WorkStep::Expire)
                } else {
                    Some(WorkStep::Seal(sealing))
                }
            }
            Some(WorkStep::Expire) => self.expire(),
            None => None,
        };
    }

    /// Enters series that appeared in this round, from birth `next` on; returns the birth to go on with.
    fn enter(&self, column: &Column, born: &Born, next: usize) -> usize {
        let end = born.births.len().min(next + BIRTHS);
        let births = born.births[next..end].iter();
        let lines = births.map(|birth| (birth.slot, &born.text[birth.line.clone()]));
        if let Some((_, index)) = &mut self.cluster.lock().current {
            let unread = index.enter(column.number, lines);
            debug_assert_eq!(unread, 0, "finished lines, written by ourselves");
            if unread > 0 {
                warn!(cluster = %self.cluster.name, unread, "new series cannot be queried: their lines cannot be read");
            }
        }
        end
    }

    /// Shows the round to readers, and says what is to be sealed.
    fn publish(&self, round: Round) -> Option<WorkStep> {
        let mut writer = self.cluster.lock();
        writer.push(round);
        writer.forget(self.oldest_ms);
        self.cluster.publish(&writer);
        let (era, _) = writer.current.as_ref()?;
        match era.sealing(&self.cluster.name) {
            Some(sealing) => Some(WorkStep::Seal(Box::new(sealing))),
            // Where the window is too short for sealing, each round may end what labels were kept for.
            None => era.batches.is_empty().then_some(WorkStep::Expire),
        }
    }

    fn install(&self, sealing: Sealing) {
        let mut writer = self.cluster.lock();
        let Some((era, _)) = writer.current.as_mut() else {
            return;
        };
        // Columns may have been forgotten meanwhile, for want of memory.
        let first = era.columns.first();
        if first.is_some_and(|column| sealing.begins_with(column)) {
            era.columns.drain(..sealing.rounds());
            let (batch, edge) = sealing.finish();
            era.batches.push(Arc::new(batch));
            era.edge = edge;
            writer.forget(self.oldest_ms);
            self.cluster.publish(&writer);
        }
    }

    /// Forgets labels that no round needs any more.
    fn expire(&self) -> Option<WorkStep> {
        let mut writer = self.cluster.lock();
        let is_done = writer.expire();
        self.cluster.publish(&writer);
        (!is_done).then_some(WorkStep::Expire)
    }
}

impl Writer {
    /// Ends the era under way if the round belongs to another.
    fn begin_era(&mut self, recorded: &Recorded) {
        if self
            .current
            .as_ref()
            .is_some_and(|(era, _)| era.id == recorded.era)
        {
            return;
        }
        if let Some((mut era, _)) = self.current.take()
            && let Some(last) = era.columns.last().cloned()
        {
            let stale_ms = last.at_ms.saturating_add(self.stale_after_ms);
            let end_ms = recorded.column.at_ms.min(stale_ms);
            era.columns.push(Arc::new(last.end(end_ms)));
            self.past.push(Arc::new(era));
        }
        self.current = Some((Era::new(recorded.era), IndexWriter::default()));
    }

    /// The round before this one as what differs from it, and the slots whose series this one lacks.
    fn shorten(&mut self, column: Column) -> (Round, Vec<u32>) {
        let mut gone = Vec::new();
        let before = self.current.as_ref().and_then(|(era, _)| {
            let last = era.columns.last()?;
            last.shortened(&column, |slot| gone.push(slot))
        });
        (Round { column, before }, gone)
    }

    /// The series of these slots are no longer there, from round `number` on.
    fn leave(&mut self, gone: &[u32], number: u32) {
        if let Some((_, index)) = &mut self.current {
            index.leave_all(gone, number);
        }
    }

    /// Appends a round; births and deaths of it are in the index already.
    fn push(&mut self, round: Round) {
        let Some((era, index)) = &mut self.current else {
            return;
        };
        let Round { column, before } = round;
        if let Some(last) = era.columns.last_mut() {
            let stale_ms = last.at_ms.saturating_add(self.stale_after_ms);
            if stale_ms < column.at_ms {
                let gap = last.end(stale_ms);
                era.columns.push(Arc::new(gap));
            } else if let Some(before) = before.filter(|before| before.number == last.number) {
                *last = Arc::new(before);
            }
        }
        era.columns.push(Arc::new(column));
        index.publish(&mut era.index);
    }
}

impl Era {
    /// The oldest columns, once there are enough of them. The first time a few more, as many as the cluster's name
    /// decides, so that not all clusters seal in the same round.
    fn sealing(&self, name: &str) -> Option<Sealing> {
        let more = name.bytes().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31) + usize::from(byte)
        });
        let rounds = if self.batches.is_empty() {
            ROUNDS + more % ROUNDS
        } else {
            ROUNDS
        };
        debug_assert!(rounds <= ROUNDS_MAX);
        (self.columns.len() > rounds)
            .then(|| Sealing::new(self.columns.clone(), rounds, self.edge.clone()))
    }
}
