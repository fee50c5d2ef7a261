//! TLS in full: client certificates, server names, versions, and files that change while the program runs.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::KeyPair;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::access::{
    Authority, authority, no_access_error, one, params, rewrite, wait_for_access_error,
};
use super::upstream::{Reply, Upstream};

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// The TLS side of a server with a certificate for `name`. With `clients` it wants one of these from whoever asks.
fn server(
    authority: &Authority,
    name: &str,
    clients: Option<&Authority>,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = KeyPair::generate().unwrap();
    let certificate = params(name).signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    builder
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap()
}

/// A certificate for a client, and its key, in PEM form.
fn client(authority: &Authority) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = params("tributary").signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn probe(value: u32) -> Reply {
    Reply::text(format!("probe {value}\n"))
}

const MUTUAL: &str = "tls_config: {ca_file: ca.pem, cert_file: own.pem, key_file: own.key}";

#[test]
fn a_client_certificate_is_rotated_while_running() {
    let (servers, clients, next) = (
        authority("servers"),
        authority("clients"),
        authority("next"),
    );
    let tls = |clients: &Authority| server(&servers, "127.0.0.1", Some(clients), BOTH);
    let upstream = Upstream::secure(tls(&clients), probe(1));
    let (url, address) = (upstream.url(), upstream.address());
    let (cert, key) = client(&clients);
    let ca = servers.pem();
    one(&url, "tls_config: {ca_file: ca.pem}", &[("ca.pem", &ca)]).wait_for_error("c", "tls");
    let files = [("ca.pem", &*ca), ("own.pem", &*cert), ("own.key", &*key)];
    let proxy = one(&url, MUTUAL, &files);
    proxy.wait_for_line("probe{cluster=\"c\",instance=\"\"} 1 ");
    // The server trusts other clients from now on.
    drop(upstream);
    let _upstream = Upstream::secure_at(address, tls(&next), probe(2));
    proxy.wait_for_error("c", "tls");
    let (cert, key) = client(&next);
    let folder = proxy.folder.path();
    rewrite(folder, "own.pem", &cert);
    let message = wait_for_access_error(&proxy, "does not match cert_file");
    assert!(message.contains("own.key"), "{message}");
    rewrite(folder, "own.key", &key);
    proxy.wait_for_line("probe{cluster=\"c\",instance=\"\"} 2 ");
    no_access_error(&proxy).unwrap();
}

/// Files behind links, as Kubernetes mounts them: `ca.pem` leads to `..data/ca.pem`, `..data` to a folder.
fn mount(folder: &Path, version: &str, ca: &str) {
    let target = folder.join(version);
    fs::create_dir(&target).unwrap();
    fs::write(target.join("ca.pem"), ca).unwrap();
    let new = folder.join("..data_tmp");
    std::os::unix::fs::symlink(version, &new).unwrap();
    fs::rename(new, folder.join("..data")).unwrap();
}

#[test]
fn an_authority_is_rotated_while_running_and_what_cannot_be_used_leaves_the_old_one() {
    let (old, new) = (authority("one"), authority("two"));
    let upstream = Upstream::secure(server(&old, "127.0.0.1", None, BOTH), probe(1));
    let (url, address) = (upstream.url(), upstream.address());
    let proxy = one(&url, "tls_config: {ca_file: ca.pem}", &[]);
    let folder = proxy.folder.path();
    mount(folder, "first", &old.pem());
    std::os::unix::fs::symlink("..data/ca.pem", folder.join("ca.pem")).unwrap();
    proxy.wait_for_line("probe{cluster=\"c\",instance=\"\"} 1 ");
    for (version, content, want) in [
        ("empty", "", "is empty; write the certificate"),
        ("text", "no certificate", "holds no certificate"),
        ("cut", &old.pem()[..100], "a part lacks its END line"),
    ] {
        mount(folder, version, content);
        let message = wait_for_access_error(&proxy, want);
        assert!(message.contains("ca_file "), "{message}");
        proxy.wait_for_rounds("c", 2);
        assert_eq!(proxy.failing("c"), None, "{version}");
    }
    fs::remove_dir_all(folder.join("cut")).unwrap();
    wait_for_access_error(&proxy, "cannot read ca_file ");
    // The connection is kept, since nothing new could be used.
    let connections = |upstream: &Upstream| {
        let rounds = upstream.rounds();
        rounds.last().unwrap().connection
    };
    let before = connections(&upstream);
    proxy.wait_for_rounds("c", 2);
    assert_eq!(connections(&upstream), before);
    drop(upstream);
    let _upstream = Upstream::secure_at(address, server(&new, "127.0.0.1", None, BOTH), probe(2));
    proxy.wait_for_error("c", "tls");
    mount(folder, "second", &new.pem());
    proxy.wait_for_line("probe{cluster=\"c\",instance=\"\"} 2 ");
    no_access_error(&proxy).unwrap();
}

#[test]
fn a_rewrite_that_keeps_length_and_time_is_seen() {
    let upstream = Upstream::with(|request| match request.header("authorization") {
        Some("Bearer token-2") => probe(2),
        _ => probe(1),
    });
    let keys = "authorization: {credentials_file: token}";
    let proxy = one(&upstream.url(), keys, &[("token", "token-1")]);
    proxy.wait_for_line("probe{cluster=\"c\",instance=\"\"} 1 ");
    let path = proxy.folder.path().join("token");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "token-2").unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(time).unwrap();
    proxy.wait_for_line("probe{cluster=\"c\",instance=\"\"} 2 ");
}

#[test]
fn files_that_cannot_be_used_at_the_start_are_named() {
    let servers = authority("servers");
    let upstream = Upstream::secure(server(&servers, "127.0.0.1", None, BOTH), probe(1));
    let ((cert, key), (_, other)) = (client(&servers), client(&servers));
    let ca = servers.pem();
    let check = |cert: &str, key: &str, want: &str| {
        let files = [("ca.pem", &*ca), ("own.pem", cert), ("own.key", key)];
        let proxy = one(&upstream.url(), MUTUAL, &files);
        let message = proxy.wait_for_error("c", "file");
        assert!(message.contains(want), "{message}");
        for secret in key.lines().skip(1).take(1) {
            assert!(!message.contains(secret), "{message}");
        }
    };
    check(&cert, &other, "own.key does not match cert_file ");
    check(
        "",
        &key,
        "own.pem is empty; write the certificate in PEM form",
    );
    check(&cert, "", "own.key is empty; write the key in PEM form");
    check(&key, &key, "own.pem holds no certificate; write");
}

#[test]
fn a_server_is_known_by_the_name_that_is_configured() {
    let ours = authority("ours");
    let other = authority("other");
    let files = [("ca.pem", &*ours.pem())];
    let check = |upstream: &Upstream, tls: &str, want: Option<&str>| {
        let proxy = one(&upstream.url(), &format!("tls_config: {{{tls}}}"), &files);
        match want {
            None => drop(proxy.wait_for_line("probe{")),
            Some(want) => {
                let message = proxy.wait_for_error("c", "tls");
                assert!(message.contains(want), "{message}");
            }
        }
    };
    let named = |name: &str| Upstream::secure(server(&ours, name, None, BOTH), probe(1));
    let upstream = named("prometheus.example.com");
    let wrong = Some("not valid for name");
    check(&upstream, "ca_file: ca.pem", wrong);
    check(
        &upstream,
        "ca_file: ca.pem, server_name: prometheus.example.com",
        None,
    );
    check(
        &upstream,
        "ca_file: ca.pem, server_name: other.example.com",
        wrong,
    );
    let host = upstream.address().to_string();
    for request in upstream.requests() {
        assert_eq!(
            request.headers("host"),
            [&*host],
            "the address, not the name"
        );
    }
    let upstream = named("10.1.2.3");
    check(&upstream, "ca_file: ca.pem, server_name: 10.1.2.3", None);
    check(&upstream, "ca_file: ca.pem, server_name: 10.1.2.4", wrong);
    let foreign = Upstream::secure(server(&other, "else.where", None, BOTH), probe(1));
    check(&foreign, "ca_file: ca.pem", Some("UnknownIssuer"));
    check(&foreign, "insecure_skip_verify: true", None);
    check(
        &foreign,
        "ca_file: ca.pem, insecure_skip_verify: true",
        None,
    );
}

#[test]
fn the_versions_that_are_spoken_are_those_configured() {
    let ours = authority("ours");
    let files = [("ca.pem", &*ours.pem())];
    let check = |versions: &[&'static SupportedProtocolVersion], keys: &str, well: bool| {
        let tls = server(&ours, "127.0.0.1", None, versions);
        let upstream = Upstream::secure(tls, probe(1));
        let keys = format!("tls_config: {{ca_file: ca.pem, {keys}}}");
        let proxy = one(&upstream.url(), &keys, &files);
        if well {
            proxy.wait_for_line("probe{");
        } else {
            proxy.wait_for_error("c", "tls");
        }
    };
    check(&[&version::TLS12], "min_version: TLS10", true);
    check(&[&version::TLS12], "min_version: TLS13", false);
    check(&[&version::TLS13], "max_version: TLS12", false);
    check(&[&version::TLS13], "min_version: TLS13", true);
}
