//! Findings in, the table and the sentences below it out.

use std::fmt::Write as _;

use super::{Finding, advice};
use crate::config::Config;

/// Columns, all but the last padded to the widest cell.
const HEADINGS: [&str; 8] = [
    "CLUSTER",
    "STATE",
    "VERSION",
    "SERIES",
    "WIRE",
    "DECODED",
    "SECONDS",
    "EXTERNAL LABELS",
];

/// Longest version that is shown; servers choose it.
const VERSION_CHARS_MAX: usize = 40;
/// Longest list of labels that is shown.
const LABELS_CHARS_MAX: usize = 120;

/// The text for standard output: a table, a line for each thing to know, and a last line with the count.
pub fn report(config: &Config, findings: &[Finding]) -> String {
    let advice: Vec<_> = findings
        .iter()
        .map(|finding| said(config, finding))
        .collect();
    let rows: Vec<_> = findings
        .iter()
        .zip(&advice)
        .map(|(finding, said)| row(finding, !said.is_empty()))
        .collect();
    let mut text = table(&rows);
    for (finding, said) in findings.iter().zip(&advice) {
        for (index, sentence) in said.iter().enumerate() {
            let class = if index == 0 && finding.is_failed() {
                "error"
            } else {
                "warning"
            };
            line(
                &mut text,
                format_args!("{class}: cluster {}: {sentence}", finding.title()),
            );
        }
    }
    let failed = findings
        .iter()
        .filter(|finding| finding.is_failed())
        .count();
    let all = findings.len();
    match failed {
        0 => line(&mut text, format_args!("All {all} servers can be scraped.")),
        _ => line(
            &mut text,
            format_args!("{failed} of {all} servers cannot be scraped."),
        ),
    }
    text
}

fn said(config: &Config, finding: &Finding) -> Vec<String> {
    let cluster = config
        .clusters
        .iter()
        .find(|cluster| cluster.name == finding.name);
    let conflict = cluster.map(|cluster| cluster.cluster_label_conflict);
    advice::all(finding, conflict.unwrap_or_default())
}

fn row(finding: &Finding, is_worth_a_look: bool) -> [String; 8] {
    let nothing = || "-".to_owned();
    let server = finding.server.as_ref();
    let version = server.and_then(|server| server.version.as_ref().ok());
    let labels = server.and_then(|server| server.external_labels.as_ref().ok());
    let state = if finding.is_failed() {
        "failed"
    } else if is_worth_a_look {
        "warning"
    } else {
        "ok"
    };
    let success = finding.probe.result.as_ref().ok();
    let bytes = |bytes: Option<u64>| bytes.map_or_else(nothing, size);
    let seconds = (
        finding.probe.duration.as_secs_f64(),
        finding.timeout.as_secs_f64(),
    );
    [
        finding.title(),
        state.to_owned(),
        version.map_or_else(nothing, |version| plain(version, VERSION_CHARS_MAX)),
        success.map_or_else(nothing, |success| success.report.kept.to_string()),
        bytes(success.map(|success| success.wire.compressed)),
        bytes(success.map(|success| success.wire.decoded)),
        format!("{:.2} of {}", seconds.0, seconds.1),
        labels.map_or_else(nothing, |labels| list(labels)),
    ]
}

/// `prometheus="monitoring/k8s" region="eu"`.
fn list(labels: &[(String, String)]) -> String {
    if labels.is_empty() {
        return "none".to_owned();
    }
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, value)| format!("{}={value:?}", plain(name, 64)))
        .collect();
    let text = labels.join(" ");
    if text.chars().count() <= LABELS_CHARS_MAX {
        return text;
    }
    text.chars()
        .take(LABELS_CHARS_MAX)
        .chain("…".chars())
        .collect()
}

/// Text of a server on one line, without anything that a terminal would act on.
fn plain(text: &str, chars_max: usize) -> String {
    let shown: String = text
        .chars()
        .filter(|c| !c.is_control() && !c.is_whitespace())
        .take(chars_max)
        .collect();
    if shown.is_empty() {
        "-".to_owned()
    } else {
        shown
    }
}

/// `1.4MiB`.
fn size(bytes: u64) -> String {
    let mut number = bytes as f64;
    for unit in ["B", "KiB", "MiB"] {
        if number < 1024.0 {
            return if unit == "B" {
                format!("{bytes}B")
            } else {
                format!("{number:.1}{unit}")
            };
        }
        number /= 1024.0;
    }
    format!("{number:.1}GiB")
}

fn table(rows: &[[String; 8]]) -> String {
    let headings = HEADINGS.map(str::to_owned);
    let all = || std::iter::once(&headings).chain(rows);
    let width = |column: usize| {
        all()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..HEADINGS.len()).map(width).collect();
    let mut text = String::new();
    for row in all() {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        line(&mut text, format_args!("{}", cells.join("  ").trim_end()));
    }
    text
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    writeln!(text, "{words}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_their_headings() {
        let row = |name: &str| {
            std::array::from_fn(|column| {
                if column == 0 {
                    name.to_owned()
                } else {
                    "x".to_owned()
                }
            })
        };
        let text = table(&[row("a-long-name"), row("müller")]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let place = |line: &str| {
            line.char_indices()
                .position(|(at, _)| line[at..].starts_with("x "))
        };
        assert_eq!(place(lines[1]), place(lines[2]));
        assert_eq!(lines[0].find("STATE"), place(lines[1]));
        assert!(lines.iter().all(|line| !line.ends_with(' ')));
    }

    #[test]
    fn what_servers_say_cannot_draw() {
        assert_eq!(plain("2.42\u{1b}[2J\n x", 40), "2.42[2Jx");
        assert_eq!(plain(&"9".repeat(50), 40), "9".repeat(40));
        assert_eq!(
            list(&[("a".to_owned(), "b\u{1b}\"".to_owned())]),
            "a=\"b\\u{1b}\\\"\""
        );
        assert_eq!(list(&[]), "none");
        assert_eq!(
            (size(0), size(2048), size(3 << 20)),
            ("0B".to_owned(), "2.0KiB".to_owned(), "3.0MiB".to_owned())
        );
    }
}
