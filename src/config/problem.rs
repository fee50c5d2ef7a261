//! What is wrong with a configuration: collected while it is read, sorted by line and shown all at once.

use std::cell::RefCell;
use std::fmt;

/// One mistake, with its remedy in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line of the file, from 1; `None` for a flag and for the file as a whole.
    pub line: Option<u64>,
    /// The key's path (`clusters[0].match[1]`) or the flag (`--cluster`); empty for the file as a whole.
    pub key: String,
    /// What is wrong and what to write instead.
    pub text: String,
}

/// Everything that is wrong with one configuration, in the order of the file. Never empty.
///
/// Displays as one line per mistake: `FILE:LINE: KEY: TEXT`, or `--FLAG: TEXT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// The file as it was named; empty when there are only flags.
    pub file: String,
    /// The mistakes.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}", place(&self.file, problem))?;
        }
        Ok(())
    }
}

/// `FILE:LINE: KEY: TEXT`, without the parts that there are not.
fn place(file: &str, problem: &Problem) -> String {
    let Problem { line, key, text } = problem;
    let key = if key.is_empty() {
        String::new()
    } else {
        format!("{key}: ")
    };
    match line {
        Some(line) => format!("{file}:{line}: {key}{text}"),
        None if key.starts_with("--") => format!("{key}{text}"),
        None => format!("{file}: {key}{text}"),
    }
}

/// The mistakes found so far. Many readers hold it at the same time on one thread, hence the cell.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Notes a mistake on a line of the file.
    pub(super) fn at(&self, line: u64, key: &str, text: impl Into<String>) {
        let line = (line > 0).then_some(line);
        self.0.borrow_mut().push(Problem {
            line,
            key: key.to_owned(),
            text: text.into(),
        });
    }

    /// Notes a mistake in a flag, or in the file as a whole (empty key).
    pub(super) fn outside(&self, key: &str, text: impl Into<String>) {
        self.at(0, key, text);
    }

    /// The errors of `file`, or nothing when all was well.
    pub(super) fn finish(self, file: &str) -> Result<(), ConfigErrors> {
        let mut problems = self.0.into_inner();
        if problems.is_empty() {
            return Ok(());
        }
        // Flags have no line and stand first: they were typed last and are the likelier culprit.
        problems.sort_by_key(|problem| problem.line);
        // An alias read twice would repeat its mistakes under the same key and line.
        problems.dedup();
        Err(ConfigErrors {
            file: file.to_owned(),
            problems,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_sorted_by_line_with_flags_first() {
        let problems = Problems::default();
        problems.at(9, "clusters[0].url", "is missing");
        problems.at(2, "global.typed", "is wrong");
        problems.outside("--cluster", "has no URL");
        problems.outside("", "cannot be read");
        let error = problems.finish("t.yaml").expect_err("there are problems");
        let want = "--cluster: has no URL\nt.yaml: cannot be read\n\
                    t.yaml:2: global.typed: is wrong\nt.yaml:9: clusters[0].url: is missing";
        assert_eq!(error.to_string(), want);
        assert_eq!(Problems::default().finish("t.yaml"), Ok(()));
    }
}
