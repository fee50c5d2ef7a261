//! Names and uids of data sources: from the clusters' names alone, so that they are the same in every file.
//!
//! A uid has at most 40 characters of `[A-Za-z0-9_-]`. Both are unique in a way that survives a database which does
//! not tell upper from lower case (`MySQL`'s default).

use std::collections::HashSet;

use md5::{Digest, Md5};

/// The data source of all clusters.
pub(super) const ALL: &str = "All-Clusters";
/// That of the samples in memory.
pub(super) const RECENT: &str = "All-Clusters (recent)";
/// The uid of [`ALL`]. Those of clusters have a dash or two underscores.
pub(super) const UID_ALL: &str = "tributary";
/// The uid of [`RECENT`].
pub(super) const UID_RECENT: &str = "tributary_recent";

/// Longest uid, in bytes.
const UID_BYTES_MAX: usize = 40;
const DIGEST_HEX: usize = 12;

/// The data sources' names for clusters' names, in the same order: `cluster-1` is shown as `Cluster-1`. Where two
/// would be alike, the later one has a digest behind it.
pub(super) fn titles<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let mut taken: HashSet<String> = [ALL, RECENT].map(str::to_lowercase).into();
    names
        .map(|name| {
            let title = capitalised(name);
            if taken.insert(title.to_lowercase()) {
                title
            } else {
                format!("{title} ({})", digest(name))
            }
        })
        .collect()
}

fn capitalised(name: &str) -> String {
    let mut title = name.to_owned();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

/// `tributary-cluster-1` where that is a uid; else `tributary_`, what is left of the name, and a digest.
pub(super) fn uid(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let whole = format!("tributary-{name}");
    if whole.len() <= UID_BYTES_MAX && name.chars().all(plain) {
        return whole;
    }
    let room = UID_BYTES_MAX - "tributary__".len() - DIGEST_HEX;
    let kept: String = name
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if plain(c) { c } else { '-' })
        .take(room)
        .collect();
    format!("tributary_{kept}_{}", digest(name))
}

/// Tells names apart; nothing secret hangs on it.
fn digest(name: &str) -> String {
    let sum: [u8; 16] = Md5::digest(name).into();
    let hex = format!("{:032x}", u128::from_be_bytes(sum));
    hex[..DIGEST_HEX].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_the_name_where_it_can_be() {
        fn check(name: &str, want: &str) {
            let uid = uid(name);
            assert_eq!(uid, want, "{name}");
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            assert!(uid.len() <= 40 && uid.bytes().all(allowed), "{uid}");
        }
        check("cluster-1", "tributary-cluster-1");
        check("a_b", "tributary-a_b");
        check(&"x".repeat(30), &format!("tributary-{}", "x".repeat(30)));
        check(&"x".repeat(31), "tributary_xxxxxxxxxxxxxxxxx_48e95c91781d");
        check("a.b", "tributary_a-b_e32b629f6584");
        check("EU", "tributary_eu_f2e6e3b9bff5");
    }

    #[test]
    fn a_name_begins_with_a_capital() {
        fn check(names: &[&str], want: &[&str]) {
            assert_eq!(titles(names.iter().copied()), want);
        }
        check(&["cluster-1", "2nd", "EU"], &["Cluster-1", "2nd", "EU"]);
        check(&["Eu", "eu"], &["Eu", "Eu (4829322d03d1)"]);
        check(&["all-clusters"], &["All-clusters (b4c8913e6799)"]);
    }
}
