//! Secrets that stand in the input itself: found by the keys that Prometheus keeps secret, and hidden.

use super::super::tree::{Entry, Node, Value};

/// What stands where a secret stood, as Prometheus writes it.
const HIDDEN: &str = "<secret>";

/// Whether the value of a key is a secret of Prometheus, or a list of them. Those in files end in `_file`.
fn is_secret(key: &str) -> bool {
    const ENDINGS: [&str; 8] = [
        "password",
        "secret",
        "secrets",
        "token",
        "credentials",
        "secret_key",
        "consumer_key",
        "certificate_key",
    ];
    matches!(
        key,
        "key" | "private_key" | "api_key" | "connection_string" | "shared_access_key"
    ) || ENDINGS.iter().any(|ending| key.ends_with(ending))
}

/// The tree without its secrets; `None` when it has none.
pub(super) fn hidden(value: &Value) -> Option<Value> {
    let mut found = false;
    let value = hide(value, false, &mut found);
    found.then_some(value)
}

fn hide(value: &Value, is_secret_key: bool, found: &mut bool) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Text(_) if is_secret_key => {
            *found = true;
            Value::Text(HIDDEN.to_owned())
        }
        Value::Text(text) => match without_password(text) {
            Some(text) => {
                *found = true;
                Value::Text(text)
            }
            None => Value::Text(text.clone()),
        },
        Value::List(items) => Value::List(
            items
                .iter()
                .map(|item| Node {
                    line: item.line,
                    value: hide(&item.value, is_secret_key, found),
                })
                .collect(),
        ),
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|entry| Entry {
                    key: entry.key.clone(),
                    line: entry.line,
                    node: Node {
                        line: entry.node.line,
                        value: hide(&entry.node.value, secret_below(entry, is_secret_key), found),
                    },
                })
                .collect(),
        ),
    }
}

/// Whether what stands at a key is secret. A mapping is one only as a whole: `proxy_connect_header`, whose values are.
fn secret_below(entry: &Entry, is_secret_key: bool) -> bool {
    let whole = entry.key == "proxy_connect_header";
    let leaf = is_secret(&entry.key) && !matches!(entry.node.value, Value::Map(_));
    is_secret_key || whole || leaf
}

/// The URL in a text without the password in it; `None` when there is none.
pub(super) fn without_password(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (user, host) = rest[..end].rsplit_once('@')?;
    let user = user.split_once(':').map_or(user, |(user, _)| user);
    Some(format!("{scheme}://{user}:xxxxx@{host}{}", &rest[end..]))
}

/// A URL without user and password; `None` when it has none.
pub(super) fn without_login(text: &str) -> Option<String> {
    let shown = without_password(text)?;
    let (scheme, rest) = shown.split_once("://")?;
    let (_, rest) = rest.split_once(":xxxxx@")?;
    Some(format!("{scheme}://{rest}"))
}

#[cfg(test)]
mod tests {
    use super::super::{tree, yaml};
    use super::*;

    #[test]
    fn every_kind_of_secret_is_hidden() {
        let text = "\
a: {basic_auth: {username: u, password: PLANTED}}
b: {authorization: {credentials: PLANTED}, bearer_token: PLANTED, password_file: p}
c: {oauth2: {client_id: i, client_secret: PLANTED, tls_config: {key: PLANTED, key_file: k}}}
d: {http_headers: {X-Key: {secrets: [PLANTED, PLANTED], values: [v]}}}
e: {proxy_connect_header: {X: [PLANTED]}, proxy_url: 'http://u:PLANTED@proxy:1/x'}
f: [{secret_key: PLANTED, access_key: a}, {token: PLANTED}]
";
        let root = tree::parse(text).expect("it is YAML");
        let shown = yaml::document(&hidden(&root.value).expect("there are secrets"));
        assert!(!shown.contains("PLANTED"), "{shown}");
        for kept in [
            "username: u",
            "password_file: p",
            "client_id: i",
            "key_file: k",
            "- v",
            "http://u:xxxxx@proxy:1/x",
        ] {
            assert!(shown.contains(kept), "no {kept} in {shown}");
        }
    }

    #[test]
    fn without_secrets_nothing_changes() {
        let root = tree::parse("a: {password_file: p, url: 'http://h/@x', targets: ['a@b']}")
            .expect("it is YAML");
        assert_eq!(hidden(&root.value), None);
    }
}
