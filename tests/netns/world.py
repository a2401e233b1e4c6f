"""What scenarios speak of: the mesh under test, its pods, and what a connection looked like to the applications.

`Mesh` is a lab made from tests/netns/world with an application in every pod. A `Place` (a pod or the outsider) makes
connections and listeners with a real process of that pod, so a scenario holds both ends. The access log is read from
where it was when the test began; policies that a test applies go with its end.
"""

import json
import os
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

import apps  # noqa: E402
from lab import REPOSITORY, Lab  # noqa: E402

WORLD = pathlib.Path(__file__).with_name("world")
LENT = 7100  # The port of listeners that scenarios hold themselves; the Service echo has it too.
LINGER_RESET = b"\1\0\0\0\0\0\0\0"  # struct linger {1, 0}: close() sends RST
SERVICE = {"v4": "10.96.0.1", "v6": "fd00:10:96::1"}
NODES = ("node-1", "node-2")
PODS = ("alice", "bob", "echo-1", "echo-2", "echo-3")  # the enrolled ones


def eventually(check, timeout=10, every=0.1):
    """Repeats `check` until it neither raises AssertionError or OSError nor returns False; its last failure is ours."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            result = check()
            if result is not False:
                return result
            failure = AssertionError(f"still not so after {timeout} s: {getattr(check, '__name__', check)}")
        except (AssertionError, OSError) as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure
        time.sleep(every)


class Place:
    """A pod (or the outsider) as a client and as a server."""

    def __init__(self, mesh, name):
        self.mesh, self.name = mesh, name
        self.v4, self.v6 = mesh.lab.addresses(name)
        self.lender = mesh.directory(name) / "lender.sock"

    def address(self, family):
        return {"v4": self.v4, "v6": self.v6, "mapped": f"::ffff:{self.v4}"}[family]

    def borrow(self, timeout, **request):
        return self.borrow_many(1, timeout, **request)[0]

    def borrow_many(self, count, timeout, **request):
        """So many sockets of the same kind, made one after the other."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as desk:
            desk.settimeout(timeout + 5)
            eventually(lambda: desk.connect(str(self.lender)), 5, 0.05)  # The pod may have just been made.
            desk.send(json.dumps(request | {"timeout": timeout, "count": count}).encode())
            return [self.lent(desk, request) for _ in range(count)]

    def lent(self, desk, request):
        answer, descriptors, _, _ = socket.recv_fds(desk, 4096, 1)
        code = json.loads(answer)["errno"]
        if code == -1:
            raise TimeoutError(f"{self.name}: connect to {request.get('connect')} timed out")
        if code:
            raise OSError(code, f"{os.strerror(code)} ({self.name}: {request})")
        lent = socket.socket(fileno=descriptors[0])
        lent.settimeout(15)  # longer than a connection waits for its pod's certificate (limits::certificate_wait)
        return lent

    def connect(self, address, port, timeout=5, **more):
        """A connected socket; `address` may be an IPv4, IPv6 or v4-mapped address. 10 s is its time-out for reads."""
        return self.connect_many(1, address, port, timeout, **more)[0]

    def connect_many(self, count, address, port, timeout=5, **more):
        family = "v6" if ":" in address else "v4"
        return self.borrow_many(count, timeout, family=family, connect=[address, port], **more)

    def listen(self, port=LENT, backlog=128):
        """A listener on every address of both families."""
        return self.borrow(5, family="v6", bind=["::", port], listen=backlog)

    def who(self, address, port=apps.WHO, **more):
        """What the server says of itself and of the client it sees."""
        with self.connect(address, port, **more) as connection:
            return json.loads(connection.makefile("rb").read())

    def echo(self, address, port=apps.ECHO, text=b"hello"):
        """Sends, reads the same back, ends in order; returns how long that took in seconds."""
        begun = time.monotonic()
        with self.connect(address, port) as connection:
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
            received = read_all(connection)
        assert received == text, f"{len(received)} of {len(text)} bytes came back"
        return time.monotonic() - begun

    def fails(self, address, port, timeout=5):
        """How a connection to where none may be had fails: "refused" (at connect) or "reset" (after). All else raises."""
        try:
            with self.connect(address, port, timeout) as connection:
                try:
                    connection.sendall(b"anybody?\n")
                    got = connection.recv(1024)
                except (ConnectionResetError, BrokenPipeError):
                    return "reset"
            what = f"got {got!r}" if got else "ended in order"
            raise AssertionError(f"{self.name} to {address}:{port} should fail, but {what}")
        except ConnectionRefusedError:
            return "refused"
        except ConnectionResetError:  # It came before connect() had returned.
            return "reset"

    def reaches(self, address, port=apps.WHO):
        """Whether a connection works, for `eventually`."""
        return bool(self.who(address, port)["pod"])


def read_all(connection):
    data = b""
    while chunk := connection.recv(1 << 20):
        data += chunk
    return data


def read_exactly(connection, count):
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise AssertionError(f"the stream ended after {len(data)} of {count} bytes")
        data += chunk
    return data


def reset(connection):
    """Ends a connection as a crashed application does: with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    connection.close()


def ending(connection):
    """How the other side ended: "fin" or "reset"; what came before is read and dropped."""
    try:
        while connection.recv(65536):
            pass
        return "fin"
    except ConnectionResetError:
        return "reset"


class Mesh:
    """The lab of one module of scenarios. `pods` by short name; `mesh.alice` and so on are the same."""

    def __init__(self, weir=True, world=WORLD, **options):
        self.world = world
        build = os.environ.get("WEIR_BUILD") or os.environ.get("WEIR_BUILD_DIR")
        self.lab = Lab(os.environ.get("WEIR_LAB", "netns"), build, weir=weir, **options)
        self.marks, self.applied = {}, []

    def up(self):
        self.lab.up(self.world)
        self.start_app_outside()
        self.pods = {p["metadata"]["name"]: Place(self, p["metadata"]["name"])
                     for p in self.lab.manifests.of_kind("Pod")}
        self.outsider = Place(self, "outsider")
        for place in [*self.pods.values(), self.outsider]:
            eventually(place.lender.exists)
        return self

    def start_app_outside(self):
        directory = self.directory("outsider")
        directory.mkdir(parents=True)
        environment = os.environ | {"POD_DIR": str(directory), "POD_NAME": "outsider"}
        self.lab.popen("outsider", [sys.executable, REPOSITORY / "tests/netns/apps.py"], env=environment)

    def down(self):
        self.lab.down()

    def directory(self, name):
        if name == "outsider":
            return self.lab.directory / "outsider"
        meta = self.lab.pod(name)["metadata"]
        return self.lab.directory / "pods" / f"{meta['namespace']}_{meta['name']}"

    def __getattr__(self, name):
        pods = self.__dict__.get("pods", {})
        if name.replace("_", "-") in pods:
            return pods[name.replace("_", "-")]
        raise AttributeError(name)

    # --- The beginning and the end of a test ---------------------------------------------------------------------
    def begin(self):
        """The access log of the test begins here: after what earlier connections still have to say."""
        for node in NODES if self.lab.options["weir"] else ():
            eventually(lambda: self.nothing_open(node), 8)
        time.sleep(0.05)  # The log is written beside the flows.
        self.marks = {node: self.lab.access_log_size(node) for node in NODES}

    def nothing_open(self, node):
        metrics = self.lab.metrics(node)
        for reporter in ("source", "destination"):
            opened, closed = (metrics.total(f"weir_tcp_connections_{what}_total", reporter=reporter)
                              for what in ("opened", "closed"))
            assert opened == closed, f"{node}, {reporter}: {opened} connections opened and {closed} closed"

    def end(self):
        """Takes back what the test applied; fails if a proxy or an agent has ended that the test did not end itself."""
        for kind, namespace, name in self.applied:
            self.lab.delete(kind, namespace, name)
        had_policies, self.applied = bool(self.applied), []
        crashed = []
        for node in NODES if self.lab.options["weir"] else ():
            for role in ("agent", "proxy"):
                if not self.lab.weir(node).alive(role):
                    crashed.append(f"{role} of {node}\n{self.lab.weir(node).log_tail(role, 30)}")
                    self.lab.weir(node).reap(role)
                    self.lab.weir(node).start(role)
        if crashed:
            self.lab.wait_ready()
        if had_policies:
            self.settle()
        assert not crashed, "ended by itself: " + "\n".join(crashed)

    # --- Objects -------------------------------------------------------------------------------------------------
    def apply(self, kind, name, namespace="servers", api="weir.dev/v1alpha1", **spec):
        """Applies an object (one of Weir's own, if no other API is named) until the end of the test, and waits until the
        proxies have it."""
        self.lab.apply({"apiVersion": api, "kind": kind,
                        "metadata": {"name": name, "namespace": namespace}, "spec": spec})
        if (kind, namespace, name) not in self.applied:
            self.applied.append((kind, namespace, name))
        self.settle()

    def settle(self, nodes=NODES):
        """Waits until the proxies of these nodes have applied the newest state of the source directory."""
        self.sequence = getattr(self, "sequence", 0) + 1
        # A service of its own per change is a beacon: once a proxy knows it, it knows all that was written before.
        beacon = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "beacon", "namespace": "bare"},
                  "spec": {"clusterIP": f"10.96.255.{self.sequence % 200 + 1}", "ports": [{"port": self.sequence}]}}
        self.lab.apply(beacon)
        for node in nodes:
            eventually(lambda: f"10.96.255.{self.sequence % 200 + 1}" in self.lab.weir(node).admin("proxy", "/config")
                       or False, 10, 0.03)

    def meshed(self, name, nodes=NODES):
        """Waits until the proxies of these nodes know that this pod is captured; if all do, until it answers too."""
        pod = self.lab.pod(name)["metadata"]
        uid = pod.get("uid", f"{pod['namespace']}/{pod['name']}")
        for node in nodes:
            eventually(lambda: uid in self.lab.weir(node).peers())
        if nodes == NODES:
            eventually(lambda: self.alice.reaches(self.lab.addresses(name)[0]))

    # --- What was observed ---------------------------------------------------------------------------------------
    def entries(self, node, **fields):
        """The access-log entries of this test on a node; source_pod="…" compares entry["source"]["pod"]."""
        def value(entry, name):
            party, _, field = name.partition("_")
            return entry[party].get(field) if party in ("source", "destination") else entry.get(name)

        log = self.lab.access_log(node, self.marks.get(node, 0))
        return [e for e in log if all(value(e, n) == v for n, v in fields.items())]

    def entry(self, node, timeout=5, **fields):
        """The last such entry; waits for it."""
        def find():
            found = self.entries(node, **fields)
            assert found, f"{node} logged no {fields}; it logged: " + json.dumps(self.entries(node)[-4:], indent=1)
            return found[-1]

        return eventually(find, timeout, 0.05)

    def total(self, node, name, **labels):
        return self.lab.metrics(node).total(name, **labels)

    def rises(self, node, name, by=1, **labels):
        """A context in which a counter must rise by at least this much."""
        return Rise(self, node, name, by, labels)


class Rise:
    def __init__(self, mesh, node, name, by, labels):
        self.total = lambda: mesh.total(node, name, **labels)
        self.what, self.by = f"{name}{labels} of {node}", by

    def __enter__(self):
        self.before = self.total()

    def __exit__(self, kind, *_):
        if kind is None:
            def risen():
                rise = self.total() - self.before
                assert rise >= self.by, f"{self.what} rose by {rise}, not by {self.by}"
            eventually(risen, 5)
