//! `metric_relabel_configs`: the rules as written in, compiled rules out, an error at the line of the key at fault.

use super::decode::{Field, Section};
use crate::relabel::{NameScheme, Rule, RuleSpec};

/// Keys of one rule.
pub(super) const KEYS: &[&str] = &[
    "source_labels",
    "separator",
    "regex",
    "modulus",
    "target_label",
    "replacement",
    "action",
];

/// Reads and compiles all rules of a cluster. Label names follow Prometheus 3, where any UTF-8 text is one.
pub(super) fn read(field: &Field<'_>) -> Vec<Rule> {
    read_in(field, NameScheme::Utf8)
}

/// The same for labels that are named by `scheme`.
pub(super) fn read_in(field: &Field<'_>, scheme: NameScheme) -> Vec<Rule> {
    field
        .items()
        .unwrap_or_default()
        .iter()
        .filter_map(|field| rule(field, scheme))
        .collect()
}

fn rule(field: &Field<'_>, scheme: NameScheme) -> Option<Rule> {
    let section = field.section(&[KEYS], &[])?;
    match Rule::compile(&spec(&section), scheme) {
        Ok(rule) => Some(rule),
        Err(error) => {
            let text = format!("{error}; see relabel_config in Prometheus' documentation");
            match section.get(error.key()) {
                Some(key) => key.fail(text),
                None => section.fail(text),
            }
            None
        }
    }
}

fn spec(section: &Section<'_>) -> RuleSpec {
    let text = |key: &str| section.read(key, |text| Ok(text.to_owned()));
    RuleSpec {
        source_labels: section
            .get("source_labels")
            .and_then(|field| field.list(|text| Ok(text.to_owned()))),
        separator: text("separator"),
        regex: text("regex"),
        modulus: section.number("modulus"),
        target_label: text("target_label"),
        replacement: text("replacement"),
        action: text("action"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::decode::Field;
    use super::super::problem::Problems;
    use super::super::tree;

    /// The rules of the first scrape configuration in a file of Prometheus; `None` when it has none.
    fn first_rules<'t>(root: &Field<'t>) -> Option<Field<'t>> {
        let child = |field: &Field<'t>, names: &[&str]| {
            let found = field
                .entries()?
                .into_iter()
                .find(|(key, _)| names.contains(key));
            found.map(|(_, field)| field)
        };
        let first = child(root, &["scrape_configs"])?
            .items()?
            .into_iter()
            .next()?;
        child(&first, &["relabel_configs", "metric_relabel_configs"])
    }

    /// How many problems the file's rules have; `None` when there are no rules in it.
    fn problems_of(file: &Path) -> Option<usize> {
        let text = std::fs::read_to_string(file).expect("the file is text");
        let root = tree::parse(&text).ok()?;
        let problems = Problems::default();
        super::read(&first_rules(&Field::root(&root, &problems))?);
        Some(
            problems
                .finish("")
                .map_or_else(|errors| errors.problems.len(), |()| 0),
        )
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a test that is left out says so")]
    fn rules_that_prometheus_refuses_are_refused() {
        let Some(folder) = std::env::var_os("TRIBUTARY_TESTDATA") else {
            eprintln!("left out: TRIBUTARY_TESTDATA is not set");
            return;
        };
        let files = std::fs::read_dir(Path::new(&folder).join("config"))
            .expect("the test data hold config");
        let mut tried = 0;
        for file in files.map(|file| file.expect("the folder can be listed").path()) {
            let bad = file.to_string_lossy().ends_with(".bad.yml");
            if let Some(found) = problems_of(&file) {
                assert_eq!(found, usize::from(bad), "{}", file.display());
                tried += 1;
            }
        }
        assert!(tried >= 16, "only {tried} files with rules");
        crate::testdata::count("config_rules", tried);
    }
}
