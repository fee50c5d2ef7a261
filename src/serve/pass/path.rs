//! What a path under `/clusters/` asks for: decoded once, taken apart, compared with the list of what may pass.
//!
//! A segment that would be read otherwise by the next server, or by a proxy before it, is refused as it stands:
//! what passes is written anew, every byte beyond letters, digits and `-._~` escaped.

use std::fmt::Write as _;

/// A path that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// The cluster's name, as it was asked for.
    pub(super) cluster: String,
    /// What of it.
    pub(super) place: Place,
}

/// What may be asked of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Its series as we keep them.
    Federate,
    /// Its query API.
    Api {
        /// The path behind the cluster's URL, escaped anew.
        path: String,
        /// Whether a form may be posted to it.
        form: bool,
    },
    /// Nothing that passes.
    Nowhere,
}

/// A path that may mean two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unclean {
    /// `//`, or a slash at the end.
    #[error("has an empty segment: write no slash twice or at the end")]
    Empty,
    /// `.` or `..`.
    #[error("has a segment of dots: write the path that you mean")]
    Dots,
    /// `%2f`, `%5c` or a backslash.
    #[error("has a slash or backslash inside a segment: label names with one are written as U__…")]
    Separator,
    /// `%00` and the like.
    #[error("holds a control character")]
    Control,
    /// `%25`: somebody may decode it once more.
    #[error("holds an escaped percent sign: escape once only")]
    Twice,
    /// A percent sign without two digits behind it.
    #[error("holds a percent sign that escapes nothing")]
    Escape,
    /// Bytes that are no text.
    #[error("is not UTF-8")]
    Text,
}

/// Reads what stands behind `/clusters/`.
pub(super) fn read(path: &str) -> Result<Path, Unclean> {
    let mut segments = path
        .split('/')
        .map(segment)
        .collect::<Result<Vec<_>, _>>()?;
    let cluster = segments.remove(0);
    let names: Vec<&str> = segments.iter().map(String::as_str).collect();
    let place = match names[..] {
        ["federate"] => Place::Federate,
        ["api", "v1", ref endpoint @ ..] => api(endpoint),
        _ => Place::Nowhere,
    };
    Ok(Path { cluster, place })
}

/// The endpoints that pass: those that read series, and what is said of targets, rules and the server itself. Not among
/// them: `status/config` and `status/flags`, which tell of the machine and not of its series; `admin`, `write`, `read`,
/// and whatever a later server adds.
fn api(endpoint: &[&str]) -> Place {
    let form = match endpoint {
        [
            "query" | "query_range" | "query_exemplars" | "series" | "labels" | "format_query"
            | "parse_query",
        ] => true,
        ["metadata" | "rules" | "alerts" | "targets"]
        | ["targets", "metadata"]
        | ["label", _, "values"]
        | ["status", "buildinfo" | "runtimeinfo" | "tsdb"] => false,
        _ => return Place::Nowhere,
    };
    let mut path = String::from("/api/v1");
    for segment in endpoint {
        path.push('/');
        escape(segment, &mut path);
    }
    Place::Api { path, form }
}

/// Decodes one segment.
fn segment(raw: &str) -> Result<String, Unclean> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || (rest.next()? as char).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(Unclean::Escape);
        };
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| Unclean::Escape)?);
    }
    let text = String::from_utf8(bytes).map_err(|_| Unclean::Text)?;
    match text.as_str() {
        "" => Err(Unclean::Empty),
        "." | ".." => Err(Unclean::Dots),
        text if text.contains(['/', '\\']) => Err(Unclean::Separator),
        text if text.contains('%') => Err(Unclean::Twice),
        text if text.contains(char::is_control) => Err(Unclean::Control),
        _ => Ok(text),
    }
}

/// Writes a segment so that nobody can read it otherwise.
pub(in crate::serve) fn escape(segment: &str, out: &mut String) {
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_what_passes() {
        let check = |path: &str, want: Option<(&str, bool)>| {
            let got = read(&format!("c/api/v1/{path}")).unwrap();
            let want = want.map_or(Place::Nowhere, |(path, form)| Place::Api {
                path: format!("/api/v1/{path}"),
                form,
            });
            assert_eq!(
                got,
                Path {
                    cluster: "c".into(),
                    place: want
                },
                "{path}"
            );
        };
        for path in [
            "query",
            "query_range",
            "query_exemplars",
            "series",
            "labels",
            "format_query",
            "parse_query",
        ] {
            check(path, Some((path, true)));
        }
        for path in [
            "metadata",
            "rules",
            "alerts",
            "targets",
            "targets/metadata",
            "label/__name__/values",
            "label/U__a_2e_b/values",
            "status/buildinfo",
            "status/runtimeinfo",
            "status/tsdb",
        ] {
            check(path, Some((path, false)));
        }
        check("label/a.b/values", Some(("label/a.b/values", false)));
        check("%71uery", Some(("query", true)));
        check(
            "label/h%C3%B6he/values",
            Some(("label/h%C3%B6he/values", false)),
        );
        check("label/a b/values", Some(("label/a%20b/values", false)));
        check("label/a%3Fb/values", Some(("label/a%3Fb/values", false)));
        for path in [
            "status/config",
            "status/flags",
            "status/walreplay",
            "status/tsdb/x",
            "admin/tsdb/delete_series",
            "admin/tsdb/snapshot",
            "admin/tsdb/clean_tombstones",
            "write",
            "read",
            "otlp/v1/metrics",
            "alertmanagers",
            "Query",
            "query;x",
            "query.",
            "label/values",
            "label/a/b/values",
            "label/a/value",
        ] {
            check(path, None);
        }
    }

    #[test]
    fn the_federated_page_is_a_place_and_others_are_none() {
        let check = |path: &str, want: Place| assert_eq!(read(path).unwrap().place, want, "{path}");
        check("c/federate", Place::Federate);
        check("c/%66ederate", Place::Federate);
        for path in [
            "c",
            "c/-/quit",
            "c/-/reload",
            "c/metrics",
            "c/federate/x",
            "c/api",
            "c/api/v1",
            "c/api/v2/query",
            "api/v1/query",
            "c/graph",
        ] {
            check(path, Place::Nowhere);
        }
        assert_eq!(read("cluster%2D1/federate").unwrap().cluster, "cluster-1");
    }

    #[test]
    fn what_may_mean_two_things_is_refused() {
        let check = |path: &str, want: Unclean| assert_eq!(read(path), Err(want), "{path}");
        for path in [
            "",
            "/",
            "c/",
            "c//federate",
            "/federate",
            "c/api/v1//query",
            "c/api/v1/query/",
            "c/api/v1/label//values",
        ] {
            check(path, Unclean::Empty);
        }
        for path in [
            "..",
            "c/..",
            "c/../d/federate",
            "c/api/v1/../../-/quit",
            "c/api/v1/label/../values",
            "c/./federate",
            "c/%2e%2e/federate",
            "c/%2E%2e/federate",
            "c/.%2e/federate",
            "c/%2e/federate",
        ] {
            check(path, Unclean::Dots);
        }
        for path in [
            "c/api%2fv1/query",
            "c/api%2Fv1/query",
            "c%2Ffederate",
            "c/api/v1/label/a%2fb/values",
            "c/api/v1/label/..%2f..%2fadmin/values",
            "c/api%5cv1",
            "c/api%5Cv1/query",
            "c\\federate",
            "c/..\\..\\-\\quit",
        ] {
            check(path, Unclean::Separator);
        }
        for path in [
            "c/federate%00",
            "c/api/v1/query%0a",
            "c/api/v1/query%0D%0Ax: y",
            "c/%7f",
            "c/api/v1/label/%C2%85/values",
        ] {
            check(path, Unclean::Control);
        }
        for path in [
            "c/%252e%252e/federate",
            "c/api%252fv1/query",
            "c/api/v1/label/a%25b/values",
        ] {
            check(path, Unclean::Twice);
        }
        for path in [
            "c/%",
            "c/%2",
            "c/%zz/federate",
            "c/%u002e",
            "c/%+2/federate",
        ] {
            check(path, Unclean::Escape);
        }
        for path in ["c/%ff", "c/%c0%ae%c0%ae/federate", "c/%C0%AF"] {
            check(path, Unclean::Text);
        }
    }

    proptest::proptest! {
        /// What passes is an endpoint of the list below `/api/v1`, whoever reads it, and however often it is decoded.
        #[test]
        fn no_path_leads_elsewhere(tail in "([a-z_]{1,6}|/|%2[0-9a-fA-F]|%5[cC]|%[0-9a-f]{1,2}|[.%;\\\\?#é-]|query|label|values|status|\\.\\.){0,8}") {
            for (front, back) in [("c/api/v1/", ""), ("c/api/v1/label/", "/values"), ("", "")] {
                let Ok(Path { place: Place::Api { path, .. }, .. }) = read(&format!("{front}{tail}{back}")) else {
                    continue;
                };
                proptest::prop_assert!(path.starts_with("/api/v1/"));
                let url = reqwest::Url::parse(&format!("http://h{path}")).unwrap();
                proptest::prop_assert_eq!(url.path(), &path, "no reader shortens it");
                proptest::prop_assert!(url.query().is_none() && url.fragment().is_none());
                for refused in ["//", "/../", "/./", "%2F", "%5C", "%25", "%00", "\\"] {
                    proptest::prop_assert!(!path.contains(refused), "{}", path);
                }
                let rest: Vec<_> = path["/api/v1/".len()..].split('/').collect();
                proptest::prop_assert!(!matches!(api(&rest), Place::Nowhere));
            }
        }
    }
}
