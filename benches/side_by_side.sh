#!/bin/sh
# Tributary, Prometheus and VictoriaMetrics one after the other on the same simulated clusters: CPU time of a round,
# resident memory, /federate of everything and of one metric, then the ratios against the bars; with --queries also
# four queries over recent samples, each at one time and as a range.
#
#   benches/side_by_side.sh [plain|real] [--servers NAME…] [--rounds 3] [--warm-up 3] [--clusters 20] [--series 48000]
#                           [--queries] [--window 15] [--no-federate]
#
# Without --queries Tributary runs with --storage.window 0: that is the federation alone. With --queries each server is
# left alone until Tributary's window (--window, in minutes) is full, and a minute more: everything is measured with it
# full, and a range query is as long as it. That adds 18 minutes to each server; a shorter window serves to try it out.
# --no-federate leaves /federate out.
#
# A Markdown table goes to stdout, what happens meanwhile to stderr, the raw numbers to
# target/side_by_side/FLEET.json. With all three servers a fleet takes about ten minutes (`--servers Tributary
# Prometheus`: six) and 6 GB of memory. Nothing is installed: what is missing is named, with the command that
# installs it on Debian and Ubuntu.
set -eu
cd "$(dirname "$0")/.."

missing=
for program in cargo curl prometheus python3 victoria-metrics; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
if [ -n "$missing" ]; then
    echo "not found:$missing" >&2
    echo "try: sudo apt-get install --no-install-recommends curl prometheus python3 victoria-metrics" >&2
    echo "(Debian starts both servers on installation: sudo systemctl disable --now prometheus victoria-metrics;" >&2
    echo "cargo comes from https://rustup.rs)" >&2
    exit 2
fi

cargo build --release --quiet --bin tributary --example fleet
exec python3 benches/side_by_side "$@"
