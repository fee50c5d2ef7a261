//! What decides which labels a series leaves with: relabelling, then the cluster's own labels.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;

use super::cache::INSTANCE;
use super::limits::Limits;
use super::report::Dropped;
use crate::model::labels::{Labels, METRIC_NAME};
use crate::parse::{Sample, number};
use crate::relabel;

/// What happens to a cluster label that a series already has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LabelConflict {
    /// It becomes `exported_cluster`; a value that is the server's own external label is replaced.
    #[default]
    Rename,
    /// It stays, as long as its value belongs to no other cluster.
    Honor,
    /// It is replaced.
    Override,
}

/// What a line that cannot be read costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadLine {
    /// Its family, for this round.
    #[default]
    Quarantine,
    /// The round.
    Fail,
}

/// The rules of one cluster. A cache is good for one set of rules only.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The value of the cluster label.
    pub cluster: String,
    /// The label that carries the cluster's name.
    pub cluster_label: String,
    /// What happens where a series has it already.
    pub conflict: LabelConflict,
    /// The configured labels of the cluster and the external labels of its server, added where a series lacks them.
    pub constants: Vec<(String, String)>,
    /// Labels that every series loses: they tell replicas of the same server apart.
    pub replica_labels: Vec<String>,
    /// Metric relabelling, before any of these.
    pub relabel: Vec<relabel::Rule>,
    /// Whether `le="1"` becomes `le="1.0"`, as Prometheus 3 writes it.
    pub normalize_le: bool,
    /// Whether timestamps of the body are kept; else every sample gets the time of the round.
    pub honor_timestamps: bool,
    /// What a bad line costs.
    pub on_bad_line: OnBadLine,
    /// Limits on series and labels.
    pub limits: Limits,
    /// Who owns which value of the cluster label, under [`LabelConflict::Honor`].
    pub claims: Arc<Claims>,
    /// Where labels that a series has already are noted, when somebody wants to know.
    pub clashes: Option<Arc<Clashes>>,
}

/// Labels that series have already and that were to be added: how many series, and the first such value, by name.
#[derive(Debug, Default)]
pub struct Clashes(Mutex<BTreeMap<String, (u64, String)>>);

impl Clashes {
    fn note(&self, name: &str, value: &str) {
        let mut clashes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match clashes.get_mut(name) {
            Some((series, _)) => *series += 1,
            None => drop(clashes.insert(name.to_owned(), (1, value.to_owned()))),
        }
    }

    /// Name, series and first value of each.
    pub fn list(&self) -> Vec<(String, u64, String)> {
        let clashes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = |(name, (series, value)): (&String, &(u64, String))| {
            (name.clone(), *series, value.clone())
        };
        clashes.iter().map(entry).collect()
    }
}

/// Values of the cluster label that are remembered; a value beyond them belongs to nobody. Upstreams choose the
/// values, so there must be an end.
const CLAIMS_MAX: usize = 10_000;

/// Owners of cluster label values. A configured cluster owns its name; any other value belongs to the cluster that
/// first sent it, as long as that is configured.
#[derive(Debug, Default)]
pub struct Claims {
    owners: DashMap<String, String>,
}

impl Claims {
    /// From now on these are the configured clusters: they own their names, and what others owned is nobody's.
    pub fn configure<'a>(&self, clusters: impl IntoIterator<Item = &'a str>) {
        let names: HashSet<&str> = clusters.into_iter().collect();
        self.owners.retain(|value, owner| {
            names.contains(&**owner) && (owner == value || !names.contains(&**value))
        });
        for name in names {
            self.owners.insert(name.to_owned(), name.to_owned());
        }
    }

    /// Whether `value` is the cluster's, claiming it if it is nobody's.
    fn claim(&self, value: &str, cluster: &str) -> bool {
        if let Some(owner) = self.owners.get(value) {
            return *owner == cluster;
        }
        if self.owners.len() >= CLAIMS_MAX {
            return false;
        }
        *self
            .owners
            .entry(value.to_owned())
            .or_insert_with(|| cluster.to_owned())
            == cluster
    }
}

/// The labels that a series leaves with.
#[derive(Debug)]
pub struct Stamped {
    /// All labels that have a value, the name too.
    pub labels: Labels,
    /// Whether `instance=""` is written, since there is no instance.
    pub blank_instance: bool,
}

impl Rules {
    /// The same rules with other constants.
    #[must_use]
    pub fn with_constants(&self, constants: Vec<(String, String)>) -> Self {
        Self {
            constants,
            ..self.clone()
        }
    }

    /// Labels for a sample, or the reason why it is dropped.
    pub fn stamp(&self, sample: &Sample<'_>) -> Result<Stamped, Dropped> {
        let pairs = sample
            .labels
            .iter()
            .map(|label| (&*label.name, &*label.value));
        let mut labels = Labels::from_pairs(pairs.chain([(METRIC_NAME, &*sample.name)]));
        if self.normalize_le {
            normalize_le(&mut labels);
        }
        if !relabel::apply(&self.relabel, &mut labels) {
            return Err(Dropped::Relabel);
        }
        if labels.name().is_none() {
            return Err(Dropped::NoName);
        }
        for name in &self.replica_labels {
            labels.remove(name);
        }
        self.stamp_cluster(&mut labels)?;
        for (name, value) in &self.constants {
            match labels.get(name) {
                None => labels.set(name, value),
                Some(theirs) if theirs != value && *name != self.cluster_label => {
                    self.clash(name, theirs);
                }
                Some(_) => {}
            }
        }
        let blank_instance = labels.get(INSTANCE).is_none();
        Ok(Stamped {
            labels,
            blank_instance,
        })
    }

    fn stamp_cluster(&self, labels: &mut Labels) -> Result<(), Dropped> {
        let label = &*self.cluster_label;
        if let Some(theirs) = labels.get(label).map(str::to_owned) {
            if self.own_external(label) != Some(&theirs) {
                self.clash(label, &theirs);
            }
            match self.conflict {
                LabelConflict::Honor if self.claims.claim(&theirs, &self.cluster) => return Ok(()),
                LabelConflict::Honor => return Err(Dropped::Cluster),
                LabelConflict::Rename if self.own_external(label) != Some(&theirs) => {
                    let mut renamed = format!("exported_{label}");
                    while labels.get(&renamed).is_some() {
                        renamed.insert_str(0, "exported_");
                    }
                    labels.set(&renamed, &theirs);
                }
                LabelConflict::Rename | LabelConflict::Override => {}
            }
        }
        labels.set(label, &self.cluster);
        Ok(())
    }

    fn clash(&self, name: &str, theirs: &str) {
        if let Some(clashes) = &self.clashes {
            clashes.note(name, theirs);
        }
    }

    /// The server's own external label of that name.
    fn own_external(&self, label: &str) -> Option<&str> {
        self.constants
            .iter()
            .find(|(name, _)| name == label)
            .map(|(_, value)| &**value)
    }
}

/// Writes the `le` of a bucket as Prometheus 3 and OpenMetrics do: whole numbers with `.0`.
fn normalize_le(labels: &mut Labels) {
    let is_bucket = labels.name().is_some_and(|name| name.ends_with("_bucket"));
    let Some(le) = labels.get("le").filter(|_| is_bucket) else {
        return;
    };
    let Ok(bound) = number::parse(le.as_bytes()) else {
        return;
    };
    let mut text = Vec::new();
    number::write_float(&mut text, bound);
    if bound.is_finite() && !text.iter().any(|byte| matches!(byte, b'.' | b'e')) {
        text.extend_from_slice(b".0");
    }
    labels.set("le", &String::from_utf8_lossy(&text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{self, Entry, Format, Step};

    fn rules() -> Rules {
        Rules {
            cluster: "c1".into(),
            cluster_label: "cluster".into(),
            ..Rules::default()
        }
    }

    /// Labels after the rules, as `name|a=b|…`, `instance=` for the blank one.
    fn stamp(rules: &Rules, line: &str) -> String {
        let line = format!("{line} 1\n");
        let Ok(Step::Entry {
            entry: Entry::Sample(sample),
            ..
        }) = parse::next(Format::Text, line.as_bytes(), true)
        else {
            panic!("{line}")
        };
        match rules.stamp(&sample) {
            Ok(stamped) => {
                let mut text = stamped.labels.name().unwrap().to_owned();
                for (name, value) in stamped
                    .labels
                    .iter()
                    .filter(|(name, _)| *name != METRIC_NAME)
                {
                    text.extend(["|", name, "=", value]);
                }
                text + if stamped.blank_instance {
                    "|instance="
                } else {
                    ""
                }
            }
            Err(reason) => reason.reason().to_owned(),
        }
    }

    #[test]
    fn the_cluster_is_stamped_and_instance_is_never_missing() {
        assert_eq!(stamp(&rules(), "up"), "up|cluster=c1|instance=");
        assert_eq!(
            stamp(&rules(), r#"up{instance="i",job="j"}"#),
            "up|cluster=c1|instance=i|job=j"
        );
        assert_eq!(
            stamp(&rules(), r#"up{instance="",job="j"}"#),
            "up|cluster=c1|job=j|instance="
        );
        let rules = Rules {
            constants: vec![("instance".into(), "x".into())],
            ..rules()
        };
        assert_eq!(stamp(&rules, "up"), "up|cluster=c1|instance=x");
    }

    #[test]
    fn a_cluster_label_of_theirs_follows_the_policy() {
        let line = r#"up{cluster="x",instance="i"}"#;
        assert_eq!(
            stamp(&rules(), line),
            "up|cluster=c1|exported_cluster=x|instance=i"
        );
        let taken = r#"up{cluster="x",exported_cluster="y",instance="i"}"#;
        let want = "up|cluster=c1|exported_cluster=y|exported_exported_cluster=x|instance=i";
        assert_eq!(stamp(&rules(), taken), want);
        let own = Rules {
            constants: vec![("cluster".into(), "x".into())],
            ..rules()
        };
        assert_eq!(stamp(&own, line), "up|cluster=c1|instance=i");
        let over = Rules {
            conflict: LabelConflict::Override,
            ..rules()
        };
        assert_eq!(stamp(&over, line), "up|cluster=c1|instance=i");
    }

    #[test]
    fn under_honor_a_value_has_one_owner() {
        let claims = Arc::new(Claims::default());
        claims.configure(["c1", "c2"]);
        let of = |cluster: &str| Rules {
            cluster: cluster.into(),
            conflict: LabelConflict::Honor,
            claims: claims.clone(),
            ..rules()
        };
        assert_eq!(
            stamp(&of("c1"), r#"up{cluster="x",instance="i"}"#),
            "up|cluster=x|instance=i"
        );
        assert_eq!(
            stamp(&of("c2"), r#"up{cluster="x",instance="i"}"#),
            "cluster_label"
        );
        assert_eq!(
            stamp(&of("c2"), r#"up{cluster="c1",instance="i"}"#),
            "cluster_label"
        );
        assert_eq!(
            stamp(&of("c2"), r#"up{instance="i"}"#),
            "up|cluster=c2|instance=i"
        );
        claims.configure(["c2", "c3"]);
        assert_eq!(
            stamp(&of("c2"), r#"up{cluster="x",instance="i"}"#),
            "up|cluster=x|instance=i",
            "what a removed cluster owned is free"
        );
        assert_eq!(
            stamp(&of("c2"), r#"up{cluster="c3",instance="i"}"#),
            "cluster_label"
        );
    }

    #[test]
    fn constants_never_replace_and_replica_labels_go() {
        let rules = Rules {
            constants: vec![("region".into(), "eu".into()), ("job".into(), "no".into())],
            replica_labels: vec!["replica".into()],
            ..rules()
        };
        let line = r#"up{instance="i",job="j",replica="0"}"#;
        assert_eq!(
            stamp(&rules, line),
            "up|cluster=c1|instance=i|job=j|region=eu"
        );
    }

    #[test]
    fn le_is_normalized_on_buckets_only() {
        let rules = Rules {
            normalize_le: true,
            ..rules()
        };
        let check = |line: &str, want: &str| assert_eq!(stamp(&rules, line), want);
        check(
            r#"a_bucket{instance="i",le="1"}"#,
            "a_bucket|cluster=c1|instance=i|le=1.0",
        );
        check(
            r#"a_bucket{instance="i",le="0.50"}"#,
            "a_bucket|cluster=c1|instance=i|le=0.5",
        );
        check(
            r#"a_bucket{instance="i",le="+Inf"}"#,
            "a_bucket|cluster=c1|instance=i|le=+Inf",
        );
        check(
            r#"a_bucket{instance="i",le="x"}"#,
            "a_bucket|cluster=c1|instance=i|le=x",
        );
        check(r#"a{instance="i",le="1"}"#, "a|cluster=c1|instance=i|le=1");
    }
}
