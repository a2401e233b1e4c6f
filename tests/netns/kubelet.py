"""A kubelet and a runtime for the scenarios of enrolment: they start a pod in the order of a real node.

The object is in the API first, without addresses; then the network is made and the chain of CNI plugins called, of which
the installed weir-cni is the last; then processes start, in the pod's cgroup; then the addresses are in the API.
"""

import json
import os
import subprocess
import sys
import uuid

import yaml

import network
from processes import NETNS_DIR, Cgroup, spawn
from world import REPOSITORY, Place, eventually

PRIMARY = {"cniVersion": "1.0.0", "name": "podnet",
           "plugins": [{"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local"}}]}


def install_primary(mesh, node):
    """The node's own CNI configuration; waits until the agent has made its own of it."""
    directory = mesh.lab.directory / node
    (directory / "cni-conf").mkdir(exist_ok=True)
    (directory / "cni-conf" / "10-podnet.conflist").write_text(json.dumps(PRIMARY))
    eventually((directory / "cni-conf" / "00-weir.conflist").exists)


class KubePod:
    """A pod that a kubelet starts. A context: it is gone at its end."""

    count = 0

    def __init__(self, mesh, name, namespace="clients", node="node-1", cgroup="{kubepods}/burstable/pod{uid}",
                 labels=None, annotations=None, **spec):
        KubePod.count += 1
        self.mesh, self.lab, self.name, self.namespace, self.node = mesh, mesh.lab, name, namespace, node
        self.labels, self.annotations, self.spec = labels or {}, annotations or {}, spec
        self.uid = str(uuid.uuid4())
        self.cgroup_form = cgroup
        host = 200 + KubePod.count % 50
        digit = node[-1]
        self.v4, self.v6 = f"10.244.{digit}.{host}", f"fd00:10:244:{digit}::{host}"
        self.sandbox = 0
        self.directory = self.lab.directory / "pods" / f"{namespace}_{name}"

    # --- What the API says -----------------------------------------------------------------------------------------
    def apply(self, addresses=(), phase="Pending"):
        document = {"apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": self.name, "namespace": self.namespace, "uid": self.uid, "labels": self.labels,
                                 "annotations": self.annotations},
                    "spec": {"nodeName": self.node, "serviceAccountName": self.name, **self.spec},
                    "status": {"phase": phase, "podIPs": [{"ip": a} for a in addresses],
                               "conditions": [{"type": "Ready", "status": "True" if addresses else "False"}]}}
        self.lab.manifests.write_text(f"kube-{self.name}.yaml", yaml.safe_dump(document))

    def report(self):
        """The kubelet has seen the pod run."""
        self.apply([self.v4, self.v6], "Running")

    # --- What runtime and CNI do -----------------------------------------------------------------------------------
    @property
    def netns(self):
        return f"{self.lab.prefix}kube-{self.name}-{self.sandbox}"

    def make_network(self):
        node = self.lab.manifests.node(self.node)
        network.make_pod(self.lab.node_netns(self.node), self.netns, [self.v4, self.v6], node["spec"]["podCIDRs"])

    def plugin(self, command, uid=None):
        """The installed plugin, called as the runtime does after the primary's. A Popen."""
        directory = self.lab.directory / self.node
        chain = json.loads((directory / "cni-conf" / "00-weir.conflist").read_text())
        config = {**chain["plugins"][-1], "cniVersion": chain["cniVersion"], "name": chain["name"], "prevResult": {
            "cniVersion": chain["cniVersion"],
            "interfaces": [{"name": "cni0"}, {"name": "eth0", "sandbox": str(NETNS_DIR / self.netns)}],
            "ips": [{"address": f"{self.v4}/24", "interface": 1}, {"address": f"{self.v6}/64", "interface": 1}]}}
        environment = {"CNI_COMMAND": command, "CNI_CONTAINERID": f"sandbox-{self.uid}-{self.sandbox}",
                       "CNI_NETNS": str(NETNS_DIR / self.netns), "CNI_IFNAME": "eth0", "CNI_PATH": "/opt/cni/bin",
                       "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={self.namespace};K8S_POD_NAME={self.name};"
                                   f"K8S_POD_INFRA_CONTAINER_ID=sandbox;K8S_POD_UID={uid or self.uid}"}
        called = subprocess.Popen([directory / "cni-bin" / "weir-cni"], env=environment, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        called.stdin.write(json.dumps(config))
        called.stdin.close()
        called.stdin = None
        return called

    def add(self, timeout=30):
        """(exit code, what the plugin printed) of ADD."""
        return finish(self.plugin("ADD"), timeout)

    def cgroup(self, container="app"):
        kubepods = self.lab.cgroup.path / self.node / "kubepods"
        path = self.cgroup_form.format(kubepods=kubepods, uid=self.uid, escaped=self.uid.replace("-", "_"))
        return Cgroup(f"{path}/{container}")

    def popen(self, argv, container="app", **keywords):
        return spawn(argv, self.netns, self.cgroup(container).create(), **keywords)

    def start_app(self):
        """The application of the scenarios, as a container; returns its Place."""
        self.directory.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"POD_DIR": str(self.directory), "POD_NAME": self.name}
        self.popen([sys.executable, REPOSITORY / "tests/netns/apps.py"], env=environment)
        place = Place.__new__(Place)
        place.mesh, place.name, place.v4, place.v6 = self.mesh, self.name, self.v4, self.v6
        place.lender = self.directory / "lender.sock"
        eventually(place.lender.exists)
        return place

    def end_sandbox(self):
        """Containers, CNI's DEL, network: the object stays."""
        self.cgroup("").kill()
        assert finish(self.plugin("DEL"))[0] == 0
        network.remove_pod(self.lab.node_netns(self.node), self.netns)
        self.sandbox += 1

    # --- What the agent says ---------------------------------------------------------------------------------------
    def status(self):
        pods = json.loads(self.lab.weir(self.node).admin("agent", "/status"))["pods"]
        return next((p for p in pods if p["uid"] == self.uid), None)

    def captured(self):
        status = self.status()
        return bool(status) and status["state"] == "captured" and status["armed"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.cgroup("").path.exists():
            self.cgroup("").remove()
        network.remove_pod(self.lab.node_netns(self.node), self.netns)
        (self.lab.directory / "source" / f"kube-{self.name}.yaml").unlink(missing_ok=True)
        if self.lab.weir(self.node).alive("agent"):
            eventually(lambda: self.status() is None, 15)


def finish(called, timeout=30):
    """(exit code, what it printed as JSON) of a called plugin."""
    output, _ = called.communicate(timeout=timeout)
    return called.returncode, json.loads(output) if output.strip() else None
