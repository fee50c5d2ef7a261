//! Upstream's tables of times and durations.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use tributary::serve::api::time::{parse_duration, parse_time};

use crate::testdata;

#[derive(Deserialize)]
struct Case {
    input: String,
    seconds: Option<f64>,
}

#[test]
fn times_and_durations_are_those_of_the_tables() {
    let Some(folder) = std::env::var_os("TRIBUTARY_TESTDATA") else {
        return println!("left out: TRIBUTARY_TESTDATA is not set");
    };
    let check = |name: &str, parse: fn(&str) -> Result<f64, String>| {
        let path = Path::new(&folder).join("http-api").join(name);
        let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        for case in &cases {
            assert_eq!(
                parse(&case.input).ok(),
                case.seconds,
                "{name}: {:?}",
                case.input
            );
        }
        testdata::count(name, cases.len());
    };
    check("parse_time.json", |text| {
        Ok(parse_time(text)? as f64 / 1000.0)
    });
    check("parse_duration.json", |text| {
        Ok(parse_duration(text)? as f64 / 1e9)
    });
}
