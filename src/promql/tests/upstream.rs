//! Upstream's table of expressions, and every expression of its evaluation scripts.

use std::fs;
use std::path::{Path, PathBuf};

use super::{others, parse, round_trip};
use crate::promql::{Feature, Features, parse_expr, prettify};
use crate::testdata::count;

#[derive(serde::Deserialize)]
struct Case {
    input: String,
    fail: bool,
    errors: Vec<String>,
}

/// The folder of test data, if there is one.
fn folder() -> Option<PathBuf> {
    std::env::var_os("TRIBUTARY_TESTDATA").map(PathBuf::from)
}

#[test]
fn reads_and_refuses_what_upstream_does() {
    let Some(folder) = folder() else {
        return count("promql_expressions", 0);
    };
    let text = fs::read_to_string(folder.join("promql-parser-inputs/expressions.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    // All that is experimental, save fill modifiers: so was the table made.
    let features: Features = Feature::ALL
        .into_iter()
        .filter(|feature| *feature != Feature::BinopFillModifiers)
        .collect();
    let mut wrong = Vec::new();
    for case in &cases {
        // The table writes a lone byte 0xFF as U+00FF; what reaches us in its place is U+FFFD.
        let mut input = case.input.clone();
        if case
            .errors
            .iter()
            .any(|error| error == "invalid UTF-8 rune")
        {
            input = input.replace('ÿ', "\u{fffd}");
        }
        let found: Vec<String> = match parse_expr(&input, features) {
            Ok(_) => Vec::new(),
            Err(errors) => errors
                .all()
                .iter()
                .map(|e| e.message().to_owned())
                .collect(),
        };
        if found != case.errors || case.fail == found.is_empty() {
            wrong.push(format!(
                "{:?}\n  got  {found:?}\n  want {:?}",
                case.input, case.errors
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n{} wrong",
        wrong.join("\n"),
        wrong.len()
    );
    let mut compared = Compared::default();
    for case in cases.iter().filter(|case| !case.fail) {
        round_trip(&case.input);
        assert_eq!(parse(&prettify(&parse(&case.input))), parse(&case.input));
        compared.add(&case.input);
    }
    count("promql_expressions", cases.len());
    compared.finish("promql_expressions_elsewhere");
}

/// Expressions that another parser was asked about.
#[derive(Default)]
struct Compared {
    same: usize,
    differ: Vec<String>,
}

impl Compared {
    fn add(&mut self, input: &str) {
        match others::agrees(input) {
            None => {}
            Some(true) => self.same += 1,
            Some(false) => self.differ.push(input.to_owned()),
        }
    }

    fn finish(self, table: &str) {
        assert!(self.differ.is_empty(), "{}", self.differ.join("\n"));
        count(table, self.same);
    }
}

/// The expression of an `eval` line: `eval instant at T Q`, `eval range from A to B step S Q`, and the old `eval_fail` and
/// the like.
fn expression(line: &str) -> Option<&str> {
    let line = line.trim();
    let mut words = line.strip_prefix("eval")?.split_whitespace();
    let before = match words.find(|word| matches!(*word, "instant" | "range"))? {
        "instant" => 4,
        _ => 8,
    };
    let mut rest = line;
    for _ in 0..before {
        rest = rest.split_once(char::is_whitespace)?.1.trim_start();
    }
    Some(rest)
}

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .collect();
    files.sort();
    files
}

#[test]
fn what_upstream_evaluates_is_printed_and_read_back() {
    let Some(folder) = folder() else {
        return count("promqltest_expressions", 0);
    };
    let (mut read, mut compared) = (0, Compared::default());
    for file in scripts(&folder.join("promqltest")) {
        let script = fs::read_to_string(&file).unwrap();
        for input in script.lines().filter_map(expression) {
            round_trip(input);
            assert_eq!(parse(&prettify(&parse(input))), parse(input), "{input}");
            compared.add(input);
            read += 1;
        }
    }
    count("promqltest_expressions", read);
    compared.finish("promqltest_expressions_elsewhere");
}
