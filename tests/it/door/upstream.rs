//! The same web configuration in Debian's Prometheus and in ours: what curl gets from each.

use std::process::Command;

use super::*;
use crate::support::eventually;
use crate::support::process::{Process, free_address, installed};

/// The exit code of curl, the status, and the headers that the door writes with the body.
fn curl(folder: &Path, address: SocketAddr, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("curl")
        .current_dir(folder)
        .args([
            "--silent",
            "--include",
            "--http1.1",
            "--max-time",
            "20",
            "--cacert",
            "ca.crt",
        ])
        .args(
            arguments
                .iter()
                .map(|argument| argument.replace("SERVER", &address.to_string())),
        )
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default().to_owned();
    // A good answer's headers and body are the route's.
    let refused = !status.contains(" 200 ");
    let names = [
        "www-authenticate",
        "content-type",
        "x-content-type-options",
        "x-frame-options",
    ];
    let mut kept: Vec<_> = lines
        .map(str::to_ascii_lowercase)
        .filter(|line| refused && names.iter().any(|name| line.starts_with(name)))
        .collect();
    kept.sort_unstable();
    let body = if refused { body } else { "" };
    (
        output.status.code(),
        format!("{status}\n{}\n{body}", kept.join("\n")),
    )
}

/// What both servers are started with, and what curl shows them.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (server, good, foreign) = (
        ours.issue(&["127.0.0.1"]),
        ours.issue(&["client"]),
        other.issue(&["client"]),
    );
    let hashed = bcrypt::hash("right", 5).unwrap();
    let web = format!(
        "tls_server_config: {{cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt, cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]}}\n\
         http_server_config: {{http2: false, headers: {{X-Frame-Options: deny}}}}\n\
         basic_auth_users: {{user: {hashed}}}\n"
    );
    for (name, text) in [
        ("ca.crt", &ours.pem()),
        ("server.crt", &server.0),
        ("server.key", &server.1),
        ("good.crt", &good.0),
        ("good.key", &good.1),
        ("foreign.crt", &foreign.0),
        ("foreign.key", &foreign.1),
        ("web.yaml", &web),
        ("prometheus.yml", &String::new()),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

const URL: &str = "https://SERVER/-/healthy";
const ME: &[&str] = &["--cert", "good.crt", "--key", "good.key"];
const STRANGER: &[&str] = &["--cert", "foreign.crt", "--key", "foreign.key"];
const LOGIN: &[&str] = &["--user", "user:right", URL];

/// The status, none where there is no answer, and curl's arguments.
const CASES: &[(&str, &[&[&str]])] = &[
    ("200", &[ME, LOGIN]),
    ("200", &[ME, &["--tls-max", "1.2"], LOGIN]),
    ("401", &[ME, &[URL]]),
    ("401", &[ME, &["--user", "user:wrong", URL]]),
    ("401", &[ME, &["--user", "nobody:right", URL]]),
    (
        "401",
        &[ME, &["--header", "Authorization: Bearer right", URL]],
    ),
    ("401", &[ME, &["--header", "Authorization: Basic !", URL]]),
    (
        "200",
        &[
            ME,
            &["--header", "Authorization: bASIC dXNlcjpyaWdodA==", URL],
        ],
    ),
    ("", &[LOGIN]),
    ("", &[STRANGER, LOGIN]),
    ("", &[STRANGER, &["--tls-max", "1.2"], LOGIN]),
    ("", &[ME, &["--tls-max", "1.1", URL]]),
    (
        "",
        &[ME, &["--tls-max", "1.2", "--ciphers", "AES128-SHA", URL]],
    ),
    ("400", &[&["http://SERVER/-/healthy"]]),
];

#[test]
fn curl_gets_the_same_from_prometheus_and_from_us() {
    if !installed(&["prometheus", "curl"]) {
        return;
    }
    let folder = folder();
    let addresses = [free_address(), free_address()];
    let _theirs = Process::start(
        Command::new("prometheus")
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg("--web.config.file=web.yaml")
            .arg(format!("--web.listen-address={}", addresses[0])),
    );
    let _ours = Process::start(
        Command::new(env!("CARGO_BIN_EXE_tributary"))
            .current_dir(folder.path())
            .args([
                "--cluster=a=http://127.0.0.1:1",
                "--web.config.file=web.yaml",
            ])
            .arg(format!("--web.listen-address={}", addresses[1])),
    );
    for address in addresses {
        eventually("a listener", PATIENCE, || {
            std::net::TcpStream::connect(address)
        });
    }
    for (want, arguments) in CASES {
        let arguments = arguments.concat();
        let [theirs, mine] = addresses.map(|address| curl(folder.path(), address, &arguments));
        println!("{arguments:?}: {theirs:?}");
        let status = theirs.1.split(' ').nth(1).unwrap_or_default();
        assert_eq!(status, *want, "{arguments:?}: {theirs:?}");
        if *want == "400" {
            // Ours says the type of its text, too.
            assert!(mine.1.starts_with("HTTP/1.0 400 Bad Request\n"), "{mine:?}");
            assert_eq!(theirs.1.lines().last(), mine.1.lines().last());
        } else {
            assert_eq!(theirs.1, mine.1, "{arguments:?}");
            assert_eq!(theirs.0 == Some(0), mine.0 == Some(0), "{arguments:?}");
        }
    }
}
