#!/usr/bin/python3
"""The lab: nodes, pods, the wire between them and an outsider, on one machine, from Kubernetes manifests.

`./dev lab up DIR` makes them; DIR holds YAML files with Nodes, Pods, Services and Weir's own kinds. Each Node becomes a
network namespace with an agent and a proxy of its own, each Pod one on its node's bridge, whose containers' commands
are run in it. The same class serves the demo, the scenario tests and the benchmarks:

    with Lab("mine").up("tests/lab/demo") as lab:
        lab.exec("shop/client", ["curl", "-s", "http://10.96.0.10"])

State is in /run/weir-lab/NAME (state.json), so that the next command of a person finds the lab of the last.
Needs root. Nothing here outlives `down`, and `up` begins by removing what a crash has left of the same name.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import network
from manifests import Manifests, pod_name
from observe import Sniffer, read_log
from processes import Cgroup, LabError, cgroup_root, command_in, spawn
from weir import REPOSITORY, NodeWeir, build_directory, clear_directory, program

RUN = pathlib.Path("/run/weir-lab")
OPTIONS = {"weir": True, "workers": 1, "listeners": None, "proxy_cpus": None, "cert_ttl": "24h", "access_log": True,
           "log_level": "info", "drain_seconds": 30, "cni": False, "agent_flags": [], "proxy_flags": [],
           "proxy_build": None,  # whose proxy; None: the build of all other programs
           "io": os.environ.get("WEIR_IO") or "auto"}


class Lab:
    """One lab. Names of pods are "namespace/name" or, where that is clear, "name"; "outsider" is the unenrolled host."""

    def __init__(self, name="lab", build=None, **options):
        if not re.fullmatch(r"[a-z0-9]{1,16}", name):
            raise LabError(f"a lab's name is 1 to 16 of a-z0-9, not {name!r}")
        if unknown := options.keys() - OPTIONS.keys():
            raise LabError(f"unknown options {sorted(unknown)}")
        self.name, self.build, self.options = name, build_directory(build), OPTIONS | options
        self.directory = RUN / name
        self.cgroup = Cgroup(cgroup_root() / "weir-lab" / name)
        self.prefix = f"wl-{name}-"
        self.manifests = Manifests(self.directory / "source", self.netns_of_pod)
        self.records = {}  # node → what is recorded of its agent and proxy
        self.weirs = {}
        self.sniffs = 0

    # --- Life ----------------------------------------------------------------------------------------------------
    def up(self, manifests):
        """Makes everything and waits until it is ready. On failure, what was made stays to be looked at (`down`)."""
        self.down()
        for directory in ("source", "ca", "shared", "pods"):
            (self.directory / directory).mkdir(parents=True)
        self.manifests.load(manifests)
        self.make_network()
        self.save()
        for pod in self.manifests.of_kind("Pod"):
            self.start_containers(pod)
        if self.options["weir"]:
            self.start_weir()
        return self

    def make_network(self):
        fabric, nodes = self.prefix + "fabric", self.manifests.of_kind("Node")
        network.make_fabric(fabric)
        ranges, addresses = {}, {}
        for number, node in enumerate(nodes):
            name = node["metadata"]["name"]
            ranges[name] = node["spec"]["podCIDRs"]
            lengths = {":" in r: r.split("/")[1] for r in network.FABRIC_RANGES}
            addresses[name] = [f"{a['address']}/{lengths[':' in a['address']]}" for a in node["status"]["addresses"]
                               if a["type"] == "InternalIP"]
            network.make_node(fabric, self.node_netns(name), f"port{number}", addresses[name], ranges[name])
            (self.directory / name).mkdir()
            self.records[name] = {}
            self.weirs[name] = NodeWeir(self, name, self.records[name])
        outsider = self.prefix + "outsider"
        network.make_namespace(outsider)
        network.join_fabric(fabric, outsider, "outsider", network.fabric_addresses(network.OUTSIDER_HOST))
        for name in ranges:
            for other in [self.node_netns(n) for n in ranges if n != name] + [outsider]:
                network.route(other, ranges[name], addresses[name])
        for pod in self.manifests.of_kind("Pod"):
            self.make_pod_network(pod)

    def start_weir(self):
        for role in ("agent", "proxy"):
            for weir in self.weirs.values():
                weir.start(role)
        self.wait_ready()

    def wait_ready(self, timeout=30):
        for weir in self.weirs.values():
            for role in ("agent", "proxy"):
                weir.wait_ready(role, timeout)
        for node, weir in self.weirs.items():
            weir.wait_until(f"{node} knows of every captured pod", lambda: weir.peers() >= self.announced(), timeout)

    def announced(self):
        """Uids of the pods that the nodes have announced as captured."""
        return {p.name.replace("~", "/") for p in (self.directory / "shared" / "captured").glob("[!.]*")}

    def down(self):
        """Ends and removes whatever this lab, or a crashed one of its name, has made. Never fails on what is missing."""
        self.attach()
        for node, weir in self.weirs.items():
            for cgroup in (self.cgroup.path / node).glob("*"):
                if cgroup.name.startswith(("proxy", "agent")):  # with those that were replaced
                    Cgroup(cgroup).kill()
            for role in ("proxy", "agent"):
                weir.reap(role)
            if (self.directory / node / "bpf").exists():
                try:
                    code, output = weir.uninstall()
                    if code != 0:
                        print(f"lab: weir-agent uninstall on {node} failed: {output.strip()}", file=sys.stderr)
                except (LabError, OSError, subprocess.TimeoutExpired) as error:
                    print(f"lab: no uninstall on {node}: {error}", file=sys.stderr)
        self.cgroup.remove()
        for netns in network.namespaces(self.prefix):
            network.remove_namespace(netns)
        clear_directory(self.directory)
        for shared in (self.cgroup.path.parent, self.directory.parent):  # Of all labs: gone with the last.
            try:
                shared.rmdir()
            except OSError:
                pass
        self.records, self.weirs, self.manifests.files = {}, {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()

    # --- State between commands ----------------------------------------------------------------------------------
    def save(self):
        state = {"build": str(self.build), "options": self.options, "nodes": self.records}
        (self.directory / "state.json").write_text(json.dumps(state, indent=1))

    def attach(self):
        """Takes up a lab that an earlier process has made (self.records is empty then). Returns whether there is one."""
        path = self.directory / "state.json"
        if not self.records and path.exists():
            state = json.loads(path.read_text())
            self.build, self.options = pathlib.Path(state["build"]), OPTIONS | state["options"]
            self.records = state["nodes"]
            self.weirs = {n: NodeWeir(self, n, r) for n, r in self.records.items()}
            self.manifests.read(self.directory / "source")
        return bool(self.records)

    # --- Names ---------------------------------------------------------------------------------------------------
    def node_netns(self, node):
        return f"{self.prefix}node-{node}"

    def netns_of_pod(self, pod):
        if pod["spec"].get("hostNetwork"):
            return self.node_netns(pod["spec"]["nodeName"])
        return f"{self.prefix}pod-{pod_name(pod).replace('/', '-')}"

    def pod(self, name):
        """The Pod object of a name."""
        pods = [p for p in self.manifests.of_kind("Pod") if name in (pod_name(p), p["metadata"]["name"])]
        if len(pods) != 1:
            raise LabError(f"{len(pods)} pods are called {name!r}")
        return pods[0]

    def addresses(self, name):
        """[IPv4, IPv6] of a pod or the outsider."""
        if name == "outsider":
            return [network.bare(a) for a in network.fabric_addresses(network.OUTSIDER_HOST)]
        return [i["ip"] for i in self.pod(name)["status"]["podIPs"]]

    def place(self, name):
        """(network namespace, cgroup) of a pod, of the outsider, or of "node:NAME" (the host itself, like a kubelet)."""
        if name == "outsider":
            return self.prefix + "outsider", Cgroup(self.cgroup.path / "outsider").create()
        if name.startswith("node:"):
            node = name.removeprefix("node:")
            if node not in self.records:
                raise LabError(f"no node {node!r} in the lab {self.name}: {sorted(self.records)}")
            return self.node_netns(node), Cgroup(self.cgroup.path / node / "host").create()
        pod = self.pod(name)
        leaf = pod_name(pod).replace("/", "_")
        return self.netns_of_pod(pod), Cgroup(self.cgroup.path / pod["spec"]["nodeName"] / "kubepods" / leaf).create()

    # --- Objects -------------------------------------------------------------------------------------------------
    def apply(self, document):
        self.manifests.apply(document)

    def delete(self, kind, namespace, name):
        self.manifests.delete(kind, namespace, name)

    def make_pod_network(self, pod):
        if not pod["spec"].get("hostNetwork"):
            node = self.manifests.node(pod["spec"]["nodeName"])
            network.make_pod(self.node_netns(pod["spec"]["nodeName"]), self.netns_of_pod(pod),
                             [i["ip"] for i in pod["status"]["podIPs"]], node["spec"]["podCIDRs"])

    def add_pod(self, document):
        """As scheduler and kubelet do: the network first, then the object, then the containers."""
        self.manifests.complete(document)
        self.make_pod_network(document)
        self.manifests.apply(document)
        self.start_containers(document)

    def remove_pod(self, name, object_stays=0):
        """As a kubelet does: processes, network, and after some seconds the object."""
        pod = self.pod(name)
        self.place(name)[1].remove()
        shutil.rmtree(self.pod_directory(pod), ignore_errors=True)
        if not pod["spec"].get("hostNetwork"):
            network.remove_pod(self.node_netns(pod["spec"]["nodeName"]), self.netns_of_pod(pod))
        time.sleep(object_stays)
        self.manifests.delete("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])

    def pod_directory(self, pod):
        return self.directory / "pods" / pod_name(pod).replace("/", "_")

    def start_containers(self, pod):
        """Runs the command of each container that has one, with its output in /run/weir-lab/NAME/pods/POD/."""
        name, directory = pod_name(pod), self.pod_directory(pod)
        for container in pod["spec"].get("containers", []):
            if not container.get("command"):
                continue
            directory.mkdir(parents=True, exist_ok=True)
            environment = os.environ | {"POD_NAME": pod["metadata"]["name"], "POD_IP": pod["status"]["podIP"],
                                        "POD_DIR": str(directory), "REPOSITORY": str(REPOSITORY)}
            environment |= {e["name"]: e["value"] for e in container.get("env", [])}
            with open(directory / f"{container['name']}.log", "ab") as log:
                self.popen(name, container["command"] + container.get("args", []), cwd=directory, env=environment,
                           stdout=log, stderr=log)

    # --- Processes -----------------------------------------------------------------------------------------------
    def popen(self, name, argv, **keywords):
        """A Popen in a pod, the outsider, or on a node ("node:NAME")."""
        netns, cgroup = self.place(name)
        return spawn(argv, netns, cgroup, **keywords)

    def exec(self, name, argv, timeout=30, **keywords):
        """A CompletedProcess (text, output captured) of a command run there."""
        netns, cgroup = self.place(name)
        keywords = {"capture_output": True, "text": True} | keywords
        return subprocess.run(command_in(argv, netns, cgroup), timeout=timeout, **keywords)

    def weir(self, node):
        """Agent and proxy of a node."""
        if node not in self.weirs:
            raise LabError(f"no node {node!r} in the lab {self.name}: {sorted(self.weirs)}")
        return self.weirs[node]

    def metrics(self, node):
        return self.weir(node).metrics("proxy")

    def agent_metrics(self, node):
        return self.weir(node).metrics("agent")

    def access_log(self, node, offset=0):
        return read_log(self.directory / node / "access.log", offset)

    def access_log_size(self, node):
        path = self.directory / node / "access.log"
        return path.stat().st_size if path.exists() else 0

    def sniff(self, node, expression=(), device="eth0"):
        """tcpdump on the node's link to the other nodes (or another of its devices), until its block ends."""
        netns, cgroup = self.place(f"node:{node}")
        self.sniffs += 1
        return Sniffer(netns, cgroup, device, self.directory / node / f"sniff-{self.sniffs}.pcap", expression)

    def describe(self):
        lines = [f"lab {self.name}: {self.directory}, binaries of {self.build}"]
        for node, weir in sorted(self.weirs.items()):
            roles = [f"{r} {'pid ' + str(weir.pid(r)) if weir.alive(r) else 'not running'}" for r in ("agent", "proxy")]
            lines.append(f"node {node}: {', '.join(roles)}; weirctl --run-dir {weir.directory} status")
            for pod in self.manifests.of_kind("Pod"):
                if pod["spec"]["nodeName"] == node:
                    processes = len(self.place(pod_name(pod))[1].pids())
                    lines.append(f"  {pod_name(pod):28} {' '.join(self.addresses(pod_name(pod))):40} {processes} processes")
        for service in self.manifests.of_kind("Service"):
            ports = ",".join(str(p["port"]) for p in service["spec"].get("ports", []))
            lines.append(f"service {pod_name(service):22} {service['spec'].get('clusterIP', '')}:{ports}")
        lines.append(f"outsider {' '.join(self.addresses('outsider'))}")
        return "\n".join(lines)


# --- Commands for a person ---------------------------------------------------------------------------------------
def labs():
    return sorted(p.name for p in RUN.iterdir() if p.is_dir()) if RUN.exists() else []


def parse(arguments):
    parser = argparse.ArgumentParser(prog="dev lab", description=__doc__.split("\n\n")[0])
    parser.add_argument("--name", default="lab", help="which lab (default: lab)")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="make a lab from the manifests in DIR")
    up.add_argument("directory", metavar="DIR")
    up.add_argument("--build", help="where the binaries are (default: $WEIR_BUILD or build/release)")
    up.add_argument("--workers", type=int, default=1, help="workers of each proxy (default: 1)")
    up.add_argument("--proxy-cpus", help="pin the proxies to these CPUs, as taskset writes them")
    up.add_argument("--cert-ttl", default="24h")
    up.add_argument("--log-level", default="info")
    up.add_argument("--no-weir", action="store_true", help="namespaces and pods only, no agents and proxies")
    execute = commands.add_parser("exec", help="run a command in a pod, or in `outsider`")
    execute.add_argument("pod", metavar="POD")
    node = commands.add_parser("node", help="run a command on a node")
    node.add_argument("node", metavar="NODE")
    for subparser in (execute, node):
        subparser.add_argument("argv", metavar="CMD", nargs=argparse.REMAINDER)
    commands.add_parser("status", help="what there is")
    down = commands.add_parser("down", help="remove it without a trace")
    down.add_argument("--all", action="store_true", help="every lab of this machine")
    for subparser in commands.choices.values():  # So that `--name` may stand on either side of the command.
        subparser.add_argument("--name", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments):
    asked = parse(arguments)
    if asked.command == "down":
        for name in labs() if asked.all else [asked.name]:
            Lab(name).down()
        return 0
    if asked.command == "up":
        started = time.monotonic()
        lab = Lab(asked.name, asked.build, weir=not asked.no_weir, workers=asked.workers, proxy_cpus=asked.proxy_cpus,
                  cert_ttl=asked.cert_ttl, log_level=asked.log_level)
        if lab.options["weir"]:
            program(lab.build, "weir-agent")  # A missing build is said before anything is made.
        lab.up(asked.directory)
        print(lab.describe())
        print(f"up in {time.monotonic() - started:.1f} s")
        return 0
    lab = Lab(asked.name)
    if not lab.attach():
        raise LabError(f"there is no lab {asked.name!r} (there are: {', '.join(labs()) or 'none'}); make one: ./dev lab up DIR")
    if asked.command == "status":
        print(lab.describe())
        return 0
    argv = asked.argv[1:] if asked.argv[:1] == ["--"] else asked.argv
    argv = argv or [os.environ.get("SHELL", "/bin/sh")]
    where = asked.pod if asked.command == "exec" else f"node:{asked.node}"
    netns, cgroup = lab.place(where)
    if asked.command == "node":
        os.environ["WEIR_RUN_DIR"] = str(lab.directory / asked.node)  # For weirctl.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    command = command_in(argv, netns, cgroup)
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise LabError(f"{shlex.join(argv)}: {error}") from error


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        sys.exit(f"lab: {error}")
