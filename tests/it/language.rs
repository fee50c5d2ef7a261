//! Our parser against a real Prometheus: the same expressions, whole and broken at every place, give the same text from
//! `format_query` or the same message at the same place.
//!
//! The server at hand may be a 2.x, so the expressions keep to what all versions read alike: nothing is broken within
//! brackets or behind `offset`, whose messages have changed.

use serde_json::Value;
use tributary::promql::{Features, parse_expr, prettify};

use super::support::http;
use super::support::process::installed;
use super::support::prometheus::Prometheus;

/// Expressions that are taken as they stand.
const WHOLE: &[&str] = &[
    "rate(foo[5m])",
    "max_over_time(rate(foo{a='b'}[5m] @ end())[1h:1m] offset -1h30m)",
    "foo offset 1w @ 1603774568.25",
    "foo offset 1d offset 2d",
    "sum(1)",
    "1 > 2",
    "a + on (x) group_left (x) b",
    "a and on (x) group_left (y) b",
    "a == on (x) 1",
    "1 and a",
    "{a=~\".*\"}",
    "foo{__name__=\"bar\"}",
    "-'a'",
    "topk(a, b)",
    "count_values(1, a)",
    "label_join(a)",
    "round(a, 1, 2, 3)",
    "(a + b)[5m]",
    "(a + b)[5m:1m][5m:1m]",
    "1 @ 5",
    "a @ NaN",
    "a @ 1 @ 2",
    "sum(foo{}) # comment\n+ bar by",
    "label_replace(up{cluster=\"a-long-name\"}, \"destination\", \"$1\", \"source\", `(.*)-of-the-name-(.*)`) * 1",
];

/// Expressions that are also broken: without each piece, with each piece twice, cut off behind each, and with another
/// piece in the place of each. Pieces are cut at blanks.
const BROKEN: &[&str] = &[
    "sum by ( a , b ) ( foo { x = \"y\" , z !~ 'q' } ) / ignoring ( c ) group_left ( d ) - bar ^ 2",
    "topk ( 3 , rate ( foo ) ) unless on ( ) ( a > bool b ) or quantile without ( c ) ( 0.5 , d )",
    "count_values ( \"v\" , a ) == bool on ( x ) group_right b @ start ( ) atan2 + c @ -5",
];

const PIECES: &[&str] = &[
    "(",
    ")",
    "{",
    "}",
    ",",
    "foo",
    "sum",
    "by",
    "on",
    "group_left",
    "@",
    "5",
    "\"s\"",
    "-",
    "==",
    "bool",
    "and",
    "=",
    "=~",
    "start",
    "]",
    "$",
    "\n",
];

fn broken(whole: &str) -> Vec<String> {
    let pieces: Vec<&str> = whole.split(' ').collect();
    let mut out = vec![whole.to_owned()];
    for i in 0..pieces.len() {
        let (before, behind) = (&pieces[..i], &pieces[i + 1..]);
        out.push(before.join(" "));
        out.push([before, behind].concat().join(" "));
        out.push([before, &[pieces[i], pieces[i]], behind].concat().join(" "));
        for piece in PIECES {
            out.push([before, &[*piece], behind].concat().join(" "));
        }
    }
    out
}

/// What a server answers: the formatted text, or its message.
fn theirs(server: &Prometheus, input: &str) -> String {
    let answer =
        http::get_with(server.address, "/api/v1/format_query", &[("query", input)]).unwrap();
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    let text = answer["data"].as_str().or(answer["error"].as_str());
    // How 2.x calls `@` in its messages, by mistake.
    text.unwrap().replace("\"<Item 57385>\" ", "")
}

fn ours(input: &str) -> String {
    match parse_expr(input, Features::default()) {
        Ok(expr) => prettify(&expr),
        Err(err) => format!("invalid parameter \"query\": {err}"),
    }
}

/// Where versions differ: in an empty query 2.x names a place, it takes no quoted names, has no
/// function `start`, and prints no group without labels to match by.
fn differs_by_version(input: &str, ours: &str, theirs: &str) -> bool {
    input.is_empty()
        || theirs.contains("unexpected string")
        || ours.contains("function \"start\" is not enabled")
        || ours.contains("ignoring () group_")
}

#[test]
fn messages_places_and_format_are_those_of_a_real_server() {
    if !installed(&["prometheus"]) {
        return;
    }
    let server = Prometheus::start("global: {}", &[]);
    let inputs: Vec<String> = WHOLE
        .iter()
        .map(|&input| input.to_owned())
        .chain(BROKEN.iter().flat_map(|&whole| broken(whole)))
        .collect();
    let (mut same, mut wrong) = (0, Vec::new());
    for input in &inputs {
        let (theirs, ours) = (theirs(&server, input), ours(input));
        if ours == theirs {
            same += 1;
        } else if !differs_by_version(input, &ours, &theirs) {
            wrong.push(format!("{input:?}\n  ours   {ours}\n  theirs {theirs}"));
        }
    }
    println!("{same} of {} expressions as a real server", inputs.len());
    assert!(
        wrong.is_empty(),
        "{}\n{} wrong",
        wrong.join("\n"),
        wrong.len()
    );
    assert!(same > 2000, "only {same} could be compared");
}
