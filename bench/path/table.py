"""From samples to medians, ratios and the tables a person reads."""

import statistics

# case -> heading, and columns: (figure, head, digits). "added_…" figures are differences to direct, pair by pair.
COLUMNS = {
    "full": (
        "Full load, 32 connections, 1 KiB answers",
        [
            ("per_s", "requests/s", 0),
            ("cpu_us", "CPU µs/request", 1),
            ("user_us", "user", 1),
            ("system_us", "system", 1),
            ("machine_us", "machine µs/request", 1),
            ("wakeups_each", "wake-ups/request", 2),
            ("packets_each", "packets/request", 2),
        ],
    ),
    "rate": (
        "1,000 requests a second, open loop, 16 connections",
        [
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
        ],
    ),
    "short": (
        "Short connections, one request each, 32 at a time",
        [
            ("per_s", "connections/s", 0),
            ("cpu_us", "CPU µs/connection", 1),
            ("user_us", "user", 1),
            ("system_us", "system", 1),
            ("machine_us", "machine µs/connection", 1),
            ("wakeups_each", "wake-ups/connection", 2),
            ("packets_each", "packets/connection", 2),
        ],
    ),
    "bulk1": (
        "Bulk, 1 stream",
        [("gbit_s", "Gbit/s", 2), ("cpu_s_per_gb", "CPU s/GB", 3), ("machine_s_per_gb", "machine s/GB", 3)],
    ),
    "bulk8": (
        "Bulk, 8 streams",
        [("gbit_s", "Gbit/s", 2), ("cpu_s_per_gb", "CPU s/GB", 3), ("machine_s_per_gb", "machine s/GB", 3)],
    ),
    "memory": (
        "Memory, per proxy",
        [("rest_mb", "MB at rest", 1), ("idle_mb", "MB with idle ones", 1), ("idle_kib_each", "KiB/idle connection", 1)],
    ),
}
# The figure of each case by which "the best peer" is chosen, and whether more of it is better.
RATIOS = [
    ("full", "cpu_us", False),
    ("full", "machine_us", False),
    ("full", "per_s", True),
    ("rate", "cpu_us", False),
    ("rate", "added_p50", False),
    ("rate", "added_p99", False),
    ("short", "cpu_us", False),
    ("bulk1", "cpu_s_per_gb", False),
    ("bulk1", "gbit_s", True),
    ("bulk8", "cpu_s_per_gb", False),
    ("bulk8", "gbit_s", True),
    ("memory", "rest_mb", False),
    ("memory", "idle_kib_each", False),
]


def add_differences(samples):
    """Gives each latency sample what it adds to the direct one of the same repeat."""
    direct = {s["repeat"]: s for s in samples if s["case"] == "rate" and s["peer"] == "direct"}
    for sample in samples:
        if sample["case"] == "rate" and sample["repeat"] in direct:
            for figure in ("p50", "p99"):
                sample[f"added_{figure}"] = sample[figure] - direct[sample["repeat"]][figure]


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


def ratios(summary, ours="weir"):
    """Ours over the best of the proxies, for each figure of RATIOS that both have."""
    found = []
    for case, figure, more_is_better in RATIOS:
        medians = {peer: f[figure]["median"] for peer, f in summary.get(case, {}).items() if figure in f}
        others = {peer: value for peer, value in medians.items() if peer not in (ours, "direct")}
        if ours not in medians or not others:
            continue
        best = (max if more_is_better else min)(others, key=others.get)
        if others[best]:
            ratio = medians[ours] / others[best]
            found.append({"case": case, "figure": figure, "ratio": ratio, "best_peer": best, "more_is_better": more_is_better})
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
        rows = [["Weir over the best peer", "ratio", "best peer"]]
        heads = {(case, figure): head for case, (_, columns) in COLUMNS.items() for figure, head, _ in columns}
        for entry in compared:
            what = f"{entry['case']}: {heads[entry['case'], entry['figure']]}"
            better = " (more is better)" if entry["more_is_better"] else ""
            rows.append([what + better, f"{entry['ratio']:.2f}", titles[entry["best_peer"]]])
        lines += ["", *_aligned(rows)]
    return "\n".join(lines[1:])
