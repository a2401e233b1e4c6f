"""The acceptor's side of the mesh protocol in a scenario's own hand: a pod that is announced as captured and is not.

The agent of its node stands still meanwhile, so that nobody corrects the announcement; node-1 dials lanes to the pod as to
any other, and they end at a listener of the test's.
"""

import contextlib
import json
import signal
import socket
import threading

import pytest

from certificates import root_of
from mesh_peer import Ended, Peer
from world import Place, eventually
from wrong_certificates import Authority

IDENTITY = "spiffe://cluster.local/ns/servers/sa/echo"
NAME = "impostor"


class Acted:
    """How each lane ended: as `Ended` says, as its handshake failed, or "acted" when all was done."""

    def __init__(self):
        self.ends = []


class Impostor:
    def __init__(self, mesh, place):
        self.place, self.root = place, Authority.load(root_of(mesh), identity=IDENTITY)

    @contextlib.contextmanager
    def acts(self, act, context):
        """While this lasts, `act(peer)` is done with every lane that is dialled to the pod's port 7100."""
        acted = Acted()

        def meet(connection):
            connection.settimeout(5)
            try:
                with Peer(connection, context, server=True) as peer:
                    act(peer)
                    return "acted"
            except Ended as end:
                return str(end)
            except OSError as error:
                return getattr(error, "reason", None) or repr(error)

        def accept():
            with contextlib.suppress(OSError):  # shut down
                while True:
                    acted.ends.append(meet(listener.accept()[0]))

        with self.place.listen() as listener:
            listener.settimeout(60)
            thread = threading.Thread(target=accept, daemon=True)
            thread.start()
            try:
                yield acted
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                thread.join(10)


@pytest.fixture(scope="module")
def impostor(whole_mesh):
    agent = whole_mesh.lab.weir("node-2")
    announcement = whole_mesh.lab.directory / "shared" / "captured" / f"servers~{NAME}"
    agent.send_signal("agent", signal.SIGSTOP)
    try:
        container = dict(whole_mesh.lab.pod("alice")["spec"]["containers"][0])
        whole_mesh.lab.add_pod({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "namespace": "servers"},
                                "spec": {"nodeName": "node-2", "serviceAccountName": "echo", "containers": [container]}})
        place = Place(whole_mesh, NAME)
        announcement.write_text(json.dumps({"node": "node-2", "pod": f"servers/{NAME}", "addresses": [place.v4, place.v6]}))
        eventually(place.lender.exists)
        whole_mesh.meshed(NAME, ["node-1"])
        yield Impostor(whole_mesh, place)
    finally:
        announcement.unlink(missing_ok=True)
        whole_mesh.lab.remove_pod(NAME)
        agent.send_signal("agent", signal.SIGCONT)
        whole_mesh.settle()
