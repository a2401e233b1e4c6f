"""No proxy at all: the client dials the server pod, whose packets both nodes merely route."""

from peers.peer import ORIGIN_PORTS, Peer


class Direct(Peer):
    name = "direct"
    title = "direct, no proxy"

    def target(self, service):
        return self.ground.server_address, ORIGIN_PORTS[service]
