//! Whom the handshake lets in, what it agrees to, and certificates that are replaced while it runs.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::Version;
use reqwest::tls::Version as Tls;

use super::*;
use crate::support::http;

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

fn server(authority: &Authority, more: &[(&str, &str)], keys: &str) -> Locked {
    let (certificate, key) = authority.issue(&["127.0.0.1"]);
    let pair = [("server.crt", &*certificate), ("server.key", &*key)];
    Locked::start(&format!("{TLS}{keys}"), &[&pair, more].concat())
}

#[tokio::test]
async fn tls_is_spoken_and_plain_http_is_told_so() {
    let ours = Authority::new("ours");
    let locked = server(&ours, &[], "");
    let client = client(&[&ours]).build().unwrap();
    let answer = ask(&client, &locked.url("https", "/-/healthy"), None)
        .await
        .unwrap();
    assert_eq!(answer.version(), Version::HTTP_11);
    assert_eq!(answer.text().await.unwrap(), "Tributary is Healthy.\n");
    let plain = http::get(locked.address, "/-/healthy").unwrap();
    let text = "Client sent an HTTP request to an HTTPS server.\n";
    assert_eq!((plain.status, &*plain.body), (400, text));
    let error = http::post(locked.address, "/", &[], &[0x16; 100]).unwrap();
    assert_eq!(error.status, 400);
    let failed = "tributary_http_handshakes_failed_total";
    let metrics = locked.url("https", "/metrics");
    assert_eq!(metric(&client, &metrics, None, failed).await, 2.0);
}

#[tokio::test]
async fn versions_are_those_of_the_file() {
    let ours = Authority::new("ours");
    for (keys, want_12, want_13) in [
        ("", true, true),
        ("  min_version: TLS13\n", false, true),
        ("  max_version: TLS12\n", true, false),
        ("  cipher_suites: [TLS_AES_128_GCM_SHA256]\n", false, true),
        (
            "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n",
            true,
            true,
        ),
        (
            "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n",
            false, // the key is no RSA key
            true,
        ),
    ] {
        let locked = server(&ours, &[], keys);
        let url = locked.url("https", "/-/healthy");
        for (version, want) in [(Tls::TLS_1_2, want_12), (Tls::TLS_1_3, want_13)] {
            let client = client(&[&ours])
                .tls_version_min(version)
                .tls_version_max(version);
            let got = get(&client.build().unwrap(), &url, None).await;
            assert_eq!(got.is_ok(), want, "{keys} {version:?}: {got:?}");
        }
    }
}

#[tokio::test]
async fn clients_show_what_is_asked_of_them() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (good, foreign) = (
        ours.issue(&["client", "10.0.0.1"]),
        other.issue(&["client"]),
    );
    let url = |locked: &Locked| locked.url("https", "/-/healthy");
    // None, one of ours, one of somebody else.
    for (keys, want) in [
        ("NoClientCert", [true, true, true]),
        ("RequestClientCert", [true, true, true]),
        ("RequireAnyClientCert", [false, true, true]),
        (
            "VerifyClientCertIfGiven\n  client_ca_file: ca.crt",
            [true, true, false],
        ),
        (
            "RequireAndVerifyClientCert\n  client_ca_file: ca.crt",
            [false, true, false],
        ),
        (
            "RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  client_allowed_sans: [x, client]",
            [false, true, false],
        ),
        (
            "RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  client_allowed_sans: [10.0.0.1]",
            [false, true, false],
        ),
        (
            "RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  client_allowed_sans: [clien]",
            [false, false, false],
        ),
        (
            "RequireAnyClientCert\n  client_allowed_sans: [10.0.0.1]",
            [false, true, false],
        ),
    ] {
        let keys = format!("  client_auth_type: {keys}\n");
        let locked = server(&ours, &[("ca.crt", &ours.pem())], &keys);
        for (pair, want) in [None, Some(&good), Some(&foreign)].into_iter().zip(want) {
            for version in [Tls::TLS_1_2, Tls::TLS_1_3] {
                let mut client = client(&[&ours]).tls_version_max(version);
                if let Some(pair) = pair {
                    client = client.identity(identity(pair));
                }
                let got = get(&client.build().unwrap(), &url(&locked), None).await;
                assert_eq!(
                    got.is_ok(),
                    want,
                    "{keys} {version:?} {}: {got:?}",
                    pair.is_some()
                );
            }
        }
    }
}

/// Publishes files as Kubernetes does: a new folder, and a link to it that is replaced.
fn publish(folder: &Path, generation: u64, files: &[(&str, &str)]) {
    let name = format!("..{generation}");
    fs::create_dir(folder.join(&name)).unwrap();
    for (file, text) in files {
        fs::write(folder.join(&name).join(file), text).unwrap();
        let link = folder.join(file);
        if !link.is_symlink() {
            symlink(Path::new("..data").join(file), link).unwrap();
        }
    }
    symlink(&name, folder.join("..new")).unwrap();
    fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
}

/// Asks all the time, until told to stop; how often.
async fn keep_asking(client: Client, url: String, stop: Arc<AtomicBool>, asked: Arc<AtomicU64>) {
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(get(&client, &url, None).await, Ok(200));
        asked.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn certificates_are_replaced_without_a_lost_request() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let folder = tempfile::tempdir().unwrap();
    let both_authorities = first.pem() + &second.pem();
    let pairs = [&first, &second].map(|authority| authority.issue(&["127.0.0.1"]));
    let publish = |generation: u64, (certificate, key): &(String, String), authorities: &str| {
        let files = [
            ("server.crt", certificate.as_str()),
            ("server.key", key),
            ("ca.crt", authorities),
        ];
        publish(folder.path(), generation, &files);
    };
    publish(0, &pairs[0], &both_authorities);
    let keys = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    let web = format!("{TLS}{keys}");
    fs::write(folder.path().join("web.yaml"), &web).unwrap();
    let place = folder.path().to_owned();
    let locked = Locked::start_in(folder_at(&place), &web, None);
    let url = locked.url("https", "/-/healthy");

    let ask_as = |trusted: &[&Authority], issuer: &Authority| {
        let client = client(trusted).identity(identity(&issuer.issue(&["client"])));
        client.build().unwrap()
    };
    let (stop, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let asking: Vec<_> = [&first, &second, &first]
        .into_iter()
        .map(|issuer| {
            let client = ask_as(&[&first, &second], issuer);
            tokio::spawn(keep_asking(
                client,
                url.clone(),
                stop.clone(),
                asked.clone(),
            ))
        })
        .collect();

    let (trusts_first, trusts_second) = (ask_as(&[&first], &first), ask_as(&[&second], &first));
    assert_eq!(get(&trusts_first, &url, None).await, Ok(200));
    assert!(get(&trusts_second, &url, None).await.is_err());
    for generation in 1..=4 {
        let (new, now) = match generation % 2 {
            1 => (&pairs[1], &trusts_second),
            _ => (&pairs[0], &trusts_first),
        };
        publish(generation, new, &both_authorities);
        becomes("the new certificate", || async {
            get(now, &url, None).await.is_ok()
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    for asking in asking {
        asking.await.unwrap();
    }
    let asked = asked.load(Ordering::Relaxed);
    println!("4 certificates replaced, {asked} requests over new connections, none lost");
    assert!(asked > 50, "{asked}");

    // From now on the second authority's clients only.
    publish(5, &pairs[0], &second.pem());
    becomes("the first authority's clients to be refused", || async {
        get(&trusts_first, &url, None).await.is_err()
    })
    .await;
    let in_again = ask_as(&[&first], &second);
    assert_eq!(get(&in_again, &url, None).await, Ok(200));
    drop(folder);
}

/// The folder stays until the test ends; the program gets one of its own that leads there.
fn folder_at(place: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["server.crt", "server.key", "ca.crt"] {
        symlink(place.join(file), folder.path().join(file)).unwrap();
    }
    folder
}

#[tokio::test]
async fn what_is_wrong_leaves_the_certificate_as_it_was() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let locked = server(&first, &[], "");
    let (healthy, metrics) = (
        locked.url("https", "/-/healthy"),
        locked.url("https", "/metrics"),
    );
    let both = client(&[&first, &second]).build().unwrap();
    let old = client(&[&first]).build().unwrap();
    let new = second.issue(&["127.0.0.1"]);
    let good = |name: &str| fs::read_to_string(locked.folder.path().join(name)).unwrap();
    let (certificate, web) = (good("server.crt"), good("web.yaml"));
    for (name, text) in [
        ("server.crt", ""),
        ("server.crt", "-----BEGIN CERTIFICATE-----\n"),
        ("server.crt", &*new.0), // the key is the old one's
        ("web.yaml", "tls_server_config: {"),
        ("web.yaml", "tls_server_confi: {}"),
        ("web.yaml", ""), // TLS cannot be switched off
    ] {
        locked.write(name, text);
        becomes("the wrong file to be seen", || async {
            metric(&both, &metrics, None, FOLLOWED).await == 0.0
        })
        .await;
        assert_eq!(get(&old, &healthy, None).await, Ok(200), "{name} {text}");
        locked.write("server.crt", &certificate);
        locked.write("web.yaml", &web);
        becomes("the good file to be seen", || async {
            metric(&both, &metrics, None, FOLLOWED).await == 1.0
        })
        .await;
    }
    locked.write("server.crt", &new.0);
    locked.write("server.key", &new.1);
    becomes("the new certificate", || async {
        get(&old, &healthy, None).await.is_err()
    })
    .await;
    assert_eq!(get(&both, &healthy, None).await, Ok(200));
}

#[tokio::test]
async fn a_handshake_that_never_comes_keeps_nobody_out() {
    let ours = Authority::new("ours");
    let locked = server(&ours, &[], "");
    // More than there are places, and few enough for the queue of the listener. They say nothing.
    let silent: Vec<_> = (0..850)
        .map_while(|_| std::net::TcpStream::connect(locked.address).ok())
        .collect();
    let client = client(&[&ours]).build().unwrap();
    let begin = Instant::now();
    let got = get(&client, &locked.url("https", "/-/healthy"), None).await;
    assert_eq!(got, Ok(200));
    let took = begin.elapsed();
    println!(
        "{} silent connections, answered after {took:?}",
        silent.len()
    );
    assert!(took < Duration::from_secs(9), "{took:?}");
}
