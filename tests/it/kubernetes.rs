//! The files in `config/kubernetes`, built by the real Kustomize (in kubectl), held against Kubernetes' own schemas,
//! and against one another: selectors, ports, paths, the configuration inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::binary::{check_contains, run};
use super::support::process::installed;

/// What can be applied, and the keys that the Secret needs for it.
const FOLDERS: [(&str, &[&str]); 3] = [
    ("base", &["cluster-1.token", "cluster-2.token"]),
    ("cluster-1", &["cluster-2.token"]),
    ("cluster-2", &["cluster-1.token"]),
];

/// From the oldest release that a provider still runs to the newest schema.
const VERSIONS: [&str; 3] = ["1.29", "1.33", "1.37"];

const NAME_LABEL: &str = "app.kubernetes.io/name";

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn python() -> PathBuf {
    project().join("target/kubernetes/bin/python")
}

/// Whether the tools are here.
fn tools() -> bool {
    installed(&["kubectl", python().to_str().unwrap()])
}

/// What `kubectl apply -k` would send.
fn build(folder: &str) -> String {
    let output = Command::new("kubectl")
        .arg("kustomize")
        .arg(project().join("config/kubernetes").join(folder))
        .output()
        .unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{folder}: {complaints}");
    assert_eq!(complaints, "", "{folder}: something is out of date");
    String::from_utf8(output.stdout).unwrap()
}

/// Holds objects against the schemas: whether all are good, and one line for each object and fault.
fn against_schemas(yaml: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("objects.yaml");
    fs::write(&input, yaml).unwrap();
    let output = Command::new(python())
        .arg(project().join("tests/kubernetes/check.py"))
        .args(VERSIONS)
        .stdin(Stdio::from(fs::File::open(&input).unwrap()))
        .output()
        .unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    text.push_str(&String::from_utf8(output.stderr).unwrap());
    (output.status.success(), text)
}

/// The objects of one folder.
struct Objects(Vec<Value>);

impl Objects {
    fn of(folder: &str) -> Self {
        Self(serde_saphyr::from_multiple(&build(folder)).unwrap())
    }

    /// The only one of its kind, if there is one.
    fn find(&self, kind: &str) -> Option<&Value> {
        let mut all = self.0.iter().filter(|object| object["kind"] == kind);
        let found = all.next();
        assert!(all.next().is_none(), "two objects of kind {kind}");
        found
    }

    fn get(&self, kind: &str) -> &Value {
        self.find(kind).unwrap_or_else(|| panic!("no {kind}"))
    }

    fn pod(&self) -> &Value {
        &self.get("Deployment")["spec"]["template"]
    }

    fn container(&self) -> &Value {
        let containers = self.pod()["spec"]["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 1);
        &containers[0]
    }
}

#[test]
fn every_folder_meets_the_schemas() {
    if !tools() {
        return;
    }
    for (folder, _) in FOLDERS {
        let (good, text) = against_schemas(&build(folder));
        assert!(good, "{folder}: {text}");
        let kinds = if folder == "base" { 5 } else { 7 };
        let lines = text
            .lines()
            .filter(|line| line.starts_with("good "))
            .count();
        assert_eq!(lines, kinds * VERSIONS.len(), "{folder}: {text}");
    }
}

#[test]
fn the_schemas_find_what_is_wrong() {
    if !tools() {
        return;
    }
    let yaml = build("cluster-1");
    let check = |from: &str, to: &str, want: &str| {
        assert!(yaml.contains(from), "{from}");
        let (good, text) = against_schemas(&yaml.replace(from, to));
        assert!(!good, "{from} as {to} passed");
        let found = text
            .lines()
            .any(|line| line.starts_with("WRONG ") && line.contains(want));
        assert!(found, "no {want:?} in: {text}");
    };
    check(
        "readOnlyRootFilesystem",
        "readOnlyRootFileSystem",
        "'readOnlyRootFileSystem' was unexpected",
    );
    check("replicas: 2", "replicas: two", "spec.replicas: 'two'");
    check(
        "apiVersion: apps/v1",
        "apiVersion: apps/v2",
        "Couldn't find schema for kind Deployment",
    );
    check(
        "sessionAffinity: ClientIP",
        "sessionAfinity: ClientIP",
        "'sessionAfinity' was unexpected",
    );
    check(
        "- interval: 15s",
        "- intervall: 15s",
        "'intervall' was unexpected",
    );
    check(
        "scrapeInterval: 15s",
        "scrapeInterval: 15",
        "15 is not of type 'string'",
    );
    check(
        "kind: ScrapeConfig",
        "kind: ScrapeConfigs",
        "Couldn't find schema",
    );
}

#[test]
fn the_objects_fit_together() {
    if !tools() {
        return;
    }
    for (folder, _) in FOLDERS {
        let objects = Objects::of(folder);
        for object in &objects.0 {
            assert_eq!(object["metadata"]["namespace"], "monitoring", "{object}");
            assert_eq!(
                object["metadata"]["labels"][NAME_LABEL], "tributary",
                "{object}"
            );
        }
        assert_eq!(objects.pod()["metadata"]["labels"][NAME_LABEL], "tributary");
        let selectors = [
            ("Deployment", "/spec/selector/matchLabels"),
            ("Service", "/spec/selector"),
            ("PodDisruptionBudget", "/spec/selector/matchLabels"),
            ("NetworkPolicy", "/spec/podSelector/matchLabels"),
            ("ServiceMonitor", "/spec/selector/matchLabels"),
        ];
        for (kind, pointer) in selectors {
            // An empty selector means all pods, or none: never these.
            let Some(object) = objects.find(kind) else {
                assert_eq!((folder, kind), ("base", "ServiceMonitor"));
                continue;
            };
            let labels = object
                .pointer(pointer)
                .unwrap_or_else(|| panic!("{kind}: no {pointer}"));
            assert_eq!(
                *labels,
                serde_json::json!({NAME_LABEL: "tributary"}),
                "{kind}"
            );
        }
        check_ports(&objects);
        check_volume(&objects);
    }
}

fn check_ports(objects: &Objects) {
    let ports = &objects.container()["ports"];
    assert_eq!(
        *ports,
        serde_json::json!([{"name": "http", "containerPort": 9095}])
    );
    let service = &objects.get("Service")["spec"]["ports"][0];
    assert_eq!(
        (&service["name"], &service["targetPort"]),
        (&ports[0]["name"], &ports[0]["name"])
    );
    assert_eq!(
        objects.get("NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["port"],
        "http"
    );
    for (probe, path) in [
        ("livenessProbe", "/-/healthy"),
        ("readinessProbe", "/-/ready"),
    ] {
        let get = &objects.container()[probe]["httpGet"];
        assert_eq!((&get["path"], &get["port"]), (&path.into(), &"http".into()));
    }
    if let Some(monitor) = objects.find("ServiceMonitor") {
        assert_eq!(monitor["spec"]["endpoints"][0]["port"], service["name"]);
        let url = &objects.get("ScrapeConfig")["spec"]["httpSDConfigs"][0]["url"];
        let port = &service["port"];
        assert_eq!(
            url,
            &*format!("http://tributary.monitoring.svc:{port}/sd/prometheus")
        );
    }
}

/// The generated map is mounted where the flag looks for its file.
fn check_volume(objects: &Objects) {
    let map = objects.get("ConfigMap")["metadata"]["name"]
        .as_str()
        .unwrap();
    assert!(
        map.starts_with("tributary-"),
        "{map} would not roll the pods"
    );
    let sources = &objects.pod()["spec"]["volumes"][0]["projected"]["sources"];
    assert_eq!(sources[0]["configMap"]["name"], map);
    assert_eq!(sources[1]["secret"]["name"], "tributary-credentials");
    let mount = &objects.container()["volumeMounts"][0];
    assert_eq!(mount["name"], objects.pod()["spec"]["volumes"][0]["name"]);
    assert_eq!(mount["readOnly"], true);
    let file = format!(
        "--config.file={}/tributary.yaml",
        mount["mountPath"].as_str().unwrap()
    );
    assert_eq!(objects.container()["args"][0], *file);
}

/// What Kubernetes calls the restricted policy, and a root that cannot be written.
#[test]
fn the_pods_can_do_nothing_but_their_work() {
    if !tools() {
        return;
    }
    for (folder, _) in FOLDERS {
        let objects = Objects::of(folder);
        let pod = &objects.pod()["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        for key in ["hostNetwork", "hostPID", "hostIPC", "serviceAccountName"] {
            assert_eq!(pod[key], Value::Null, "{key}");
        }
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], true);
        assert_eq!(security["runAsUser"], image_user());
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
        let security = &objects.container()["securityContext"];
        let want = serde_json::json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        });
        assert_eq!(*security, want);
        let resources = &objects.container()["resources"];
        for pointer in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
            assert!(resources.pointer(pointer).is_some(), "{pointer}");
        }
        assert!(objects.get("Deployment")["spec"]["replicas"].as_u64() >= Some(2));
    }
}

/// The user under which the image runs.
fn image_user() -> u64 {
    let text = fs::read_to_string(project().join("Dockerfile")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("USER "))
        .unwrap();
    line.split(':').next().unwrap().parse().unwrap()
}

#[test]
fn the_program_takes_its_flags_and_the_configuration() {
    if !tools() {
        return;
    }
    for (folder, keys) in FOLDERS {
        let objects = Objects::of(folder);
        assert_eq!(
            objects.container()["image"],
            concat!("tributary:", env!("CARGO_PKG_VERSION"))
        );
        let volume = tempfile::tempdir().unwrap();
        for (name, text) in objects.get("ConfigMap")["data"].as_object().unwrap() {
            fs::write(volume.path().join(name), text.as_str().unwrap()).unwrap();
        }
        let file = volume.path().join("tributary.yaml");
        let file = file.to_str().unwrap();
        // Without the Secret's files it says which ones are missing: these, and no other.
        let (out, _) = run(&["check-config", file], 0);
        check_contains(&out, keys);
        assert_eq!(
            out.matches("warning").count(),
            keys.len(),
            "{folder}: {out}"
        );
        for key in keys {
            fs::write(volume.path().join(key), "secret").unwrap();
        }
        let (out, err) = run(&["check-config", file], 0);
        assert_eq!(err, "", "{folder}");
        check_contains(
            &out,
            &["ok, 2 clusters", "cluster-1: http", "cluster-2: http"],
        );
        assert!(!out.contains("warning"), "{folder}: {out}");

        // The flags are known: what fails is the file, which is not there.
        let args = objects.container()["args"].as_array().unwrap();
        let mut args: Vec<&str> = args.iter().map(|arg| arg.as_str().unwrap()).collect();
        args[0] = "--config.file=/absent/tributary.yaml";
        let (_, err) = run(&args, 2);
        check_contains(&err, &["/absent/tributary.yaml", "cannot be read"]);
    }
}
