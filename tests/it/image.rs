//! The Dockerfile, as far as can be told without a container engine: what it copies is there and is enough, and what
//! the program needs at run time is in its base image.

use std::fs;
use std::path::Path;
use std::process::Command;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    fs::read_to_string(project().join(name)).unwrap()
}

/// What the Dockerfile takes out of the project, and where to: one `(sources, target)` for each COPY.
fn copies() -> Vec<(Vec<String>, String)> {
    let dockerfile = text("Dockerfile");
    let lines = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "));
    lines
        .filter(|line| !line.starts_with("--from"))
        .map(|line| {
            let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let target = words.pop().unwrap();
            (words, target)
        })
        .collect()
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

#[test]
fn what_is_copied_is_let_in_and_enough_for_cargo() {
    let ignore = text(".dockerignore");
    let let_in = |name: &str| ignore.lines().any(|line| line == format!("!{name}"));
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for (sources, target) in copies() {
        for source in sources {
            assert!(let_in(&source), "{source} is ignored");
            count += 1;
            if !target.starts_with('/') {
                copy(&project().join(&source), &folder.path().join(&source));
            }
        }
    }
    let exceptions = ignore.lines().filter(|line| line.starts_with('!')).count();
    assert_eq!(
        (count, ignore.lines().any(|line| line == "*")),
        (exceptions, true)
    );
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--locked",
            "--offline",
            "--format-version=1",
            "--no-deps",
        ])
        .current_dir(&folder)
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
}

#[test]
fn the_base_image_has_what_the_program_needs() {
    let output = Command::new("ldd")
        .arg(env!("CARGO_BIN_EXE_tributary"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // The base image is glibc with libgcc.
    let known = ["linux-vdso.so.1", "libgcc_s.so.1", "libm.so.6", "libc.so.6"];
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.contains(&"libc.so.6"), "{text}");
    for name in names {
        assert!(
            known.contains(&name) || name.contains("/ld-linux-"),
            "{name} is not in the image"
        );
    }
}
