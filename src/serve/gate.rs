//! The gate of each cluster: what the HTTP face knows of it beside its snapshots, and how much may pass at once.
//!
//! Bounds, so that neither a slow cluster nor a busy dashboard takes what others need: `RUNNING_MAX` requests are
//! with a cluster, further ones wait in line up to `ADMITTED_MAX`, and `ALL_MAX` hold for all clusters together.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::cluster::http::Client;
use crate::cluster::pass::{Ask, Passed};
use crate::cluster::{self, FetchError};
use crate::pool::Pool;

/// Requests that one cluster answers for us at the same time: a Prometheus runs 20 queries by default.
const RUNNING_MAX: usize = 20;

/// The same with those that wait for their turn.
const ADMITTED_MAX: usize = 64;

/// Requests under way or waiting at all clusters.
const ALL_MAX: usize = 256;

/// Pages of one cluster on their way at the same time.
const PAGES_MAX: usize = 8;

/// What is decided about a cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to reach it.
    pub upstream: cluster::Settings,
    /// Whether its query API may be asked through us.
    pub query: bool,
    /// Time between two of its rounds.
    pub interval: Duration,
    /// Labels that all of its series have.
    pub labels: Vec<(String, String)>,
}

/// One cluster's gate.
#[derive(Debug)]
pub struct Gate {
    settings: Settings,
    /// One for each replica. Made when they are needed: a certificate may be missing until then.
    clients: ArcSwapOption<Vec<Client>>,
    /// Held while they are made, since that takes some 10 MB and milliseconds: by one for all who need them.
    connecting: Mutex<()>,
    pages: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// All gates by the names of their clusters, in that order.
#[derive(Debug)]
pub struct Gates {
    list: ArcSwap<Vec<Arc<Gate>>>,
    all: Arc<Semaphore>,
}

/// A place among the requests that a cluster answers for us, held until the answer has gone out.
#[derive(Debug)]
pub(super) struct Passage {
    _places: [OwnedSemaphorePermit; 3],
}

/// Why a request does not come through.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    #[error("too many requests to all clusters are under way")]
    All,
    #[error("too many requests to this cluster are under way")]
    Cluster,
    #[error("no turn came in time: all requests under way to this cluster take long")]
    Turn,
}

impl Default for Gates {
    /// No gates.
    fn default() -> Self {
        Self {
            list: ArcSwap::default(),
            all: Arc::new(Semaphore::new(ALL_MAX)),
        }
    }
}

impl Gates {
    /// Puts other gates in place of all but those for which `keep` is true, which stay as they are if they are there.
    /// Requests under way end as they began.
    pub fn set(&self, mut clusters: Vec<Settings>, keep: impl Fn(&str) -> bool) {
        clusters.sort_by(|a, b| a.upstream.name.cmp(&b.upstream.name));
        let gate = |cluster: Settings| {
            let name = &cluster.upstream.name;
            let kept = keep(name).then(|| self.get(name)).flatten();
            kept.unwrap_or_else(|| Arc::new(Gate::new(cluster)))
        };
        let gates = clusters.into_iter().map(gate).collect();
        self.list.store(Arc::new(gates));
    }

    /// The gates, by name.
    pub(super) fn list(&self) -> Arc<Vec<Arc<Gate>>> {
        self.list.load_full()
    }

    /// The gate of a cluster.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Gate>> {
        let list = self.list.load();
        let at = list.binary_search_by(|gate| gate.name().cmp(name)).ok()?;
        Some(list[at].clone())
    }

    /// Waits for a turn at a gate, not longer than to the deadline.
    pub(super) async fn enter(&self, gate: &Gate, deadline: Instant) -> Result<Passage, Closed> {
        let all = self
            .all
            .clone()
            .try_acquire_owned()
            .map_err(|_| Closed::All)?;
        let admitted = gate.admitted.clone().try_acquire_owned();
        let admitted = admitted.map_err(|_| Closed::Cluster)?;
        let running = timeout_at(deadline, gate.running.clone().acquire_owned()).await;
        let running = running
            .map_err(|_| Closed::Turn)?
            .map_err(|_| Closed::Turn)?;
        Ok(Passage {
            _places: [all, admitted, running],
        })
    }
}

impl Gate {
    fn new(settings: Settings) -> Self {
        let places = |number| Arc::new(Semaphore::new(number));
        Self {
            settings,
            clients: ArcSwapOption::empty(),
            connecting: Mutex::new(()),
            pages: places(PAGES_MAX),
            admitted: places(ADMITTED_MAX),
            running: places(RUNNING_MAX),
        }
    }

    /// The cluster's name.
    pub(super) fn name(&self) -> &str {
        &self.settings.upstream.name
    }

    /// What is decided about the cluster.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Places for pages of this cluster.
    pub(super) fn pages(&self) -> &Arc<Semaphore> {
        &self.pages
    }

    /// Passes a request on to the replica in use, by its place, and to the next one where that one cannot be reached.
    pub(super) async fn pass(
        &self,
        ask: Ask,
        used: usize,
        pool: &Pool,
        deadline: Instant,
    ) -> Result<Passed, FetchError> {
        let clients = self.clients(pool, deadline).await?;
        let (before, from) = clients.split_at(used.min(clients.len() - 1));
        let mut result = Err(FetchError::Cut("there is no replica".into()));
        for client in from.iter().chain(before) {
            result = client.pass(ask.clone(), deadline).await;
            let gone = match &result {
                // A kept connection that leads nowhere: the next request resolves the host anew.
                Err(FetchError::Timeout(_) | FetchError::Cut(_)) => {
                    self.forget(&clients);
                    true
                }
                Err(FetchError::Connect(_) | FetchError::Dns(_) | FetchError::Tls(_)) => true,
                _ => false,
            };
            if !gone || Instant::now() >= deadline {
                break;
            }
        }
        result
    }

    fn forget(&self, clients: &Arc<Vec<Client>>) {
        let current = self.clients.load();
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, clients))
        {
            self.clients.store(None);
        }
    }

    /// A client for each replica. Reading certificates takes milliseconds, so it is done in the pool.
    async fn clients(
        &self,
        pool: &Pool,
        deadline: Instant,
    ) -> Result<Arc<Vec<Client>>, FetchError> {
        if let Some(clients) = self.clients.load_full() {
            return Ok(clients);
        }
        let connecting = self.connect(pool);
        let late = |_| FetchError::Timeout(Duration::ZERO);
        timeout_at(deadline, connecting).await.map_err(late)?
    }

    async fn connect(&self, pool: &Pool) -> Result<Arc<Vec<Client>>, FetchError> {
        let _connecting = self.connecting.lock().await;
        if let Some(made) = self.clients.load_full() {
            return Ok(made);
        }
        let mut upstream = self.settings.upstream.clone();
        upstream.link.idle_max = Some(RUNNING_MAX);
        let make = move || {
            let replicas = 0..upstream.servers();
            let clients = replicas.map(|number| Client::new(upstream.replica(number)));
            clients.collect::<Result<Vec<_>, _>>()
        };
        let made = pool.run(make).await.map_err(|lost| FetchError::Unusable {
            what: "the connection's settings".into(),
            why: lost.to_string(),
        })?;
        let clients = Arc::new(made?);
        self.clients.store(Some(clients.clone()));
        Ok(clients)
    }
}
