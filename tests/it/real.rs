//! The main job between real servers: three Prometheus with real node exporters, and two central ones, of which one
//! federates the three directly and one through Tributary. Both must come to hold the same.
//!
//! One test in parts that follow each other, since each needs the servers of the one before; it takes some two
//! minutes, nearly all of it waiting, beside the other tests.

mod fleet;
mod series;

use std::time::Duration;

use self::fleet::{CLUSTERS, Fleet, SOURCE_INTERVAL_MS, STALE_AFTER};
use self::series::Held;
use super::support::process::installed;
use super::support::{eventually, http, now_ms, until};

/// The stretch that is compared.
const MINUTE_MS: i64 = 60_000;

/// By then a sample has gone through both hops: 4 s and 2 s, and some for a busy machine.
const DELAY_MS: i64 = 9_000;

const PATIENCE: Duration = Duration::from_secs(60);

/// For one look on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn both_centres_hold_the_same() {
    if !installed(&["prometheus", "prometheus-node-exporter"]) {
        return;
    }
    let mut fleet = Fleet::start();
    wait_for_all(&fleet);
    compare_a_minute(&fleet);
    lose_and_regain_one(&mut fleet);
}

/// Until both centres hold every target of every cluster.
fn wait_for_all(fleet: &Fleet) {
    for centre in [&fleet.direct, &fleet.through] {
        eventually("all targets at a centre", PATIENCE, || {
            let up = centre.query("up{job=~\"node|prometheus\"} == 1", now_ms());
            let want = 2 * CLUSTERS.len();
            if up.len() == want {
                Ok(())
            } else {
                Err(format!("{} of {want}", up.len()))
            }
        });
    }
}

/// The next minute, looked at when its last sample has arrived.
#[expect(clippy::print_stdout, reason = "shown by --nocapture")]
fn compare_a_minute(fleet: &Fleet) {
    let end = now_ms() + MINUTE_MS;
    until(end + DELAY_MS);
    let direct = Held::read(&fleet.direct, end, MINUTE_MS, None);
    let through = Held::read(&fleet.through, end, MINUTE_MS, None);
    println!(
        "a minute: {} series, {} samples",
        through.series(),
        through.samples()
    );
    assert!(
        through.series() > CLUSTERS.len() * 300,
        "{} series",
        through.series()
    );
    let per_series = usize::try_from(MINUTE_MS / SOURCE_INTERVAL_MS).unwrap();
    let all = through.series() * per_series;
    assert!(
        through.samples() > all * 9 / 10,
        "{} samples of {all}",
        through.samples()
    );
    assert!(direct.all_have("prometheus_replica", "prometheus-k8s-0"));
    assert!(through.none_has("prometheus_replica"));
    for held in [&direct, &through] {
        assert!(held.all_have("prometheus", "monitoring/k8s"));
    }
    direct.without("prometheus_replica").assert_equals(&through);
}

/// Kills the server of one cluster and starts it again; the others must not lose a sample over it.
#[expect(clippy::print_stdout, reason = "shown by --nocapture")]
fn lose_and_regain_one(fleet: &mut Fleet) {
    let lost = CLUSTERS[1];
    let killed_ms = now_ms();
    fleet.sources[1].kill();
    eventually(
        "the lost cluster leaves /federate",
        STALE_AFTER + SLACK,
        || {
            let left = fleet.lines_of(lost);
            if left == 0 {
                Ok(())
            } else {
                Err(format!("{left} lines"))
            }
        },
    );
    println!("left after {} ms", now_ms() - killed_ms);
    assert_eq!(fleet.up(lost), Some(0.0));
    for (number, cluster) in CLUSTERS.into_iter().enumerate() {
        let is_lost = number == 1;
        assert_eq!(fleet.lines_of(cluster) == 0, is_lost, "{cluster}");
        assert_eq!(
            fleet.up(cluster),
            Some(if is_lost { 0.0 } else { 1.0 }),
            "{cluster}"
        );
    }
    let clusters = http::get(fleet.tributary.address, "/api/v1/clusters")
        .unwrap()
        .body;
    assert!(clusters.contains("connect"), "{clusters}");

    let restarted_ms = now_ms();
    fleet.sources[1].restart();
    eventually("the cluster is back", PATIENCE, || {
        let newest = fleet.newest_ms(lost);
        let is_new = newest.is_some_and(|newest| newest >= restarted_ms);
        if is_new && fleet.up(lost) == Some(1.0) {
            Ok(())
        } else {
            Err(format!("{newest:?}"))
        }
    });
    println!("back after {} ms", now_ms() - restarted_ms);
    others_lost_nothing(fleet, lost, killed_ms);
}

/// From a while before the loss to now.
#[expect(clippy::print_stdout, reason = "shown by --nocapture")]
fn others_lost_nothing(fleet: &Fleet, lost: &str, killed_ms: i64) {
    let end = now_ms();
    let stretch = end - killed_ms + SOURCE_INTERVAL_MS;
    until(end + DELAY_MS);
    let direct = Held::read(&fleet.direct, end, stretch, Some(lost));
    let through = Held::read(&fleet.through, end, stretch, Some(lost));
    println!(
        "{stretch} ms around the loss: {} samples of the others",
        through.samples()
    );
    direct.without("prometheus_replica").assert_equals(&through);
    let lowest = format!("min_over_time(tributary_cluster_up{{cluster=\"{lost}\"}}[{stretch}ms])");
    let lowest = fleet.through.query(&lowest, end);
    assert_eq!(lowest[0]["value"][1], "0", "the centre sees the loss");
    // Both could have missed the same: so the sources are asked too.
    for (number, cluster) in CLUSTERS.into_iter().enumerate() {
        if cluster != lost {
            let own = series::times(&fleet.sources[number], "up{job=\"node\"}", end, stretch);
            let selector = format!("up{{job=\"node\",cluster=\"{cluster}\"}}");
            let ours = series::times(&fleet.through, &selector, end, stretch);
            assert!(own.len() >= 2, "{cluster}: {own:?}");
            assert_eq!(ours, own, "{cluster}");
        }
    }
}
