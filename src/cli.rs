//! The command line: arguments in, a [`Command`] out. Nothing is started, read or written here; `main` acts.
//!
//! Flag names follow Prometheus (`--config.file`). A flag wins over the key of the file's `global` that means the
//! same: `crate::config` lays [`config::Flags`] over the file. A flag that cannot be understood is a [`clap::Error`],
//! whose exit code is 2 (0 for `--help` and `--version`).

mod grafana;
mod query;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
pub use clap_complete::Shell;
pub use grafana::GrafanaFlags;
pub use query::{QueryArguments, QueryFlags};

use crate::config::{self, ListenAddress, units};
use crate::serve::cors::Cors;
use crate::serve::external::ExternalUrl;

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Scrape the clusters and serve the merged endpoint.
    Run(RunFlags),
    /// Say what is wrong with a file, or what each cluster of it will do.
    CheckConfig {
        /// The configuration file.
        file: PathBuf,
        /// The web configuration to check beside it.
        web: Option<PathBuf>,
        /// Whether the clusters are asked too.
        online: bool,
    },
    /// Turn the federate jobs of a Prometheus configuration into ours.
    Import(ImportFlags),
    /// The same as [`Command::Run`] over simulated clusters.
    Demo(DemoFlags),
    /// Print Grafana's data sources for the clusters, or compare them with a file.
    GrafanaDatasources(GrafanaFlags),
    /// Ask a Prometheus and print a table.
    Query(QueryArguments),
    /// Print the [`completions`] for a shell.
    Completions(Shell),
}

/// Flags of a run. There is a file or at least one cluster.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct RunFlags {
    /// Configuration file in YAML.
    #[arg(long = "config.file", value_name = "FILE", help_heading = "Clusters")]
    pub config_file: Option<PathBuf>,
    /// A cluster to scrape, beside those of the file; several URLs are replicas, of which one is used (repeatable).
    #[arg(
        long = "cluster",
        value_name = "NAME=URL[,URL]",
        help_heading = "Clusters"
    )]
    pub clusters: Vec<String>,
    /// Selector of the series to take from each cluster that has none of its own; all series without it (repeatable).
    #[arg(long = "match", value_name = "SELECTOR", help_heading = "Clusters")]
    pub matches: Vec<String>,
    /// Scraping.
    #[command(flatten)]
    pub scrape: ScrapeFlags,
    /// Serving.
    #[command(flatten)]
    pub web: WebFlags,
    /// Keeping.
    #[command(flatten)]
    pub storage: StorageFlags,
    /// Queries.
    #[command(flatten)]
    pub query: QueryFlags,
    /// Memory in bytes to stay below, such as 512MB; without it the limit of the cgroup, if it has one.
    #[arg(long = "memory.limit", value_name = "BYTES", value_parser = units::parse_positive_size, help_heading = "Memory")]
    pub memory_limit: Option<u64>,
    /// Logging.
    #[command(flatten)]
    pub log: LogFlags,
}

impl RunFlags {
    /// What these flags say about clusters, for [`config::build`].
    pub fn config_flags(&self) -> config::Flags {
        config::Flags {
            clusters: self.clusters.clone(),
            matches: self.matches.clone(),
            scrape_interval: self.scrape.interval,
            scrape_timeout: self.scrape.timeout,
            external_url: self.web.external_url.clone(),
        }
    }
}

/// Flags of the demo.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct DemoFlags {
    /// Number of simulated clusters.
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub clusters: u32,
    /// Series of each simulated cluster.
    #[arg(long, value_name = "NUMBER", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub series: u32,
    /// Scraping.
    #[command(flatten)]
    pub scrape: ScrapeFlags,
    /// Serving.
    #[command(flatten)]
    pub web: WebFlags,
    /// Keeping.
    #[command(flatten)]
    pub storage: StorageFlags,
    /// Queries.
    #[command(flatten)]
    pub query: QueryFlags,
    /// Logging.
    #[command(flatten)]
    pub log: LogFlags,
}

impl DemoFlags {
    /// What these flags say about clusters, for [`config::build`]: `clusters` are `NAME=URL` of the simulated ones.
    pub fn config_flags(&self, clusters: Vec<String>) -> config::Flags {
        config::Flags {
            clusters,
            matches: Vec::new(),
            scrape_interval: self.scrape.interval,
            scrape_timeout: self.scrape.timeout,
            external_url: self.web.external_url.clone(),
        }
    }
}

/// Flags of an import.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ImportFlags {
    /// Configuration file of a Prometheus 2.x or 3.x, such as prometheus.yml.
    pub file: PathBuf,
    /// File for our configuration, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// File for the central configuration that remains, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub central_output: Option<PathBuf>,
    /// How the central Prometheus reads Tributary: one target for each cluster (sd), or one for all (federate).
    #[arg(long, value_name = "KIND", value_enum, default_value_t = CentralJob::Sd)]
    pub central_job: CentralJob,
    /// Address under which the central Prometheus reaches Tributary.
    #[arg(long, value_name = "URL", default_value = "http://localhost:9095", value_parser = config::import::own_url)]
    pub url: String,
}

/// How the central Prometheus reads Tributary.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CentralJob {
    /// By `/sd/prometheus`: `up` for each cluster.
    Sd,
    /// By one `/federate`.
    Federate,
}

/// When clusters are scraped.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ScrapeFlags {
    /// Time between two scrapes of a cluster [default: 15s].
    #[arg(long = "scrape.interval", value_name = "DURATION", value_parser = units::parse_positive_duration, help_heading = "Scraping")]
    pub interval: Option<Duration>,
    /// Time that one scrape may take [default: 0.9 of the interval].
    #[arg(long = "scrape.timeout", value_name = "DURATION", value_parser = units::parse_positive_duration, help_heading = "Scraping")]
    pub timeout: Option<Duration>,
}

/// Where we serve.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct WebFlags {
    /// Address to listen on: host:port or :port, an IPv6 host in brackets (repeatable).
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "0.0.0.0:9095", value_parser = config::listen_address, help_heading = "Web")]
    pub listen_addresses: Vec<ListenAddress>,
    /// Answer POST /-/reload, which reads the configuration anew as SIGHUP does.
    #[arg(long = "web.enable-lifecycle", help_heading = "Web")]
    pub enable_lifecycle: bool,
    /// Who may enter, in the format of Prometheus: TLS, client certificates, users, headers. Followed while it runs.
    #[arg(long = "web.config.file", value_name = "FILE", help_heading = "Web")]
    pub web_config_file: Option<PathBuf>,
    /// Origins whose web pages may read the API, as a regular expression that matches the whole; none without it.
    #[arg(long = "web.cors.origin", value_name = "REGEX", help_heading = "Web", value_parser = origins)]
    pub cors_origin: Option<String>,
    /// URL at which others reach us; all paths begin with its path.
    #[arg(long = "web.external-url", value_name = "URL", value_parser = ExternalUrl::parse, help_heading = "Web")]
    pub external_url: Option<ExternalUrl>,
}

/// A pattern that can be used.
fn origins(text: &str) -> Result<String, String> {
    let wrong = |error| format!("{error}; write one such as https://grafana\\.example\\.com");
    Cors::new(text).map(|_| text.to_owned()).map_err(wrong)
}

/// What is kept in memory.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageFlags {
    /// How long rounds are kept for queries; 0 keeps none.
    #[arg(long = "storage.window", value_name = "DURATION", default_value = "15m", value_parser = units::parse_duration, help_heading = "Memory")]
    pub window: Duration,
}

/// What is logged.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFlags {
    /// Least severity that is logged.
    #[arg(long = "log.level", value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info, help_heading = "Logging")]
    pub level: LogLevel,
    /// Form of the log.
    #[arg(long = "log.format", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Logfmt, help_heading = "Logging")]
    pub format: LogFormat,
}

/// Severity of a log line, the least first.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Also what only developers need.
    Debug,
    /// Also what goes well.
    Info,
    /// Also what may need a look.
    Warn,
    /// Only what a person must act on.
    Error,
}

impl LogLevel {
    /// The word of the flag, which `tracing` understands too.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
    }
}

/// Form of the log.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// The arguments as clap reads them: a run without subcommand.
#[derive(Parser, Debug)]
#[command(
    name = "tributary",
    version,
    about = "Makes the Prometheus servers of many Kubernetes clusters look like one.",
    after_help = "Example: tributary --cluster eu=https://prometheus.eu.example.com --cluster us=https://prometheus.us.example.com\n\
                  Exit codes: 0 done, 1 failed at run time, 2 wrong flags or configuration.",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 110
)]
struct Arguments {
    #[command(flatten)]
    run: RunFlags,
    #[command(subcommand)]
    sub: Option<Sub>,
}

#[derive(Subcommand, Debug)]
enum Sub {
    /// Check a configuration file and say what each cluster will do.
    CheckConfig {
        /// Configuration file in YAML.
        file: PathBuf,
        /// Web configuration to check too, in the format of --web.config.file of Prometheus.
        #[arg(long = "web.config.file", value_name = "FILE")]
        web_config_file: Option<PathBuf>,
        /// Also ask each cluster, once: what a round would bring, and what stands in its way.
        #[arg(long)]
        online: bool,
    },
    /// Turn the federate jobs of a Prometheus configuration into ours, and show the configuration that remains there.
    Import(ImportFlags),
    /// Serve simulated clusters, to look around without any Prometheus.
    Demo(DemoFlags),
    /// Write files for Grafana.
    #[command(subcommand)]
    Grafana(Grafana),
    /// Ask a Prometheus, Tributary or any other, and print the answer as a table.
    Query(QueryArguments),
    /// Print the completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Subcommand, Debug)]
enum Grafana {
    /// Print the provisioning file of a data source for each cluster, or compare one with it.
    #[command(
        after_help = "Exit codes: 0 done, 1 --check found differences, 2 wrong flags, configuration or file."
    )]
    Datasources(GrafanaFlags),
}

/// Reads the arguments, the program's name first.
///
/// `--help` and `--version` are errors too, with exit code 0: [`clap::Error::print`] writes each to where it belongs.
pub fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Command, clap::Error> {
    let mut command = Arguments::command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    let Arguments { run, sub } =
        Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    match sub {
        Some(Sub::CheckConfig {
            file,
            web_config_file: web,
            online,
        }) => Ok(Command::CheckConfig { file, web, online }),
        Some(Sub::Import(flags)) => Ok(Command::Import(flags)),
        Some(Sub::Query(arguments)) => Ok(Command::Query(arguments)),
        Some(Sub::Demo(flags)) => Ok(Command::Demo(flags)),
        Some(Sub::Grafana(Grafana::Datasources(flags)))
            if flags.config_file.is_none() && flags.clusters.is_empty() =>
        {
            let text = "no cluster to write of: give --config.file FILE or --cluster NAME=URL";
            Err(command.error(ErrorKind::MissingRequiredArgument, text))
        }
        Some(Sub::Grafana(Grafana::Datasources(flags))) => Ok(Command::GrafanaDatasources(flags)),
        Some(Sub::Completions { shell }) => Ok(Command::Completions(shell)),
        None if run.config_file.is_none() && run.clusters.is_empty() => {
            let text = "no cluster to scrape: give --config.file FILE or --cluster NAME=URL, or try `tributary demo`";
            Err(command.error(ErrorKind::MissingRequiredArgument, text))
        }
        None => Ok(Command::Run(run)),
    }
}

/// Every flag of a run with its value, as `status/flags` shows them; empty for other commands.
pub fn shown_flags(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> BTreeMap<String, String> {
    let command = Arguments::command();
    let Ok(matches) = Arguments::command().try_get_matches_from(arguments) else {
        return BTreeMap::new();
    };
    let (matches, command) = match matches.subcommand() {
        Some((name, inner)) => (inner, command.find_subcommand(name).unwrap_or(&command)),
        None => (&matches, &command),
    };
    let flags = command.get_arguments().filter_map(|flag| {
        let values = matches.try_get_raw(flag.get_id().as_str()).ok()?;
        let values: Vec<_> = values
            .into_iter()
            .flatten()
            .map(|value| value.to_string_lossy())
            .collect();
        Some((flag.get_long()?.to_owned(), values.join(",")))
    });
    flags.collect()
}

/// The completions for a shell, to be printed as they are.
pub fn completions(shell: Shell) -> Vec<u8> {
    // Into memory, since the generator panics where its output fails, and a closed pipe is no reason to.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tributary", &mut script);
    script
}

#[cfg(test)]
mod tests {
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
}
