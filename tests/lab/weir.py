"""The Weir of one node of a lab: its agent and its proxy, each in the node's namespace and a cgroup of its own.

Files are those an installation has, below the node's run directory: agent.sock, agent-admin.sock, proxy-admin.sock,
access.log, agent.log, proxy.log, state/ and bpf/ (a bpffs); with the option `cni` cni.sock, and cni-bin/ and cni-conf/ in
place of the runtime's directories. Pids are recorded when a process starts, and a signal goes
to a recorded pid only while that pid is still in the cgroup it was started in.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from observe import Metrics, http_get
from processes import NETNS_DIR, Cgroup, LabError, cgroup_root, ended, run, spawn

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def build_directory(build=None):
    return pathlib.Path(build or os.environ.get("WEIR_BUILD") or os.environ.get("WEIR_BUILD_DIR")
                        or REPOSITORY / "build" / "release").resolve()


def program(build, name):
    """A binary of the build, wherever the build keeps it."""
    for directory in ("bin", ".", "nodeproxy", "agent", "agent/cli"):
        path = pathlib.Path(build) / directory / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise LabError(f"no {name} in {build}: build first (./dev build), or name another build with --build")


class NodeWeir:
    """Agent and proxy of one node. `record` (part of the lab's state) keeps their pids for the next command."""

    def __init__(self, lab, node, record):
        self.lab, self.node, self.record = lab, node, record
        self.directory = lab.directory / node
        self.children = {}

    def turn(self, role):
        """How often it was replaced. Each has a cgroup and a metrics port of its own, as predecessors live on for a while."""
        return self.record.get(f"{role}_turn", 0)

    def cgroup(self, role):
        turn = self.turn(role)
        return Cgroup(self.lab.cgroup.path / self.node / (f"{role}-{turn}" if turn else role))

    def admin_socket(self, role):
        return self.directory / f"{role}-admin.sock"

    def start_beside(self, role, timeout=20):
        """Starts another one beside the one that runs, and waits until it is ready and answers in its place. Returns the
        first as (pid, its cgroup, its Popen). As during the update of a DaemonSet with maxSurge."""
        before = (self.pid(role), self.cgroup(role), self.children.pop(role, None))
        self.record[f"{role}_turn"], self.record[f"{role}_pid"] = self.turn(role) + 1, None
        self.start(role, keep_admin=True)
        self.wait_until(f"the new {role} of {self.node} is ready", lambda: self.answers(role), timeout)
        return before

    def replace_proxy(self):
        """The same, and the first is told to stop: it drains."""
        before = self.start_beside("proxy")
        os.kill(before[0], signal.SIGTERM)
        return before

    def answers(self, role):
        """Whether it is the running one that answers at the admin socket, and it is ready."""
        try:
            return json.loads(self.admin(role, "/status"))["pid"] == self.pid(role) and self.ready(role)[0]
        except (OSError, LabError):
            return False

    def program(self, name):
        return program(self.lab.build, name)

    def common_flags(self):
        cni = ["--cni-bin-dir", self.directory / "cni-bin", "--cni-conf-dir", self.directory / "cni-conf"]
        cni = cni if self.lab.options["cni"] else []
        return [*cni, "--node", self.node, "--source", self.lab.directory / "source", "--state-dir", self.directory / "state",
                "--shared-dir", self.lab.directory / "shared", "--bpffs", self.directory / "bpf", "--netns-dir", NETNS_DIR,
                "--cgroup-root", cgroup_root(), "--kubepods-cgroup", self.lab.cgroup.path / self.node / "kubepods"]

    def agent_command(self):
        options = self.lab.options
        self.cgroup("kubepods").create()  # as on a real node, where the kubelet has made it before any agent
        return [self.program("weir-agent"), "run", *self.common_flags(),
                "--ca-dir", self.lab.directory / "ca", "--cert-ttl", options["cert_ttl"],
                "--proxy-socket", self.directory / "agent.sock", "--admin-socket", self.admin_socket("agent"),
                "--metrics-listen", f"0.0.0.0:{15021 + 10 * self.turn('agent')}",
                "--listeners", options["listeners"] or options["workers"],
                *(["--cni-socket", self.directory / "cni.sock"] if options["cni"] else []),
                "--log-level", options["log_level"], *options["agent_flags"]]

    def proxy_command(self):
        options = self.lab.options
        access_log = self.directory / "access.log" if options["access_log"] else "off"
        return [program(options["proxy_build"] or self.lab.build, "weir-proxy"), "--agent-socket", self.directory / "agent.sock",
                "--workers", options["workers"],
                "--metrics-listen", f"0.0.0.0:{15020 + 10 * self.turn('proxy')}",
                "--admin-socket", self.admin_socket("proxy"), "--access-log", access_log,
                "--drain-seconds", options["drain_seconds"], "--log-level", options["log_level"],
                "--io", options["io"], *options["proxy_flags"]]

    def start(self, role, keep_admin=False):
        """Starts the agent or the proxy; it must not be running."""
        if self.alive(role):
            raise LabError(f"the {role} of {self.node} is running already")
        if not keep_admin:
            self.admin_socket(role).unlink(missing_ok=True)  # So that readiness is never that of a predecessor.
        command = self.agent_command() if role == "agent" else self.proxy_command()
        cpus = self.lab.options["proxy_cpus"] if role == "proxy" else None
        with open(self.directory / f"{role}.log", "ab") as log:
            child = spawn(command, self.lab.node_netns(self.node), self.cgroup(role).create(), cpus,
                          stdout=log, stderr=log, cwd=self.directory)
        self.children[role] = child
        self.record[f"{role}_pid"] = child.pid
        self.lab.save()
        # The child moves itself into its cgroup; until it has, alive() would take it for ended.
        self.wait_until(f"the {role} of {self.node} has entered its cgroup",
                        lambda: child.poll() is not None or child.pid in self.cgroup(role).pids(), 10)

    def pid(self, role):
        """The recorded pid if it is still ours, else None."""
        pid = self.record.get(f"{role}_pid")
        return pid if pid and pid in self.cgroup(role).pids() else None

    def alive(self, role):
        return self.pid(role) is not None

    def send_signal(self, role, number):
        pid = self.pid(role)
        if pid is None:
            raise LabError(f"the {role} of {self.node} is not running")
        os.kill(pid, number)

    def stop(self, role, number=signal.SIGTERM, timeout=10):
        """Signals it and waits for its end; whoever outlives the time-out is killed, and said. Returns the exit code."""
        if not self.alive(role):
            return self.reap(role)
        pid = self.record[f"{role}_pid"]
        self.send_signal(role, number)
        if not ended(pid, self.cgroup(role), timeout):
            self.cgroup(role).kill()
            self.reap(role)
            raise LabError(f"the {role} of {self.node} did not end within {timeout} s of signal {number}")
        return self.reap(role)

    def reap(self, role):
        child = self.children.pop(role, None)
        return child.wait(5) if child else None

    def uninstall(self):
        """`weir-agent uninstall`, in the node's namespace as the agent was."""
        command = [self.program("weir-agent"), "uninstall", *self.common_flags()]
        done = spawn(command, self.lab.node_netns(self.node), self.cgroup("agent").create(), cwd=self.directory,
                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        output, _ = done.communicate(timeout=30)
        return done.returncode, output

    def ready(self, role):
        """(whether it is ready, what it answered)"""
        try:
            status, body = http_get(self.admin_socket(role), "/readyz")
            return status == 200, f"{status} {body.strip()}"
        except OSError as error:
            return False, str(error)

    def wait_ready(self, role, timeout=20):
        deadline = time.monotonic() + timeout
        while True:
            ready, answer = self.ready(role)
            if ready:
                return
            if not self.alive(role):
                raise LabError(f"the {role} of {self.node} ended ({self.reap(role)}):\n{self.log_tail(role)}")
            if time.monotonic() > deadline:
                raise LabError(f"the {role} of {self.node} is not ready after {timeout} s: {answer}\n{self.log_tail(role)}")
            time.sleep(0.05)

    def wait_until(self, what, check, timeout):
        deadline = time.monotonic() + timeout
        while not check():
            if time.monotonic() > deadline:
                raise LabError(f"not within {timeout} s: {what}")
            time.sleep(0.05)

    def peers(self):
        """Uids of the workloads to which this node's proxy speaks mTLS."""
        return {w["uid"] for w in json.loads(self.admin("proxy", "/config"))["workloads"] if w["mesh_peer"]}

    def log_tail(self, role, lines=15):
        path = self.directory / f"{role}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"

    def admin(self, role, target, method="GET"):
        status, body = http_get(self.admin_socket(role), target, method)
        if status != 200:
            raise LabError(f"{method} {target} of the {role} of {self.node}: {status} {body}")
        return body

    def metrics(self, role):
        return Metrics(self.admin(role, "/metrics"))

    def resident_kib(self, role="proxy", kind="VmRSS"):
        for line in pathlib.Path(f"/proc/{self.pid(role)}/status").read_text().splitlines():
            if line.startswith(f"{kind}:"):
                return int(line.split()[1])
        raise LabError(f"no {kind} of the {role} of {self.node}")

    def anonymous_kib(self, role="proxy"):
        return self.resident_kib(role, "RssAnon")

    def quarantine_kib(self, role="proxy"):
        """What a process built with AddressSanitizer keeps of what it has freed, to find who uses it still: 256 MiB
        (AddressSanitizerFlags: quarantine_size_mb), a quarter more, as sizes are rounded up in its allocator's classes, and
        an eighth that it notes of each byte. Of any other build nothing."""
        sanitized = b"__asan_init" in self.program(f"weir-{role}").read_bytes()
        return (256 + 256 // 4 + 256 // 8) * 1024 if sanitized else 0

    def descriptors(self, role):
        return len(os.listdir(f"/proc/{self.pid(role)}/fd"))

    def weirctl(self, *arguments):
        """A CompletedProcess of weirctl on this node."""
        command = [self.program("weirctl"), "--run-dir", self.directory, *arguments]
        child = spawn(command, self.lab.node_netns(self.node), self.cgroup("host").create(),
                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        output, _ = child.communicate(timeout=30)
        return subprocess.CompletedProcess([str(a) for a in command], child.returncode, output)


def clear_directory(directory):
    """Removes a lab's directory; bpffs mounts in it (an agent makes them) go first."""
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        point = line.split()[1]
        if point.startswith(f"{directory}/"):
            run(["umount", point])
    shutil.rmtree(directory, ignore_errors=True)
