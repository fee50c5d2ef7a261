//! The window of a running program, seen on `/metrics`.

use crate::faults::proxy::{self, Proxy, wait};
use crate::faults::upstream::{Reply, Upstream};

#[test]
fn metrics_say_what_the_window_holds() {
    let upstream = Upstream::new(Reply::chunked(
        "up{instance=\"a\"} 1\nup{instance=\"b\"} 0\n",
    ));
    let rounds = "scrape_interval: 1s, scrape_timeout: 1s";
    let item = proxy::item("c", &upstream.url(), rounds);
    let proxy = Proxy::start(&proxy::config("", &[item]));
    // Without timestamps every sample has the time of its round, so that each round adds one for each series.
    wait("three rounds", || {
        let samples = proxy.metric("tributary_window_samples{cluster=\"c\"}");
        if samples >= 6.0 { Ok(()) } else { Err(samples) }
    });
    let check = |series: &str, want: f64| assert_eq!(proxy.metric(series), want, "{series}");
    check("tributary_window_series{cluster=\"c\"}", 2.0);
    check("tributary_window_length_seconds", 900.0);
    check("tributary_window_shortened_total", 0.0);
    for part in ["columns", "labels"] {
        let series = format!("tributary_window_bytes{{cluster=\"c\",part=\"{part}\"}}");
        assert!(proxy.metric(&series) > 0.0, "{series}");
    }
}
