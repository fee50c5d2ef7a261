//! Families of kube-state-metrics: the wishes and states of the cluster's objects.

use crate::demo::fleet::family::{Family, Form, Pace};

const PHASES: &[&str] = &["Running", "Pending", "Succeeded", "Failed", "Unknown"];

fn gauge(name: &'static str, help: &'static str, form: Form, pace: Pace) -> Family {
    Family::new(name, "gauge", help, form, pace)
}

/// What every dashboard shows about pods.
pub(super) fn pod_basics() -> Vec<Family> {
    use Form::{StateContainer, StatePod, StatePodInfo};
    vec![
        gauge(
            "kube_pod_info",
            "What and where a pod is.",
            StatePodInfo,
            Pace::One,
        ),
        gauge(
            "kube_pod_status_phase",
            "The phase that a pod is in.",
            StatePod,
            Pace::First,
        )
        .by("phase", PHASES),
        gauge(
            "kube_pod_owner",
            "What a pod belongs to.",
            StatePod,
            Pace::One,
        )
        .by("owner_kind", &["ReplicaSet"]),
        gauge(
            "kube_pod_container_resource_requests",
            "What a container asks for.",
            StateContainer,
            Pace::Fixed(0.05, 2.0, 2),
        )
        .by("resource", &["cpu"])
        .by("unit", &["core"]),
        gauge(
            "kube_pod_container_resource_limits",
            "What a container may use.",
            StateContainer,
            Pace::Fixed(5e8, 3e9, 0),
        )
        .by("resource", &["memory"])
        .by("unit", &["byte"]),
        Family::new(
            "kube_pod_container_status_restarts_total",
            "counter",
            "Restarts of a container.",
            StateContainer,
            Pace::Fixed(0.0, 3.0, 0),
        ),
        gauge(
            "kube_pod_container_status_ready",
            "1 where a container is ready.",
            StateContainer,
            Pace::One,
        ),
    ]
}

/// The rest of what is known about pods.
pub(super) fn pod_more() -> Vec<Family> {
    use Form::{StateContainer, StatePod};
    let one = |name, help, form| gauge(name, help, form, Pace::One);
    vec![
        gauge(
            "kube_pod_created",
            "Unix time at which a pod was created.",
            StatePod,
            Pace::Start,
        ),
        gauge(
            "kube_pod_start_time",
            "Unix time at which a pod was started.",
            StatePod,
            Pace::Start,
        ),
        one(
            "kube_pod_restart_policy",
            "How a pod is restarted.",
            StatePod,
        )
        .by("type", &["Always"]),
        one(
            "kube_pod_service_account",
            "The account that a pod runs under.",
            StatePod,
        )
        .by("service_account", &["default"]),
        gauge(
            "kube_pod_status_scheduled_time",
            "Unix time at which a pod got its node.",
            StatePod,
            Pace::Start,
        ),
        gauge(
            "kube_pod_container_state_started",
            "Unix time of a container's start.",
            StateContainer,
            Pace::Start,
        ),
        one(
            "kube_pod_container_status_running",
            "1 where a container runs.",
            StateContainer,
        ),
        gauge(
            "kube_pod_container_status_terminated",
            "1 where a container has ended.",
            StateContainer,
            Pace::Fixed(0.0, 0.0, 0),
        ),
        gauge(
            "kube_pod_container_status_waiting",
            "1 where a container waits.",
            StateContainer,
            Pace::Fixed(0.0, 0.0, 0),
        ),
        gauge(
            "kube_pod_status_ready",
            "Whether a pod is ready.",
            StatePod,
            Pace::First,
        )
        .by("condition", &["true", "false", "unknown"]),
        gauge(
            "kube_pod_status_scheduled",
            "Whether a pod has a node.",
            StatePod,
            Pace::First,
        )
        .by("condition", &["true", "false", "unknown"]),
        gauge(
            "kube_pod_status_qos_class",
            "How a pod is served.",
            StatePod,
            Pace::First,
        )
        .by("qos_class", &["Burstable", "Guaranteed", "BestEffort"]),
    ]
}

/// Deployments, nodes and namespaces.
pub(super) fn cluster() -> Vec<Family> {
    use Form::{StateDeployment, StateNamespace, StateNode};
    let replicas = |name, help| gauge(name, help, StateDeployment, Pace::Fixed(3.0, 3.0, 0));
    vec![
        replicas(
            "kube_deployment_spec_replicas",
            "Replicas that are wished for.",
        ),
        replicas("kube_deployment_status_replicas", "Replicas that exist."),
        replicas(
            "kube_deployment_status_replicas_available",
            "Replicas that have been ready for long enough.",
        ),
        replicas(
            "kube_deployment_status_replicas_ready",
            "Replicas that are ready.",
        ),
        replicas(
            "kube_deployment_status_replicas_updated",
            "Replicas of the newest template.",
        ),
        gauge(
            "kube_deployment_created",
            "Unix time at which a deployment was created.",
            StateDeployment,
            Pace::Start,
        ),
        gauge(
            "kube_namespace_status_phase",
            "The phase that a namespace is in.",
            StateNamespace,
            Pace::First,
        )
        .by("phase", &["Active", "Terminating"]),
        gauge(
            "kube_node_info",
            "Versions that a node runs.",
            StateNode,
            Pace::One,
        )
        .by("kernel_version", &["6.1.112"])
        .by("kubelet_version", &["v1.33.4"])
        .by("os_image", &["Flatcar Container Linux (Oklo)"]),
        gauge(
            "kube_node_status_allocatable",
            "What pods may use of a node.",
            StateNode,
            Pace::Fixed(3.9, 3.9, 2),
        )
        .by("resource", &["cpu"])
        .by("unit", &["core"]),
        gauge(
            "kube_node_status_capacity",
            "What a node has.",
            StateNode,
            Pace::Fixed(4.0, 4.0, 0),
        )
        .by("resource", &["cpu"])
        .by("unit", &["core"]),
        gauge(
            "kube_node_status_condition",
            "The conditions of a node.",
            StateNode,
            Pace::First,
        )
        .by("condition", &["Ready"])
        .by("status", &["true", "false", "unknown"]),
    ]
}
