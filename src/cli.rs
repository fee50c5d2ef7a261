//! The command line: arguments in, a [`Command`] out. Nothing is started, read or written here; `main` acts.
//!
//! Flag names follow Prometheus (`--config.file`). A flag wins over the key of the file's `global` that means the
//! same: `crate::config` lays [`config::Flags`] over the file. A flag that cannot be understood is a [`clap::Error`],
//! whose exit code is 2 (0 for `--help` and `--version`).

mod grafana;
mod query;
#[cfg(test)]
mod tests;

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
