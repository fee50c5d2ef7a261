//! Relabelling against vectors of our own; `tables` runs Prometheus' own.

mod tables;

use proptest::prelude::*;

use super::*;
use crate::model::labels::Labels;

/// A rule from `key=value` words: `sources=a,b action=keep regex=x`.
fn spec(text: &str) -> RuleSpec {
    let mut spec = RuleSpec::default();
    for word in text.split_whitespace() {
        let (key, value) = word
            .split_once('=')
            .expect("words of a rule have an equals sign");
        let value = value.to_owned();
        match key {
            "sources" => {
                let names = value.split(',').filter(|name| !name.is_empty());
                spec.source_labels = Some(names.map(str::to_owned).collect());
            }
            "sep" => spec.separator = Some(value),
            "regex" => spec.regex = Some(value),
            "modulus" => spec.modulus = Some(value.parse().unwrap()),
            "target" => spec.target_label = Some(value),
            "to" => spec.replacement = Some(value),
            "action" => spec.action = Some(value),
            _ => panic!("no such key: {key}"),
        }
    }
    spec
}

fn labels(text: &str) -> Labels {
    Labels::from_pairs(
        text.split_whitespace()
            .map(|pair| pair.split_once('=').expect("pairs")),
    )
}

/// Runs rules (one a line) over labels; `None` = dropped. Labels come back as `a=1 b=2`.
fn run(rules: &str, input: &str, scheme: NameScheme) -> Option<String> {
    let rules: Vec<Rule> = rules
        .lines()
        .map(|line| Rule::compile(&spec(line), scheme).unwrap())
        .collect();
    let mut labels = labels(input);
    apply(&rules, &mut labels).then(|| {
        labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    })
}

fn check(rules: &str, input: &str, want: Option<&str>) {
    assert_eq!(
        run(rules, input, NameScheme::Utf8).as_deref(),
        want,
        "{rules:?} on {input:?}"
    );
}

fn check_legacy(rules: &str, input: &str, want: Option<&str>) {
    assert_eq!(
        run(rules, input, NameScheme::Legacy).as_deref(),
        want,
        "{rules:?} on {input:?}"
    );
}

#[test]
fn replace() {
    check("sources=a target=b", "a=1", Some("a=1 b=1"));
    check("sources=a,c target=b", "a=1 c=2", Some("a=1 b=1;2 c=2"));
    check("sources=a,x,c target=b", "a=1 c=2", Some("a=1 b=1;;2 c=2"));
    check("sources=a,c sep= target=b", "a=1 c=2", Some("a=1 b=12 c=2"));
    check("sources=a regex=x target=b", "a=1", Some("a=1"));
    check("sources=a regex=x target=b to=y", "a=x", Some("a=x b=y"));
    check("sources=a regex=x target=b to=y", "a=xx", Some("a=xx"));
    check(
        "sources=a regex=(.)(.) target=b to=$2-$1",
        "a=xy",
        Some("a=xy b=y-x"),
    );
    check(
        "sources=a regex=(?P<one>.)(?<two>.) target=b to=${two}$$$one",
        "a=xy",
        Some("a=xy b=y$x"),
    );
    check(
        "sources=a regex=(.)(.) target=n_$1 to=$2",
        "a=xy",
        Some("a=xy n_x=y"),
    );
    check(
        "sources=a regex=f(.*) target=d to=ch$1-ch$1",
        "a=foo",
        Some("a=foo d=choo-choo"),
    );
    // An empty result deletes the target, as does a group that does not exist.
    check("sources=a target=a to=", "a=1 b=2", Some("b=2"));
    check(
        "sources=a regex=(.*) target=b to=$2",
        "a=1 b=2",
        Some("a=1"),
    );
    check(
        "sources=a regex=(.*) target=b to=$1x",
        "a=1 b=2",
        Some("a=1"),
    );
    check("sources=x target=b", "a=1 b=2", Some("a=1"));
    // No source and the default regex: the label is set for every series.
    check("target=b to=x", "a=1", Some("a=1 b=x"));
    check("target=b", "a=1 b=2", Some("a=1"));
    check("target=b to=x$1", "a=1", Some("a=1 b=x"));
    // An explicit empty regex matches the empty text only.
    check("sources=a regex= target=b to=x", "a=1", Some("a=1"));
    check("sources=c regex= target=b to=x", "a=1", Some("a=1 b=x"));
    check("action=REPLACE target=b to=x", "a=1", Some("a=1 b=x"));
    check(
        "sources=__name__ regex=(.+)_bytes target=unit to=bytes",
        "__name__=x_bytes",
        Some("__name__=x_bytes unit=bytes"),
    );
    // One rule sees what the rule before has done.
    check(
        "sources=a target=b\nsources=b target=c",
        "a=1",
        Some("a=1 b=1 c=1"),
    );
}

#[test]
fn replace_checks_the_expanded_target() {
    check_legacy(
        "sources=a regex=(.*) target=$1 to=v",
        "a=foo",
        Some("a=foo foo=v"),
    );
    check_legacy(
        "sources=a regex=(.*) target=$1 to=v",
        "a=foo.bar",
        Some("a=foo.bar"),
    );
    check_legacy("sources=a regex=(.*) target=$1 to=v", "a=1x", Some("a=1x"));
    check_legacy("sources=a regex=(.*) target=${3} to=v", "a=x", Some("a=x"));
    check_legacy(
        "sources=a regex=(.*) target=n_${1} to=v",
        "a=1x",
        Some("a=1x n_1x=v"),
    );
    check(
        "sources=a regex=(.*) target=$1 to=v",
        "a=foo.bar",
        Some("a=foo.bar foo.bar=v"),
    );
    check("sources=a regex=(.*) target=${3} to=v", "a=x", Some("a=x"));
    check(
        "sources=a regex=(.*) target=0${3} to=v",
        "a=x",
        Some("0=v a=x"),
    );
    check(
        "sources=a target=utf-8.name to=v",
        "a=x",
        Some("a=x utf-8.name=v"),
    );
    check("sources=a target=$$ to=v", "a=x", Some("$=v a=x"));
}

#[test]
fn keep_and_drop() {
    check("sources=a regex=f.* action=keep", "a=foo", Some("a=foo"));
    check("sources=a regex=f action=keep", "a=foo", None);
    check("sources=a regex=f|o action=drop", "a=foo", Some("a=foo"));
    check("sources=a regex=.*o.* action=drop", "a=foo", None);
    check("sources=a action=drop", "b=1", None);
    check("sources=a regex=.+ action=keep", "b=1", None);
    check("sources=a regex= action=keep", "b=1", Some("b=1"));
    check(
        "sources=a,b regex=1;2 action=keep",
        "a=1 b=2",
        Some("a=1 b=2"),
    );
    check("action=drop", "b=1", None);
    // The first rule that drops ends the run.
    check(
        "sources=a regex=1 action=drop\nsources=b target=a",
        "a=1 b=2",
        None,
    );
    check(
        "sources=a regex=1 action=keep\nsources=b regex=1 action=keep\ntarget=c to=1",
        "a=1 b=2",
        None,
    );
    check(
        "sources=a,b target=__name__\nsources=__name__ regex=1;2 action=keep",
        "a=1 b=2",
        Some("__name__=1;2 a=1 b=2"),
    );
}

#[test]
fn keepequal_and_dropequal() {
    check(
        "sources=a target=b action=keepequal",
        "a=1 b=1",
        Some("a=1 b=1"),
    );
    check("sources=a target=b action=keepequal", "a=1 b=2", None);
    check("sources=a target=b action=dropequal", "a=1 b=1", None);
    check(
        "sources=a target=b action=dropequal",
        "a=1 b=2",
        Some("a=1 b=2"),
    );
    check("sources=x target=y action=keepequal", "a=1", Some("a=1"));
    check("sources=x target=y action=dropequal", "a=1", None);
    check(
        "sources=a,c target=b action=KeepEqual",
        "a=1 b=1;2 c=2",
        Some("a=1 b=1;2 c=2"),
    );
}

#[test]
fn hashmod() {
    check(
        "sources=a target=h modulus=1000 action=hashmod",
        "a=foo",
        Some("a=foo h=696"),
    );
    check(
        "sources=a,b target=h modulus=1000 action=hashmod",
        "a=a b=b",
        Some("a=a b=b h=74"),
    );
    check(
        "target=h modulus=7 action=HashMod",
        "a=foo",
        Some("a=foo h=1"),
    );
    check(
        "target=h modulus=18446744073709551615 action=hashmod",
        "a=1",
        Some("a=1 h=16825458760271544958"),
    );
    check(
        "sources=a target=h modulus=1 action=hashmod",
        "a=foo",
        Some("a=foo h=0"),
    );
}

#[test]
fn labelmap() {
    check(
        "regex=b(.*) to=c$1 action=labelmap",
        "a=1 b1=2 b2=3",
        Some("a=1 b1=2 b2=3 c1=2 c2=3"),
    );
    check(
        "regex=__meta_(.+) action=labelmap",
        "__meta_x=1 x=2",
        Some("__meta_x=1 x=1"),
    );
    check(
        "regex=(.+) to=x_$1 action=labelmap",
        "a=1 b=2",
        Some("a=1 b=2 x_a=1 x_b=2"),
    );
    check("regex=a to=b action=labelmap", "a=1", Some("a=1 b=1"));
    // A copy is not copied again, and a label that is overwritten was read before.
    check(
        "regex=a(.*) to=aa$1 action=labelmap",
        "a=1 aa=2",
        Some("a=1 aa=1 aaa=2"),
    );
    // Of two labels that map to one name the later wins: by name, then those that earlier rules have set.
    check(
        "regex=(?:x|y)_(.*) action=labelmap",
        "x_a=1 y_a=2",
        Some("a=2 x_a=1 y_a=2"),
    );
    check(
        "target=x_a to=9\nregex=(?:x|y)_(.*) action=labelmap",
        "x_a=1 y_a=2",
        Some("a=9 x_a=9 y_a=2"),
    );
    let set_again =
        "target=x_a to=\ntarget=w_a to=8\ntarget=x_a to=9\nregex=(.)_(.*) to=$2 action=labelmap";
    check(set_again, "x_a=1 y_a=2", Some("a=9 w_a=8 x_a=9 y_a=2"));
    let dropped =
        "target=z_a to=8\nregex=z_a action=labeldrop\nregex=(.)_(.*) to=$2 action=labelmap";
    check(dropped, "x_a=1 y_a=2", Some("a=2 x_a=1 y_a=2"));
    // Names that are none are not made.
    check(
        "regex=a(.*) action=labelmap",
        "a=1 ab=2",
        Some("a=1 ab=2 b=2"),
    );
    check_legacy(
        "regex=a(.*) action=labelmap",
        "a.b=1 ab=2",
        Some("a.b=1 ab=2 b=2"),
    );
    check("regex=a(.*) action=labelmap", "a.b=1", Some(".b=1 a.b=1"));
}

#[test]
fn labeldrop_and_labelkeep() {
    check("regex=b.* action=labeldrop", "a=1 b=2 b1=3", Some("a=1"));
    check("regex=b action=labeldrop", "a=1 bb=2", Some("a=1 bb=2"));
    check(
        "regex=a|__name__ action=labelkeep",
        "__name__=x a=1 b=2",
        Some("__name__=x a=1"),
    );
    check(
        "regex=a action=labelkeep",
        "__name__=x a=1 b=2",
        Some("a=1"),
    );
    // Without a label left the series is gone.
    check("regex=x action=labelkeep", "a=1 b=2", None);
    check("action=labeldrop", "a=1", None);
    check("target=a to=", "a=1", None);
}

#[test]
fn lowercase_and_uppercase() {
    check(
        "sources=a target=b action=lowercase",
        "a=bAr123FÉ",
        Some("a=bAr123FÉ b=bar123fé"),
    );
    check(
        "sources=a target=b action=uppercase",
        "a=bAr123Fé",
        Some("a=bAr123Fé b=BAR123FÉ"),
    );
    check(
        "sources=a,a target=a sep=X action=LowerCase",
        "a=A",
        Some("a=axa"),
    );
    check(
        "sources=x target=a action=uppercase",
        "a=A b=1",
        Some("b=1"),
    );
    // Character by character, as Go does.
    check(
        "sources=a target=a action=uppercase",
        "a=ßŉᾳᾀﬁ",
        Some("a=ßŉᾼᾈﬁ"),
    );
    check(
        "sources=a target=a action=lowercase",
        "a=ΌΣΟΣİẞᾼ",
        Some("a=όσοσißᾳ"),
    );
}

#[test]
fn names_of_targets() {
    let check = |target: &str, legacy: bool, utf8: bool| {
        let valid = |scheme| Rule::compile(&spec(&format!("target={target}")), scheme).is_ok();
        assert_eq!(
            (valid(NameScheme::Legacy), valid(NameScheme::Utf8)),
            (legacy, utf8),
            "{target:?}"
        );
    };
    check("", false, false);
    check("label", true, true);
    check("label:x", false, true);
    check("0label", false, true);
    check("-label", false, true);
    check("$", false, true);
    check("$$", false, true);
    check("$-", false, true);
    check("${", false, true);
    check("${}", false, true);
    check("${1", false, true);
    check("${1}", true, true);
    check("$1", true, true);
    check("0$1", false, true);
    check("asd$2asd", true, true);
    check("asd_$2.asd", false, true);
    check("-foo${1}bar-", false, true);
    check("_${1}_", true, true);
    check("foo${bar}foo", true, true);
    check("${1}9${x}", true, true);
    check("${a-b}", false, true);
    check("$é", false, true);
}

fn check_refused(text: &str, key: &str, want: &str) {
    let err = Rule::compile(&spec(text), NameScheme::Legacy).unwrap_err();
    let have = (err.key(), err.to_string());
    assert_eq!(have, (key, want.to_owned()), "{text:?}");
}

#[test]
fn refuses_with_key_and_text() {
    let check = check_refused;
    check("action=", "action", "relabel action cannot be empty");
    check("action=Foo", "action", r#"unknown relabel action "Foo""#);
    let needs_target = |action: &str| {
        format!("relabel configuration for {action} action requires 'target_label' value")
    };
    check("sources=a", "target_label", &needs_target("replace"));
    for action in [
        "keepequal",
        "dropequal",
        "lowercase",
        "uppercase",
        "Replace",
    ] {
        check(
            &format!("action={action}"),
            "target_label",
            &needs_target(&action.to_lowercase()),
        );
    }
    check(
        "action=hashmod target=a",
        "modulus",
        "relabel configuration for hashmod requires non-zero modulus",
    );
    check(
        "action=hashmod modulus=0",
        "modulus",
        "relabel configuration for hashmod requires non-zero modulus",
    );
    check(
        "action=hashmod modulus=8",
        "target_label",
        &needs_target("hashmod"),
    );
    check(
        "target=a-b",
        "target_label",
        r#""a-b" is invalid 'target_label' for replace action"#,
    );
    check(
        "target=$1-b",
        "target_label",
        r#""$1-b" is invalid 'target_label' for replace action"#,
    );
    check(
        "action=hashmod modulus=1 target=$1",
        "target_label",
        r#""$1" is invalid 'target_label' for hashmod action"#,
    );
    check(
        "action=lowercase target=${3}",
        "target_label",
        r#""${3}" is invalid 'target_label' for lowercase action"#,
    );
    check(
        "action=lowercase target=a to=x",
        "replacement",
        "'replacement' can not be set for lowercase action",
    );
    check(
        "action=keepequal target=a to=x",
        "replacement",
        "'replacement' can not be set for keepequal action",
    );
    check(
        "action=labelmap to=a-b",
        "replacement",
        r#""a-b" is invalid 'replacement' for labelmap action"#,
    );
    check(
        "action=labelmap to=",
        "replacement",
        r#""" is invalid 'replacement' for labelmap action"#,
    );
}

#[test]
fn refuses_keys_that_the_action_has_no_use_for() {
    let check = check_refused;
    let equal =
        "dropequal action requires only 'source_labels' and `target_label`, and no other fields";
    check("action=dropequal target=a regex=x", "regex", equal);
    check("action=dropequal target=a regex=(.*)", "regex", equal);
    check("action=dropequal target=a sep=,", "separator", equal);
    check("action=dropequal target=a modulus=3", "modulus", equal);
    let keep = "labelkeep action requires only 'regex', and no other fields";
    check("action=labelkeep sources=a", "source_labels", keep);
    check("action=labelkeep sources=", "source_labels", keep);
    check("action=labelkeep target=a", "target_label", keep);
    check("action=labelkeep to=a", "replacement", keep);
    check("action=labelkeep sep=,", "separator", keep);
    check("action=labelkeep modulus=1", "modulus", keep);
    check(
        "target=a regex=a(",
        "regex",
        "error parsing regexp: missing closing ): `a(`",
    );
    let empty = RuleSpec {
        source_labels: Some(vec![String::new()]),
        ..spec("target=a")
    };
    let err = Rule::compile(&empty, NameScheme::Utf8).unwrap_err();
    assert_eq!(
        (err.key(), err.to_string().as_str()),
        ("source_labels", r#""" is not a valid label name"#)
    );
}

#[test]
fn accepts_defaults_that_are_written_out() {
    let check = |text: &str| {
        assert!(
            Rule::compile(&spec(text), NameScheme::Legacy).is_ok(),
            "{text:?}"
        );
    };
    check("action=lowercase target=a to=$1 regex=x modulus=3");
    check("action=dropequal target=a sep=; to=$1 modulus=0");
    check("action=labeldrop sep=; to=$1 target= modulus=0");
    check("action=keep target=- to=-");
    check("action=labelmap sources=a target=-");
    check("action=hashmod modulus=3 target=a to=x");
}

proptest! {
    #[test]
    fn labels_stay_sorted_and_unique_and_not_empty(
        rules in proptest::collection::vec((0usize..11, "[abc]{1,2}", "[ab.()]{0,4}|\\(\\.\\*\\)", "[ab]|\\$1|\\$\\{1\\}a|"), 0..6),
        pairs in proptest::collection::vec(("[abc]{1,2}", "[ab]{0,2}"), 0..6),
    ) {
        let rules: Vec<Rule> = rules.into_iter().filter_map(|(action, name, regex, replacement)| {
            let action = Action::ALL[action];
            let only_regex = matches!(action, Action::LabelDrop | Action::LabelKeep);
            let maps = matches!(action, Action::Replace | Action::LabelMap);
            let equal = matches!(action, Action::KeepEqual | Action::DropEqual);
            let spec = RuleSpec {
                source_labels: (!only_regex).then(|| vec![name.clone(), "b".to_owned()]),
                target_label: (!only_regex).then_some(name),
                regex: (!equal).then_some(regex),
                replacement: maps.then_some(replacement),
                modulus: (action == Action::HashMod).then_some(3),
                separator: None,
                action: Some(action.as_str().to_owned()),
            };
            Rule::compile(&spec, NameScheme::Utf8).ok()
        }).collect();
        let mut labels = Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let kept = apply(&rules, &mut labels);
        let again = Labels::from_pairs(labels.iter());
        prop_assert_eq!(&again, &labels);
        prop_assert!(!kept || !labels.is_empty());
    }
}
