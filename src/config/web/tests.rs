use std::fs;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::serve::tls;

const HASH: &str = "$2y$10$u8nQ6Bnr1OYqKPvNRVWAQeZ4UaXLYyUcSvMCqdtTbFVbWKvWLUIUa";

/// A certificate for a name that signed itself, and its key, in PEM.
fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A folder with what configurations may name.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = pair();
    let (_, other_key) = pair();
    let broken = certificate.replace("MII", "!!!");
    let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [
        ("server.crt", &*certificate),
        ("server.key", &key),
        ("both.pem", &(key.clone() + &certificate)),
        ("other.key", &other_key),
        ("broken.crt", &broken),
        ("encrypted.key", &encrypted),
        ("not_der.crt", not_der),
        ("empty", ""),
        ("long", &"#".repeat(1 << 21)),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn read(folder: &TempDir, yaml: &str) -> Result<(Settings, WebFile), String> {
    let path = folder.path().join("web.yaml");
    fs::write(&path, yaml).unwrap();
    load(&path).map_err(|errors| errors.to_string())
}

const TLS: &str = "tls_server_config: {cert_file: server.crt, key_file: server.key";

#[test]
fn good_files_say_what_they_do() {
    let folder = folder();
    let check = |yaml: &str, want: &str| {
        let (settings, file) =
            read(&folder, yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
        let text = file.describe(&settings);
        let (_, text) = text.split_once("web.yaml: ok, ").unwrap();
        let text = text.replace("\nwarning: neither a password nor a verified client certificate is asked for: anyone who reaches the port can read all metrics\n", "; open\n");
        assert_eq!(text.trim_end().replace('\n', "; "), want, "{yaml}");
    };
    check("", "plain HTTP, 0 users; open");
    check("# nothing\n", "plain HTTP, 0 users; open");
    check("tls_server_config: {}", "plain HTTP, 0 users; open");
    check(
        "tls_server_config:\n  cert_file:\n",
        "plain HTTP, 0 users; open",
    );
    check(&format!("{TLS}}}"), "TLS 1.2 to 1.3, 0 users; open");
    check(
        "tls_server_config: {cert_file: both.pem, key_file: both.pem}",
        "TLS 1.2 to 1.3, 0 users; open",
    );
    let verified = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: server.crt";
    check(
        &format!("{TLS}, {verified}, min_version: TLS13}}"),
        "TLS 1.3, client certificates verified, 0 users",
    );
    check(
        &format!("{TLS}, {verified}, client_allowed_sans: [a, 10.0.0.1]}}"),
        "TLS 1.2 to 1.3, client certificates verified, 0 users",
    );
    check(
        &format!("{TLS}, client_auth_type: VerifyClientCertIfGiven, client_ca_file: server.crt}}"),
        "TLS 1.2 to 1.3, client certificates verified if given, 0 users; open",
    );
    let unverified = "TLS 1.2 to 1.3, client certificates not verified, 0 users; warning: \
                      tls_server_config.client_auth_type: certificates of clients are not verified; \
                      RequireAndVerifyClientCert does that; open";
    for auth in [
        "RequestClientCert",
        "RequireAnyClientCert",
        "RequireClientCert",
    ] {
        check(&format!("{TLS}, client_auth_type: {auth}}}"), unverified);
    }
    check(
        &format!("{TLS}, client_auth_type: ''}}"),
        "TLS 1.2 to 1.3, 0 users; open",
    );
    let suites = tls::SUITES.map(|(name, _)| name).join(", ");
    let groups = tls::GROUPS.map(|(name, _)| name).join(", ");
    check(
        &format!(
            "{TLS}, cipher_suites: [{suites}], curve_preferences: [{groups}], prefer_server_cipher_suites: false}}"
        ),
        "TLS 1.2 to 1.3, 0 users; open",
    );
    check(
        &format!("{TLS}, cipher_suites: [], curve_preferences: []}}"),
        "TLS 1.2 to 1.3, 0 users; open",
    );
    check(
        &format!(
            "basic_auth_users: {{a: {HASH}, b: {HASH}}}\nhttp_server_config: {{http2: true, headers: {{X-Frame-Options: deny, X-XSS-Protection: ''}}}}"
        ),
        "plain HTTP, 2 users, 1 header; warning: http_server_config.http2: Tributary speaks HTTP/1.1, also to clients that offer HTTP/2",
    );
    check(
        &format!("basic_auth_users: {{a: {HASH}}}\nrate_limit: {{interval: 1s500ms, burst: 10}}"),
        "plain HTTP, 1 user, 10 requests at once, then one every 1s500ms",
    );
    check(
        "rate_limit: {interval: 0, burst: 0}",
        "plain HTTP, 0 users; open",
    );
}

#[test]
fn certificates_and_keys_may_stand_in_the_file() {
    let (certificate, key) = pair();
    let indented = |text: &str| text.replace('\n', "\n    ");
    let yaml = format!(
        "tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\n  client_ca: |\n    {}\n  client_auth_type: RequireAndVerifyClientCert\n",
        indented(&certificate),
        indented(&key),
        indented(&certificate)
    );
    let (settings, file) = read(&folder(), &yaml).unwrap();
    assert!(settings.tls.is_some() && settings.is_locked());
    let shown = format!("{settings:?} {file:?}");
    let secret = key.lines().nth(1).unwrap();
    assert!(!shown.contains(secret), "{shown}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn bad_files_are_refused_with_line_key_and_remedy() {
    let folder = folder();
    let check = |yaml: &str, want: &str| {
        let error = read(&folder, yaml)
            .err()
            .unwrap_or_else(|| panic!("{yaml} is accepted"));
        let place = folder.path().display().to_string() + "/";
        let error = error.replace(&place, "");
        assert!(error.contains(want), "{yaml}:\n{error}\nlacks\n{want}");
    };
    check(
        "tls_config: {}",
        "web.yaml:1: tls_config: is not a key here; known are tls_server_config,",
    );
    check(
        "a: 1\nb: 2",
        "web.yaml:2: b: is not a key here; known are tls_server_config, http_server_config,",
    );
    check(
        "\n\ntls_server_config:\n  cert: x\n  cert_fil: y\n",
        "web.yaml:5: tls_server_config.cert_fil: is not a key here; did you mean cert_file?",
    );
    check("basic_auth_users: [", "is not YAML");
    check("- a", "web.yaml:1: is not a mapping");
    check("basic_auth_users: {a: 1, a: 2}", "stands here twice");

    let tls = |keys: &str| format!("tls_server_config: {{{keys}}}");
    check(
        &tls("min_version: TLS12"),
        "tls_server_config: cert_file is missing; name the certificate and its key",
    );
    check(
        &tls("cert_file: server.crt"),
        "tls_server_config: key_file is missing",
    );
    check(
        &tls("cert_file: absent.crt, key_file: server.key"),
        "tls_server_config.cert_file: cannot read absent.crt (No such file or directory",
    );
    check(
        &tls("cert_file: ., key_file: server.key"),
        "it is no regular file",
    );
    check(
        &tls("cert_file: long, key_file: server.key"),
        "it is longer than 1MB",
    );
    check(
        &tls("cert_file: '', key_file: server.key"),
        "tls_server_config.cert_file: is empty; write a value",
    );
    check(
        &tls("cert_file: empty, key_file: server.key"),
        "tls_server_config.cert_file: empty holds no certificate in PEM",
    );
    check(
        &tls("cert_file: server.key, key_file: server.key"),
        "server.key holds no certificate",
    );
    check(
        &tls("cert_file: broken.crt, key_file: server.key"),
        "broken.crt is not PEM",
    );
    check(
        &tls("cert_file: not_der.crt, key_file: server.key"),
        "cannot be used",
    );
    check(
        &tls("cert_file: server.crt, key_file: empty"),
        "tls_server_config.key_file: empty holds no private key",
    );
    check(
        &tls("cert_file: server.crt, key_file: encrypted.key"),
        "holds no private key in PEM that is not encrypted",
    );
    check(
        &tls("cert_file: server.crt, key_file: other.key"),
        "tls_server_config.key_file: other.key does not belong to the certificate",
    );
    check(
        &tls("cert: x, cert_file: server.crt, key_file: server.key"),
        "tls_server_config.cert_file: cannot stand beside cert; keep one of them",
    );
    check(
        &tls("cert: x, key_file: server.key"),
        "tls_server_config.cert: holds no certificate",
    );

    let with = |keys: &str| format!("{TLS}, {keys}}}");
    check(
        &with("client_auth_type: Require"),
        "\"Require\" is not known; write NoClientCert, RequestClientCert,",
    );
    check(
        &with("client_auth_type: RequireAndVerifyClientCert"),
        "client_ca_file is missing",
    );
    check(
        &with("client_auth_type: VerifyClientCertIfGiven"),
        "client_ca_file is missing",
    );
    check(
        &with("client_ca_file: server.crt"),
        "client_ca_file: is not used, since clients are asked for no certificate",
    );
    check(
        &with("client_ca_file: empty, client_auth_type: RequireAndVerifyClientCert"),
        "client_ca_file: empty holds no certificate",
    );
    check(
        &with("client_ca_file: not_der.crt, client_auth_type: RequireAndVerifyClientCert"),
        "not_der.crt cannot be used",
    );
    check(
        &with("client_allowed_sans: [a]"),
        "client_allowed_sans: needs clients that must have a certificate",
    );
    check(
        &with("client_allowed_sans: [a], client_auth_type: RequestClientCert"),
        "needs clients that must have",
    );
    check(
        &with("client_allowed_sans: a, client_auth_type: RequireAnyClientCert"),
        "is a single value; write a list: ['a']",
    );
    for version in ["TLS10", "TLS11"] {
        check(
            &with(&format!("min_version: {version}")),
            "is not offered, since it is not safe; write TLS12 or TLS13",
        );
        check(
            &with(&format!("max_version: {version}")),
            "is not offered, since it is not safe; write TLS12 or TLS13",
        );
    }
    check(
        &with("min_version: 1.2"),
        "\"1.2\" is not known; write TLS12 or TLS13",
    );
    check(
        &with("min_version: TLS13, max_version: TLS12"),
        "max_version: is older than min_version",
    );
    check(
        &with("cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]"),
        "cipher_suites[0]: \"TLS_RSA_WITH_AES_128_GCM_SHA256\" is not offered, only suites with forward secrecy",
    );
    check(
        &with("cipher_suites: [TLS_AES_128_GCM_SHA256], max_version: TLS12"),
        "tls_server_config: leave nothing to agree on",
    );
    check(
        &with("curve_preferences: [X25519, CurveP521]"),
        "curve_preferences[1]: \"CurveP521\" is not offered; write some of CurveP256,",
    );
    check(
        &with("prefer_server_cipher_suites: maybe"),
        "neither true nor false",
    );

    let header = |line: &str| format!("http_server_config: {{headers: {{{line}}}}}");
    check(
        "http_server_config: {http3: true}",
        "http3: is not a key here; did you mean http2?",
    );
    check(
        &header("Server: x"),
        "http_server_config.headers.Server: is not a header that can be set, as in Prometheus; known are Content-Security-Policy,",
    );
    check(
        &header("x-frame-options: deny"),
        "is not a header that can be set; write it as X-Frame-Options",
    );
    check(
        &header("X-Frame-Options: allow"),
        "\"allow\" is not known; write deny or sameorigin",
    );
    check(
        &header("X-Content-Type-Options: sniff"),
        "\"sniff\" is not known; write nosniff",
    );
    check(
        &header("X-XSS-Protection: \"a\\r\\nb: c\""),
        "X-XSS-Protection: holds a control character",
    );

    check("basic_auth_users: {'a:b': x}", "is a name with a colon");
    check(
        &format!("basic_auth_users: {{a: {}}}", HASH.replace("$10$", "$20$")),
        "basic_auth_users.a: has cost 20; write a hash of cost 4 to 16",
    );
    check(
        "basic_auth_users: [a]",
        "basic_auth_users: is not a mapping",
    );

    check("rate_limit: {interval: 1s}", "rate_limit: burst is missing");
    check(
        "rate_limit: {interval: 1s, burst: 0}",
        "rate_limit: burst is not from 1 to 1000000",
    );
    check(
        "rate_limit: {interval: 2d, burst: 1}",
        "interval is longer than a day",
    );
    check(
        "rate_limit: {interval: fast, burst: 1}",
        "\"fast\" is not a duration",
    );
}

#[test]
fn a_password_in_place_of_its_hash_is_not_repeated() {
    let error = read(&folder(), "basic_auth_users: {a: hunter2-secret}")
        .err()
        .unwrap();
    assert!(
        error.contains("basic_auth_users.a: is no bcrypt hash"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = load(&folder.path().join("web.yaml"))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("web.yaml: cannot be read (No such file"),
        "{error}"
    );
}

#[test]
fn only_another_content_is_a_change() {
    let folder = folder();
    let yaml = format!("{TLS}}}");
    let (_, mut file) = read(&folder, &yaml).unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(file.changed().is_none());
    // Written again, or replaced by the same.
    fs::write(at("web.yaml"), &yaml).unwrap();
    fs::copy(at("server.crt"), at("new")).unwrap();
    fs::rename(at("new"), at("server.crt")).unwrap();
    assert!(file.changed().is_none());

    let (certificate, key) = pair();
    fs::write(at("server.crt"), certificate).unwrap();
    let half = file.changed().unwrap().unwrap_err().to_string();
    assert!(half.contains("does not belong"), "{half}");
    assert!(file.changed().is_none(), "it is told once");
    fs::write(at("server.key"), key).unwrap();
    assert!(file.changed().unwrap().unwrap().tls.is_some());

    fs::remove_file(at("server.key")).unwrap();
    assert!(file.changed().unwrap().is_err());
    fs::remove_file(at("web.yaml")).unwrap();
    assert!(file.changed().unwrap().is_err());
    assert!(file.changed().is_none());
    fs::write(at("web.yaml"), format!("basic_auth_users: {{a: {HASH}}}")).unwrap();
    assert!(file.changed().unwrap().unwrap().is_locked());
}
