"""Asks a server for /federate as a Prometheus would, reads the answer and throws it away."""

import json
import subprocess
import time
import urllib.parse

from process import cpu_seconds
from servers import EVERYTHING, INTERVAL_SECONDS, Measured

ONE_METRIC = "container_cpu_usage_seconds_total"

# What Prometheus 2.42 sends when it scrapes (scrape/scrape.go), but for Accept-Encoding, which is measured both ways.
HEADERS = [
    "Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "User-Agent: Prometheus/2.42.0",
    "X-Prometheus-Scrape-Timeout-Seconds: 60",
]

# Work that an answer leaves behind (freeing, collecting) is counted for so long.
SETTLE_SECONDS = 0.05

# What is asked for: title, selector (none: no match[] at all), encoding; and whether a new round of every cluster is
# waited for before. Only deflate segments outlive an answer, so identity answers take nothing from each other.
QUESTIONS = [
    ("one metric", ONE_METRIC, "identity", True),
    ("one metric", ONE_METRIC, "gzip", False),
    ("everything, no selector", None, "identity", False),
    ("everything, no selector", None, "gzip", True),
    ("everything, `match[]`", EVERYTHING, "identity", True),
    ("everything, `match[]`", EVERYTHING, "gzip", True),
]


def ask(server: Measured, selector, encoding: str, round_rate: float) -> dict:
    """One answer: CPU seconds of the server, seconds to the first byte and to the last, bytes on the wire.

    The server goes on scraping meanwhile; `round_rate`, the CPU seconds per second which that takes in the mean, is
    subtracted for as long as the answer took.
    """
    query = "?" + urllib.parse.urlencode({"match[]": selector}) if selector else ""
    url = f"http://{server.address}/federate{query}"
    headers = [flag for header in [*HEADERS, f"Accept-Encoding: {encoding}"] for flag in ("--header", header)]
    write_out = '{"status": %{http_code}, "first_byte": %{time_starttransfer}, "total": %{time_total}, "bytes": %{size_download}}'
    command = ["curl", "--silent", "--globoff", "--output", "/dev/null", "--write-out", write_out, *headers, url]
    start, cpu_before = time.monotonic(), cpu_seconds(server.pid)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    time.sleep(SETTLE_SECONDS)
    raw, wall = cpu_seconds(server.pid) - cpu_before, time.monotonic() - start
    answer = json.loads(done.stdout)
    if done.returncode != 0 or answer["status"] != 200:
        server.fail(f"does not answer {url}: status {answer['status']}, curl ended with {done.returncode}")
    return {**answer, "cpu": max(0.0, raw - wall * round_rate), "cpu_with_rounds": raw, "wall": wall}


def ask_all(server: Measured, round_rate: float, say) -> list:
    """All questions, and each once more right after.

    The waits give what a central server gives that scrapes once per interval: every snapshot is another by then, so
    nothing kept for one answer is of use for the next.
    """
    answers = []
    for title, selector, encoding, wait in QUESTIONS:
        if selector is None and not server.empty_match_is_all:
            continue
        if wait and server.keeps_answers:
            server.stay(INTERVAL_SECONDS + 1)
        for again in (False, True):
            answer = ask(server, selector, encoding, round_rate)
            title_again = f"{title}, {encoding}{', again' if again else ''}"
            say(f"{server.name}: {title_again}: {answer['cpu']:.3f} s of CPU, {answer['total']:.3f} s")
            answers.append({"title": title, "encoding": encoding, "again": again, **answer})
    return answers
