//! The loop of one cluster: once an interval, ask it, run a round over its answer, publish the snapshot.
//!
//! In: a [`Client`], settings, the store's slot. Out: snapshots in the store, the
//! [`Status`] that `/api/v1/clusters` and `/metrics` show, and a log line when a cluster fails or comes back.

mod attempt;
mod cache;
mod error;
pub mod floor;
mod interner;
pub mod learn;
pub mod limits;
pub mod metrics;
pub mod own;
pub mod probe;
mod publish;
pub mod replica;
mod replicas;
pub mod report;
pub mod round;
pub mod rules;
mod sink;
pub mod status;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use self::attempt::Done;
pub use self::cache::Cache;
pub use self::error::ScrapeError;
use self::learn::Learned;
use self::metrics::ScrapeMetrics;
use self::replicas::Replicas;
use self::rules::Rules;
use self::status::{Status, Success};
use crate::cluster::decode::Limits;
use crate::cluster::http::Client;
use crate::cluster::{self, FetchError};
use crate::pool::{Lost, Pool};
use crate::store::buffers::Buffers;
use crate::store::column::Recorded;
use crate::store::window::{ClusterWindow, Window, Work};
use crate::store::{Slot, Store};
use crate::telemetry::process::Memory;

/// Under this much of an interval a round that begins late is not counted as late.
const LATE_SHARE: f64 = 0.1;

/// The first round comes within this share of an interval, so that a start does not take a whole one.
const FIRST_SHARE: f64 = 0.1;

/// What the loop of a cluster needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time from one round to the next.
    pub interval: Duration,
    /// Time for a whole round.
    pub timeout: Duration,
    /// Rules without what the server says of itself.
    pub rules: Arc<Rules>,
    /// Whether the server's own external labels are asked for, and how often.
    pub learn: learn::Settings,
    /// Caps on a body.
    pub limits: Limits,
    /// This process, for the detection of loops.
    pub instance_id: Arc<str>,
}

/// What all loops share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Where snapshots go.
    pub store: Arc<Store>,
    /// For slices of work over 200 µs.
    pub pool: Pool,
    /// Memory of earlier rounds.
    pub buffers: Buffers,
    /// How much memory there is.
    pub memory: Memory,
    /// Counters.
    pub metrics: Arc<ScrapeMetrics>,
    /// Where rounds are kept for queries.
    pub window: Arc<Window>,
}

/// All that a cluster's loop is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How to reach the cluster.
    pub client: cluster::Settings,
    /// How to read its answers.
    pub settings: Settings,
    /// What all loops share.
    pub shared: Shared,
    /// Where its snapshots go.
    pub slot: Arc<Slot>,
    /// Where it shows what its rounds were like.
    pub status: Arc<Status>,
    /// What it says of itself, written by [`learn::teach`].
    pub learned: Arc<Learned>,
}

/// Runs a cluster's loop until `stop`. A connection that cannot be set up, for want of a certificate, is tried again
/// every interval; a loop that breaks, which is a bug, costs a round and begins anew.
pub async fn keep_running(plan: Plan, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let (reason, message) = match Scraper::new(plan.clone()) {
            Ok(scraper) => match tokio::spawn(scraper.run(stop.clone())).await {
                Ok(()) => return,
                Err(broke) => ("internal", broke.to_string()),
            },
            Err(error) => (error.reason(), error.to_string()),
        };
        let cluster = plan.slot.name();
        if plan.status.is_news(reason) {
            error!(
                cluster,
                error = message,
                "The cluster cannot be scraped; trying again."
            );
        }
        plan.slot.fail(Instant::now());
        plan.own_window()
            .ended(&plan.shared.window, now_ms(), false, None);
        let before = plan.status.last_reason();
        plan.shared
            .metrics
            .failed(cluster, reason, Duration::ZERO, before);
        plan.status.fail(reason, message, Duration::ZERO);
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(plan.settings.interval) => {}
        }
    }
}

impl Plan {
    /// Where the cluster's rounds are kept.
    fn own_window(&self) -> Arc<ClusterWindow> {
        self.shared
            .window
            .cluster(self.slot.name(), self.slot.stale_after())
    }
}

/// One cluster's loop.
#[derive(Debug)]
struct Scraper {
    /// One for each replica; one where there is one server.
    clients: Vec<Client>,
    /// The one that is asked, or was asked last.
    asked: usize,
    /// What is known of the replicas, where there are several.
    replicas: Option<Replicas>,
    settings: Settings,
    shared: Shared,
    slot: Arc<Slot>,
    status: Arc<Status>,
    learned: Arc<Learned>,
    rules: Arc<Rules>,
    window: Arc<ClusterWindow>,
    /// Taken while a round is under way; a round that is lost leaves none, and the next begins anew.
    cache: Option<Box<Cache>>,
}

impl Scraper {
    fn new(plan: Plan) -> Result<Self, FetchError> {
        let window = plan.own_window();
        let Plan {
            client,
            settings,
            shared,
            slot,
            status,
            learned,
        } = plan;
        let clients = (0..client.servers()).map(|number| Client::new(client.replica(number)));
        let clients = clients.collect::<Result<Vec<_>, _>>()?;
        let rules = settings.rules.clone();
        let replicas = (clients.len() > 1)
            .then(|| Replicas::new(clients.len(), status.load().used, settings.interval));
        if let Some(replicas) = &replicas {
            shared
                .metrics
                .register_replicas(slot.name(), replicas.used());
        }
        Ok(Self {
            clients,
            asked: 0,
            replicas,
            settings,
            shared,
            slot,
            status,
            learned,
            rules,
            window,
            cache: None,
        })
    }

    /// A first round soon, then one an interval at an offset that the cluster's name decides, until `stop`.
    async fn run(mut self, stop: CancellationToken) {
        let (offset, interval) = (self.offset(), self.settings.interval);
        let mut next = Instant::now() + offset;
        tokio::select! {
            () = stop.cancelled() => return,
            () = self.first_round(next - offset.mul_f64(1.0 - FIRST_SHARE)) => {}
        }
        while next <= Instant::now() {
            next += interval;
        }
        let mut ticks = interval_at(next, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let due = tokio::select! {
                () = stop.cancelled() => return,
                due = ticks.tick() => due,
            };
            let late = Instant::now().saturating_duration_since(due);
            if late > self.settings.interval.mul_f64(LATE_SHARE) {
                self.shared.metrics.late(self.slot.name());
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.round() => {}
            }
        }
    }

    /// The first round waits a moment for the server's external labels: without them it would name series otherwise.
    async fn first_round(&mut self, due: Instant) {
        sleep_until(due).await;
        if self.settings.learn.enabled {
            let patience = Instant::now() + self.settings.timeout / 4;
            // Who does not answer in time is asked again later.
            let _ = timeout_at(patience, self.learned.asked()).await;
        }
        self.round().await;
    }

    /// Spreads the clusters over the interval, the same way at every start.
    fn offset(&self) -> Duration {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(self.slot.name());
        self.settings
            .interval
            .mul_f64((hash >> 11) as f64 / (1u64 << 53) as f64)
    }

    async fn round(&mut self) {
        let start = Instant::now();
        let result = self.scrape(start).await;
        let others = |id: &&String| **id != *self.settings.instance_id;
        let via = self.clients[self.asked].via();
        self.status
            .set_via(via.iter().filter(others).cloned().collect());
        self.report_access();
        match result {
            Ok(mut done) => {
                let recorded = done.snapshot.recorded.take();
                self.succeed(done, start);
                if let Some(recorded) = recorded {
                    self.remember(*recorded).await;
                }
            }
            Err(error) => self.fail(&error, start),
        }
        let (age, window) = (self.slot.age(Instant::now()), &self.shared.window);
        self.window.ended(window, now_ms(), self.slot.is_up(), age);
        if window.is_short() {
            window.lengthen(now_ms(), self.shared.memory.has_room());
        }
    }

    /// Takes the round into the window.
    async fn remember(&mut self, recorded: Recorded) {
        let work = self.window.append(&self.shared.window, recorded);
        if let Err(lost) = remember(work, &self.shared.pool).await {
            error!(cluster = self.slot.name(), %lost, "The window lacks a round; its series begin anew.");
            self.cache = None;
        }
    }

    /// Tells of files that cannot be used as they are now, once.
    fn report_access(&self) {
        let name = self.slot.name();
        let trouble = self.clients[self.asked].trouble();
        self.shared.metrics.access(name, trouble.is_some());
        if self.status.set_access_error(trouble.clone())
            && let Some(error) = trouble
        {
            warn!(cluster = name, %error, "A file with a secret or certificate cannot be used.");
        }
    }

    fn succeed(&mut self, done: Done, start: Instant) {
        let Done {
            snapshot,
            mut report,
            wire,
            mut phases,
        } = done;
        let name = self.slot.name();
        let client = &self.clients[self.asked];
        for text in report
            .first_bad_line
            .iter_mut()
            .chain(&mut report.quarantined)
        {
            *text = client.mask(text);
        }
        let before = Instant::now();
        let newest_ms = snapshot.newest_ms;
        self.shared.store.publish(&self.slot, snapshot, before);
        phases.publish += before.elapsed();
        if let Some(error) = &report.first_bad_line
            && self.status.is_news("bad_line")
        {
            let families = report.quarantined.join(", ");
            warn!(cluster = name, %error, families, "Cannot read a line; its family is left out.");
        }
        if self.status.recovers() {
            info!(cluster = name, series = report.kept, "The cluster answers.");
        }
        debug!(
            cluster = name,
            series = report.kept,
            added = report.added,
            removed = report.removed,
            "Round."
        );
        let success = Success {
            at: SystemTime::now(),
            report,
            wire,
            phases,
            newest_ms,
        };
        self.shared
            .metrics
            .succeeded(name, &success, start.elapsed(), self.status.last_reason());
        self.status.succeed(success, start.elapsed());
    }

    fn fail(&mut self, error: &ScrapeError, start: Instant) {
        let name = self.slot.name();
        self.slot.fail(Instant::now());
        // A round's error quotes the body, and that may hold what the server was sent.
        let message = self.clients[self.asked].mask(&error.to_string());
        if self.status.is_news(error.reason()) {
            warn!(cluster = name, error = message, "Scrape failed.");
        }
        self.shared.metrics.failed(
            name,
            error.reason(),
            start.elapsed(),
            self.status.last_reason(),
        );
        self.status.fail(error.reason(), message, start.elapsed());
        // With replicas, each is reconnected when it fails.
        if self.replicas.is_none() {
            self.reconnect();
        }
    }

    /// Forgets the connection of the client asked last.
    fn reconnect(&self) {
        if let Err(error) = self.clients[self.asked].reconnect() {
            debug!(cluster = self.slot.name(), %error, "Cannot renew the connection.");
        }
    }

    /// The rules with the external labels known by now.
    fn current_rules(&mut self) -> Arc<Rules> {
        if let Some(rules) = self.learned.rules(&self.settings.rules, &self.rules) {
            self.rules = Arc::new(rules);
        }
        self.rules.clone()
    }

    async fn scrape(&mut self, start: Instant) -> Result<Done, ScrapeError> {
        if let Some(replicas) = self.replicas.take() {
            let (replicas, result) = self.scrape_replicas(replicas, start).await;
            self.replicas = Some(replicas);
            return result;
        }
        let cache = self.cache.take().unwrap_or_else(|| self.new_cache());
        let attempt = self.attempt(cache, start).await?;
        self.conclude(attempt).await
    }
}

/// Takes a round into the window, heavy steps in the pool.
async fn remember(mut work: Work, pool: &Pool) -> Result<(), Lost> {
    while !work.is_done() {
        if !work.is_heavy() {
            work.step();
            continue;
        }
        let slice = move || {
            work.step();
            work
        };
        work = pool.run(slice).await?;
    }
    Ok(())
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
