//! The round of a cluster with replicas: the one in use is asked, another one when it gives reason to.
//!
//! [`super::replica`] decides, [`super::floor`] keeps timestamps from going backwards; here they are carried out.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;
use tracing::warn;

use super::attempt::{Attempt, Done};
use super::floor::Floor;
use super::replica::{self, Choice, Why};
use super::status::Switch;
use super::{ScrapeError, Scraper, now_ms};

/// Texts published last that are remembered: a series may leave the last one because the replica given up noticed
/// its end first, and come back with the other's older sample.
const SENT_MAX: usize = 2;

/// How long the text before a great loss is remembered.
const LOSS_KEPT: Duration = Duration::from_secs(600);

/// Another replica is asked in the same round while this part of the time for it is left.
const TIME_LEFT: f64 = 0.2;

/// What a cluster's loop knows of its replicas.
#[derive(Debug)]
pub(super) struct Replicas {
    choice: Choice,
    /// What was published last, the newest at the end.
    sent: VecDeque<Sent>,
    /// What was published before nine tenths of the series went.
    before_loss: Option<Sent>,
    /// Since a switch, until every series has a newer sample.
    floor: Option<Floor>,
    /// A switch in this round: texts that are to be entered in the floor.
    switched: Option<Vec<Bytes>>,
}

#[derive(Clone, Debug)]
struct Sent {
    text: Bytes,
    series: u64,
    at: Instant,
}

/// What is wrong with the replica in use in this round.
enum Doubt {
    /// Its answer gives rise to suspicion.
    Weak(Why, Box<Attempt>),
    /// It gave none.
    Failed(ScrapeError),
}

impl Replicas {
    pub(super) fn new(count: usize, used: usize, interval: Duration) -> Self {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        Self {
            choice: Choice::new(count, used, interval_ms),
            sent: VecDeque::new(),
            before_loss: None,
            floor: None,
            switched: None,
        }
    }

    /// The replica in use.
    pub(super) fn used(&self) -> usize {
        self.choice.used()
    }

    /// Remembers what was published.
    fn remember(&mut self, text: &Bytes, series: u64) {
        let at = Instant::now();
        let is_old = |sent: &Sent| at - sent.at > LOSS_KEPT;
        if self.before_loss.as_ref().is_some_and(is_old) {
            self.before_loss = None;
        }
        if let (Some(last), None) = (self.sent.back(), &self.before_loss)
            && replica::is_smaller(series, last.series)
        {
            self.before_loss = Some(last.clone());
        }
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        let text = text.clone();
        self.sent.push_back(Sent { text, series, at });
    }
}

impl Doubt {
    /// Why the replica in use is given up for one that answers so, and that in words.
    fn explain(doubt: Option<&Self>, other: replica::Answer) -> (Why, String) {
        let said = |answer: replica::Answer| {
            let age = answer.newest_ms.map(|newest| (now_ms() - newest) / 1000);
            let age = age.map_or(String::new(), |s| format!(", the newest sample {s} s old"));
            format!("{} series{age}", answer.series)
        };
        match doubt {
            Some(Self::Weak(why, weak)) => (
                *why,
                format!(
                    "its answer has {}; the other's {}",
                    said(weak.answer()),
                    said(other)
                ),
            ),
            Some(Self::Failed(error)) => (Why::Failed, error.to_string()),
            None => (
                Why::Failed,
                "it took all the time of the round before".to_owned(),
            ),
        }
    }
}

impl Attempt {
    fn answer(&self) -> replica::Answer {
        replica::Answer {
            series: self.round.series(),
            newest_ms: self.round.newest_ms(),
        }
    }
}

impl Scraper {
    /// One round; gives the replicas back with its result.
    pub(super) async fn scrape_replicas(
        &mut self,
        mut replicas: Replicas,
        start: Instant,
    ) -> (Replicas, Result<Done, ScrapeError>) {
        let result = self.ask_in_turn(&mut replicas, start).await;
        if let (Ok(done), Some(cache)) = (&result, &self.cache) {
            replicas.remember(cache.last_text(), done.report.kept);
        }
        (replicas, result)
    }

    async fn ask_in_turn(
        &mut self,
        replicas: &mut Replicas,
        start: Instant,
    ) -> Result<Done, ScrapeError> {
        let used = replicas.choice.used();
        let mut doubt: Option<Doubt> = None;
        let mut others: Vec<ScrapeError> = Vec::new();
        let mut confirmed = false;
        for (turn, number) in replicas.choice.order().enumerate() {
            if turn > 0 && !self.has_time(start) {
                break;
            }
            match (
                self.ask(number, doubt.as_ref(), start).await,
                number == used,
            ) {
                (Err(error), true) => doubt = Some(Doubt::Failed(error)),
                (Err(error), false) => others.push(error),
                (Ok(attempt), true) => match replicas.choice.suspects(attempt.answer(), now_ms()) {
                    None => return self.take(replicas, attempt).await,
                    Some(why) => doubt = Some(Doubt::Weak(why, Box::new(attempt))),
                },
                (Ok(attempt), false) => {
                    if prefers(&replicas.choice, doubt.as_ref(), &attempt) {
                        self.switch(replicas, number, doubt.as_ref(), &attempt);
                        return self.take(replicas, attempt).await;
                    }
                    confirmed = true;
                    self.cache = Some(attempt.round.abandon());
                    others.push(ScrapeError::Nothing);
                }
            }
        }
        self.asked = used;
        let used = match doubt {
            Some(Doubt::Weak(_, weak)) => {
                replicas.choice.stay(weak.answer(), confirmed);
                return self.take(replicas, *weak).await;
            }
            Some(Doubt::Failed(error)) => {
                replicas.choice.fail(others.is_empty());
                Some(error)
            }
            None => {
                replicas.choice.fail(false);
                None
            }
        };
        Err(both(used, others.pop()))
    }

    /// Asks one replica for an answer that can be published.
    async fn ask(
        &mut self,
        number: usize,
        doubt: Option<&Doubt>,
        start: Instant,
    ) -> Result<Attempt, ScrapeError> {
        self.asked = number;
        let cache = match doubt {
            // The other's cache is in use until it is known whose answer is published.
            Some(Doubt::Weak(_, weak)) => weak.round.fresh_cache(),
            Some(Doubt::Failed(_)) | None => self.cache.take().unwrap_or_else(|| self.new_cache()),
        };
        let result = match self.attempt(cache, start).await {
            Ok(mut attempt) => match attempt.round.settle() {
                Ok(()) => Ok(attempt),
                Err(error) => Err(self.give_up(Some(attempt.round), error.into())),
            },
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.reconnect();
        }
        result
    }

    /// Whether there is time to ask another replica in this round.
    fn has_time(&self, start: Instant) -> bool {
        start.elapsed() < self.settings.timeout.mul_f64(1.0 - TIME_LEFT)
    }

    /// Uses another replica from now on.
    fn switch(&self, replicas: &mut Replicas, to: usize, doubt: Option<&Doubt>, attempt: &Attempt) {
        let from = replicas.choice.used();
        let (why, message) = Doubt::explain(doubt, attempt.answer());
        let message = self.clients[from].mask(&message);
        replicas.choice.switch(to, attempt.answer());
        let texts = replicas.before_loss.iter().chain(&replicas.sent);
        replicas.switched = Some(texts.map(|sent| sent.text.clone()).collect());
        let cluster = self.slot.name();
        let url = |number: usize| self.clients[number].settings().url.as_str();
        warn!(
            cluster,
            from = url(from),
            to = url(to),
            reason = why.reason(),
            error = message,
            "Another replica is used."
        );
        self.learned.follow(to);
        self.shared.metrics.switched(cluster, why, to);
        self.status.switch(Switch {
            at: SystemTime::now(),
            from,
            to,
            why,
            message,
        });
    }

    /// Publishes an answer, no series of it older than what was sent before a switch.
    async fn take(
        &mut self,
        replicas: &mut Replicas,
        mut attempt: Attempt,
    ) -> Result<Done, ScrapeError> {
        let now_ms = now_ms();
        let switched = replicas.switched.take();
        let floor = replicas.floor.take().filter(|floor| !floor.is_over(now_ms));
        if switched.is_none() && floor.is_none() {
            return self.conclude(attempt).await;
        }
        let mut floor = floor.unwrap_or_else(|| Floor::new(now_ms));
        let mut round = attempt.round;
        let slice = move || {
            if let Some(texts) = switched {
                floor.renew(now_ms);
                for text in &texts {
                    floor.enter(text);
                }
            }
            round.raise(&mut floor);
            (round, floor)
        };
        let (round, floor) = self.shared.pool.run(slice).await?;
        attempt.round = round;
        replicas.floor = Some(floor);
        self.conclude(attempt).await
    }
}

fn prefers(choice: &Choice, doubt: Option<&Doubt>, other: &Attempt) -> bool {
    let (why, used) = match doubt {
        Some(Doubt::Weak(why, weak)) => (*why, Some(weak.answer())),
        Some(Doubt::Failed(_)) | None => (Why::Failed, None),
    };
    choice.prefers(why, used, other.answer(), now_ms())
}

/// What went wrong with the replica in use, and with another.
fn both(used: Option<ScrapeError>, other: Option<ScrapeError>) -> ScrapeError {
    match (used, other) {
        (Some(used), Some(other)) => ScrapeError::Replicas {
            used: Box::new(used),
            other: Box::new(other),
        },
        (Some(error), None) | (None, Some(error)) => error,
        (None, None) => ScrapeError::Nothing,
    }
}
