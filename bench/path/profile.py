"""Where a path's proxies spend their time: perf's samples of both processes under one of the loads, as text.

cpu-clock is the event, since virtual machines seldom have hardware counters. Shares are of both proxies together.
System calls are counted in a run of their own.
"""

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

SECONDS = 4
FREQUENCY = 4999
TOP = 45
SYSTEM_CALLS = (
    "accept4 bind clock_gettime close connect epoll_ctl epoll_wait fcntl futex getpeername getpid getsockname getsockopt "
    "io_uring_enter madvise munmap read readv recvfrom recvmsg sendmsg sendto setns setsockopt shutdown socket write writev"
).split()
NAMES = {"raw_syscalls:sys_exit": "(failed)", "io_uring:io_uring_complete": "(io_uring operations)"}


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
    time.sleep(2)  # past the warm-up
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
    """Counted in the kernel's tracepoints, by perf stat, in the middle of one more run of the load: strace would slow the
    proxies tenfold, and perf trace loses events under load."""
    # The tracepoints' file system is mounted for the watching command alone: the machine stays as it is.
    script = 'test -e /sys/kernel/tracing/events || mount -t tracefs tracefs /sys/kernel/tracing && exec perf stat -x, "$@"'
    events = ["-e", "raw_syscalls:sys_exit", "--filter", "ret < 0", "-e", "io_uring:io_uring_complete"]
    events += ["-e", ",".join(f"syscalls:sys_enter_{name}" for name in SYSTEM_CALLS)]
    stat = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", script, "sh", *events]
    watch = lambda pid: subprocess.run([*stat, "-p", pid, "sleep", str(SECONDS)], capture_output=True, text=True)  # noqa: E731
    with ThreadPoolExecutor() as beside:
        watches = [beside.submit(_after_two_seconds, watch, pid) for pid in pids.split(",")]
        sample = sampler.sample(peer, case)
    per_s, unit = _speed(sample)
    lines = []
    for side, watched in zip("ab", (one.result() for one in watches)):
        counted = re.findall(r"^(\d+),[^,]*,([\w:]+)", watched.stderr, re.MULTILINE)
        each = {NAMES.get(event, event.split("sys_enter_")[-1]): int(count) / (per_s * SECONDS) for count, event in counted}
        shown = [f"{name} {count:.2f}" for name, count in sorted(each.items(), key=lambda e: -e[1]) if count >= 0.01]
        lines.append(f"proxy {side}, per {unit}: " + (", ".join(shown) or watched.stderr.strip()))
    return "\n".join(lines)


def _after_two_seconds(watch, pid):
    time.sleep(2)
    return watch(pid)


def _speed(sample):
    if "bytes" in sample:
        return sample["bytes"] / 1e6 / sample["wall_s"], "MB"
    return sample.get("per_s") or sample["requests"] / sample["wall_s"], "request"
