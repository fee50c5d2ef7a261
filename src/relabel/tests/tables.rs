//! Prometheus' own tables for relabelling, read from the folder that `TRIBUTARY_TESTDATA` names. Without it these tests
//! say that they left something out; with it, a missing or empty file fails.

use std::path::PathBuf;

use serde_json::Value;

use super::*;

/// One of Prometheus' tables, or `None` (said so) where the folder is not named.
#[expect(
    clippy::print_stderr,
    reason = "a test that leaves something out has to say so"
)]
fn table(name: &str) -> Option<Vec<Value>> {
    let Some(folder) = std::env::var_os("TRIBUTARY_TESTDATA") else {
        eprintln!("left out: TRIBUTARY_TESTDATA is not set, so relabel/{name} was not checked");
        return None;
    };
    let path = PathBuf::from(folder).join("relabel").join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|err| panic!("cannot read {}: {err}", path.display()));
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty(), "{} holds no case", path.display());
    Some(cases)
}

fn spec_of(rule: &Value) -> RuleSpec {
    let text = |key: &str| {
        rule.get(key)
            .map(|value| value.as_str().unwrap().to_owned())
    };
    let list = |key: &str| -> Option<Vec<String>> {
        let names = rule.get(key)?.as_array().unwrap();
        Some(
            names
                .iter()
                .map(|name| name.as_str().unwrap().to_owned())
                .collect(),
        )
    };
    RuleSpec {
        source_labels: list("source_labels"),
        separator: text("separator"),
        regex: text("regex"),
        modulus: rule.get("modulus").map(|value| value.as_u64().unwrap()),
        target_label: text("target_label"),
        replacement: text("replacement"),
        action: text("action"),
    }
}

fn labels_of(value: &Value) -> Labels {
    let pairs = value.as_object().unwrap();
    Labels::from_pairs(
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap())),
    )
}

#[test]
fn prometheus_relabel_table() {
    let Some(cases) = table("relabel.json") else {
        return;
    };
    for case in &cases {
        let rules = case["relabel_configs"].as_array().unwrap();
        let rules: Vec<Rule> = rules
            .iter()
            .map(|rule| Rule::compile(&spec_of(rule), NameScheme::Utf8).unwrap())
            .collect();
        let mut labels = labels_of(&case["input"]);
        let kept = apply(&rules, &mut labels);
        assert_eq!(!kept, case["drop"].as_bool().unwrap(), "{case}");
        if kept {
            assert_eq!(labels, labels_of(&case["output"]), "{case}");
        }
    }
    crate::testdata::count("relabel", cases.len());
}

#[test]
fn prometheus_validation_table() {
    let Some(cases) = table("validate.json") else {
        return;
    };
    for case in &cases {
        let config = &case["config"];
        let scheme = match config["_validation"].as_str().unwrap() {
            "model.LegacyValidation" => NameScheme::Legacy,
            "model.UTF8Validation" => NameScheme::Utf8,
            other => panic!("no such scheme: {other}"),
        };
        let mut spec = spec_of(config);
        spec.action.get_or_insert_default(); // these rules were built in code, where no action is the empty one
        let text =
            Rule::compile(&spec, scheme).map_or_else(|err| err.to_string(), |_| String::new());
        assert_eq!(text, case["expected_error"].as_str().unwrap(), "{case}");
    }
    crate::testdata::count("relabel_validate", cases.len());
}

#[test]
fn prometheus_target_label_table() {
    let Some(cases) = table("target_label_legacy_validity.json") else {
        return;
    };
    for case in &cases {
        let target = case["target_label"].as_str().unwrap();
        let valid = Rule::compile(&spec(&format!("target={target}")), NameScheme::Legacy).is_ok();
        assert_eq!(valid, case["valid"].as_bool().unwrap(), "{target:?}");
    }
    crate::testdata::count("relabel_target_label", cases.len());
}
