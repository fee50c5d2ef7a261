//! What the configuration of a cluster means for each stage.

use std::sync::Arc;

use crate::cluster;
use crate::cluster::decode::Limits as BodyLimits;
use crate::config::{Cluster, Config};
use crate::scrape::limits::Limits;
use crate::scrape::rules::{Claims, LabelConflict, Rules};
use crate::scrape::status::Status;
use crate::scrape::{self, Plan, Shared, learn};
use crate::serve::gate;
use crate::store::{Layout, Slot, SlotSettings};

/// All that the loop of a cluster is made of.
pub(super) fn plan(
    cluster: &Cluster,
    slot: Arc<Slot>,
    rules: Arc<Rules>,
    shared: &Shared,
    instance_id: &Arc<str>,
) -> Plan {
    let status = Status::new(cluster.url.clone(), cluster.scrape_interval);
    Plan {
        client: client(cluster),
        settings: scrape(cluster, rules, instance_id),
        shared: shared.clone(),
        slot,
        status: Arc::new(status.with_replicas(cluster.replicas.clone())),
        learned: Arc::default(),
    }
}

/// How the pages look.
pub(super) fn layout(config: &Config) -> Layout {
    Layout {
        cluster_label: config.cluster_label.clone(),
        typed: config.typed,
    }
}

pub(super) fn slot(cluster: &Cluster) -> SlotSettings {
    SlotSettings {
        name: cluster.name.clone(),
        stale_after: cluster.stale_after,
        labels_all: cluster.cluster_label_conflict != LabelConflict::Honor,
    }
}

pub(super) fn rules(cluster: &Cluster, cluster_label: &str, claims: &Arc<Claims>) -> Arc<Rules> {
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
        clashes: None,
    })
}

pub(super) fn client(cluster: &Cluster) -> cluster::Settings {
    cluster::Settings {
        name: cluster.name.clone(),
        url: cluster.url.clone(),
        replicas: cluster.replicas.clone(),
        metrics_path: cluster.metrics_path.clone(),
        matches: cluster.matches.clone(),
        link: cluster.link.clone(),
        auth: cluster.auth.clone(),
        headers: cluster.http_headers.clone(),
        follow_redirects: cluster.follow_redirects,
        compression: cluster.compression,
        timeout: cluster.scrape_timeout,
    }
}

pub(super) fn gate(cluster: &Cluster) -> gate::Settings {
    gate::Settings {
        upstream: client(cluster),
        query: cluster.query,
        interval: cluster.scrape_interval,
        labels: cluster.labels.clone(),
    }
}

pub(super) fn scrape(
    cluster: &Cluster,
    rules: Arc<Rules>,
    instance_id: &Arc<str>,
) -> scrape::Settings {
    scrape::Settings {
        interval: cluster.scrape_interval,
        timeout: cluster.scrape_timeout,
        rules,
        learn: learn::Settings {
            enabled: client(cluster).is_federate(),
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
