//! `check-config --online`: every cluster is asked once, side by side, and what a real round would do is told.
//!
//! In: the configuration. Out: one [`Finding`] per cluster, in the order of the file. The client, the rules and the
//! round are those of the program itself; nothing is served or published.

mod advice;
mod table;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::table::report;
use super::{instance_id, settings};
use crate::cluster::FetchError;
use crate::cluster::http::Client;
use crate::config::{Cluster, Config};
use crate::pool::Pool;
use crate::scrape::metrics::ScrapeMetrics;
use crate::scrape::probe::{self, Probe};
use crate::scrape::rules::{Claims, Clashes, Rules};
use crate::scrape::{Plan, Shared};
use crate::store::Store;
use crate::store::buffers::Buffers;
use crate::store::window::Window;
use crate::telemetry::process::Memory;

/// Clusters asked at the same time. Bodies are read as they come, so this bounds memory and sockets.
const SIDE_BY_SIDE: usize = 16;

/// What is known of a cluster after it was asked once.
#[derive(Debug)]
pub struct Finding {
    /// The cluster.
    pub name: String,
    /// Which of its replicas was asked, from 0, and where that is; `None` where there is one server.
    pub replica: Option<(usize, String)>,
    /// Time that a round may take.
    pub timeout: Duration,
    /// What the server says of itself; `None` for a plain exporter, which says nothing.
    pub server: Option<Server>,
    /// One round.
    pub probe: Probe,
    /// Labels that its series have already: name, series, first value.
    pub clashes: Vec<(String, u64, String)>,
    /// Clusters behind the server when it is a Tributary that reads one of the same name and address.
    pub is_ourselves: bool,
    /// The label that carries the cluster's name.
    pub cluster_label: String,
    /// Time between two rounds.
    pub interval: Duration,
}

/// What a server says of itself.
#[derive(Debug)]
pub struct Server {
    /// Its version.
    pub version: Result<String, FetchError>,
    /// Its external labels, or those of the configuration.
    pub external_labels: Result<Vec<(String, String)>, FetchError>,
    /// How many metrics it has types and HELP of.
    pub metadata: Result<usize, FetchError>,
}

impl Finding {
    /// The cluster, and which of its replicas.
    pub fn title(&self) -> String {
        match &self.replica {
            Some((_, url)) => format!("{} at {url}", self.name),
            None => self.name.clone(),
        }
    }

    /// Whether the cluster cannot be scraped as it is configured.
    pub fn is_failed(&self) -> bool {
        self.probe.result.is_err() || self.is_ourselves
    }
}

/// Asks all clusters. Takes as long as the slowest of them, at most three times its timeout.
pub fn check(config: &Config) -> io::Result<Vec<Finding>> {
    let width = thread::available_parallelism().map_or(2, usize::from);
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(width + 4)
        .enable_all()
        .build()?;
    let store = Arc::new(Store::new(settings::layout(config)));
    let slots = config.clusters.iter().map(settings::slot).collect();
    store.replace(slots, settings::layout(config), |_| false);
    let shared = Shared {
        store: store.clone(),
        pool: Pool::new(runtime.handle().clone(), width),
        buffers: Buffers::default(),
        memory: Memory::default(),
        window: Arc::new(Window::new(Duration::ZERO, config.cluster_label.clone())),
        metrics: Arc::new(ScrapeMetrics::new(&mut Registry::default())),
    };
    let claims = Arc::new(Claims::default());
    claims.configure(config.clusters.iter().map(|cluster| &*cluster.name));
    let instance_id = instance_id().into();
    let plan = |cluster: &Cluster| {
        let slot = store.slot(&cluster.name)?;
        let rules = settings::rules(cluster, &config.cluster_label, &claims);
        Some(settings::plan(cluster, slot, rules, &shared, &instance_id))
    };
    let plans = config.clusters.iter().filter_map(plan).collect();
    let mut findings = runtime.block_on(ask_all(plans));
    let place = |finding: &Finding| {
        config
            .clusters
            .iter()
            .position(|cluster| cluster.name == finding.name)
    };
    findings.sort_by_key(|finding| (place(finding), finding.replica.clone()));
    runtime.shutdown_background();
    Ok(findings)
}

async fn ask_all(plans: Vec<Plan>) -> Vec<Finding> {
    let places = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let mut tasks = JoinSet::new();
    for plan in plans.iter().flat_map(by_server) {
        let (plan, replica) = plan;
        let places = places.clone();
        tasks.spawn(async move {
            let _place = places.acquire().await.expect("it is never closed");
            ask(plan, replica).await
        });
    }
    tasks.join_all().await
}

/// A plan for each server of the cluster: of replicas each has to be good, since any may be the one in use.
fn by_server(plan: &Plan) -> Vec<(Plan, Option<(usize, String)>)> {
    let one = |number: usize| {
        let mut plan = plan.clone();
        plan.client = plan.client.replica(number);
        let has_others = !std::mem::take(&mut plan.client.replicas).is_empty();
        let replica = has_others.then(|| (number, plan.client.url.clone()));
        (plan, replica)
    };
    (0..plan.client.servers()).map(one).collect()
}

async fn ask(mut plan: Plan, replica: Option<(usize, String)>) -> Finding {
    let clashes = Arc::new(Clashes::default());
    plan.settings.rules = Arc::new(Rules {
        clashes: Some(clashes.clone()),
        ..Rules::clone(&plan.settings.rules)
    });
    let timeout = plan.settings.timeout;
    let server = if plan.settings.learn.enabled {
        ask_server(&plan).await
    } else {
        None
    };
    if let Some(Ok(labels)) = server.as_ref().map(|server| &server.external_labels) {
        plan.learned.know(labels.clone());
    }
    let probe = probe::probe(plan.clone()).await;
    let is_ourselves = !probe.via.is_empty() && reads_the_same(&plan).await;
    Finding {
        name: plan.slot.name().to_owned(),
        replica,
        timeout,
        server,
        probe,
        clashes: clashes.list(),
        is_ourselves,
        cluster_label: plan.settings.rules.cluster_label.clone(),
        interval: plan.settings.interval,
    }
}

/// Asks the server about itself; `None` when there is no client, which the round tells too.
async fn ask_server(plan: &Plan) -> Option<Server> {
    let client = Client::new(plan.client.clone()).ok()?;
    let deadline = Instant::now() + plan.settings.timeout;
    let external_labels = async {
        match &plan.settings.learn.external_labels {
            Some(labels) => Ok(labels.clone()),
            None => client.external_labels(deadline).await,
        }
    };
    let (version, external_labels, metadata) = tokio::join!(
        client.version(deadline),
        external_labels,
        client.metadata(deadline)
    );
    Some(Server {
        version,
        external_labels,
        metadata: metadata.map(|metadata| metadata.len()),
    })
}

/// Whether a Tributary reads a cluster of this name from this address: then it is the one whose configuration this is.
async fn reads_the_same(plan: &Plan) -> bool {
    let Ok(client) = Client::new(plan.client.clone()) else {
        return false;
    };
    let deadline = Instant::now() + plan.settings.timeout;
    let behind = client.clusters_behind(deadline).await.unwrap_or_default();
    behind
        .iter()
        .any(|(name, url)| name == plan.slot.name() && *url == plan.client.url)
}
