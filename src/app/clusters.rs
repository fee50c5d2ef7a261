//! The clusters under way: a loop each, started, stopped and replaced when the configuration changes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info_span};

use super::{settings, shown};
use crate::config::{Cluster, Config, EmptyMatch};
use crate::scrape::learn::Learned;
use crate::scrape::rules::{Claims, LabelConflict};
use crate::scrape::status::Status;
use crate::scrape::{self, Plan, Shared, learn};
use crate::serve::Served;

/// What all loops are made with.
#[derive(Debug)]
pub(super) struct Clusters {
    pub(super) shared: Shared,
    pub(super) served: Arc<Served>,
    pub(super) instance_id: Arc<str>,
    /// Where the loops run.
    pub(super) work: Handle,
    /// Knows all loops that have not ended.
    pub(super) tasks: TaskTracker,
    /// Ends all loops.
    pub(super) stop: CancellationToken,
    pub(super) claims: Arc<Claims>,
    pub(super) running: Running,
}

/// The configuration that runs.
#[derive(Debug, Default)]
pub(super) struct Running {
    cluster_label: String,
    by_name: BTreeMap<String, Loop>,
}

/// The loop of one cluster.
#[derive(Debug)]
struct Loop {
    cluster: Cluster,
    status: Arc<Status>,
    learned: Arc<Learned>,
    stop: CancellationToken,
}

/// How many clusters a configuration brought, took and changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) added: usize,
    pub(super) removed: usize,
    pub(super) changed: usize,
    pub(super) unchanged: usize,
}

impl Clusters {
    /// Makes the running clusters those of `config`. A cluster of which nothing changed notices nothing: its loop,
    /// its connections and its snapshot stay.
    pub(super) fn apply(&mut self, config: &Config) -> Changes {
        let unchanged = self.running.unchanged(config);
        let names = || config.clusters.iter().map(|cluster| &*cluster.name);
        self.claims.configure(names());
        let mut gone = Vec::new();
        self.running.by_name.retain(|name, running| {
            let stays = unchanged.contains(name);
            if !stays {
                running.stop.cancel();
                gone.push(name.clone());
            }
            stays
        });
        self.shared.store.replace(
            config.clusters.iter().map(settings::slot).collect(),
            settings::layout(config),
            |name| unchanged.contains(name),
        );
        let names: HashSet<&str> = names().collect();
        self.shared.window.set_cluster_label(&config.cluster_label);
        self.shared.window.retain(|name| names.contains(name));
        for cluster in &config.clusters {
            if !unchanged.contains(&cluster.name) {
                let started = self.start(cluster, &config.cluster_label);
                self.running.by_name.insert(cluster.name.clone(), started);
            }
        }
        self.running.cluster_label.clone_from(&config.cluster_label);
        self.serve(config);
        self.served.gates.set(
            config.clusters.iter().map(settings::gate).collect(),
            |name| unchanged.contains(name),
        );
        let changed = gone
            .iter()
            .filter(|name| self.running.by_name.contains_key(*name));
        let changed = changed.count();
        for name in gone
            .iter()
            .filter(|name| !self.running.by_name.contains_key(*name))
        {
            self.shared.metrics.forget(name);
        }
        Changes {
            added: config.clusters.len() - unchanged.len() - changed,
            removed: gone.len() - changed,
            changed,
            unchanged: unchanged.len(),
        }
    }

    fn start(&self, cluster: &Cluster, cluster_label: &str) -> Loop {
        let stop = self.stop.child_token();
        let slot = self.shared.store.slot(&cluster.name);
        let slot = slot.expect("just made for all clusters");
        let rules = settings::rules(cluster, cluster_label, &self.claims);
        let plan = settings::plan(cluster, slot, rules, &self.shared, &self.instance_id);
        self.shared.metrics.register(&cluster.name);
        let status = plan.status.clone();
        let known = plan.learned.clone();
        let Plan {
            client,
            settings,
            learned,
            ..
        } = plan.clone();
        if settings.learn.enabled {
            let task = learn::teach(client, settings.learn, learned, stop.clone());
            self.tasks
                .spawn_on(task.instrument(info_span!("learn")), &self.work);
        }
        self.tasks
            .spawn_on(scrape::keep_running(plan, stop.clone()), &self.work);
        Loop {
            cluster: cluster.clone(),
            status,
            learned: known,
            stop,
        }
    }

    /// Shows the clusters to the requests.
    fn serve(&self, config: &Config) {
        let statuses = self.running.by_name.iter();
        let statuses = statuses.map(|(name, running)| (name.clone(), running.status.clone()));
        self.served.statuses.store(Arc::new(statuses.collect()));
        let is_all = config.empty_match == EmptyMatch::All;
        self.served.federate.set_empty_match(is_all);
        let learned = |name: &str| Some(self.running.by_name.get(name)?.learned.clone());
        self.served.api.show(shown::of(config, learned));
    }
}

impl Running {
    /// The names of the clusters for which `config` changes nothing.
    fn unchanged(&self, config: &Config) -> HashSet<String> {
        let same_names = self.by_name.len() == config.clusters.len()
            && config
                .clusters
                .iter()
                .all(|cluster| self.by_name.contains_key(&cluster.name));
        let unchanged = |cluster: &&Cluster| {
            // Under honor a value may have been taken that is another cluster's name now.
            (same_names || cluster.cluster_label_conflict != LabelConflict::Honor)
                && self.cluster_label == config.cluster_label
                && self
                    .by_name
                    .get(&cluster.name)
                    .is_some_and(|known| known.cluster == **cluster)
        };
        config
            .clusters
            .iter()
            .filter(unchanged)
            .map(|cluster| cluster.name.clone())
            .collect()
    }
}
