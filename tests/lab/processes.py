"""Processes of a lab: each is started in a network namespace and in a cgroup v2 leaf, and ended through that leaf.

Weir reads a process's place from both: its pod from the network namespace, and whether it is a proxy from the cgroup.
A cgroup is also how the lab knows what is its own: whatever is in one below CGROUPS/weir-lab/NAME was started by the
lab called NAME (or by something it started), so ending a lab never touches anybody else's process.
"""

import os
import pathlib
import signal
import subprocess
import time

NETNS_DIR = pathlib.Path("/run/netns")


class LabError(Exception):
    """Something the lab was asked for cannot be had; the message is for a person."""


def cgroup_root():
    """The mounted cgroup v2 hierarchy: beside cgroup v1 on some machines, alone on most."""
    for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        if os.path.exists(f"{path}/cgroup.procs"):
            return pathlib.Path(path)
    raise LabError("no cgroup v2 at /sys/fs/cgroup/unified or /sys/fs/cgroup")


class Cgroup:
    """A cgroup v2 leaf and the processes in and below it."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def create(self):
        self.path.mkdir(parents=True, exist_ok=True)
        return self

    def pids(self):
        found = []
        for procs in [self.path / "cgroup.procs", *self.path.glob("**/cgroup.procs")]:
            try:
                found += [int(line) for line in procs.read_text().split()]
            except FileNotFoundError:
                pass
        return sorted(set(found))

    def kill(self, timeout=5):
        """SIGKILL to everything in and below this cgroup, and waits until it is gone."""
        deadline = time.monotonic() + timeout
        while pids := self.pids():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if time.monotonic() > deadline:
                raise LabError(f"processes {pids} of {self.path} outlive SIGKILL")
            time.sleep(0.01)

    def remove(self):
        """Kills what is inside and removes the cgroup with everything below it."""
        if not self.path.exists():
            return
        self.kill()
        for directory in sorted((p for p in self.path.glob("**/") if p.is_dir()), key=lambda p: -len(p.parts)):
            for _ in range(100):  # A cgroup stays busy for a moment after its last process has gone.
                try:
                    directory.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)


def command_in(argv, netns=None, cgroup=None, cpus=None):
    """argv wrapped so that it runs in the namespace, the cgroup and on the CPUs; the pid stays the program's own.

    nsenter and not `ip netns exec`: the latter remounts /sys and thereby hides the cgroups.
    """
    wrapped = []
    if cgroup is not None:
        wrapped += ["/bin/sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', str(cgroup.path)]
    if netns is not None:
        wrapped += ["nsenter", f"--net={NETNS_DIR / netns}", "--"]
    if cpus is not None:
        wrapped += ["taskset", "-c", str(cpus)]
    return wrapped + [str(a) for a in argv]


def spawn(argv, netns=None, cgroup=None, cpus=None, **popen):
    """A Popen of argv in its place. A session of its own keeps a Ctrl-C at the terminal from reaching it."""
    popen.setdefault("start_new_session", True)
    popen.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(command_in(argv, netns, cgroup, cpus), **popen)


def run(argv, **keywords):
    """Runs a command of the lab itself; on failure its output is in the message."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **keywords)
    if done.returncode != 0:
        raise LabError(f"{' '.join(map(str, argv))}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def ended(pid, cgroup, timeout):
    """Waits until the process has left its cgroup (it is dead, or a zombie whose parent has not asked yet)."""
    deadline = time.monotonic() + timeout
    while pid in cgroup.pids():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
