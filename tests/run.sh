#!/usr/bin/env bash
# Installs what the tests need beside Rust and a C compiler, and runs all of them: on Debian or Ubuntu, from any
# folder. Elsewhere have `prometheus` and `prometheus-node-exporter` in the PATH. Arguments go to the tests, for
# example `tests/run.sh real:: --nocapture`.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(prometheus prometheus-node-exporter)

missing() {
    for package in "${packages[@]}"; do
        command -v "$package" >/dev/null || echo "$package" # Debian's packages are named as their programs.
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

install() {
    command -v apt-get >/dev/null || { echo "there is no apt-get here"; return 1; }
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || { echo "neither root nor sudo"; return 1; }
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq || echo "apt-get update failed; trying with the lists that are here"
    as_root apt-get install -y -qq --no-install-recommends "$@" || return 1
    # The tests start servers of their own on free ports. Where systemd runs, Debian has also started these as
    # services, which nobody here asked for and the tests do not need.
    echo "Debian may run them as services; to end these: systemctl disable --now $*"
}

mapfile -t wanted < <(missing)
if [ "${#wanted[@]}" -gt 0 ]; then
    echo "== installing ${wanted[*]}"
    if ! install "${wanted[@]}"; then
        echo "CANNOT INSTALL ${wanted[*]}: tests with real servers fail under CI=true and are left out otherwise."
        echo "Install them by hand and run this again."
    fi
fi

# For the files in config/kubernetes. Debian's Python comes without what makes folders of packages.
if ! python3 -c 'import ensurepip' 2>/dev/null; then
    install python3-venv || true
fi
if ! tests/kubernetes/install.sh; then
    echo "CANNOT INSTALL what checks the files for Kubernetes: its tests fail under CI=true and are left out otherwise."
fi
export PATH="$PATH:$PWD/target/kubernetes"

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# One profile and one set of features, so that everything is built once.
status=0
echo "== cargo test: library, programs, tests/it"
cargo test --locked --lib --bins --test it -- "$@" 2>&1 | tee "$log" || status=$?
echo "== cargo test: examples in the documentation"
cargo test --locked --doc -- "$@" 2>&1 | tee -a "$log" || status=$?

echo "== summary"
grep -E '^(test result:|test .* FAILED|error)' "$log" || true
awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
     END { printf "%d passed, %d failed, %d ignored\n", passed, failed, ignored }' "$log"
exit "$status"
