"""PeerAuthentication: who may come in plaintext, at which level it is said, and what is on the wire in each mode."""

import ssl
import threading

import pytest

import apps
from certificates import self_signed
from world import LENT, eventually, read_exactly

SECRET = b"the-secret-that-must-not-be-seen"
ECHO_PODS = {"matchLabels": {"app": "echo"}}


def refused_as_plaintext(mesh, client, server, port=apps.WHO):
    """The client speaks plaintext and is refused for that; the destination's log says so."""
    mesh.begin()
    client.fails(server.v4, port)
    node = "node-1" if server is mesh.echo_1 else "node-2"
    mesh.entry(node, reporter="destination", reason="plaintext_refused", verdict="failed")


def seen_on_the_wire(mesh, client, server, port=apps.ECHO):
    """Whether the payload of an echo from client to server can be read between the nodes."""
    with mesh.lab.sniff("node-1", ["tcp"]) as wire:
        client.echo(server.v4, port, text=SECRET)
    assert wire.packets(f"host {server.v4}"), "nothing was captured: the test does not see the wire"
    return wire.holds(SECRET)


def test_permissive_is_the_default_and_takes_both(mesh):
    assert mesh.outsider.reaches(mesh.echo_2.v4) and mesh.stranger.reaches(mesh.echo_2.v4)
    assert not seen_on_the_wire(mesh, mesh.alice, mesh.echo_2)
    assert seen_on_the_wire(mesh, mesh.stranger, mesh.echo_2), "plaintext is seen where there is some"


def test_strict_refuses_plaintext_and_takes_mtls_and_the_same_node(mesh):
    mesh.apply("PeerAuthentication", "all", mode="Strict")
    for client in (mesh.outsider, mesh.stranger, mesh.remote, mesh.hostly):
        refused_as_plaintext(mesh, client, mesh.echo_2)
        refused_as_plaintext(mesh, client, mesh.echo_1)
    assert mesh.alice.reaches(mesh.echo_2.v4) and mesh.alice.reaches(mesh.echo_1.v4)
    assert not seen_on_the_wire(mesh, mesh.alice, mesh.echo_2)
    # A probe comes from the host itself, which needs no identity.
    done = mesh.lab.exec("node:node-2", ["curl", "-s", "-m", "2", f"telnet://{mesh.echo_2.v4}:{apps.WHO}"])
    assert '"pod": "echo-2"' in done.stdout


def test_disabled_speaks_and_takes_plaintext(mesh):
    mesh.apply("PeerAuthentication", "all", mode="Disabled")
    assert seen_on_the_wire(mesh, mesh.alice, mesh.echo_2)
    assert mesh.outsider.reaches(mesh.echo_2.v4)
    assert mesh.alice.who(mesh.echo_2.v4)["client"] == mesh.alice.v4
    assert mesh.entry("node-2", reporter="destination", source_pod="clients/alice")["security"] == "none"


@pytest.mark.parametrize("mode", ["Strict", "Permissive", "Disabled"])
def test_an_enrolled_client_reaches_what_is_outside_in_every_mode(mesh, mode):
    mesh.apply("PeerAuthentication", "all", "clients", mode=mode)
    assert seen_on_the_wire(mesh, mesh.alice, mesh.outsider)
    assert mesh.alice.who(mesh.remote.v4)["client"] == mesh.alice.v4
    assert mesh.entry("node-1", destination_pod="bare/remote")["security"] == "none"


@pytest.mark.parametrize("mode", ["Strict", "Permissive", "Disabled"])
def test_the_same_node_is_served_in_every_mode(mesh, mode):
    mesh.apply("PeerAuthentication", "all", mode=mode)
    assert mesh.alice.who(mesh.echo_1.v4)["client"] == mesh.alice.v4
    assert mesh.bob.echo(mesh.echo_1.v4) < 2


def test_a_mode_for_the_mesh_binds_every_namespace(mesh):
    mesh.apply("PeerAuthentication", "mesh", "weir-system", mode="Strict")
    refused_as_plaintext(mesh, mesh.outsider, mesh.echo_2)
    mesh.begin()
    mesh.outsider.fails(mesh.alice.v4, apps.WHO)
    mesh.entry("node-1", reporter="destination", reason="plaintext_refused", destination_pod="clients/alice")


def test_a_namespace_wins_over_the_mesh_and_a_workload_over_its_namespace(mesh):
    mesh.apply("PeerAuthentication", "mesh", "weir-system", mode="Strict")
    mesh.apply("PeerAuthentication", "all", mode="Permissive")
    assert mesh.outsider.reaches(mesh.echo_2.v4)
    mesh.outsider.fails(mesh.alice.v4, apps.WHO)
    mesh.apply("PeerAuthentication", "first", selector={"matchLabels": {"first": "yes"}}, mode="Strict")
    refused_as_plaintext(mesh, mesh.outsider, mesh.echo_1)
    assert mesh.outsider.reaches(mesh.echo_2.v4)


def test_a_port_wins_over_its_workload(mesh):
    mesh.apply("PeerAuthentication", "ports", selector=ECHO_PODS, mode="Strict", ports={apps.ECHO: "Permissive"})
    refused_as_plaintext(mesh, mesh.outsider, mesh.echo_2)
    mesh.outsider.echo(mesh.echo_2.v4, apps.ECHO)
    mesh.apply("PeerAuthentication", "ports", selector=ECHO_PODS, mode="Permissive", ports={apps.ECHO: "Strict"})
    refused_as_plaintext(mesh, mesh.outsider, mesh.echo_2, apps.ECHO)
    assert mesh.outsider.reaches(mesh.echo_2.v4)


def test_a_disabled_port_is_plaintext_beside_ports_that_are_not(mesh):
    mesh.apply("PeerAuthentication", "ports", selector=ECHO_PODS, ports={apps.BANNER: "Disabled"})
    with mesh.lab.sniff("node-1", ["tcp"]) as wire:
        with mesh.alice.connect(mesh.echo_2.v4, apps.BANNER) as connection:
            assert read_exactly(connection, len(apps.GREETING)) == apps.GREETING
    assert wire.holds(apps.GREETING)
    assert not seen_on_the_wire(mesh, mesh.alice, mesh.echo_2)


def test_modes_change_while_traffic_runs_and_nothing_new_slips_through(mesh):
    assert mesh.outsider.reaches(mesh.echo_2.v4)
    mesh.apply("PeerAuthentication", "all", mode="Strict")
    for _ in range(5):
        refused_as_plaintext(mesh, mesh.outsider, mesh.echo_2)
    mesh.apply("PeerAuthentication", "all", mode="Permissive")
    assert eventually(lambda: mesh.outsider.reaches(mesh.echo_2.v4))


@pytest.mark.parametrize("client", ["alice", "outsider"])
def test_an_applications_own_tls_passes_untouched(mesh, client):
    certificate, key = self_signed("https://example.org")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)
    server_side.set_alpn_protocols(["h2", "http/1.1"])
    client_side = ssl.create_default_context(cafile=certificate)
    client_side.check_hostname = False
    client_side.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client_side.set_alpn_protocols(["http/1.1"])

    def serve(listener):
        with server_side.wrap_socket(listener.accept()[0], server_side=True) as connection:
            connection.sendall(connection.recv(100).upper())

    with mesh.echo_2.listen() as listener:
        server = threading.Thread(target=serve, args=(listener,), daemon=True)
        server.start()
        with client_side.wrap_socket(getattr(mesh, client).connect(mesh.echo_2.v4, LENT)) as connection:
            connection.sendall(b"over its own tls")
            assert connection.recv(100) == b"OVER ITS OWN TLS"
            assert connection.selected_alpn_protocol() == "http/1.1"
        server.join(5)


def test_an_applications_own_tls_from_a_stranger_is_plaintext_to_strict(mesh):
    mesh.apply("PeerAuthentication", "all", mode="Strict")
    mesh.begin()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(OSError):
        context.wrap_socket(mesh.outsider.connect(mesh.echo_2.v4, apps.ECHO)).recv(1)
    mesh.entry("node-2", reason="plaintext_refused", verdict="failed")
