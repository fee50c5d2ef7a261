//! The keys of Prometheus' configuration that `import` knows: all of 2.x and 3.x up to 3.14. Another key is a mistake, as
//! it is for Prometheus.

/// At the top.
pub(super) const TOP: &[&str] = &[
    "global",
    "runtime",
    "alerting",
    "rule_files",
    "scrape_config_files",
    "scrape_configs",
    "storage",
    "tracing",
    "remote_write",
    "remote_read",
    "otlp",
];

/// Limits and the like that stand in `global` and in a job.
pub(super) const SHARED: &[&str] = &[
    "scrape_interval",
    "scrape_timeout",
    "scrape_protocols",
    "scrape_native_histograms",
    "always_scrape_classic_histograms",
    "convert_classic_histograms_to_nhcb",
    "extra_scrape_metrics",
    "scrape_failure_log_file",
    "body_size_limit",
    "sample_limit",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "target_limit",
    "keep_dropped_targets",
    "metric_name_validation_scheme",
    "metric_name_escaping_scheme",
];

/// In `global` only.
pub(super) const GLOBAL: &[&str] = &[
    "evaluation_interval",
    "rule_query_offset",
    "external_labels",
    "query_log_file",
];

/// In a job only, beside [`ACCESS`] and service discovery.
pub(super) const JOB: &[&str] = &[
    "job_name",
    "honor_labels",
    "honor_timestamps",
    "track_timestamps_staleness",
    "metrics_path",
    "scheme",
    "params",
    "enable_compression",
    "scrape_classic_histograms",
    "fallback_scrape_protocol",
    "native_histogram_bucket_limit",
    "native_histogram_min_bucket_factor",
    "static_configs",
    "relabel_configs",
    "metric_relabel_configs",
];

/// How a job enters its targets.
pub(super) const ACCESS: &[&str] = &[
    "basic_auth",
    "authorization",
    "bearer_token",
    "bearer_token_file",
    "oauth2",
    "tls_config",
    "proxy_url",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
    "follow_redirects",
    "enable_http2",
    "http_headers",
];

/// Service discovery.
pub(super) const DISCOVERY: &[&str] = &[
    "aws_sd_configs",
    "azure_sd_configs",
    "consul_sd_configs",
    "digitalocean_sd_configs",
    "dns_sd_configs",
    "docker_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "ecs_sd_configs",
    "eureka_sd_configs",
    "file_sd_configs",
    "gce_sd_configs",
    "hetzner_sd_configs",
    "http_sd_configs",
    "ionos_sd_configs",
    "kubernetes_sd_configs",
    "kuma_sd_configs",
    "lightsail_sd_configs",
    "linode_sd_configs",
    "marathon_sd_configs",
    "nerve_sd_configs",
    "nomad_sd_configs",
    "openstack_sd_configs",
    "outscale_sd_configs",
    "ovhcloud_sd_configs",
    "puppetdb_sd_configs",
    "scaleway_sd_configs",
    "serverset_sd_configs",
    "stackit_sd_configs",
    "triton_sd_configs",
    "uyuni_sd_configs",
    "vultr_sd_configs",
];

/// In an item of `static_configs`.
pub(super) const STATIC: &[&str] = &["targets", "labels"];

const FEDERATE_TEXT: &str = "concerns formats that no /federate speaks: text 0.0.4 carries neither native histograms nor names that need quoting; \
     nothing is lost, leave it out";
const ROUND_METRICS: &str =
    "has no counterpart: Tributary's /metrics has the same facts for each cluster; look there";

/// Keys of a federate job that have no counterpart here: why, and what to do.
pub(super) const NOT_CARRIED: &[(&str, &str)] = &[
    ("scrape_protocols", FEDERATE_TEXT),
    ("fallback_scrape_protocol", FEDERATE_TEXT),
    ("scrape_native_histograms", FEDERATE_TEXT),
    ("scrape_classic_histograms", FEDERATE_TEXT),
    ("always_scrape_classic_histograms", FEDERATE_TEXT),
    ("convert_classic_histograms_to_nhcb", FEDERATE_TEXT),
    ("native_histogram_bucket_limit", FEDERATE_TEXT),
    ("native_histogram_min_bucket_factor", FEDERATE_TEXT),
    ("metric_name_validation_scheme", FEDERATE_TEXT),
    ("metric_name_escaping_scheme", FEDERATE_TEXT),
    ("extra_scrape_metrics", ROUND_METRICS),
    (
        "scrape_failure_log_file",
        "has no counterpart: failures are logged to standard error and shown at /api/v1/clusters; look there",
    ),
    (
        "target_limit",
        "has no counterpart: each target is a cluster of its own; remove it",
    ),
    (
        "keep_dropped_targets",
        "has no counterpart: each target is a cluster of its own; remove it",
    ),
    (
        "track_timestamps_staleness",
        "concerns the central Prometheus; it stands in the job that scrapes Tributary",
    ),
    (
        "enable_http2",
        "has no counterpart: clusters are asked by HTTP/1.1; remove it",
    ),
];
