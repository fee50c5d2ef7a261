//! Tests of the whole way from file and flags to [`Config`]: `tests/config/{good,bad}`, the shipped examples, flags.
//!
//! A bad file has one fault, which its first line states: `# want: line N: part of the message`.

use std::path::PathBuf;

use super::*;
use crate::cluster::secret::SecretSource;
use crate::cluster::tls::Authorities;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The YAML files of a folder, sorted; never none.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(project(folder)).expect(folder);
    let mut files: Vec<_> = entries.map(|entry| entry.expect(folder).path()).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    files.sort();
    assert!(!files.is_empty(), "{folder} holds no file");
    files
}

/// A configuration from text, with flags.
fn from_text(yaml: &str, flags: &Flags) -> Result<Config, ConfigErrors> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("t.yaml");
    std::fs::write(&file, yaml).expect("the folder is writable");
    build(Some(&file), flags)
}

fn cluster(yaml: &str) -> Cluster {
    let config =
        from_text(yaml, &Flags::default()).unwrap_or_else(|errors| panic!("{yaml}: {errors}"));
    config
        .clusters
        .into_iter()
        .next()
        .expect("there is a cluster")
}

#[test]
fn every_bad_file_gives_the_one_error_that_it_states() {
    let mut failures = Vec::new();
    for path in files("tests/config/bad") {
        let text = std::fs::read_to_string(&path).expect("the file is text");
        let want = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# want: "))
            .expect("line 1 states the error");
        let got = match load(&path) {
            Ok(_) => "accepted".to_owned(),
            Err(errors) => errors
                .problems
                .iter()
                .map(stated)
                .collect::<Vec<_>>()
                .join("\n     "),
        };
        if !got.starts_with(want) || got.lines().count() != 1 {
            failures.push(format!("{}:\n got {got}\nwant {want}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A problem as the bad files state it.
fn stated(problem: &Problem) -> String {
    let Problem { line, key, text } = problem;
    let line = line.unwrap_or_default();
    if key.is_empty() {
        format!("line {line}: {text}")
    } else {
        format!("line {line}: {key}: {text}")
    }
}

#[test]
fn every_good_file_is_accepted() {
    for path in files("tests/config/good") {
        if let Err(errors) = load(&path) {
            panic!("{errors}");
        }
    }
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_the_file() {
    let yaml = "global: {typed: maybe, unknown: 1}\nclusters:\n  - name: a b\n    url: prom:9090\n    match: ['{']\n\
                \x20   metric_relabel_configs:\n      - {action: nothing}\n  - name: c\n";
    let flags = Flags {
        clusters: vec!["x".to_owned()],
        matches: vec!["{".to_owned()],
        ..Flags::default()
    };
    let errors = from_text(yaml, &flags).expect_err("there are mistakes");
    let got: Vec<_> = errors
        .problems
        .iter()
        .map(|p| (p.line.unwrap_or_default(), p.key.as_str()))
        .collect();
    let want = [
        (0, "--match"),
        (0, "--cluster"),
        (1, "global.unknown"),
        (1, "global.typed"),
        (3, "clusters[0].name"),
        (4, "clusters[0].url"),
        (5, "clusters[0].match[0]"),
        (7, "clusters[0].metric_relabel_configs[0].action"),
        (8, "clusters[1]"),
    ];
    assert_eq!(got, want);
    let text = errors.to_string();
    assert!(text.contains("t.yaml:4: clusters[0].url: "), "{text}");
    assert!(
        text.starts_with("--match: ") && text.lines().count() == want.len(),
        "{text}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let errors = load(Path::new("/nowhere/t.yaml")).expect_err("there is no such file");
    let text = errors.to_string();
    assert!(
        text.starts_with("/nowhere/t.yaml: cannot be read (") && text.contains("name a YAML file"),
        "{text}"
    );
}

#[test]
fn the_minimal_file_shows_every_default() {
    let config = load(&project("config/minimal.yaml")).expect("the shipped file is good");
    assert_eq!(config.clusters.len(), 2);
    assert_eq!(
        (
            config.cluster_label.as_str(),
            config.typed,
            config.empty_match
        ),
        ("cluster", Typed::True, EmptyMatch::All)
    );
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let cluster = &config.clusters[0];
    assert_eq!(cluster.name, "cluster-1");
    assert_eq!(cluster.url, "https://prometheus.cluster-1.example.com");
    assert_eq!(cluster.metrics_path, "/federate");
    assert_eq!(
        (cluster.scrape_interval, cluster.scrape_timeout),
        (Duration::from_secs(15), Duration::from_millis(13_500))
    );
    assert_eq!(cluster.matches, [r#"{__name__=~".+"}"#]);
    assert_eq!(cluster.match_matchers.len(), 1);
    assert_eq!(
        cluster.replica_labels,
        ["prometheus_replica", "replica", "__replica__"]
    );
    assert_eq!(
        (cluster.stale_after, cluster.metadata_refresh_interval),
        (Duration::from_secs(60), Duration::from_secs(300))
    );
    assert_eq!(
        (cluster.body_size_limit, cluster.compressed_body_size_limit),
        (1 << 30, 1 << 30)
    );
    let limits = [
        cluster.series_limit,
        cluster.label_limit,
        cluster.label_name_length_limit,
        cluster.label_value_length_limit,
    ];
    assert_eq!(limits, [0; 4]);
    let choices = (
        cluster.cluster_label_conflict,
        cluster.on_bad_line,
        cluster.compression,
    );
    assert_eq!(
        choices,
        (
            LabelConflict::Rename,
            OnBadLine::Quarantine,
            Compression::Auto
        )
    );
    assert_eq!(
        (
            cluster.honor_timestamps,
            cluster.follow_redirects,
            cluster.normalize_le
        ),
        (true, false, false)
    );
    assert!(
        cluster.labels.is_empty() && cluster.external_labels.is_none() && cluster.rules.is_empty()
    );
    assert!(cluster.auth.is_none() && cluster.http_headers.is_empty());
    assert_eq!(cluster.link, Link::default());
    assert!(cluster.replicas.is_empty());
}

#[test]
fn the_example_file_is_good_and_holds_every_key() {
    let config = load(&project("config/example.yaml")).expect("the shipped file is good");
    let text = std::fs::read_to_string(project("config/example.yaml")).expect("the file is text");
    let sections = [
        TOP_KEYS,
        shared::KEYS,
        global::KEYS,
        cluster::KEYS,
        access::KEYS,
        access::PROXY_KEYS,
        access::TLS_KEYS,
        access::OAUTH2_KEYS,
        access::AUTHORIZATION_KEYS,
        access::BASIC_AUTH_KEYS,
        access::HEADER_KEYS,
        rules::KEYS,
    ];
    for key in sections.concat() {
        let found = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .any(|line| line.contains(&format!("{key}:")));
        assert!(found, "config/example.yaml lacks {key}");
    }
    for key in shared::KEYS {
        assert!(
            text.matches(&format!(" {key}:")).count() >= 2,
            "config/example.yaml lacks {key} at a cluster"
        );
    }
    let first = &config.clusters[0];
    assert_eq!(
        first.url,
        "https://prometheus.cluster-1.example.com:9090/base"
    );
    assert_eq!(
        (first.scrape_timeout, first.stale_after),
        (Duration::from_secs(25), Duration::from_secs(120))
    );
    assert_eq!(
        first.link.tls.ca,
        Some(Authorities::File(project("config/ca.pem")))
    );
    assert_eq!(first.rules.len(), 3);
    // What the comments call a default is one.
    let second = &config.clusters[1];
    let minimal = &load(&project("config/minimal.yaml"))
        .expect("the shipped file is good")
        .clusters[0];
    let defaults = |c: &Cluster| {
        (
            c.scrape_interval,
            c.matches.clone(),
            c.cluster_label_conflict,
            c.on_bad_line,
            c.compression,
            c.body_size_limit,
        )
    };
    assert_eq!(defaults(second), defaults(minimal));
    assert_eq!(second.replica_labels, minimal.replica_labels);
}

#[test]
fn a_cluster_takes_its_own_value_then_the_global_one_then_the_default() {
    fn check(yaml: &str, interval: &str, timeout: &str, stale_after: &str) {
        let cluster = cluster(yaml);
        let got = [
            cluster.scrape_interval,
            cluster.scrape_timeout,
            cluster.stale_after,
        ]
        .map(units::format_duration);
        assert_eq!(got, [interval, timeout, stale_after], "{yaml}");
    }
    let with = |global: &str, own: &str| {
        format!("global: {{{global}}}\nclusters: [{{name: a, url: 'http://localhost', {own}}}]")
    };
    check(&with("", ""), "15s", "13s500ms", "1m");
    check(&with("scrape_interval: 1m", ""), "1m", "54s", "2m");
    check(
        &with("scrape_interval: 1m", "scrape_interval: 10s"),
        "10s",
        "9s",
        "1m",
    );
    check(
        &with("scrape_timeout: 12s", "scrape_interval: 5s"),
        "5s",
        "5s",
        "1m",
    );
    check(
        &with("scrape_timeout: 12s", "scrape_interval: 1m"),
        "1m",
        "12s",
        "2m",
    );
    check(
        &with("scrape_timeout: 12s", "scrape_timeout: 3s"),
        "15s",
        "3s",
        "1m",
    );
    check(&with("stale_after: 5m", ""), "15s", "13s500ms", "5m");
    check(
        &with("stale_after: 5m", "stale_after: 0s"),
        "15s",
        "13s500ms",
        "0s",
    );
    let limits = |yaml: &str| {
        (
            cluster(yaml).body_size_limit,
            cluster(yaml).compressed_body_size_limit,
        )
    };
    assert_eq!(limits(&with("body_size_limit: 2KB", "")), (2048, 2048));
    assert_eq!(
        limits(&with(
            "compressed_body_size_limit: 1KB",
            "body_size_limit: 3KB"
        )),
        (3072, 1024)
    );
}

#[test]
fn flags_win_over_global_keys_and_add_clusters() {
    let flags = Flags {
        clusters: vec!["b=http://localhost:9091/".to_owned()],
        matches: vec!["up".to_owned()],
        scrape_interval: Some(Duration::from_secs(30)),
        scrape_timeout: Some(Duration::from_secs(20)),
        external_url: None,
    };
    let yaml = "global: {scrape_interval: 1m, scrape_timeout: 45s, match: [x], cluster_label: k8s}\n\
                clusters: [{name: a, url: 'http://localhost'}, {name: own, url: 'http://localhost', match: [y], scrape_interval: 5s}]";
    let config = from_text(yaml, &flags).expect("the file is good");
    let got: Vec<_> = config
        .clusters
        .iter()
        .map(|c| {
            (
                c.name.as_str(),
                c.url.as_str(),
                c.matches[0].as_str(),
                c.scrape_timeout.as_secs(),
            )
        })
        .collect();
    let want = [
        ("a", "http://localhost", "up", 20),
        ("own", "http://localhost", "y", 5),
        ("b", "http://localhost:9091", "up", 20),
    ];
    assert_eq!(got, want);
    assert_eq!(config.cluster_label, "k8s");
    assert_eq!(
        from_flags(&flags)
            .expect("the flags are good")
            .clusters
            .len(),
        1
    );
    assert!(
        from_text("global: {typed: full}", &flags).is_ok_and(|config| config.clusters.len() == 1)
    );
}

#[test]
fn wrong_flags_are_named() {
    fn check(flags: &Flags, want: &str) {
        let text = from_flags(flags).expect_err(want).to_string();
        assert!(
            text.starts_with(want) && text.lines().count() == 1 && !text.contains("hunter2"),
            "{want}: {text}"
        );
    }
    let clusters = |list: &[&str]| Flags {
        clusters: list.iter().map(|text| (*text).to_owned()).collect(),
        ..Flags::default()
    };
    check(
        &clusters(&["http://localhost"]),
        "--cluster: \"http://localhost\" has no `=`; write NAME=URL",
    );
    check(
        &clusters(&["user:hunter2@host"]),
        "--cluster: the value has no `=`",
    );
    check(
        &clusters(&["a=localhost"]),
        "--cluster: \"localhost\" does not begin with http://",
    );
    check(
        &clusters(&["=http://localhost"]),
        "--cluster: \"\" is no cluster name",
    );
    check(
        &clusters(&["a=http://localhost", "a=http://localhost:1"]),
        "--cluster: the name \"a\" is already used by another --cluster",
    );
    let long = Flags {
        scrape_timeout: Some(Duration::from_secs(20)),
        ..clusters(&["a=http://localhost"])
    };
    check(
        &long,
        "--scrape.timeout: 20s is longer than the scrape interval of 15s",
    );
    let flags = Flags {
        scrape_interval: Some(Duration::from_secs(5)),
        ..Flags::default()
    };
    let text = from_text(
        "global: {scrape_timeout: 10s}\nclusters: [{name: a, url: 'http://localhost'}]",
        &flags,
    )
    .expect_err("too long")
    .to_string();
    assert!(
        text.contains(
            "t.yaml:1: global.scrape_timeout: 10s is longer than the scrape interval of 5s"
        ),
        "{text}"
    );
    let taken = from_text(
        "clusters: [{name: a, url: 'http://localhost'}]",
        &clusters(&["a=http://localhost"]),
    )
    .expect_err("taken")
    .to_string();
    assert_eq!(
        taken,
        "--cluster: the name \"a\" is already used on line 1; names are unique, write another"
    );
}

#[test]
fn what_may_be_a_mistake_is_warned_of() {
    fn check(url: &str, own: &str, want: &[&str]) {
        let yaml = format!("clusters: [{{name: a, url: '{url}', {own}}}]");
        let warnings = from_text(&yaml, &Flags::default())
            .expect("the file is good")
            .warnings;
        assert_eq!(warnings.len(), want.len(), "{yaml}: {warnings:?}");
        for (warning, want) in warnings.iter().zip(want) {
            assert!(
                warning.starts_with("cluster a: ") && warning.contains(want),
                "{warning}"
            );
        }
    }
    check(
        "https://prom",
        "authorization: {credentials_env: PATH}",
        &[],
    );
    check("https://prom/federate", "", &["ends in /federate"]);
    check("https://prom/federate", "metrics_path: /metrics", &[]);
    check(
        "https://prom",
        "authorization: {credentials_file: token}",
        &["authorization: cannot read the secret in "],
    );
    check(
        "https://prom",
        "authorization: {credentials_env: TRIBUTARY_NOT_SET}",
        &["TRIBUTARY_NOT_SET with a secret is not set"],
    );
    check(
        "https://prom",
        "tls_config: {ca_file: ca.pem}, http_headers: {X-Key: {files: [/dev/null]}}",
        &["http_headers: ", "tls_config: cannot read ca_file"],
    );
}

/// Credentials for another machine go over TLS, unless the user says otherwise.
#[test]
fn credentials_over_plain_http_are_refused() {
    fn check(url: &str, own: &str, want: &[&str]) {
        let yaml = format!("clusters:\n- name: a\n  url: '{url}'\n  {own}\n");
        let got = match from_text(&yaml, &Flags::default()) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.problems.iter().map(stated).collect::<Vec<_>>(),
        };
        assert_eq!(got.len(), want.len(), "{yaml}: {got:?}");
        for (got, want) in got.iter().zip(want) {
            assert!(got.contains(want), "{got}, not {want}");
            assert!(got.contains("allow_plaintext_credentials: true"), "{got}");
        }
        let global = format!("global: {{allow_plaintext_credentials: true}}\n{yaml}");
        assert!(from_text(&global, &Flags::default()).is_ok(), "{global}");
        let here = format!("{yaml}  allow_plaintext_credentials: true\n");
        assert!(from_text(&here, &Flags::default()).is_ok(), "{here}");
    }
    let token = "authorization: {credentials_env: PATH}";
    let basic = "basic_auth: {username: u, password_env: PATH}";
    let header = "http_headers: {X-Key: {env: [PATH]}}";
    let refused = "line 3: clusters[0].url: credentials are sent to it over plain HTTP";
    for credentials in [token, basic, header] {
        check("http://prom", credentials, &[refused]);
        check("https://prom", credentials, &[]);
        check("http://localhost:9090", credentials, &[]);
        check("http://127.0.0.2:9090", credentials, &[]);
        check("http://[::1]:9090", credentials, &[]);
        let proxied = format!("{credentials}\n  proxy_url: https://proxy");
        check("http://localhost:9090", &proxied, &[refused]);
        let around = format!("{credentials}\n  proxy_from_environment: true");
        check("http://localhost:9090", &around, &[]);
    }
    check("http://prom", "http_headers: {X-Key: {values: [v]}}", &[]);
    check("http://prom", "", &[]);
    let oauth2 = |url: &str, more: &str| {
        format!("oauth2: {{client_id: c, client_secret_env: PATH, token_url: '{url}'{more}}}")
    };
    check("https://prom", &oauth2("https://login/token", ""), &[]);
    check("https://prom", &oauth2("http://localhost/token", ""), &[]);
    check(
        "https://prom",
        &oauth2("http://login/token", ""),
        &["line 4: clusters[0].oauth2: the client's secret is sent to token_url over plain HTTP"],
    );
    check(
        "http://prom",
        &oauth2("https://login/token", ""),
        &[refused],
    );
    let header = "proxy_connect_header: {Proxy-Authorization: {env: [PATH]}}";
    let to_proxy = "credentials of proxy_connect_header are sent to it over plain HTTP";
    let proxied = |url: &str| format!("proxy_url: {url}\n  {header}");
    check("https://prom", &proxied("http://proxy:3128"), &[to_proxy]);
    check("https://prom", &proxied("https://proxy:3128"), &[]);
    check("https://prom", &proxied("http://localhost:3128"), &[]);
}

#[test]
fn replicas_are_addresses_of_several_servers() {
    let text = "clusters: [{name: a, replicas: ['https://x/', 'https://y']}]";
    let pair = cluster(text);
    assert_eq!(
        (&*pair.url, &pair.replicas[..]),
        (
            "https://x",
            &["https://x".to_owned(), "https://y".to_owned()][..]
        )
    );
    assert_eq!(pair.link.connect_timeout, Some(pair.scrape_timeout / 3));
    let flags = |text: &str| Flags {
        clusters: vec![text.to_owned()],
        ..Flags::default()
    };
    let config = from_flags(&flags("a=http://x:1,http://y:1")).expect("two servers");
    assert_eq!(config.clusters[0].replicas, ["http://x:1", "http://y:1"]);
    let one = from_flags(&flags("a=http://x:1")).expect("one server");
    assert!(one.clusters[0].replicas.is_empty());
    let error = from_flags(&flags("a=http://x:1,http://x:1/")).expect_err("one server twice");
    assert!(
        error
            .to_string()
            .contains("is the same server as http://x:1"),
        "{error}"
    );
    let error = from_flags(&flags("a=http://x:1,")).expect_err("nothing behind the comma");
    assert!(error.to_string().starts_with("--cluster: "), "{error}");
}

#[test]
fn files_are_relative_to_the_configuration() {
    let good = |name: &str| {
        load(&project(&format!("tests/config/good/{name}.yaml")))
            .expect(name)
            .clusters
            .remove(0)
    };
    assert_eq!(
        good("ca").link.tls.ca,
        Some(Authorities::File(project("tests/config/good/../ca.pem")))
    );
    let Some(Auth::Basic { username, password }) = good("basic_auth").auth else {
        panic!("basic auth is written")
    };
    assert_eq!(
        (username.as_str(), password.path()),
        ("u", Some(Path::new("/secrets/p")))
    );
    let Some(Auth::Header {
        scheme,
        credentials,
    }) = good("authorization").auth
    else {
        panic!("a token is written")
    };
    assert_eq!(
        (scheme.as_str(), credentials.path()),
        ("Bearer", Some(project("tests/config/good/token").as_path()))
    );
    let key = HeaderValue::Secret(SecretSource::File(project("tests/config/good/key.txt")));
    let plain = |text: &str| HeaderValue::Plain(text.to_owned());
    let want = [
        ("X-Scope-OrgID".to_owned(), vec![plain("a"), plain("b")]),
        ("X-Key".to_owned(), vec![key]),
    ];
    assert_eq!(good("headers").http_headers, want);
}

#[test]
fn anchors_and_plain_scalars_mean_what_they_say() {
    let config = load(&project("tests/config/good/anchors.yaml")).expect("anchors");
    let got: Vec<_> = config
        .clusters
        .iter()
        .map(|c| (c.name.as_str(), c.url.as_str(), c.rules.len()))
        .collect();
    assert_eq!(
        got,
        [
            ("a", "http://localhost:9090", 1),
            ("b", "http://localhost:9090", 1)
        ]
    );
    let config = load(&project("tests/config/good/numbers_as_text.yaml")).expect("numbers_as_text");
    let labels: Vec<_> = config.clusters[0]
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        (
            config.clusters[0].name.as_str(),
            config.clusters[0].label_limit
        ),
        ("1", 30)
    );
    assert_eq!(labels, [("rack", "007"), ("zone", "1e3"), ("open", "yes")]);
    let config =
        load(&project("tests/config/good/yaml_1_1_booleans.yaml")).expect("yaml_1_1_booleans");
    let cluster = &config.clusters[0];
    assert_eq!(
        (
            cluster.honor_timestamps,
            cluster.follow_redirects,
            cluster.normalize_le
        ),
        (false, true, true)
    );
}

#[test]
fn the_report_says_what_each_cluster_will_do() {
    let yaml = "global: {body_size_limit: 0}\nclusters:\n  - {name: a, url: 'http://localhost:9090'}\n  - name: b\n    url: https://prom\n    \
                match: [up, x]\n    labels: {region: eu}\n    body_size_limit: 512MB\n    series_limit: 10\n    \
                basic_auth: {username: u, password_env: PATH}\n    metric_relabel_configs: [{regex: z, action: labeldrop}]\n";
    let config = from_text(yaml, &Flags::default()).expect("the file is good");
    let want = "t.yaml: ok, 2 clusters\n\
        \x20 a: http://localhost:9090/federate every 15s, timeout 13s500ms; {__name__=~\".+\"}\n\
        \x20 b: https://prom/federate every 15s, timeout 13s500ms; up x; adds region=\"eu\"; 1 relabel rule; basic auth as \"u\"; \
        at most 512MiB a body; at most 10 series\n\
        warning: metric_relabel_configs of b concern the federated path only; answers that come from the clusters themselves do not pass them: query: false hides those\n";
    assert_eq!(describe("t.yaml", &config), want);
    let closed = yaml.replace("match: [up, x]", "query: false");
    let config = from_text(&closed, &Flags::default()).expect("the file is good");
    let report = describe("t.yaml", &config);
    assert!(
        report.contains("; 1 relabel rule; no queries; "),
        "{report}"
    );
    assert!(!report.contains("do not pass them"), "{report}");
}

#[test]
fn only_what_has_a_query_api_is_asked_for_it() {
    fn check(keys: &str, want: bool) {
        let yaml = format!("clusters: [{{name: a, url: 'http://localhost'{keys}}}]");
        assert_eq!(cluster(&yaml).query, want, "{keys}");
    }
    check("", true);
    check(", query: false", false);
    check(", metrics_path: /federate", true);
    check(", metrics_path: /metrics", false);
    check(", metrics_path: /base/federate", false);
    check(", metrics_path: /metrics, query: true", true);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(text in "\\PC{0,40}", number in "[0-9.]{0,24}[a-zA-Zi]{0,3}") {
        for text in [&text, &number] {
            let _ = (units::parse_duration(text), units::parse_size(text));
            let _ = (check::base_url(text), check::base_url(&format!("http://{text}")));
            let _ = (listen_address(text), check::cluster_name(text), check::header_name(text));
        }
    }

    #[test]
    fn no_file_makes_the_readers_panic(lines in proptest::collection::vec("[ -]{0,4}(global|clusters|name|url|match|labels|\\PC{0,6})?[:,]? ?[\\[{&*'\"]?\\PC{0,5}", 0..8)) {
        let problems = Problems::default();
        if let Ok(root) = tree::parse(&lines.join("\n")) {
            let config = from_tree(Some(&root), Path::new(""), &Flags::default(), &problems);
            proptest::prop_assert!(!config.clusters.is_empty() || problems.finish("f").is_err());
        }
    }

    #[test]
    fn durations_come_back_as_they_were_written(millis in 0_u64..1 << 43) {
        let duration = Duration::from_millis(millis);
        proptest::prop_assert_eq!(units::parse_duration(&units::format_duration(duration)), Ok(duration));
    }
}
