"""From samples to medians, ratios and the tables a person reads."""

import statistics
from typing import NamedTuple


class Kind(NamedTuple):
    """What is shown of a case. "added_…" figures are differences to direct, pair by pair."""

    columns: list  # (figure, head, digits)
    ratios: list  # (figure by which the best peer is chosen, whether more of it is better)


FLOOD_COLUMNS = [
    ("per_s", "requests/s", 0),
    ("cpu_us", "CPU µs/request", 1),
    ("user_us", "user", 1),
    ("system_us", "system", 1),
    ("machine_us", "machine µs/request", 1),
    ("wakeups_each", "wake-ups/request", 2),
    ("packets_each", "packets/request", 2),
]
RATE_COLUMNS = [
    ("cpu_us", "CPU µs/request", 1),
    ("user_us", "user", 1),
    ("system_us", "system", 1),
    ("machine_us", "machine µs/request", 0),
    ("wakeups_each", "wake-ups/request", 2),
    ("packets_each", "packets/request", 2),
    ("p50", "p50 µs", 0),
    ("p99", "p99 µs", 0),
    ("added_p50", "p50 added", 0),
    ("added_p99", "p99 added", 0),
]
SHORT_COLUMNS = [(figure, head.replace("request", "connection"), digits) for figure, head, digits in FLOOD_COLUMNS]
BULK_COLUMNS = [("gbit_s", "Gbit/s", 2), ("cpu_s_per_gb", "CPU s/GB", 3), ("machine_s_per_gb", "machine s/GB", 3)]
BESIDE_COLUMNS = [
    ("p50", "p50 µs alone", 0),
    ("p99", "p99 µs alone", 0),
    ("p50_beside", "p50 beside bulk", 0),
    ("p99_beside", "p99 beside bulk", 0),
    ("p99_times", "p99 beside / alone", 2),
    ("gbit_s", "Gbit/s of bulk", 2),
]
WORKERS_COLUMNS = [
    ("gbit_s", "Gbit/s", 2),
    ("share_a", "least share of a worker, node a", 2),
    ("share_b", "least share, node b", 2),
]
HANDSHAKE_COLUMNS = [("cpu_us", "CPU µs/handshake of the dialled proxy", 1)]
CONNECT_COLUMNS = [("connect_us", "µs/connect()", 2), ("hooks_us", "of it in Weir's programs", 2)]
MEMORY_COLUMNS = [
    ("rest_mb", "MB at rest", 1),
    ("idle_mb", "MB with idle ones", 1),
    ("idle_kib_each", "KiB/idle connection", 1),
    ("after_mb", "MB after short ones", 1),
    ("after_count", "of those, so many", 0),
]
FLOOD = Kind(FLOOD_COLUMNS, [("cpu_us", False), ("machine_us", False), ("per_s", True)])
RATE = Kind(RATE_COLUMNS, [("cpu_us", False), ("added_p50", False), ("added_p99", False)])
SHORT = Kind(SHORT_COLUMNS, [("cpu_us", False), ("per_s", True)])
BULK = Kind(BULK_COLUMNS, [("cpu_s_per_gb", False), ("gbit_s", True)])
BESIDE = Kind(BESIDE_COLUMNS, [("p99_beside", False)])
HANDSHAKE = Kind(HANDSHAKE_COLUMNS, [("cpu_us", False)])
WORKERS, CONNECT = Kind(WORKERS_COLUMNS, []), Kind(CONNECT_COLUMNS, [])
MEMORY = Kind(MEMORY_COLUMNS, [("rest_mb", False), ("idle_kib_each", False)])
CASES = {
    "full": ("Full load, 32 connections, 1 KiB answers", FLOOD),
    "rate": ("1,000 requests a second, open loop, 16 connections", RATE),
    "short": ("Short connections, one request each, 32 at a time", SHORT),
    "bulk1": ("Bulk, 1 stream", BULK),
    "bulk8": ("Bulk, 8 streams", BULK),
    "beside": ("100 requests a second on one connection, alone and beside a bulk stream of the same two pods", BESIDE),
    "workers": ("Bulk, 8 streams, two workers: the bytes of each", WORKERS),
    "handshake": ("Full mTLS handshakes, one after the other, at the server's node", HANDSHAKE),
    "connect": ("connect() to a port of the pod's own where nobody listens", CONNECT),
    "h1": ("HTTP/1.1, full load, 32 connections, 1 KiB answers", FLOOD),
    "h1-rate": ("HTTP/1.1, 1,000 requests a second, open loop, 16 connections", RATE),
    "h1-short": ("HTTP/1.1, one request per connection, 32 at a time", SHORT),
    "h1-1": ("HTTP/1.1, 1 connection", FLOOD),
    "h1-16": ("HTTP/1.1, 16 connections", FLOOD),
    "h1-512": ("HTTP/1.1, 512 connections", FLOOD),
    "h2": ("HTTP/2, 4 connections of 8 streams, 1 KiB answers", FLOOD),
    "grpc": ("gRPC unary, 4 connections of 8 streams, 100 bytes there and 1 KiB back", FLOOD),
    "h1-bulk1": ("HTTP/1.1, 64 MiB bodies, 1 connection", BULK),
    "h1-bulk8": ("HTTP/1.1, 64 MiB bodies, 8 connections", BULK),
    "memory": ("Memory, per proxy", MEMORY),
    "h1-memory": ("HTTP/1.1, memory, per proxy", MEMORY),
}
COLUMNS = {case: (heading, kind.columns) for case, (heading, kind) in CASES.items()}
RATIOS = [(case, *ratio) for case, (_, kind) in CASES.items() for ratio in kind.ratios]


def add_differences(samples):
    """Gives each latency sample what it adds to the direct one of the same case and repeat."""
    direct = {(s["case"], s["repeat"]): s for s in samples if s["peer"] == "direct"}
    for sample in samples:
        beside = direct.get((sample["case"], sample["repeat"]))
        if beside and "p50" in sample and "p50" in beside:
            for figure in ("p50", "p99"):
                sample[f"added_{figure}"] = sample[figure] - beside[figure]


def summarise(samples):
    """{case: {peer: {figure: {median, min, max, n}}}} for the figures of COLUMNS."""
    summary = {}
    for case, (_, columns) in COLUMNS.items():
        for sample in (s for s in samples if s["case"] == case):
            into = summary.setdefault(case, {}).setdefault(sample["peer"], {})
            for figure, _, _ in columns:
                if figure in sample:
                    into.setdefault(figure, []).append(sample[figure])
    for peers in summary.values():
        for figures in peers.values():
            for figure, values in figures.items():
                spread = {"min": min(values), "max": max(values), "n": len(values)}
                figures[figure] = {"median": statistics.median(values), **spread}
    return summary


def ratios(summary, ours="weir", ours_too=("weir-nolog", "weir-epoll", "weir-near")):
    """Ours over the best of the other proxies and over each of them, for each figure of RATIOS that both have."""
    found = []
    for case, figure, more_is_better in RATIOS:
        medians = {peer: f[figure]["median"] for peer, f in summary.get(case, {}).items() if figure in f}
        mine = medians.pop(ours, None)
        medians.pop("direct", None)
        over = {peer: mine / value for peer, value in medians.items() if value} if mine is not None else {}
        others = {peer: medians[peer] for peer in over if peer not in ours_too}
        best = (max if more_is_better else min)(others, key=others.get, default=None)
        if over:
            found.append({"case": case, "figure": figure, "ratio": over.get(best), "best_peer": best, "over": over,
                          "more_is_better": more_is_better})
    return found


def _cell(figures, figure, digits):
    if figure not in figures:
        return "–"
    value = figures[figure]
    text = f"{value['median']:,.{digits}f}"
    return text if value["n"] == 1 else f"{text} [{value['min']:,.{digits}f}–{value['max']:,.{digits}f}]"


def _aligned(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = ["-" * width for width in widths]
    return ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in (rows[0], rule, *rows[1:])]


def render(summary, titles):
    """Markdown that also reads well in a terminal: median [least–most]."""
    lines = []
    for case, peers in summary.items():
        heading, columns = COLUMNS[case]
        rows = [["path", *(head for _, head, _ in columns)]]
        for peer, figures in peers.items():
            if figures:
                rows.append([titles[peer], *(_cell(figures, figure, digits) for figure, _, digits in columns)])
        lines += ["", f"**{heading}**", "", *_aligned(rows)]
    compared = ratios(summary)
    if compared:
        rows = [["Weir over the best peer", "ratio", "best peer", "over each"]]
        heads = {(case, figure): head for case, (_, columns) in COLUMNS.items() for figure, head, _ in columns}
        for entry in compared:
            what = f"{entry['case']}: {heads[entry['case'], entry['figure']]}"
            better = " (more is better)" if entry["more_is_better"] else ""
            each = ", ".join(f"{peer} {ratio:.2f}" for peer, ratio in entry["over"].items())
            best = [f"{entry['ratio']:.2f}", titles[entry["best_peer"]]] if entry["best_peer"] else ["–", "–"]
            rows.append([what + better, *best, each])
        lines += ["", *_aligned(rows)]
    return "\n".join(lines[1:])
