//! Planted secrets: whatever goes wrong, no log line, page, metric, error or report shows one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use super::access::{Authority, authority};
use super::program::Program;
use super::proxy::wait;
use super::upstream::{Reply, Request, Upstream};

/// What stands in the files, by name. Each is found by its middle, however it is cut or coded.
const PLANTED: [(&str, &str); 6] = [
    ("token", "planted-token-5f1c"),
    ("password", "planted-password-8d2e"),
    ("header", "planted-header-77ab"),
    ("client", "planted-client-c03d"),
    ("proxy", "planted-proxy-19fe"),
    ("odd", "planted-odd\nsecond-line-4b6a"),
];
/// The token that the token server gives.
const GRANTED: &str = "granted-token-e2d9";
/// `printf user:planted-password-8d2e | base64`, without its end.
const BASIC: &str = "dXNlcjpwbGFudGVkLXBhc3N3b3JkLThkMm";
/// `printf id:planted-client-c03d | base64`, without its end.
const CLIENT: &str = "aWQ6cGxhbnRlZC1jbGllbnQtYzAzZ";

/// All that was sent, sent back.
fn echo(request: &Request) -> String {
    let names = ["authorization", "x-key", "proxy-authorization"];
    let sent = names.map(|name| request.header(name).unwrap_or_default());
    format!("{} {} {request:?}", sent.join(" "), request.body).replace('"', "'")
}

/// A server that tells everything it was sent, in an error page, a status line's reason, or a redirect.
fn telltale() -> Upstream {
    let upstream = Upstream::with(|request| {
        let auth = request.header("authorization").unwrap_or_default();
        let key = request.header("x-key").unwrap_or_default();
        match request.path.as_str() {
            "/redirect/federate" => {
                let location = format!("Location: http://elsewhere/?auth={auth}&key={key}");
                Reply::full("302 Found", &[&*location], "")
            }
            "/type/federate" => {
                let kind = format!("Content-Type: {auth}; {key}");
                Reply::full("200 OK", &[&*kind], "x")
            }
            "/coding/federate" => {
                let coding = format!("Content-Encoding: {auth}{key}");
                Reply::full(
                    "200 OK",
                    &["Content-Type: text/plain", &*coding],
                    "probe 1\n",
                )
            }
            "/line/federate" => Reply::text(format!("probe {auth} {key}\n{key}{{ 1\nwell 1\n")),
            _ => Reply::full("500 Internal Server Error", &[], echo(request)),
        }
    });
    upstream.api(|request| {
        let well = request.path == "/token" && request.query.is_empty();
        let body = if well {
            format!("{{\"access_token\":\"{GRANTED}\",\"expires_in\":2}}")
        } else {
            format!("{{\"error\":\"{}\"}}", echo(request))
        };
        let status = if well { "200 OK" } else { "400 Bad Request" };
        Reply::full(status, &[], body)
    });
    upstream
}

/// A cluster for every way to be entered and every way to fail.
fn yaml(url: &str) -> String {
    let header = "http_headers: {X-Key: {files: [header]}}";
    let ways = [
        (
            "token",
            format!("authorization: {{credentials_file: token}}, {header}"),
        ),
        ("odd", "authorization: {credentials_file: odd}".to_owned()),
        (
            "basic",
            format!("basic_auth: {{username: user, password_file: password}}, {header}"),
        ),
        (
            "oauth2",
            format!(
                "oauth2: {{client_id: id, client_secret_file: client, token_url: '{url}/token'}}, {header}"
            ),
        ),
        (
            "refused",
            format!(
                "oauth2: {{client_id: id, client_secret_file: client, token_url: '{url}/token?no'}}"
            ),
        ),
        (
            "proxied",
            format!(
                "proxy_url: '{url}', proxy_connect_header: {{Proxy-Authorization: {{files: [proxy]}}}}"
            ),
        ),
        (
            "tls",
            "tls_config: {cert_file: own.pem, key_file: own.key}".to_owned(),
        ),
        (
            "key",
            "tls_config: {cert_file: own.pem, key_file: other.key}".to_owned(),
        ),
        (
            "broken",
            "tls_config: {cert_file: own.pem, key_file: broken.key}".to_owned(),
        ),
    ];
    let mut yaml =
        "global: {scrape_interval: 300ms, allow_plaintext_credentials: true}\nclusters:\n"
            .to_owned();
    for (way, keys) in &ways {
        let secure = url.replace("http:", "https:");
        for path in ["error", "redirect", "type", "coding", "line"] {
            let base = if keys.contains("cert_file") {
                &secure
            } else {
                url
            };
            writeln!(
                yaml,
                "  - {{name: {way}-{path}, url: '{base}/{path}', {keys}}}"
            )
            .unwrap();
        }
    }
    yaml
}

fn files(authority: &Authority) -> BTreeMap<&'static str, String> {
    let key = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = super::access::params(name)
            .signed_by(&key, authority)
            .unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let ((cert, own), (_, other)) = (key("a"), key("b"));
    let broken = format!("{}!!!\n{}", &own[..100], &own[100..]);
    let mut files = BTreeMap::from([
        ("own.pem", cert),
        ("own.key", own),
        ("other.key", other),
        ("broken.key", broken),
    ]);
    files.extend(PLANTED.map(|(name, text)| (name, text.to_owned())));
    files
}

#[test]
fn nothing_shows_a_secret() {
    let upstream = telltale();
    let files = files(&authority("ours"));
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in &files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let yaml = yaml(&upstream.url());
    std::fs::write(folder.path().join("tributary.yaml"), &yaml).unwrap();
    let check = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .arg("check-config")
        .arg(folder.path().join("tributary.yaml"))
        .output()
        .unwrap();
    let report = [check.stdout, check.stderr].concat();
    let report = String::from_utf8(report).unwrap();
    assert!(report.contains("does not match cert_file"), "{report}");
    let program = Program::start_in(folder);
    let clusters = yaml.lines().count() - 2;
    wait("every cluster to have failed twice", || {
        let page = program.get("/api/v1/clusters").text();
        let rounds = page.matches("\"rounds\":0").count() + page.matches("\"rounds\":1,").count();
        let failed = page.matches("\"lastError\":{").count();
        if rounds == 0 && failed >= clusters - 10 {
            Ok(())
        } else {
            Err(format!("{rounds} of {clusters} to go, {failed} failed"))
        }
    });
    let pages = ["/api/v1/clusters", "/metrics", "/federate", "/-/ready"];
    let mut shown: Vec<(&str, String)> =
        pages.map(|page| (page, program.get(page).text())).to_vec();
    assert!(
        shown[0].1.contains("<secret>"),
        "what was sent back is masked"
    );
    shown.extend([("log", program.log()), ("check-config", report)]);
    assert!(shown.iter().all(|(_, text)| !text.is_empty()));
    let mut secrets: Vec<&str> = PLANTED
        .iter()
        .map(|(_, text)| &text[text.len() - 12..])
        .collect();
    secrets.extend([GRANTED, BASIC, CLIENT]);
    let keys = ["own.key", "other.key", "broken.key"];
    secrets.extend(keys.map(|key| files[key].lines().nth(1).unwrap()));
    let sent = format!("{:?}", upstream.requests());
    for secret in [
        "token-5f1c",
        "header-77ab",
        "proxy-19fe",
        GRANTED,
        BASIC,
        CLIENT,
    ] {
        assert!(sent.contains(secret), "{secret} was never used");
    }
    for (place, text) in &shown {
        for secret in &secrets {
            let found = text.lines().find(|line| line.contains(secret));
            let found = found.map(|line| &line[line.find(secret).unwrap().saturating_sub(200)..]);
            let found = found.map(|line| &line[..line.len().min(300)]);
            assert!(found.is_none(), "{place} shows {secret}: {found:?}");
        }
    }
}
