"""A proxy, an agent or both are replaced while they work: nobody is reset, refused or left without an answer.

The successor gets the same listeners from the agent and is ready before its predecessor is told to stop; that one takes no
new work, serves what it has, and stays until its last connection ends or its drain limit. `WEIR_REPLACEMENTS`: how often.
"""

import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import hpack
import pytest

import apps
import h2_frames as h2
from h2_frames import END_HEADERS, END_STREAM, PREFACE, Reader, frame, number, request_head
from http_world import H2, WEB, WEB_V2, HttpMesh, do, eventually, weir_only
from world import NODES, REPOSITORY, read_exactly

MESH = HttpMesh
MESH_OPTIONS = {"drain_seconds": 300, "workers": 2, "agent_flags": ["--take-over"]}
pytestmark = weir_only
TIMES = int(os.environ.get("WEIR_REPLACEMENTS", "20"))
LONG_LIVED, CONNECTIONS, STREAMS, NEW_PER_SECOND = 500, 10, 20, 500
REFUSED_STREAM = 7


class LongLived:
    """Connections that say something now and then, for as long as it lasts."""

    def __init__(self, mesh, failures):
        self.failures, self.over, self.turns = failures, threading.Event(), 0
        servers = [mesh.web_1.v4, mesh.web_2.v4, mesh.web_3.v6, mesh.web_2.v6, mesh.web_3.v4]
        self.connections = [c for server in servers
                            for c in mesh.alice.connect_many(LONG_LIVED // len(servers), server, apps.ECHO)]
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            for number_of, connection in enumerate(self.connections):
                try:
                    connection.sendall(b"still?")
                    read_exactly(connection, 6)
                except (OSError, AssertionError) as error:
                    self.failures.append(f"long-lived connection {number_of}: {error!r}")
                    return
            self.turns += 1

    def end(self):
        self.over.set()
        self.thread.join()
        for connection in self.connections:
            connection.close()


class Streams:
    """Requests over HTTP/2, so many at once on a connection; GOAWAY is obeyed, and what it left undone is asked again."""

    def __init__(self, mesh, failures, service):
        self.mesh, self.failures, self.service = mesh, failures, service
        self.over, self.served, self.goaways = threading.Event(), 0, 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            try:
                with self.mesh.bob.connect(*self.mesh.address(self.service, H2)) as connection:
                    self.talk(connection)
            except (OSError, AssertionError) as error:
                self.failures.append(f"HTTP/2: {error!r}")
                return

    def talk(self, connection):
        connection.sendall(PREFACE + h2.settings() + frame(h2.WINDOW_UPDATE, 0, 0, number(1 << 30)))
        reader, decoder, opened, last, leaving = Reader(connection), hpack.Decoder(), set(), -1, False
        ask = request_head(fields=do(sleep=0.2))
        while opened or not (leaving or self.over.is_set()):
            while not leaving and not self.over.is_set() and len(opened) < STREAMS:
                last += 2
                connection.sendall(frame(h2.HEADERS, END_HEADERS | END_STREAM, last, ask))
                opened.add(last)
            for kind, flags, stream, payload in self.frames_until_it_leaves(reader, lambda: leaving and not opened):
                if kind in (h2.SETTINGS, h2.PING) and not flags & h2.ACK:
                    connection.sendall(frame(kind, h2.ACK, 0, payload if kind == h2.PING else b""))
                elif kind == h2.GOAWAY:
                    leaving, self.goaways = True, self.goaways + 1
                    assert not any(payload[4:8]), f"GOAWAY with an error: {payload!r}"
                    opened = {s for s in opened if s <= int.from_bytes(payload[:4], "big")}
                elif kind == h2.RST_STREAM:
                    assert payload == number(REFUSED_STREAM), f"stream {stream} was reset: {payload!r}"
                    opened.discard(stream)
                elif kind == h2.HEADERS:
                    fields = dict(decoder.decode(payload))
                    assert fields.get(":status", "200") == "200", (fields, stream)
                if kind in (h2.HEADERS, h2.DATA) and flags & END_STREAM:
                    opened.discard(stream)
                    self.served += 1

    @staticmethod
    def frames_until_it_leaves(reader, may_leave):
        """The end of the connection is in order after GOAWAY and the last answer."""
        try:
            yield from reader.frames(1)
        except ConnectionResetError:
            if not may_leave():
                raise

    def end(self):
        self.over.set()
        self.thread.join()


class Newcomers:
    def __init__(self, mesh, failures):
        self.failures = failures
        program = REPOSITORY / "tests/netns/newcomers.py"
        self.process = mesh.lab.popen("carol", [sys.executable, program, mesh.web_2.v4, apps.ECHO, NEW_PER_SECOND],
                                      stdout=subprocess.PIPE, text=True)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=30)
        *failed, last = said.splitlines()
        self.failures.extend(f"newcomer: {line}" for line in failed)
        self.served = int(last.removeprefix("served "))


def unhappy(mesh):
    """What the proxies say of connections that did not end well."""
    return [(node, e["time"], e["source"]["pod"], e["reporter"], e["reason"], e.get("explanation"), e["duration_ms"])
            for node in NODES for e in mesh.entries(node) if e["reason"] != "none"][:20]


def drained(mesh, replaced):
    """The predecessors are gone, and ended well."""
    for node, (pid, cgroup, child) in replaced:
        eventually(lambda: not cgroup.pids(), 20)
        assert child.wait(5) == 0, f"the proxy {pid} of {node} did not end well"


def test_a_proxy_is_replaced_many_times_in_a_row_and_nobody_notices(mesh):
    failures, replaced = [], []
    with contextlib.ExitStack() as ends:
        crowd = [LongLived(mesh, failures), Newcomers(mesh, failures)]
        # Also where there is no other endpoint that could answer instead.
        streams = [Streams(mesh, failures, (WEB, WEB_V2)[n % 2]) for n in range(CONNECTIONS)]
        crowd += streams
        for one in crowd:
            ends.callback(one.end)
        time.sleep(1)
        for turn in range(TIMES):
            node = NODES[turn % 2]
            replaced.append((node, mesh.lab.weir(node).replace_proxy()))
            assert not failures, f"at replacement {turn + 1}, of {node}: {failures[:5]}"
        seen = crowd[0].turns
        eventually(lambda: crowd[0].turns > seen + 1, 30)
        alive = [node for node, (_, cgroup, _) in replaced if cgroup.pids()]
        assert "node-1" in alive and "node-2" in alive, "who held the long-lived connections has left them"
    assert not failures, (failures[:5], unhappy(mesh))
    assert all(s.goaways and s.served > s.goaways for s in streams), [(s.served, s.goaways) for s in streams]
    assert crowd[1].served > TIMES * 10
    drained(mesh, replaced)


def test_a_restarted_agent_takes_in_both_proxies_while_one_replaces_the_other(mesh):
    flow = mesh.alice.connect(mesh.web_2.v4, apps.ECHO)
    flow.sendall(b"x")
    assert read_exactly(flow, 1) == b"x"
    weir = mesh.lab.weir("node-1")
    replaced = weir.replace_proxy()
    weir.stop("agent", signal.SIGKILL)
    weir.start("agent")
    weir.wait_ready("agent")
    assert mesh.alice.echo(mesh.web_3.v4) < 5
    mesh.apply("AuthorizationPolicy", "nobody", selector={"matchLabels": {"app": "web"}}, action="Deny",
               rules=[{"from": [{"namespaces": ["clients"]}]}])
    with pytest.raises((ConnectionResetError, BrokenPipeError, AssertionError)):  # the old proxy hears of it too
        for _ in range(50):
            flow.sendall(b"x")
            assert read_exactly(flow, 1) == b"x"
            time.sleep(0.1)
    flow.close()
    drained(mesh, [("node-1", replaced)])


def test_a_successor_that_dies_leaves_its_predecessor_at_work(mesh):
    weir = mesh.lab.weir("node-2")
    flow = mesh.alice.connect(mesh.web_2.v4, apps.ECHO)
    pid, turn = weir.pid("proxy"), weir.turn("proxy")
    _, _, child = weir.start_beside("proxy")
    weir.stop("proxy", signal.SIGKILL)
    weir.record["proxy_turn"], weir.record["proxy_pid"], weir.children["proxy"] = turn, pid, child
    for _ in range(20):
        mesh.alice.echo(mesh.web_2.v4)
    flow.sendall(b"still")
    assert read_exactly(flow, 5) == b"still"
    flow.close()
    weir.stop("proxy")  # the administration socket went with the one that died
    weir.start("proxy")
    weir.wait_ready("proxy")


def test_an_agent_hands_its_node_over_and_takes_it_back_when_its_successor_dies(mesh):
    weir = mesh.lab.weir("node-1")
    flow = mesh.alice.connect(mesh.web_2.v4, apps.ECHO)
    turn, (pid, cgroup, child) = weir.turn("agent"), weir.start_beside("agent")
    mesh.settle()  # what is written now reaches the proxy through the new one
    assert cgroup.pids() == [pid], "the predecessor has ended; whatever restarts it would take the node back"
    assert mesh.alice.echo(mesh.web_2.v4) < 5
    weir.stop("agent", signal.SIGKILL)
    weir.record["agent_turn"], weir.record["agent_pid"], weir.children["agent"] = turn, pid, child
    weir.wait_ready("agent", 20)
    mesh.settle()
    flow.sendall(b"still")
    assert read_exactly(flow, 5) == b"still"
    flow.close()


def test_a_node_whose_pod_is_deleted_keeps_its_listeners_for_the_next(mesh, monkeypatch):
    """Both processes are told to end at once, and the next two start a second later, the agent first: nobody is refused."""
    weir = mesh.lab.weir("node-1")
    command = weir.agent_command
    monkeypatch.setattr(weir, "agent_command", lambda: [*command(), "--linger", "20s"])
    os.kill(weir.start_beside("agent")[0], signal.SIGTERM)
    mesh.settle()
    old, proxy = weir.cgroup("agent"), weir.cgroup("proxy")
    for role in ("agent", "proxy"):
        os.kill(weir.pid(role), signal.SIGTERM)
    eventually(lambda: not proxy.pids(), 10)
    with concurrent.futures.ThreadPoolExecutor(12) as beside:
        waiting = [beside.submit(mesh.alice.echo, mesh.web_2.v4) for _ in range(10)]
        time.sleep(1)
        assert old.pids() and not any(one.done() for one in waiting), "refused, as nobody holds the listeners"
        agent = beside.submit(weir.start_beside, "agent", 30)
        time.sleep(1)
        assert old.pids(), "it handed over what no proxy could give its successor"
        weir.start_beside("proxy")
        agent.result(30)
        for one in waiting:
            one.result(20)
    eventually(lambda: not old.pids(), 10)
    mesh.settle()


def test_a_node_is_upgraded_as_a_pod_is_surged_and_nobody_notices(mesh):
    """Agent and proxy start beside the old two, in either order; when both are ready the old two are told to stop."""
    failures = []
    with contextlib.ExitStack() as ends:
        crowd = [LongLived(mesh, failures), Newcomers(mesh, failures), Streams(mesh, failures, WEB)]
        for one in crowd:
            ends.callback(one.end)
        for turn, node in enumerate((*NODES, *NODES)):
            weir = mesh.lab.weir(node)
            old = [(node, weir.start_beside(role)) for role in (("agent", "proxy"), ("proxy", "agent"))[turn // 2]]
            for _, (pid, _, _) in old:
                os.kill(pid, signal.SIGTERM)
            seen = crowd[0].turns
            eventually(lambda: crowd[0].turns > seen + 1, 30)
            assert not failures, f"at node {node}: {failures[:5]}, {unhappy(mesh)}"
    assert not failures, (failures[:5], unhappy(mesh))
    mesh.settle()


def pinned(weir):
    return sorted(str(entry) for entry in (weir.directory / "bpf").glob("v*/*"))


def schemas(weir):
    return sorted(entry.name for entry in (weir.directory / "bpf").glob("v*"))


def test_a_node_is_upgraded_and_downgraded_between_schemas_of_pins_and_nobody_notices(mesh, monkeypatch):
    """As a surge, with programs and maps that neither version can read of the other's: both are attached until every pod
    has gone over. The pods' enrolment is never without one of the two (a sniffer in the histories would see it)."""
    failures = []
    with contextlib.ExitStack() as ends:
        crowd = [LongLived(mesh, failures), Newcomers(mesh, failures), Streams(mesh, failures, WEB)]
        for one in crowd:
            ends.callback(one.end)
        for turn, (node, schema) in enumerate((node, schema) for schema in (2, 1) for node in NODES):
            weir = mesh.lab.weir(node)
            before = schemas(weir)
            command = type(weir).agent_command
            monkeypatch.setattr(weir, "agent_command", lambda w=weir, n=schema: [*command(w), "--pin-schema", n])
            old = [weir.start_beside(role) for role in (("agent", "proxy"), ("proxy", "agent"))[turn % 2]]
            for pid, _, _ in old:
                os.kill(pid, signal.SIGTERM)
            eventually(lambda w=weir, n=schema: schemas(w) == [f"v{n}"], 20)
            assert before != schemas(weir)
            seen = crowd[0].turns
            eventually(lambda: crowd[0].turns > seen + 1, 30)
            assert not failures, f"at node {node}: {failures[:5]}, {unhappy(mesh)}"
    assert not failures, (failures[:5], unhappy(mesh))
    mesh.settle()
    for node in NODES:
        assert json.loads(mesh.lab.weir(node).admin("agent", "/check"))["ok"]


def test_an_agent_of_another_schema_that_cannot_start_leaves_what_captures(mesh):
    weir = mesh.lab.weir("node-1")
    pins = pinned(weir)
    command = [*weir.agent_command(), "--pin-schema", "7", "--node-netns", "/nowhere"]
    weir.stop("agent", signal.SIGKILL)
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "/nowhere" in done.stderr
    assert pinned(weir) == pins
    assert mesh.alice.echo(mesh.web_2.v4) < 5
    weir.start("agent")
    weir.wait_ready("agent")
    mesh.settle()
