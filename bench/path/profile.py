"""Where a path's proxies spend their time: perf's samples of both processes under one of the loads, as text.

cpu-clock is the event, since virtual machines seldom have hardware counters. Shares are of both proxies together.
System calls are counted by strace in a run of their own.
"""

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

SECONDS = 4
FREQUENCY = 4999
TOP = 45


def profile(peer, sampler, case, run_dir):
    """Prints the report on one case's load over SECONDS; the peer is running and paused."""
    peer.resume()
    sampler.seconds = SECONDS + 2
    sampler.tries = 1
    pids = ",".join(str(pid) for pid in peer.all_pids())
    data = run_dir / f"perf-{peer.name}.data"
    record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", FREQUENCY, "-g", "-p", pids, "-o", data]
    sample = _under_load(peer, sampler, case, record)
    print(f"{peer.title}, case {case}: {_figures(sample)}")
    for title, words in (
        ("by program and library", ["--no-children", "-g", "none", "--sort", "dso"]),
        ("by symbol, its own time", ["--no-children", "-g", "none", "--sort", "dso,sym"]),
        ("by symbol, with what it calls", ["--children", "-g", "none", "--sort", "sym"]),
    ):
        print(f"\n== {title}\n{_report(data, words)}", flush=True)
    print(f"\n== system calls\n{_system_calls(peer, sampler, case, pids)}")


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
    sampler.seconds = SECONDS - 2
    with ThreadPoolExecutor() as beside:
        watches = [beside.submit(watch, pid) for pid in pids.split(",")]
        time.sleep(0.3)
        sample = sampler.sample(peer, case)
    # The watches saw the warm-up too, which only some cases have: what is exact is one call beside another.
    done, unit = (sample["bytes"] / 1e6, "MB") if "bytes" in sample else (sample["requests"], "request")
    lines = [f"{done:.0f} × {unit} in the sample"]
    for side, text in zip("ab", (watch.result() for watch in watches)):
        rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(\d*) *(\w+)$", text, re.MULTILINE)
        counts = ", ".join(_calls(*row, done) for row in rows if _worth_showing(row, done))
        lines.append(f"proxy {side}, per {unit}: {counts}")
    return "\n".join(lines)


def _worth_showing(row, done):
    calls, _, name = row
    return name != "total" and int(calls) * 100 > done


def _calls(calls, failed, name, done):
    in_vain = f" (failed {int(failed) / done:.2f})" if failed else ""
    return f"{name} {int(calls) / done:.2f}{in_vain}"
