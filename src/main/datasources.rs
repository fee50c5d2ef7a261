//! `tributary grafana datasources`: flags and configuration in, Grafana's file on standard output or compared with one.

use std::fmt::Display;
use std::path::Path;

use tributary::cli::GrafanaFlags;
use tributary::{config, grafana};

use super::{FAILED, WRONG_USE, complain, print};

/// Prints the provisioning file, or what is different in one that is there.
pub(super) fn run(flags: &GrafanaFlags) -> Result<(), u8> {
    let config = config::build(flags.config_file.as_deref(), &flags.config_flags())
        .map_err(|errors| complain(WRONG_USE, errors))?;
    let wanted = grafana::provisioning(&grafana::Settings {
        clusters: config
            .clusters
            .iter()
            .map(|cluster| grafana::Cluster {
                name: cluster.name.clone(),
                scrape_interval: cluster.scrape_interval,
            })
            .collect(),
        url: flags.url.clone(),
        central_url: flags.central_url.clone(),
        is_default: !flags.no_default,
        user: flags.user.clone(),
    });
    match &flags.check {
        None => print(wanted),
        Some(file) => check(file, &wanted)?,
    }
    Ok(())
}

fn check(file: &Path, wanted: &str) -> Result<(), u8> {
    let name = file.display();
    let wrong = |error: &dyn Display| complain(WRONG_USE, format!("{name}: {error}"));
    let found = std::fs::read_to_string(file)
        .map_err(|error| wrong(&format!("cannot be read ({error})")))?;
    let differences = grafana::compare(wanted, &found).map_err(|error| {
        wrong(&format!(
            "{error}; write one with `tributary grafana datasources`"
        ))
    })?;
    if differences.is_empty() {
        print(format!("{name}: up to date\n"));
        return Ok(());
    }
    for difference in &differences {
        print(format!("{name}: {difference}\n"));
    }
    Err(FAILED)
}
