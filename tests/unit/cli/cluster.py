"""What a recorded cluster answers to weirctl, and weirctl run against it."""

import json
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD_DIR") or HERE.parents[2] / "build" / "release")
IN_TWO_HOURS = 2 * 3600 + 630


def items(*objects):
    return {"items": list(objects)}


def node(name, kernel="6.1.0-18-amd64", architecture="amd64", runtime="containerd://1.7.2"):
    return {"metadata": {"name": name}, "status": {"nodeInfo": {
        "kernelVersion": kernel, "architecture": architecture, "containerRuntimeVersion": runtime,
        "operatingSystem": "linux"}}}


def weir_pod(on, name=None, agent=None, created="2026-01-01T00:00:00Z"):
    state = agent or {"name": "agent", "ready": True, "state": {"running": {}}}
    return {"metadata": {"name": name or f"weir-node-{on}", "creationTimestamp": created}, "spec": {"nodeName": on},
            "status": {"phase": "Running", "containerStatuses": [{"name": "proxy"}, state]}}


def status(on, version="0.1.0", proxy_version=None, sent=7, applied=7, notes=(), expires=None, error=""):
    return {"agent": {"node": on, "version": version, "ready": True, "not_ready": "",
                      "pods": [{"name": "shop/web", "state": "captured", "error": error}],
                      "proxy": {"connected": True, "sent_version": sent, "applied_version": applied},
                      "source": {"notes": [{"object": "HTTPRoute shop/a", "text": n} for n in notes]}},
            "proxy": {"version": proxy_version or version, "ready": True, "flows": 3,
                      "certificates": [{"identity": "x", "not_after": expires or 0}]}}


def in_pod(name, verb, **answer):
    return {"when": ["exec", name, "--local", verb], **answer}


def crd(name, version="v1.6.3"):
    return {"metadata": {"name": name, "annotations": {"gateway.networking.k8s.io/bundle-version": version,
                                                       "gateway.networking.k8s.io/channel": "standard"}}}


class Cluster:
    """Answers, and a PATH on which kubectl is the fake."""

    def __init__(self, directory):
        self.directory, self.answers = directory, []
        (directory / "kubectl").symlink_to(HERE / "fake_kubectl.py")
        self.script = directory / "answers.json"

    def of(self, *nodes, pods=None):
        """Nodes of these names, each with a pod of weir-node unless `pods` says otherwise."""
        self.answers += [
            {"when": ["get", "nodes"], "out": items(*map(node, nodes))},
            {"when": ["get", "pods", "weir-system"],
             "out": items(*(pods if pods is not None else map(weir_pod, nodes)))}]
        return self

    def says(self, *answers):
        """These count before those said earlier."""
        self.answers = list(answers) + self.answers
        return self

    def command(self, *arguments):
        self.script.write_text(json.dumps(self.answers))
        return [str(BUILD / "bin" / "weirctl"), *arguments]

    def environment(self):
        rest = {k: v for k, v in os.environ.items() if k != "WEIR_RUN_DIR"}
        return rest | {"PATH": f"{self.directory}:{os.environ['PATH']}", "WEIR_FAKE": str(self.script)}

    def weirctl(self, *arguments, timeout=60):
        return subprocess.run(self.command(*arguments), env=self.environment(), text=True, capture_output=True,
                              timeout=timeout)

    def calls(self):
        path = pathlib.Path(f"{self.script}.calls")
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
