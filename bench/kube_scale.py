"""What the agent costs beside a large cluster: a real API server filled with objects, and no node at all.

    python3 bench/kube_scale.py [--pods 10000] [--services 2000] [--routes 1000] [--nodes 1000] [--changes 50] [--pages]
                                [--json FILE]

Prints the agent's start-up time (first list of everything to first configuration), its memory, the bytes that the API server
sends for the start and for one pod's change, and how long a change takes from the API server's answer to a new configuration.
The agent is `weir-agent derive --follow --summary`: source and derivation, without proxy and capture.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import queue
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/cluster"), str(ROOT / "tests/control")]

from control_plane import ControlPlane  # noqa: E402
from source import AGENT, arguments, install_crds, reader  # noqa: E402

CLIENTS = 6
PODS = "/api/v1/namespaces/load/pods"


class Api:
    """Requests as the admin, over one kept connection a thread."""

    def __init__(self, control_plane):
        self.context = ssl.create_default_context(cafile=str(control_plane.ca))
        self.context.load_cert_chain(control_plane.admin_certificate, control_plane.admin_key)
        self.port = control_plane.ports["api"]
        self.local = threading.local()

    def __call__(self, method, path, body=None, kind="application/json"):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=60)
        self.local.connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": kind})
        answer = self.local.connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 201, 409):
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]}")
        return json.loads(text)


def address(number, second):
    return f"10.{second + number // 65536}.{number // 256 % 256}.{number % 256}"


def pod(number, nodes):
    """About as long as an ordinary pod of a Deployment."""
    containers = [{"name": name, "image": f"registry.example/{name}:1.2.3", "ports": [{"name": name, "containerPort": port}],
                   "env": [{"name": f"SETTING_{i}", "value": "a value of some length"} for i in range(12)],
                   "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                   "readinessProbe": {"httpGet": {"path": "/ready", "port": port}}}
                  for name, port in (("web", 8080), ("metrics", 9090))]
    return {"metadata": {"name": f"pod-{number}", "labels": {"app": f"app-{number // 5}", "tier": "web", "version": "1"},
                         "annotations": {"example.com/checksum": "0123456789abcdef" * 4}},
            "spec": {"nodeName": f"node-{number % nodes}", "containers": containers, "automountServiceAccountToken": False}}


def pod_status(number, ready=True):
    ip = address(number, 244)
    return {"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": address(number % 1000, 192),
                       "startTime": "2026-01-01T00:00:00Z",
                       "conditions": [{"type": name, "status": str(ready), "lastTransitionTime": "2026-01-01T00:00:00Z"}
                                      for name in ("Initialized", "Ready", "ContainersReady", "PodScheduled")]}}


def make_pod(api, number, nodes):
    api("POST", PODS, pod(number, nodes))
    api("PATCH", f"{PODS}/pod-{number}/status", pod_status(number), "application/merge-patch+json")


def make_service(api, number, pods):
    name = f"service-{number}"
    api("POST", "/api/v1/namespaces/load/services", {
        "metadata": {"name": name}, "spec": {"selector": {"app": f"app-{number}"},
                                             "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
    mine = [n for n in range(number * 5, number * 5 + 5) if n < pods]
    api("POST", "/apis/discovery.k8s.io/v1/namespaces/load/endpointslices", {
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [address(n, 244)], "conditions": {"ready": True},
                       "targetRef": {"kind": "Pod", "name": f"pod-{n}", "namespace": "load"}} for n in mine]})


def make_route(api, number, services):
    name = f"service-{number % services}"
    api("POST", "/apis/gateway.networking.k8s.io/v1/namespaces/load/httproutes", {
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": f"route-{number}"},
        "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": name}], "rules": [
            {"matches": [{"path": {"type": "PathPrefix", "value": "/v2"}}], "backendRefs": [{"name": name, "port": 80}]},
            {"backendRefs": [{"name": name, "port": 80}]}]}})


def fill(control_plane, api, options):
    control_plane.install_gateway_api()
    install_crds(control_plane)
    control_plane.apply({"apiVersion": "v1", "kind": "Namespace",
                         "metadata": {"name": "load", "labels": {"weir.dev/mesh": "enabled"}}})
    control_plane.kubectl("wait", "--for=create", "-n", "load", "serviceaccount/default")
    control_plane.controllers.stop()  # it would remove pods of nodes that never report
    work = [(api, "POST", "/api/v1/nodes", {"metadata": {"name": f"node-{n}"}}) for n in range(options.nodes)]
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        jobs = [pool.submit(job[0], *job[1:]) for job in work]
        jobs += [pool.submit(make_pod, api, n, options.nodes) for n in range(options.pods)]
        jobs += [pool.submit(make_service, api, n, options.pods) for n in range(options.services)]
        jobs += [pool.submit(make_route, api, n, options.services) for n in range(options.routes)]
        for done, job in enumerate(concurrent.futures.as_completed(jobs), 1):
            job.result()
            if done % 2000 == 0:
                print(f"  {done} of {len(jobs)} made", file=sys.stderr)


def memory(process):
    """(now, at most) in MiB."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    values = dict(line.split(":", 1) for line in status.splitlines())
    return [round(int(values[name].split()[0]) / 1024, 1) for name in ("VmRSS", "VmHWM")]


def cpu(process):
    """Seconds of processor time so far: unlike the clock it says something on a machine that does other things too."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Agent:
    """The agent under test: next() waits for its next state."""

    def __init__(self, source):
        self.begun = time.monotonic()
        self.process = subprocess.Popen([AGENT, "derive", "--follow", "--summary", "--node", "node-1", *source],
                                        stdout=subprocess.PIPE, text=True)
        self.states = queue.Queue()
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.states.put((time.monotonic(), json.loads(line)))

    def next(self, seconds=120):
        return self.states.get(timeout=seconds)

    def settle(self):
        """The last of the states that are still coming."""
        state = None
        while True:
            try:
                _, state = self.states.get(timeout=1)
            except queue.Empty:
                return state

    def end(self):
        self.process.terminate()
        self.process.wait()
        self.thread.join()


def measure(api, source, options):
    agent = Agent(source)
    try:
        at, first = agent.next()
        out = {"start_seconds": round(at - agent.begun, 2), "start_bytes": first["source"]["received_bytes"],
               "resources": first["resources"]["kinds"], "derive_ms": round(first["resources"]["derive_seconds"] * 1000, 1)}
        out["memory_mib"], out["memory_most_mib"] = memory(agent.process)
        out["start_cpu_seconds"] = cpu(agent.process)
        last = agent.settle() or first
        waits, bytes_before, cpu_before = [], last["source"]["received_bytes"], cpu(agent.process)
        for change in range(options.changes):
            number = change * 7 % options.pods
            api("PATCH", f"{PODS}/pod-{number}/status", pod_status(number, ready=False), "application/merge-patch+json")
            answered = time.monotonic()
            at, last = agent.next()
            waits.append((at - answered) * 1000)
        last = agent.settle() or last
        out["bytes_per_pod_change"] = round((last["source"]["received_bytes"] - bytes_before) / options.changes)
        out["cpu_ms_per_change"] = round((cpu(agent.process) - cpu_before) * 1000 / options.changes, 1)
        out["change_ms_median"] = round(statistics.median(waits), 1)
        out["change_ms_most"] = round(max(waits), 1)
        out["memory_after_mib"], out["memory_most_mib"] = memory(agent.process)
        return out
    finally:
        agent.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("pods", 10000), ("services", 2000), ("routes", 1000), ("nodes", 1000), ("changes", 50)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--pages", action="store_true", help="an API server without WatchList: lists by (compressed) pages")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    os.environ.setdefault("WEIR_BUILD_DIR", str(ROOT / "build/release"))
    gates = {"WatchList": False} if options.pages else None
    with ControlPlane(feature_gates=gates) as control_plane, tempfile.TemporaryDirectory() as directory:
        api = Api(control_plane)
        begun = time.monotonic()
        token = reader(control_plane, pathlib.Path(directory) / "token", minutes=120)
        fill(control_plane, api, options)
        print(f"filled in {time.monotonic() - begun:.0f} s", file=sys.stderr)
        figures = measure(api, arguments(control_plane, token), options)
    text = json.dumps(figures, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
