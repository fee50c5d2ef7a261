//! Builds the stages from a configuration, runs them, and stops them in order.
//!
//! Three runtimes: connections have a thread of their own, scrape loops another one, and slices of CPU work a
//! bounded pool. So a health probe is answered while a gigabyte is deflated, and no round begins late because of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info, info_span, warn};

use crate::cluster;
use crate::cluster::decode::Limits as BodyLimits;
use crate::config::{self, Config, ListenAddress};
use crate::pool::Pool;
use crate::scrape::buffers::Buffers;
use crate::scrape::limits::Limits;
use crate::scrape::metrics::{ScrapeMetrics, Snapshots};
use crate::scrape::rules::{Claims, Rules};
use crate::scrape::status::Status;
use crate::scrape::{self, Plan, Shared, learn};
use crate::serve::metrics::ServeMetrics;
use crate::serve::{self, Served, federate};
use crate::store::{Slot, SlotSettings, Store};
use crate::telemetry::process::{self, Memory};

/// Time for connections to end after a signal to stop.
const GRACE: Duration = Duration::from_secs(10);

/// The program as a whole, before it runs.
#[derive(Debug)]
pub struct App {
    listeners: Vec<std::net::TcpListener>,
    served: Arc<Served>,
    plans: Vec<Plan>,
    /// Scrape loops, and the threads of the pool.
    work: Runtime,
}

impl App {
    /// Builds all stages and opens the listeners. Nothing is asked or answered before [`App::run`].
    pub fn build(config: &Config, addresses: &[ListenAddress], memory: Memory) -> io::Result<Self> {
        let width = thread::available_parallelism().map_or(2, usize::from);
        let work = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(width + 4)
            .thread_name("scrape")
            .enable_all()
            .build()?;
        let listeners = work.block_on(bind(addresses))?;
        let pool = Pool::new(work.handle().clone(), width);
        let mut registry = Registry::default();
        process::register(&mut registry);
        let slots = config.clusters.iter().map(slot_settings).collect();
        let store = Arc::new(Store::new(
            slots,
            config.cluster_label.clone(),
            config.typed,
        ));
        registry.register_collector(Box::new(Snapshots(store.clone())));
        let shared = Shared {
            store: store.clone(),
            pool: pool.clone(),
            buffers: Buffers::default(),
            memory,
            metrics: Arc::new(ScrapeMetrics::new(&mut registry)),
        };
        let instance_id: Arc<str> = instance_id().into();
        let plans = plans(config, &shared, &instance_id);
        let statuses = plans.iter().map(|plan| plan.status.clone()).collect();
        let metrics = ServeMetrics::new(&mut registry);
        let federate = federate::Settings {
            empty_match_is_all: config.empty_match == config::EmptyMatch::All,
            places: Arc::new(Semaphore::new(federate::BODIES_MAX)),
        };
        let served = Served {
            store,
            statuses,
            pool,
            registry,
            metrics,
            federate,
            instance_id,
        };
        Ok(Self {
            listeners,
            served: Arc::new(served),
            plans,
            work,
        })
    }

    /// The addresses that are listened on: the ports chosen where 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Runs until `stop`: first no more connections and rounds, then what is under way, within a grace period.
    pub fn run(self, stop: &CancellationToken) -> io::Result<()> {
        let front = runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("serve")
            .build()?;
        let rounds = TaskTracker::new();
        for plan in self.plans {
            let Plan {
                client,
                settings,
                learned,
                ..
            } = plan.clone();
            if settings.learn.enabled {
                let task = learn::teach(client, settings.learn, learned, stop.clone());
                rounds.spawn_on(task.instrument(info_span!("learn")), self.work.handle());
            }
            rounds.spawn_on(scrape::keep_running(plan, stop.clone()), self.work.handle());
        }
        rounds.close();
        for address in self
            .listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
        {
            info!(%address, clusters = self.served.statuses.len(), "Listening.");
            if !address.ip().is_loopback() {
                warn!(%address, "Anyone who reaches this address can read all metrics.");
            }
        }
        front.block_on(async {
            let listeners: io::Result<Vec<_>> = self
                .listeners
                .into_iter()
                .map(TcpListener::from_std)
                .collect();
            serve::run(listeners?, self.served, stop.clone(), GRACE).await;
            Ok::<_, io::Error>(())
        })?;
        self.work.block_on(async {
            if tokio::time::timeout(GRACE, rounds.wait()).await.is_err() {
                warn!(left = rounds.len(), "Rounds did not end in time.");
            }
        });
        self.work.shutdown_timeout(Duration::from_secs(1));
        info!("Stopped.");
        Ok(())
    }
}

/// A plan for each slot of the store, in its order.
fn plans(config: &Config, shared: &Shared, instance_id: &Arc<str>) -> Vec<Plan> {
    let claims = Arc::new(Claims::new(
        config.clusters.iter().map(|cluster| &*cluster.name),
    ));
    let plan = |slot: &Arc<Slot>| {
        let cluster = config
            .clusters
            .iter()
            .find(|cluster| cluster.name == slot.name());
        let cluster = cluster.expect("the slots were made from the clusters");
        let rules = rules(cluster, &config.cluster_label, &claims);
        shared.metrics.register(slot.name());
        Plan {
            client: client_settings(cluster),
            settings: scrape_settings(cluster, rules, instance_id),
            shared: shared.clone(),
            slot: slot.clone(),
            status: Arc::new(Status::new(cluster.url.clone(), cluster.scrape_interval)),
            learned: Arc::default(),
        }
    };
    shared.store.slots().iter().map(plan).collect()
}

async fn bind(addresses: &[ListenAddress]) -> io::Result<Vec<std::net::TcpListener>> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        listeners.push(serve::bind(&address.host, address.port).await?.into_std()?);
    }
    Ok(listeners)
}

/// Threads for the simulated clusters of the demo: they must not share ours.
pub fn demo_runtime() -> io::Result<Runtime> {
    runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("simulated")
        .enable_all()
        .build()
}

/// A token that ends with SIGTERM or SIGINT. A second signal ends the process at once.
pub fn stop_on_signal() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    let signals = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            signals.block_on(async {
                if let Err(error) = signal(&signalled).await {
                    warn!(%error, "Cannot listen for signals.");
                }
            });
        })?;
    Ok(stop)
}

async fn signal(stop: &CancellationToken) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if stop.is_cancelled() {
            #[expect(clippy::exit, reason = "the user asked twice")]
            std::process::exit(1);
        }
        info!("Stopping.");
        stop.cancel();
    }
}

/// Names this process among all Tributaries.
fn instance_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new();
    format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1))
}

fn slot_settings(cluster: &config::Cluster) -> SlotSettings {
    SlotSettings {
        name: cluster.name.clone(),
        stale_after: cluster.stale_after,
        labels_all: cluster.cluster_label_conflict != scrape::rules::LabelConflict::Honor,
    }
}

fn rules(cluster: &config::Cluster, cluster_label: &str, claims: &Arc<Claims>) -> Arc<Rules> {
    Arc::new(Rules {
        cluster: cluster.name.clone(),
        cluster_label: cluster_label.to_owned(),
        conflict: cluster.cluster_label_conflict,
        constants: cluster.labels.clone(),
        replica_labels: cluster.replica_labels.clone(),
        relabel: cluster.rules.clone(),
        normalize_le: cluster.normalize_le,
        honor_timestamps: cluster.honor_timestamps,
        on_bad_line: cluster.on_bad_line,
        limits: Limits {
            series: cluster.series_limit,
            labels: cluster.label_limit,
            label_name_length: cluster.label_name_length_limit,
            label_value_length: cluster.label_value_length_limit,
        },
        claims: claims.clone(),
    })
}

fn client_settings(cluster: &config::Cluster) -> cluster::Settings {
    cluster::Settings {
        name: cluster.name.clone(),
        url: cluster.url.clone(),
        metrics_path: cluster.metrics_path.clone(),
        matches: cluster.matches.clone(),
        ca_file: cluster.ca_file.clone(),
        auth: cluster.auth.clone(),
        headers: cluster.http_headers.clone(),
        follow_redirects: cluster.follow_redirects,
        compression: cluster.compression,
        timeout: cluster.scrape_timeout,
    }
}

fn scrape_settings(
    cluster: &config::Cluster,
    rules: Arc<Rules>,
    instance_id: &Arc<str>,
) -> scrape::Settings {
    scrape::Settings {
        interval: cluster.scrape_interval,
        timeout: cluster.scrape_timeout,
        rules,
        learn: learn::Settings {
            enabled: client_settings(cluster).is_federate(),
            interval: cluster.metadata_refresh_interval,
            timeout: cluster.scrape_timeout,
            external_labels: cluster.external_labels.clone(),
        },
        limits: BodyLimits {
            compressed: limit(cluster.compressed_body_size_limit),
            decoded: limit(cluster.body_size_limit),
        },
        instance_id: instance_id.clone(),
    }
}

/// In the file 0 means no limit.
fn limit(bytes: u64) -> u64 {
    if bytes == 0 { u64::MAX } else { bytes }
}
