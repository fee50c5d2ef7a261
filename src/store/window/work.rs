//! What the window does with a round: births and deaths, the column, sealing. In slices, since a first round enters
//! 48,000 series and sealing goes over as many chunks.

use std::sync::Arc;

use bytes::Bytes;

use super::super::chunk::{ROUNDS, ROUNDS_MAX, Sealing};
use super::super::column::{Column, Recorded, STALE};
use super::super::index::IndexWriter;
use super::super::snapshot::Line;
use super::{ClusterWindow, Era, Window, Writer};
use crate::parse::finished;

/// Series entered in one slice, at one to three microseconds each.
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
    Enter {
        recorded: Recorded,
        text: Bytes,
        lines: Arc<Vec<Line>>,
        /// The line to go on with.
        next: usize,
    },
    Append(Recorded),
    Seal(Box<Sealing>),
}

impl ClusterWindow {
    /// Takes a round in. What is left to do is worth a slice in the pool if [`Work::is_heavy`], until it is done.
    pub fn append(self: &Arc<Self>, window: &Window, mut recorded: Recorded) -> Work {
        let oldest_ms = window.oldest_allowed(recorded.column.at_ms);
        self.lock().begin_era(&recorded);
        let step = match recorded.born.take() {
            Some((text, lines)) => WorkStep::Enter {
                recorded,
                text,
                lines,
                next: 0,
            },
            None => WorkStep::Append(recorded),
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
        !matches!(self.step, Some(WorkStep::Append(_)) | None)
    }

    /// Does the next step: at most some 4 ms.
    pub fn step(&mut self) {
        self.step = match self.step.take() {
            Some(WorkStep::Enter {
                recorded,
                text,
                lines,
                next,
            }) => {
                let next = self.enter(&recorded, &text, &lines, next);
                Some(if next < lines.len() {
                    WorkStep::Enter {
                        recorded,
                        text,
                        lines,
                        next,
                    }
                } else {
                    WorkStep::Append(recorded)
                })
            }
            Some(WorkStep::Append(recorded)) => self.append(recorded),
            Some(WorkStep::Seal(mut sealing)) => {
                if sealing.step(WORDS) {
                    self.install(*sealing)
                } else {
                    Some(WorkStep::Seal(sealing))
                }
            }
            None => None,
        };
    }

    /// Enters series that appeared in this round, from line `next` on; returns the line to go on with.
    fn enter(&self, recorded: &Recorded, text: &Bytes, lines: &[Line], next: usize) -> usize {
        let mut writer = self.cluster.lock();
        if next == 0 {
            writer.leave_missing(&recorded.column);
        }
        let Some((_, index)) = &mut writer.current else {
            return lines.len();
        };
        let mut entered = 0;
        for (at, line) in lines.iter().enumerate().skip(next) {
            if line.born != recorded.round {
                continue;
            }
            if entered == BIRTHS {
                return at;
            }
            entered += 1;
            let end = lines
                .get(at + 1)
                .map_or(text.len(), |next| next.start as usize);
            // We wrote the line ourselves, so it can be read. If not: the series has no row and is not selected.
            let labels = finished::labels(&text[line.start as usize..end]);
            debug_assert!(labels.is_some(), "a finished line");
            if let Some(labels) = labels {
                index.enter(line.slot, recorded.column.number, &labels);
            }
        }
        lines.len()
    }

    /// Shows the round to readers, and says what is to be sealed.
    fn append(&self, recorded: Recorded) -> Option<WorkStep> {
        let mut writer = self.cluster.lock();
        writer.push(recorded.column);
        writer.forget(self.oldest_ms);
        self.cluster.publish(&writer);
        let (era, _) = writer.current.as_ref()?;
        Some(WorkStep::Seal(Box::new(era.sealing(&self.cluster.name)?)))
    }

    fn install(&self, sealing: Sealing) -> Option<WorkStep> {
        let mut writer = self.cluster.lock();
        let (era, _) = writer.current.as_mut()?;
        // Columns may have been forgotten meanwhile, for want of memory.
        if era
            .columns
            .first()
            .is_some_and(|column| sealing.begins_with(column))
        {
            era.columns.drain(..sealing.rounds());
            let (batch, edge) = sealing.finish();
            era.batches.push(Arc::new(batch));
            era.edge = edge;
            writer.forget(self.oldest_ms);
            self.cluster.publish(&writer);
        }
        None
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
            era.push(Column::end(last.number + 1, end_ms), |_| {});
            self.past.push(Arc::new(era));
        }
        self.current = Some((Era::new(recorded.era), IndexWriter::default()));
    }

    /// Series that a round lacks leave before others are born: where a source writes the same labels otherwise, the row
    /// is to be had again.
    fn leave_missing(&mut self, column: &Column) {
        let Some((era, index)) = &mut self.current else {
            return;
        };
        let before = era.columns.last().and_then(|last| last.all());
        let now = column.all().unwrap_or_default();
        for (slot, &value) in (0_u32..).zip(before.unwrap_or_default()) {
            let is_there = now.get(slot as usize).is_some_and(|now| *now != STALE);
            if value != STALE && !is_there {
                index.leave(slot, column.number);
            }
        }
    }

    /// Appends a round; the births in it are in the index already.
    fn push(&mut self, column: Column) {
        let Some((era, index)) = &mut self.current else {
            return;
        };
        let number = column.number;
        if let Some(last) = era.columns.last() {
            let stale_ms = last.at_ms.saturating_add(self.stale_after_ms);
            if stale_ms < column.at_ms {
                // Whether its series have gone is seen in the round after it.
                let gap = Column::end(last.number + 1, stale_ms);
                let last = last.clone();
                last.shortened(&column, |slot| index.leave(slot, number));
                era.push(gap, |_| {});
            }
        }
        era.push(column, |slot| index.leave(slot, number));
        index.publish(&mut era.index);
    }
}

impl Era {
    /// Appends a round, calls `gone` for the series that were in the one before and are not in it, and keeps of that one
    /// only what differs.
    fn push(&mut self, column: Column, gone: impl FnMut(u32)) {
        if let Some(last) = self.columns.last_mut()
            && let Some(shorter) = last.shortened(&column, gone)
        {
            *last = Arc::new(shorter);
        }
        self.columns.push(Arc::new(column));
    }

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
