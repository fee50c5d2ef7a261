//! Reads the configuration anew on SIGHUP and on `POST /-/reload`: all of it is checked before anything changes, and
//! what is wrong changes nothing.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::clusters::Clusters;
use crate::config::{Config, ConfigErrors};
use crate::serve::admin::Reload;

/// Requests that wait while one is answered.
const WAITING_MAX: usize = 4;

/// Reads the configuration as it was read at the start.
pub struct Load(Box<dyn Fn() -> Result<Config, ConfigErrors> + Send + Sync>);

impl Load {
    /// `read` looks at the files again each time.
    pub fn new(read: impl Fn() -> Result<Config, ConfigErrors> + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Load")
    }
}

/// Waits for the wish to reload.
#[derive(Debug)]
pub(super) struct Reloader {
    load: Load,
    wishes: mpsc::Receiver<Reload>,
    successful: Gauge,
    succeeded_at: Gauge<f64, AtomicU64>,
}

impl Reloader {
    /// And where to send wishes.
    pub(super) fn new(load: Load, registry: &mut Registry) -> (Self, mpsc::Sender<Reload>) {
        let (sender, wishes) = mpsc::channel(WAITING_MAX);
        let reloader = Self {
            load,
            wishes,
            successful: Gauge::default(),
            succeeded_at: Gauge::default(),
        };
        let config = registry.sub_registry_with_prefix("tributary_config");
        let help = "Whether the last reload of the configuration succeeded";
        config.register("last_reload_successful", help, reloader.successful.clone());
        config.register_with_unit(
            "last_reload_success_timestamp",
            "Time of the last reload of the configuration that succeeded",
            Unit::Seconds,
            reloader.succeeded_at.clone(),
        );
        (reloader, sender)
    }

    /// Answers wishes until `stop`.
    pub(super) async fn run(mut self, mut clusters: Clusters, stop: CancellationToken) {
        self.succeeded();
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => Some(hangups),
            Err(error) => {
                warn!(%error, "Cannot listen for SIGHUP; use POST /-/reload.");
                None
            }
        };
        loop {
            let hangup = async {
                match &mut hangups {
                    Some(hangups) => hangups.recv().await,
                    None => std::future::pending().await,
                }
            };
            let wish = tokio::select! {
                () = stop.cancelled() => return,
                _ = hangup => None,
                // Without the HTTP face nobody holds a sender.
                Some(wish) = self.wishes.recv() => Some(wish),
            };
            let result = self.reload(&mut clusters);
            if let Some(wish) = wish {
                // Who has gone needs no answer.
                let _ = wish.0.send(result);
            }
        }
    }

    /// Checks all, then changes all.
    fn reload(&self, clusters: &mut Clusters) -> Result<(), String> {
        match task::block_in_place(|| (self.load.0)()) {
            Ok(config) => {
                for warning in &config.warnings {
                    warn!("{warning}");
                }
                let changes = clusters.apply(&config);
                self.succeeded();
                info!(
                    added = changes.added,
                    removed = changes.removed,
                    changed = changes.changed,
                    unchanged = changes.unchanged,
                    "Configuration reloaded."
                );
                Ok(())
            }
            Err(errors) => {
                self.successful.set(0);
                clusters.served.api.reload_failed();
                error!(error = %errors, "Cannot reload the configuration; the old one stays.");
                Err(errors.to_string())
            }
        }
    }

    fn succeeded(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.successful.set(1);
        self.succeeded_at.set(now.unwrap_or_default().as_secs_f64());
    }
}
