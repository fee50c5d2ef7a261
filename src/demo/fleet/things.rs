//! The things of a simulated cluster that series are about: nodes, pods and their containers. A seed and a number in,
//! names as Kubernetes gives them out.

use crate::demo::fleet::value::mix;

/// Replicas of each simulated deployment.
pub(super) const REPLICAS: u32 = 3;

/// The namespaces of every simulated cluster.
pub(super) const NAMESPACES: [&str; 8] = [
    "argocd",
    "ingress-nginx",
    "kube-system",
    "monitoring",
    "payments",
    "platform",
    "search",
    "shop",
];

const APPS: [&str; 16] = [
    "auth",
    "cart",
    "catalog",
    "checkout",
    "frontend",
    "gateway",
    "inventory",
    "ledger",
    "mailer",
    "orders",
    "pricing",
    "profile",
    "ranking",
    "recommendation",
    "search",
    "shipping",
];

const ROLES: [&str; 6] = ["api", "cache", "consumer", "db", "scheduler", "worker"];

/// The letters that Kubernetes makes names of (no vowels, so that no words appear).
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// One pod. A replaced pod keeps its place (node, workload), and has another name, address, uid and start.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) number: u32,
    pub(super) node: u32,
    pub(super) workload: String,
    pub(super) namespace: &'static str,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) uid: String,
    /// Names of its containers: the workload's own and, in every third pod, a sidecar.
    pub(super) containers: Vec<String>,
    /// Different for each pod and each of its generations.
    pub(super) seed: u64,
    /// When it started, in milliseconds since the Unix epoch.
    pub(super) start_ms: i64,
}

impl Pod {
    /// Pod `number` of cluster `cluster` (1…) in its `generation` (0 = the first that had this place).
    pub(super) fn new(place: Place, number: u32, generation: u64, start_ms: i64) -> Pod {
        let workload_number = number / REPLICAS;
        let place_seed = mix(place.seed, u64::from(number));
        let seed = mix(place_seed, generation);
        let workload = workload_name(workload_number);
        let set = letters(mix(place.seed, u64::from(workload_number) + 0x5e7), 10);
        let mut containers = vec![workload.clone()];
        if number.is_multiple_of(3) {
            containers.push("istio-proxy".to_owned());
        }
        Pod {
            number,
            node: reduce(place_seed, place.nodes),
            name: format!("{workload}-{set}-{}", letters(seed, 5)),
            namespace: namespace_of(workload_number),
            workload,
            address: format!(
                "10.{}.{}.{}",
                place.cluster % 250,
                seed >> 56,
                (seed >> 48) % 254 + 1
            ),
            uid: uid(seed),
            containers,
            seed,
            start_ms,
        }
    }
}

/// Where a pod lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The cluster's seed.
    pub(super) seed: u64,
    /// The cluster's number.
    pub(super) cluster: u32,
    /// How many nodes the cluster has.
    pub(super) nodes: u32,
}

/// Name of deployment number `number`.
pub(super) fn workload_name(number: u32) -> String {
    let app = APPS[number as usize % APPS.len()];
    let role = ROLES[number as usize / APPS.len() % ROLES.len()];
    match number as usize / (APPS.len() * ROLES.len()) {
        0 => format!("{app}-{role}"),
        more => format!("{app}-{role}-{}", more + 1),
    }
}

/// Namespace of deployment number `number`.
pub(super) fn namespace_of(number: u32) -> &'static str {
    NAMESPACES[reduce(mix(u64::from(number), 3), 8) as usize]
}

/// Name of a node.
pub(super) fn node_name(place: Place, node: u32) -> String {
    format!(
        "ip-{}.ec2.internal",
        node_address(place, node).replace('.', "-")
    )
}

/// The node's address inside its cluster.
pub(super) fn node_address(place: Place, node: u32) -> String {
    let seed = mix(place.seed, u64::from(node) + 0x0dead);
    format!(
        "10.{}.{}.{}",
        place.cluster % 250,
        node % 256,
        seed % 254 + 1
    )
}

/// `count` letters as Kubernetes ends its names with.
pub(super) fn letters(seed: u64, count: u64) -> String {
    (0..count)
        .map(|at| char::from(LETTERS[reduce(mix(seed, at), 27) as usize]))
        .collect()
}

/// The 64 digits of a container's id.
pub(super) fn container_id(seed: u64) -> String {
    let [a, b, c, d] = [0xc0, 0xc1, 0xc2, 0xc3].map(|salt| mix(seed, salt));
    format!("{a:016x}{b:016x}{c:016x}{d:016x}")
}

/// A number below `below`, evenly spread.
pub(super) fn reduce(word: u64, below: u32) -> u32 {
    let product = u128::from(word) * u128::from(below);
    u32::try_from(product >> 64).expect("smaller than `below`")
}

fn uid(seed: u64) -> String {
    let (high, low) = (mix(seed, 0x11), mix(seed, 0x12));
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0x0fff);
    format!(
        "{a:08x}-{b:04x}-4{c:03x}-{:04x}-{:012x}",
        low >> 52 | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PLACE: Place = Place {
        seed: 1,
        cluster: 3,
        nodes: 9,
    };

    #[test]
    fn names_differ_between_workloads_and_generations() {
        let workloads: HashSet<_> = (0..2000).map(workload_name).collect();
        assert_eq!(workloads.len(), 2000);
        let pods: HashSet<_> = (0..5000)
            .map(|number| Pod::new(PLACE, number / 5, u64::from(number % 5), 0).name)
            .collect();
        assert_eq!(pods.len(), 5000);
    }

    #[test]
    fn a_replaced_pod_keeps_its_place() {
        let (old, new) = (Pod::new(PLACE, 7, 0, 0), Pod::new(PLACE, 7, 1, 0));
        assert_eq!(
            (old.node, &old.workload, old.namespace),
            (new.node, &new.workload, new.namespace)
        );
        assert_ne!((&old.name, &old.uid), (&new.name, &new.uid));
        assert_eq!(old.uid.len(), 36);
        assert_eq!(container_id(old.seed).len(), 64);
    }
}
