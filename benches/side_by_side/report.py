"""The numbers of a run as Markdown: one table of what was measured, one of the ratios against the bars."""

def table(head: list, rows: list) -> str:
    """A Markdown table, its first column aligned left."""
    align = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, align, *rows])


def seconds(value: float) -> str:
    """Three digits that matter, never finer than a tenth of a millisecond."""
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.4f}" if value < 0.1 else f"{value:.3f}"


def milliseconds(value: float) -> str:
    """Three digits that matter, never finer than ten microseconds."""
    value *= 1000
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def megabytes(value: float) -> str:
    """Millions of bytes."""
    return f"{value / 1e6:,.1f}" if value < 100e6 else f"{value / 1e6:,.0f}"


def find(server: dict, title: str, encoding: str, again: bool = False):
    """An answer of a server; none where it was not asked."""
    wanted = (title, encoding, again)
    return next((one for one in server["answers"] if (one["title"], one["encoding"], one["again"]) == wanted), None)


def answer_cell(answer) -> str:
    """One answer in short: CPU, first byte, total, size."""
    if answer is None:
        return "–"
    first, total = f"{answer['first_byte'] * 1000:,.0f} ms", f"{seconds(answer['total'])} s"
    return f"**{seconds(answer['cpu'])} s**, {first}, {total}, {megabytes(answer['bytes'])} MB"


def measured(run: dict) -> str:
    """What was measured, one column per server."""
    servers = list(run["servers"].values())
    row = lambda title, cell: [title, *(cell(server) for server in servers)]
    rows = [
        row("CPU per round (s)", lambda server: f"**{seconds(server['round_cpu'])}**"),
        row("resident after the rounds (MB)", lambda server: f"**{megabytes(server['memory_rounds']['rss'])}**"),
    ]
    if any(server["answers"] for server in servers):
        rows.append(row("resident after the answers (MB)", lambda server: megabytes(server["memory_answers"]["rss"])))
    if any(server["queries"] for server in servers):
        rows.append(row("resident after the queries (MB)", lambda server: megabytes(server["memory_queries"]["rss"])))
    rows.append(row("resident at its highest (MB)", lambda server: megabytes(server["memory_queries"]["highest"])))
    questions = dict.fromkeys((one["title"], one["encoding"], one["again"]) for server in servers for one in server["answers"])
    for title, encoding, again in questions:
        name = f"{title}, {encoding}" + (", again" if again else "")
        rows.append(row(name, lambda server: answer_cell(find(server, title, encoding, again))))
    head = ["", *(f"{name} {run['servers'][name]['version']}" for name in run["servers"])]
    if not questions:
        return table(head, rows)
    note = "`/federate` answers: **CPU of the server**, first byte, last byte, bytes on the wire; the mean CPU of the rounds that fell into the answer's time is subtracted."
    return f"{table(head, rows)}\n\n{note}"


def find_query(server: dict, query: str, kind: str):
    """The answer of a server to a query; none where it was not asked, or refused."""
    wanted = (query, kind)
    return next((one for one in server["queries"] if (one["query"], one["kind"]) == wanted and "error" not in one), None)


def query_cell(answer) -> str:
    """One answer to a query in short: CPU, total, size."""
    if answer is None:
        return "–"
    return f"**{milliseconds(answer['cpu'])} ms**, {milliseconds(answer['total'])} ms, {answer['series']:,} × {answer['points'] // max(answer['series'], 1):,}, {answer['bytes'] / 1e3:,.1f} kB"


def queries_of(run: dict) -> list:
    """What was asked: query and kind."""
    return list(dict.fromkeys((one["query"], one["kind"]) for server in run["servers"].values() for one in server["queries"]))


def queried(run: dict) -> str:
    """What queries cost, one column per server."""
    servers = list(run["servers"].values())
    rows = [[f"`{query}`, {kind}", *(query_cell(find_query(server, query, kind)) for server in servers)] for query, kind in queries_of(run)]
    if not rows:
        return ""
    head = ["", *run["servers"]]
    refused = [f"{name}, `{one['query']}`, {one['kind']}: {one['error']}" for name, server in run["servers"].items() for one in server["queries"] if "error" in one]
    note = f"Queries: **CPU of the server**, last byte, series × points, bytes; a range is {run['window']} minutes at 15 s. The mean CPU of the rounds that fell into the answers' time is subtracted."
    return "\n\n".join([table(head, rows), note, *refused])


def bars(run: dict) -> list:
    """Every bar: what, Tributary's number, Prometheus' number, the most that the first may be of the second."""
    ours, theirs = run["servers"]["Tributary"], run["servers"]["Prometheus"]
    ratios = [
        ("CPU per round", ours["round_cpu"], theirs["round_cpu"], None if run["gzip"] else 15),
        ("resident after the rounds", ours["memory_rounds"]["rss"], theirs["memory_rounds"]["rss"], 5),
        ("resident at its highest", ours["memory_queries"]["highest"], theirs["memory_queries"]["highest"], 5),
    ]
    for query, kind in queries_of(run):
        mine, baseline = find_query(ours, query, kind), find_query(theirs, query, kind)
        if baseline:
            ratios.append((f"CPU of `{query}`, {kind}", mine["cpu"] if mine else float("inf"), baseline["cpu"], 5))
    if not (ours["answers"] and theirs["answers"]):
        return ratios
    everything = ["everything, no selector", "everything, `match[]`"]
    for encoding, parts in (("identity", 100), ("gzip", 15)):
        baseline = find(theirs, everything[1], encoding)["cpu"]
        for title in everything:
            ratios.append((f"CPU of {title}, {encoding}", find(ours, title, encoding)["cpu"], baseline, parts))
    return ratios


def judged(run: dict) -> str:
    """The ratios against the bars of this project."""
    rows = []
    for title, ours, theirs, parts in bars(run):
        verdict = "no bar" if parts is None else "pass" if ours * parts <= theirs else "MISSED"
        rows.append([title, f"1/{theirs / max(ours, 1e-9):.1f}", "–" if parts is None else f"≤ 1/{parts}", verdict])
    asked = [one for one in run["servers"]["Tributary"]["answers"] if one["title"].startswith("everything")]
    if asked:
        slowest = max(one["first_byte"] for one in asked) * 1000
        rows.append(["first byte of everything, the slowest", f"{slowest:.1f} ms", "≤ 50 ms", "pass" if slowest <= 50 else "MISSED"])
    return table(["Tributary : Prometheus", "is", "bar", ""], rows)


def markdown(run: dict) -> str:
    """The whole report of one fleet."""
    upstream = "gzip" if run["gzip"] else "identity"
    size = f"{run['clusters']} clusters × {run['series']:,} series"
    wire = f"{megabytes(run['body_bytes'])} MB a round" + (f" ({megabytes(run['wire_bytes'])} MB in gzip)" if run["gzip"] else "")
    servers = run["servers"].items()
    loads = ", ".join(f"{server['load']:.1f} ({name})" for name, server in servers)
    fleet = ", ".join(f"{server['fleet_cpu']:.2f} s" for _, server in servers)
    ratios = judged(run) if {"Tributary", "Prometheus"} <= set(run["servers"]) else ""
    tables = "\n\n".join(part for part in (measured(run), queried(run), ratios) if part)
    return f"""### The {run['fleet']} fleet: {size}, {wire}, fetched in {upstream}

{run['rounds']} rounds of {run['interval']} s after {run['warm_up']}; {run['cpus']} CPUs ({run['cpu_model']}), load average while each ran: {loads}; the fleet itself took {fleet} of CPU per round.

{tables}
"""
