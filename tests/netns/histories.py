"""Histories of a mesh that goes wrong, drawn from a seed, and what must hold while they last. See test_histories.py.

`Traffic` are the applications: pods that may talk, and do so all the time and on connections that they keep, and pods that
may not. They write down what may never be: whoever may not talk got an answer; a stream that was cut ended in order.
What was on the wire is the scenario's to look at: everything that an enrolled pod says begins with SECRET.
"""

import contextlib
import random
import signal
import threading
import time

import apps
from kubelet import KubePod
from world import NODES, SERVICE, read_exactly

SECRET = b"nobody-may-read-this-on-the-wire"
ROLES = ("agent", "proxy")
RULE_PRIORITY = "77"  # of the rule in a pod's namespace that brings back what the proxy's sockets there send
PATIENCE = 3          # seconds of a connect() in a mesh that may be away


class Traffic:
    """Clients in threads of their own until `stop`. `broken`: what may never be; `served`: how often whom."""

    def __init__(self, mesh):
        self.mesh, self.over, self.broken, self.served = mesh, threading.Event(), [], {}
        echoes = [mesh.echo_1, mesh.echo_2, mesh.echo_3]
        every = [address for place in echoes for address in (place.v4, place.v6)] + [SERVICE["v4"], SERVICE["v6"]]
        jobs = [(self.may, mesh.alice, every), (self.may, mesh.echo_2, [mesh.echo_1.v4, mesh.echo_3.v4]),
                (self.may_not, mesh.bob, every), (self.may_not, mesh.stranger, every[:6]),
                (self.may_not, mesh.outsider, every[:6])]
        jobs += [(self.keeps, client, [address]) for client, address in (
            (mesh.alice, mesh.echo_2.v4), (mesh.alice, mesh.echo_1.v6), (mesh.echo_2, mesh.echo_1.v4))]
        self.threads = [threading.Thread(target=self.run, args=job, daemon=True) for job in jobs]
        for thread in self.threads:
            thread.start()

    def run(self, act, client, addresses):
        turn = 0
        while not self.over.is_set():
            address = addresses[turn % len(addresses)]
            turn += 1
            try:
                act(client, address)
            except OSError:  # Nothing is promised while the mesh is away but what `broken` says.
                self.over.wait(0.05)

    def breaks(self, client, address, what):
        self.broken.append(f"{client.name} to {address}: {what}")

    def may(self, client, address):
        """One echo. It may fail, but what ends in order is whole."""
        text = SECRET * 500  # half the first window of a congested start: several segments
        with client.connect(address, apps.ECHO, PATIENCE) as connection:
            connection.sendall(text)
            connection.shutdown(1)  # SHUT_WR
            received = bytearray()
            while chunk := connection.recv(1 << 16):
                received += chunk
        if bytes(received) != text:
            self.breaks(client, address, f"{len(received)} of {len(text)} bytes came, and then a clean end")
        self.served[client.name] = self.served.get(client.name, 0) + 1

    def may_not(self, client, address):
        """An enrolled pod says SECRET here too: what is denied is not sent in the open either."""
        with client.connect(address, apps.ECHO, PATIENCE) as connection:
            connection.sendall(SECRET if client.name == "bob" else b"let me in")
            if got := connection.recv(1 << 16):
                self.breaks(client, address, f"is not allowed, and was answered {got[:40]!r}")

    def keeps(self, client, address):
        """A connection that goes on until it is cut: by a reset, as nobody here ends it."""
        with client.connect(address, apps.ECHO, PATIENCE) as connection:
            while not self.over.is_set():
                connection.sendall(SECRET)
                got = connection.recv(len(SECRET))
                if not got:
                    self.breaks(client, address, "was cut, and ended in order")
                    return
                read_exactly(connection, len(SECRET) - len(got))
                self.over.wait(0.02)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "an application still hangs"


class Newborn:
    """A pod that starts while things go wrong: its runtime tries until it may, and its first word is SECRET."""

    def __init__(self, mesh, number, node):
        self.over, self.started, self.failure = threading.Event(), False, None
        self.pod = KubePod(mesh, f"born-{number}", node=node)
        self.pod.apply()
        self.pod.make_network()
        there = mesh.echo_2.v4 if node == "node-1" else mesh.echo_1.v4
        self.thread = threading.Thread(target=self.run, args=(there,), daemon=True)
        self.thread.start()

    def run(self, address):
        try:
            while not self.over.is_set() and self.pod.add()[0] != 0:
                self.over.wait(0.2)
            script = (f"import socket; s = socket.create_connection(({address!r}, {apps.ECHO}), 10); "
                      f"s.sendall({SECRET!r}); s.recv(100)")
            with self.pod.popen(["/usr/bin/python3", "-c", script], stderr=-3) as said:  # -3: DEVNULL
                said.wait(20)
            self.started = True
            self.pod.report()
        except Exception as error:
            self.failure = error

    def leave(self):
        self.over.set()
        self.thread.join(40)
        assert not self.thread.is_alive() and not self.failure, f"{self.pod.name}: {self.failure or 'still starts'}"
        self.pod.__exit__()


class History:
    """Steps drawn from a seed: what was running ends and comes back in any order, rules vanish, pods start."""

    def __init__(self, mesh, seed):
        self.mesh, self.draw, self.steps, self.born = mesh, random.Random(seed), [], []
        self.seed = seed

    def run(self, count):
        for _ in range(count):
            step = self.draw.choice(self.possible())
            self.steps.append(" ".join(map(str, (step[0].__name__, *step[1:]))))
            step[0](*step[1:])
            time.sleep(self.draw.choice((0, 0.05, 0.3, 1)))

    def possible(self):
        steps = [(self.delete_rule, name) for name in ("alice", "echo-1", "echo-2", "bob")]
        steps += [(self.start_pod, node) for node in NODES if len(self.born) < 3]
        for node in NODES:
            for role in ROLES:
                if self.mesh.lab.weir(node).alive(role):
                    steps += 3 * [(self.kill, node, role)] + [(self.restart, node, role), (self.tell_to_stop, node, role)]
                else:
                    steps += 6 * [(self.start, node, role)]
        return steps

    def kill(self, node, role):
        self.mesh.lab.weir(node).stop(role, signal.SIGKILL)

    def start(self, node, role):
        self.mesh.lab.weir(node).reap(role)
        self.mesh.lab.weir(node).start(role)

    def restart(self, node, role):
        self.kill(node, role)
        self.start(node, role)

    def tell_to_stop(self, node, role):
        self.mesh.lab.weir(node).send_signal(role, signal.SIGTERM)

    def delete_rule(self, name):
        netns = self.mesh.lab.place(name)[0]
        for family in self.draw.sample(("-4", "-6"), self.draw.choice((1, 2))):
            node = self.mesh.lab.pod(name)["spec"]["nodeName"]
            self.mesh.lab.exec(f"node:{node}", ["ip", family, "-n", netns, "rule", "del", "priority", RULE_PRIORITY])

    def start_pod(self, node):
        self.born.append(Newborn(self.mesh, f"{self.seed}-{len(self.born)}", node))

    def recover(self):
        """Everything that is not there is started, in an order of the history's own."""
        absent = [(node, role) for node in NODES for role in ROLES]
        self.draw.shuffle(absent)
        for node, role in absent:
            weir = self.mesh.lab.weir(node)
            with contextlib.suppress(AssertionError):
                self.drained(weir, role)
            if not weir.alive(role):
                self.steps.append(f"recover {node} {role}")
                weir.reap(role)
                weir.start(role)
        for node, role in absent:
            self.mesh.lab.weir(node).wait_ready(role, 30)

    def drained(self, weir, role):
        """One that was told to stop is waited for: it would end under the hands of those who look at what recovered."""
        if any(step.startswith(f"tell_to_stop {weir.node} {role}") for step in self.steps) and weir.alive(role):
            deadline = time.monotonic() + 1 + self.mesh.lab.options["drain_seconds"]
            while weir.alive(role) and time.monotonic() < deadline:
                time.sleep(0.05)
