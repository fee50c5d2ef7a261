//! From families and things to lines: for each thing of a cluster, the labels, target and law of every line about it.

use std::borrow::Cow;

use crate::demo::fleet::family::{Family, Form, Holds, Thing};
use crate::demo::fleet::text::{Pair, line_start};
use crate::demo::fleet::things::{
    NAMESPACES, Place, Pod, container_id, node_address, node_name, reduce,
};
use crate::demo::fleet::value::{Value, mix, mix_text, write_decimal};

/// Targets that exist once: kube-state-metrics, and eight groups of recording rules.
const STATE: usize = 0;
const RULE_GROUPS: u32 = 8;
/// Targets of the control plane's components; several components share one.
const COMPONENTS: u32 = 24;
const NODES_FROM: usize = COMPONENTS_FROM + COMPONENTS as usize;
const COMPONENTS_FROM: usize = 1 + RULE_GROUPS as usize;

/// What a cluster of one shape consists of.
#[derive(Debug)]
pub(super) struct Recipe {
    /// Sorted by name.
    pub(super) families: Vec<Family>,
    pub(super) place: Place,
    pub(super) holds: Holds,
    /// Labels that the cluster's Prometheus drops when it scrapes.
    pub(super) dropped: &'static [&'static str],
    /// When the cluster's oldest processes started, in milliseconds since the Unix epoch.
    pub(super) start_ms: i64,
}

/// One series, ready to be written.
#[derive(Debug)]
pub(super) struct Line {
    /// Index into the recipe's families.
    pub(super) family: usize,
    /// `name{labels} `, and the value itself where it never changes.
    pub(super) text: Box<[u8]>,
    pub(super) value: Value,
    /// Number of the scrape target that it comes from.
    pub(super) target: usize,
}

/// One thing with the labels that its lines of one form share.
struct Subject<'a> {
    labels: Vec<Pair<'a>>,
    target: usize,
    thing: Thing,
}

impl Recipe {
    /// Hands over the lines of everything that exists once, and of the nodes.
    pub(super) fn fixed(&self, sink: &mut impl FnMut(Line)) {
        self.lines(|form| self.single(form), sink);
        for namespace in NAMESPACES {
            self.lines(|form| self.namespace(form, namespace), sink);
        }
        for node in 0..self.place.nodes {
            self.lines(|form| self.node(form, node), sink);
        }
    }

    /// Hands over the lines of the deployment that a pod belongs to.
    pub(super) fn deployment(&self, pod: &Pod, sink: &mut impl FnMut(Line)) {
        let thing = self.lasting(mix_text(self.place.seed, &pod.workload));
        let of = |form| match form {
            Form::StateDeployment => vec![Subject {
                labels: [
                    state_labels(),
                    own([("deployment", &*pod.workload), ("namespace", pod.namespace)]),
                ]
                .concat(),
                target: STATE,
                thing,
            }],
            _ => Vec::new(),
        };
        self.lines(of, sink);
    }

    /// Hands over the lines of one pod and its containers.
    pub(super) fn pod(&self, pod: &Pod, sink: &mut impl FnMut(Line)) {
        self.lines(|form| self.pod_subjects(form, pod), sink);
    }

    fn lines<'a>(&self, of: impl Fn(Form) -> Vec<Subject<'a>>, sink: &mut impl FnMut(Line)) {
        for (index, family) in self.families.iter().enumerate() {
            for subject in of(family.form) {
                for line in 0..family.lines() {
                    sink(self.line(index, line, &subject));
                }
            }
        }
    }

    fn line(&self, index: usize, line: usize, subject: &Subject<'_>) -> Line {
        let family = &self.families[index];
        let mut labels = subject.labels.clone();
        labels.extend(
            family
                .variant(line)
                .map(|(name, value)| (name, Cow::Borrowed(value))),
        );
        labels.retain(|(name, _)| !self.dropped.contains(name));
        let (value, resting) = family.law(line, &subject.thing, self.holds);
        let mut text = line_start(&family.name, &mut labels);
        if let Some((units, decimals)) = resting {
            write_decimal(&mut text, units, u32::from(decimals));
        }
        Line {
            family: index,
            text: text.into_boxed_slice(),
            value,
            target: subject.target,
        }
    }

    /// The subject of a form that exists once per cluster.
    fn single(&self, form: Form) -> Vec<Subject<'static>> {
        match form {
            Form::Rule => vec![Subject {
                labels: Vec::new(),
                target: 1,
                thing: self.lasting(self.place.seed),
            }],
            Form::Component(job) => {
                let seed = mix_text(self.place.seed, job);
                let number = reduce(seed, COMPONENTS) as usize;
                let instance = format!("{}:{}", node_address(self.place, 0), 10_250 + number);
                let labels = own([
                    ("endpoint", "metrics"),
                    ("job", job),
                    ("namespace", "kube-system"),
                    ("service", job),
                ]);
                vec![Subject {
                    labels: [labels, vec![("instance", instance.into())]].concat(),
                    target: COMPONENTS_FROM + number,
                    thing: self.lasting(seed),
                }]
            }
            _ => Vec::new(),
        }
    }

    fn namespace(&self, form: Form, namespace: &'static str) -> Vec<Subject<'static>> {
        let seed = mix_text(self.place.seed, namespace);
        let (base, target) = match form {
            Form::StateNamespace => (state_labels(), STATE),
            Form::RuleNamespace => (Vec::new(), 2 + reduce(seed, RULE_GROUPS - 1) as usize),
            _ => return Vec::new(),
        };
        let labels = [base, own([("namespace", namespace)])].concat();
        vec![Subject {
            labels,
            target,
            thing: self.lasting(seed),
        }]
    }

    fn node(&self, form: Form, node: u32) -> Vec<Subject<'static>> {
        let name = node_name(self.place, node);
        let address = node_address(self.place, node);
        let target = NODES_FROM + 2 * node as usize;
        let (base, more, target) = match form {
            Form::StateNode => (state_labels(), vec![("node", name)], STATE),
            Form::Exporter => {
                let labels = [
                    ("endpoint", "https"),
                    ("job", "node-exporter"),
                    ("namespace", "monitoring"),
                    ("service", "node-exporter"),
                ];
                let pod = format!(
                    "node-exporter-{}",
                    super::things::letters(u64::from(node), 5)
                );
                (
                    own(labels),
                    vec![("instance", name), ("pod", pod)],
                    target + 1,
                )
            }
            Form::Kubelet => (
                own([
                    ("endpoint", "https-metrics"),
                    ("job", "kubelet"),
                    ("namespace", "kube-system"),
                    ("service", "kubelet"),
                ]),
                vec![("instance", format!("{address}:10250")), ("node", name)],
                target,
            ),
            _ => return Vec::new(),
        };
        let labels = base
            .into_iter()
            .chain(more.into_iter().map(|(name, value)| (name, value.into())));
        let seed = mix(self.place.seed, u64::from(node) + 0x40de);
        vec![Subject {
            labels: labels.collect(),
            target,
            thing: self.lasting(seed),
        }]
    }

    fn pod_subjects<'a>(&self, form: Form, pod: &'a Pod) -> Vec<Subject<'a>> {
        let containers = match form {
            Form::Container | Form::StateContainer | Form::RuleContainer => &pod.containers[..],
            Form::Sandbox | Form::StatePod | Form::StatePodInfo | Form::App => &pod.containers[..1],
            _ => return Vec::new(),
        };
        containers
            .iter()
            .map(|container| self.pod_subject(form, pod, container))
            .collect()
    }

    /// One pod, or one container of it, with the labels of the form.
    fn pod_subject<'a>(&self, form: Form, pod: &'a Pod, container: &'a str) -> Subject<'a> {
        let seed = mix_text(pod.seed, container);
        let kubelet = NODES_FROM + 2 * pod.node as usize;
        let app = NODES_FROM + 2 * self.place.nodes as usize + pod.number as usize;
        let mut labels = own([("namespace", pod.namespace), ("pod", &*pod.name)]);
        let target = match form {
            Form::Container | Form::Sandbox => {
                labels.extend(self.cadvisor_labels(form, pod, container, seed));
                kubelet
            }
            Form::StateContainer | Form::StatePod => {
                labels.extend(state_labels());
                labels.push(("uid", (&*pod.uid).into()));
                labels.extend(
                    (form == Form::StateContainer).then_some(("container", container.into())),
                );
                STATE
            }
            Form::StatePodInfo => {
                labels.extend(state_labels());
                labels.extend(self.info_labels(pod));
                STATE
            }
            Form::RuleContainer => {
                labels.push(("container", container.into()));
                labels.push(("node", node_name(self.place, pod.node).into()));
                2 + reduce(seed, RULE_GROUPS - 1) as usize
            }
            _ => {
                labels.extend(own([
                    ("container", container),
                    ("endpoint", "http"),
                    ("job", &*pod.workload),
                    ("service", &*pod.workload),
                ]));
                labels.push(("instance", format!("{}:8080", pod.address).into()));
                app
            }
        };
        Subject {
            labels,
            target,
            thing: Thing {
                seed,
                start_ms: pod.start_ms,
            },
        }
    }

    fn cadvisor_labels<'a>(
        &self,
        form: Form,
        pod: &Pod,
        container: &'a str,
        seed: u64,
    ) -> Vec<Pair<'a>> {
        let instance = format!("{}:10250", node_address(self.place, pod.node));
        let mut labels = own([
            ("endpoint", "https-metrics"),
            ("job", "kubelet"),
            ("metrics_path", "/metrics/cadvisor"),
            ("service", "kubelet"),
        ]);
        labels.push(("instance", instance.into()));
        labels.push(("node", node_name(self.place, pod.node).into()));
        let slice = || {
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice",
                pod.uid.replace('-', "_")
            )
        };
        match form {
            Form::Container => {
                let id = container_id(seed);
                labels.push(("container", container.into()));
                labels.push((
                    "id",
                    format!("{}/cri-containerd-{id}.scope", slice()).into(),
                ));
                labels.push(("image", image(container).into()));
                labels.push(("name", id.into()));
            }
            Form::Sandbox => {
                labels.push(("id", slice().into()));
                labels.push(("image", "registry.k8s.io/pause:3.9".into()));
                labels.push(("name", container_id(pod.seed).into()));
            }
            _ => {}
        }
        labels
    }

    fn info_labels<'a>(&self, pod: &'a Pod) -> Vec<Pair<'a>> {
        let replica_set = pod.name.rsplit_once('-').map_or("", |(set, _)| set);
        let mut labels = own([
            ("created_by_kind", "ReplicaSet"),
            ("created_by_name", replica_set),
            ("host_network", "false"),
            ("pod_ip", &*pod.address),
            ("uid", &*pod.uid),
        ]);
        labels.push(("host_ip", node_address(self.place, pod.node).into()));
        labels.push(("node", node_name(self.place, pod.node).into()));
        labels
    }

    /// A thing that has run for up to 30 days when the cluster's first round comes.
    fn lasting(&self, seed: u64) -> Thing {
        let age_ms = mix(seed, 0xa9e) % (30 * 86_400_000);
        Thing {
            seed,
            start_ms: self.start_ms - age_ms.cast_signed(),
        }
    }
}

/// When a pod started that was there before the first round: up to ten days earlier.
pub(super) fn pod_start_ms(first_round_ms: i64, place: Place, pod: u32) -> i64 {
    first_round_ms - (mix(place.seed, u64::from(pod) + 0x57a) % (10 * 86_400_000)).cast_signed()
}

/// The image that a container runs: the same in all pods of a deployment.
fn image(container: &str) -> String {
    let seed = mix_text(0, container);
    let (major, minor, patch) = (seed % 4, seed / 7 % 30, seed / 300 % 10);
    format!("registry.example.com/apps/{container}:v{major}.{minor}.{patch}")
}

fn own<'a, const N: usize>(pairs: [(&'static str, &'a str); N]) -> Vec<Pair<'a>> {
    pairs
        .into_iter()
        .map(|(name, value)| (name, Cow::Borrowed(value)))
        .collect()
}

fn state_labels() -> Vec<Pair<'static>> {
    own([
        ("endpoint", "https-main"),
        ("instance", "10.244.0.17:8443"),
        ("job", "kube-state-metrics"),
        ("service", "kube-state-metrics"),
    ])
}
