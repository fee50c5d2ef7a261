//! The order of the modules: each uses only those to its right, and `lib.rs` lists them in this order.

use std::fs;
use std::path::{Path, PathBuf};

/// The order, with modules that are still to come.
const ORDER: [&str; 19] = [
    "main",
    "cli",
    "app",
    "demo",
    "config",
    "grafana",
    "serve",
    "query",
    "promql",
    "scrape",
    "discover",
    "cluster",
    "store",
    "expose",
    "relabel",
    "parse",
    "pool",
    "telemetry",
    "model",
];

/// Shared by the unit tests of all modules; lives beside the order.
const BESIDE: [&str; 1] = ["testdata"];

fn place(module: &str) -> Option<usize> {
    ORDER.iter().position(|known| *known == module)
}

/// The top-level modules that a source text names by a path from the crate's root, with their lines. Comments do not
/// count: a link in the documentation is no use.
fn used(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code: Vec<&str> = text
        .lines()
        .map(|line| {
            if line.trim_start().starts_with("//") {
                ""
            } else {
                line
            }
        })
        .collect();
    let code = code.join("\n");
    for root in ["crate::", "tributary::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '$' | '"')) {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let named = first_words(&code[at + root.len()..]);
            found.extend(named.into_iter().map(|word| (line, word)));
        }
    }
    found
}

/// The first word of a path, or those of the paths in braces.
fn first_words(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        let is_part = |c: &char| c.is_alphanumeric() || *c == '_';
        text.trim_start().chars().take_while(is_part).collect()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![word(path)];
    };
    let (mut depth, mut words, mut start) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                words.push(word(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What is wrong with the uses in the text of `module`.
fn leftward(module: &str, text: &str) -> Vec<String> {
    let own = place(module);
    let wrong = |used: &str| match (own, place(used)) {
        // Only modules have lower-case names; `crate::Thing` would be one of `lib.rs`, which has none.
        _ if BESIDE.contains(&used) => false,
        (Some(own), Some(used)) => used < own,
        _ => true,
    };
    used(text)
        .into_iter()
        .filter(|(_, used)| wrong(used))
        .map(|(line, used)| format!("{module}, line {line}: uses {used}"))
        .collect()
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All Rust files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// `src/scrape/round.rs` and `src/scrape.rs` belong to `scrape`.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(source_folder()).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str();
    first.unwrap().trim_end_matches(".rs").to_owned()
}

#[test]
fn modules_use_only_those_to_their_right() {
    let files = files(&source_folder());
    assert!(files.len() > 50, "only {} files in src", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let module = module_of(&file);
        if module == "lib" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let found = leftward(&module, &text);
        wrong.extend(
            found
                .iter()
                .map(|found| format!("{}: {found}", file.display())),
        );
    }
    assert!(wrong.is_empty(), "leftward uses:\n{}", wrong.join("\n"));
}

#[test]
fn lib_lists_the_modules_in_their_order() {
    let text = fs::read_to_string(source_folder().join("lib.rs")).unwrap();
    let listed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let mut sorted = listed.clone();
    sorted.sort_by_key(|module| place(module).unwrap_or_else(|| panic!("{module} has no place")));
    assert_eq!(listed, sorted);
    let mut present: Vec<String> = files(&source_folder())
        .iter()
        .map(|f| module_of(f))
        .collect();
    present.retain(|module| !matches!(module.as_str(), "lib" | "main"));
    present.sort_unstable_by_key(|module| place(module));
    present.dedup();
    assert_eq!(listed, present, "lib.rs lists what is in src");
}

#[test]
fn a_leftward_use_is_found() {
    let check = |module: &str, text: &str, want: &[&str]| {
        let found = leftward(module, text);
        assert_eq!(found, want, "{text}");
    };
    check("store", "use crate::expose::Block;", &[]);
    check("store", "use crate::store::Slot;", &[]);
    check(
        "store",
        "//! Text.\nuse crate::scrape::Scraper;",
        &["store, line 2: uses scrape"],
    );
    check(
        "store",
        "    let x = crate::serve::run(a);",
        &["store, line 1: uses serve"],
    );
    check("store", "/// See [`crate::serve`].", &[]);
    check(
        "parse",
        "use crate::{\n    model::{labels, metadata},\n    relabel::Rule,\n};",
        &["parse, line 1: uses relabel"],
    );
    check(
        "model",
        "use crate::{pool, cli};",
        &["model, line 1: uses pool", "model, line 1: uses cli"],
    );
    check("main", "use tributary::app::{self, App};", &[]);
    check(
        "parse",
        "use crate::stray::Thing;",
        &["parse, line 1: uses stray"],
    );
    check("parse", "crate::testdata::count(1);", &[]);
    check("parse", "use other_crate::scrape::X;", &[]);
}
