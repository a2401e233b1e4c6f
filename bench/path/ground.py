"""The ground every path is measured on: a lab (tests/lab) of two nodes, a client pod and a server pod.

    client pod ─veth─ node a ─veth─ wire ─veth─ node b ─veth─ server pod

Weir is started by the lab, as for the scenario tests. The peers' proxies run on the nodes, with listeners on the
nodes' addresses. So a byte crosses the same links whoever carries it, and the direct path crosses them too.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from path import procs

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/lab"))

from lab import Lab  # noqa: E402
from processes import LabError  # noqa: E402

# LabError: what a lab that fails raises.
__all__ = ["CLIENT", "CROWD", "NEAR", "NODE_A", "NODE_B", "REPOSITORY", "SERVER", "Ground", "LabError"]

CLIENT, SERVER, NEAR, NODE_A, NODE_B = "bench/client", "bench/server", "bench/near", "node:a", "node:b"
CROWD = 9  # further enrolled pods on each node, which do nothing: ten make a node that is in use
DESCRIPTORS_MAX = 20000
PROBE = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()"


def _in_child():
    procs.die_with_parent(signal.SIGKILL)
    os.setpriority(os.PRIO_PROCESS, 0, procs.NICE)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, DESCRIPTORS_MAX), hard))


def _bystander(node, number):
    address = f"10.244.{'ab'.index(node) + 1}.{100 + number}"
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": f"bystander-{node}-{number}", "namespace": "bench", "uid": f"bench-bystander-{node}-{number}",
                         "labels": {"weir.dev/mesh": "enabled"}},
            "spec": {"nodeName": node, "serviceAccountName": "bystander"}, "status": {"podIPs": [{"ip": address}]}}


class Ground:
    def __init__(self, build_directory, scratch, other_build=None):
        self.scratch = scratch  # a directory for files that loads need
        self.other_build = other_build  # whose proxy the path weir-other is
        self.lab = Lab("bench", build=build_directory, weir=False, workers=1, proxy_cpus=procs.PROXY_CPU)

    def up(self):
        self.lab.up(REPOSITORY / "bench/lab")
        node_a, node_b = (self.lab.manifests.node(name) for name in ("a", "b"))
        self.client_address = self.lab.addresses(CLIENT)[0]
        self.server_address = self.lab.addresses(SERVER)[0]
        services = {service["metadata"]["name"]: service["spec"] for service in self.lab.manifests.of_kind("Service")}
        self.service_address, self.near_address = (services[name]["clusterIP"] for name in ("server", "near"))
        for number in range(2 * CROWD):
            self.lab.add_pod(_bystander("ab"[number % 2], number // 2))
        self.node_a_address = node_a["status"]["addresses"][0]["address"]  # what the client pod dials for a peer
        self.node_b_address = node_b["status"]["addresses"][0]["address"]  # what proxy a dials

    def down(self):
        self.lab.down()

    def start(self, place, argv, cpu, log=None, **popen):
        """A process in a pod or on a node, on one core; it dies with this program. Output goes to the file LOG."""
        argv = ["taskset", "-c", str(cpu), *(str(word) for word in argv)]
        if not log:
            return self.lab.popen(place, argv, preexec_fn=_in_child, **popen)
        with open(log, "ab") as out:
            return self.lab.popen(place, argv, preexec_fn=_in_child, stdout=out, stderr=out, **popen)

    def run(self, place, argv, cpu, limit_s):
        """Runs to the end, at most limit_s seconds; returns what it printed (both streams)."""
        process = self.start(place, argv, cpu, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            output, _ = process.communicate(timeout=limit_s)
            return output
        except subprocess.TimeoutExpired as slow:
            procs.stop(process)
            raise RuntimeError(f"{argv[0]} did not end within {limit_s} s") from slow

    def wire_packets(self):
        """Packets that node a's link to node b has carried, both ways; a segmentation-offloaded burst counts as one."""
        shown = self.lab.exec(NODE_A, ["ip", "-json", "-statistics", "link", "show", "eth0"]).stdout
        counted = json.loads(shown)[0]["stats64"]
        return counted["rx"]["packets"] + counted["tx"]["packets"]

    def wait_accepting(self, place, address, port, process, limit_s=15):
        """Returns when something accepts there, as seen from PLACE; raises when the process died or time is up."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if process.poll() is not None:
                raise RuntimeError(f"the process for {address}:{port} ended with {process.returncode}")
            if self.lab.exec(place, ["/usr/bin/python3", "-S", "-c", PROBE, address, port]).returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError(f"nothing accepts on {address}:{port}, seen from {place}")
