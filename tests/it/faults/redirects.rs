//! Redirects: an error unless allowed, and even then never to another server, which would get the credentials.

use super::proxy::{self, Proxy};
use super::upstream::{Reply, Request, Upstream};

/// A proxy that sends credentials and a header with a secret, and may follow redirects or not.
fn proxy(upstream: &Upstream, follow: &str) -> Proxy {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "secret\n").unwrap();
    let keys = format!(
        "follow_redirects: {follow}, authorization: {{credentials_file: token}}, \
         http_headers: {{X-Key: {{values: [secret]}}}}"
    );
    let config = proxy::config("", &[proxy::item("c", &upstream.url(), &keys)]);
    Proxy::start_in(folder, &config, 0)
}

fn redirect(location: &str) -> Reply {
    Reply::full("302 Found", &[&format!("Location: {location}")], "")
}

/// Sends `/federate` to `location`; whatever else is asked is answered well.
fn redirecting(location: String) -> Upstream {
    Upstream::with(move |request| {
        if request.path == "/federate" {
            redirect(&location)
        } else {
            Reply::text("probe 1\n")
        }
    })
}

fn carries_secrets(request: &Request) -> bool {
    request.header("authorization") == Some("Bearer secret")
        && request.header("x-key") == Some("secret")
}

#[test]
fn a_redirect_is_refused_unless_allowed() {
    let upstream = redirecting("/behind/federate?x=1".into());
    let refusing = proxy(&upstream, "false");
    let message = refusing.wait_for_error("c", "redirect");
    assert!(message.contains("\"/behind/federate?x=1\""), "{message}");
    assert!(message.contains("set follow_redirects: true"), "{message}");
    assert!(
        upstream
            .rounds()
            .iter()
            .all(|round| round.path == "/federate")
    );
    drop(refusing);
    let following = proxy(&upstream, "true");
    following.wait_for_line("probe{");
    let rounds = upstream.rounds();
    let followed = rounds.iter().find(|round| round.path == "/behind/federate");
    assert!(carries_secrets(followed.unwrap()), "{followed:?}");
}

#[test]
fn a_redirect_to_another_server_is_never_followed() {
    let other = Upstream::new(Reply::text("stolen 1\n"));
    let port = other.address().port();
    let name = |host: &str| format!("http://{host}:{port}/federate");
    // Another port, another name of the same address, another scheme, and no host at all.
    for location in [
        name("127.0.0.1"),
        name("localhost"),
        format!("//127.0.0.1:{port}/federate"),
        format!("https://127.0.0.1:{port}/federate"),
        "ftp://x/".to_owned(),
    ] {
        let upstream = redirecting(location.clone());
        let proxy = proxy(&upstream, "true");
        let message = proxy.wait_for_error("c", "redirect");
        assert!(message.contains(&location), "{message}");
        assert!(
            !message.contains("set follow_redirects"),
            "it is set: {message}"
        );
        assert_eq!(other.requests().len(), 0, "{location}");
    }
}

#[test]
fn redirects_in_a_circle_end() {
    let upstream = Upstream::with(|_| redirect("/federate"));
    let proxy = proxy(&upstream, "true");
    proxy.wait_for_error("c", "redirect");
    let rounds = proxy.cluster("c")["rounds"].as_u64().unwrap();
    let requests = upstream.rounds().len() as u64;
    assert!(
        requests <= (rounds + 2) * 7,
        "{requests} requests in {rounds} rounds"
    );
}
