"""Who somebody is decides, not where: reused addresses, wrong, missing and foreign certificates."""

import copy
import json
import signal
import ssl
import threading
import time

import pytest

import apps
from certificates import ALICE, root_of, self_signed, signed
from world import LENT, NODES, Place, ending, eventually

def speaks_weir(client, server, certificate=None, key=None):
    """Dials as a proxy would, with this certificate. Whether the other proxy takes it: then it sends its SETTINGS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["weir/1"])
    if certificate:
        context.load_cert_chain(certificate, key)
    try:  # A refusal comes after the client's own Finished: at the first read.
        with context.wrap_socket(client.connect(server.v4, apps.ECHO)) as connection:
            return connection.recv(1) != b""
    except (ssl.SSLError, ConnectionResetError):
        return False


def test_a_weir_peer_without_a_certificate_is_refused(mesh):
    assert not speaks_weir(mesh.outsider, mesh.echo_2)
    mesh.entry("node-2", reporter="destination", reason="client_certificate_required", verdict="failed")


def test_a_self_signed_copy_of_an_identity_is_refused(mesh):
    assert not speaks_weir(mesh.outsider, mesh.echo_2, *self_signed())
    mesh.entry("node-2", reporter="destination", reason="certificate_untrusted", verdict="failed")


@pytest.mark.parametrize("names, ends, reason", [
    ([ALICE], "20210101000000Z", "certificate_expired"),
    (["spiffe://elsewhere.example/ns/clients/sa/alice"], None, "trust_domain"),
    ([ALICE, "spiffe://cluster.local/ns/clients/sa/bob"], None, "certificate_malformed"),
    (["spiffe://cluster.local/ns/clients/sa/Alice/"], None, "certificate_malformed")])
def test_a_certificate_of_our_own_root_that_is_not_right_is_refused(mesh, names, ends, reason):
    certificate = signed(root_of(mesh), *names, **({"ends": ends} if ends else {}))
    assert not speaks_weir(mesh.outsider, mesh.echo_2, *certificate)
    mesh.entry("node-2", reporter="destination", reason=reason, verdict="failed")


def test_a_certificate_of_our_own_root_that_is_right_is_taken(mesh):
    """The control of the tests above: they would pass for nothing if everything were refused."""
    assert speaks_weir(mesh.outsider, mesh.echo_2, *signed(root_of(mesh), ALICE))


def test_a_handshake_that_is_none_is_refused_and_never_reaches_the_application(mesh):
    with mesh.echo_2.listen() as listener:
        listener.settimeout(1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["weir/1"])
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        half = context.wrap_bio(incoming, outgoing, server_hostname="x")
        with pytest.raises(ssl.SSLWantReadError):
            half.do_handshake()
        with mesh.outsider.connect(mesh.echo_2.v4, LENT) as connection:
            connection.sendall(outgoing.read() + b"\x17\x03\x03\x00\x05hello")
            connection.settimeout(5)
            assert ending(connection) in ("fin", "reset")
        with pytest.raises(TimeoutError):
            listener.accept()


def replace_pod(mesh, old, name, service_account):
    """Removes a pod and gives its addresses to another one on the same node; returns the old object."""
    document = copy.deepcopy(mesh.lab.pod(old))
    mesh.lab.remove_pod(old)
    other = copy.deepcopy(document)
    other["metadata"] = {"name": name, "namespace": document["metadata"]["namespace"], "labels": {"app": name}}
    other["spec"]["serviceAccountName"] = service_account
    mesh.lab.add_pod(other)
    place = mesh.pods[name] = Place(mesh, name)
    eventually(place.lender.exists)
    return document


@pytest.fixture
def thief(mesh):
    """A pod of another identity at the address of echo-3, of which node-1 has not heard: its agent is stopped."""
    agent = mesh.lab.weir("node-1")
    agent.send_signal("agent", signal.SIGSTOP)
    document = replace_pod(mesh, "echo-3", "thief", "thief")
    try:
        mesh.meshed("thief", ["node-2"])
        yield mesh.pods["thief"]
    finally:
        agent.send_signal("agent", signal.SIGCONT)
        mesh.lab.remove_pod("thief")
        del mesh.pods["thief"]
        mesh.lab.add_pod(document)
        mesh.settle()
        mesh.meshed("echo-3")


def test_an_address_reused_by_another_identity_gets_nothing_meant_for_the_old(mesh, thief):
    with thief.listen() as listener:
        listener.settimeout(0.5)
        with mesh.rises("node-1", "weir_tcp_connections_failed_total", reason="identity_mismatch"):
            mesh.alice.fails(thief.v4, LENT)
        with pytest.raises(TimeoutError):
            listener.accept()
    mesh.entry("node-1", reporter="source", reason="identity_mismatch")
    mesh.lab.weir("node-1").send_signal("agent", signal.SIGCONT)
    mesh.meshed("thief")
    assert eventually(lambda: mesh.alice.reaches(thief.v4))  # Once it is known who is there, that is who is spoken to.
    entry = mesh.entry("node-1", reporter="source", destination_pod="servers/thief", reason="none")
    assert entry["destination"]["principal"] == "spiffe://cluster.local/ns/servers/sa/thief"


def test_a_removed_pods_connections_end_and_its_address_serves_its_next_owner(mesh):
    inwards, outwards = mesh.alice.connect(mesh.echo_3.v4, apps.ECHO), mesh.echo_3.connect(mesh.echo_1.v4, apps.ECHO)
    for flow in (inwards, outwards):
        flow.sendall(b"x")
        assert flow.recv(1) == b"x"
    document = replace_pod(mesh, "echo-3", "heir", "heir")
    inwards.settimeout(7)
    assert ending(inwards) in ("fin", "reset")  # What the kernel sent for an application that had read everything.
    inwards.close()
    outwards.close()
    mesh.meshed("heir")
    answer = eventually(lambda: mesh.alice.who(mesh.pods["heir"].v4))
    assert answer["pod"] == "heir"
    entry = mesh.entry("node-1", reporter="source", destination_pod="servers/heir", reason="none")
    assert (entry["security"], entry["destination"]["principal"]) == ("mtls", "spiffe://cluster.local/ns/servers/sa/heir")
    mesh.lab.remove_pod("heir")
    del mesh.pods["heir"]
    mesh.lab.add_pod(document)
    eventually(mesh.echo_3.lender.exists)
    mesh.meshed("echo-3")


def test_a_pod_added_while_traffic_runs_is_enrolled_and_one_removed_leaves_no_descriptor(mesh):
    def descriptors():
        return {node: {role: mesh.lab.weir(node).descriptors(role) for role in ("agent", "proxy")} for node in NODES}

    mesh.alice.who(mesh.echo_2.v4)
    before = descriptors()
    for number in range(8):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "guest", "namespace": "servers", "uid": f"guest-{number}"},
               "spec": {"nodeName": ("node-1", "node-2")[number % 2], "serviceAccountName": "guest",
                        "containers": [dict(mesh.lab.pod("echo-1")["spec"]["containers"][0])]}}
        mesh.lab.add_pod(pod)
        guest = Place(mesh, "guest")
        eventually(guest.lender.exists)
        mesh.meshed("guest")
        assert eventually(lambda: mesh.alice.who(guest.v4)["pod"] == "guest")
        eventually(lambda: guest.who(mesh.echo_2.v4)["client"] == guest.v4)
        mesh.lab.remove_pod("guest")
    mesh.settle()

    def back():
        now = descriptors()
        assert all(now[n][r] <= before[n][r] + 6 for n in now for r in now[n]), f"before {before}, now {now}"

    eventually(back, 10)


def test_a_namespace_at_a_pods_path_that_has_not_its_address_is_left_alone(mesh):
    """Both nodes' namespaces lie in one directory here, so a pod has the path of its namesake that went from the other
    node, whose agent looks there before it hears of either."""
    def guest(node):
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "guest", "namespace": "servers", "uid": f"of-{node}"},
                "spec": {"nodeName": node, "serviceAccountName": "guest",
                         "containers": [dict(mesh.lab.pod("echo-1")["spec"]["containers"][0])]}}

    late = mesh.lab.weir("node-2")
    mesh.lab.add_pod(guest("node-2"))
    mesh.meshed("guest")
    late.send_signal("agent", signal.SIGSTOP)
    try:
        mesh.lab.remove_pod("guest")
        mesh.lab.add_pod(guest("node-1"))
        mesh.meshed("guest", ["node-1"])
        time.sleep(1.1)  # it looks at its pods' paths every second, and is told of objects 0.1 s after they changed
    finally:
        late.send_signal("agent", signal.SIGCONT)
    mesh.settle()
    mesh.meshed("guest")
    said = late.log_tail("agent", 20)
    assert "pod servers/guest: gone" in said and "another now" not in said
    assert mesh.lab.weir("node-1").weirctl("check").returncode == 0
    place = Place(mesh, "guest")
    assert place.who(mesh.echo_2.v4)["client"] == place.v4
    mesh.lab.remove_pod("guest")


@pytest.fixture
def impostor(mesh):
    """A pod that is announced as captured and is not: the agent of its node is stopped, the announcement forged."""
    agent = mesh.lab.weir("node-2")
    announcement = mesh.lab.directory / "shared" / "captured" / "servers~impostor"
    agent.send_signal("agent", signal.SIGSTOP)
    try:
        mesh.lab.add_pod({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "impostor", "namespace": "servers"},
                          "spec": {"nodeName": "node-2", "serviceAccountName": "echo",
                                   "containers": [dict(mesh.lab.pod("echo-1")["spec"]["containers"][0])]}})
        place = mesh.pods["impostor"] = Place(mesh, "impostor")
        announcement.write_text(json.dumps({"node": "node-2", "pod": "servers/impostor", "addresses": [place.v4, place.v6]}))
        eventually(place.lender.exists)
        mesh.settle(["node-1"])
        yield place
    finally:
        announcement.unlink(missing_ok=True)
        mesh.lab.remove_pod("impostor")
        mesh.pods.pop("impostor", None)
        agent.send_signal("agent", signal.SIGCONT)
        mesh.settle()


def test_who_is_announced_and_cannot_prove_who_it_is_gets_no_plaintext(mesh, impostor):
    secret, received = b"meant-for-servers/echo-alone", []

    def serve(listener, context):
        try:
            connection = listener.accept()[0]
            connection.settimeout(3)
            if context:
                connection = context.wrap_socket(connection, server_side=True)
            received.append(connection.recv(65536))
        except OSError:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed("spiffe://cluster.local/ns/servers/sa/echo"))
    context.set_alpn_protocols(["weir/1"])
    for server in (None, context):
        with impostor.listen() as listener:
            listener.settimeout(5)
            thread = threading.Thread(target=serve, args=(listener, server), daemon=True)
            thread.start()
            with pytest.raises(OSError), mesh.alice.connect(impostor.v4, LENT) as client:
                client.settimeout(15)
                client.sendall(secret)
                while client.recv(100):
                    pass
                raise AssertionError("it ended in order")
            thread.join(10)
    assert received, "the impostor was dialled"
    assert not any(secret in data for data in received)
    mesh.entry("node-1", reporter="source", reason="certificate_untrusted")
