//! The folder of test data that stands beside the project, and the count of its cases.
//!
//! Tests that need the folder say so and pass where `TRIBUTARY_TESTDATA` is not set. With `TRIBUTARY_COUNTS` each of
//! them adds a line `NAME COUNT` to the file of that name, so that `.ci/run` sees when fewer ran than before. The unit
//! tests of the library share this file.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Notes that so many cases of a table have passed.
#[expect(clippy::print_stdout, reason = "shown by --nocapture")]
pub(crate) fn count(name: &str, cases: usize) {
    println!("test data: {name} {cases}");
    let Some(file) = std::env::var_os("TRIBUTARY_COUNTS") else {
        return;
    };
    // One write of one short line, so that lines of tests at the same time do not mix.
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut file| file.write_all(format!("{name} {cases}\n").as_bytes()))
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
