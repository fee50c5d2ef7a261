//! Tests of the whole way: the text of a Prometheus configuration in, ours, the central one and the notes out.

use std::fmt::Write as _;

use super::*;
use crate::config;

fn wish() -> Wish {
    Wish {
        central_job: CentralJob::Sd,
        url: "http://tributary:9095".to_owned(),
        folder: None,
    }
}

fn import_text(yaml: &str, wish: &Wish) -> Result<Imported, ConfigErrors> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, yaml).expect("the folder is writable");
    import(&file, wish)
}

fn imported(yaml: &str) -> Imported {
    import_text(yaml, &wish()).unwrap_or_else(|errors| panic!("{yaml}: {errors}"))
}

/// What is written of each cluster, without reading it back: keys that the rest of this program does not know yet.
fn drafted(yaml: &str) -> (Vec<String>, Vec<String>) {
    let root = tree::parse(yaml).expect(yaml);
    let problems = Problems::default();
    let source = Source::read(&Field::root(&root, &problems)).expect("a mapping");
    let mut notes = Notes {
        file: "f".to_owned(),
        list: HashSet::new(),
    };
    let paths = Paths { prefix: None };
    let jobs = source.jobs.iter().filter(|job| job.is_federate);
    let mut drafts: Vec<_> = jobs
        .flat_map(|job| target::drafts(job, &source, &paths, &mut notes))
        .collect();
    Names::default().give(&mut drafts, &mut notes);
    problems
        .finish("f")
        .unwrap_or_else(|errors| panic!("{errors}"));
    let clusters = drafts
        .iter()
        .map(|draft| yaml::document(&yaml::map(draft.entries())));
    (
        clusters.collect(),
        notes.sorted().iter().map(ToString::to_string).collect(),
    )
}

/// A job with one target; `keys` are further lines, indented by four.
fn job(keys: &str) -> String {
    format!(
        "scrape_configs:\n  - job_name: fed\n    honor_labels: true\n    metrics_path: /federate\n    params: {{'match[]': [up]}}\n\
         {keys}    static_configs:\n      - targets: ['prom:9090']\n        labels: {{cluster: eu}}\n"
    )
}

fn names(imported: &Imported) -> Vec<&str> {
    let lines = imported.config.lines();
    lines
        .filter_map(|line| line.strip_prefix("  - name: "))
        .collect()
}

const WORKSHOP: &str = "\
# Central.
global:
  scrape_interval: 15s
scrape_configs:
- job_name: 'node' # stays
  static_configs:
  - targets: ['localhost:9100']

# Cluster 1.
- job_name: 'federate-cluster-1'
  honor_labels: true
  metrics_path: '/federate'
  params:
    'match[]':
    - '{job=\"kubernetes-pods\"}'
  static_configs:
  - targets:
    - 'prometheus.cluster-1.example.com:9090'
    labels:
      cluster: 'cluster-1'
  # scrape_timeout: 10s
- job_name: 'federate-cluster-2'
  honor_labels: true
  metrics_path: '/federate'
  params:
    'match[]':
    - '{job=\"kubernetes-pods\"}'
  static_configs:
  - targets:
    - 'prometheus.cluster-2.example.com:9090'
    labels:
      cluster: 'cluster-2'
# Rules.
rule_files: [a.yml]
";

#[test]
fn federate_jobs_become_clusters_and_the_rest_stays() {
    let imported = imported(WORKSHOP);
    let (_, config) = imported.config.split_once("FILE\n").expect("the heading");
    let shown: Vec<_> = config.lines().filter(|line| !line.contains('#')).collect();
    let want = "\
global:
  scrape_interval: 15s
clusters:
  - name: cluster-1
    url: http://prometheus.cluster-1.example.com:9090
    match:
      - '{job=\"kubernetes-pods\"}'
    cluster_label_conflict: honor
    follow_redirects: true
  - name: cluster-2
    url: http://prometheus.cluster-2.example.com:9090
    match:
      - '{job=\"kubernetes-pods\"}'
    cluster_label_conflict: honor
    follow_redirects: true";
    assert_eq!(shown.join("\n"), want);
    assert!(
        config.contains("prometheus.yml:18: job federate-cluster-1, target prometheus.cluster-1.example.com:9090\n"),
        "{config}"
    );
    let want = "\
# Central.
global:
  scrape_interval: 15s
scrape_configs:
- job_name: 'node' # stays
  static_configs:
  - targets: ['localhost:9100']

# In place of federate-cluster-1, federate-cluster-2.
- job_name: tributary
  honor_labels: true
  # From Prometheus 2.48 on, to end series as soon as they are gone:
  # track_timestamps_staleness: true
  http_sd_configs:
    - url: http://tributary:9095/sd/prometheus
# Rules.
rule_files: [a.yml]
";
    assert_eq!(imported.central, want);
    assert_eq!(imported.central_shown, want);
    assert_eq!((imported.clusters, imported.notes.len()), (2, 1));
}

#[test]
fn the_central_job_can_be_one_federate() {
    let wish = Wish {
        central_job: CentralJob::Federate,
        url: "https://tributary.example.com/base".to_owned(),
        ..wish()
    };
    let imported = import_text(WORKSHOP, &wish).expect("it is good");
    let want = "  scheme: https
  metrics_path: /base/federate
  params:
    'match[]':
      - '{__name__=~\".+\"}'
  static_configs:
    - targets:
        - tributary.example.com
# Rules.
";
    assert!(imported.central.contains(want), "{}", imported.central);
}

/// The central configuration for YAML that cannot be cut line by line must mean the same.
#[test]
fn a_file_that_cannot_be_cut_is_written_anew() {
    fn check(yaml: &str) {
        let central = imported(yaml).central;
        assert!(central.starts_with("# Written anew"), "{central}");
        imported(&central);
        let root = tree::parse(&central).unwrap_or_else(|error| panic!("{error:?}\n{central}"));
        let problems = Problems::default();
        let source = Source::read(&Field::root(&root, &problems)).expect("a mapping");
        let names: Vec<_> = source.jobs.iter().map(|job| &*job.name).collect();
        assert_eq!(names, ["tributary", "b"], "{central}");
        let timeouts: Vec<_> = source.jobs.iter().filter_map(|job| job.timeout).collect();
        assert_eq!(timeouts, [std::time::Duration::from_secs(7)], "{central}");
    }
    check(
        "scrape_configs: [{job_name: a, metrics_path: /federate}, {job_name: b, scrape_timeout: 7s}]",
    );
    check(
        "scrape_configs:\n  - &a\n    job_name: a\n    metrics_path: /federate\n  - job_name: b\n    scrape_timeout: 7s\n",
    );
    check(
        "scrape_configs:\n  - job_name: a\n    metrics_path: /federate\n    static_configs: &t\n      - targets: ['x:1']\n  \
         - job_name: b\n    scrape_timeout: 7s\n    static_configs: *t\n",
    );
}

#[test]
fn what_a_job_says_stands_at_its_cluster() {
    fn check(keys: &str, want: &str) {
        let yaml = job(keys);
        let config = imported(&yaml).config;
        assert!(config.contains(want), "{yaml}\n{config}");
    }
    check(
        "    scrape_interval: 30s\n    scrape_timeout: 20s\n",
        "    scrape_interval: 30s\n    scrape_timeout: 20s\n",
    );
    check(
        "    honor_timestamps: false\n",
        "    honor_timestamps: false\n",
    );
    check(
        "    enable_compression: false\n",
        "    compression: identity\n",
    );
    check(
        "    sample_limit: 5\n    label_limit: 6\n",
        "    series_limit: 5\n    label_limit: 6\n",
    );
    check(
        "    body_size_limit: 10MB\n",
        "    body_size_limit: 10MiB\n",
    );
    check(
        "    label_name_length_limit: 7\n    label_value_length_limit: 8\n",
        "    label_name_length_limit: 7\n    label_value_length_limit: 8\n",
    );
    check("    scheme: https\n", "    url: https://prom:9090\n");
    check(
        "    tls_config: {ca_file: ca.pem}\n",
        "    tls_config:\n      ca_file: ca.pem\n",
    );
    check(
        "    scheme: https\n    basic_auth: {username: u, password_file: p}\n",
        "    basic_auth:\n      username: u\n      password_file: p\n",
    );
    check(
        "    scheme: https\n    bearer_token_file: /run/token\n",
        "    authorization:\n      credentials_file: /run/token\n",
    );
    check(
        "    metric_relabel_configs:\n      - source_labels: [a, b]\n        regex: (.*);x\n        action: Drop\n",
        "    metric_relabel_configs:\n      - source_labels:\n          - a\n          - b\n        regex: (.*);x\n        action: Drop\n",
    );
    check(
        "    relabel_configs:\n      - {target_label: __metrics_path__, replacement: /p/federate}\n",
        "    url: http://prom:9090/p\n",
    );
    check(
        "    relabel_configs:\n      - {target_label: __scheme__, replacement: https}\n",
        "    url: https://prom:9090\n",
    );
    check(
        "    relabel_configs:\n      - {target_label: __scrape_interval__, replacement: 2m}\n",
        "    scrape_interval: 2m\n",
    );
    check(
        "    relabel_configs:\n      - {target_label: '__param_match[]', replacement: ALERTS}\n",
        "    match:\n      - ALERTS\n",
    );
    check(
        "    relabel_configs:\n      - {target_label: region, replacement: eu-1}\n",
        "    labels:\n      region: eu-1\n",
    );
}

#[test]
fn global_settings_are_carried_over() {
    let yaml = format!(
        "global: {{scrape_interval: 30s, scrape_timeout: 25s, sample_limit: 9, body_size_limit: 1MB}}\n{}",
        job("")
    );
    let config = imported(&yaml).config;
    let want = "global:\n  scrape_interval: 30s\n  scrape_timeout: 25s\n  body_size_limit: 1MiB\n  series_limit: 9\n";
    assert!(config.contains(want), "{config}");
    let config = imported(&job("")).config;
    assert!(
        config.contains("global:\n  scrape_interval: 1m\n"),
        "Prometheus' default: {config}"
    );
}

#[test]
fn clusters_are_named_by_label_then_job_then_host() {
    fn check(group: &str, rules: &str, want: &[&str]) {
        let yaml = format!(
            "scrape_configs:\n  - job_name: the job\n    params: {{'match[]': [up]}}\n    relabel_configs: [{rules}]\n    static_configs: [{group}]\n"
        );
        assert_eq!(names(&imported(&yaml)), want, "{yaml}");
    }
    check("{targets: ['a:1'], labels: {cluster: eu}}", "", &["eu"]);
    check("{targets: ['a:1']}", "", &["the-job"]);
    check(
        "{targets: ['a:1', 'b.example.com:1', '[::1]:9090', c]}",
        "",
        &["a", "b.example.com", "1", "c"],
    );
    check("{targets: ['a:1', 'a:2']}", "", &["a", "a-2"]);
    check(
        "{targets: ['a:1', 'b:1'], labels: {cluster: eu}}",
        "",
        &["eu", "eu-2"],
    );
    check(
        "{targets: ['x:1'], labels: {cluster: 'eu west'}}, {targets: ['y:1'], labels: {cluster: eu-west}}",
        "",
        &["eu-west-2", "eu-west"],
    );
    let host =
        r"{source_labels: [__address__], regex: 'prometheus\.([^.]+)\..*', target_label: cluster}";
    check(
        "{targets: ['prometheus.eu.example.com:9090', 'prometheus.us.example.com:9090']}",
        host,
        &["eu", "us"],
    );
    check(
        "{targets: ['a:1', 'b:1']}",
        "{source_labels: [__address__], regex: 'a:1', action: drop}",
        &["b"],
    );
}

#[test]
fn a_name_that_a_rule_stamps_on_every_series_is_the_clusters() {
    let yaml = job(
        "    metric_relabel_configs:\n      - {target_label: cluster, replacement: managed}\n      - {regex: pod, action: labeldrop}\n",
    );
    let imported = imported(&yaml);
    assert_eq!(names(&imported), ["managed"]);
    let config = &imported.config;
    assert!(
        config.contains("cluster_label_conflict: override\n"),
        "{config}"
    );
    assert!(
        config.contains("metric_relabel_configs:\n      - regex: pod\n        action: labeldrop\n"),
        "{config}"
    );
    assert!(!config.contains("replacement"), "{config}");
}

#[test]
fn what_is_not_carried_over_is_listed_with_its_place() {
    fn check(keys: &str, want: &str) {
        let yaml = job(keys);
        let notes: Vec<_> = imported(&yaml)
            .notes
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            notes.iter().any(|note| note.contains(want)),
            "{yaml}\n{notes:#?}"
        );
    }
    check(
        "    scrape_protocols: [PrometheusProto]\n",
        "prometheus.yml:6: job \"fed\": scrape_protocols: ",
    );
    check(
        "    track_timestamps_staleness: true\n",
        ":6: job \"fed\": track_timestamps_staleness: ",
    );
    check(
        "    enable_http2: false\n",
        ":6: job \"fed\": enable_http2: ",
    );
    check("    target_limit: 5\n", ":6: job \"fed\": target_limit: ");
    check(
        "    kubernetes_sd_configs: [{role: pod}]\n",
        ":6: job \"fed\": kubernetes_sd_configs: its targets are known only while",
    );
    check(
        "    relabel_configs: [{regex: cluster, action: labeldrop}, {target_label: replica, replacement: a}]\n",
        "static_configs.labels.replica: tells replicas apart",
    );
    check(
        "    relabel_configs: [{target_label: instance, replacement: a}]\n",
        "static_configs.labels.instance: has no effect",
    );
    check(
        "    metric_relabel_configs: [{source_labels: [cluster], regex: x, action: drop}]\n",
        ":6: job \"fed\": metric_relabel_configs: a rule reads cluster",
    );
    check(
        "    relabel_configs: [{action: drop, regex: x, source_labels: [job]}, {action: keep, regex: x, source_labels: [job]}]\n",
        ":8: job \"fed\": relabel_configs: they drop target prom:9090",
    );
    let yaml =
        "scrape_configs:\n  - job_name: x\n    metrics_path: /federate\n    params: {a: [b]}\n";
    let notes: Vec<_> = imported(yaml)
        .notes
        .iter()
        .map(|note| note.key.clone())
        .collect();
    for key in ["honor_labels", "params", "params.a", "static_configs"] {
        assert!(notes.iter().any(|note| note == key), "{key}: {notes:?}");
    }
    let yaml = format!("scrape_config_files: [x.yml]\n{}", job(""));
    assert!(
        imported(&yaml)
            .notes
            .iter()
            .any(|note| note.key == "scrape_config_files")
    );
}

#[test]
fn a_job_with_service_discovery_keeps_it_at_the_centre() {
    let yaml = job("    file_sd_configs: [{files: [x.yml]}]\n");
    let imported = imported(&yaml);
    assert_eq!(names(&imported), ["eu"]);
    let central = &imported.central;
    assert!(
        central.contains("file_sd_configs") && central.contains("- job_name: fed\n"),
        "{central}"
    );
    assert!(
        !central.contains("prom:9090") && !central.starts_with("# Written anew"),
        "{central}"
    );
}

#[test]
fn keys_of_the_connection_keep_their_names() {
    fn check(keys: &str, want: &str) {
        let yaml = job(keys);
        let (clusters, notes) = drafted(&yaml);
        assert!(
            clusters[0].contains(want),
            "{yaml}\n{}\n{notes:#?}",
            clusters[0]
        );
    }
    check(
        "    tls_config: {cert_file: c, key_file: k, server_name: s, insecure_skip_verify: true, min_version: TLS13}\n",
        "tls_config:\n  cert_file: c\n  key_file: k\n  server_name: s\n  insecure_skip_verify: true\n  min_version: TLS13\n",
    );
    check(
        "    scheme: https\n    oauth2: {client_id: i, client_secret_file: s, token_url: 'https://t/x', scopes: [a], endpoint_params: {p: q}}\n",
        "oauth2:\n  client_id: i\n  client_secret_file: s\n  token_url: https://t/x\n  scopes:\n    - a\n  endpoint_params:\n    p: q\n",
    );
    check(
        "    proxy_url: http://proxy:3128\n    no_proxy: 10.0.0.0/8\n",
        "proxy_url: http://proxy:3128\nno_proxy: 10.0.0.0/8\n",
    );
    check(
        "    basic_auth: {username: u, password_file: p}\n",
        "allow_plaintext_credentials: true\nbasic_auth:\n  username: u\n  password_file: p\n",
    );
    check(
        "    http_headers: {X-A: {values: [v], files: [f]}}\n",
        "http_headers:\n  X-A:\n    values:\n      - v\n    files:\n      - f\n",
    );
}

#[test]
fn secrets_are_replaced_by_files_everywhere() {
    fn check(keys: &str, want: &str) {
        let yaml = job(keys);
        let (clusters, notes) = drafted(&yaml);
        assert!(clusters[0].contains(want), "{yaml}\n{}", clusters[0]);
        let said = format!("{clusters:?}{notes:?}");
        assert!(!said.contains("PLANTED"), "{said}");
        assert!(
            notes
                .iter()
                .any(|note| note.contains(" into the file fed.")),
            "{yaml}\n{notes:#?}"
        );
    }
    check(
        "    basic_auth: {username: u, password: PLANTED}\n",
        "password_file: fed.password\n",
    );
    check(
        "    authorization: {credentials: PLANTED}\n",
        "credentials_file: fed.token\n",
    );
    check(
        "    bearer_token: PLANTED\n",
        "authorization:\n  credentials_file: fed.token\n",
    );
    check(
        "    oauth2: {client_id: i, client_secret: PLANTED, token_url: 'https://t', tls_config: {key: PLANTED, cert: c}}\n",
        "client_secret_file: fed.client_secret\n",
    );
    check(
        "    tls_config: {key: PLANTED, cert: c}\n",
        "key_file: fed.key.pem\n  cert_file: fed.cert.pem\n",
    );
    check(
        "    http_headers: {X-A: {secrets: [PLANTED, PLANTED], files: [f]}}\n",
        "files:\n      - fed.header1\n      - fed.header2\n      - f\n",
    );
    check(
        "    proxy_url: http://u:PLANTED@proxy:3128\n",
        "proxy_url: http://proxy:3128\nproxy_connect_header:\n  Proxy-Authorization:\n    files:\n      - fed.proxy\n",
    );
    check(
        "    proxy_url: http://proxy:3128\n    proxy_connect_header: {X: [PLANTED]}\n",
        "proxy_connect_header:\n  X:\n    files:\n      - fed.proxy1\n",
    );
}

#[test]
fn what_is_written_of_the_connection_is_read_back() {
    for keys in [
        "    tls_config: {cert_file: c, key_file: k, server_name: s, insecure_skip_verify: true, min_version: TLS13}\n",
        "    tls_config: {cert: PLANTED, key: PLANTED, min_version: TLS10, max_version: TLS11}\n",
        "    scheme: https\n    oauth2: {client_id: i, client_secret: s, token_url: 'https://t/x', scopes: [a], endpoint_params: {p: q}}\n",
        "    oauth2: {client_id: i, client_secret: s, token_url: 'http://t/x', proxy_url: 'http://u:p@proxy:1', tls_config: {ca_file: c}}\n",
        "    proxy_url: http://proxy:3128\n    no_proxy: 10.0.0.0/8\n",
        "    proxy_url: http://u:p@proxy:3128\n    proxy_connect_header: {X: [y]}\n",
        "    proxy_url: socks5://proxy:3128\n",
        "    proxy_from_environment: true\n",
        "    basic_auth: {username: u, password: p}\n",
        "    basic_auth: {username_file: u}\n",
        "    authorization: {type: Token, credentials: x}\n",
        "    bearer_token: t\n",
        "    http_headers: {X-A: {values: [v], secrets: [s], files: [f]}}\n",
    ] {
        assert_eq!(imported(&job(keys)).clusters, 1, "{keys}");
    }
}

#[test]
fn secrets_of_other_jobs_stay_out_of_sight() {
    let yaml = format!(
        "{}  - job_name: other\n    basic_auth: {{username: u, password: PLANTED}}\n",
        job("")
    );
    let imported = imported(&yaml);
    assert!(imported.central_has_secrets && imported.central.contains("PLANTED"));
    let shown = &imported.central_shown;
    assert!(
        !shown.contains("PLANTED") && shown.contains("password: <secret>"),
        "{shown}"
    );
}

#[test]
fn errors_do_not_show_secrets() {
    for keys in [
        "    basic_auth: {username: u, password: PLANTED, password_file: p}\n",
        "    bearer_token: PLANTED\n    basic_auth: {username: u, password: PLANTED}\n",
        "    authorization: {type: basic, credentials: PLANTED}\n",
        "    basic_auth: PLANTED\n    bearer_token: PLANTED\n",
    ] {
        let errors = import_text(&job(keys), &wish())
            .expect_err(keys)
            .to_string();
        assert!(!errors.contains("PLANTED"), "{errors}");
    }
    let yaml = "scrape_configs:\n  - job_name: x\n    metrics_path: /federate\n    static_configs: [{targets: ['u:PLANTED@h:1']}]\n";
    let errors = import_text(yaml, &wish()).expect_err(yaml).to_string();
    assert!(
        !errors.contains("PLANTED") && errors.contains("the target is no address"),
        "{errors}"
    );
}

/// The one mistake of a file, from its line on.
#[track_caller]
fn refused(yaml: &str, want: &str) {
    let errors = import_text(yaml, &wish()).expect_err(yaml).to_string();
    let (_, text) = errors
        .split_once("prometheus.yml:")
        .unwrap_or_else(|| panic!("{errors}"));
    assert!(text.starts_with(want), "{yaml}\n got {text}\nwant {want}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn mistakes_name_line_key_and_remedy() {
    refused("", " is empty; name the configuration");
    refused("# nothing\n", " is empty; name the configuration");
    refused("a: [", "1: is not YAML: ");
    refused("text", "1: is not a mapping");
    refused(
        "clusters: []",
        "1: clusters: is not a key here; this looks like a configuration of Tributary",
    );
    refused(
        "scrape_config: []",
        "1: scrape_config: is not a key here; did you mean scrape_configs?",
    );
    refused(
        "global: {scrape_interval: 15}",
        "1: global.scrape_interval: \"15\" is not a duration; write",
    );
    refused(
        "global: {scrape_interval: 5s, scrape_timeout: 6s}",
        "1: global.scrape_timeout: 6s is longer than",
    );
}

#[test]
fn mistakes_of_jobs_name_line_key_and_remedy() {
    let jobs = |items: &str| format!("scrape_configs:\n{items}");
    refused(
        &jobs("  - {}\n"),
        "2: scrape_configs[0]: job_name is missing; write a name",
    );
    refused(
        &jobs("  - job_name: a\n  - job_name: b\n  - job_name: a\n"),
        "4: scrape_configs[2]: job_name \"a\" is already used on line 2; names of jobs are unique, write another",
    );
    refused(
        &jobs("  - job_name: a\n    job_name: b\n"),
        "3: scrape_configs[0].job_name: stands here twice",
    );
    refused(
        &jobs("  - {job_name: a, scheme: ftp}\n"),
        "2: scrape_configs[0].scheme: \"ftp\" is not known; write http or https",
    );
    refused(
        &jobs("  - {job_name: a, params: {'match[]': ['{']}}\n"),
        "2: scrape_configs[0].params.match[][0]: `{` is not a selector",
    );
    refused(
        &jobs("  - {job_name: a, static_configs: [{targets: ['http://x:1']}]}\n"),
        "2: scrape_configs[0].static_configs[0].targets[0]: \"http://x:1\" is no address",
    );
    refused(
        &jobs("  - {job_name: a, sample_limit: x}\n"),
        "2: scrape_configs[0].sample_limit: \"x\" is not a whole number",
    );
    refused(
        &jobs("  - {job_name: a, honor_labels: maybe}\n"),
        "2: scrape_configs[0].honor_labels: \"maybe\" is neither",
    );
    refused(
        &jobs("  - {job_name: a, basic_auth: {username: u}, bearer_token_file: f}\n"),
        "2: scrape_configs[0].bearer_token_file: cannot stand beside basic_auth; keep one of them",
    );
    refused(
        &jobs("  - {job_name: a, metric_relabel_configs: [{regex: '('}]}\n"),
        "2: scrape_configs[0].metric_relabel_configs[0].regex: ",
    );
    refused(
        "remote_write: [{url: 'http://x', write_relabel_configs: [{action: no}]}]",
        "1: remote_write[0].write_relabel_configs[0].action: unknown",
    );
    refused(
        "alerting: {alert_relabel_configs: [{action: drop, regex: '['}]}",
        "1: alerting.alert_relabel_configs[0].regex: ",
    );
    refused(
        &jobs(
            "  - {job_name: a, metrics_path: '/fed rate', params: {'match[]': [up]}, static_configs: [{targets: [x]}]}\n",
        ),
        "2: job \"a\": metrics_path: \"/fed rate\" is no path",
    );
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let check = |file: &Path, want: &str| {
        let errors = import(file, &wish()).expect_err(want).to_string();
        assert!(errors.contains(want), "{errors}");
    };
    check(&path("absent"), "cannot be read (");
    check(folder.path(), "cannot be read (");
    std::fs::write(path("binary"), [0, 159, 146, 150]).expect("the folder is writable");
    check(&path("binary"), "cannot be read (");
    std::fs::write(path("nul"), [0; 100]).expect("the folder is writable");
    check(&path("nul"), "is not YAML");
    std::fs::write(path("huge"), vec![b'#'; 33 << 20]).expect("the folder is writable");
    check(&path("huge"), "is longer than 32 MiB");
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").expect("writing to a String cannot fail");
    }
    std::fs::write(path("bomb"), bomb).expect("the folder is writable");
    check(&path("bomb"), "is not YAML");
}

/// Ten megabytes of jobs: bounded in time, whatever comes of it.
#[test]
fn a_very_long_file_is_read_or_refused_soon() {
    let mut yaml = "scrape_configs:\n".to_owned();
    for number in 0..4_000 {
        let filler = "x".repeat(2_400);
        write!(yaml, "  - job_name: job-{number}\n    metrics_path: /federate # {filler}\n    static_configs: [{{targets: ['same:{number}']}}]\n")
            .expect("writing to a String cannot fail");
    }
    let start = tokio::time::Instant::now();
    let imported = imported(&yaml);
    assert_eq!(imported.clusters, 4_000);
    assert!(!imported.central.contains("same:"));
    let mut keys = "a: 1\n".to_owned();
    for number in 0..200_000 {
        writeln!(keys, "key-{number}: 1").expect("writing to a String cannot fail");
    }
    let errors = import_text(&keys, &wish())
        .expect_err("too many")
        .to_string();
    assert!(errors.contains("too large"), "{errors}");
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn files_are_seen_from_the_folder_of_the_output() {
    let (input, output) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let file = input.path().join("prometheus.yml");
    std::fs::write(&file, job("    tls_config: {ca_file: ca.pem}\n"))
        .expect("the folder is writable");
    let written = |folder: Option<&Path>| {
        let wish = Wish {
            folder: folder.map(Path::to_path_buf),
            ..wish()
        };
        import(&file, &wish).expect("it is good").config
    };
    let whole = input
        .path()
        .canonicalize()
        .expect("it is there")
        .join("ca.pem");
    assert!(written(Some(output.path())).contains(&format!("ca_file: {}\n", whole.display())));
    assert!(written(Some(input.path())).contains("ca_file: ca.pem\n"));
    assert!(written(None).contains("ca_file: ca.pem\n"));
}

/// What to write instead, so that each file of the test data is a good one: a piece of its text and its replacement.
const MENDED: &[(&str, &str, &str)] = &[
    (
        "dropequal.bad.yml",
        "action: dropequal",
        "action: dropequal\n        target_label: b",
    ),
    ("dropequal1.bad.yml", "        regex: foo\n", ""),
    (
        "empty_metric_relabel_config.bad.yml",
        "      -",
        "      - {regex: a, action: labeldrop}",
    ),
    ("keepequal1.bad.yml", "        regex: foo\n", ""),
    (
        "labeldrop.bad.yml",
        "source_labels: [abcdef]",
        "regex: abcdef",
    ),
    ("labeldrop3.bad.yml", "separator: \",\"", "regex: a"),
    ("labeldrop4.bad.yml", "replacement: yolo-{1}", "regex: a"),
    (
        "labelkeep.bad.yml",
        "source_labels: [abcdef]",
        "regex: abcdef",
    ),
    ("labelkeep2.bad.yml", "modulus: 8", "regex: a"),
    ("labelkeep4.bad.yml", "replacement: yolo-{1}", "regex: a"),
    ("labelkeep5.bad.yml", "target_label: yolo", "regex: a"),
    ("labelname.bad.yml", "!!binary \"/w==\"", "a"),
    ("labelvalue.bad.yml", "!!binary \"/w==\"", "a"),
    (
        "lowercase.bad.yml",
        "action: lowercase",
        "action: lowercase\n        target_label: a",
    ),
    (
        "regex.bad.yml",
        "abc(def",
        "abc(def)\n        target_label: a",
    ),
    ("scrape_body_size_limit.bad.yml", "100", "100B"),
    (
        "target_label_hashmod_missing.bad.yml",
        "modulus: 8",
        "modulus: 8\n        target_label: a",
    ),
    (
        "unknown_attr.bad.yml",
        "consult_sd_configs",
        "consul_sd_configs",
    ),
    (
        "uppercase.bad.yml",
        "action: uppercase",
        "action: uppercase\n        target_label: a",
    ),
    ("uppercase3.bad.yml", "        replacement: bar", ""),
];

/// The key that is at fault, by file; in the rule where it is missing.
fn at_fault(file: &str) -> &'static str {
    match file {
        "dropequal1.bad.yml" | "keepequal1.bad.yml" | "regex.bad.yml" => ".regex: ",
        "labeldrop.bad.yml" | "labelkeep.bad.yml" => ".source_labels: ",
        "labeldrop3.bad.yml" => ".separator: ",
        "labeldrop4.bad.yml" | "labelkeep4.bad.yml" | "uppercase3.bad.yml" => ".replacement: ",
        "labelkeep2.bad.yml" => ".modulus: ",
        "labelkeep5.bad.yml" => ".target_label: ",
        "empty_metric_relabel_config.bad.yml" => ".metric_relabel_configs[0]: ",
        "labelname.bad.yml" | "labelvalue.bad.yml" => "!!binary",
        "scrape_body_size_limit.bad.yml" => ".body_size_limit: ",
        "unknown_attr.bad.yml" => ".consult_sd_configs: ",
        _ => "'target_label'",
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
fn what_prometheus_refuses_is_refused_and_accepted_when_mended() {
    let Some(data) = std::env::var_os("TRIBUTARY_TESTDATA") else {
        eprintln!("left out: TRIBUTARY_TESTDATA is not set");
        return;
    };
    let folder = Path::new(&data).join("config");
    let files = std::fs::read_dir(&folder).expect("the test data hold config");
    let mut tried = 0;
    for file in files.map(|file| file.expect("the folder can be listed").path()) {
        let name = file
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        let (_, from, to) = MENDED
            .iter()
            .find(|(known, ..)| *known == name)
            .unwrap_or_else(|| panic!("{name} has no mend"));
        let errors = import(&file, &wish()).expect_err(&name).to_string();
        assert!(errors.contains(at_fault(&name)), "{name}: {errors}");
        assert!(
            errors.starts_with(&format!("{}:", file.display())) && errors.lines().count() == 1,
            "{errors}"
        );
        let text = std::fs::read_to_string(&file).expect("the file is text");
        assert!(text.contains(from), "{name}: {text}");
        // A job that federates, so that the mended rules are carried over as well.
        let mended = text.replacen(from, to, 1);
        import_text(&mended, &wish()).unwrap_or_else(|errors| panic!("{name}: {errors}\n{mended}"));
        let federates = mended.replace("relabel_configs:", "params: {'match[]': [up]}\n    static_configs: [{targets: ['a:1']}]\n    metric_relabel_configs:");
        let federates = federates.replace("metric_params:", "params:");
        let imported = import_text(&federates, &wish())
            .unwrap_or_else(|errors| panic!("{name}: {errors}\n{federates}"));
        assert_eq!(
            imported.clusters,
            usize::from(mended.contains("relabel_configs:")),
            "{federates}"
        );
        tried += 1;
    }
    assert_eq!(tried, MENDED.len());
    crate::testdata::count("import_config", tried);
}

#[test]
fn without_federate_jobs_nothing_changes() {
    let yaml = "scrape_configs: # all\n  - job_name: a\n";
    let imported = imported(yaml);
    assert_eq!((imported.clusters, &*imported.central), (0, yaml));
    assert!(imported.config.ends_with("clusters: []\n"));
    assert!(imported.notes[0].text.contains("nothing to carry over"));
}

#[test]
fn what_is_written_is_a_configuration_of_ours() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("tributary.yaml");
    std::fs::write(&file, imported(WORKSHOP).config).expect("the folder is writable");
    let config = config::load(&file).unwrap_or_else(|errors| panic!("{errors}"));
    let names: Vec<_> = config
        .clusters
        .iter()
        .map(|cluster| &*cluster.name)
        .collect();
    assert_eq!(names, ["cluster-1", "cluster-2"]);
}

/// Whatever is cut out of a file, it is imported or refused, and what is imported means what it should.
#[test]
fn no_text_makes_import_panic() {
    let lines: Vec<_> = WORKSHOP.split_inclusive('\n').collect();
    let without = |number: usize| [&lines[..number], &lines[number + 1..]].concat().concat();
    let twice = |number: usize| [&lines[..=number], &lines[number..]].concat().concat();
    let deeper = |number: usize| {
        let (before, after) = lines.split_at(number);
        format!("{}  {}", before.concat(), after.concat())
    };
    let ends = (0..WORKSHOP.len())
        .step_by(7)
        .map(|end| WORKSHOP[..end].to_owned());
    let changed =
        (0..lines.len()).flat_map(|number| [without(number), twice(number), deeper(number)]);
    let mut good = 0;
    for text in ends.chain(changed).chain([WORKSHOP.replace('\n', "\r\n")]) {
        let Ok(imported) = import_text(&text, &wish()) else {
            continue;
        };
        good += 1;
        let root =
            tree::parse(&imported.central).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        let again = import_text(&imported.central, &wish());
        let again = again.unwrap_or_else(|errors| panic!("{errors}\n{}", imported.central));
        assert_eq!(again.clusters, 0, "{text}");
        assert!(matches!(root.value, Value::Map(_)), "{text}");
    }
    assert!(good > 50, "{good}");
}
