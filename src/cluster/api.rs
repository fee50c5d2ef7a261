//! What a cluster's server says of its metrics and of itself: `/api/v1/metadata` and `/api/v1/status/config`.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use tokio::time::Instant;

use super::FetchError;
use super::http::Client;
use crate::model::metadata::{Metadata, MetadataEntry, MetricKind};

/// The largest answer that is read; a server with 10,000 metrics sends about 2 MB.
const ANSWER_BYTES_MAX: usize = 64 << 20;

const METADATA: &str = "/api/v1/metadata";
const CONFIG: &str = "/api/v1/status/config";
const BUILD_INFO: &str = "/api/v1/status/buildinfo";
const CLUSTERS: &str = "/api/v1/clusters";

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct MetadataItem {
    #[serde(rename = "type")]
    kind: String,
    help: String,
    #[serde(default)]
    unit: String,
}

#[derive(Deserialize)]
struct ConfigText {
    yaml: String,
}

#[derive(Deserialize)]
struct BuildInfo {
    version: String,
}

#[derive(Deserialize)]
struct OwnClusters {
    clusters: Vec<OwnCluster>,
}

#[derive(Deserialize)]
struct OwnCluster {
    name: String,
    url: String,
}

#[derive(Default, Deserialize)]
struct ServerConfig {
    #[serde(default)]
    global: ServerGlobal,
}

#[derive(Default, Deserialize)]
struct ServerGlobal {
    #[serde(default)]
    external_labels: BTreeMap<String, String>,
}

impl Client {
    /// Types and HELP of the server's metrics. Where targets disagree, the type is unknown and the first HELP stays.
    pub async fn metadata(&self, deadline: Instant) -> Result<Metadata, FetchError> {
        let body = self.get(METADATA, ANSWER_BYTES_MAX, deadline).await?;
        let answer: Envelope<HashMap<String, Vec<MetadataItem>>> =
            serde_json::from_slice(&body).map_err(|error| self.unreadable(METADATA, &error))?;
        let mut metadata = Metadata::default();
        for (name, items) in answer.data {
            let Some(first) = items.first() else { continue };
            let kind = MetricKind::from_word(&first.kind).unwrap_or_default();
            let agreed = items.iter().all(|item| item.kind == first.kind);
            let kind = if agreed { kind } else { MetricKind::Unknown };
            let entry = MetadataEntry {
                kind,
                help: (*first.help).into(),
                unit: (*first.unit).into(),
            };
            metadata.insert(name, entry);
        }
        Ok(metadata)
    }

    /// The server's `external_labels`, by name.
    pub async fn external_labels(
        &self,
        deadline: Instant,
    ) -> Result<Vec<(String, String)>, FetchError> {
        let body = self.get(CONFIG, ANSWER_BYTES_MAX, deadline).await?;
        let answer: Envelope<ConfigText> =
            serde_json::from_slice(&body).map_err(|error| self.unreadable(CONFIG, &error))?;
        external_labels(&answer.data.yaml).map_err(|error| self.masked(error))
    }

    fn unreadable(&self, path: &'static str, error: &dyn std::fmt::Display) -> FetchError {
        self.masked(unreadable(path, error))
    }
}

impl Client {
    /// The version that the server says it has.
    pub async fn version(&self, deadline: Instant) -> Result<String, FetchError> {
        let body = self.get(BUILD_INFO, ANSWER_BYTES_MAX, deadline).await?;
        let answer: Envelope<BuildInfo> =
            serde_json::from_slice(&body).map_err(|error| unreadable(BUILD_INFO, &error))?;
        Ok(answer.data.version)
    }

    /// Names and addresses of the clusters behind a server that is a Tributary.
    pub async fn clusters_behind(
        &self,
        deadline: Instant,
    ) -> Result<Vec<(String, String)>, FetchError> {
        let body = self.get(CLUSTERS, ANSWER_BYTES_MAX, deadline).await?;
        let answer: Envelope<OwnClusters> =
            serde_json::from_slice(&body).map_err(|error| unreadable(CLUSTERS, &error))?;
        let clusters = answer.data.clusters.into_iter();
        Ok(clusters
            .map(|cluster| (cluster.name, cluster.url))
            .collect())
    }
}

fn external_labels(yaml: &str) -> Result<Vec<(String, String)>, FetchError> {
    let config: ServerConfig =
        serde_saphyr::from_str(yaml).map_err(|error| unreadable(CONFIG, &error))?;
    Ok(config.global.external_labels.into_iter().collect())
}

fn unreadable(path: &'static str, error: &dyn std::fmt::Display) -> FetchError {
    FetchError::Api {
        path,
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_labels_come_from_the_servers_own_config() {
        let yaml = "global:\n  scrape_interval: 15s\n  external_labels:\n    prometheus: monitoring/k8s\n    \
                    shard: \"0\"\nscrape_configs:\n- job_name: x\n  static_configs:\n  - targets:\n    - a:1\n";
        let want = [("prometheus", "monitoring/k8s"), ("shard", "0")];
        let want: Vec<_> = want
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(external_labels(yaml).unwrap(), want);
        assert_eq!(
            external_labels("global:\n  scrape_interval: 15s\n").unwrap(),
            []
        );
        assert_eq!(external_labels("global: [").unwrap_err().reason(), "api");
    }
}
