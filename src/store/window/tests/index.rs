//! What is selected, beside a filter over all label sets.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::super::Window;
use super::{Feed, NOW, STALE_AFTER, text_of, texts};
use crate::model::matcher::{MatchOp, Matcher};

/// Label sets and matchers over few names and values, so that they meet. A label without value is none.
fn label_sets() -> impl Strategy<Value = Vec<BTreeMap<String, String>>> {
    let labels = proptest::collection::btree_map("[abcd]", "[xyz]{0,2}", 0..4);
    let set = ("m[123]", labels).prop_map(|(name, mut labels)| {
        labels.insert("__name__".into(), name);
        labels
    });
    proptest::collection::vec(set, 0..25)
}

fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let name = prop_oneof![Just("__name__"), Just("a"), Just("b"), Just("d")];
    let value = prop_oneof![
        Just(""),
        Just("x"),
        Just("xy"),
        Just("m1"),
        Just("m2|m3"),
        Just(".*"),
        Just(".+"),
        Just("x.*"),
        Just("x|y|"),
        Just("[xy]z?"),
    ];
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex)
    ];
    let matcher =
        (op, name, value).prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap());
    proptest::collection::vec(matcher, 0..4)
}

fn without_blanks(set: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut set = set.clone();
    set.retain(|_, value| !value.is_empty());
    set
}

fn line_of(set: &BTreeMap<String, String>) -> String {
    line_from(set, 0)
}

/// A line whose labels begin with that one, in their order from there.
fn line_from(set: &BTreeMap<String, String>, first: usize) -> String {
    let mut labels: Vec<String> = set
        .iter()
        .filter(|(name, _)| *name != "__name__")
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    let first = first % labels.len().max(1);
    labels.rotate_left(first);
    let name = &set["__name__"];
    if labels.is_empty() {
        name.clone()
    } else {
        format!("{name}{{{}}}", labels.join(","))
    }
}

proptest! {
    #[test]
    fn the_index_is_a_filter(
        rounds in proptest::collection::vec(label_sets(), 1..6),
        one in matchers(),
        other in matchers(),
    ) {
        let window = Window::new(Duration::from_millis(2500), "cluster".into());
        let mut feed = Feed::new();
        for (number, (sets, at_ms)) in rounds.iter().zip((NOW..).step_by(1000)).enumerate() {
            // Not two lines of the same series.
            let lines: BTreeMap<_, _> = sets.iter().map(|set| (without_blanks(set), line_from(set, number))).collect();
            let round = lines.into_values().map(|line| (line, (1.0, at_ms))).collect();
            feed.append(&window, at_ms, &round);
        }
        // Of the last three rounds, and with the marker of what was in the one before them.
        let from = rounds.len().saturating_sub(4);
        let mut held: Vec<_> = rounds[from..].iter().flatten().map(without_blanks).collect();
        held.sort();
        held.dedup();
        let takes = |set: &BTreeMap<String, String>, matchers: &[Matcher]| {
            let value = |name: &str| set.get(name).map_or("", String::as_str);
            matchers.iter().all(|matcher| matcher.matches(value(matcher.name())))
        };
        let view = window.view(NOW + 10_000);
        let mut found: Vec<String> = view.select(&one).iter().map(|found| text_of(view.series(found))).collect();
        found.sort();
        let mut want: Vec<String> = held.iter().filter(|set| takes(set, &one)).map(line_of).collect();
        want.sort();
        prop_assert_eq!(&found, &want);
        let sets = [one, other];
        let want: Vec<_> = held.iter().filter(|set| sets.iter().any(|one| takes(set, one))).collect();
        let found = view.select_any(&sets);
        prop_assert_eq!(found.len(), want.len());
        let mut names: Vec<&str> = want.iter().flat_map(|set| set.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        let found = view.label_names(&sets);
        prop_assert_eq!(texts(&found), names);
        let mut values: Vec<&str> = want.iter().filter_map(|set| set.get("a")).map(String::as_str).collect();
        values.sort_unstable();
        values.dedup();
        let found = view.label_values("a", &sets);
        prop_assert_eq!(texts(&found), values);
        let mut sorted = view.select(&[]);
        view.sort(&mut sorted);
        let sorted: Vec<Vec<_>> = sorted.iter().map(|found| view.series(found).labels().collect()).collect();
        prop_assert!(sorted.is_sorted());
    }
}

proptest! {
    #[test]
    fn series_are_alike_that_share_the_labels_that_count(
        rounds in proptest::collection::vec((label_sets(), proptest::bool::ANY), 1..5),
        names in proptest::sample::subsequence(vec!["__name__", "a", "b", "c", "cluster"], 0..5),
    ) {
        let window = Window::new(Duration::from_secs(60), "cluster".into());
        let mut feed = Feed::new();
        for (at_ms, (sets, is_new_era)) in (NOW..).zip(&rounds) {
            if *is_new_era {
                feed = Feed::new();
            }
            let lines = sets.iter().map(|set| (line_of(&without_blanks(set)), (1.0, at_ms)));
            feed.append(&window, at_ms, &lines.collect());
        }
        window.cluster("c", STALE_AFTER).ended(&window, NOW, true, None);
        let view = window.view(NOW + 10);
        let found = view.select(&[]);
        let numbers = view.alike(&found, |name| names.contains(&name));
        prop_assert_eq!(numbers.len(), found.len());
        let labels = |at: usize| view.series(&found[at]).labels();
        let counting = |at: usize| labels(at).filter(|(name, _)| names.contains(name)).collect::<Vec<_>>();
        let is_one_era = rounds.iter().skip(1).all(|(_, is_new_era)| !is_new_era);
        // Of one table are those of an era and a metric that have the same label names.
        let metric = |at: usize| view.series(&found[at]).label("__name__");
        let table = |at: usize| (metric(at), labels(at).map(|(name, _)| name).collect::<Vec<_>>());
        for (one, other) in (0..found.len()).flat_map(|one| (0..one).map(move |other| (one, other))) {
            if numbers[one] == numbers[other] {
                prop_assert_eq!(counting(one), counting(other));
            } else {
                prop_assert!(!is_one_era || table(one) != table(other) || counting(one) != counting(other));
            }
        }
    }
}
