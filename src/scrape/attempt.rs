//! One try of a round: the server is asked, its bodies are read as they come, the snapshot is made.

use std::sync::Arc;

use tokio::time::Instant;

use super::report::{Report, RoundError};
use super::round::{End, Round};
use super::rules::Rules;
use super::sink::RoundSink;
use super::status::{Phases, Wire};
use super::{Cache, ScrapeError, Scraper, now_ms};
use crate::cluster::decode::Decoder;
use crate::cluster::http::Answer;
use crate::model::metadata::Metadata;
use crate::store::snapshot::Snapshot;

/// Decoded bytes from one look at the memory in use to the next.
const LOOK_EVERY: u64 = 8 << 20;

/// What a successful round brings.
pub(super) struct Done {
    pub(super) snapshot: Snapshot,
    pub(super) report: Report,
    pub(super) wire: Wire,
    pub(super) phases: Phases,
}

/// All bodies of a round, read but not published.
pub(super) struct Attempt {
    pub(super) round: Round,
    pub(super) wire: Wire,
    pub(super) phases: Phases,
}

/// A round's cache and what came of it.
type Finished = (Box<Cache>, Result<(Snapshot, Report), RoundError>);

/// A body under way: wire, decoder, round.
type Body = Box<Decoder<RoundSink>>;

impl Scraper {
    /// Asks the server `self.asked` and reads all it has to say.
    pub(super) async fn attempt(
        &mut self,
        cache: Box<Cache>,
        start: Instant,
    ) -> Result<Attempt, ScrapeError> {
        let deadline = start + self.settings.timeout;
        let rules = self.current_rules();
        let mut phases = Phases::default();
        let mut wire = Wire::default();
        let mut cache = Some(cache);
        let mut round: Option<Round> = None;
        for request in 0..self.clients[self.asked].requests() {
            let before = Instant::now();
            let answer = self.clients[self.asked]
                .federate(request, &self.settings.instance_id, deadline)
                .await;
            phases.wait += before.elapsed();
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    self.cache = cache;
                    return Err(self.give_up(round, error.into()));
                }
            };
            let under_way = if let Some(mut round) = round.take() {
                round.next_body(answer.head.format);
                round
            } else {
                let cache = cache.take().unwrap_or_else(|| self.new_cache());
                self.start_round(cache, &rules, &answer)
            };
            round = Some(
                self.read(under_way, answer, deadline, &mut phases, &mut wire)
                    .await?,
            );
        }
        let round = round.expect("a client has one request at least");
        Ok(Attempt {
            round,
            wire,
            phases,
        })
    }

    /// Makes the snapshot.
    pub(super) async fn conclude(&mut self, attempt: Attempt) -> Result<Done, ScrapeError> {
        let Attempt {
            round,
            wire,
            mut phases,
        } = attempt;
        let before = Instant::now();
        let metadata = self.learned.metadata();
        let (cache, result) = self.finish(round, metadata).await?;
        self.cache = Some(cache);
        phases.publish += before.elapsed();
        let (snapshot, report) = result?;
        Ok(Done {
            snapshot,
            report,
            wire,
            phases,
        })
    }

    /// A cache that knows nothing.
    pub(super) fn new_cache(&self) -> Box<Cache> {
        if self.shared.window.is_on() {
            Box::new(Cache::recording())
        } else {
            Box::default()
        }
    }

    fn start_round(&self, cache: Box<Cache>, rules: &Arc<Rules>, answer: &Answer) -> Round {
        Round::start(
            cache,
            rules.clone(),
            answer.head.format,
            now_ms(),
            &self.shared.buffers,
        )
    }

    /// Keeps the cache of a round that cannot go on.
    pub(super) fn give_up(&mut self, round: Option<Round>, error: ScrapeError) -> ScrapeError {
        if let Some(round) = round {
            self.cache = Some(round.abandon());
        }
        error
    }

    /// Reads one body into the round, slice by slice.
    async fn read(
        &mut self,
        round: Round,
        mut answer: Answer,
        deadline: Instant,
        phases: &mut Phases,
        wire: &mut Wire,
    ) -> Result<Round, ScrapeError> {
        let end = if answer.head.framed {
            End::Framed
        } else {
            End::Closed
        };
        let sink = RoundSink::new(round);
        let mut body: Body = Box::new(Decoder::new(sink, answer.head.gzip, self.settings.limits));
        let mut looked = 0;
        let result = loop {
            let before = Instant::now();
            let chunk = self.clients[self.asked].chunk(&mut answer, deadline).await;
            let arrived = Instant::now();
            phases.read += arrived - before;
            let step = match chunk {
                Err(error) => break Err(error.into()),
                Ok(None) => break Self::end(&mut body, end),
                Ok(Some(chunk)) if body.is_slow() || body.sink().round().is_cold() => {
                    let slice = move || (body.push(&chunk), body);
                    let (result, returned) = self.shared.pool.run(slice).await?;
                    body = returned;
                    result
                }
                Ok(Some(chunk)) => body.push(&chunk),
            };
            phases.parse += arrived.elapsed();
            if let Some(error) = self.out_of_memory(body.bytes().1, &mut looked) {
                break Err(error);
            }
            if let Err(error) = step {
                break Err(body
                    .sink()
                    .take_error()
                    .map_or_else(|| error.into(), ScrapeError::Round));
            }
        };
        let (compressed, decoded) = body.bytes();
        wire.add(compressed, decoded);
        let round = body.sink().take_round();
        match result {
            Ok(()) => Ok(round),
            Err(error) => Err(self.give_up(Some(round), error)),
        }
    }

    /// Looks at the memory in use every [`LOOK_EVERY`] bytes. The window gives way first.
    fn out_of_memory(&self, decoded: u64, looked: &mut u64) -> Option<ScrapeError> {
        if decoded < *looked {
            return None;
        }
        *looked = decoded + LOOK_EVERY;
        let (used, limit) = self.shared.memory.exceeded()?;
        if self.shared.window.shorten(now_ms()) {
            return None;
        }
        Some(ScrapeError::Memory { used, limit })
    }

    fn end(body: &mut Body, end: End) -> Result<(), ScrapeError> {
        if let Err(error) = body.finish() {
            return Err(body
                .sink()
                .take_error()
                .map_or_else(|| error.into(), ScrapeError::Round));
        }
        body.sink().round().end_body(end)?;
        Ok(())
    }

    /// Finishes a round: at once when little is new, else in the pool.
    async fn finish(&self, round: Round, metadata: Arc<Metadata>) -> Result<Finished, ScrapeError> {
        if round.is_cold() {
            return Ok(self
                .shared
                .pool
                .run(move || round.finish(&metadata))
                .await?);
        }
        Ok(round.finish(&metadata))
    }
}
