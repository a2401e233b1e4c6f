"""Proxies and agents that are killed, drain, come back; files that are no good. Fail closed all the while."""

import os
import signal
import socket
import threading
import time

import pytest

import apps
from world import LENT, NODES, ending, eventually, read_exactly

MESH_OPTIONS = {"drain_seconds": 4}
SECRET = b"nobody-may-read-this-on-the-wire"
KILL = signal.SIGKILL


def restart(mesh, node, *roles):
    for role in roles:
        mesh.lab.weir(node).start(role)
    for role in roles:
        mesh.lab.weir(node).wait_ready(role)


class Later:
    """A call in a thread; `result()` waits for it."""

    def __init__(self, call, *arguments, **keywords):
        def run():
            try:
                self.value, self.error = call(*arguments, **keywords), None
            except Exception as error:
                self.error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def result(self, timeout=15):
        self.thread.join(timeout)
        assert not self.thread.is_alive(), "it still hangs"
        if self.error:
            raise self.error
        return self.value


@pytest.mark.parametrize("server", ["echo_1", "echo_2"])
def test_a_killed_proxy_is_a_reset_to_both_applications_and_never_a_clean_end(mesh, server):
    place = getattr(mesh, server)
    with place.listen() as listener, mesh.alice.connect(place.v4, LENT) as client, listener.accept()[0] as accepted:
        accepted.settimeout(30)
        for text in (b"half an answer", b""):
            accepted.sendall(text)
        assert read_exactly(client, 14) == b"half an answer"
        mesh.lab.weir("node-1").stop("proxy", KILL)
        try:
            assert ending(client) == "reset"
            assert ending(accepted) == "reset"
        finally:
            restart(mesh, "node-1", "proxy")
    assert eventually(lambda: mesh.alice.reaches(place.v4))


@pytest.mark.parametrize("node", NODES)
def test_connections_begun_while_the_proxy_is_down_wait_and_are_served_by_its_successor(mesh, node):
    mesh.alice.echo(mesh.echo_2.v4)
    with mesh.lab.sniff("node-1", ["tcp"]) as wire:
        mesh.lab.weir(node).stop("proxy", KILL)
        waiting = [Later(mesh.alice.echo, mesh.echo_2.v4, text=SECRET) for _ in range(10)]
        waiting += [Later(mesh.outsider.who, mesh.echo_2.v4)] if node == "node-2" else []
        time.sleep(1)
        assert all(w.thread.is_alive() for w in waiting), "somebody was served, or refused, with no proxy there"
        restart(mesh, node, "proxy")
        for each in waiting:
            each.result()
    assert not wire.holds(SECRET)


def test_a_proxy_that_weir_keep_starts_again_is_let_in_though_it_shares_its_cgroup(mesh, monkeypatch):
    weir = mesh.lab.weir("node-1")
    command = weir.proxy_command
    weir.stop("proxy")
    with monkeypatch.context() as patched:
        patched.setattr(weir, "proxy_command", lambda: [weir.program("weir-keep"), *command()])
        restart(mesh, "node-1", "proxy")
    try:
        assert eventually(lambda: mesh.alice.reaches(mesh.echo_2.v4))
        killed, = set(weir.cgroup("proxy").pids()) - {weir.pid("proxy")}
        os.kill(killed, KILL)
        Later(mesh.alice.echo, mesh.echo_2.v4).result()  # dialled meanwhile: it waits, and is served
        assert set(weir.cgroup("proxy").pids()) - {killed, weir.pid("proxy")}
    finally:
        weir.stop("proxy")
        restart(mesh, "node-1", "proxy")


def test_a_killed_agent_is_not_noticed_and_its_successor_adopts_what_runs(mesh):
    flow = mesh.alice.connect(mesh.echo_2.v4, apps.ECHO)
    for node in NODES:
        mesh.lab.weir(node).stop("agent", KILL)
    for _ in range(5):
        flow.sendall(b"still")
        assert read_exactly(flow, 5) == b"still"
        assert mesh.alice.reaches(mesh.echo_2.v4) and mesh.alice.reaches(mesh.echo_1.v4)
    with mesh.rises("node-1", "weir_tcp_connections_opened_total", 5, reporter="source"):
        for node in NODES:
            restart(mesh, node, "agent")
        for _ in range(5):
            mesh.alice.echo(mesh.echo_2.v4)
    flow.sendall(b"still")
    assert read_exactly(flow, 5) == b"still"
    flow.close()
    mesh.settle()  # What is written now reaches the proxies through the new agents.


def test_a_pod_added_while_the_agent_was_down_is_enrolled_when_it_is_back(mesh):
    mesh.lab.weir("node-2").stop("agent", KILL)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "born", "namespace": "servers"},
           "spec": {"nodeName": "node-2", "serviceAccountName": "born",
                    "containers": [dict(mesh.lab.pod("echo-1")["spec"]["containers"][0])]}}
    mesh.lab.add_pod(pod)
    address = mesh.lab.addresses("born")[0]
    restart(mesh, "node-2", "agent")
    mesh.meshed("born")
    eventually(lambda: mesh.alice.reaches(address))
    mesh.entry("node-1", destination_pod="servers/born", security="mtls")
    mesh.lab.remove_pod("born")


def test_a_pod_removed_while_the_agent_was_down_is_forgotten_when_it_is_back(mesh):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "gone", "namespace": "servers"},
           "spec": {"nodeName": "node-2", "serviceAccountName": "gone",
                    "containers": [dict(mesh.lab.pod("echo-1")["spec"]["containers"][0])]}}
    mesh.lab.add_pod(pod)
    address = mesh.lab.addresses("gone")[0]
    mesh.meshed("gone")
    mesh.lab.weir("node-2").stop("agent", KILL)
    mesh.lab.remove_pod("gone")
    restart(mesh, "node-2", "agent")
    eventually(lambda: "servers/gone" not in mesh.lab.announced())
    mesh.alice.fails(address, apps.WHO)


def test_with_neither_proxy_nor_agent_nothing_leaves_and_nothing_enters(mesh):
    mesh.alice.echo(mesh.echo_2.v4)
    for role in ("agent", "proxy"):
        mesh.lab.weir("node-1").stop(role, KILL)
    try:
        with mesh.lab.sniff("node-1", ["tcp"]) as wire:
            for address in (mesh.echo_2.v4, mesh.echo_2.v6, mesh.outsider.v4, mesh.echo_1.v4, "10.96.0.1"):
                assert mesh.alice.fails(address, apps.ECHO, timeout=3) == "refused"
            for client in (mesh.outsider, mesh.stranger):
                for address in (mesh.echo_1.v4, mesh.echo_1.v6):
                    assert client.fails(address, apps.ECHO, timeout=3) == "refused"
            assert mesh.stranger.reaches(mesh.remote.v4), "pods outside the mesh are not touched"
            assert mesh.echo_1.reaches("127.0.0.1")
        # To whom it was dialling: what was under way to a pod that has vanished may still be sent again, encrypted.
        dialled = f"(dst host {mesh.echo_2.v4} or dst host {mesh.outsider.v4})"
        assert not wire.packets(f"src host {mesh.alice.v4} and {dialled} and tcp[tcpflags] & tcp-push != 0")
    finally:
        restart(mesh, "node-1", "agent", "proxy")
    assert eventually(lambda: mesh.alice.reaches(mesh.echo_2.v4))
    assert eventually(lambda: mesh.outsider.reaches(mesh.echo_1.v4))


def test_a_rule_deleted_under_traffic_lets_nothing_out_and_is_mended(mesh):
    netns = mesh.lab.place("alice")[0]
    mesh.alice.echo(mesh.echo_2.v4)
    with mesh.lab.sniff("node-1", ["tcp"]) as wire:
        mesh.lab.exec("node:node-1", ["ip", "-n", netns, "rule", "del", "priority", "77"])
        end = time.monotonic() + 1
        served = 0
        while time.monotonic() < end:
            try:
                mesh.alice.echo(mesh.echo_2.v4, text=SECRET)
                served += 1
            except (OSError, AssertionError):
                pass
    assert not wire.holds(SECRET)
    assert eventually(lambda: mesh.alice.reaches(mesh.echo_2.v4)), "the agent puts the rule back"


def test_a_proxy_told_to_stop_serves_what_it_has_and_leaves_with_its_last_connection(mesh):
    flow = mesh.alice.connect(mesh.echo_2.v4, apps.ECHO)
    flow.sendall(b"before")
    assert read_exactly(flow, 6) == b"before"
    weir = mesh.lab.weir("node-1")
    weir.send_signal("proxy", signal.SIGTERM)
    time.sleep(0.5)
    late = Later(mesh.alice.echo, mesh.echo_2.v4)
    for _ in range(3):
        flow.sendall(b"during")
        assert read_exactly(flow, 6) == b"during"
        time.sleep(0.2)
    assert weir.alive("proxy")
    flow.shutdown(socket.SHUT_WR)
    assert ending(flow) == "fin"
    flow.close()
    eventually(lambda: not weir.alive("proxy"), 3)
    assert weir.reap("proxy") == 0
    restart(mesh, "node-1", "proxy")
    late.result()


def test_a_proxy_told_to_stop_ends_at_the_drain_limit_whoever_is_still_there(mesh):
    flow = mesh.alice.connect(mesh.echo_2.v4, apps.ECHO)
    flow.sendall(b"x")
    assert read_exactly(flow, 1) == b"x"
    weir, begun = mesh.lab.weir("node-1"), time.monotonic()
    code = weir.stop("proxy", signal.SIGTERM, timeout=8)
    assert 3 < time.monotonic() - begun < 7 and code == 0
    assert ending(flow) == "reset"
    flow.close()
    mesh.entry("node-1", reporter="source", reason="drain_limit")
    restart(mesh, "node-1", "proxy")


def agents_say(mesh, *words):
    """Whether `weirctl status` and the log of each agent say all of these words."""
    for node in NODES:
        weir = mesh.lab.weir(node)
        status, log = weir.weirctl("status").stdout, (weir.directory / "agent.log").read_text()
        assert all(w in status for w in words), status
        assert all(w in log for w in words), weir.log_tail("agent")


def test_a_bad_file_is_refused_whole_with_file_line_and_reason_and_all_else_goes_on(mesh):
    good_and_bad = ("apiVersion: v1\nkind: Service\nmetadata: {name: innocent, namespace: servers}\n"
                    "spec: {selector: {app: echo}, clusterIP: 10.96.0.66, ports: [{port: 80, targetPort: 7003}]}\n---\n"
                    "apiVersion: weir.dev/v1alpha1\nkind: PeerAuthentication\nmetadata: {name: typo, namespace: servers}\n"
                    "spec:\n  mode: Strickt\n")
    mesh.lab.manifests.write_text("bad.yaml", good_and_bad)
    try:
        eventually(lambda: agents_say(mesh, "bad.yaml:10", "spec.mode") is None, 5)
        assert mesh.alice.reaches(mesh.echo_2.v4)
        mesh.alice.fails("10.96.0.66", 80)  # Nothing of the file counts.
        mesh.lab.manifests.write_text("bad.yaml", good_and_bad.replace("Strickt", "Permissive"))
        assert eventually(lambda: mesh.alice.reaches("10.96.0.66", 80))
        for node in NODES:
            eventually(lambda: "bad.yaml" not in mesh.lab.weir(node).weirctl("status").stdout)
    finally:
        (mesh.lab.manifests.source / "bad.yaml").unlink()


def test_a_file_that_goes_bad_keeps_what_it_said_last(mesh):
    mesh.apply("AuthorizationPolicy", "deny", action="Deny", selector={"matchLabels": {"app": "echo"}},
               rules=[{"from": [{"principals": ["spiffe://cluster.local/ns/clients/sa/alice"]}]}])
    mesh.alice.fails(mesh.echo_2.v4, apps.WHO)
    mesh.lab.manifests.write_text("authorizationpolicy-servers-deny.yaml", "kind: [unclosed\n")
    eventually(lambda: agents_say(mesh, "authorizationpolicy-servers-deny.yaml:") is None, 5)
    mesh.alice.fails(mesh.echo_2.v4, apps.WHO)
    assert mesh.bob.reaches(mesh.echo_2.v4)
