"""A real Kubernetes cluster on this machine: a control plane and nodes with containerd, kubelet, kube-proxy and DNS.

    ./dev cluster up [--nodes 2] [--bare]      builds what is missing, starts it, installs Weir by its chart (not with --bare)
    ./dev cluster test [PYTEST ARGUMENTS...]   the cluster tier, on the cluster that is up or on one of its own
    ./dev cluster shell [COMMAND...]           a shell with kubectl, helm, weirctl and KUBECONFIG
    ./dev cluster node N COMMAND...            a command inside a node
    ./dev cluster down                         takes all of it away

Its state is in ~/.cache/weir/k8s/cluster (WEIR_K8S_CACHE); the bridge is `weir-cluster`, 172.31.80.0/24.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import build  # noqa: E402
import images  # noqa: E402
import nodes  # noqa: E402
from control_plane import ControlPlane  # noqa: E402
from daemons import DaemonError  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
CHART = REPOSITORY / "charts" / "weir"
STATE = build.CACHE / "cluster"


def say(text):
    print(f"\033[1m==> {text}\033[0m", file=sys.stderr, flush=True)


class Cluster:
    """Owner of everything; the objects may be made again in another process and find what runs."""

    def __init__(self, count=None):
        self.control_plane = ControlPlane(STATE, nodes.CONTROL_PLANE_ADDRESS)
        self.scheduler = self.control_plane.daemon("kube-scheduler")
        known = len(list((STATE / "nodes").glob("*"))) if (STATE / "nodes").exists() else 0
        self.nodes = [nodes.Node(self.control_plane, number) for number in range(1, (count or known or 2) + 1)]
        self.network = nodes.Network()

    @property
    def images(self):
        """Where the archives of the images are that every node starts with."""
        return images.IMAGES

    @property
    def kubectl(self):
        return self.control_plane.kubectl

    def running(self):
        return bool(self.control_plane.apiserver.pid()) and all(node.init.pid() for node in self.nodes)

    def up(self):
        build.build(say=say)
        archives = images.make(say=say)
        begun = time.monotonic()
        nodes.save_sysctls(STATE / "sysctls")
        self.network.up()
        control_plane = self.control_plane.start()
        config = control_plane.client_config("scheduler", "/CN=system:kube-scheduler")
        self.scheduler.start([
            control_plane.bin / "kube-scheduler", f"--kubeconfig={config}", "--bind-address=127.0.0.1",
            f"--secure-port={control_plane.ports['scheduler']}", "--leader-elect=false", f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}"])
        control_plane.apply(HERE / "manifests" / "dns.yaml")
        control_plane.apply(HERE / "manifests" / "kube-proxy.yaml")
        for node in self.nodes:
            node.start(archives)
        for node in self.nodes:
            node.join([other for other in self.nodes if other is not node])
        self.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=120s", timeout=150)
        self.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s", timeout=150)
        say(f"{len(self.nodes)} nodes are ready after {time.monotonic() - begun:.0f} s")
        return self

    def down(self):
        for node in self.nodes:
            node.stop()
        self.scheduler.stop(patience=0)
        self.control_plane.stop()
        self.network.down()
        nodes.restore_sysctls(STATE / "sysctls")
        shutil.rmtree(STATE, ignore_errors=True)

    def load(self, archive):
        for node in self.nodes:
            node.load(archive)

    def environment(self):
        """What a person's shell needs to talk to it."""
        path = f"{build.BIN}:{REPOSITORY / 'build' / 'release' / 'bin'}:{os.environ['PATH']}"
        return os.environ | {"KUBECONFIG": str(self.control_plane.kubeconfig), "PATH": path}

    def helm(self, *arguments, check=True, timeout=300):
        done = subprocess.run([build.BIN / "helm", *map(str, arguments)], env=self.environment(), capture_output=True, text=True,
                              timeout=timeout)
        if check and done.returncode != 0:
            raise DaemonError(f"helm {' '.join(map(str, arguments))}: {done.stderr or done.stdout}")
        return done.stdout


def weir_settings():
    """Where the chart's defaults do not fit: the nodes share one kernel, and so one cgroup v2 hierarchy."""
    root = next(path for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.exists(f"{path}/cgroup.procs"))
    return ["--set-string", f"node.paths.cgroup={root}",
            "--set-string", "node.paths.kubepodsCgroup=/host/cgroup/$(NODE_NAME)/kubepods"]


def install_weir(cluster):
    """What README's section "On a cluster" does by hand: the images, the Gateway API's CRDs, and the chart."""
    say("making Weir's images")
    subprocess.run([sys.executable, REPOSITORY / "image" / "make.py"], check=True)
    for archive in sorted((REPOSITORY / "build" / "images").glob("*.tar")):
        cluster.load(archive)
    cluster.control_plane.install_gateway_api()
    cluster.helm("upgrade", "--install", "weir", CHART, "--namespace", "weir-system", "--create-namespace",
                 *weir_settings(), "--wait", "--timeout", "3m")
    say("Weir is installed")


def shell(cluster, argv):
    os.chdir(REPOSITORY)
    argv = argv or [os.environ.get("SHELL", "/bin/bash")]
    os.execvpe(argv[0], argv, cluster.environment())


def test(cluster, argv):
    """The tests that are named, or all; a cluster that was not up is made for them, and taken away."""
    ours = not cluster.running()
    if ours:
        cluster.up()
    try:
        return subprocess.run([sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-p", "tests.strict",
                               *([] if any(a.endswith(".py") or "::" in a for a in argv) else [HERE]), *argv], cwd=REPOSITORY,
                              env=cluster.environment() | {"PYTHONPATH": str(REPOSITORY)}).returncode
    finally:
        if ours:
            cluster.down()


def main():
    parser = argparse.ArgumentParser(prog="./dev cluster", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up")
    up.add_argument("--nodes", type=int, default=2)
    up.add_argument("--bare", action="store_true", help="without Weir")
    commands.add_parser("down")
    for name in ("test", "shell"):
        commands.add_parser(name, add_help=False)
    node = commands.add_parser("node")
    node.add_argument("number", type=int)
    told, rest = parser.parse_known_args()
    cluster = Cluster(getattr(told, "nodes", None))
    if told.command == "up":
        cluster.up()
        if not told.bare:
            install_weir(cluster)
    elif told.command == "down":
        cluster.down()
    elif told.command == "test":
        sys.exit(test(cluster, rest))
    elif told.command == "shell":
        shell(cluster, rest)
    else:
        argv = cluster.nodes[told.number - 1].command(*rest)
        os.execvp(argv[0], argv)


if __name__ == "__main__":
    try:
        main()
    except (build.BuildError, DaemonError, images.ImageError, subprocess.SubprocessError) as error:
        sys.exit(f"./dev cluster: {error}")
