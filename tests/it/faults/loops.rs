//! Ourselves as upstream: refused with a message that says so, whichever way the data would come back.

use std::net::TcpListener;

use super::proxy::{self, Proxy};
use super::upstream::{Reply, Upstream};

/// A port that nobody uses now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn start(port: u16, items: &[String]) -> Proxy {
    let config = proxy::config("stale_after: 2s", items);
    Proxy::start_in(tempfile::tempdir().unwrap(), &config, port)
}

#[test]
fn we_are_refused_as_our_own_upstream() {
    let good = Upstream::new(Reply::chunked("probe 1\n"));
    let port = free_port();
    let own = format!("http://127.0.0.1:{port}");
    let items = [
        proxy::item("good", &good.url(), ""),
        proxy::item("own", &own, ""),
        proxy::item("alias", &own.replace("127.0.0.1", "localhost"), ""),
    ];
    let proxy = start(port, &items);
    for name in ["own", "alias"] {
        let message = proxy.wait_for_error(name, "loop");
        assert!(
            message.starts_with("this address is Tributary itself"),
            "{message}"
        );
        assert!(
            message.contains("name the clusters' Prometheus servers instead"),
            "{message}"
        );
    }
    proxy.wait_for_rounds("own", 3);
    let page = proxy.wait_for_line("probe{");
    assert_eq!(
        page.lines()
            .filter(|line| line.starts_with("probe{"))
            .count(),
        1,
        "{page}"
    );
}

/// Each of the two names the other: whoever gets its own data back refuses it. The cluster behind stays.
#[test]
fn a_circle_through_a_second_tributary_is_refused() {
    let good = Upstream::new(Reply::chunked("probe 1\n"));
    let (first_port, second_port) = (free_port(), free_port());
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let items = [
        proxy::item("good", &good.url(), ""),
        proxy::item("second", &url(second_port), ""),
    ];
    let first = start(first_port, &items);
    let second = start(second_port, &[proxy::item("first", &url(first_port), "")]);
    let message = first.wait_for_error("second", "loop");
    assert!(
        message.contains("directly or through another one"),
        "{message}"
    );
    let page = first.wait_for_line("probe{");
    assert!(!page.contains("exported_cluster"), "{page}");
    first.wait_for_rounds("second", 4);
    assert_eq!(
        first.failing("second").as_deref(),
        Some("loop"),
        "it is not forgotten"
    );
    drop(second);
    first.wait_for_error("second", "connect");
}

/// A chain is no circle: the second shows what the first collected.
#[test]
fn a_second_tributary_before_the_first_is_fine() {
    let good = Upstream::new(Reply::chunked("probe{instance=\"i\"} 1\n"));
    let first = start(0, &[proxy::item("good", &good.url(), "")]);
    let url = format!("http://{}", first.address());
    let second = start(
        0,
        &[proxy::item("first", &url, "cluster_label_conflict: honor")],
    );
    second.wait_for_line("probe{instance=\"i\",cluster=\"good\"} 1 ");
    second.wait_for_rounds("first", 3);
    assert_eq!(second.failing("first"), None);
}
