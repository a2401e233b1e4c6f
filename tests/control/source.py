"""The agent's view of a cluster, through `weir-agent derive`: from the API server, from a directory, once or as it changes."""

import json
import os
import pathlib
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
AGENT = pathlib.Path(os.environ.get("WEIR_BUILD_DIR", ROOT / "build/release")) / "bin/weir-agent"
CRDS = ROOT / "charts/weir/crds"
# What the agent reads, as kubectl names it.
KINDS = ("namespaces", "nodes", "pods", "services", "endpointslices.discovery.k8s.io", "peerauthentications.weir.dev",
         "authorizationpolicies.weir.dev", "trafficpolicies.weir.dev", "httproutes.gateway.networking.k8s.io",
         "grpcroutes.gateway.networking.k8s.io", "referencegrants.gateway.networking.k8s.io")


def install_crds(control_plane):
    for path in sorted(CRDS.glob("*.yaml")):
        control_plane.apply(path)
    control_plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


def reader(control_plane, path, minutes=60):
    """A service account that may read what the agent reads and annotate pods, and its token in a file: the agent's own rights."""
    control_plane.apply([
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "weir-system"}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader", "namespace": "weir-system"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": [
            {"apiGroups": ["", "discovery.k8s.io", "weir.dev", "gateway.networking.k8s.io"], "resources": ["*"],
             "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "reader"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
         "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "weir-system"}]}])
    path.write_text(control_plane.token("weir-system", "reader", seconds=minutes * 60))
    return path


def arguments(control_plane, token):
    return ["--kubernetes", "--api-server", control_plane.url, "--kube-ca", str(control_plane.ca),
            "--kube-token", str(token)]


def derive(node, *source, shared="/nowhere"):
    """What would be configured on the node, as objects."""
    done = subprocess.run([AGENT, "derive", "--node", node, "--shared-dir", str(shared), *map(str, source)],
                          capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def dump(control_plane, directory):
    """The cluster's objects as files: what `--source` reads."""
    directory.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        text = control_plane.kubectl("get", kind, "-A", "-o", "yaml")
        (directory / f"{kind.split('.')[0]}.yaml").write_text(text)
    text = control_plane.kubectl("-n", "weir-system", "get", "configmap", "weir", "-o", "yaml", "--ignore-not-found")
    (directory / "settings.yaml").write_text(text)
    return directory


class Follower:
    """`weir-agent derive --follow`: .states grows by one for each change. Ends with its `with` block."""

    def __init__(self, node, *source):
        self.states, self.log = [], []
        self.process = subprocess.Popen(
            [AGENT, "derive", "--follow", "--node", node, "--shared-dir", "/nowhere", *map(str, source)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.threads = [threading.Thread(target=self.read, args=(stream, keep)) for stream, keep in (
            (self.process.stdout, lambda line: self.states.append(json.loads(line))),
            (self.process.stderr, self.log.append))]
        for thread in self.threads:
            thread.start()

    def read(self, stream, keep):
        for line in stream:
            keep(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=10)
        for thread in self.threads:
            thread.join()

    def resources(self):
        return self.states[-1]["resources"] if self.states else {}

    def kind(self, name):
        return next(kind for kind in self.states[-1]["source"]["kinds"] if kind["kind"] == name)

    def until(self, check, what, seconds=30):
        """Waits until check() of this is true."""
        end = time.monotonic() + seconds
        while not check():
            assert self.process.poll() is None, "".join(self.log)
            assert time.monotonic() < end, f"not within {seconds} s: {what}\n{''.join(self.log)[-3000:]}"
            time.sleep(0.02)
        return self
