"""Manifests of a lab: Kubernetes objects in YAML files, and what a cluster would have added to them.

A person writes Nodes, Pods and Services; kubelet, scheduler and controllers add addresses, readiness and
EndpointSlices. `Manifests` plays their part: it reads a directory, fills in what is missing, and keeps the result in
the lab's source directory, which the agents watch. A file that needs nothing is copied byte for byte, and every file is
replaced by rename, so that nobody ever reads half of one.
"""

import ipaddress
import os
import pathlib

import yaml

from network import FIRST_NODE_HOST, bare, fabric_addresses
from processes import LabError

SLICES_FILE = "lab-endpointslices.yaml"


def key_of(document):
    meta = document.get("metadata", {})
    return document.get("kind", ""), meta.get("namespace", ""), meta.get("name", "")


def pod_name(document):
    meta = document["metadata"]
    return f"{meta.setdefault('namespace', 'default')}/{meta['name']}"


class Manifests:
    """The objects of a lab by file, in memory and in `source`, the directory that agents read."""

    def __init__(self, source, netns_of):
        self.source = pathlib.Path(source)
        self.netns_of = netns_of  # pod document → name of its network namespace
        self.files = {}  # file name → list of documents

    def read(self, directory):
        for path in sorted(pathlib.Path(directory).glob("*.yaml")):
            self.files[path.name] = [d for d in yaml.safe_load_all(path.read_text()) if d]

    def load(self, directory):
        """Takes over a directory of manifests: completes them and writes them to the source directory."""
        self.read(directory)
        originals = {name: yaml.safe_dump_all(docs) for name, docs in self.files.items()}
        if not self.of_kind("Node"):
            raise LabError(f"{directory}: no Node in its *.yaml files")
        for document in self.of_kind("Node") + self.of_kind("Pod"):
            self.complete(document)
        for name, docs in self.files.items():
            verbatim = yaml.safe_dump_all(docs) == originals[name]
            self.write(name, (pathlib.Path(directory) / name).read_text() if verbatim else None)
        self.write_slices()

    def of_kind(self, kind):
        return [d for name, docs in sorted(self.files.items()) for d in docs if d.get("kind") == kind]

    def node(self, name):
        return next((d for d in self.of_kind("Node") if d["metadata"]["name"] == name), None)

    def complete(self, document):
        """Fills in what kubelet and scheduler would have: addresses, phase, readiness, and where the pod's network is."""
        kind = document.get("kind")
        if kind == "Node":
            if not document.get("spec", {}).get("podCIDRs"):
                raise LabError(f"Node {document['metadata']['name']}: spec.podCIDRs is needed")
            number = self.of_kind("Node").index(document)
            document.setdefault("status", {}).setdefault("addresses", [
                {"type": "InternalIP", "address": bare(a)} for a in fabric_addresses(FIRST_NODE_HOST + number)])
        elif kind == "Pod":
            spec, status = document.setdefault("spec", {}), document.setdefault("status", {})
            node = self.node(spec.get("nodeName"))
            if node is None:
                raise LabError(f"Pod {pod_name(document)}: spec.nodeName {spec.get('nodeName')!r} is no Node of this lab")
            spec.setdefault("serviceAccountName", "default")
            if not status.get("podIPs"):
                status["podIPs"] = [{"ip": a} for a in self.free_addresses(document, node)]
            status.setdefault("podIP", status["podIPs"][0]["ip"])
            status.setdefault("phase", "Running")
            status.setdefault("conditions", [{"type": "Ready", "status": "True"}])
            document["metadata"].setdefault("annotations", {}).setdefault("weir.dev/netns", self.netns_of(document))

    def free_addresses(self, pod, node):
        if pod["spec"].get("hostNetwork"):
            return [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"]
        taken = {i["ip"] for p in self.of_kind("Pod") for i in p.get("status", {}).get("podIPs", [])}
        found = []
        for pod_range in node["spec"]["podCIDRs"]:
            net = ipaddress.ip_network(pod_range)
            base = 16 if net.version == 6 else 10  # Host 10 is written .10 and ::10: easier on the eye.
            hosts = (str(net.network_address + int(str(number), base)) for number in range(10, 250))
            found.append(next(address for address in hosts if address not in taken))
        return found

    def apply(self, document):
        """Adds or replaces one object, in the file that holds it or in one of its own."""
        document.setdefault("metadata", {})
        if document.get("kind") in ("Node", "Pod"):
            self.complete(document)
        key = key_of(document)
        for name, docs in self.files.items():
            for i, old in enumerate(docs):
                if key_of(old) == key:
                    docs[i] = document
                    self.write(name)
                    self.write_slices()
                    return
        name = "-".join(part.lower() for part in key if part) + ".yaml"
        self.files[name] = [document]
        self.write(name)
        self.write_slices()

    def delete(self, kind, namespace, name):
        for file, docs in list(self.files.items()):
            kept = [d for d in docs if key_of(d) != (kind, namespace, name)]
            if len(kept) != len(docs):
                self.files[file] = kept
                self.write(file)
                self.write_slices()
                return
        raise LabError(f"no {kind} {namespace}/{name} in the lab's manifests")

    def write(self, name, text=None):
        target = self.source / name
        docs = self.files[name]
        if not docs:
            del self.files[name]
            target.unlink(missing_ok=True)
            return
        self.write_text(name, text if text is not None else yaml.safe_dump_all(docs, sort_keys=False))

    def write_text(self, name, text):
        """Puts a file into the source directory as it is, also one that is no good (tests of refusal)."""
        half = self.source / f".{name}.new"
        half.write_text(text)
        os.rename(half, self.source / name)

    def write_slices(self):
        """What the EndpointSlice controller does, for Services with a selector that have no slice of their own."""
        own = {(d["metadata"].get("namespace", "default"), d["metadata"].get("labels", {}).get("kubernetes.io/service-name"))
               for name, docs in self.files.items() if name != SLICES_FILE for d in docs if d.get("kind") == "EndpointSlice"}
        slices = []
        for service in self.of_kind("Service"):
            namespace, name = service["metadata"].get("namespace", "default"), service["metadata"]["name"]
            if service.get("spec", {}).get("selector") and (namespace, name) not in own:
                slices += [s for s in (self.slice_of(service, family) for family in ("IPv4", "IPv6")) if s["endpoints"]]
        if slices != self.files.get(SLICES_FILE, []):
            self.files[SLICES_FILE] = slices
            self.write(SLICES_FILE)

    def slice_of(self, service, family):
        namespace, name = service["metadata"].get("namespace", "default"), service["metadata"]["name"]
        endpoints, named_ports = [], {}
        for pod in self.of_kind("Pod"):
            labels, selector = pod["metadata"].get("labels", {}), service["spec"]["selector"]
            if pod["metadata"]["namespace"] != namespace or any(labels.get(k) != v for k, v in selector.items()):
                continue
            addresses = [i["ip"] for i in pod["status"]["podIPs"] if (":" in i["ip"]) == (family == "IPv6")]
            if not addresses:
                continue
            named_ports |= {p["name"]: p["containerPort"] for c in pod["spec"].get("containers", [])
                            for p in c.get("ports", []) if "name" in p}
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
            zone = self.node(pod["spec"]["nodeName"])["metadata"].get("labels", {}).get("topology.kubernetes.io/zone")
            endpoints.append({"addresses": addresses[:1], "nodeName": pod["spec"]["nodeName"], "zone": zone,
                              "conditions": {"ready": ready, "serving": ready, "terminating": False},
                              "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod["metadata"]["name"],
                                            "uid": pod["metadata"].get("uid", pod_name(pod))}})
        ports = []
        for port in service["spec"].get("ports", []):
            target = port.get("targetPort", port["port"])
            ports.append({"name": port.get("name", ""), "protocol": "TCP", "port": named_ports.get(target, target)})
        return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
                "metadata": {"name": f"{name}-{family.lower()}", "namespace": namespace,
                             "labels": {"kubernetes.io/service-name": name}},
                "endpoints": endpoints, "ports": ports}
