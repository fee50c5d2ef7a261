//! Upstreams whose series carry the cluster label already, under each policy.

use super::proxy::{self, Proxy};
use super::upstream::{Reply, Upstream};

const BODY: &str = "# TYPE probe untyped\nprobe{n=\"0\",instance=\"i\"} 0\n\
                    probe{n=\"1\",cluster=\"theirs\",instance=\"i\"} 1\n\
                    probe{n=\"2\",cluster=\"else\",instance=\"i\"} 2\n\
                    probe{n=\"3\",cluster=\"b\",instance=\"i\"} 3\n\
                    probe{n=\"4\",cluster=\"else\",exported_cluster=\"x\",instance=\"i\"} 4\n";

fn check(name: &str, keys: &str, want: &[&str]) {
    let upstream = Upstream::new(Reply::chunked(BODY));
    let neighbour = Upstream::new(Reply::chunked("neighbour{instance=\"i\"} 1\n"));
    let items = [
        proxy::item(name, &upstream.url(), keys),
        proxy::item("b", &neighbour.url(), ""),
    ];
    let proxy = Proxy::start(&proxy::config("", &items));
    proxy.wait_for_line("neighbour{instance=\"i\",cluster=\"b\"} 1 ");
    let page = proxy.wait_for_line("probe{");
    let lines = page.lines().filter(|line| line.starts_with("probe{"));
    // Without timestamps; labels in the order of their names.
    let mut got: Vec<String> = lines
        .map(|line| {
            let (labels, rest) = line["probe{".len()..].split_once("} ").unwrap();
            let mut labels: Vec<_> = labels.split(',').collect();
            labels.sort_unstable();
            format!("{} {}", labels.join(","), rest.split(' ').next().unwrap())
        })
        .collect();
    got.sort_unstable();
    let mut want: Vec<String> = want
        .iter()
        .map(|line| (*line).replace('\'', "\""))
        .collect();
    want.sort_unstable();
    assert_eq!(got, want, "{keys}");
    let dropped = 5 - want.len() as u64;
    let cluster = proxy.cluster(name);
    let counted = cluster["dropped"]["cluster_label"].as_u64().unwrap_or(0);
    assert_eq!(counted, dropped, "{cluster}");
}

#[test]
fn rename_keeps_theirs_beside_ours() {
    let renamed = [
        "cluster='a',instance='i',n='0' 0",
        "cluster='a',exported_cluster='theirs',instance='i',n='1' 1",
        "cluster='a',exported_cluster='else',instance='i',n='2' 2",
        "cluster='a',exported_cluster='b',instance='i',n='3' 3",
        "cluster='a',exported_cluster='x',exported_exported_cluster='else',instance='i',n='4' 4",
    ];
    check("a", "", &renamed);
    // The server's own external label says nothing new.
    let mut own = renamed;
    own[1] = "cluster='a',instance='i',n='1' 1";
    check("a", "external_labels: {cluster: theirs}", &own);
}

#[test]
fn override_replaces_theirs() {
    let want = [
        "cluster='a',instance='i',n='0' 0",
        "cluster='a',instance='i',n='1' 1",
        "cluster='a',instance='i',n='2' 2",
        "cluster='a',instance='i',n='3' 3",
        "cluster='a',exported_cluster='x',instance='i',n='4' 4",
    ];
    check("a", "cluster_label_conflict: override", &want);
}

/// What belongs to the cluster `b` is refused and counted.
#[test]
fn honor_keeps_theirs_where_nobody_else_has_it() {
    let want = [
        "cluster='a',instance='i',n='0' 0",
        "cluster='theirs',instance='i',n='1' 1",
        "cluster='else',instance='i',n='2' 2",
        "cluster='else',exported_cluster='x',instance='i',n='4' 4",
    ];
    check("a", "cluster_label_conflict: honor", &want);
}

#[test]
fn the_servers_own_external_label_is_learnt() {
    let upstream = Upstream::new(Reply::chunked(
        "probe{cluster=\"theirs\",instance=\"i\"} 1\n",
    ));
    upstream.api(|request| match &*request.path {
        "/api/v1/status/config" => Reply::full(
            "200 OK",
            &["Content-Type: application/json"],
            r#"{"status":"success","data":{"yaml":"global:\n  external_labels:\n    cluster: theirs\n    region: eu\n"}}"#,
        ),
        _ => Reply::full("404 Not Found", &[], ""),
    });
    let proxy = Proxy::start(&proxy::config("", &[proxy::item("a", &upstream.url(), "")]));
    let page = proxy.wait_for_line("probe{");
    assert!(
        page.contains("probe{cluster=\"a\",instance=\"i\",region=\"eu\"} 1 "),
        "{page}"
    );
}
