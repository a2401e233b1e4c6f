"""Weir as installed on a cluster: its pods, its logs, and what weirctl in them says."""

import json

SYSTEM = "weir-system"


class Mesh:
    """A view; nothing is kept between two questions."""

    def __init__(self, cluster):
        self.cluster = cluster

    def kubectl(self, *arguments, **keywords):
        return self.cluster.kubectl("-n", SYSTEM, *arguments, **keywords)

    def installed(self):
        return "weir" in self.cluster.helm("list", "--namespace", SYSTEM, "--short").split()

    def wait_ready(self, timeout=120):
        self.kubectl("rollout", "status", "daemonset/weir-node", f"--timeout={timeout}s", timeout=timeout + 10)
        self.kubectl("rollout", "status", "deployment/weir-controller", f"--timeout={timeout}s", timeout=timeout + 10)

    def node_pods(self):
        """{node: name of its weir-node pod}."""
        found = json.loads(self.kubectl("get", "pods", "--selector=app.kubernetes.io/name=weir-node", "-o", "json"))["items"]
        return {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in found
                if "deletionTimestamp" not in pod["metadata"]}

    def processes(self, program):
        """{node: pids of that program}: what is started again in its container has the same container and another pid."""
        return {node.name: sorted(node.inside("pgrep", "-x", program[:15], check=False).split())
                for node in self.cluster.nodes}

    def log(self, container, since=None):
        """The lines of a container of every weir-node pod: text, oldest first for each pod."""
        limit = [f"--since-time={since}"] if since else []
        return "".join(self.kubectl("logs", pod, "-c", container, *limit) for pod in self.node_pods().values())

    def access_log(self, since=None):
        """The proxies' access log as objects."""
        found = []
        for line in self.log("proxy", since).splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "kind" in entry:
                found.append(entry)
        return found

    def weirctl(self, node, *arguments, check=True):
        """weirctl's answer inside the agent's container of a node."""
        return self.kubectl("exec", self.node_pods()[node], "-c", "agent", "--", "weirctl", *arguments, check=check)

    def said(self, lines=25):
        """The ends of all logs, for messages."""
        parts = []
        for pod in self.node_pods().values():
            for container in ("agent", "proxy"):
                end = self.kubectl("logs", pod, "-c", container, f"--tail={lines}", check=False)
                parts.append(f"--- {pod} {container}\n{end}")
        return "\n".join(parts)
