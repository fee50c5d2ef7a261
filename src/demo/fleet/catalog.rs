//! The tables of families that the three shapes are made of.

mod cadvisor;
mod component;
mod node;
mod state;

use crate::demo::fleet::Shape;
use crate::demo::fleet::family::{Family, Form, Pace};

/// Bounds of a request histogram, as client libraries write them.
const BOUNDS: &[&str] = &[
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf",
];

/// The same for a shape that has about one line of each family for each pod.
const FEW_BOUNDS: &[&str] = &["0.05", "0.25", "1.0", "+Inf"];

/// All families of a shape with about `series` lines, sorted by name.
pub(super) fn of(shape: Shape, series: usize) -> Vec<Family> {
    let mut families = match shape {
        Shape::Demo => demo(),
        Shape::Plain => plain(),
        Shape::Real => real(series),
    };
    families.sort_by(|one, other| one.name.cmp(&other.name));
    families
}

fn demo() -> Vec<Family> {
    let mut families = Vec::new();
    families.extend(cadvisor::basics());
    families.extend(state::pod_basics());
    families.extend(state::cluster());
    families.extend(node::basics());
    families.extend(component::basics());
    families.extend(requests("http_request_duration_seconds", &["GET", "POST"]));
    families.extend(ups());
    families.extend(rules());
    families
}

fn real(series: usize) -> Vec<Family> {
    let mut families = Vec::new();
    families.extend(cadvisor::all());
    families.extend(state::pod_basics());
    families.extend(state::pod_more());
    families.extend(state::cluster());
    families.extend(node::basics());
    families.extend(node::more());
    families.extend(component::basics());
    families.extend(requests("http_request_duration_seconds", &["GET", "POST"]));
    families.extend(ups());
    let count = (series / 20).min(1200);
    component::fill(&mut families, count);
    families
}

/// 22 families, a line of each for every container or pod; of the last, buckets of requests, four.
fn plain() -> Vec<Family> {
    let mut families = cadvisor::twelve();
    families.extend(
        state::pod_basics()
            .into_iter()
            .filter(|family| family.lines() == 1),
    );
    families.extend(
        state::pod_more()
            .into_iter()
            .filter(|family| family.lines() == 1),
    );
    families.truncate(21);
    let [buckets, _, _] = Family::histogram(
        "http_request_duration_seconds",
        "Time to answer a request, in seconds.",
        Form::App,
        &[],
        FEW_BOUNDS,
        (0.2, 30.0),
    );
    families.push(buckets);
    families
}

/// The histogram of an application's requests.
fn requests(base: &'static str, methods: &'static [&'static str]) -> [Family; 3] {
    let variants = [
        ("code", ["200"].as_slice()),
        ("handler", ["/api/v1/items"].as_slice()),
        ("method", methods),
    ];
    Family::histogram(
        base,
        "Time to answer a request, in seconds.",
        Form::App,
        &variants,
        BOUNDS,
        (0.2, 30.0),
    )
}

/// `up` of every kind of target. One family name over several forms: the lines are joined by name.
fn ups() -> Vec<Family> {
    let forms = [
        Form::App,
        Form::Exporter,
        Form::Kubelet,
        Form::Component("kube-state-metrics"),
    ];
    let up = |form| {
        Family::new(
            "up",
            "gauge",
            "1 where the last scrape of the target went well.",
            form,
            Pace::One,
        )
    };
    forms.into_iter().map(up).collect()
}

/// What recording rules made of the rest; no metadata exists for these.
fn rules() -> Vec<Family> {
    let rule = |name, form, pace| Family::new(name, "", "", form, pace);
    vec![
        rule(
            ":node_memory_MemAvailable_bytes:sum",
            Form::Rule,
            Pace::Bytes(6e10, 9e10),
        ),
        rule(
            "cluster:node_cpu:ratio_rate5m",
            Form::Rule,
            Pace::Level(0.2, 0.7, 6),
        ),
        rule(
            "apiserver_request:availability30d",
            Form::Rule,
            Pace::Level(0.9985, 0.9999, 6),
        )
        .by("verb", &["all", "read", "write"]),
        rule(
            "cluster_quantile:apiserver_request_sli_duration_seconds:histogram_quantile",
            Form::Rule,
            Pace::Level(0.1, 0.9, 6),
        )
        .by("quantile", &["0.9", "0.99"])
        .by("resource", &["configmaps", "deployments", "pods"])
        .by("verb", &["GET", "LIST"]),
        rule(
            "namespace_cpu:kube_pod_container_resource_requests:sum",
            Form::RuleNamespace,
            Pace::Fixed(1.0, 40.0, 1),
        ),
        rule(
            "namespace_memory:kube_pod_container_resource_requests:sum",
            Form::RuleNamespace,
            Pace::Bytes(1e9, 4e10),
        ),
        rule(
            "node_namespace_pod_container:container_cpu_usage_seconds_total:sum_rate5m",
            Form::RuleContainer,
            Pace::Level(0.01, 0.8, 9),
        ),
        rule(
            "node_namespace_pod_container:container_memory_working_set_bytes",
            Form::RuleContainer,
            Pace::Bytes(3e7, 9e8),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn names_are_unique_but_for_up() {
        fn check(shape: Shape, series: usize, want: usize) {
            let families = of(shape, series);
            let names: HashSet<_> = families.iter().map(|family| &family.name).collect();
            assert_eq!(names.len(), want, "{shape:?}");
            let ups = families.iter().filter(|family| family.name == "up").count();
            assert_eq!(
                families.len(),
                names.len() + ups.saturating_sub(1),
                "{shape:?}"
            );
        }
        check(Shape::Plain, 48_000, 22);
        check(Shape::Real, 48_000, 1200);
        check(Shape::Real, 16_000, 800);
    }

    #[test]
    fn kind_and_help_are_known_but_for_rules() {
        for shape in [Shape::Demo, Shape::Plain, Shape::Real] {
            let mut kinds = HashMap::new();
            for family in of(shape, 48_000) {
                let rule = family.name.contains(':');
                assert_eq!(
                    family.kind.is_empty() || family.help.is_empty(),
                    rule,
                    "{}",
                    family.name
                );
                assert_eq!(
                    *kinds.entry(family.base().to_owned()).or_insert(family.kind),
                    family.kind
                );
            }
        }
    }
}
