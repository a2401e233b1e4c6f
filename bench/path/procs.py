"""Processes of the benchmark: what they have used, and their end.

CPU time is read from the process's CPU clock (nanoseconds, threads that ended included); how it divides into user
and system comes from /proc/PID/stat, whose ticks (10 ms) are too coarse for the sum.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import time
from dataclasses import dataclass

PROXY_CPU = 1  # both proxies
LOAD_CPU = 0  # load generator, origin, this program
NICE = -10  # the same for everything measured: builds in the background disturb less

PR_SET_PDEATHSIG = 1
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number):
    """The calling process gets this signal when the thread that made it ends."""
    if libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_PDEATHSIG")


def stop(process, patience_s=3):
    """TERM, then KILL. Safe to call for one that has ended, or for None."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Usage:
    """What a set of processes has used so far; subtract two of them."""

    cpu_s: float = 0.0
    user_ticks: int = 0
    system_ticks: int = 0
    wakeups: int = 0  # voluntary context switches: it slept, and was woken
    preemptions: int = 0

    def __sub__(self, before):
        return Usage(*(getattr(self, f) - getattr(before, f) for f in self.__dataclass_fields__))

    def __add__(self, other):
        return Usage(*(getattr(self, f) + getattr(other, f) for f in self.__dataclass_fields__))

    @property
    def user_share(self):
        ticks = self.user_ticks + self.system_ticks
        return self.user_ticks / ticks if ticks else 0.0


def _process_cpu_s(pid):
    return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of the whole process, as clock_getcpuclockid(3)


def _switches(pid):
    voluntary = involuntary = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as lines:
                fields = dict(line.split(":", 1) for line in lines)
        except OSError:
            continue  # a thread that ended meanwhile
        voluntary += int(fields["voluntary_ctxt_switches"])
        involuntary += int(fields["nonvoluntary_ctxt_switches"])
    return voluntary, involuntary


def usage(pids):
    total = Usage()
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        total += Usage(_process_cpu_s(pid), int(fields[11]), int(fields[12]), *_switches(pid))
    return total


def rss_kib(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status", encoding="ascii") as lines:
            total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return total


class BpfTime:
    """The nanoseconds that the kernel counts in BPF programs of a prefix while the `with` block lasts."""

    SETTING = "/proc/sys/kernel/bpf_stats_enabled"

    def __init__(self, prefix):
        self.prefix, self.ns = prefix, 0

    def total(self):
        shown = json.loads(subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True).stdout)
        return sum(one.get("run_time_ns", 0) for one in shown if one.get("name", "").startswith(self.prefix))

    def __enter__(self):
        self._set("1")
        self.before = self.total()
        return self

    def __exit__(self, *_):
        self.ns = self.total() - self.before
        self._set("0")

    def _set(self, value):
        with open(self.SETTING, "w", encoding="ascii") as setting:
            setting.write(value)


def cpu_busy_s():
    """Seconds each CPU has been busy since boot (interrupts included, time stolen by the host not), and stolen."""
    busy, stolen = {}, {}
    with open("/proc/stat", encoding="ascii") as lines:
        for line in lines:
            name, *fields = line.split()
            if name.startswith("cpu") and name != "cpu":
                user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
                busy[int(name[3:])] = (user + nice + system + irq + softirq) / TICKS_PER_S
                stolen[int(name[3:])] = steal / TICKS_PER_S
    return busy, stolen


def children_cpu_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
