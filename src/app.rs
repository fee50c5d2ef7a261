//! Builds the stages from a configuration, runs them, and stops them in order.
//!
//! Three runtimes: connections have a thread of their own, scrape loops another one, and slices of CPU work a
//! bounded pool. So a health probe is answered while a gigabyte is deflated, and no round begins late because of it.

pub mod ask;
mod clusters;
mod door;
pub mod online;
mod reload;
mod settings;
mod shown;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info, info_span, warn};

use self::clusters::{Clusters, Running};
pub use self::reload::Load;
use self::reload::Reloader;
use crate::config::web::WebFile;
use crate::config::{Config, ListenAddress};
use crate::pool::Pool;
use crate::query::{self, Engine};
use crate::scrape::metrics::{ScrapeMetrics, Snapshots};
use crate::scrape::{self, Shared};
use crate::serve::api::{About, Api, metrics::QueryMetrics};
use crate::serve::cors::Cors;
use crate::serve::door::{Door, Settings as DoorSettings};
use crate::serve::metrics::ServeMetrics;
use crate::serve::{self, Served, federate, gate};
use crate::store::Store;
use crate::store::buffers::Buffers;
use crate::store::window::Window;
use crate::store::window::metrics::WindowMetrics;
use crate::telemetry::process::{self, Memory};

/// Time for connections to end after a signal to stop.
const GRACE: Duration = Duration::from_secs(10);

/// What the command line decides about the process as a whole.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where to listen.
    pub addresses: Vec<ListenAddress>,
    /// How much memory there is.
    pub memory: Memory,
    /// Whether `POST /-/reload` is answered.
    pub lifecycle: bool,
    /// How long rounds are kept in memory for queries; zero: none is.
    pub window: Duration,
    /// Limits and rules of queries.
    pub query: query::Settings,
    /// Every flag with its value, to be shown.
    pub flags: BTreeMap<String, String>,
    /// Whose web pages may read the API; none: nobody's.
    pub cors: Option<Cors>,
}

/// The program as a whole, before it runs.
#[derive(Debug)]
pub struct App {
    listeners: Vec<std::net::TcpListener>,
    config: Config,
    clusters: Clusters,
    reloader: Reloader,
    /// The web configuration, watched while the program runs.
    web: Option<WebFile>,
    /// Scrape loops, and the threads of the pool.
    work: Runtime,
}

impl App {
    /// Builds all stages and opens the listeners. Nothing is asked or answered before [`App::run`].
    ///
    /// `load` reads the configuration anew, when it is to be reloaded.
    pub fn build(config: Config, settings: &Settings, load: Load) -> io::Result<Self> {
        let width = thread::available_parallelism().map_or(2, usize::from);
        let work = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(2 * width + 4)
            .thread_name("scrape")
            .enable_all()
            .build()?;
        let listeners = work.block_on(bind(&settings.addresses))?;
        let pool = Pool::new(work.handle().clone(), width);
        let mut registry = Registry::default();
        process::register(&mut registry);
        let store = Arc::new(Store::new(settings::layout(&config)));
        registry.register_collector(Box::new(Snapshots(store.clone())));
        let window = Arc::new(Window::new(settings.window, config.cluster_label.clone()));
        registry.register_collector(Box::new(WindowMetrics(window.clone())));
        let shared = Shared {
            store: store.clone(),
            pool: pool.clone(),
            buffers: Buffers::default(),
            memory: settings.memory,
            metrics: Arc::new(ScrapeMetrics::new(&mut registry)),
            window,
        };
        // Of their own, so that heavy queries do not keep rounds and pages waiting.
        let queries = Pool::new(work.handle().clone(), width);
        let engine = Engine::new(settings.query.clone(), queries);
        let about = About {
            started: SystemTime::now(),
            flags: settings.flags.clone(),
            memory_limit: settings.memory.limit,
        };
        let queries = QueryMetrics::new(&mut registry, &engine);
        let api = Api::new(engine, shared.window.clone(), queries, about);
        let (reloader, reload) = Reloader::new(load, &mut registry);
        let instance_id: Arc<str> = instance_id().into();
        let metrics = ServeMetrics::new(&mut registry);
        let served = Arc::new(Served {
            store,
            statuses: ArcSwap::default(),
            door: Door::new(pool.clone()),
            cors: settings.cors.clone(),
            pool,
            registry,
            metrics,
            federate: federate::Settings::default(),
            instance_id: instance_id.clone(),
            api,
            reload: settings.lifecycle.then_some(reload),
            gates: gate::Gates::default(),
            external: config.external_url.clone(),
        });
        let clusters = Clusters {
            shared,
            served,
            instance_id,
            work: work.handle().clone(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            claims: Arc::default(),
            running: Running::default(),
        };
        Ok(Self {
            listeners,
            config,
            clusters,
            reloader,
            web: None,
            work,
        })
    }

    /// Lets in only whom a web configuration lets in, and follows it from then on.
    #[must_use]
    pub fn behind(mut self, (settings, file): (DoorSettings, WebFile)) -> Self {
        let served = &self.clusters.served;
        served.door.close(settings);
        served.metrics.door_followed(true);
        self.web = Some(file);
        self
    }

    /// The addresses that are listened on: the ports chosen where 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// `https` or `http`, whichever is spoken.
    pub fn scheme(&self) -> &'static str {
        self.clusters.served.door.scheme()
    }

    /// Runs until `stop`: first no more connections and rounds, then what is under way, within a grace period.
    pub fn run(self, stop: &CancellationToken) -> io::Result<()> {
        let front = runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("serve")
            .build()?;
        let Self {
            listeners,
            config,
            mut clusters,
            reloader,
            web,
            work,
        } = self;
        clusters.stop = stop.clone();
        clusters.apply(&config);
        let (served, tasks) = (clusters.served.clone(), clusters.tasks.clone());
        let (shared, page) = (clusters.shared.clone(), served.clone());
        let own = scrape::own::run(shared, move || page.metrics_text(), stop.clone());
        tasks.spawn_on(own.instrument(info_span!("own")), work.handle());
        tasks.spawn_on(reloader.run(clusters, stop.clone()), work.handle());
        if let Some(file) = web {
            let watch = door::watch(file, served.clone(), stop.clone());
            tasks.spawn_on(watch.instrument(info_span!("door")), work.handle());
        }
        tasks.close();
        for address in listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
        {
            info!(%address, clusters = config.clusters.len(), "Listening.");
            if !address.ip().is_loopback() && !served.door.is_locked() {
                warn!(%address, "Anyone who reaches this address can read all metrics.");
            }
        }
        front.block_on(async {
            let listeners: io::Result<Vec<_>> =
                listeners.into_iter().map(TcpListener::from_std).collect();
            serve::run(listeners?, served, stop.clone(), GRACE).await;
            Ok::<_, io::Error>(())
        })?;
        // Not dropped here, which would wait for the name server that a request was passed on to.
        front.shutdown_background();
        work.block_on(async {
            if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
                warn!(left = tasks.len(), "Rounds did not end in time.");
            }
        });
        work.shutdown_timeout(Duration::from_secs(1));
        info!("Stopped.");
        Ok(())
    }
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
