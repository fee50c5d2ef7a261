//! Names for clusters: valid and each only once, whatever the input calls them.

use std::collections::HashMap;

use super::Notes;
use super::target::Draft;
use crate::config::check::{CLUSTER_NAME_BYTES_MAX, cluster_name};

/// The names given so far, with the number that the next one of that name gets.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, u64>);

impl Names {
    /// Names all clusters: those that need no change come first, so that they keep their names.
    pub(super) fn give(mut self, drafts: &mut [Draft], notes: &mut Notes) {
        for unchanged in [true, false] {
            for draft in drafts.iter_mut().filter(|draft| draft.name.is_empty()) {
                let name = valid(&draft.wished);
                if unchanged && (name != draft.wished || self.0.contains_key(&name)) {
                    continue;
                }
                draft.name = self.unique(name);
                if draft.name != draft.wished && draft.is_label {
                    note(draft, notes);
                }
            }
        }
    }

    fn unique(&mut self, name: String) -> String {
        let Some(&number) = self.0.get(&name) else {
            self.0.insert(name.clone(), 2);
            return name;
        };
        let mut number = number;
        let given = loop {
            let suffix = format!("-{number}");
            number += 1;
            // All of it is ASCII by now.
            let length = name.len().min(CLUSTER_NAME_BYTES_MAX - suffix.len());
            let given = format!("{}{suffix}", &name[..length]);
            if !self.0.contains_key(&given) {
                break given;
            }
        };
        self.0.insert(name, number);
        self.0.insert(given.clone(), 2);
        given
    }
}

fn note(draft: &Draft, notes: &mut Notes) {
    let (wished, name) = (&draft.wished, &draft.name);
    let text = if cluster_name(wished).is_ok() {
        format!(
            "the cluster label {wished:?} of target {} is another target's too, so this cluster became {name}; if both are \
             replicas of one Prometheus, write one cluster with replicas: [url, url]",
            draft.target
        )
    } else {
        format!(
            "the cluster label {wished:?} is no name of a cluster here and became {name}; change queries that ask for it"
        )
    };
    notes.add(draft.line, &draft.job, "cluster", text);
}

/// The text as a cluster's name: what is not allowed becomes `-`.
fn valid(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            c
        } else {
            '-'
        }
    };
    let name: String = text
        .chars()
        .map(plain)
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(CLUSTER_NAME_BYTES_MAX)
        .collect();
    let name = name.trim_end_matches('-');
    if name.is_empty() {
        "cluster".to_owned()
    } else if cluster_name(text).is_ok() {
        text.to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_name() {
        fn check(text: &str, want: &str) {
            assert_eq!(valid(text), want);
            assert!(cluster_name(&valid(text)).is_ok(), "{text}");
        }
        check("cluster-1", "cluster-1");
        check("a-", "a-");
        check("EU West", "EU-West");
        check("_a", "a");
        check("-", "cluster");
        check("", "cluster");
        check("müller", "m-ller");
        check("[::1]", "1");
        check("prod/eu (old)", "prod-eu--old");
        check(&"a".repeat(70), &"a".repeat(63));
    }

    #[test]
    fn names_are_given_once() {
        let mut names = Names::default();
        let mut give = |name: &str| names.unique(name.to_owned());
        assert_eq!(give("a"), "a");
        assert_eq!(give("a"), "a-2");
        assert_eq!(give("a"), "a-3");
        assert_eq!(give("a-2"), "a-2-2");
        let long = "b".repeat(63);
        assert_eq!(give(&long), long);
        assert_eq!(give(&long), format!("{}-2", "b".repeat(61)));
    }
}
