"""Real Kubernetes nodes on this machine: containerd, kubelet and kube-proxy in namespaces of their own, dual-stack.

A node is one process tree: its pid 1 is node_init.py, in mount, pid, uts, ipc and network namespaces of its own, with a
cgroup /NAME in every mounted hierarchy. Killing that pid 1 ends everything in it, the pods too, which is how a node
"reboots". The nodes hang on one bridge, where the control plane has .1; nothing leaves this machine. This file is also the
CNI's daemon: it writes each node's CNI configuration and the routes between the nodes.
"""

import json
import os
import pathlib
import shutil
import subprocess

from control_plane import PODS
from daemons import Daemon, DaemonError, eventually

NET4, NET6 = "172.31.80", "fd00:172:31:80:"
BRIDGE = "weir-cluster"
CONTROL_PLANE_ADDRESS = f"{NET4}.1"
DNS_ADDRESS = "10.96.0.10"
INIT = pathlib.Path(__file__).with_name("node_init.py")
PLUGINS = pathlib.Path("/usr/lib/cni")  # Debian's containernetworking-plugins
# What a kubelet sets for the whole machine.
SYSCTLS = ("vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops", "kernel.keys.root_maxkeys",
           "kernel.keys.root_maxbytes")


def run(*argv, check=True):
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True)
    if check and done.returncode != 0:
        raise DaemonError(f"{' '.join(map(str, argv))}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def hierarchies():
    """The mounted cgroup hierarchies: runc uses v1 and v2 where both are."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield pathlib.Path(where)


class Network:
    """The bridge between the nodes."""

    def up(self):
        if run("ip", "link", "show", BRIDGE, check=False):
            return
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "addr", "add", f"{NET4}.1/24", "dev", BRIDGE)
        run("ip", "addr", "add", f"{NET6}:1/64", "dev", BRIDGE, "nodad")
        run("ip", "link", "set", BRIDGE, "up")

    def down(self):
        run("ip", "link", "del", BRIDGE, check=False)  # The routes through it go with it.


class Node:
    """One node of a cluster; `number` counts from 1. Its directory holds all that outlives a reboot."""

    def __init__(self, control_plane, number):
        self.control_plane = control_plane
        self.number = number
        self.name = f"weir-node-{number}"
        self.addresses = (f"{NET4}.{10 + number}", f"{NET6}:{10 + number}")
        self.link = f"weir-n{number}"
        self.directory = control_plane.state / "nodes" / self.name
        self.init = Daemon(control_plane.state, self.name)

    # --- life -----------------------------------------------------------------------------------------------------
    def start(self, images):
        if self.init.pid():
            return
        self.make_network()
        self.make_cgroups()
        self.make_credentials()
        (self.directory / "ready").unlink(missing_ok=True)
        plugins = self.directory / "cni-bin"
        plugins.mkdir(parents=True, exist_ok=True)
        for name in ("ptp", "host-local", "portmap", "loopback"):
            shutil.copy2(PLUGINS / name, plugins / name)
        settings = {"name": self.name, "addresses": self.addresses, "directory": str(self.directory),
                    "programs": str(self.control_plane.bin), "pki": str(self.control_plane.pki.directory),
                    "users": str(self.control_plane.state / "users"), "dns": DNS_ADDRESS, "pods": ",".join(PODS),
                    "images": str(images)}
        (self.directory / "settings.json").write_text(json.dumps(settings))
        self.init.start(["nsenter", f"--net=/run/netns/{self.name}", "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork",
                         "--kill-child", "--mount-proc", "/usr/bin/python3", INIT, self.directory / "settings.json"])

    def make_network(self):
        if not os.path.exists(f"/run/netns/{self.name}"):
            run("ip", "netns", "add", self.name)
        if not run("ip", "-n", self.name, "link", "show", "eth0", check=False):
            run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            run("ip", "link", "set", self.link, "master", BRIDGE, "up")
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        run("ip", "-n", self.name, "link", "set", "eth0", "up")
        run("ip", "-n", self.name, "addr", "replace", f"{self.addresses[0]}/24", "dev", "eth0")
        run("ip", "-n", self.name, "addr", "replace", f"{self.addresses[1]}/64", "dev", "eth0", "nodad")
        # kubelet and kube-proxy want a default route; it ends at the bridge.
        run("ip", "-n", self.name, "route", "replace", "default", "via", f"{NET4}.1")
        run("ip", "-n", self.name, "-6", "route", "replace", "default", "via", f"{NET6}:1")

    def make_cgroups(self):
        for hierarchy in hierarchies():
            group = hierarchy / self.name
            group.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):  # v1: a new cpuset is empty, and takes no process
                if (hierarchy / "cgroup.clone_children").exists() and (group / file).exists():
                    if not (group / file).read_text().strip():
                        (group / file).write_text((hierarchy / file).read_text())

    def make_credentials(self):
        pki, user = self.control_plane.pki, f"system:node:{self.name}"
        self.control_plane.client_config(f"kubelet-{self.name}", f"/O=system:nodes/CN={user}")
        pki.certificate(f"serving-{self.name}", "kubernetes", f"/O=system:nodes/CN={user}",
                        [f"DNS:{self.name}"] + [f"IP:{address}" for address in self.addresses])
        self.control_plane.client_config("kube-proxy", "/CN=system:kube-proxy")

    def join(self, others):
        """What a network add-on does: the CNI configuration from the node's pod ranges, and the routes to them."""
        def registered():
            return self.control_plane.get("node", self.name)["spec"].get("podCIDRs")
        try:
            ranges = eventually(registered, 120, f"{self.name} registers", every=0.3)
        except DaemonError as error:
            raise DaemonError(f"{error}\n{self.init.said()}\n{self.said('kubelet')}") from None
        ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}] for subnet in ranges],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
        configuration = {"cniVersion": "0.4.0", "name": "pods", "plugins": [
            {"type": "ptp", "mtu": 1500, "ipMasq": False, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}}]}
        target = self.directory / "cni-conf" / "10-pods.conflist"
        target.with_suffix(".new").write_text(json.dumps(configuration, indent=1))
        target.with_suffix(".new").replace(target)
        for subnet in ranges:
            via = self.addresses[1] if ":" in subnet else self.addresses[0]
            run("ip", "route", "replace", subnet, "via", via)
            for other in others:
                run("ip", "-n", other.name, "route", "replace", subnet, "via", via)
        for other in others:  # and back, where they were there before: this one has booted
            for subnet in self.control_plane.kubectl("get", "node", other.name, "--ignore-not-found",
                                                     "-o", "jsonpath={.spec.podCIDRs[*]}").split():
                run("ip", "-n", self.name, "route", "replace", subnet, "via", other.addresses[1 if ":" in subnet else 0])

    def stop(self):
        """Power off: SIGKILL to its pid 1. The directory stays: start() and join() boot it again."""
        self.init.stop(patience=0)  # `unshare --kill-child` takes pid 1 along, and that everything else
        if os.path.exists(f"/run/netns/{self.name}"):
            run("ip", "link", "del", self.link, check=False)
            run("ip", "netns", "del", self.name)
        for hierarchy in hierarchies():
            group = hierarchy / self.name
            eventually(lambda: not remove_cgroups(group), 20, f"the cgroups {group} are empty")

    # --- use ------------------------------------------------------------------------------------------------------
    def inside(self, *argv, check=True, **keywords):
        """Runs a command in the node's namespaces; what it printed."""
        done = subprocess.run(self.command(*argv), capture_output=True, text=True, **keywords)
        if check and done.returncode != 0:
            raise DaemonError(f"{self.name}: {' '.join(map(str, argv))}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def command(self, *argv):
        """argv wrapped so that it runs in the node."""
        outer = self.init.pid()
        if not outer:
            raise DaemonError(f"{self.name} does not run")
        children = pathlib.Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        return ["nsenter", "-t", children[0], "-m", "-u", "-i", "-n", "-p", *map(str, argv)]

    def load(self, archive):
        """An image archive into the node's containerd."""
        return self.inside("ctr", "-n", "k8s.io", "images", "import", archive)

    def kill(self, program):
        """SIGKILL to every process of that name in the node; whoever keeps it starts it again."""
        for pid in self.inside("pgrep", "-x", program[:15]).split():
            self.inside("kill", "-KILL", pid)

    def said(self, program, lines=20):
        try:
            return "\n".join((self.directory / f"{program}.log").read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return f"({program} has no log)"


def remove_cgroups(group):
    """Removes a cgroup with all below it; what is still there afterwards."""
    for path in sorted((p for p in group.glob("**/") if p.is_dir()), key=lambda p: -len(p.parts)) if group.exists() else ():
        try:
            path.rmdir()
        except OSError:
            pass
    return group.exists()


def save_sysctls(path):
    if not path.exists():
        path.write_text("".join(run("sysctl", "-e", name, check=False) for name in SYSCTLS))


def restore_sysctls(path):
    if path.exists():
        run("sysctl", "-q", "-p", path, check=False)
        path.unlink()
