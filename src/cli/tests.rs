//! Command lines in, commands out.

use super::*;
use crate::app::ask::AskWhen;
use crate::promql::Feature;

fn parsed(line: &str) -> Result<Command, clap::Error> {
    parse(std::iter::once("tributary").chain(line.split_whitespace()))
}

fn run(line: &str) -> RunFlags {
    match parsed(line).expect(line) {
        Command::Run(flags) => flags,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_table_of_flags_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn a_run_has_its_defaults() {
    let flags = run("--cluster a=http://localhost");
    assert_eq!(flags.clusters, ["a=http://localhost"]);
    assert_eq!(
        flags
            .web
            .listen_addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["0.0.0.0:9095"]
    );
    assert_eq!(
        (flags.log.level, flags.log.format),
        (LogLevel::Info, LogFormat::Logfmt)
    );
    assert_eq!(flags.storage.window, Duration::from_secs(900));
    assert_eq!(
        (
            flags.scrape.interval,
            flags.scrape.timeout,
            flags.memory_limit
        ),
        (None, None, None)
    );
}

#[test]
fn every_flag_of_a_run_arrives() {
    let flags = run(
        "--config.file f.yaml --cluster a=http://a --cluster b=http://b --match up --match {job=\"x\"} \
         --scrape.interval 30s --scrape.timeout=20s --web.listen-address :1 --web.listen-address [::]:2 \
         --web.external-url https://h/t --memory.limit 512MB --log.level debug --log.format json \
         --web.config.file w.yaml --web.cors.origin http://.* --storage.window 0",
    );
    assert_eq!(flags.web.web_config_file, Some(PathBuf::from("w.yaml")));
    assert_eq!(flags.web.cors_origin.as_deref(), Some("http://.*"));
    assert_eq!(flags.config_file, Some(PathBuf::from("f.yaml")));
    let addresses: Vec<_> = flags
        .web
        .listen_addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(addresses, ["0.0.0.0:1", "[::]:2"]);
    assert_eq!(flags.storage.window, Duration::ZERO);
    assert_eq!(flags.memory_limit, Some(512 << 20));
    assert_eq!(
        (flags.log.level.as_str(), flags.log.format),
        ("debug", LogFormat::Json)
    );
    let want = config::Flags {
        clusters: vec!["a=http://a".to_owned(), "b=http://b".to_owned()],
        matches: vec!["up".to_owned(), "{job=\"x\"}".to_owned()],
        scrape_interval: Some(Duration::from_secs(30)),
        scrape_timeout: Some(Duration::from_secs(20)),
        external_url: ExternalUrl::parse("https://h/t").ok(),
    };
    assert_eq!(flags.config_flags(), want);
}

#[test]
fn subcommands_are_read() {
    fn check(line: &str, want: &str) {
        assert!(
            format!("{:?}", parsed(line).expect(line)).starts_with(want),
            "{line}"
        );
    }
    check(
        "check-config f.yaml",
        "CheckConfig { file: \"f.yaml\", web: None, online: false }",
    );
    check(
        "check-config f.yaml --web.config.file w.yaml --online",
        "CheckConfig { file: \"f.yaml\", web: Some(\"w.yaml\"), online: true }",
    );
    check(
        "import p.yml --central-job federate --output o",
        "Import(ImportFlags { file: \"p.yml\", output: Some(\"o\"), central_output: None, central_job: Federate,",
    );
    check("completions bash", "Completions(Bash)");
    check("demo", "Demo(DemoFlags { clusters: 3, series: 5000,");
    check(
        "query http://h -1",
        "Query(QueryArguments { url: \"http://h\", expression: \"-1\", time: None,",
    );
    check("query http://h up --start 10 --end 70", "Query(");
    check(
        "demo --clusters 5 --series 10 --web.listen-address :1 --scrape.interval 1s --log.level warn",
        "Demo(DemoFlags { clusters: 5, series: 10,",
    );
    check(
        "grafana datasources --cluster a=http://a --url http://t:1/ --central-url http://c",
        "GrafanaDatasources(GrafanaFlags { url: \"http://t:1\", central_url: Some(\"http://c\"), no_default: false,",
    );
}

#[test]
fn a_query_has_times_and_steps() {
    let check = |line: &str, want: AskWhen| match parsed(line).expect(line) {
        Command::Query(arguments) => assert_eq!(arguments.ask(100_000).when, want, "{line}"),
        other => panic!("{line}: {other:?}"),
    };
    let range = |start_ms, end_ms, step_ms| AskWhen::Range {
        start_ms,
        end_ms,
        step_ms,
    };
    check("query http://h up", AskWhen::Now);
    check("query http://h up --time 1.5", AskWhen::At(1500));
    check(
        "query http://h up --start 10 --end 70",
        range(10_000, 70_000, 1000),
    );
    check(
        "query http://h up --start 40 --step 15s",
        range(40_000, 100_000, 15_000),
    );
}

#[test]
fn flags_of_queries_reach_the_engine_and_are_shown() {
    let line = "--cluster a=b --query.timeout 7s --enable-feature promql-experimental-functions,promql-duration-expr";
    let settings = run(line).query.settings(Some(4 << 30));
    assert_eq!(
        (settings.timeout, settings.memory_max_bytes),
        (Duration::from_secs(7), 1 << 30)
    );
    assert!(settings.features.has(Feature::ExperimentalFunctions));
    let shown = shown_flags(std::iter::once("tributary").chain(line.split(' ')));
    let check = |name: &str, want: &str| assert_eq!(shown[name], want, "{name}");
    check("query.timeout", "7s");
    check("query.max-samples", "50000000");
    check(
        "enable-feature",
        "promql-experimental-functions,promql-duration-expr",
    );
    check("log.level", "info");
}

#[test]
fn wrong_flags_exit_with_2_and_say_why() {
    fn check(line: &str, want: &str) {
        let error = parsed(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        let text = error.to_string();
        assert!(
            text.contains(want) && text.contains("--help"),
            "{line}: {text}"
        );
    }
    check(
        "",
        "no cluster to scrape: give --config.file FILE or --cluster NAME=URL",
    );
    check("--match up", "no cluster to scrape");
    check("--config.fil f", "'--config.file'");
    check(
        "--cluster a=b --scrape.interval 15",
        "\"15\" is not a duration; write",
    );
    check(
        "--cluster a=b --scrape.interval 0s",
        "must be longer than 0",
    );
    check(
        "--cluster a=b --memory.limit 100",
        "\"100\" is not a size; write",
    );
    check(
        "--cluster a=b --web.listen-address 9095",
        "has no port; write host:port",
    );
    check("--cluster a=b --web.cors.origin (", "write one such as");
    check(
        "--cluster a=b --log.level loud",
        "possible values: debug, info, warn, error",
    );
    check(
        "--cluster a=b --web.external-url metrics",
        "begins neither with http:// or https:// nor with a slash; write it like",
    );
    check("demo --clusters 0", "0 is not in 1..=1000");
    check("query http://h", "<EXPRESSION>");
    check(
        "query http://h up --time x",
        "cannot parse \"x\" to a valid timestamp",
    );
    check("query http://h up --end 1", "--start <TIME>");
    check(
        "query http://h up --time 1 --start 1",
        "cannot be used with",
    );
    check(
        "--cluster a=b --enable-feature nope",
        "there is no such feature; choose from: promql-experimental",
    );
    check("--cluster a=b --query.max-samples 0", "0 is not in 1..");
    check(
        "demo --config.file f",
        "unexpected argument '--config.file'",
    );
    check("check-config", "<FILE>");
    check("grafana", "datasources");
    check("grafana datasources", "no cluster to write of");
    check(
        "grafana datasources --cluster a=b --url grafana:3000",
        "does not begin with http://",
    );
    check("import", "<FILE>");
    check(
        "import f --url http://u:p@h",
        "holds a user or password; remove them",
    );
    check("--cluster a=b check-config f", "cannot be used with");
    check("--cluster a=b stray", "stray");
}

#[test]
fn help_and_version_exit_with_0() {
    fn check(line: &str, want: &str) {
        let error = parsed(line).expect_err(line);
        assert_eq!(error.exit_code(), 0, "{line}");
        assert!(error.to_string().contains(want), "{line}: {error}");
    }
    check(
        "--version",
        concat!("tributary ", env!("CARGO_PKG_VERSION")),
    );
    check("--help", "--web.listen-address <ADDRESS>");
    check("-h", "[default: 0.0.0.0:9095]");
    check("demo --help", "--series <NUMBER>");
    check("check-config --help", "Check a configuration file");
}

#[test]
fn completions_name_the_flags() {
    for shell in Shell::value_variants() {
        assert!(
            String::from_utf8_lossy(&completions(*shell)).contains("config.file"),
            "{shell}"
        );
    }
}
