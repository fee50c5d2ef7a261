"""The programs that are measured and the fleet before them: how each is configured, started, and asked whether it
reaches all clusters. Every one listens on a free port of the loopback and keeps its data under a scratch folder.
"""

import json
import os
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request

EVERYTHING = '{__name__=~".+"}'
INTERVAL_SECONDS = 15
# Most samples of a query: a count of everything over the window goes over the default of 50 million.
SAMPLES_MAX = 1_000_000_000


def free_ports(number: int) -> int:
    """The first of `number` consecutive ports that nobody listens on."""
    for first in range(20000, 60000, 100):
        try:
            held = [socket.create_server(("127.0.0.1", first + offset)) for offset in range(number)]
        except OSError:
            continue
        for one in held:
            one.close()
        return first
    raise SystemExit("no free ports")


class Server:
    """A running program; a context manager that ends it."""

    def __init__(self, command: list, log: str):
        with open(log, "wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        self.pid, self.log = self.process.pid, log

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait_until(self, what: str, ready, seconds: float = 120):
        """Polls `ready` until it is true; ends the run when it does not become so, or the process has gone."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if ready():
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.2)
        self.fail(what)

    def stay(self, seconds: float):
        """Waits; ends the run when the process ends meanwhile."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        self.fail(f"ended with status {status} while it was measured")

    def fail(self, what: str):
        """Ends the run with the end of the process's log."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            raise SystemExit(f"{self.process.args[0]} {what}:\n" + "".join(log.readlines()[-20:]))


class Fleet(Server):
    """The simulated clusters, one HTTP server each, in one process."""

    def __init__(self, options, scratch: str):
        first = free_ports(options.clusters + 1)
        shape = ["--shape", options.fleet, "--gzip", str(options.gzip).lower()]
        size = ["--clusters", str(options.clusters), "--series", str(options.series)]
        command = ["target/release/examples/fleet", *shape, *size, "--base-port", str(first), "--interval", f"{INTERVAL_SECONDS}s"]
        log = os.path.join(scratch, "fleet.log")
        super().__init__(command, log)
        self.wait_until("did not get ready", lambda: "\nready\n" in self.output())
        self.clusters = re.findall(r"^(\S+) http://(\S+)$", self.output(), re.MULTILINE)

    def output(self) -> str:
        """What it has printed."""
        with open(self.log, encoding="utf-8") as log:
            return log.read()

    def body_bytes(self, encoding: str) -> int:
        """Bytes of one round of all clusters on the wire."""
        total = 0
        for _, address in self.clusters:
            url = f"http://{address}/federate?" + urllib.parse.urlencode({"match[]": EVERYTHING})
            request = urllib.request.Request(url, headers={"Accept-Encoding": encoding})
            with urllib.request.urlopen(request) as answer:
                total += len(answer.read())
        return total


class Measured(Server):
    """A program that scrapes the fleet and serves /federate."""

    name = ""
    # Whether a request without match[] gets everything.
    empty_match_is_all = False
    # Whether an answer, or a part of it, may come from the one before.
    keeps_answers = False
    # Where the query API is, and what each query is sent with.
    query_api = "/api/v1"
    query_parameters: dict = {}

    def __init__(self, command: list, address: str, scratch: str):
        self.address = address
        super().__init__(command, os.path.join(scratch, f"{self.name}.log"))

    def get_json(self, path: str):
        """The JSON at a path of the server."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
            return json.load(answer)

    def up(self) -> int:
        """How many clusters it reaches."""
        targets = self.get_json("/api/v1/targets?state=active")["data"]["activeTargets"]
        return sum(target["health"] == "up" for target in targets)


def prometheus_config(fleet: Fleet, scratch: str) -> str:
    """One federate job per cluster, as it is copied today. In JSON, which is YAML too."""
    jobs = [
        {
            "job_name": name,
            "honor_labels": True,
            "metrics_path": "/federate",
            "params": {"match[]": [EVERYTHING]},
            "static_configs": [{"targets": [address], "labels": {"cluster": name}}],
        }
        for name, address in fleet.clusters
    ]
    config = {
        "global": {"scrape_interval": f"{INTERVAL_SECONDS}s", "scrape_timeout": "14s"},
        "scrape_configs": jobs,
    }
    path = os.path.join(scratch, "prometheus.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=1)
    return path


class Tributary(Measured):
    """This project."""

    name, empty_match_is_all, keeps_answers = "Tributary", True, True
    # The answers from its own samples, whatever may be asked elsewhere.
    query_api = "/recent/api/v1"

    def __init__(self, fleet: Fleet, options, scratch: str):
        config = {
            "global": {
                "scrape_interval": f"{INTERVAL_SECONDS}s",
                "match": [EVERYTHING],
                "compression": "gzip" if options.gzip else "identity",
            },
            "clusters": [{"name": name, "url": f"http://{address}"} for name, address in fleet.clusters],
        }
        path = os.path.join(scratch, "tributary.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file, indent=1)
        address = f"127.0.0.1:{free_ports(1)}"
        # Without queries the federation alone is measured.
        window = f"{options.window}m" if options.queries else "0"
        flags = ["--config.file", path, "--web.listen-address", address, "--storage.window", window]
        if options.queries:
            flags += ["--query.max-samples", str(SAMPLES_MAX)]
        super().__init__(["target/release/tributary", *flags], address, scratch)

    def up(self) -> int:
        clusters = self.get_json("/api/v1/clusters")["data"]["clusters"]
        return sum(cluster["up"] for cluster in clusters)

    @staticmethod
    def version() -> str:
        return output_of("target/release/tributary", "--version").split()[-1]


class Prometheus(Measured):
    """Debian's."""

    name = "Prometheus"

    def __init__(self, fleet: Fleet, options, scratch: str):
        address = f"127.0.0.1:{free_ports(1)}"
        limits = ["--query.max-samples", str(SAMPLES_MAX)] if options.queries else []
        files = ["--config.file", prometheus_config(fleet, scratch), "--storage.tsdb.path", os.path.join(scratch, "prometheus")]
        super().__init__(["prometheus", *files, *limits, "--web.listen-address", address], address, scratch)

    @staticmethod
    def version() -> str:
        return re.search(r"version (\S+)", output_of("prometheus", "--version"))[1]


class VictoriaMetrics(Measured):
    """Debian's, with the limits raised that a fleet of this size would meet."""

    name = "VictoriaMetrics"
    # Else a range is answered from the one before.
    query_parameters = {"nocache": "1"}

    def __init__(self, fleet: Fleet, options, scratch: str):
        address = f"127.0.0.1:{free_ports(1)}"
        files = ["-promscrape.config", prometheus_config(fleet, scratch), "-storageDataPath", os.path.join(scratch, "victoria")]
        # With those that have gone: after half an hour the real fleet has had twice as many as there are at a time.
        series = str(4 * options.clusters * options.series)
        limits = ["-promscrape.maxScrapeSize", "256MB", "-search.maxFederateSeries", series, "-search.maxUniqueTimeseries", series]
        limits += ["-search.maxQueryDuration", "10m"]
        super().__init__(["victoria-metrics", *files, *limits, "-httpListenAddr", address], address, scratch)

    @staticmethod
    def version() -> str:
        package = output_of("dpkg-query", "--show", "--showformat", "${Version}", "victoria-metrics")
        return package or output_of("victoria-metrics", "--version").strip()


def output_of(*command: str) -> str:
    """What a command prints; nothing when there is no such command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout + done.stderr if done.returncode == 0 else ""
