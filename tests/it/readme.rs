//! The YAML of README.md, given to the programs that it is for.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::binary::run;
use super::support::process::installed;

/// The key that Prometheus before 2.48 does not know; the text beside it says so.
const SINCE_2_48: &str = "track_timestamps_staleness";

/// The text of every block of YAML, in order.
fn blocks() -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut blocks = Vec::new();
    let mut rest = text.as_str();
    while let Some((_, begun)) = rest.split_once("```yaml\n") {
        let (block, after) = begun.split_once("```\n").unwrap();
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

fn promtool(check: &str, block: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.yaml");
    fs::write(&file, block).unwrap();
    let output = Command::new("promtool")
        .args(["check", check])
        .arg(&file)
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(String::from_utf8_lossy(&text).into_owned())
}

/// Loads in the promtool that is here, without the newer key where it is refused.
fn check_central(block: &str) {
    let Err(error) = promtool("config", block) else {
        return;
    };
    assert!(error.contains(SINCE_2_48), "{error}\n{block}");
    let older: String = block
        .lines()
        .filter(|line| !line.contains(SINCE_2_48))
        .flat_map(|line| [line, "\n"])
        .collect();
    promtool("config", &older).unwrap_or_else(|error| panic!("{error}\n{older}"));
}

fn check_ours(block: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tributary.yaml");
    fs::write(&file, block).unwrap();
    fs::write(folder.path().join("token"), "secret").unwrap();
    run(&["check-config", file.to_str().unwrap()], 0);
}

#[test]
fn every_block_is_taken_by_its_program() {
    if !installed(&["promtool"]) {
        return;
    }
    let (mut central, mut rules, mut ours) = (0, 0, 0);
    for block in blocks() {
        match block.split(':').next().unwrap() {
            "scrape_configs" => {
                check_central(&block);
                central += 1;
            }
            "groups" => {
                promtool("rules", &block).unwrap_or_else(|error| panic!("{error}\n{block}"));
                rules += 1;
            }
            "global" | "clusters" => {
                check_ours(&block);
                ours += 1;
            }
            other => panic!("a block that begins with {other:?}: say here whom it is for"),
        }
    }
    assert!(
        central >= 2 && rules >= 1 && ours >= 1,
        "{central} {rules} {ours}"
    );
}

#[test]
fn a_block_that_is_wrong_is_found() {
    if !installed(&["promtool"]) {
        return;
    }
    promtool("config", "scrape_configs: [{job_nam: x}]\n").unwrap_err();
    promtool(
        "rules",
        "groups: [{name: x, rules: [{alert: A, expr: 'a ='}]}]\n",
    )
    .unwrap_err();
}
