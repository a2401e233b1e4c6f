"""pid 1 of a node: lays out the node's own view of the file system, then keeps containerd, kubelet and kube-proxy running.

Started by nodes.py in new namespaces, with a settings file; never by hand. It reaps whatever the containers leave behind.
"""

import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

# Directory of the node: where the node's programs expect it.
OWN = {"kubelet": "/var/lib/kubelet", "containerd": "/var/lib/containerd", "cni-conf": "/etc/cni/net.d",
       "cni-bin": "/opt/cni/bin", "cni-state": "/var/lib/cni", "log-pods": "/var/log/pods",
       "log-containers": "/var/log/containers", "weir": "/var/lib/weir"}
SYSCTLS = {"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1, "net/ipv4/conf/all/rp_filter": 0,
           "net/ipv4/conf/default/rp_filter": 0}


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


def lay_out(directory):
    """The mounts: /sys of the new network namespace with the old cgroups, a bpffs, a /run and directories of the node's own."""
    mount("--make-rprivate", "/")
    kept = directory / "cgroups"
    kept.mkdir(exist_ok=True)
    mount("--rbind", "/sys/fs/cgroup", kept)
    mount("-t", "sysfs", "sysfs", "/sys")
    mount("--rbind", kept, "/sys/fs/cgroup")
    subprocess.run(["umount", "-l", kept], check=True)
    mount("-t", "bpf", "bpf", "/sys/fs/bpf")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for made in ("/run/netns", "/run/containerd", "/run/lock"):
        os.mkdir(made)
    for name, target in OWN.items():
        (directory / name).mkdir(exist_ok=True)
        os.makedirs(target, exist_ok=True)
        mount("--bind", directory / name, target)
    mount("--make-rshared", "/")  # For mountPropagation of pods; it ends at this mount namespace.
    for name, value in SYSCTLS.items():
        pathlib.Path("/proc/sys", name).write_text(str(value))


def containerd_configuration():
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc fails on a negative oom_score_adj.
    return """version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


def kubelet_configuration(settings):
    pki, name = settings["pki"], settings["name"]
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                           "x509": {"clientCAFile": f"{pki}/kubernetes.crt"}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/serving-{name}.crt", "tlsPrivateKeyFile": f"{pki}/serving-{name}.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{name}", "failCgroupV1": False, "failSwapOn": False, "oomScoreAdj": 0,
        "clusterDNS": [settings["dns"]], "clusterDomain": "cluster.local",
        "resolvConf": f"{settings['directory']}/resolv.conf",
        "imageGCHighThresholdPercent": 100,  # Nobody could pull them again.
        "evictionHard": {"imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
                         "imagefs.inodesFree": "0%", "memory.available": "100Mi"}}


def kube_proxy_configuration(settings):
    return {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables",
            "clientConnection": {"kubeconfig": f"{settings['users']}/kube-proxy"}, "hostnameOverride": settings["name"],
            "clusterCIDR": settings["pods"], "bindAddress": settings["addresses"][0], "oomScoreAdj": 0,
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}}


class Keeper:
    """Runs programs, each with a log in the node's directory, and starts one that ended again a second later."""

    def __init__(self, directory):
        self.directory = directory
        self.argv = {}
        self.running = {}

    def keep(self, name, argv):
        self.argv[name] = list(map(str, argv))
        with open(self.directory / f"{name}.log", "ab") as log:
            child = subprocess.Popen(self.argv[name], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.running[child.pid] = (name, child)  # The object too: forgotten ones are reaped by subprocess itself.

    def forever(self):
        while True:
            pid, _ = os.wait()  # orphans too
            if pid in self.running:
                name, _ = self.running.pop(pid)
                time.sleep(1)
                self.keep(name, self.argv[name])


def main(settings_file):
    settings = json.loads(pathlib.Path(settings_file).read_text())
    directory = pathlib.Path(settings["directory"])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.sethostname(settings["name"].encode(), len(settings["name"]))
    assert socket.gethostname() == settings["name"]
    lay_out(directory)
    (directory / "resolv.conf").write_text("")
    (directory / "containerd.toml").write_text(containerd_configuration())
    (directory / "kubelet.json").write_text(json.dumps(kubelet_configuration(settings)))
    (directory / "kube-proxy.json").write_text(json.dumps(kube_proxy_configuration(settings)))
    keeper, programs = Keeper(directory), pathlib.Path(settings["programs"])
    keeper.keep("containerd", ["containerd", "--config", directory / "containerd.toml"])
    for _ in range(300):
        if subprocess.run(["ctr", "-n", "k8s.io", "version"], capture_output=True).returncode == 0:
            break
        time.sleep(0.1)
    for image in sorted(pathlib.Path(settings["images"]).glob("*.tar")):
        subprocess.run(["ctr", "-n", "k8s.io", "images", "import", image], check=True)
    user = f"{settings['users']}/kubelet-{settings['name']}"
    keeper.keep("kubelet", [programs / "kubelet", f"--config={directory / 'kubelet.json'}", f"--kubeconfig={user}",
                            f"--hostname-override={settings['name']}", f"--node-ip={','.join(settings['addresses'])}"])
    keeper.keep("kube-proxy", [programs / "kube-proxy", f"--config={directory / 'kube-proxy.json'}"])
    (directory / "ready").touch()
    keeper.forever()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main(sys.argv[1])
