"""Asks a server for queries over its recent samples, at one time and as a range, and counts what an answer costs."""

import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request

from ask import SETTLE_SECONDS
from process import cpu_seconds
from servers import INTERVAL_SECONDS, Measured

STEP_SECONDS = 15

QUERIES = [
    "sum by (cluster)(rate(container_cpu_usage_seconds_total[1m]))",
    'sum by (cluster, namespace)(kube_pod_container_resource_requests{resource="cpu"})',
    "histogram_quantile(0.99, sum by (cluster, le)(rate(http_request_duration_seconds_bucket[1m])))",
    'count({__name__=~".+"})',
]

# A query is repeated for so long, but at most so often. Rounds go on meanwhile, and what they take in the mean
# is subtracted; so it is counted over whole intervals, in each of which every cluster has its round.
REPEAT_SECONDS = INTERVAL_SECONDS - 1
REPEATS_MAX = 1000

# A server that has not answered by then is not waited for, and not asked again: it may still be at it.
PATIENCE_SECONDS = 300


def fetch(server: Measured, text: str, window_minutes) -> bytes:
    """The answer's body: at this moment, or, with a window, as a range of its length up to now."""
    now = time.time()
    parameters = {"query": text, "timeout": f"{PATIENCE_SECONDS}s"}
    if window_minutes is None:
        path, times = "query", {"time": f"{now:.3f}"}
    else:
        start = now - window_minutes * 60
        path, times = "query_range", {"start": f"{start:.3f}", "end": f"{now:.3f}", "step": str(STEP_SECONDS)}
    parameters |= times | server.query_parameters
    url = f"http://{server.address}{server.query_api}/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS + 5) as answer:
        return answer.read()


def sizes(body: bytes) -> dict:
    """Series, points and bytes of an answer, and the warnings in it."""
    answer = json.loads(body)
    result = answer["data"]["result"]
    points = sum(len(series["values"]) if "values" in series else 1 for series in result)
    return {"series": len(result), "points": points, "bytes": len(body), "warnings": answer.get("warnings", [])}


def ask(server: Measured, text: str, window_minutes, round_rate: float) -> dict:
    """One query: CPU seconds of the server per answer, seconds to the end of it, its size; or why there is none.

    The server goes on scraping meanwhile; `round_rate`, the CPU seconds per second which that takes in the mean, is
    subtracted for as long as the answers took.
    """
    start, cpu_before, times = time.monotonic(), cpu_seconds(server.pid), 1
    try:
        result = sizes(fetch(server, text, window_minutes))
        # An answer that takes longer than the repeats may is counted itself, else it only warms up.
        if time.monotonic() - start < REPEAT_SECONDS:
            start, cpu_before, times = time.monotonic(), cpu_seconds(server.pid), 0
        while times < REPEATS_MAX and time.monotonic() - start < REPEAT_SECONDS:
            fetch(server, text, window_minutes)
            times += 1
    except urllib.error.HTTPError as error:
        return {"error": f"{error.code}: {error.read().decode(errors='replace')[:300]}"}
    except TimeoutError:
        cpu = cpu_seconds(server.pid) - cpu_before
        return {"error": f"no answer in {PATIENCE_SECONDS} s, in which it took {cpu:.0f} s of CPU", "is_last": True}
    answered = time.monotonic() - start
    intervals = math.ceil((answered + SETTLE_SECONDS) / INTERVAL_SECONDS)
    time.sleep(max(0, start + intervals * INTERVAL_SECONDS - time.monotonic()))
    raw, wall = cpu_seconds(server.pid) - cpu_before, time.monotonic() - start
    cpu = max(0.0, raw - wall * round_rate) / times
    return {**result, "cpu": cpu, "cpu_with_rounds": raw / times, "total": answered / times, "times": times}


def ask_queries(server: Measured, window_minutes: int, round_rate: float, say) -> list:
    """All queries, each at this moment and over the window."""
    answers = []
    for text in QUERIES:
        for kind, minutes in (("instant", None), ("range", window_minutes)):
            answer = ask(server, text, minutes, round_rate)
            if "error" in answer:
                say(f"{server.name}: {kind} {text}: {answer['error']}")
            else:
                say(f"{server.name}: {kind} {text}: {answer['cpu']:.4f} s of CPU, {answer['total']:.4f} s, {answer['series']} series")
            answers.append({"query": text, "kind": kind, **answer})
            if answer.get("is_last"):
                return answers
    return answers
