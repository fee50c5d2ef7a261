//! Families of components of which one runs: of the API server with known names, and any number of made-up ones, half
//! of them with fewer than five lines, as servers really have them.

use crate::demo::fleet::catalog::BOUNDS;
use crate::demo::fleet::family::{Family, Form, Pace};

const RESULTS: &[&str] = &["success", "error", "timeout", "retried"];

const RESOURCES: &[&str] = &[
    "configmaps",
    "cronjobs",
    "daemonsets",
    "deployments",
    "endpoints",
    "endpointslices",
    "events",
    "horizontalpodautoscalers",
    "ingresses",
    "jobs",
    "leases",
    "limitranges",
    "namespaces",
    "networkpolicies",
    "nodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "poddisruptionbudgets",
    "pods",
    "priorityclasses",
    "replicasets",
    "resourcequotas",
    "rolebindings",
    "roles",
    "secrets",
    "serviceaccounts",
    "services",
    "statefulsets",
    "storageclasses",
    "volumeattachments",
];

const JOBS: [&str; 24] = [
    "alertmanager",
    "apiserver",
    "argocd",
    "certmanager",
    "cilium",
    "cloudprovider",
    "coredns",
    "descheduler",
    "envoy",
    "etcd",
    "externaldns",
    "fluentbit",
    "gatekeeper",
    "grafana",
    "hubble",
    "istiod",
    "karpenter",
    "keda",
    "kured",
    "kyverno",
    "loki",
    "scheduler",
    "velero",
    "vault",
];

const NOUNS: [&str; 24] = [
    "admission",
    "backup",
    "cache",
    "certificate",
    "client",
    "compaction",
    "connection",
    "election",
    "event",
    "flush",
    "handler",
    "informer",
    "leader",
    "lookup",
    "policy",
    "probe",
    "queue",
    "reconcile",
    "request",
    "snapshot",
    "sync",
    "token",
    "watch",
    "webhook",
];

/// The API server's own.
pub(super) fn basics() -> Vec<Family> {
    let api = Form::Component("apiserver");
    let requests = Family::new(
        "apiserver_request_total",
        "counter",
        "Requests to the API server.",
        api,
        Pace::Count(0.05, 20.0),
    )
    .by("code", &["200", "409"])
    .by("resource", &["deployments", "leases", "nodes", "pods"])
    .by("verb", &["GET", "PATCH", "WATCH"]);
    let mut families = vec![requests];
    families.extend(Family::histogram(
        "apiserver_request_sli_duration_seconds",
        "Time to answer a request, in seconds.",
        api,
        &[
            ("resource", &["leases", "pods"]),
            ("verb", &["GET", "LIST"]),
        ],
        BOUNDS,
        (0.5, 20.0),
    ));
    families
}

/// Adds made-up families until there are `count` names, half of them with one to four lines.
pub(super) fn fill(families: &mut Vec<Family>, count: usize) {
    let named = families.iter().filter(|family| family.name != "up").count() + 1;
    let small = count / 2;
    let middle = (count - small).saturating_sub(named);
    families.extend((0..small).map(|at| made(at, "result", &RESULTS[..=at % 4])));
    families.extend(
        (small..small + middle).map(|at| made(at, "resource", &RESOURCES[..5 + at * 7 % 26])),
    );
}

/// Made-up family number `at`, one line for each of `values`.
fn made(at: usize, label: &'static str, values: &'static [&'static str]) -> Family {
    let (job, noun) = (JOBS[at % JOBS.len()], NOUNS[at / JOBS.len() % NOUNS.len()]);
    let round = at / (JOBS.len() * NOUNS.len());
    let form = Form::Component(job);
    let family = |kind, suffix: &str, help: &str, pace| {
        let name = format!(
            "{job}_{noun}{}_{suffix}",
            ["", "_worker", "_shard"][round % 3]
        );
        Family::new(
            name,
            kind,
            format!("{help} of the {noun} in {job}."),
            form,
            pace,
        )
    };
    let family = match at / 5 % 5 {
        0 => family(
            "counter",
            "operations_total",
            "Operations",
            Pace::Count(0.01, 60.0),
        ),
        1 => family(
            "counter",
            "duration_seconds_total",
            "Time spent, in seconds,",
            Pace::Seconds(0.001, 0.9),
        ),
        2 => family(
            "gauge",
            "pending",
            "Waiting items",
            Pace::Level(0.0, 400.0, 0),
        ),
        3 => family(
            "gauge",
            "size_bytes",
            "Size in bytes",
            Pace::Bytes(1e5, 8e8),
        ),
        _ => family(
            "gauge",
            "utilization_ratio",
            "Share in use",
            Pace::Level(0.0, 1.0, 6),
        ),
    };
    if values.len() == 1 {
        family
    } else {
        family.by(label, values)
    }
}
