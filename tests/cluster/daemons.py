"""Long-running programs of a test cluster: each has a log and a pid file, and is ended by that pid and no other.

A pid file holds the pid and the start time of the process, so that a pid which the kernel gave to somebody else is never
taken for ours. `./dev cluster up` leaves them running and `down` finds them by these files; a test's own control plane
asks for `bound=True`, and the kernel ends its programs when the test process dies, however it dies.
"""

import ctypes
import os
import pathlib
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1


class DaemonError(Exception):
    """A program did not do what was asked of it; the message is for a person, with the end of the log."""


def start_time(pid):
    """The start time of a live process in ticks since boot, or None; a zombie is not alive."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def eventually(check, timeout, what, every=0.1):
    """The first true result of `check`; CalledProcessError and OSError count as not yet."""
    deadline = time.monotonic() + timeout
    while True:
        failure = None
        try:
            if result := check():
                return result
        except (OSError, subprocess.SubprocessError, DaemonError) as error:
            failure = error
        if time.monotonic() > deadline:
            raise DaemonError(f"{what}: not after {timeout} s" + (f": {failure}" if failure else ""))
        time.sleep(every)


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Daemon:
    """One program of a state directory, known by its name."""

    def __init__(self, directory, name, bound=False):
        self.name = name
        self.bound = bound
        self.pid_file = pathlib.Path(directory) / "pids" / name
        self.log = pathlib.Path(directory) / "logs" / f"{name}.log"
        self.child = None

    def pid(self):
        """The pid while it runs, else None."""
        if self.child is not None:
            self.child.poll()
        try:
            pid, begun = self.pid_file.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if start_time(pid) == begun else None

    def start(self, argv, **popen):
        if self.pid():
            return self
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          start_new_session=True, preexec_fn=die_with_parent if self.bound else None, **popen)
        self.pid_file.write_text(f"{self.child.pid} {start_time(self.child.pid)}")
        return self

    def signal(self, number):
        if pid := self.pid():
            os.kill(pid, number)

    def stop(self, patience=10):
        """SIGTERM, and SIGKILL to what is still there after that many seconds."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10)):
            if seconds:
                self.signal(number)
            deadline = time.monotonic() + seconds
            while self.pid() and time.monotonic() < deadline:
                time.sleep(0.02)
        if self.pid():
            raise DaemonError(f"{self.name} outlives SIGKILL")
        if self.child is not None:
            self.child.wait()
            self.child = None
        self.pid_file.unlink(missing_ok=True)

    def said(self, lines=15):
        """The end of its log, for messages."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"
