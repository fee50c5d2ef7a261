//! Families of node-exporter and of the kubelet itself.

use crate::demo::fleet::family::{Family, Form, Pace};

const CPUS: &[&str] = &["0", "1", "2", "3"];
const MODES: &[&str] = &[
    "idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user",
];
/// The share of a processor's time that each mode takes.
const MODE_SHARES: &[f64] = &[0.71, 0.01, 0.001, 0.002, 0.007, 0.01, 0.06, 0.2];
const MOUNTS: &[&str] = &["/", "/boot", "/var/lib/containerd"];

fn counter(name: &'static str, help: &'static str, pace: Pace) -> Family {
    Family::new(name, "counter", help, Form::Exporter, pace)
}

fn gauge(name: &'static str, help: &'static str, pace: Pace) -> Family {
    Family::new(name, "gauge", help, Form::Exporter, pace)
}

/// What every dashboard shows.
pub(super) fn basics() -> Vec<Family> {
    let gib = f64::from(1u32 << 30);
    vec![
        counter(
            "node_cpu_seconds_total",
            "Time that each processor spent in each mode, in seconds.",
            Pace::Split(1.0, MODE_SHARES),
        )
        .by("cpu", CPUS)
        .by("mode", MODES),
        gauge(
            "node_memory_MemAvailable_bytes",
            "Memory that programs could still get.",
            Pace::Bytes(8e9, 2e10),
        ),
        gauge(
            "node_memory_MemTotal_bytes",
            "All memory.",
            Pace::Fixed(31.0 * gib, 31.0 * gib, 0),
        ),
        disk(
            "node_filesystem_avail_bytes",
            "Space left for users.",
            Pace::Bytes(2e10, 8e10),
        ),
        disk(
            "node_filesystem_size_bytes",
            "Size of the file system.",
            Pace::Fixed(100.0 * gib, 100.0 * gib, 0),
        ),
        gauge(
            "node_load1",
            "Load average over one minute.",
            Pace::Level(0.2, 3.9, 2),
        ),
        gauge(
            "node_boot_time_seconds",
            "Unix time of the boot.",
            Pace::Start,
        ),
    ]
}

fn disk(name: &'static str, help: &'static str, pace: Pace) -> Family {
    gauge(name, help, pace)
        .by("device", &["/dev/nvme0n1p1"])
        .by("fstype", &["ext4"])
        .by("mountpoint", MOUNTS)
}

/// Further families of both.
pub(super) fn more() -> Vec<Family> {
    let network = NETWORK.iter().map(|&(name, help, rate)| {
        counter(name, help, Pace::Count(rate / 20.0, rate)).by("device", INTERFACES)
    });
    let disk = DISK
        .iter()
        .map(|&(name, help, pace)| counter(name, help, pace).by("device", &["nvme0n1"]));
    let gauges = GAUGES
        .iter()
        .map(|&(name, help, pace)| gauge(name, help, pace));
    network.chain(disk).chain(gauges).chain(kubelet()).collect()
}

fn kubelet() -> [Family; 2] {
    let family = |name, kind, help, pace| Family::new(name, kind, help, Form::Kubelet, pace);
    let (pods, operations) = (Pace::Level(12.0, 34.0, 0), Pace::Count(0.1, 9.0));
    [
        family(
            "kubelet_running_pods",
            "gauge",
            "Pods that run on the node.",
            pods,
        ),
        family(
            "kubelet_runtime_operations_total",
            "counter",
            "Calls to the container runtime.",
            operations,
        )
        .by("operation_type", OPERATIONS),
    ]
}

const INTERFACES: &[&str] = &["eth0", "cilium_host", "lo"];

const OPERATIONS: &[&str] = &[
    "container_status",
    "create_container",
    "list_containers",
    "podsandbox_status",
    "version",
];

/// Name, help, and how many a second at most.
#[rustfmt::skip] // A table reads better with a row per line.
const NETWORK: &[(&str, &str, f64)] = &[
    ("node_network_receive_bytes_total", "Bytes received.", 4e6),
    ("node_network_transmit_bytes_total", "Bytes sent.", 4e6),
    ("node_network_receive_packets_total", "Packets received.", 5e3),
    ("node_network_transmit_packets_total", "Packets sent.", 5e3),
];

#[rustfmt::skip]
const DISK: &[(&str, &str, Pace)] = &[
    ("node_disk_io_time_seconds_total", "Time spent on the disk.", Pace::Seconds(0.01, 0.3)),
    ("node_disk_read_bytes_total", "Bytes read.", Pace::Count(1e3, 1e6)),
    ("node_disk_reads_completed_total", "Reads done.", Pace::Count(1.0, 90.0)),
    ("node_disk_written_bytes_total", "Bytes written.", Pace::Count(1e4, 5e6)),
];

#[rustfmt::skip]
const GAUGES: &[(&str, &str, Pace)] = &[
    ("node_load5", "Load average over five minutes.", Pace::Level(0.3, 3.1, 2)),
    ("node_load15", "Load average over a quarter of an hour.", Pace::Level(0.4, 2.8, 2)),
    ("node_memory_Cached_bytes", "Page cache.", Pace::Bytes(2e9, 9e9)),
    ("node_memory_MemFree_bytes", "Memory that nobody uses.", Pace::Bytes(1e9, 6e9)),
    ("node_procs_running", "Processes that run.", Pace::Level(1.0, 9.0, 0)),
    ("node_sockstat_TCP_inuse", "TCP sockets in use.", Pace::Level(90.0, 900.0, 0)),
];
