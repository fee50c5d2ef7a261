#!/bin/sh
# Tributary, Prometheus and VictoriaMetrics on the same simulated clusters, one after the other: CPU time of a round,
# resident memory, /federate of everything and of one metric, then the ratios against the bars; with --queries all of
# them side by side, and also four queries over recent samples, each at one time and as a range.
#
#   benches/side_by_side.sh [plain|real] [--servers NAME…] [--rounds 3] [--warm-up 3] [--clusters 20] [--series 48000]
#                           [--queries] [--window 15] [--federate NAME…]
#
# Without --queries Tributary runs with --storage.window 0: that is the federation alone. With --queries the servers are
# left alone until Tributary's window (--window, in minutes) is full, and a minute more: everything is measured with it
# full, and a range query is as long as it. That takes 16 minutes more; a shorter window serves to try it out.
# --federate says who is asked for /federate (nobody, without a name).
#
# A Markdown table goes to stdout, what happens meanwhile to stderr, the raw numbers to
# target/side_by_side/FLEET.json. With all three servers a fleet takes about ten minutes (`--servers Tributary
# Prometheus`: six) and 6 GB of memory; with --queries 24 GB, since Prometheus keeps what a count of everything took.
# Nothing is installed: what is missing is named, with the command that installs it on Debian and Ubuntu.
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
