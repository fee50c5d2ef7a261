//! The rules of `deny.toml`, kept without `cargo deny`: read from `cargo metadata` and `cargo tree`, for
//! the platform of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Packages that the program itself is built from. Raise it knowingly.
const PACKAGES_MAX: usize = 250;

/// The lists of `deny.toml`.
struct Rules {
    licences: Vec<String>,
    /// Each with the packages that may use it all the same.
    banned: Vec<(String, Vec<String>)>,
    /// Packages of which there may be one version only.
    single: Vec<String>,
}

impl Rules {
    fn read() -> Self {
        let text = include_str!("../../deny.toml");
        let bans = list(text, "\ndeny = [");
        let entries: Vec<&str> = bans
            .lines()
            .filter(|line| line.contains("crate = "))
            .collect();
        let name = |line: &str| quoted(line)[0].clone();
        let is_single = |line: &&&str| line.contains("deny-multiple-versions = true");
        Self {
            licences: list(text, "\nallow = [").lines().flat_map(quoted).collect(),
            banned: entries
                .iter()
                .filter(|line| !is_single(line))
                .map(|line| (name(line), wrappers(line)))
                .collect(),
            single: entries
                .iter()
                .filter(is_single)
                .map(|line| name(line))
                .collect(),
        }
    }
}

/// The lines between a beginning and the bracket that ends the list.
fn list<'a>(text: &'a str, begin: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap();
    rest.split_once("\n]").unwrap().0
}

fn wrappers(line: &str) -> Vec<String> {
    let list = line
        .split_once("wrappers = [")
        .map(|(_, rest)| rest.split(']').next().unwrap());
    list.map(quoted).unwrap_or_default()
}

fn quoted(line: &str) -> Vec<String> {
    line.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Runs cargo on the locked packages, without network.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "cargo {arguments:?}: {words}");
    String::from_utf8(output.stdout).unwrap()
}

/// What cargo says of the packages of this platform.
fn metadata() -> Value {
    let version = cargo(&["--version", "--verbose"]);
    let mut lines = version.lines();
    let host = lines.find_map(|line| line.strip_prefix("host: ")).unwrap();
    let options = ["--locked", "--offline", "--format-version=1"];
    let platform = ["--filter-platform", host];
    let text = cargo(&[&["metadata"], &options[..], &platform[..]].concat());
    serde_json::from_str(&text).unwrap()
}

/// Every use of a package by another one, as `(user, used)` with `name version` each.
///
/// Read from `cargo tree`: the edges of `cargo metadata` hold optional packages that are not built.
fn uses(kinds: &str) -> BTreeSet<(String, String)> {
    let options = ["--locked", "--offline", "--prefix=depth", "--edges", kinds];
    let tree = cargo(&[&["tree"], &options[..]].concat());
    let mut path: Vec<String> = Vec::new();
    let mut found = BTreeSet::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (depth, package) = line.split_at(digits);
        let words: Vec<&str> = package.split(' ').take(2).collect();
        path.truncate(depth.parse().unwrap());
        if let Some(user) = path.last() {
            found.insert((user.clone(), words.join(" ")));
        }
        path.push(words.join(" "));
    }
    found
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn packages(metadata: &Value) -> Vec<&Value> {
    let packages: Vec<_> = metadata["packages"].as_array().unwrap().iter().collect();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    packages
}

/// Whether an expression can be satisfied by allowed licences alone. `/` is the old way to write OR.
fn satisfied(expression: &str, allowed: &[String]) -> Result<bool, String> {
    let spaced = ["(", ")", "/"]
        .iter()
        .fold(expression.to_owned(), |text, sign| {
            text.replace(sign, &format!(" {sign} "))
        });
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let result = any(&mut rest, allowed)?;
    match rest {
        [] => Ok(result),
        [word, ..] => Err(format!("{word:?} stands where nothing should")),
    }
}

fn any(rest: &mut &[&str], allowed: &[String]) -> Result<bool, String> {
    let mut result = all(rest, allowed)?;
    while let ["OR" | "/", tail @ ..] = *rest {
        *rest = tail;
        result |= all(rest, allowed)?;
    }
    Ok(result)
}

fn all(rest: &mut &[&str], allowed: &[String]) -> Result<bool, String> {
    let mut result = one(rest, allowed)?;
    while let ["AND", tail @ ..] = *rest {
        *rest = tail;
        result &= one(rest, allowed)?;
    }
    Ok(result)
}

fn one(rest: &mut &[&str], allowed: &[String]) -> Result<bool, String> {
    let (licence, tail) = match **rest {
        ["(", ref tail @ ..] => {
            *rest = tail;
            let result = any(rest, allowed)?;
            let [")", tail @ ..] = *rest else {
                return Err("a parenthesis is not closed".to_owned());
            };
            *rest = tail;
            return Ok(result);
        }
        [licence, "WITH", exception, ref tail @ ..] => {
            (format!("{licence} WITH {exception}"), tail)
        }
        [licence, ref tail @ ..] if !matches!(licence, ")" | "/" | "AND" | "OR" | "WITH") => {
            (licence.to_owned(), tail)
        }
        _ => return Err("a licence is missing".to_owned()),
    };
    *rest = tail;
    Ok(allowed.contains(&licence))
}

#[test]
fn expressions_are_understood() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    let check = |expression: &str, want: Result<bool, &str>| {
        let found = satisfied(expression, &allowed);
        assert_eq!(
            found.as_ref().map_err(String::as_str),
            want.as_ref().map_err(|e| *e),
            "{expression}"
        );
    };
    check("MIT", Ok(true));
    check("GPL-3.0", Ok(false));
    check("GPL-3.0 OR MIT", Ok(true));
    check("GPL-3.0/MIT", Ok(true));
    check("GPL-3.0 / MIT", Ok(true));
    check("GPL-3.0 AND MIT", Ok(false));
    check("ISC AND MIT", Ok(true));
    check("GPL-3.0 AND ISC OR MIT", Ok(true));
    check("GPL-3.0 AND (ISC OR MIT)", Ok(false));
    check("ISC AND (GPL-3.0 OR MIT) AND (MIT)", Ok(true));
    check("Apache-2.0 WITH LLVM-exception", Ok(true));
    check("Apache-2.0", Ok(false));
    check("MIT WITH LLVM-exception", Ok(false));
    check("", Err("a licence is missing"));
    check("MIT OR", Err("a licence is missing"));
    check("(MIT", Err("a parenthesis is not closed"));
    check("MIT ISC", Err("\"ISC\" stands where nothing should"));
}

#[test]
fn the_lists_are_read() {
    let rules = Rules::read();
    assert!(rules.licences.contains(&"MIT".to_owned()) && rules.licences.len() >= 9);
    let ring = ("ring".to_owned(), vec!["rcgen".to_owned()]);
    assert!(rules.banned.contains(&ring) && rules.banned.len() >= 5);
    assert!(rules.single.contains(&"hyper".to_owned()) && rules.single.len() >= 6);
}

#[test]
fn every_licence_is_allowed() {
    let (metadata, rules) = (metadata(), Rules::read());
    let wrong: Vec<_> = packages(&metadata)
        .into_iter()
        .filter(|package| satisfied(text(package, "license"), &rules.licences) != Ok(true))
        .map(|package| format!("{}: {:?}", text(package, "name"), text(package, "license")))
        .collect();
    assert!(
        wrong.is_empty(),
        "licences not in deny.toml:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_banned_package_is_used() {
    let name = |package: &str| package.split(' ').next().unwrap_or_default().to_owned();
    let uses = uses("normal,build,dev");
    for (banned, wrappers) in Rules::read().banned {
        for (user, used) in &uses {
            let allowed = name(used) != banned || wrappers.contains(&name(user));
            assert!(allowed, "{user} uses {used}, which deny.toml bans");
        }
    }
}

#[test]
fn important_packages_are_there_once() {
    let (metadata, rules) = (metadata(), Rules::read());
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages(&metadata) {
        versions
            .entry(text(package, "name"))
            .or_default()
            .push(text(package, "version"));
    }
    for name in &rules.single {
        let found = versions.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        assert_eq!(found.len(), 1, "{name}: versions {found:?}");
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "shown by --nocapture")]
fn packages_are_few() {
    let built: BTreeSet<_> = uses("normal,build")
        .into_iter()
        .map(|(_, used)| used)
        .collect();
    println!("{} packages beside our own", built.len());
    assert!(built.len() > 50, "the walk found {}", built.len());
    assert!(
        built.len() < PACKAGES_MAX,
        "{} packages: {built:?}",
        built.len()
    );
}
