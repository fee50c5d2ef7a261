//! Families of cAdvisor, which the kubelet serves: one line per container or pod.

use crate::demo::fleet::family::{Family, Form, Pace};

fn counter(name: &'static str, help: &'static str, form: Form, pace: Pace) -> Family {
    Family::new(name, "counter", help, form, pace)
}

fn gauge(name: &'static str, help: &'static str, form: Form, pace: Pace) -> Family {
    Family::new(name, "gauge", help, form, pace)
}

/// What every dashboard shows.
pub(super) fn basics() -> Vec<Family> {
    use Form::{Container, Sandbox};
    vec![
        counter(
            "container_cpu_usage_seconds_total",
            "CPU time used, in seconds.",
            Container,
            Pace::Seconds(0.002, 0.9),
        )
        .by("cpu", &["total"]),
        gauge(
            "container_memory_working_set_bytes",
            "Memory that cannot be taken back.",
            Container,
            Pace::Bytes(3e7, 9e8),
        ),
        gauge(
            "container_memory_rss",
            "Anonymous memory, in bytes.",
            Container,
            Pace::Bytes(2e7, 7e8),
        ),
        counter(
            "container_network_receive_bytes_total",
            "Bytes received.",
            Sandbox,
            Pace::Count(50.0, 90_000.0),
        )
        .by("interface", &["eth0"]),
        counter(
            "container_network_transmit_bytes_total",
            "Bytes sent.",
            Sandbox,
            Pace::Count(50.0, 90_000.0),
        )
        .by("interface", &["eth0"]),
    ]
}

/// Everything that a kubelet of today gives out about a container.
pub(super) fn all() -> Vec<Family> {
    let mut families = basics();
    families.extend(
        more()
            .into_iter()
            .map(|family| match family.name.split('_').nth(1) {
                Some("network") => family.by("interface", &["eth0"]),
                Some("fs") => family.by("device", &["/dev/nvme0n1"]),
                _ => family,
            }),
    );
    families
}

/// Twelve families with one line per container each.
pub(super) fn twelve() -> Vec<Family> {
    let families = basics().into_iter().chain(more());
    families
        .filter(|family| family.form == Form::Container)
        .take(12)
        .collect()
}

fn more() -> Vec<Family> {
    let seconds = SECONDS
        .iter()
        .map(|&(name, help)| counter(name, help, Form::Container, Pace::Seconds(0.001, 0.4)));
    let counts = COUNTS
        .iter()
        .map(|&(name, help, form, rate)| counter(name, help, form, Pace::Count(rate / 10.0, rate)));
    let gauges = GAUGES
        .iter()
        .map(|&(name, help, pace)| gauge(name, help, Form::Container, pace));
    seconds.chain(counts).chain(gauges).collect()
}

#[rustfmt::skip]
const SECONDS: &[(&str, &str)] = &[
    ("container_cpu_user_seconds_total", "CPU time used in user mode, in seconds."),
    ("container_cpu_system_seconds_total", "CPU time used in the kernel, in seconds."),
    ("container_cpu_cfs_throttled_seconds_total", "Time spent waiting for the quota, in seconds."),
];

/// Name, help, form, and how many a second at most.
#[rustfmt::skip] // A table reads better with a row per line.
const COUNTS: &[(&str, &str, Form, f64)] = &[
    ("container_cpu_cfs_periods_total", "Periods of the CPU quota that went by.", Form::Container, 10.0),
    ("container_cpu_cfs_throttled_periods_total", "Periods in which the quota ran out.", Form::Container, 0.4),
    ("container_fs_reads_total", "Reads done.", Form::Container, 3.0),
    ("container_fs_writes_total", "Writes done.", Form::Container, 9.0),
    ("container_fs_reads_bytes_total", "Bytes read.", Form::Container, 40_000.0),
    ("container_fs_writes_bytes_total", "Bytes written.", Form::Container, 90_000.0),
    ("container_memory_failcnt", "Times that the memory limit was hit.", Form::Container, 0.01),
    ("container_network_receive_packets_total", "Packets received.", Form::Sandbox, 120.0),
    ("container_network_transmit_packets_total", "Packets sent.", Form::Sandbox, 120.0),
    ("container_network_receive_errors_total", "Errors while receiving.", Form::Sandbox, 0.01),
    ("container_network_transmit_errors_total", "Errors while sending.", Form::Sandbox, 0.01),
    ("container_network_receive_packets_dropped_total", "Packets dropped at the receiver.", Form::Sandbox, 0.05),
    ("container_network_transmit_packets_dropped_total", "Packets dropped at the sender.", Form::Sandbox, 0.05),
];

#[rustfmt::skip]
const GAUGES: &[(&str, &str, Pace)] = &[
    ("container_memory_cache", "Page cache, in bytes.", Pace::Bytes(1e6, 2e8)),
    ("container_memory_swap", "Swap used, in bytes.", Pace::Fixed(0.0, 0.4, 0)),
    ("container_memory_usage_bytes", "All memory used, in bytes.", Pace::Bytes(4e7, 1.2e9)),
    ("container_memory_max_usage_bytes", "The most memory ever used.", Pace::Fixed(9e7, 2e9, 0)),
    ("container_spec_cpu_period", "Period of the CPU quota, in µs.", Pace::Fixed(1e5, 1e5, 0)),
    ("container_spec_cpu_quota", "CPU quota per period, in µs.", Pace::Fixed(5e4, 4e5, 0)),
    ("container_spec_memory_limit_bytes", "Memory limit, in bytes.", Pace::Fixed(2e9, 4e9, 0)),
    ("container_processes", "Processes that run inside.", Pace::Level(1.0, 9.0, 0)),
    ("container_threads", "Threads that run inside.", Pace::Level(4.0, 90.0, 0)),
    ("container_sockets", "Open sockets.", Pace::Level(2.0, 300.0, 0)),
    ("container_file_descriptors", "Open file descriptors.", Pace::Level(8.0, 600.0, 0)),
    ("container_start_time_seconds", "Unix time of the start.", Pace::Start),
];
