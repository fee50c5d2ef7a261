//! The prepared text of a series: its name and labels in, the line up to the value out, as Prometheus' `/federate`
//! writes it. <https://github.com/prometheus/prometheus/blob/main/web/federate.go>

use std::borrow::Cow;

/// The external labels of every simulated server, as the Prometheus operator sets them.
pub(crate) const EXTERNAL_LABELS: [(&str, &str); 2] = [
    ("prometheus", "monitoring/k8s"),
    ("prometheus_replica", "prometheus-k8s-0"),
];

/// Name and value of one label of a series.
pub(super) type Pair<'a> = (&'static str, Cow<'a, str>);

/// `name{labels} ` with a blank at the end: labels sorted by name, then the external ones, among them `instance=""`
/// where the series has none. Empty labels are left out.
pub(super) fn line_start(name: &str, labels: &mut Vec<Pair<'_>>) -> Vec<u8> {
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort_unstable_by_key(|(name, _)| *name);
    let mut out = Vec::with_capacity(320);
    out.extend_from_slice(name.as_bytes());
    let mut lead = b'{';
    let mut push = |out: &mut Vec<u8>, name: &str, value: &str| {
        out.push(std::mem::replace(&mut lead, b','));
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"=\"");
        escape(out, value);
        out.push(b'"');
    };
    for (name, value) in labels.iter() {
        push(&mut out, name, value);
    }
    if !labels.iter().any(|(name, _)| *name == "instance") {
        push(&mut out, "instance", "");
    }
    for (name, value) in EXTERNAL_LABELS {
        push(&mut out, name, value);
    }
    out.extend_from_slice(b"} ");
    out
}

/// Escapes a label value: backslash, quote and newline.
fn escape(out: &mut Vec<u8>, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_external_ones_appended() {
        fn check(labels: &[(&'static str, &str)], want: &str) {
            let mut labels = labels
                .iter()
                .map(|&(name, value)| (name, value.into()))
                .collect();
            let text = line_start("x", &mut labels);
            let end = r#"prometheus="monitoring/k8s",prometheus_replica="prometheus-k8s-0"} "#;
            assert_eq!(String::from_utf8(text).unwrap(), format!("x{{{want},{end}"));
        }
        check(&[], r#"instance="""#);
        check(
            &[("pod", "p"), ("instance", "i")],
            r#"instance="i",pod="p""#,
        );
        check(
            &[("pod", "p"), ("zone", "z"), ("a", "")],
            r#"pod="p",zone="z",instance="""#,
        );
        check(
            &[("path", "C:\\a \"b\"\n")],
            r#"path="C:\\a \"b\"\n",instance="""#,
        );
    }
}
