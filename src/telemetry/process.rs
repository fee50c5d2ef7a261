//! `process_*` and build information, read from `/proc/self` when `/metrics` is asked for.
//!
//! Names and units: the process collector of Prometheus' client libraries. Where there is no `/proc`, the metrics
//! are left out.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// Bytes of a memory page; Linux on all machines with other pages reports `VmRSS` in kB all the same.
const KIB: u64 = 1024;

/// Clock ticks of `/proc/self/stat` per second: fixed in Linux' interface to programs.
const TICKS: f64 = 100.0;

#[derive(Debug)]
struct Process {
    started: f64,
}

/// Shows the process and the build on `registry`.
pub fn register(registry: &mut Registry) {
    let started = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    registry.register_collector(Box::new(Process { started }));
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("tributary_build", "Version of this program", build);
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        gauge(
            &mut encoder,
            "process_start_time",
            "Start of the process",
            Some(&Unit::Seconds),
            self.started,
        )?;
        if let Some(seconds) = cpu_seconds() {
            let metric = ConstCounter::new(seconds);
            let help = "Total user and system CPU time spent in seconds";
            let family = encoder.encode_descriptor(
                "process_cpu",
                help,
                Some(&Unit::Seconds),
                metric.metric_type(),
            )?;
            metric.encode(family)?;
        }
        if let Some((resident, virtual_size)) = memory_bytes() {
            let bytes = Some(&Unit::Bytes);
            gauge(
                &mut encoder,
                "process_resident_memory",
                "Resident memory size",
                bytes,
                resident as f64,
            )?;
            gauge(
                &mut encoder,
                "process_virtual_memory",
                "Virtual memory size",
                bytes,
                virtual_size as f64,
            )?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            gauge(
                &mut encoder,
                "process_open_fds",
                "Number of open file descriptors",
                None,
                open.count() as f64,
            )?;
        }
        if let Some(limit) = fds_max() {
            let help = "Maximum number of open file descriptors";
            gauge(&mut encoder, "process_max_fds", help, None, limit as f64)?;
        }
        Ok(())
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: f64,
) -> Result<(), std::fmt::Error> {
    let metric = ConstGauge::new(value);
    let family = encoder.encode_descriptor(name, help, unit, metric.metric_type())?;
    metric.encode(family)
}

/// User and system time: fields 14 and 15 of `/proc/self/stat`, counted behind the name in brackets.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let ticks = |text: Option<&str>| text?.parse::<f64>().ok();
    Some((ticks(fields.next())? + ticks(fields.next())?) / TICKS)
}

/// Resident and virtual size.
pub fn memory_bytes() -> Option<(u64, u64)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Some((kib("VmRSS:")? * KIB, kib("VmSize:")? * KIB))
}

/// The memory that the process may use, and a look at what it uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Bytes; none: as much as there is.
    pub limit: Option<u64>,
}

impl Memory {
    /// Resident bytes and the limit, once the limit is exceeded. Costs some microseconds.
    pub fn exceeded(self) -> Option<(u64, u64)> {
        let limit = self.limit?;
        let (resident, _) = memory_bytes()?;
        (resident > limit).then_some((resident, limit))
    }

    /// Whether a quarter of the limit is not in use; true without a limit.
    pub fn has_room(self) -> bool {
        let (Some(limit), Some((resident, _))) = (self.limit, memory_bytes()) else {
            return true;
        };
        resident < limit - limit / 4
    }
}

fn fds_max() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
