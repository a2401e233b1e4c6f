"""Some seventy certificates that are wrong in one way each, shown over real handshakes by a dialler and by an acceptor:
each is refused, the log says why, the alert tells the other side the same, and nothing reaches the application.
"""

import pytest

import apps
import mesh_peer
from certificates import ALICE, root_of
from impostor import impostor  # a fixture
from mesh_peer import Ended, Peer
from world import LENT
from wrong_certificates import RIGHT, WRONG, Authority, files

__all__ = ["impostor"]
# RFC 8446 6.2, in OpenSSL's words: what tells the one who showed the certificate.
ALERTS = {"certificate_malformed": "SSLV3_ALERT_BAD_CERTIFICATE", "certificate_expired": "SSLV3_ALERT_CERTIFICATE_EXPIRED",
          "certificate_untrusted": "TLSV1_ALERT_UNKNOWN_CA", "trust_domain": "TLSV1_ALERT_ACCESS_DENIED"}


def test_the_list_is_as_long_as_it_says():
    assert len(WRONG) >= 60


# --- The dialler shows it --------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def root(whole_mesh):
    return Authority.load(root_of(whole_mesh))


def answer_to(mesh, certificate):
    """How a lane ends that begins with this certificate; "taken" if the proxy speaks."""
    try:
        with Peer(mesh.outsider.connect(mesh.echo_2.v4, apps.ECHO), mesh_peer.client_context(*certificate)) as peer:
            peer.send(mesh_peer.settings(), mesh_peer.opening(1, mesh.outsider.v4))
            peer.until(mesh_peer.SETTINGS)
            return "taken"
    except Ended as end:
        return str(end)


@pytest.mark.parametrize("what", WRONG)
def test_a_dialler_with_a_wrong_certificate_is_refused(mesh, root, what):
    reason, make = WRONG[what]
    with mesh.rises("node-2", "weir_tls_handshakes_failed_total", reason=reason):
        assert answer_to(mesh, files(*make(root))) == ALERTS[reason]
    mesh.entry("node-2", reporter="destination", reason=reason, verdict="failed")
    assert not mesh.entries("node-2", reporter="destination", reason="none"), "nothing reached the application"


@pytest.mark.parametrize("what", RIGHT)
def test_a_dialler_with_a_right_certificate_is_taken(mesh, root, what):
    """The control of the tests above: they would pass for nothing if everything were refused."""
    assert answer_to(mesh, files(*RIGHT[what](root))) == "taken"


# --- The acceptor shows it -------------------------------------------------------------------------------------------
def serve(peer):
    peer.send(mesh_peer.settings())
    peer.until(mesh_peer.OPEN)
    peer.send(mesh_peer.frame(mesh_peer.OPENED, 1), mesh_peer.frame(mesh_peer.DATA, 1, b"served"))
    peer.until(mesh_peer.FIN)


def shown(mesh, impostor, certificate):
    """How lanes to an acceptor end that shows this certificate (a set), and whether their client was served."""
    with impostor.acts(serve, mesh_peer.server_context(*certificate)) as acted:
        try:
            with mesh.alice.connect(impostor.place.v4, LENT) as client:
                client.sendall(b"secret")
                served = client.recv(100) == b"served"
        except OSError:
            served = False
    return set(acted.ends), served


@pytest.mark.parametrize("what", WRONG)
def test_an_acceptor_with_a_wrong_certificate_gets_nothing(mesh, impostor, what):
    reason, make = WRONG[what]
    with mesh.rises("node-1", "weir_tls_handshakes_failed_total", reason=reason):
        ends, served = shown(mesh, impostor, files(*make(impostor.root)))
    assert not served and ends == {ALERTS[reason]}
    mesh.entry("node-1", reporter="source", reason=reason, verdict="failed")


def test_an_acceptor_with_a_right_certificate_of_another_gets_nothing(mesh, impostor):
    with mesh.rises("node-1", "weir_tls_handshakes_failed_total", reason="identity_mismatch"):
        ends, served = shown(mesh, impostor, files(*impostor.root.leaf(ALICE)))
    assert not served and ends == {"SSLV3_ALERT_CERTIFICATE_UNKNOWN"}
    mesh.entry("node-1", reporter="source", reason="identity_mismatch", verdict="failed")


@pytest.mark.parametrize("what", RIGHT)
def test_an_acceptor_with_a_right_certificate_is_served(mesh, impostor, what):
    ends, served = shown(mesh, impostor, files(*RIGHT[what](impostor.root)))
    assert served and ends == {"acted"}
