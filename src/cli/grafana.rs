//! `tributary grafana datasources`: its flags.

use std::path::PathBuf;

use clap::Args;

use super::ScrapeFlags;
use crate::config;

/// Flags of `tributary grafana datasources`. There is a file or at least one cluster.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct GrafanaFlags {
    /// Tributary's address as Grafana sees it.
    #[arg(long, value_name = "URL", default_value = "http://localhost:9095", value_parser = config::address)]
    pub url: String,
    /// Address of the central Prometheus that scrapes Tributary, for All-Clusters; without it that is Tributary.
    #[arg(long, value_name = "URL", value_parser = config::address)]
    pub central_url: Option<String>,
    /// Do not make All-Clusters the default data source: for a Grafana whose other files name one.
    #[arg(long)]
    pub no_default: bool,
    /// User with which Grafana asks Tributary.
    #[arg(
        long,
        value_name = "NAME",
        help = "User with which Grafana asks Tributary; the password is TRIBUTARY_PASSWORD in Grafana's environment"
    )]
    pub user: Option<String>,
    /// Print nothing but what is different in this file; exit code 1 if anything is.
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
    /// Configuration file in YAML.
    #[arg(long = "config.file", value_name = "FILE", help_heading = "Clusters")]
    pub config_file: Option<PathBuf>,
    /// A cluster beside those of the file (repeatable).
    #[arg(long = "cluster", value_name = "NAME=URL", help_heading = "Clusters")]
    pub clusters: Vec<String>,
    /// Scraping.
    #[command(flatten)]
    pub scrape: ScrapeFlags,
}

impl GrafanaFlags {
    /// What these flags say about clusters, for [`config::build`].
    pub fn config_flags(&self) -> config::Flags {
        config::Flags {
            clusters: self.clusters.clone(),
            scrape_interval: self.scrape.interval,
            scrape_timeout: self.scrape.timeout,
            ..config::Flags::default()
        }
    }
}
