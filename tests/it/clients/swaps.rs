//! Readers see whole snapshots only, however often they are replaced meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::faults::http::request;
use crate::faults::proxy::{self, Proxy};
use crate::faults::upstream::{Reply, Upstream};

/// Series of each of the two families of a cluster.
const SERIES: usize = 300;

/// All values of a body are the number of its round.
fn counting() -> Upstream {
    let rounds = AtomicU64::new(0);
    Upstream::with(move |_| {
        let round = rounds.fetch_add(1, Ordering::Relaxed);
        let line = |family: &str, number| format!("{family}{{instance=\"{number}\"}} {round}\n");
        let family = |name| {
            (0..SERIES)
                .map(|number| line(name, number))
                .collect::<String>()
        };
        Reply::gzip(family("a") + &family("z"))
    })
}

/// The value that all lines of a cluster have.
fn value_of(page: &str, cluster: &str) -> Option<u64> {
    let label = format!("cluster=\"{cluster}\"");
    let ours = page
        .lines()
        .filter(|line| line.contains(&label) && !line.starts_with("tributary"));
    let values: Vec<&str> = ours
        .filter_map(|line| line.rsplit_once("} ")?.1.split(' ').next())
        .collect();
    if values.is_empty() {
        return None;
    }
    assert_eq!(values.len(), 2 * SERIES, "{cluster}");
    assert!(
        values.iter().all(|value| *value == values[0]),
        "{cluster} is torn"
    );
    values[0].parse().ok()
}

#[test]
fn no_scrape_sees_parts_of_two_rounds() {
    let upstreams: Vec<_> = (0..4).map(|_| counting()).collect();
    let items: Vec<_> = upstreams
        .iter()
        .enumerate()
        .map(|(number, upstream)| {
            let keys = "scrape_interval: 50ms, scrape_timeout: 50ms, stale_after: 1m";
            proxy::item(&format!("c{number}"), &upstream.url(), keys)
        })
        .collect();
    let proxy = Arc::new(Proxy::start(&proxy::config("", &items)));
    proxy.wait_for_line("z{");
    let readers: Vec<_> = ["identity", "gzip", "gzip"]
        .into_iter()
        .map(|coding| {
            let proxy = proxy.clone();
            thread::spawn(move || read(&proxy, coding))
        })
        .collect();
    let seen: Vec<_> = readers
        .into_iter()
        .map(|reader| reader.join().unwrap())
        .collect();
    println!("different pages seen: {seen:?}");
    assert!(seen.iter().all(|pages| *pages > 10), "{seen:?}");
}

/// Reads 150 pages; how many were new. Values never go back.
fn read(proxy: &Proxy, coding: &str) -> usize {
    let mut last = [0; 4];
    let mut new = 0;
    for _ in 0..150 {
        let header = format!("Accept-Encoding: {coding}");
        let answer = request(proxy.address(), "GET", "/federate", &[&header]).unwrap();
        if answer.status == 503 {
            continue;
        }
        let page = if coding == "gzip" {
            answer.unzipped()
        } else {
            answer.text()
        };
        let before = last;
        for (number, last) in last.iter_mut().enumerate() {
            let value = value_of(&page, &format!("c{number}")).unwrap_or(0);
            assert!(value >= *last, "{value} after {last}");
            *last = value;
        }
        new += usize::from(last != before);
    }
    new
}
