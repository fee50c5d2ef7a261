"""Measures Tributary, Prometheus and VictoriaMetrics on the same simulated clusters.

Started by benches/side_by_side.sh, which explains the flags' defaults and builds what is needed.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import time

from ask import ask_all
from process import cpu_seconds, load, memory, stat_seconds
from query import ask_queries
from report import markdown
from servers import INTERVAL_SECONDS, Fleet, Prometheus, Tributary, VictoriaMetrics

TARGET = "target/side_by_side"
KINDS = {kind.name: kind for kind in (Tributary, Prometheus, VictoriaMetrics)}
STARTED = time.monotonic()


def say(text: str):
    """Progress, to stderr."""
    print(f"[{time.monotonic() - STARTED:4.0f} s] {text}", file=sys.stderr, flush=True)


def flags() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="side_by_side.sh", description=__doc__)
    parser.add_argument("fleet", nargs="?", choices=["plain", "real"], default="plain", help="what the bodies look like")
    parser.add_argument("--rounds", type=int, default=3, help="rounds over which CPU time is measured")
    parser.add_argument("--warm-up", type=int, default=3, help="rounds before them")
    parser.add_argument("--clusters", type=int, default=20)
    parser.add_argument("--series", type=int, default=48_000, help="series of each cluster")
    parser.add_argument("--servers", nargs="+", choices=list(KINDS), default=list(KINDS), help="what to measure")
    parser.add_argument("--queries", action="store_true", help="also measure queries, and everything with the window full")
    parser.add_argument("--window", type=int, default=15, metavar="MINUTES", help="how much Tributary keeps, and the length of range queries")
    parser.add_argument("--federate", nargs="*", choices=list(KINDS), default=list(KINDS), help="who is asked for /federate")
    options = parser.parse_args()
    # The plain fleet is the bar of identity upstream; a real one is fetched in gzip.
    options.gzip = options.fleet == "real"
    return options


def until_full(options) -> int:
    """Seconds until the window is full, and a minute more; none where queries are not measured."""
    return (options.window + 1) * 60 if options.queries else 0


def measure(kinds: list, fleet: Fleet, options, scratch: str) -> dict:
    """Servers from start to stop, side by side: what each costs while all are fed, then one after the other is asked."""
    with contextlib.ExitStack() as running:
        servers = []
        for kind in kinds:
            say(f"{kind.name} {kind.version()} starts")
            server = running.enter_context(kind(fleet, options, scratch))
            servers.append(server)
            server.wait_until("does not reach all clusters", lambda: server.up() == len(fleet.clusters), 300)
        # By now they have had the first round.
        stay(servers, max((options.warm_up - 1) * INTERVAL_SECONDS, until_full(options)))
        results = rounds(servers, fleet, options)
        for server in servers:
            ask_everything(server, results[server.name], fleet, options)
        return results


def stay(servers: list, seconds: float):
    """Waits; ends the run when one of the servers ends meanwhile."""
    servers[0].stay(seconds)
    for server in servers[1:]:
        server.stay(0)


def rounds(servers: list, fleet: Fleet, options) -> dict:
    """What rounds cost each server, by name, and the memory that they leave in use."""
    clocks = [(server, cpu_seconds(server.pid), stat_seconds(server.pid)) for server in servers]
    fleet_begin, start = cpu_seconds(fleet.pid), time.monotonic()
    stay(servers, options.rounds * INTERVAL_SECONDS)
    results = {}
    for server, begin, stat_begin in clocks:
        # The wait takes a little longer than it should: per second first, then per interval.
        rate = (cpu_seconds(server.pid) - begin) / (time.monotonic() - start)
        results[server.name] = {
            "version": server.version(),
            "round_cpu": rate * INTERVAL_SECONDS,
            "round_cpu_by_stat": (stat_seconds(server.pid) - stat_begin) / options.rounds,
            "fleet_cpu": (cpu_seconds(fleet.pid) - fleet_begin) / options.rounds,
            "memory_rounds": memory(server.pid),
            "load": load(),
        }
        say(f"{server.name}: {rate * INTERVAL_SECONDS:.3f} s of CPU per round, {memory(server.pid)['rss'] / 1e6:.0f} MB")
    return results


def ask_everything(server, result: dict, fleet: Fleet, options):
    """/federate and queries of one server."""
    rate = result["round_cpu"] / INTERVAL_SECONDS
    result["answers"] = ask_all(server, rate, say) if server.name in options.federate else []
    result["memory_answers"] = memory(server.pid)
    # Last: a count of everything over the window may take Prometheus 20 GB.
    result["queries"] = ask_queries(server, options.window, rate, say) if options.queries else []
    result["memory_queries"] = memory(server.pid)
    if server.up() != len(fleet.clusters):
        raise SystemExit(f"{server.name} lost a cluster while it was measured")


def main():
    """One fleet, three servers, one report."""
    options = flags()
    # As an exception, so that nothing started here outlives a run that is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    scratch = os.path.join(TARGET, "scratch")
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch)
    with Fleet(options, scratch) as fleet:
        say(f"{options.fleet} fleet of {len(fleet.clusters)} clusters × {options.series} series, upstream in {'gzip' if options.gzip else 'identity'}")
        run = {
            "fleet": options.fleet,
            "gzip": options.gzip,
            "clusters": len(fleet.clusters),
            "series": options.series,
            "rounds": options.rounds,
            "warm_up": max(options.warm_up, until_full(options) // INTERVAL_SECONDS),
            "window": options.window,
            "interval": INTERVAL_SECONDS,
            "cpus": os.cpu_count(),
            "cpu_model": cpu_model(),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "body_bytes": fleet.body_bytes("identity"),
            "wire_bytes": fleet.body_bytes("gzip"),
            "servers": {},
        }
        kinds = [KINDS[name] for name in options.servers]
        for together in [kinds] if options.queries else [[kind] for kind in kinds]:
            run["servers"] |= measure(together, fleet, options, scratch)
    shutil.rmtree(scratch)
    path = os.path.join(TARGET, f"{options.fleet}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(run, file, indent=1)
    say(f"raw numbers in {path}")
    print(markdown(run))


def cpu_model() -> str:
    """The processor's name."""
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        names = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    return names[0] if names else "unknown"


if __name__ == "__main__":
    main()
