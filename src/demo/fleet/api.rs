//! The JSON answers of a simulated Prometheus beside `/federate`: families in, text out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::demo::fleet::family::Family;
use crate::demo::fleet::text::EXTERNAL_LABELS;

/// The version of Prometheus that is simulated.
pub(crate) const VERSION: &str = "3.5.0";

/// `/api/v1/metadata`: type, help and unit of every family, under the name without a histogram's suffixes.
pub(super) fn metadata(families: &[Family]) -> String {
    let known = families.iter().filter(|family| !family.kind.is_empty());
    let data: BTreeMap<&str, _> = known
        .map(|family| {
            (
                family.base(),
                json!([{"type": family.kind, "help": family.help, "unit": ""}]),
            )
        })
        .collect();
    json!({"status": "success", "data": data}).to_string()
}

/// `/api/v1/status/config`: the server's config as YAML text, as much of it as tells who the server is.
pub(super) fn config(interval: Duration) -> String {
    let mut yaml = String::from("global:\n");
    let timeout = interval.min(Duration::from_secs(10));
    for (key, duration) in [("scrape_interval", interval), ("scrape_timeout", timeout)] {
        // Writing to a String cannot fail.
        let _ = writeln!(yaml, "  {key}: {}", prometheus_duration(duration));
    }
    yaml.push_str("  scrape_protocols:\n  - OpenMetricsText1.0.0\n  - OpenMetricsText0.0.1\n  - PrometheusText0.0.4\n");
    yaml.push_str("  evaluation_interval: 30s\n  external_labels:\n");
    for (name, value) in EXTERNAL_LABELS {
        let _ = writeln!(yaml, "    {name}: {value}");
    }
    yaml.push_str("scrape_configs:\n- job_name: kubelet\n  honor_timestamps: true\n");
    json!({"status": "success", "data": {"yaml": yaml}}).to_string()
}

/// `/api/v1/status/buildinfo`.
pub(crate) fn build_info() -> String {
    let data = json!({
        "version": VERSION, "revision": "simulated", "branch": "HEAD",
        "buildUser": "", "buildDate": "", "goVersion": "go1.24.5",
    });
    json!({"status": "success", "data": data}).to_string()
}

/// A duration as Prometheus writes it: whole seconds where they are whole.
fn prometheus_duration(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn config_holds_yaml_with_the_external_labels() {
        let answer: Value = serde_json::from_str(&config(Duration::from_millis(1500))).unwrap();
        let yaml = answer["data"]["yaml"].as_str().unwrap();
        assert!(yaml.contains("  scrape_interval: 1500ms\n"));
        assert!(yaml.contains("  external_labels:\n    prometheus: monitoring/k8s\n    prometheus_replica: prometheus-k8s-0\n"));
    }

    #[test]
    fn metadata_names_histograms_by_their_base() {
        use crate::demo::fleet::family::{Form, Pace};
        let mut families = Family::histogram(
            "a_seconds",
            "How long.",
            Form::App,
            &[],
            &["+Inf"],
            (1.0, 2.0),
        )
        .to_vec();
        families.push(Family::new("a:rule", "", "", Form::Rule, Pace::One));
        let answer: Value = serde_json::from_str(&metadata(&families)).unwrap();
        assert_eq!(
            answer["data"],
            json!({"a_seconds": [{"type": "histogram", "help": "How long.", "unit": ""}]})
        );
    }

    #[test]
    fn build_info_names_a_version_and_no_features() {
        let answer: Value = serde_json::from_str(&build_info()).unwrap();
        assert_eq!(answer["data"]["version"], VERSION);
        assert!(answer["data"].get("features").is_none());
    }
}
