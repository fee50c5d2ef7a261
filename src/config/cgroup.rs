//! The memory limit that the operating system sets for us: the files of cgroup v2 or v1 in, bytes out.
//!
//! In a container the cgroup's own folder is mounted as the root; outside, `/proc/self/cgroup` names a folder below
//! it, and the smallest limit on the way up holds.
//! Source: the kernel's `Documentation/admin-guide/cgroup-v2.rst` (`memory.max`) and `cgroup-v1/memory.rst`.

use std::path::Path;

/// A v1 limit at or above this stands for none: the kernel writes the largest page-aligned signed 64-bit number.
const UNLIMITED: u64 = 1 << 62;

/// The limit in bytes for this process; `None` where there is none or the system has no cgroups.
pub fn memory_limit() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit_below(Path::new("/sys/fs/cgroup"), &groups)
}

/// The smallest limit of the groups named in `groups` (lines `ID:CONTROLLERS:PATH`) below `root`.
fn limit_below(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            smallest(root, path, "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            smallest(&root.join("memory"), path, "memory.limit_in_bytes")
        } else {
            None
        }
    });
    limits.min()
}

/// The smallest limit from `root/path` up to `root`. Folders that are not there count as without limit: in a
/// container the path may be the host's.
fn smallest(root: &Path, path: &str, file: &str) -> Option<u64> {
    let limit = |path: &Path| {
        std::fs::read_to_string(root.join(path).join(file))
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let path = Path::new(path);
    // `..` stands there when the process's group lies outside of its cgroup namespace.
    let inside = path
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    let ways = if inside { path } else { Path::new("") };
    ways.ancestors()
        .filter_map(limit)
        .filter(|bytes| *bytes < UNLIMITED)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], groups: &str, want: Option<u64>) {
        let root = tempfile::tempdir().expect("a temporary folder");
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder"))
                .expect("the folder is writable");
            std::fs::write(path, content).expect("the folder is writable");
        }
        assert_eq!(limit_below(root.path(), groups), want, "{files:?} {groups}");
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_holds() {
        check(&[("memory.max", "1048576\n")], "0::/\n", Some(1_048_576));
        check(&[("memory.max", "max\n")], "0::/\n", None);
        check(
            &[("a/memory.max", "2000\n"), ("a/b/memory.max", "max\n")],
            "0::/a/b\n",
            Some(2000),
        );
        check(
            &[("a/memory.max", "3000\n"), ("a/b/memory.max", "1000\n")],
            "0::/a/b\n",
            Some(1000),
        );
        check(&[("memory.max", "5\n")], "0::/kubepods/pod1/c1\n", Some(5));
        check(&[("memory.max", "5\n")], "0::/../other\n", Some(5));
        check(
            &[("memory/memory.limit_in_bytes", "4096\n")],
            "5:cpu,memory:/docker/1\n1:name=systemd:/x\n",
            Some(4096),
        );
        check(
            &[("memory/memory.limit_in_bytes", "9223372036854771712\n")],
            "5:memory:/\n",
            None,
        );
        check(&[], "0::/\n", None);
        check(&[], "", None);
        check(&[("memory.max", "nonsense")], "0::/\n0\n::\n", None);
    }
}
