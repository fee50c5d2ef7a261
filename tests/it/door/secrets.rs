//! The binary with planted secrets: they stand in no log, page, metric or error, and what is wrong at the start ends it.

use std::process::Command;

use super::*;
use crate::binary::tributary;
use crate::support::eventually;
use crate::support::process::{Process, free_address};

#[test]
fn a_wrong_file_ends_it_with_2_at_the_start_and_in_check_config() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (wrong, absent) = (at("wrong.yaml"), at("absent.yaml"));
    let (certificate, _) = Authority::new("a").issue(&["127.0.0.1"]);
    let (_, key) = Authority::new("b").issue(&["127.0.0.1"]);
    fs::write(at("server.crt"), certificate).unwrap();
    fs::write(at("server.key"), &key).unwrap();
    let yaml = "tls_server_config: {cert_file: server.crt, key_file: server.key}\nbasic_auth_users: {a: planted-hash}\n";
    fs::write(&wrong, yaml).unwrap();
    let run = [
        "--cluster",
        "a=http://127.0.0.1:1",
        "--web.listen-address=127.0.0.1:0",
    ];
    for arguments in [
        &run[..],
        &["check-config", "config/minimal.yaml"],
        &["demo"],
    ] {
        for (file, wants) in [
            (
                &wrong,
                &[
                    ":1: tls_server_config.key_file: ",
                    "does not belong to the certificate",
                    ":2: basic_auth_users.a: is no bcrypt hash",
                ][..],
            ),
            (&absent, &["absent.yaml: cannot be read"]),
        ] {
            let mut process = tributary(&[arguments, &["--web.config.file", file]].concat());
            let code = process.exit_code(PATIENCE);
            let (out, err) = (process.stdout(), process.stderr());
            assert_eq!(code, Some(2), "{arguments:?}: {out}{err}");
            for want in wants {
                assert!(err.contains(want), "no {want} in {err}");
            }
            let secret = key.lines().nth(1).unwrap();
            for secret in [secret, "planted-hash"] {
                assert!(!err.contains(secret) && !out.contains(secret), "{out}{err}");
            }
        }
    }
}

#[test]
fn the_shipped_file_is_good_here_and_for_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let ours = Authority::new("ours");
    let (certificate, key) = ours.issue(&["127.0.0.1"]);
    let authority = ours.pem();
    for (name, text) in [
        ("web.yaml", include_str!("../../../config/web.yaml")),
        ("server.crt", &certificate),
        ("server.key", &key),
        ("client-ca.crt", &authority),
    ] {
        fs::write(at(name), text).unwrap();
    }
    let file = at("web.yaml");
    let mut check = tributary(&[
        "check-config",
        "config/minimal.yaml",
        "--web.config.file",
        &file,
    ]);
    assert_eq!(check.exit_code(PATIENCE), Some(0), "{}", check.stderr());
    let want = "web.yaml: ok, TLS 1.2 to 1.3, client certificates verified, 2 users, 5 headers, 100 requests at once, then one every 10ms\n";
    assert!(check.stdout().ends_with(want), "{}", check.stdout());
    // Users of the example are told its passwords.
    for (user, password) in [("prometheus", "example"), ("grafana", "beispiel")] {
        let text = include_str!("../../../config/web.yaml");
        let hash = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(user)?.strip_prefix(": "));
        assert!(bcrypt::verify(password, hash.unwrap()).unwrap(), "{user}");
    }
    if crate::support::process::installed(&["promtool"]) {
        // Debian's is older than these two keys.
        let text = include_str!("../../../config/web.yaml");
        let (text, _) = text.split_once("rate_limit:").unwrap();
        let text = text.replace("\n  client_allowed_sans: [", "\n  # [");
        fs::write(at("older.yaml"), text).unwrap();
        let mut command = Command::new("promtool");
        let mut promtool = Process::start(command.args(["check", "web-config", &at("older.yaml")]));
        assert_eq!(
            promtool.exit_code(PATIENCE),
            Some(0),
            "{}",
            promtool.stderr()
        );
    }
}

#[test]
fn a_listener_that_anybody_may_enter_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new("ours");
    let (certificate, key) = ours.issue(&["127.0.0.1"]);
    for (name, text) in [
        ("server.crt", certificate),
        ("server.key", key),
        ("ca.crt", ours.pem()),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let tls = "tls_server_config: {cert_file: server.crt, key_file: server.key";
    for (web, is_open) in [
        (String::new(), true),
        (format!("{tls}}}"), true),
        (
            format!("{tls}, client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.crt}}"),
            true,
        ),
        (
            format!(
                "{tls}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}}"
            ),
            false,
        ),
        (format!("basic_auth_users: {{a: {}}}", hash("x")), false),
    ] {
        let file = folder.path().join("web.yaml");
        fs::write(&file, &web).unwrap();
        let file = file.display().to_string();
        let flags = [
            "--cluster=a=http://127.0.0.1:1",
            "--web.listen-address=0.0.0.0:0",
        ];
        let mut process = tributary(&[&flags[..], &["--web.config.file", &file]].concat());
        eventually("the listener", PATIENCE, || {
            let log = process.stderr();
            if log.contains("Listening.") {
                Ok(())
            } else {
                Err(log)
            }
        });
        process.terminate();
        assert_eq!(process.exit_code(PATIENCE), Some(0), "{}", process.stderr());
        let log = process.stderr();
        let warned = log.contains("Anyone who reaches this address can read all metrics.");
        assert_eq!(warned, is_open, "{web}: {log}");
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn no_secret_is_written_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let (certificate, key) = ours.issue(&["127.0.0.1"]);
    let right = "planted-right";
    let hashed = hash(right);
    let web = format!(
        "tls_server_config: {{cert_file: server.crt, key_file: server.key, client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.crt}}\n\
         basic_auth_users: {{planted-user: {hashed}}}\n"
    );
    for (name, text) in [
        ("server.crt", &certificate),
        ("server.key", &key),
        ("ca.crt", &ours.pem()),
        ("web.yaml", &web),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let address = free_address();
    let file = folder.path().join("web.yaml").display().to_string();
    let listen = address.to_string();
    let mut process = tributary(&[
        "--cluster",
        "a=http://127.0.0.1:1",
        "--log.level=debug",
        "--web.listen-address",
        &listen,
        "--web.config.file",
        &file,
    ]);
    eventually("the listener", PATIENCE, || {
        std::net::TcpStream::connect(address)
    });
    let client = client(&[&ours]).build().unwrap();
    let url = |path: &str| format!("https://{address}{path}");
    let login = Some(("planted-user", right));
    let mut pages = String::new();
    for login in [
        login,
        None,
        Some(("planted-user", "planted-wrong")),
        Some(("planted-nobody", right)),
    ] {
        for path in ["/metrics", "/api/v1/clusters", "/federate", "/absent"] {
            let answer = ask(&client, &url(path), login).await.unwrap();
            let headers = format!("{:?}", answer.headers());
            pages.extend([headers, answer.text().await.unwrap()]);
        }
    }
    let stranger = super::client(&[&ours]).identity(identity(&foreign.issue(&["x"])));
    let refused = get(&stranger.build().unwrap(), &url("/metrics"), login).await;
    assert!(refused.is_err());
    for (name, wrong) in [
        (
            "web.yaml",
            "basic_auth_users: {planted-user: planted-plain}\n",
        ),
        ("server.key", &*key.replace("MI", "!!")),
    ] {
        write(folder.path(), name, wrong);
        becomes("the wrong file to be seen", || async {
            metric(&client, &url("/metrics"), login, FOLLOWED).await == 0.0
        })
        .await;
        pages += &ask(&client, &url("/metrics"), login)
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        write(folder.path(), "web.yaml", &web);
        write(folder.path(), "server.key", &key);
        becomes("the good file to be seen", || async {
            metric(&client, &url("/metrics"), login, FOLLOWED).await == 1.0
        })
        .await;
    }
    process.terminate();
    assert_eq!(process.exit_code(PATIENCE), Some(0), "{}", process.stderr());
    let log = process.stderr();
    assert!(
        log.contains("The web configuration is wrong; the one before holds."),
        "{log}"
    );
    assert!(log.contains("did not pass the door"), "{log}");
    let written = pages + &log + &process.stdout();
    let middle = |text: &str| text.lines().nth(1).unwrap().to_owned();
    for secret in [
        "planted-right",
        "planted-wrong",
        "planted-plain",
        &hashed,
        &middle(&key),
    ] {
        assert!(!written.contains(secret), "{secret} in {written}");
    }
}
