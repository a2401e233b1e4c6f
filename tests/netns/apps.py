"""The application in every pod of the scenario tests: a few servers, and a lender of sockets.

The servers answer on fixed ports, on both families. The lender makes sockets in this process, hence in the pod's
network namespace and cgroup, and hands them to the test over a Unix socket: a scenario then holds both ends of a
connection and reads from top to bottom. Run as `apps.py` in a pod; POD_DIR and POD_NAME come from the lab.
"""

import hashlib
import json
import os
import pathlib
import socket
import socketserver
import sys
import threading

ECHO, BANNER, WHO, SINK, SOURCE = 7001, 7002, 7003, 7004, 7005
GREETING = b"220 this server speaks first\r\n"
PATTERN = bytes(range(256)) * 4096  # 1 MiB


class Handler(socketserver.BaseRequestHandler):
    def setup(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Echo(Handler):
    """Sends back what comes, and ends when the client has."""

    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Banner(Echo):
    """Speaks first, then echoes."""

    def handle(self):
        self.request.sendall(GREETING)
        super().handle()


class Who(Handler):
    """Says who answers and whom it sees, and closes."""

    def handle(self):
        client, local = self.client_address, self.request.getsockname()
        answer = {"pod": os.environ.get("POD_NAME"), "client": unmapped(client[0]), "client_port": client[1],
                  "local": unmapped(local[0])}
        self.request.sendall(json.dumps(answer).encode() + b"\n")


class Sink(Handler):
    """Reads to the end of the stream, then answers how much it was and its SHA-256."""

    def handle(self):
        count, digest = 0, hashlib.sha256()
        while data := self.request.recv(1 << 20):
            count += len(data)
            digest.update(data)
        self.request.sendall(f"{count} {digest.hexdigest()}\n".encode())


class Source(Handler):
    """Reads a line with a number of MiB, sends that much of PATTERN, and closes."""

    def handle(self):
        for _ in range(int(self.request.makefile("rb").readline())):
            self.request.sendall(PATTERN)


class Server(socketserver.ThreadingTCPServer):
    address_family, allow_reuse_address, daemon_threads, request_queue_size = socket.AF_INET6, True, True, 1024

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request, client_address):
        """A peer that goes away is what many scenarios are about."""


def unmapped(address):
    return address.removeprefix("::ffff:")


def lend(request):
    """A socket as asked for: bound, given options, then listening or connected."""
    family = socket.AF_INET if request["family"] == "v4" else socket.AF_INET6
    lent = socket.socket(family, socket.SOCK_STREAM)
    try:
        lent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, request.get("reuse", 1))
        for level, name, value in request.get("options", []):
            lent.setsockopt(level, name, value.encode() if isinstance(value, str) else value)
        if family == socket.AF_INET6:
            lent.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if bind := request.get("bind"):
            lent.bind(tuple(bind))
        if "listen" in request:
            lent.listen(request["listen"])
        else:
            lent.settimeout(request["timeout"])
            lent.connect(tuple(request["connect"]))
            lent.settimeout(None)
        return lent
    except OSError:
        lent.close()
        raise


def serve_loans(path):
    """One thread for each test's question, since connect() may take its time."""
    path.unlink(missing_ok=True)
    desk = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    desk.bind(str(path))
    desk.listen(256)

    def answer(connection):
        with connection:
            try:
                request = json.loads(connection.recv(4096))
                for _ in range(request.get("count", 1)):
                    with lend(request) as lent:
                        socket.send_fds(connection, [b'{"errno": 0}'], [lent.fileno()])
            except TimeoutError:
                connection.send(b'{"errno": -1}')
            except OSError as error:
                connection.send(json.dumps({"errno": error.errno}).encode())

    while True:
        threading.Thread(target=answer, args=(desk.accept()[0],), daemon=True).start()


def main():
    for port, handler in ((ECHO, Echo), (BANNER, Banner), (WHO, Who), (SINK, Sink), (SOURCE, Source)):
        threading.Thread(target=Server(("::", port), handler).serve_forever, daemon=True).start()
    serve_loans(pathlib.Path(os.environ["POD_DIR"]) / "lender.sock")


if __name__ == "__main__":
    sys.exit(main())
