"""A real Kubernetes control plane on this machine: etcd, kube-apiserver and kube-controller-manager, in a few seconds.

For a test it is a context manager on loopback, with ports, keys and data of its own, that ends with the test:

    with ControlPlane() as control_plane:
        control_plane.kubectl("apply", "-f", "-", stdin=manifests)
        control_plane.kubeconfig                         # the admin's; .url, .ca, .admin_certificate, .admin_key too
        token = control_plane.token("weir-system", "weir-node", audience="weir-ca")
        control_plane.restart_apiserver(away=5)          # or stop_apiserver() … start_apiserver()

nodes.py gives it an address that nodes can reach, and a scheduler. Nothing here needs root.
"""

import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import build  # noqa: E402
from daemons import Daemon, DaemonError, eventually  # noqa: E402
from pki import ADMINS, Pki, kubeconfig  # noqa: E402

SERVICES = ("10.96.0.0/16", "fd00:10:96::/112")
PODS = ("10.244.0.0/16", "fd00:10:244::/56")
API_SERVICE = "10.96.0.1"
ISSUER = "https://kubernetes.default.svc.cluster.local"
GATEWAY_API = "v1.6.3"


def free_ports(count):
    """Ports that nothing listens on, below those that the kernel gives to connections: nobody takes them meanwhile."""
    held = []
    try:
        while len(held) < count:
            listener = socket.socket()
            try:
                listener.bind(("127.0.0.1", random.randrange(15000, 32000)))
            except OSError:
                listener.close()
                continue
            held.append(listener)
        return [listener.getsockname()[1] for listener in held]
    finally:
        for listener in held:
            listener.close()


class ControlPlane:
    """Owner of the three programs. Without `state` it lives in a temporary directory and dies with this process."""

    def __init__(self, state=None, address="127.0.0.1", names=(), feature_gates=None):
        self.temporary = state is None
        self.state = pathlib.Path(state or tempfile.mkdtemp(prefix="weir-control-plane-"))
        self.address = address
        self.loopback = address.startswith("127.")
        self.names = ["DNS:localhost", "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc",
                      "DNS:kubernetes.default.svc.cluster.local", "IP:127.0.0.1", f"IP:{address}", f"IP:{API_SERVICE}", *names]
        self.feature_gates = feature_gates or {}
        self.bin = build.BIN
        self.pki = Pki(self.state / "pki")
        self.etcd = self.daemon("etcd")
        self.apiserver = self.daemon("kube-apiserver")
        self.controllers = self.daemon("kube-controller-manager")
        self.ports = self.kept_ports()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def daemon(self, name):
        return Daemon(self.state, name, bound=self.temporary)

    def kept_ports(self):
        """The ports of this state directory: chosen once, so that a second `up` finds the first's programs."""
        kept = self.state / "ports.json"
        if not kept.exists():
            self.state.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(dict(zip(("api", "etcd", "peer", "controllers", "scheduler"), free_ports(5)))))
        return json.loads(kept.read_text())

    @property
    def url(self):
        return f"https://{self.address}:{self.ports['api']}"

    @property
    def ca(self):
        return self.pki.crt("kubernetes")

    @property
    def admin_certificate(self):
        return self.pki.crt("admin")

    @property
    def admin_key(self):
        return self.pki.key("admin")

    @property
    def kubeconfig(self):
        return self.state / "kubeconfig"

    # --- life -----------------------------------------------------------------------------------------------------
    def start(self):
        build.build(build.CONTROL_PLANE, say=lambda text: print(text, file=sys.stderr))
        try:
            self.make_keys()
            self.start_etcd()
            self.start_apiserver()
            self.start_controllers()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, patience=0):
        """Ends the programs, gently if they are given seconds; a temporary control plane's directory goes too."""
        for daemon in (self.controllers, self.apiserver, self.etcd):
            daemon.stop(patience)
        if self.temporary:
            shutil.rmtree(self.state, ignore_errors=True)

    def make_keys(self):
        for authority in ("kubernetes", "etcd-ca", "front-proxy-ca"):
            self.pki.authority(authority)
        self.pki.signing_key()
        self.pki.certificate("etcd", "etcd-ca", "/CN=etcd", ["DNS:localhost", "IP:127.0.0.1"])
        self.pki.certificate("apiserver-etcd", "etcd-ca", "/CN=kube-apiserver")
        self.pki.certificate("apiserver", "kubernetes", "/CN=kube-apiserver", self.names)
        self.pki.certificate("apiserver-kubelet", "kubernetes", f"/O={ADMINS}/CN=apiserver-kubelet")
        self.pki.certificate("front-proxy", "front-proxy-ca", "/CN=front-proxy-client")
        self.client_config("admin", f"/O={ADMINS}/CN=admin", self.kubeconfig)
        self.client_config("controllers", "/CN=system:kube-controller-manager")

    def client_config(self, name, subject, path=None):
        """The kubeconfig of a user who is known by a certificate: /O=GROUP/CN=USER."""
        path = path or self.state / "users" / name
        if not path.exists():
            certificate = self.pki.certificate(name, "kubernetes", subject)
            kubeconfig(path, self.url, self.ca, certificate, self.pki.key(name))
        return path

    def start_etcd(self):
        client, peer = f"https://127.0.0.1:{self.ports['etcd']}", f"http://127.0.0.1:{self.ports['peer']}"
        self.etcd.start([
            self.bin / "etcd", "--name=test", f"--data-dir={self.state / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=test={peer}", "--client-cert-auth",
            f"--trusted-ca-file={self.pki.crt('etcd-ca')}", f"--cert-file={self.pki.crt('etcd')}",
            f"--key-file={self.pki.key('etcd')}"])

    def start_apiserver(self):
        """Starts it and waits until it is ready; the same address and data as before."""
        pki, gates = self.pki, ",".join(f"{name}={str(on).lower()}" for name, on in self.feature_gates.items())
        private, public = pki.signing_key()
        self.apiserver.start([
            self.bin / "kube-apiserver", f"--bind-address={self.address}", f"--advertise-address={self.address}",
            f"--secure-port={self.ports['api']}",
            # The reconciler of the Service `kubernetes` refuses loopback: off where there is no node to use it.
            f"--endpoint-reconciler-type={'none' if self.loopback else 'lease'}",
            f"--etcd-servers=https://127.0.0.1:{self.ports['etcd']}", f"--etcd-cafile={pki.crt('etcd-ca')}",
            f"--etcd-certfile={pki.crt('apiserver-etcd')}", f"--etcd-keyfile={pki.key('apiserver-etcd')}",
            f"--tls-cert-file={pki.crt('apiserver')}", f"--tls-private-key-file={pki.key('apiserver')}",
            f"--client-ca-file={self.ca}", "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true", f"--service-account-issuer={ISSUER}", f"--service-account-key-file={public}",
            f"--service-account-signing-key-file={private}", f"--kubelet-certificate-authority={self.ca}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-client-certificate={pki.crt('apiserver-kubelet')}",
            f"--kubelet-client-key={pki.key('apiserver-kubelet')}",
            f"--requestheader-client-ca-file={pki.crt('front-proxy-ca')}",
            "--requestheader-allowed-names=front-proxy-client", "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={pki.crt('front-proxy')}", f"--proxy-client-key-file={pki.key('front-proxy')}",
            "--enable-aggregator-routing=true", f"--service-cluster-ip-range={','.join(SERVICES)}", "--profiling=false",
            *([f"--feature-gates={gates}"] if gates else [])])
        # The others end at once when they come before the roles that the API server makes at its first start.
        self.wait(lambda: self.kubectl("get", "--raw=/readyz"), 60, self.apiserver)

    def start_controllers(self):
        config, pki = self.state / "users" / "controllers", self.pki
        self.controllers.start([
            self.bin / "kube-controller-manager", f"--kubeconfig={config}", "--bind-address=127.0.0.1",
            f"--secure-port={self.ports['controllers']}", "--leader-elect=false", f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}", "--use-service-account-credentials=true",
            f"--service-account-private-key-file={pki.signing_key()[0]}", f"--root-ca-file={self.ca}",
            f"--cluster-signing-cert-file={self.ca}", f"--cluster-signing-key-file={pki.key('kubernetes')}",
            "--allocate-node-cidrs=true", f"--cluster-cidr={','.join(PODS)}", "--node-cidr-mask-size-ipv6=64",
            f"--service-cluster-ip-range={','.join(SERVICES)}", "--profiling=false"])
        self.wait(lambda: self.kubectl("-n", "default", "get", "serviceaccount", "default"), 30, self.controllers)

    def stop_apiserver(self, patience=0):
        self.apiserver.stop(patience=patience)

    def restart_apiserver(self, away=0, patience=0):
        """The API server goes (killed, unless it is given seconds to end) and is back, on its old address, after `away` s."""
        self.stop_apiserver(patience)
        if away:
            time.sleep(away)
        self.start_apiserver()

    def wait(self, check, timeout, daemon):
        def alive():
            if not daemon.pid():
                raise Ended(f"{daemon.name} ended:\n{daemon.said()}")
            return check()
        try:
            eventually(alive, timeout, f"{daemon.name} is ready")
        except DaemonError as error:
            raise DaemonError(f"{error}\n{daemon.said()}") from None

    # --- use ------------------------------------------------------------------------------------------------------
    def kubectl(self, *arguments, stdin=None, config=None, check=True, timeout=60):
        """What kubectl printed. CalledProcessError, whose stderr says why, if it failed and `check` is set."""
        done = subprocess.run([self.bin / "kubectl", f"--kubeconfig={config or self.kubeconfig}", *map(str, arguments)],
                              input=stdin, capture_output=True, text=True, timeout=timeout,
                              env=os.environ | {"HOME": str(self.state)})  # its cache of discovery stays here
        if check and done.returncode != 0:
            raise Refused(done.returncode, done.args, done.stdout, done.stderr)
        return done.stdout

    def get(self, *arguments, **keywords):
        """kubectl get … as objects."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json", **keywords))

    def apply(self, manifests, *arguments):
        """Applies YAML or JSON text, objects (a dict or a list of them), or a path, server-side."""
        if isinstance(manifests, pathlib.Path):
            return self.kubectl("apply", "--server-side", "--force-conflicts", *arguments, "-f", manifests)
        if isinstance(manifests, dict):
            manifests = [manifests]
        if isinstance(manifests, list):
            manifests = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        return self.kubectl("apply", "--server-side", "--force-conflicts", *arguments, "-f", "-", stdin=manifests)

    def token(self, namespace, service_account, audience=None, seconds=600):
        """A token of a service account, as the kubelet would mount it."""
        told = [f"--audience={audience}"] if audience else []
        return self.kubectl("-n", namespace, "create", "token", service_account, f"--duration={seconds}s", *told).strip()

    def token_config(self, name, token):
        """The kubeconfig of whoever holds the token."""
        return kubeconfig(self.state / "users" / name, self.url, self.ca, token=token)

    def install_gateway_api(self, version=GATEWAY_API, channel="standard"):
        """The CRDs of a Gateway API release, from its Go module."""
        for path in sorted(build.gateway_api_crds(version, channel)):
            self.apply(path)
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


class Ended(Exception):
    """A program of the control plane is gone; waiting longer does not help."""


class Refused(subprocess.CalledProcessError):
    """kubectl failed; unlike its parent it says why."""

    def __str__(self):
        return f"{super().__str__()}\n{self.stderr.strip()}"
