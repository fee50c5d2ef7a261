//! How a cluster is entered: certificates made here, credentials and headers from files, rotated ones at once.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;

use super::proxy::{self, Proxy, wait};
use super::upstream::{Reply, Upstream};

pub(super) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(super) fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server with a certificate for these names.
pub(super) fn server(authority: &Authority, params: &CertificateParams) -> Upstream {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    Upstream::secure(config, Reply::chunked("probe 1\n"))
}

pub(super) fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

pub(super) fn one(url: &str, keys: &str, files: &[(&str, &str)]) -> Proxy {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    Proxy::start_in(
        folder,
        &proxy::config("", &[proxy::item("c", url, keys)]),
        0,
    )
}

const CA: &str = "tls_config: {ca_file: ca.pem}";

#[test]
fn a_certificate_is_checked_against_the_ca_file() {
    let (ours, other) = (authority("ours"), authority("other"));
    let check = |upstream: &Upstream, pem: &str, want: Option<&str>| {
        let proxy = one(&upstream.url(), CA, &[("ca.pem", pem)]);
        let Some(want) = want else {
            proxy.wait_for_line("probe{");
            return;
        };
        let message = proxy.wait_for_error("c", "tls");
        assert!(message.starts_with("cannot set up TLS: "), "{message}");
        assert!(message.contains(want), "{message}");
    };
    let good = server(&ours, &params("127.0.0.1"));
    check(&good, &ours.pem(), None);
    check(&good, &(other.pem() + &ours.pem()), None);
    check(&good, &other.pem(), Some("UnknownIssuer"));
    check(
        &server(&ours, &params("example.com")),
        &ours.pem(),
        Some("not valid for name"),
    );
    let mut expired = params("127.0.0.1");
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    check(&server(&ours, &expired), &ours.pem(), Some("expired"));
    let proxy = one(&good.url(), "", &[]);
    proxy.wait_for_error("c", "tls");
}

#[test]
fn a_ca_file_that_comes_later_costs_only_the_rounds_before() {
    let ours = authority("ours");
    let upstream = server(&ours, &params("127.0.0.1"));
    let proxy = one(&upstream.url(), CA, &[]);
    let message = proxy.wait_for_error("c", "file");
    assert!(message.starts_with("cannot read ca_file "), "{message}");
    rewrite(proxy.folder.path(), "ca.pem", &ours.pem());
    proxy.wait_for_line("probe{");
}

#[test]
fn tls_and_plain_text_do_not_understand_each_other() {
    let ours = authority("ours");
    let plain = Upstream::new(Reply::text("probe 1\n"));
    let url = plain.url().replace("http:", "https:");
    one(&url, CA, &[("ca.pem", &ours.pem())]).wait_for_error("c", "tls");
    let secure = server(&ours, &params("127.0.0.1"));
    let url = secure.url().replace("https:", "http:");
    let message = one(&url, "", &[]).wait_for_error("c", "cut");
    assert!(message.contains("the connection broke"), "{message}");
}

pub(super) fn rewrite(folder: &Path, name: &str, content: &str) {
    let new = folder.join("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, folder.join(name)).unwrap();
}

#[test]
fn credentials_are_read_anew_for_every_request() {
    // `printf user:old-secret | base64`, and the same with `new-secret`.
    let (first, second) = ("Basic dXNlcjpvbGQtc2VjcmV0", "Basic dXNlcjpuZXctc2VjcmV0");
    let basic = "basic_auth: {username: user, password_file: secret}";
    let bearer = "authorization: {credentials_file: secret}";
    let other = "authorization: {type: Token, credentials_file: secret}";
    for (keys, first, second) in [
        (bearer, "Bearer old-secret", "Bearer new-secret"),
        (other, "Token old-secret", "Token new-secret"),
        (basic, first, second),
    ] {
        let upstream = Upstream::with(move |request| {
            if request.header("authorization") == Some(second) {
                Reply::text("probe 2\n")
            } else {
                Reply::full("401 Unauthorized", &[], "who is there?\n")
            }
        });
        let proxy = one(&upstream.url(), keys, &[("secret", "old-secret\n")]);
        let message = proxy.wait_for_error("c", "status");
        assert!(message.contains("401: \"who is there?\""), "{message}");
        assert_eq!(upstream.rounds()[0].header("authorization"), Some(first));
        assert_eq!(upstream.rounds()[0].headers("authorization").len(), 1);
        rewrite(proxy.folder.path(), "secret", "new-secret\n");
        proxy.wait_for_line("probe{");
        std::fs::remove_file(proxy.folder.path().join("secret")).unwrap();
        let message = wait_for_access_error(&proxy, "cannot read the secret in ");
        assert!(message.contains("what was read before holds"), "{message}");
        rewrite(proxy.folder.path(), "secret", "");
        wait_for_access_error(&proxy, "is empty");
        if keys != basic {
            rewrite(proxy.folder.path(), "secret", "new-secret\nline");
            wait_for_access_error(&proxy, "holds a line end");
        }
        assert_eq!(proxy.failing("c"), None, "the last one holds");
        let stale = "tributary_cluster_access_stale{cluster=\"c\"}";
        assert_eq!(proxy.metric(stale), 1.0);
        let (clusters, metrics) = (proxy.get("/api/v1/clusters"), proxy.get("/metrics"));
        for page in [clusters.text(), metrics.text()] {
            assert!(
                !page.contains("new-secret") && !page.contains("dXNlcj"),
                "{page}"
            );
        }
        rewrite(proxy.folder.path(), "secret", "new-secret");
        wait("the trouble to end", || no_access_error(&proxy));
        assert_eq!(proxy.metric(stale), 0.0);
    }
}

/// Waits until the cluster says that a file cannot be used; its words.
pub(super) fn wait_for_access_error(proxy: &Proxy, want: &str) -> String {
    wait(&format!("an access error with {want:?}"), || {
        let error = proxy.cluster("c")["accessError"].to_string();
        if error.contains(want) {
            Ok(error)
        } else {
            Err(error)
        }
    })
}

pub(super) fn no_access_error(proxy: &Proxy) -> Result<(), String> {
    let error = &proxy.cluster("c")["accessError"];
    if error.is_null() {
        Ok(())
    } else {
        Err(error.to_string())
    }
}

#[test]
fn headers_are_sent_with_all_their_values() {
    let upstream = Upstream::new(Reply::text("probe 1\n"));
    let keys = "http_headers: {X-Scope-OrgID: {values: [a, b], files: [more]}}";
    let proxy = one(&upstream.url(), keys, &[("more", "c\n")]);
    proxy.wait_for_line("probe{");
    wait("the API to be asked", || {
        let asked = upstream
            .requests()
            .iter()
            .any(|request| request.path.starts_with("/api"));
        if asked { Ok(()) } else { Err("not yet") }
    });
    for request in upstream.requests() {
        assert_eq!(
            request.headers("x-scope-orgid"),
            ["a", "b", "c"],
            "{request:?}"
        );
    }
}
