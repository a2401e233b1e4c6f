"""What a dialled address means, in each family: services, pods, oneself, outside, unknown, closed."""

import socket
import threading
import time

import pytest

import apps
from world import LENT, SERVICE, eventually, read_all

FAMILIES = ("v4", "v6", "mapped")
ECHOES = ("echo-1", "echo-2", "echo-3")


def seen(place, family):
    """The address by which an application should see a client that dialled in this family."""
    return place.v6 if family == "v6" else place.v4


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cluster_ip_leads_to_its_pods_which_see_the_clients_true_address(mesh, family):
    service = {"mapped": "::ffff:10.96.0.1"}.get(family) or SERVICE[family]
    answers = [mesh.alice.who(service, 80) for _ in range(48)]  # one of three is missed once in a million runs
    assert {a["pod"] for a in answers} == set(ECHOES)
    assert {a["client"] for a in answers} == {seen(mesh.alice, family)}
    entry = mesh.entry("node-1", reporter="source", source_pod="clients/alice", service="servers/echo", reason="none")
    assert entry["source"]["principal"] == "spiffe://cluster.local/ns/clients/sa/alice"
    assert entry["destination"]["principal"] == "spiffe://cluster.local/ns/servers/sa/echo"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pod_ip_leads_to_that_pod_on_another_node_over_mtls(mesh, family):
    with mesh.rises("node-1", "weir_tcp_connections_opened_total", 3, reporter="source"):
        answers = [mesh.alice.who(mesh.echo_2.address(family)) for _ in range(3)]
    assert [a["pod"] for a in answers] == ["echo-2"] * 3
    assert answers[0]["client"] == seen(mesh.alice, family) and answers[0]["local"] == seen(mesh.echo_2, family)
    assert mesh.entry("node-1", reporter="source", destination_pod="servers/echo-2")["security"] == "mtls"
    entry = mesh.entry("node-2", reporter="destination", source_pod="clients/alice")
    assert (entry["security"], entry["source"]["principal"]) == ("mtls", "spiffe://cluster.local/ns/clients/sa/alice")
    assert entry["source"]["address"].strip("[").startswith(seen(mesh.alice, family))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pod_ip_on_the_same_node_takes_one_pass_and_both_ends_report(mesh, family):
    answer = mesh.alice.who(mesh.echo_1.address(family))
    assert (answer["pod"], answer["client"]) == ("echo-1", seen(mesh.alice, family))
    for reporter in ("source", "destination"):
        entry = mesh.entry("node-1", reporter=reporter, destination_pod="servers/echo-1", source_pod="clients/alice")
        assert (entry["security"], entry["verdict"]) == ("local", "opened")


def test_the_clients_own_socket_says_it_is_connected_to_what_was_dialled(mesh):
    for family in ("v4", "v6"):
        with mesh.alice.connect(SERVICE[family], apps.ECHO) as connection:
            assert connection.getpeername()[:2] == (SERVICE[family], apps.ECHO)
            assert connection.getsockname()[0] == mesh.alice.address(family)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_address_outside_is_dialled_in_plain_tcp_from_the_pod(mesh, family):
    answer = mesh.alice.who(mesh.outsider.address(family))
    assert (answer["pod"], answer["client"]) == ("outsider", seen(mesh.alice, family))
    entry = mesh.entry("node-1", reporter="source", source_pod="clients/alice")
    assert (entry["security"], entry["reason"]) == ("none", "none")


@pytest.mark.parametrize("place", ["stranger", "remote"])
def test_a_pod_that_is_not_enrolled_is_reached_in_plain_tcp(mesh, place):
    answer = mesh.alice.who(mesh.pods[place].v4)
    assert (answer["pod"], answer["client"]) == (place, mesh.alice.v4)
    assert mesh.entry("node-1", destination_pod=f"bare/{place}")["security"] == "none"


def test_a_host_network_pod_and_a_node_are_passed_through(mesh):
    for address in mesh.lab.addresses("hostly"):
        answer = mesh.alice.who(address)
        assert answer["pod"] == "hostly" and answer["client"] in (mesh.alice.v4, mesh.alice.v6)
    assert mesh.entry("node-1", source_pod="clients/alice")["security"] == "none"


@pytest.mark.parametrize("address", ["10.244.2.199", "fd00:10:244:2::199", "10.96.7.7"])
def test_an_unknown_address_inside_the_clusters_ranges_is_refused_after_a_short_wait(mesh, address):
    begun = time.monotonic()
    with mesh.rises("node-1", "weir_tcp_connections_failed_total", reason="unknown_destination"):
        mesh.alice.fails(address, 80)
    assert time.monotonic() - begun < 4
    assert mesh.entry("node-1", reason="unknown_destination")["verdict"] == "failed"


def test_an_unknown_address_that_becomes_known_within_the_wait_is_served(mesh):
    result = []
    dial = threading.Thread(target=lambda: result.append(mesh.alice.who("10.96.0.77", 80)))
    dial.start()
    time.sleep(0.2)
    late = """
apiVersion: v1
kind: Service
metadata: {name: late, namespace: servers}
spec: {clusterIP: 10.96.0.77, ports: [{name: who, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: late, namespace: servers, labels: {kubernetes.io/service-name: late}}
addressType: IPv4
endpoints: [{addresses: [%s], conditions: {ready: true}}]
ports: [{name: who, port: %d}]
""" % (mesh.echo_2.v4, apps.WHO)
    mesh.lab.manifests.write_text("late.yaml", late)  # In one file, so that nobody sees the one without the other.
    dial.join(10)
    (mesh.lab.manifests.source / "late.yaml").unlink()
    assert result and result[0]["pod"] == "echo-2"


def test_a_port_that_a_service_does_not_have_is_refused(mesh):
    mesh.alice.fails(SERVICE["v4"], 81)
    mesh.entry("node-1", reason="unknown_port", verdict="failed")


def test_a_service_without_endpoints_refuses(mesh):
    mesh.alice.fails("10.96.0.3", 80)
    mesh.entry("node-1", reason="no_endpoint", service="servers/empty")


@pytest.mark.parametrize("service", ["10.96.0.2", "fd00:10:96::2"])
def test_a_service_may_choose_the_pod_that_dials_it(mesh, service):
    answer = mesh.echo_1.who(service, 80)
    assert (answer["pod"], answer["client"]) == ("echo-1", mesh.echo_1.address("v6" if ":" in service else "v4"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pod_reaches_itself_by_its_own_address_without_weir(mesh, family):
    answer = mesh.echo_1.who(mesh.echo_1.address(family))
    assert (answer["pod"], answer["client"]) == ("echo-1", seen(mesh.echo_1, family))
    mesh.alice.who(mesh.echo_1.v4)  # What is logged after it is logged after it.
    mesh.entry("node-1", source_pod="clients/alice")
    assert not mesh.entries("node-1", source_pod="servers/echo-1")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_containers_of_a_pod_talk_over_loopback_without_weir(mesh, address):
    answer = mesh.echo_1.who(address)
    assert answer["pod"] == "echo-1" and answer["client"] in ("127.0.0.1", "::1")
    mesh.alice.who(mesh.echo_1.v4)
    mesh.entry("node-1", source_pod="clients/alice")
    assert not mesh.entries("node-1", source_pod="servers/echo-1")


@pytest.mark.parametrize("server", ["echo_1", "echo_2"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_closed_port_looks_refused_to_an_enrolled_client(mesh, server, family):
    begun = time.monotonic()
    mesh.alice.fails(getattr(mesh, server).address(family), 7999)
    assert time.monotonic() - begun < 2
    mesh.entry("node-1", reporter="source", reason="refused")


@pytest.mark.parametrize("client", ["outsider", "stranger"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_closed_port_of_an_enrolled_pod_refuses_strangers_at_connect(mesh, client, family):
    begun = time.monotonic()
    assert getattr(mesh, client).fails(mesh.echo_2.address(family), 7999) == "refused"
    assert time.monotonic() - begun < 0.5


def test_a_service_whose_pods_all_refuse_is_refused(mesh):
    mesh.alice.fails("10.96.0.4", 80)
    mesh.entry("node-1", reason="refused", service="servers/closed")


def test_another_endpoint_is_tried_when_one_refuses(mesh):
    with mesh.echo_2.listen(LENT) as listener:  # echo-1 and echo-3 refuse this port.
        for _ in range(6):
            with mesh.alice.connect(SERVICE["v4"], LENT) as client, listener.accept()[0] as server:
                client.sendall(b"x")
                assert server.recv(1) == b"x"


def test_a_port_is_open_from_when_it_is_listened_on_until_it_no_longer_is(mesh):
    for family in ("v4", "v6"):
        address = mesh.echo_2.address(family)
        assert mesh.outsider.fails(address, LENT) == "refused"
        with mesh.echo_2.listen(LENT) as listener:
            with mesh.outsider.connect(address, LENT) as client, listener.accept()[0] as server:
                client.sendall(b"x")
                assert server.recv(1) == b"x"
        eventually(lambda: mesh.outsider.fails(address, LENT) == "refused", 2)


def test_a_stranger_reaches_an_enrolled_pod_and_is_seen_as_it_is(mesh):
    for client in (mesh.outsider, mesh.stranger):
        for family in FAMILIES:
            answer = client.who(mesh.echo_2.address(family))
            assert (answer["pod"], answer["client"]) == ("echo-2", seen(client, family))
    entry = mesh.entry("node-2", reporter="destination", destination_pod="servers/echo-2")
    assert (entry["security"], entry["source"]["principal"]) == ("none", "")


def test_a_kubelets_probe_goes_straight_to_the_application(mesh):
    done = mesh.lab.exec("node:node-2", ["curl", "-s", "-m", "2", f"telnet://{mesh.echo_2.v4}:{apps.WHO}"])
    assert '"pod": "echo-2"' in done.stdout, done
    mesh.alice.who(mesh.echo_2.v4)
    mesh.entry("node-2", source_pod="clients/alice")
    assert [e["source"]["pod"] for e in mesh.entries("node-2")] == ["clients/alice"]


def test_a_socket_bound_to_an_address_a_port_or_a_device_is_captured_like_any(mesh):
    device = [[socket.SOL_SOCKET, socket.SO_BINDTODEVICE, "eth0"]]
    for more in ({"bind": [mesh.alice.v4, 0]}, {"bind": ["0.0.0.0", 40404]}, {"options": device}):
        mesh.begin()
        assert mesh.alice.who(mesh.echo_2.v4, **more)["client"] == mesh.alice.v4
        assert mesh.entry("node-2", reporter="destination", source_pod="clients/alice")["security"] == "mtls"


def test_a_hundred_connections_at_once_all_come_through(mesh):
    connections = [mesh.alice.connect(SERVICE["v4"], apps.ECHO) for _ in range(100)]
    for number, connection in enumerate(connections):
        connection.sendall(b"%d" % number)
    for number, connection in enumerate(connections):
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == b"%d" % number
        connection.close()


MANY = """
import socket, sys, time
address, port, live, new = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
def ask(connection, text):
    connection.sendall(text)
    assert connection.recv(16) == text
held = [socket.create_connection((address, port)) for _ in range(live)]
for connection in held: ask(connection, b'held')
slow = []
for number in range(new):
    begun = time.monotonic()
    with socket.create_connection((address, port)) as connection: ask(connection, b'new')
    if time.monotonic() - begun > 0.7: slow.append(round(time.monotonic() - begun, 2))
for connection in held: ask(connection, b'held')
print(len(slow), max(slow, default=0))
"""


@pytest.mark.parametrize("client, live, new", [("alice", 1000, 1500), ("stranger", 1000, 1500)])
def test_many_live_connections_never_stall_a_new_one(mesh, client, live, new):
    """The ports of Weir's own sockets towards an application never meet those its client's kernel picks."""
    done = mesh.lab.exec(client, ["/usr/bin/python3", "-c", MANY, mesh.echo_2.v4, apps.ECHO, live, new], timeout=120)
    assert done.returncode == 0, done.stderr
    slow, longest = done.stdout.split()
    assert int(slow) <= new // 1000, f"{slow} of {new} new connections took more than 0.7 s, the longest {longest} s"
