"""Where a path's proxies spend their time: perf's samples of both processes under one of the loads, as text.

cpu-clock is the event, since virtual machines seldom have hardware counters. Shares are of both proxies together.
If the kernel's tracepoints can be reached, a second, undisturbed window counts system calls per request.
"""

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from path import load

SECONDS = 4
FREQUENCY = 4999
TOP = 45


def profile(peer, sampler, case, run_dir):
    """The report on one case's load over SECONDS; the peer is running and paused."""
    peer.resume()
    sampler.seconds = SECONDS + 2
    sampler.tries = 1
    pids = ",".join(str(pid) for pid in peer.all_pids())
    data = run_dir / f"perf-{peer.name}.data"
    record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", FREQUENCY, "-g", "-p", pids, "-o", data]
    sample = _under_load(peer, sampler, case, record)
    parts = [f"{peer.title}, case {case}: " + _figures(sample)]
    for title, words in (
        ("by program and library", ["--no-children", "-g", "none", "--sort", "dso"]),
        ("by symbol, its own time", ["--no-children", "-g", "none", "--sort", "dso,sym"]),
        ("by symbol, with what it calls", ["--children", "-g", "none", "--sort", "sym"]),
    ):
        parts.append(f"\n== {title}\n" + _report(data, words))
    parts.append("\n== system calls\n" + _system_calls(peer, sampler, case, pids))
    return "\n".join(parts)


def _under_load(peer, sampler, case, command):
    """Takes a sample of the case while a command watches for SECONDS, from one second into it."""
    with ThreadPoolExecutor(1) as beside:
        watch = beside.submit(_watch, command)
        sample = sampler.sample(peer, case)
        watch.result()
    return sample


def _watch(command):
    time.sleep(2)
    done = subprocess.run([str(word) for word in [*command, "--", "sleep", SECONDS]], capture_output=True, text=True)
    return done.stderr


def _figures(sample):
    shown = ("per_s", "gbit_s", "cpu_us", "user_us", "system_us", "wakeups_each", "cpu_s_per_gb", "p50", "p99")
    return ", ".join(f"{name} {sample[name]:.4g}" for name in shown if name in sample)


def _report(data, words):
    argv = ["perf", "report", "-i", str(data), "--stdio", "--percent-limit", "0.4", *words]
    text = subprocess.run(argv, capture_output=True, text=True).stdout
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith("#")][:TOP])


def _system_calls(peer, sampler, case, pids):
    """strace -c of each process in a run of its own: the counts hold, the run itself is slow."""
    strace = ["timeout", "-s", "INT", str(SECONDS), "strace", "-c", "-f", "-q", "-p"]
    watch = lambda pid: subprocess.run([*strace, pid], capture_output=True, text=True).stderr  # noqa: E731
    target = peer.target("http")
    with ThreadPoolExecutor() as beside:
        watches = [beside.submit(watch, pid) for pid in pids.split(",")]
        time.sleep(0.5)
        done = load.keep_alive(sampler.ground, target, SECONDS - 2, close=case == "short")["requests"]
    lines = [f"{done} requests, one connection each" if case == "short" else f"{done} requests, 32 connections"]
    for side, text in zip("ab", (watch.result() for watch in watches)):
        rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(\d*) *(\w+)$", text, re.MULTILINE)
        lines.append(f"proxy {side}, per request: " + ", ".join(_calls(*row, done) for row in rows if _worth_showing(row, done)))
    return "\n".join(lines)


def _worth_showing(row, requests):
    calls, _, name = row
    return name != "total" and int(calls) * 100 > requests


def _calls(calls, failed, name, requests):
    in_vain = f" (failed {int(failed) / requests:.2f})" if failed else ""
    return f"{name} {int(calls) / requests:.2f}{in_vain}"
