"""Certificates that live ten seconds: renewed under traffic, and refused when nobody renews them."""

import signal
import ssl
import time

import pytest

import apps
from certificates import ALICE, root_of, signed
from test_identity import speaks_weir
from world import LENT, NODES, ending, eventually, read_exactly

MESH_OPTIONS = {"cert_ttl": "10s"}


def certificate_of(mesh, server):
    """The DER certificate with which a pod's proxy answers on the wire."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["weir/1"])
    with context.wrap_socket(mesh.outsider.connect(server.v4, apps.ECHO)) as connection:
        return connection.getpeercert(binary_form=True)


def authority(mesh, *arguments):
    """`weir-agent ca …`: what an operator does to the roots."""
    weir = mesh.lab.weir("node-1")
    done = mesh.lab.exec("node:node-1", [weir.program("weir-agent"), "ca", *arguments, "--ca-dir", mesh.lab.directory / "ca"])
    assert done.returncode == 0, done


def test_certificates_rotate_under_traffic_and_no_connection_notices(mesh):
    with mesh.alice.connect(mesh.echo_2.v4, apps.ECHO) as long_lived:
        seen, count, begun = set(), 0, time.monotonic()
        while time.monotonic() - begun < 25:
            long_lived.sendall(b"still here")
            assert read_exactly(long_lived, 10) == b"still here"
            mesh.alice.echo(mesh.echo_2.v4)
            mesh.alice.echo(mesh.echo_1.v4)
            if count % 10 == 0:
                seen.add(certificate_of(mesh, mesh.echo_2))
            count += 1
            time.sleep(0.1)
    assert len(seen) >= 3, "25 s are more than two lives of a certificate"
    assert count > 50
    failed = [e for n in NODES for e in mesh.entries(n, reporter="source") if e["reason"] != "none"]
    assert not failed, failed[:3]
    expiry = [value for _, value in mesh.lab.metrics("node-2").find("weir_certificate_not_after_seconds")]
    assert expiry and all(time.time() < value < time.time() + 11 for value in expiry)


def test_without_renewal_traffic_stops_at_expiry_and_never_falls_back_to_plaintext(mesh):
    mesh.alice.echo(mesh.echo_2.v4)
    for node in NODES:
        mesh.lab.weir(node).send_signal("agent", signal.SIGSTOP)
    try:
        with mesh.lab.sniff("node-1", ["tcp"]) as wire:
            # On the port whose lane is there: it serves until the client's own certificate has expired.
            eventually(lambda: mesh.alice.fails(mesh.echo_2.v4, apps.ECHO), 30, 0.5)
            for text in (b"sent when nobody is anybody",) * 3:
                with pytest.raises((OSError, AssertionError)):
                    mesh.alice.echo(mesh.echo_2.v4, text=text)
        assert not wire.holds(b"sent when nobody is anybody")
        assert mesh.alice.fails(mesh.echo_2.v4, LENT)
        eventually(lambda: bool(mesh.entries("node-1", reason="certificate_expired")
                                + mesh.entries("node-1", reason="certificate_missing")), 5)
    finally:
        for node in NODES:
            mesh.lab.weir(node).send_signal("agent", signal.SIGCONT)
    eventually(lambda: mesh.alice.reaches(mesh.echo_2.v4), 15)


def test_two_roots_are_trusted_while_they_overlap_and_then_only_the_new(mesh):
    old = root_of(mesh)
    of_old = signed(old, ALICE)
    authority(mesh, "rotate")
    eventually(lambda: root_of(mesh) != old)
    of_new, begun = signed(root_of(mesh), ALICE), time.monotonic()
    while time.monotonic() - begun < 16:  # Longer than a certificate lives: all are of the new root then.
        mesh.alice.echo(mesh.echo_2.v4)
        assert speaks_weir(mesh.outsider, mesh.echo_2, *of_old)
        time.sleep(0.2)
    assert speaks_weir(mesh.outsider, mesh.echo_2, *of_new)
    authority(mesh, "retire", old.stem.removeprefix("root-"))
    mesh.settle()
    eventually(lambda: not speaks_weir(mesh.outsider, mesh.echo_2, *of_old))
    mesh.entry("node-2", reporter="destination", reason="certificate_untrusted")
    for _ in range(10):
        mesh.alice.echo(mesh.echo_2.v4)
    assert speaks_weir(mesh.outsider, mesh.echo_2, *of_new)


def test_the_overlap_of_two_roots_leaves_a_live_lane_alone_and_the_end_of_its_root_ends_it(mesh):
    old = root_of(mesh)
    with mesh.alice.connect(mesh.echo_2.v4, apps.ECHO) as live:  # on a lane whose two certificates are of the old root
        live.sendall(b"before")
        assert read_exactly(live, 6) == b"before"
        authority(mesh, "rotate")
        eventually(lambda: root_of(mesh) != old)
        begun = time.monotonic()
        while time.monotonic() - begun < 16:  # all other lanes are of the new root then
            live.sendall(b"still here")
            assert read_exactly(live, 10) == b"still here"
            mesh.alice.echo(mesh.echo_2.v4)
            time.sleep(0.2)
        authority(mesh, "retire", old.stem.removeprefix("root-"))
        retired = time.monotonic()
        live.settimeout(8)
        assert ending(live) == "reset"
        assert time.monotonic() - retired < 5
    for node, reporter in (("node-1", "source"), ("node-2", "destination")):
        entry = mesh.entry(node, reporter=reporter, reason="certificate_untrusted")
        assert entry["source"]["principal"] == ALICE
        assert mesh.total(node, "weir_lanes_closed_total", reason="certificate_untrusted") >= 1
    for _ in range(10):
        mesh.alice.echo(mesh.echo_2.v4)
