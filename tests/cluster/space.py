"""What the cluster tests speak of: a namespace with applications in it, and what their clients saw.

A `Space` is a namespace of one test module. Its applications are go/echo, which tells in its answer what it was asked and
by whom; its clients are pods that run `client`, whose output `answers` takes apart.
"""

import collections
import json
import queue
import re
import subprocess
import threading
import time

from daemons import eventually

ENROLLED = {"weir.dev/mesh": "enabled"}
ECHO, TOOLS = "localhost/echo:1", "localhost/tools:1"
ECHO_ARGUMENTS = ["--port=8080", "--tcp=9090", "--grpc=7070"]

# One request: .status is 0 where there was no answer, and then .error says why; .fields are what the server told.
Answer = collections.namedtuple("Answer", "status fields headers error")


def answers(text):
    """The answers in the output of `client`, in order."""
    found = {}
    for number, kind, rest in re.findall(r"^\[(\d+)( body| error)?\] (.*)$", text, re.M):
        status, fields, headers, error = found.get(number, (0, {}, {}, ""))
        key, _, value = rest.partition("=")
        if kind == " error":
            error = rest
        elif kind == " body":
            if key == "StatusCode":  # gRPC tells it in the message
                status = int(value)
            fields.setdefault(key, value)
        elif key == "StatusCode":
            status = int(value)
        elif key == "ResponseHeader":
            name, _, content = value.partition(":")
            headers[name.lower()] = content
        found[number] = (status, fields, headers, error)
    return [Answer(*found[number]) for number in sorted(found, key=int)]


class Space:
    """A namespace; everything in it ends with it."""

    def __init__(self, cluster, name, enrolled=True):
        self.cluster = cluster
        self.name = name
        self.enrolled = enrolled

    def __enter__(self):
        self.delete()
        self.cluster.control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": self.name, "labels": ENROLLED if self.enrolled else {}}})
        self.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
        return self

    def __exit__(self, *_):
        self.delete(wait=False)

    def delete(self, wait=True):
        self.cluster.kubectl("delete", "namespace", self.name, "--ignore-not-found", f"--wait={str(wait).lower()}", timeout=120)

    def kubectl(self, *arguments, **keywords):
        return self.cluster.kubectl("-n", self.name, *arguments, **keywords)

    def get(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects):
        """Objects of this namespace, whatever namespace they leave out."""
        for made in objects:
            made.setdefault("metadata", {}).setdefault("namespace", self.name)
        return self.cluster.control_plane.apply(list(objects))

    def enrol(self, on=True):
        self.cluster.kubectl("label", "--overwrite", "namespace", self.name, "weir.dev/mesh=enabled" if on else "weir.dev/mesh-")

    # --- applications ---------------------------------------------------------------------------------------------
    def deploy(self, name, replicas=2, version="", app=None, node=None, labels=None, grace=5, arguments=()):
        """A Deployment of echo servers, ready; its service account has its name."""
        chosen = {"app": app or name, "version": version or "v1"}
        container = {"name": "echo", "image": ECHO, "imagePullPolicy": "Never",
                     "args": [*ECHO_ARGUMENTS, f"--version={version or 'v1'}", *arguments],
                     "ports": [{"containerPort": port} for port in (8080, 9090, 7070)],
                     "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1}}
        pod = {"serviceAccountName": name, "terminationGracePeriodSeconds": grace, "containers": [container],
               "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
                                              "whenUnsatisfiable": "ScheduleAnyway",
                                              "labelSelector": {"matchLabels": chosen}}]}
        if node:
            pod["nodeName"] = node
        self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
                   {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
                       "replicas": replicas, "selector": {"matchLabels": chosen},
                       "template": {"metadata": {"labels": chosen | (labels or {})}, "spec": pod}}})
        self.kubectl("rollout", "status", f"deployment/{name}", "--timeout=90s", timeout=100)

    def service(self, name, app=None, version=None, **spec):
        """A Service with a port for HTTP (80), for TCP (9090) and for gRPC (7070)."""
        selector = {"app": app or name} | ({"version": version} if version else {})
        ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "tcp", "port": 9090, "targetPort": 9090},
                 {"name": "grpc", "port": 7070, "targetPort": 7070}]
        self.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
                    "spec": {"selector": selector, "ports": ports} | spec})

    def pod(self, name, image=ECHO, node=None, labels=None, **spec):
        """One pod, ready: a client. Its service account has its name."""
        container = {"name": "main", "image": image, "imagePullPolicy": "Never"}
        container |= {"args": ECHO_ARGUMENTS} if image == ECHO else {"command": ["sleep", "1000000"]}
        body = {"serviceAccountName": name, "terminationGracePeriodSeconds": 0, "containers": [container]} | spec
        if node:
            body["nodeName"] = node
        self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
                   {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name} | (labels or {})},
                    "spec": body})
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s", timeout=70)

    def pods(self, app):
        """The running pods with this label app, oldest first."""
        found = self.get("pods", "--selector", f"app={app}", "--sort-by=.metadata.creationTimestamp")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def exec(self, pod, *argv, check=True, timeout=60):
        return self.kubectl("exec", pod, "--", *argv, check=check, timeout=timeout)

    def ask(self, client, url, count=1, **options):
        """`count` requests of a client pod, one after the other, each on a new connection."""
        flags = [f"-H={name.replace('_', '-')}:{value}" for name, value in options.pop("headers", {}).items()]
        flags += [f"--{name}={value}" for name, value in options.items()]
        return answers(self.exec(client, "/usr/local/bin/client", url, f"--count={count}", *flags, check=False, timeout=120))

    def load(self, client, url, seconds=None, every="10ms", keep=False):
        """A Popen of a client that sends for so long, or until `tally` ends it."""
        lasting = ["--lasting=24h", "--until-closed"] if seconds is None else [f"--lasting={seconds}s"]
        argv = [self.cluster.control_plane.bin / "kubectl", f"--kubeconfig={self.cluster.control_plane.kubeconfig}",
                "-n", self.name, "exec", "-i", client, "--", "/usr/local/bin/client", url, *lasting, f"--every={every}",
                f"--keep={str(keep).lower()}", "--timeout=15s"]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Watcher:
    """A client that never stops asking, and tells each answer with its time: how soon does a change arrive?"""

    def __init__(self, space, client, url):
        plane = space.cluster.control_plane
        self.argv = [plane.bin / "kubectl", f"--kubeconfig={plane.kubeconfig}", "-n", space.name, "exec", client, "--",
                     "/usr/local/bin/client", url, "--watch", "--lasting=600s", "--every=5ms", "--timeout=2s"]
        self.answers = queue.SimpleQueue()

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        self.answers.get(timeout=20)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def read(self):
        for line in self.process.stdout:
            at, _, fields = line.partition(" ")
            self.answers.put((float(at), json.loads(fields)))

    def seconds_until(self, wanted, begun=None, timeout=20):
        """Seconds from `begun` (now) until `wanted` first holds of an answer: {Status, Error, and what the server told}."""
        begun = begun or time.time()
        while True:
            at, fields = self.answers.get(timeout=timeout)
            if at >= begun and wanted(fields):
                return at - begun
            assert at - begun < timeout, f"not after {timeout} s; the last answer was {fields}"


    def last_of(self, wanted, seconds, act):
        """Seconds from `act` until the last answer, of those for so long after it, of which `wanted` holds; 0: none."""
        begun, last = time.time(), 0.0
        act()
        while True:
            at, fields = self.answers.get(timeout=20)
            if at >= begun and wanted(fields):
                last = at - begun
            if at - begun > seconds:
                return last


def tally(load, timeout=120):
    """({status or "failed": count}, what was printed) of a load, which ends now if it was not to last for some time."""
    text, _ = load.communicate(timeout=timeout)  # and closes its standard input
    found = re.search(r"^tally(.*)$", text, re.M)
    assert found, f"the load ended early: {text}"
    return {key: int(value) for key, _, value in (part.partition("=") for part in found[1].split())}, text


def until(check, timeout=15, what="so"):
    """`eventually` with assertions: the last AssertionError is the message."""
    failure = []

    def tried():
        try:
            result = check()
            return True if result is None else result
        except AssertionError as error:
            failure[:] = [error]
            return False
    try:
        return eventually(tried, timeout, what)
    except Exception:
        if failure:
            raise failure[0] from None
        raise
