//! What is wrong with a cluster that was asked, and what to do about it: a sentence for each.

use super::{Finding, Server};
use crate::cluster::FetchError;
use crate::config::units::format_duration;
use crate::scrape::report::Dropped;
use crate::scrape::status::Success;
use crate::scrape::{ScrapeError, rules::LabelConflict};

/// A round that takes more of its timeout is close to failing.
const SHARE_MAX: f64 = 0.8;

/// A clock further ahead than this is wrong.
const AHEAD_MAX_MS: i64 = 2_000;

/// Everything worth saying of a cluster, the worst first.
pub(super) fn all(finding: &Finding, conflict: LabelConflict) -> Vec<String> {
    let mut said = Vec::new();
    match &finding.probe.result {
        Err(error) => said.push(format!("{error}; {}", remedy(error))),
        Ok(success) => {
            if finding.is_ourselves {
                said.push("this address is the Tributary that this file is for: its rounds would read its own answers; write the address of the cluster's Prometheus".to_owned());
            } else if !finding.probe.via.is_empty() {
                said.push("the server is a Tributary itself: its clusters come in under one name unless cluster_label_conflict is honor; name their Prometheus servers instead if you can".to_owned());
            }
            round(finding, success, &mut said);
            clashes(finding, conflict, &mut said);
            if let Some(server) = &finding.server {
                rights(server, &mut said);
            }
        }
    }
    said
}

fn round(finding: &Finding, success: &Success, said: &mut Vec<String>) {
    let report = &success.report;
    if report.kept == 0 {
        said.push(
            "no series matches; correct match, or see whether the server has data".to_owned(),
        );
    }
    let took = finding.probe.duration;
    if took > finding.timeout.mul_f64(SHARE_MAX) {
        said.push(format!(
            "the round takes {:.1}s of the {} that it may; raise scrape_timeout and scrape_interval, or select less with match",
            took.as_secs_f64(),
            format_duration(finding.timeout)
        ));
    }
    for reason in Dropped::ALL {
        let count = report.dropped(reason);
        // What rules drop is wanted.
        if count > 0 && reason != Dropped::Relabel {
            said.push(format!("{count} samples are dropped: {}", dropped(reason)));
        }
    }
    if let Some(error) = &report.first_bad_line {
        said.push(format!(
            "a line cannot be read: {error}; correct the exporter it comes from"
        ));
    }
    if let Some(newest) = success.newest_ms {
        clock(finding, success, newest, said);
    }
}

fn clock(finding: &Finding, success: &Success, newest_ms: i64, said: &mut Vec<String>) {
    let now = success
        .at
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let ahead_ms = newest_ms.saturating_sub(now_ms);
    let old_ms = i64::try_from(finding.interval.as_millis() * 3)
        .unwrap_or(i64::MAX)
        .max(180_000);
    if ahead_ms > AHEAD_MAX_MS {
        said.push(format!(
            "its newest sample is {:.1}s in the future; set the clocks of the server and of this machine by NTP",
            ahead_ms as f64 / 1e3
        ));
    } else if -ahead_ms > old_ms {
        said.push(format!(
            "its newest sample is {:.0}s old; see whether the server still scrapes, and the clocks of both machines",
            -ahead_ms as f64 / 1e3
        ));
    }
}

fn dropped(reason: Dropped) -> &'static str {
    match reason {
        Dropped::BadLine | Dropped::Quarantined => {
            "they stand in families with a line that cannot be read"
        }
        Dropped::Relabel => "a rule says so",
        Dropped::NoName => {
            "no metric name is left; see labelkeep and labeldrop in metric_relabel_configs"
        }
        Dropped::Duplicate => {
            "the same series stands in the answer before; drop fewer labels in metric_relabel_configs and replica_labels"
        }
        Dropped::Future => {
            "they are more than ten minutes ahead; set the clock of the server by NTP"
        }
        Dropped::Cluster => {
            "their cluster label belongs to another cluster; write cluster_label_conflict: rename"
        }
    }
}

fn clashes(finding: &Finding, conflict: LabelConflict, said: &mut Vec<String>) {
    for (name, series, value) in &finding.clashes {
        let what = if *name == finding.cluster_label {
            match conflict {
                LabelConflict::Rename => {
                    "it becomes exported_…; write cluster_label_conflict: honor to keep it, or override to lose it"
                }
                LabelConflict::Honor => {
                    "it is kept, so these series are not found under the cluster's name; write rename if that is not wanted"
                }
                LabelConflict::Override => {
                    "it is lost; write cluster_label_conflict: rename to keep it"
                }
            }
        } else {
            "it keeps its own value; take it out of labels and external_labels if that is not wanted"
        };
        said.push(format!(
            "{series} series have the label {name} already, such as {value:?}: {what}"
        ));
    }
}

/// What the server does not let us see of itself.
fn rights(server: &Server, said: &mut Vec<String>) {
    if let Err(error) = &server.external_labels {
        let remedy = "write them as external_labels";
        said.push(format!(
            "its external labels are unknown: {}; {remedy}",
            api(error, "/api/v1/status/config")
        ));
    }
    if let Err(error) = &server.metadata {
        let remedy = "without it metrics have no type and no HELP";
        said.push(format!(
            "no metadata: {}; {remedy}",
            api(error, "/api/v1/metadata")
        ));
    }
}

fn api(error: &FetchError, path: &str) -> String {
    match error {
        FetchError::Status {
            status: status @ (401 | 403),
            ..
        } => {
            format!("the server answers {status} to {path}: allow these credentials to read it")
        }
        FetchError::Status { status: 404, .. } => format!("the server has no {path}"),
        other => format!("{path}: {other}"),
    }
}

/// What to do about a round that failed.
fn remedy(error: &ScrapeError) -> &'static str {
    if let ScrapeError::Fetch(FetchError::Status { status, .. }) = error {
        return status_remedy(*status);
    }
    match error.reason() {
        "file" => "create the file, or correct its path",
        "dns" => "correct the host in url",
        "connect" => "see whether the server runs there and no firewall is between",
        "tls" => {
            "name the server's authority as tls_config.ca_file, and see whether url should begin with http://"
        }
        "timeout" => "see whether the server is overloaded",
        "content_type" => {
            "this may be a login page or the page of a proxy: correct url, its base path and metrics_path, or the credentials"
        }
        "encoding" => "write compression: identity",
        "cut" => {
            "see whether the server or a proxy before it closes early, and whether url should begin with https://"
        }
        "bad_line" => "correct the exporter it comes from, or write on_bad_line: quarantine",
        "series_limit" => "raise series_limit, or select less with match",
        "label_limit" => "raise the limit, or drop the label by metric_relabel_configs",
        "too_large" => "see body_size_limit and match",
        "internal" => "try again; if it stays, report it",
        _ => "correct the configuration",
    }
}

fn status_remedy(status: u16) -> &'static str {
    match status {
        400 | 422 => "the server refuses the selectors: correct match",
        401 => "write authorization or basic_auth, or correct the secret in its file",
        403 => "let these credentials read /federate",
        404 | 405 => "correct the base path in url, or metrics_path",
        429 => "ask less often, or raise the limit of the proxy before the server",
        503 => "the server may be starting; try again",
        _ => "look into the log of the server or of the proxy before it",
    }
}
