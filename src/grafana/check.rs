//! A provisioning file on disk against the one that should be there: both texts in, one sentence for each difference
//! out. Comments, quotes and the order of entries and keys do not count; Grafana sees none of them.

use std::collections::HashSet;

use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// The key whose values are passwords and tokens.
const SECRETS: &str = "secureJsonData";

/// Why a text is no provisioning file of data sources.
#[derive(Debug, thiserror::Error)]
pub enum NoProvisioning {
    /// It cannot be parsed.
    #[error("is not YAML: {0}")]
    Yaml(#[source] Box<serde_saphyr::Error>),
    /// It is YAML of something else.
    #[error("is no provisioning file of Grafana's data sources: {0}")]
    Shape(String),
}

/// What is different in `found`, in the order of `wanted`, then what else stands there. Empty when both mean the same.
pub fn compare(wanted: &str, found: &str) -> Result<Vec<String>, NoProvisioning> {
    let (wanted, found) = (File::parse(wanted)?, File::parse(found)?);
    let mut differences = Vec::new();
    differ(&mut differences, "", &wanted.head, &found.head);
    let mut seen = HashSet::new();
    for (name, entry) in &wanted.sources {
        match found.like(name, entry) {
            None => differences.push(format!("{name}: is missing")),
            Some(at) => {
                seen.insert(at);
                differ(
                    &mut differences,
                    &format!("{name}: "),
                    entry,
                    &found.sources[at].1,
                );
            }
        }
    }
    for (at, (name, _)) in found.sources.iter().enumerate() {
        if seen.contains(&at) {
            continue;
        }
        differences.push(if wanted.sources.iter().any(|(other, _)| other == name) {
            format!("{name}: stands there more than once")
        } else {
            format!("{name}: belongs to no cluster of this configuration")
        });
    }
    Ok(differences)
}

/// What a file says.
struct File {
    /// Everything beside the data sources.
    head: Object,
    /// Name and all keys of each, in the order of the file.
    sources: Vec<(String, Object)>,
}

impl File {
    fn parse(text: &str) -> Result<Self, NoProvisioning> {
        let shape = |text: &str| NoProvisioning::Shape(text.to_owned());
        let options = serde_saphyr::options! { with_snippet: false };
        let value = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| NoProvisioning::Yaml(Box::new(error)))?;
        let Value::Object(mut head) = value else {
            return Err(shape("it holds no keys"));
        };
        if head.get("apiVersion").and_then(Value::as_u64) != Some(1) {
            return Err(shape("it has no `apiVersion: 1`"));
        }
        let Some(Value::Array(list)) = head.remove("datasources") else {
            return Err(shape("it has no list of `datasources`"));
        };
        let sources = list.into_iter().enumerate().map(named);
        let sources = sources.collect::<Result<_, _>>()?;
        Ok(Self { head, sources })
    }

    /// Place of the data source of this name, else of the one that was renamed.
    fn like(&self, name: &str, entry: &Object) -> Option<usize> {
        let by_name = self.sources.iter().position(|(other, _)| other == name);
        by_name.or_else(|| {
            let uid = entry.get("uid");
            self.sources
                .iter()
                .position(|(_, other)| other.get("uid") == uid)
        })
    }
}

fn named((at, entry): (usize, Value)) -> Result<(String, Object), NoProvisioning> {
    let entry = match entry {
        Value::Object(entry) => entry,
        _ => Object::new(),
    };
    match entry.get("name").and_then(Value::as_str) {
        Some(name) => Ok((name.to_owned(), entry)),
        None => Err(NoProvisioning::Shape(format!(
            "entry {} of `datasources` has no name",
            at + 1
        ))),
    }
}

/// Adds what differs between two objects, key by key; `place` stands before the key.
fn differ(differences: &mut Vec<String>, place: &str, wanted: &Object, found: &Object) {
    for (key, value) in wanted {
        match (value, found.get(key)) {
            (Value::Object(inner), Some(Value::Object(other))) => {
                differ(differences, &format!("{place}{key}."), inner, other);
            }
            (_, Some(other)) if other == value => {}
            (_, other) => {
                let key = format!("{place}{key}");
                differences.push(match other.map(|other| shown(&key, other)) {
                    None => format!("{key} is missing, it should be {}", shown(&key, value)),
                    Some(other) => format!("{key} is {other}, it should be {}", shown(&key, value)),
                });
            }
        }
    }
    for (key, value) in found {
        if !wanted.contains_key(key) {
            let key = format!("{place}{key}");
            let value = shown(&key, value);
            differences.push(format!("{key} is {value}, it should not be there"));
        }
    }
}

/// A value as JSON; a secret that somebody wrote into the file is not repeated.
fn shown(key: &str, value: &Value) -> String {
    match value {
        Value::Object(_) => "{…}".to_owned(),
        Value::Array(_) => "[…]".to_owned(),
        Value::String(text) if key.contains(SECRETS) && !text.starts_with('$') => {
            "<secret>".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &str = "\
apiVersion: 1
prune: true
datasources:
  - name: A
    uid: a
    url: \"http://t/clusters/a\"
    secureJsonData: {basicAuthPassword: $TRIBUTARY_PASSWORD}
    jsonData: {timeInterval: 15s, manageAlerts: false}
  - name: B
    uid: b
    url: http://t/clusters/b
";

    fn check(edit: impl Fn(String) -> String, want: &[&str]) {
        let found = edit(WANTED.to_owned());
        assert_eq!(compare(WANTED, &found).expect(&found), want, "{found}");
    }

    #[test]
    fn what_grafana_does_not_see_does_not_count() {
        check(|text| text, &[]);
        check(|text| format!("# hello\n{text}"), &[]);
        check(|text| text.replace("15s", "'15s'"), &[]);
        let (head, rest) = WANTED.split_once("  - name: A").expect("A");
        let (a, b) = rest.split_once("  - name: B").expect("B");
        check(|_| format!("{head}  - name: B{b}  - name: A{a}"), &[]);
    }

    #[test]
    fn every_difference_is_named() {
        check(
            |text| text.replace("15s", "30s"),
            &[r#"A: jsonData.timeInterval is "30s", it should be "15s""#],
        );
        check(
            |text| text.replace(", manageAlerts: false", ""),
            &["A: jsonData.manageAlerts is missing, it should be false"],
        );
        check(
            |text| text.replace("uid: b", "uid: b\n    orgId: 2"),
            &["B: orgId is 2, it should not be there"],
        );
        check(
            |text| {
                text.replace(
                    "    jsonData: {timeInterval: 15s, manageAlerts: false}\n",
                    "",
                )
            },
            &["A: jsonData is missing, it should be {…}"],
        );
        check(
            |text| text.replace("prune: true", "prune: false"),
            &["prune is false, it should be true"],
        );
        check(
            |text| text.replace("name: B", "name: b"),
            &[r#"B: name is "b", it should be "B""#],
        );
        check(
            |text| {
                text.replace("name: B", "name: C")
                    .replace("uid: b", "uid: c")
            },
            &[
                "B: is missing",
                "C: belongs to no cluster of this configuration",
            ],
        );
        check(
            |text| format!("{text}  - name: A\n"),
            &["A: stands there more than once"],
        );
    }

    #[test]
    fn a_password_in_the_file_is_not_repeated() {
        check(
            |text| text.replace("$TRIBUTARY_PASSWORD", "hunter2"),
            &[
                r#"A: secureJsonData.basicAuthPassword is <secret>, it should be "$TRIBUTARY_PASSWORD""#,
            ],
        );
        check(
            |text| text.replace("uid: b", "uid: b\n    secureJsonData: {x: hunter2}"),
            &["B: secureJsonData is {…}, it should not be there"],
        );
    }

    #[test]
    fn what_is_no_provisioning_file_is_refused() {
        fn refused(text: &str, want: &str) {
            let error = compare(WANTED, text).expect_err(text).to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
        refused("", "");
        refused("a: [", "is not YAML");
        refused(
            "apiVersion: 1\napiVersion: 1\ndatasources: []\n",
            "is not YAML",
        );
        refused("- a", "it holds no keys");
        refused("global: {}\n", "no `apiVersion: 1`");
        refused("apiVersion: 2\ndatasources: []\n", "no `apiVersion: 1`");
        refused("apiVersion: 1\nproviders: []\n", "no list of `datasources`");
        refused(
            "apiVersion: 1\ndatasources: [{uid: a}]\n",
            "entry 1 of `datasources` has no name",
        );
        refused("apiVersion: 1\ndatasources: [x]\n", "entry 1");
    }
}
