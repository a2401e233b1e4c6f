"""What becomes of a byte stream: who may end it and how, who may stall, and that nothing is lost or held in memory."""

import hashlib
import socket
import threading
import time

import pytest

import apps
from world import LENT, ending, eventually, read_all, read_exactly, reset

# From a pod to a pod of another node (mTLS), of the same node (one pass), from outside in, and from inside out.
ROUTES = {"across": ("alice", "echo-2"), "same_node": ("alice", "echo-1"), "inwards": ("outsider", "echo-2"),
          "outwards": ("alice", "outsider")}
MIB = 1 << 20


@pytest.fixture(params=ROUTES)
def ends(mesh, request):
    """(client, server): the two applications' sockets of one connection on each route."""
    client_name, server_name = ROUTES[request.param]
    client_place = mesh.pods.get(client_name, mesh.outsider)
    server_place = mesh.pods.get(server_name, mesh.outsider)
    with server_place.listen() as listener:
        with client_place.connect(server_place.v4, LENT) as client:
            if request.param == "inwards":
                client.sendall(b"!")  # An unknown client to an unknown port speaks, or waits for the deadline.
            with listener.accept()[0] as server:
                server.settimeout(10)
                if request.param == "inwards":
                    assert read_exactly(server, 1) == b"!"
                yield client, server


def converse(client, server):
    for text in (b"ping", b"x" * 100_000):
        client.sendall(text)
        assert read_exactly(server, len(text)) == text
        server.sendall(text)
        assert read_exactly(client, len(text)) == text


def test_the_client_may_end_its_half_first(ends):
    client, server = ends
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert read_all(server) == b"question"
    time.sleep(0.2)  # The other half stays open for as long as it likes.
    server.sendall(b"answer")
    assert read_exactly(client, 6) == b"answer"
    server.shutdown(socket.SHUT_WR)
    assert ending(client) == "fin"


def test_the_server_may_end_its_half_first(ends):
    client, server = ends
    server.sendall(b"all I have to say")
    server.shutdown(socket.SHUT_WR)
    assert read_all(client) == b"all I have to say"
    time.sleep(0.2)
    client.sendall(b"but I have more")
    assert read_exactly(server, 15) == b"but I have more"
    client.shutdown(socket.SHUT_WR)
    assert ending(server) == "fin"


def test_both_may_close_at_once_in_order(ends):
    client, server = ends
    converse(client, server)
    client.shutdown(socket.SHUT_WR)
    server.shutdown(socket.SHUT_WR)
    assert (ending(client), ending(server)) == ("fin", "fin")


def test_a_reset_by_the_client_is_a_reset_at_the_server(mesh, ends):
    client, server = ends
    converse(client, server)
    reset(client)
    assert ending(server) == "reset"
    eventually(lambda: bool(mesh.entries("node-1", reason="client_reset") + mesh.entries("node-2", reason="client_reset")), 3)


def test_a_reset_by_the_server_is_a_reset_at_the_client(mesh, ends):
    client, server = ends
    converse(client, server)
    reset(server)
    assert ending(client) == "reset"
    eventually(lambda: bool(mesh.entries("node-1", reason="server_reset") + mesh.entries("node-2", reason="server_reset")), 3)


def test_a_reset_after_one_half_has_ended_is_still_a_reset(ends):
    client, server = ends
    converse(client, server)
    client.shutdown(socket.SHUT_WR)
    assert read_all(server) == b""
    server.sendall(b"partial answer")
    assert read_exactly(client, 14) == b"partial answer"
    reset(server)
    assert ending(client) == "reset"


@pytest.mark.parametrize("server", ["echo_1", "echo_2"])
def test_a_server_that_speaks_first_is_heard_without_delay(mesh, server):
    mesh.alice.echo(getattr(mesh, server).v4)  # The lane exists, as between workloads that talk.
    begun = time.monotonic()
    with mesh.alice.connect(getattr(mesh, server).v4, apps.BANNER) as connection:
        assert read_exactly(connection, len(apps.GREETING)) == apps.GREETING
        assert time.monotonic() - begun < 0.09, "below the detection deadline: nobody waited for the client to speak"
        connection.sendall(b"EHLO\r\n")
        assert read_exactly(connection, 6) == b"EHLO\r\n"


def test_a_server_that_speaks_first_is_heard_by_a_stranger_after_the_deadline_at_most(mesh):
    begun = time.monotonic()
    with mesh.outsider.connect(mesh.echo_2.v4, apps.BANNER) as connection:
        assert read_exactly(connection, len(apps.GREETING)) == apps.GREETING
        assert time.monotonic() - begun < 1


@pytest.mark.parametrize("server", ["echo_1", "echo_2", "outsider"])
def test_bulk_data_arrives_whole_in_both_directions(mesh, server):
    address, count = getattr(mesh, server).v4, 64
    with mesh.alice.connect(address, apps.SINK) as connection:
        for _ in range(count):
            connection.sendall(apps.PATTERN)
        connection.shutdown(socket.SHUT_WR)
        told = read_all(connection).decode().split()
    digest = hashlib.sha256(apps.PATTERN * count).hexdigest()
    assert told == [str(count * MIB), digest]
    with mesh.alice.connect(address, apps.SOURCE) as connection:
        connection.sendall(b"%d\n" % count)
        assert hashlib.sha256(read_all(connection)).hexdigest() == digest
    if server == "echo_2":
        entry = mesh.entry("node-2", reporter="destination", bytes_received=count * MIB)
        assert entry["reason"] == "none" and entry["bytes_sent"] == len(b"%d\n" % count)


class Sender(threading.Thread):
    """Sends so many MiB of the pattern, as fast as it may; `sent` tells how far it is."""

    def __init__(self, connection, mebibytes):
        super().__init__(daemon=True)
        self.connection, self.mebibytes, self.sent, self.moved = connection, mebibytes, 0, time.monotonic()

    def run(self):
        view = memoryview(apps.PATTERN)
        self.connection.settimeout(120)
        try:
            for _ in range(self.mebibytes):
                done = 0
                while done < MIB:
                    count = self.connection.send(view[done:done + 65536])
                    done, self.sent, self.moved = done + count, self.sent + count, time.monotonic()
            self.connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # What became of the connection is for the test to say, by what was received.

    def stalled(self):
        return time.monotonic() - self.moved > 1


@pytest.mark.parametrize("server_name", ["echo_1", "echo_2"])
def test_a_gibibyte_to_a_stalled_reader_waits_in_bounded_memory_and_then_arrives(mesh, server_name):
    server_place, mebibytes = getattr(mesh, server_name), 1024
    rest = {node: mesh.lab.weir(node).resident_kib() for node in ("node-1", "node-2")}
    quarantine = mesh.lab.weir("node-1").quarantine_kib()
    with server_place.listen() as listener, mesh.alice.connect(server_place.v4, LENT) as client:
        with listener.accept()[0] as server:
            sender = Sender(client, mebibytes)
            sender.start()
            eventually(sender.stalled, 20)
            assert sender.sent < 64 * MIB, "somebody reads what the application does not"
            # Neighbours on the same lane go on as if nothing were.
            assert mesh.alice.echo(server_place.v4, text=b"y" * 200_000) < 2
            for node, kib in rest.items():
                assert mesh.lab.weir(node).resident_kib() - kib < 24 * 1024 + quarantine
            server.settimeout(60)
            received, digest, peak = 0, hashlib.sha256(), 0
            while data := server.recv(MIB):
                received += len(data)
                digest.update(data)
                if received % (64 * MIB) < len(data):
                    peak = max([peak] + [mesh.lab.weir(n).resident_kib() - kib for n, kib in rest.items()])
            sender.join(10)
    expected = hashlib.sha256()
    for _ in range(mebibytes):
        expected.update(apps.PATTERN)
    assert (received, digest.hexdigest()) == (mebibytes * MIB, expected.hexdigest())
    assert peak < 48 * 1024 + quarantine, f"{peak} KiB more than at rest while a gibibyte went through"


def probed(mesh, pod, *filters):
    """Of the proxy's connections in a pod, with this filter of ss: how each waits for a sign of life; "" if it does not."""
    lines = mesh.lab.exec(pod, ["ss", "-Htno", "state", "established", *filters]).stdout.splitlines()
    return ["timer:(keepalive" if "timer:(keepalive" in line else "" for line in lines]


@pytest.mark.parametrize("direction", ["inwards", "outwards"])
def test_a_plain_peer_that_may_be_gone_is_probed(mesh, direction):
    client, server = (mesh.outsider, mesh.echo_2) if direction == "inwards" else (mesh.alice, mesh.outsider)
    with server.listen() as listener, client.connect(server.v4, LENT) as end:
        end.sendall(b"!")
        with listener.accept()[0] as accepted:
            assert read_exactly(accepted, 1) == b"!"
            if direction == "inwards":
                waits = probed(mesh, "echo-2", "dst", mesh.outsider.v4, "sport", f"= :{LENT}")
            else:  # the proxy's own beside the application's, which are both here
                waits = probed(mesh, "alice", "dst", mesh.outsider.v4, "dport", f"= :{LENT}")
            assert "timer:(keepalive" in waits, waits


def test_a_reader_outside_that_does_not_read_for_long_is_there_all_the_same(mesh):
    with mesh.outsider.listen() as listener, mesh.alice.connect(mesh.outsider.v4, LENT) as client:
        with listener.accept()[0] as server:
            sender = Sender(client, 32)
            sender.start()
            eventually(sender.stalled, 20)
            time.sleep(25)  # beyond what finds a dead proxy: a window that stays shut is a sign of life
            server.settimeout(60)
            received = 0
            while data := server.recv(MIB):
                received += len(data)
            sender.join(10)
    assert received == 32 * MIB


def test_a_reader_that_stalls_and_goes_away_leaves_nothing_behind(mesh):
    with mesh.echo_2.listen() as listener, mesh.alice.connect(mesh.echo_2.v4, LENT) as client:
        server = listener.accept()[0]
        sender = Sender(client, 64)
        sender.start()
        eventually(sender.stalled, 20)
        with pytest.raises(OSError):
            reset(server)
            client.settimeout(5)
            while True:
                client.send(b"x")
                time.sleep(0.01)
    mesh.entry("node-1", reason="server_reset")


def test_an_application_killed_with_live_connections_resets_them(mesh):
    script = ("import socket,time; s=socket.create_server(('0.0.0.0',7200)); print('listens',flush=True); "
              "c=s.accept()[0]; c.recv(1); print('has read',flush=True); time.sleep(60)")
    server = mesh.lab.popen("echo-2", ["/usr/bin/python3", "-c", script], stdout=-1)
    assert server.stdout.readline() == b"listens\n"
    client = mesh.alice.connect(mesh.echo_2.v4, 7200)
    client.sendall(b"1234")  # Three bytes stay unread: the kernel then ends the connection with RST.
    assert server.stdout.readline() == b"has read\n"
    server.kill()
    server.wait()
    server.stdout.close()
    assert ending(client) == "reset"
    client.close()


def test_a_server_without_reuseaddr_listens_again_though_clients_go_on_dialling(mesh):
    port = LENT + 1  # Of no other test: what those leave in TIME_WAIT would be in the way, as without a mesh.

    def listen():
        return mesh.echo_2.borrow(5, family="v6", bind=["::", port], listen=16, reuse=0)

    listener = listen()
    with mesh.alice.connect(mesh.echo_2.v4, port) as client:
        served = listener.accept()[0]
        listener.close()
        client.close()  # First: TIME_WAIT would be the application's own otherwise.
        assert served.recv(1) == b""
        served.close()
    # The lane stays on the port, as idle as it may be for a minute; whoever dials learns that nobody is there.
    assert mesh.alice.fails(mesh.echo_2.v4, port) == "reset"
    with eventually(listen, 2) as listener:
        with mesh.alice.connect(mesh.echo_2.v4, port):
            listener.settimeout(5)
            listener.accept()[0].close()


def test_a_client_that_closes_first_has_its_ports_back_a_second_later(mesh):
    # As over loopback, where the kernel gives them back though they are in TIME_WAIT for a minute.
    setting = ["nsenter", f"--net=/run/netns/{mesh.lab.place('alice')[0]}", "sysctl", "-q"]
    name = "net.ipv4.ip_local_port_range"
    before = mesh.lab.exec("node:node-1", [*setting, "-n", name]).stdout.strip()
    mesh.lab.exec("node:node-1", [*setting, "-w", f"{name}=41000 41099"])
    try:
        for _ in range(3):
            for _ in range(60):
                mesh.alice.echo(mesh.echo_2.v4)  # our end is the first
            time.sleep(2.1)
    finally:
        mesh.lab.exec("node:node-1", [*setting, "-w", f"{name}={before}"])
