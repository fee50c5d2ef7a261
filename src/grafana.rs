//! Grafana's data sources: the clusters in, the text of a provisioning file out ([`provisioning`]), and what differs
//! between such a file on disk and that text ([`compare`]). No file is read or written here.
//!
//! What Grafana does with these files decides their form: it finds a data source by its name and never changes the
//! uid of one that it has, dashboards refer to the uid, `$` in a value begins a variable, and panels take the length
//! of `$__rate_interval` from `timeInterval`. So names and uids depend on the clusters' names alone (`names`), every
//! text from outside is quoted and escaped (`write`), and `timeInterval` is the interval at which a cluster is
//! scraped.

mod check;
mod names;
mod write;

use std::time::Duration;

pub use check::{NoProvisioning, compare};

/// Whose data sources, and where Grafana finds them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The clusters in any order, their names unique; at least one.
    pub clusters: Vec<Cluster>,
    /// Tributary's address as Grafana sees it, without slash at the end.
    pub url: String,
    /// That of a Prometheus which scrapes Tributary and holds all clusters.
    pub central_url: Option<String>,
    /// Whether All-Clusters is the data source of new panels. Grafana refuses a second one beside another file's.
    pub is_default: bool,
    /// Name with which Grafana asks Tributary. The password is `TRIBUTARY_PASSWORD` in Grafana's environment.
    pub user: Option<String>,
}

/// What a data source says of its cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The cluster's name: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// Time between two of its rounds, in whole milliseconds.
    pub scrape_interval: Duration,
}

/// One entry of the file.
#[derive(Debug, PartialEq)]
struct DataSource {
    name: String,
    uid: String,
    url: String,
    /// The name to log in with.
    user: Option<String>,
    is_default: bool,
    scrape_interval: Duration,
}

/// The file for these clusters: one data source each, by name, then All-Clusters. The same clusters in any order give
/// the same bytes.
pub fn provisioning(settings: &Settings) -> String {
    write::file(&data_sources(settings))
}

fn data_sources(settings: &Settings) -> Vec<DataSource> {
    let mut clusters: Vec<&Cluster> = settings.clusters.iter().collect();
    clusters.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let titles = names::titles(clusters.iter().map(|cluster| cluster.name.as_str()));
    let mut sources: Vec<DataSource> = clusters
        .iter()
        .zip(titles)
        .map(|(cluster, name)| DataSource {
            name,
            uid: names::uid(&cluster.name),
            url: format!("{}/clusters/{}", settings.url, cluster.name),
            user: settings.user.clone(),
            is_default: false,
            scrape_interval: cluster.scrape_interval,
        })
        .collect();
    sources.extend(of_all_clusters(settings));
    sources
}

/// The data sources that hold every cluster: "All-Clusters" is Tributary itself unless a central Prometheus is named,
/// "All-Clusters (recent)" is what Tributary keeps in memory.
fn of_all_clusters(settings: &Settings) -> [DataSource; 2] {
    // A rate over all clusters needs two samples of the slowest one.
    let slowest = settings.clusters.iter().map(|c| c.scrape_interval).max();
    let all = DataSource {
        name: names::ALL.to_owned(),
        uid: names::UID_ALL.to_owned(),
        url: settings.url.clone(),
        user: settings.user.clone(),
        is_default: settings.is_default,
        scrape_interval: slowest.unwrap_or_default(),
    };
    let recent = DataSource {
        name: names::RECENT.to_owned(),
        uid: names::UID_RECENT.to_owned(),
        url: format!("{}/recent", settings.url),
        user: settings.user.clone(),
        is_default: false,
        scrape_interval: all.scrape_interval,
    };
    let all = match &settings.central_url {
        Some(central) => DataSource {
            url: central.clone(),
            user: None,
            ..all
        },
        None => all,
    };
    [all, recent]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(clusters: &[(&str, u64)]) -> Settings {
        Settings {
            clusters: clusters
                .iter()
                .map(|&(name, seconds)| Cluster {
                    name: name.to_owned(),
                    scrape_interval: Duration::from_secs(seconds),
                })
                .collect(),
            url: "http://tributary:9095".to_owned(),
            central_url: None,
            is_default: true,
            user: None,
        }
    }

    fn list(settings: &Settings) -> Vec<(String, String, u64, bool)> {
        data_sources(settings)
            .into_iter()
            .map(|source| {
                let seconds = source.scrape_interval.as_secs();
                (source.name, source.url, seconds, source.is_default)
            })
            .collect()
    }

    fn line(name: &str, url: &str, seconds: u64, default: bool) -> (String, String, u64, bool) {
        (name.to_owned(), url.to_owned(), seconds, default)
    }

    #[test]
    fn each_cluster_has_its_own_by_name_whatever_the_order() {
        let want = [
            line("A", "http://tributary:9095/clusters/a", 60, false),
            line("B-1", "http://tributary:9095/clusters/b-1", 15, false),
        ];
        assert_eq!(list(&settings(&[("b-1", 15), ("a", 60)]))[..2], want);
        let other = settings(&[("a", 60), ("b-1", 15)]);
        assert_eq!(
            provisioning(&settings(&[("b-1", 15), ("a", 60)])),
            provisioning(&other)
        );
    }

    #[test]
    fn all_clusters_is_us_unless_a_central_server_is_named() {
        let mut fleet = settings(&[("a", 15), ("b", 60)]);
        let url = "http://tributary:9095/recent";
        let recent = line("All-Clusters (recent)", url, 60, false);
        let own = line("All-Clusters", "http://tributary:9095", 60, true);
        assert_eq!(list(&fleet)[2..], [own, recent.clone()]);
        fleet.central_url = Some("http://central:9090".to_owned());
        let central = line("All-Clusters", "http://central:9090", 60, true);
        assert_eq!(list(&fleet)[2..], [central, recent]);
        fleet.is_default = false;
        let defaults = list(&fleet).into_iter().filter(|line| line.3);
        assert_eq!(defaults.count(), 0);
    }

    #[test]
    fn the_user_is_for_us_and_not_for_the_central_server() {
        let mut fleet = settings(&[("a", 15)]);
        fleet.user = Some("grafana".to_owned());
        fleet.central_url = Some("http://central:9090".to_owned());
        let users: Vec<_> = data_sources(&fleet)
            .into_iter()
            .map(|source| source.user)
            .collect();
        let user = Some("grafana".to_owned());
        assert_eq!(users, [user.clone(), None, user]);
    }

    #[test]
    fn names_and_uids_are_unique_as_grafana_compares_them() {
        let long = "x".repeat(63);
        let names = [
            "eu",
            "Eu",
            "EU",
            "a.b",
            "a-b",
            "a_b",
            "all-clusters",
            "All-Clusters",
            &long,
        ];
        let fleet = settings(&names.map(|name| (name, 15)));
        let sources = data_sources(&fleet);
        for key in [
            |source: &DataSource| source.name.to_lowercase(),
            |source: &DataSource| source.uid.to_lowercase(),
        ] {
            let mut keys: Vec<String> = sources.iter().map(key).collect();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), names.len() + 2, "{sources:?}");
        }
    }
}
