//! Data sources in, the YAML of a provisioning file out.
//!
//! Every text that comes from outside is quoted for YAML, and its `$` is doubled: Grafana replaces `$NAME` and
//! `${NAME}` in every value by its environment.

use std::fmt::Write as _;
use std::time::Duration;

use super::DataSource;

/// Variable of Grafana's environment that holds the password of [`super::Settings::user`].
pub(super) const PASSWORD: &str = "TRIBUTARY_PASSWORD";

const HEAD: &str = "\
# Data sources of Grafana, written by `tributary grafana datasources`; write it again when clusters come or go.
# `tributary grafana datasources --check FILE` tells whether a file is up to date.
apiVersion: 1
# What this file no longer lists leaves Grafana, from 11.1 on.
prune: true
datasources:
";

/// The whole file.
pub(super) fn file(sources: &[DataSource]) -> String {
    let mut text = HEAD.to_owned();
    for source in sources {
        entry(&mut text, source).expect("writing to a String cannot fail");
    }
    text
}

fn entry(text: &mut String, source: &DataSource) -> std::fmt::Result {
    writeln!(text, "  - name: {}", quoted(&source.name))?;
    writeln!(text, "    uid: {}", quoted(&source.uid))?;
    writeln!(text, "    type: prometheus")?;
    writeln!(text, "    access: proxy")?;
    writeln!(text, "    url: {}", quoted(&source.url))?;
    writeln!(text, "    isDefault: {}", source.is_default)?;
    writeln!(text, "    editable: false")?;
    if let Some(user) = &source.user {
        writeln!(text, "    basicAuth: true")?;
        writeln!(text, "    basicAuthUser: {}", quoted(user))?;
        writeln!(text, "    secureJsonData:")?;
        writeln!(text, "      basicAuthPassword: \"${PASSWORD}\"")?;
    }
    writeln!(text, "    jsonData:")?;
    writeln!(text, "      httpMethod: POST")?;
    writeln!(text, "      prometheusType: Prometheus")?;
    let interval = duration(source.scrape_interval);
    writeln!(text, "      timeInterval: {interval}")?;
    writeln!(text, "      manageAlerts: false")?;
    writeln!(text, "      allowAsRecordingRulesTarget: false")
}

/// A text in YAML's double quotes that Grafana reads back as it is.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '$' => quoted.push_str("$$"),
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                write!(quoted, "\\u{:04X}", u32::from(c)).expect("writing to a String cannot fail");
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// One number and one unit: Grafana reads `1m30s` as one minute.
fn duration(interval: Duration) -> String {
    let millis = interval.as_millis();
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let whole = units.iter().find(|(_, unit)| millis.is_multiple_of(*unit));
    let (name, unit) = whole.copied().unwrap_or(("ms", 1));
    format!("{}{name}", millis / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_what_grafana_needs() {
        let source = DataSource {
            name: "Cluster-1".to_owned(),
            uid: "tributary-cluster-1".to_owned(),
            url: "http://tributary:9095/clusters/cluster-1".to_owned(),
            user: Some("gra$fana".to_owned()),
            is_default: true,
            scrape_interval: Duration::from_secs(15),
        };
        let want = r#"  - name: "Cluster-1"
    uid: "tributary-cluster-1"
    type: prometheus
    access: proxy
    url: "http://tributary:9095/clusters/cluster-1"
    isDefault: true
    editable: false
    basicAuth: true
    basicAuthUser: "gra$$fana"
    secureJsonData:
      basicAuthPassword: "$TRIBUTARY_PASSWORD"
    jsonData:
      httpMethod: POST
      prometheusType: Prometheus
      timeInterval: 15s
      manageAlerts: false
      allowAsRecordingRulesTarget: false
"#;
        assert_eq!(file(&[source]), format!("{HEAD}{want}"));
    }

    #[test]
    fn texts_come_back_as_they_were() {
        fn check(text: &str, written: &str) {
            assert_eq!(quoted(text), written, "{text}");
            let read: String = serde_saphyr::from_str(written).expect(written);
            assert_eq!(read.replace("$$", "$"), text, "{written}");
        }
        check("plain", r#""plain""#);
        check("a: b # c", r#""a: b # c""#);
        check("$HOME ${X} $$", r#""$$HOME $${X} $$$$""#);
        check("\"'\\", r#""\"'\\""#);
        check("a\nb\t\u{85}\u{2028}", r#""a\u000Ab\u0009\u0085\u2028""#);
        check("öß 🦀", r#""öß 🦀""#);
    }

    #[test]
    fn a_duration_has_one_unit() {
        fn check(millis: u64, want: &str) {
            assert_eq!(duration(Duration::from_millis(millis)), want, "{millis}");
        }
        check(15_000, "15s");
        check(60_000, "1m");
        check(90_000, "90s");
        check(7_200_000, "2h");
        check(1_500, "1500ms");
        check(500, "500ms");
    }
}
