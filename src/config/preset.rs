//! `match_preset`: a word in, the selectors that it stands for out.

use super::check::{self, Selector};

/// What is commonly federated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preset {
    /// Every series.
    All,
    /// What recording rules wrote, which have a colon in their names, and what tells whether it can be believed.
    Recorded,
    /// What dashboards over many clusters show of each: capacity, use, requests and limits, and what does not run.
    ///
    /// The names are those of kubernetes-mixin's recording rules, of kube-state-metrics and of node-exporter. Rates
    /// come from rules, since a rate over a federated counter sees our timestamps.
    K8sOverview,
}

const ALL: &[&str] = &[r#"{__name__=~".+"}"#];

const RECORDED: &[&str] = &[r#"{__name__=~".*:.*"}"#, "up", "ALERTS"];

const K8S_OVERVIEW: &[&str] = &[
    r#"{__name__=~"cluster:node_cpu:ratio_rate5m|:node_memory_MemAvailable_bytes:sum|node:node_num_cpu:sum"}"#,
    r#"{__name__=~"namespace_(cpu|memory):kube_pod_container_resource_(requests|limits):sum"}"#,
    r#"{__name__=~"node_namespace_pod_container:container_(cpu_usage_seconds_total:sum_(irate|rate5m)|memory_(rss|working_set_bytes))"}"#,
    "namespace_workload_pod:kube_pod_owner:relabel",
    "apiserver_request:availability30d",
    r#"{__name__=~"kube_node_(info|spec_unschedulable|status_(allocatable|capacity|condition))"}"#,
    r#"{__name__=~"kube_(namespace|pod|persistentvolume)_status_phase"}"#,
    r#"{__name__=~"kube_deployment_(spec_replicas|status_replicas_(available|unavailable))"}"#,
    r#"{__name__=~"kube_statefulset_(replicas|status_replicas_ready)"}"#,
    r#"{__name__=~"kube_daemonset_status_(desired_number_scheduled|number_ready)"}"#,
    r#"{__name__=~"node_memory_Mem(Available|Total)_bytes"}"#,
    r#"{__name__=~"node_filesystem_(avail|size)_bytes",mountpoint="/"}"#,
    "kubernetes_build_info",
    "up",
    "ALERTS",
];

impl Preset {
    /// The words of the configuration.
    pub(super) const WORDS: &'static [(&'static str, Self)] = &[
        ("all", Self::All),
        ("recorded", Self::Recorded),
        ("k8s-overview", Self::K8sOverview),
    ];

    /// The selectors that it stands for.
    pub(super) fn selectors(self) -> Vec<Selector> {
        let texts = match self {
            Self::All => ALL,
            Self::Recorded => RECORDED,
            Self::K8sOverview => K8S_OVERVIEW,
        };
        let read = |text: &&str| check::selector(text).expect("a test reads all of them");
        texts.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a preset takes a series with a name, and with `mountpoint="/"`.
    fn takes(preset: Preset, name: &str) -> bool {
        let matches = |selector: &Selector| {
            selector.matchers.iter().all(|matcher| {
                matcher.matches(match matcher.name() {
                    "__name__" => name,
                    "mountpoint" => "/",
                    _ => "",
                })
            })
        };
        preset.selectors().iter().any(matches)
    }

    #[test]
    fn presets_take_what_they_say() {
        fn check(preset: Preset, yes: &[&str], no: &[&str]) {
            for name in yes {
                assert!(takes(preset, name), "{preset:?} {name}");
            }
            for name in no {
                assert!(!takes(preset, name), "{preset:?} {name}");
            }
        }
        let rules = [
            "cluster:node_cpu:ratio_rate5m",
            ":node_memory_MemAvailable_bytes:sum",
            "namespace_memory:kube_pod_container_resource_limits:sum",
            "node_namespace_pod_container:container_cpu_usage_seconds_total:sum_irate",
            "node_namespace_pod_container:container_memory_working_set_bytes",
            "namespace_workload_pod:kube_pod_owner:relabel",
        ];
        let raw = [
            "kube_node_status_allocatable",
            "kube_pod_status_phase",
            "node_filesystem_avail_bytes",
        ];
        let large = [
            "container_cpu_usage_seconds_total",
            "apiserver_request_total",
            "kube_pod_info",
        ];
        check(Preset::All, &[&rules[..], &raw, &large].concat(), &[""]);
        check(
            Preset::Recorded,
            &[
                &rules[..],
                &["up", "ALERTS", "node_namespace_pod:kube_pod_info:"],
            ]
            .concat(),
            &raw,
        );
        check(
            Preset::K8sOverview,
            &[&rules[..], &raw, &["up", "ALERTS"]].concat(),
            &large,
        );
    }

    #[test]
    fn a_preset_fits_into_one_request() {
        for (word, preset) in Preset::WORDS {
            let bytes: usize = preset
                .selectors()
                .iter()
                .map(|selector| selector.text.len())
                .sum();
            assert!(bytes < 2000, "{word}: {bytes}");
        }
    }
}
