"""The HTTP application in the pods of http_world: HTTP/1.1, HTTP/2 and gRPC on fixed ports, beside the lender of sockets.

It answers every request with what it saw, as JSON, and does as it is told by the field `x-do`: a JSON object whose keys
are a pod's name, a version (the environment's VERSION) or "*", and whose values say what that one does:
    sleep: seconds before the answer      status, headers, bytes: the answer      trailers: [[name, value], …]
    reset: end the connection or stream instead of an answer                      grpc: a grpc-status
Each request, and each client that went away before its answer, leaves a line in POD_DIR/requests.log, so that a scenario
can count what reached which pod. Run as `http_apps.py` in a pod; POD_DIR and POD_NAME come from the lab.
"""

import hashlib
import json
import os
import pathlib
import select
import socket
import sys
import threading
import time

import apps
from h2_ends import H2End, framed, messages
from http_ends import End, chunk, head, lines_of

HTTP_PORT, H2_PORT = 8080, 8081
POD, VERSION = os.environ.get("POD_NAME", ""), os.environ.get("VERSION", "")
LOG = pathlib.Path(os.environ.get("POD_DIR", ".")) / "requests.log"
NEVER_TOLD = {"sleep": 0, "status": 200, "headers": [], "bytes": None, "trailers": [], "reset": False, "grpc": 0}


def told(order):
    """What `x-do` tells this pod."""
    orders = json.loads(order or "{}")
    found = {}
    for key in ("*", VERSION, POD):
        found |= orders.get(key, {})
    return NEVER_TOLD | found


def seen(protocol, method, target, fields, body, client):
    """What the application understood, for the answer; the same goes to the log."""
    return {"pod": POD, "version": VERSION, "protocol": protocol, "method": method, "target": target, "headers": fields,
            "length": len(body), "sha256": hashlib.sha256(body).hexdigest(), "client": apps.unmapped(client[0])}


def log(event, entry):
    line = json.dumps({"event": event} | entry) + "\n"
    with LOG.open("a") as file:
        file.write(line)


class Http1(apps.Handler):
    """HTTP/1.1, one request after the other."""

    def handle(self):
        end = End(self.request)
        while request := end.request(with_body=False):
            if (request.get("Expect") or "").lower() == "100-continue":
                end.send(head("HTTP/1.1 100 Continue"))
            end.body(request, False)
            answer = seen("http/1.1", request.method, request.target, request.fields, request.body, self.client_address)
            log("request", answer)
            if not self.answer(end, request, told(request.get("x-do")), answer):
                return

    def answer(self, end, request, order, answer):
        if order["sleep"] and self.gone(order["sleep"]):
            log("gone", answer)
            return False
        if order["reset"]:
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.request.close()
            return False
        body = json.dumps(answer).encode() if order["bytes"] is None else b"x" * order["bytes"]
        fields = order["headers"] + [("X-Pod", POD)]
        if request.method == "HEAD":
            end.send(head(f"HTTP/1.1 {order['status']} Said", fields + [("Content-Length", len(body))]))
        elif order["trailers"]:
            end.send(head(f"HTTP/1.1 {order['status']} Said", fields + [("Transfer-Encoding", "chunked")]),
                     chunk(body), b"0\r\n", lines_of(order["trailers"]), b"\r\n")
        else:
            end.reply(order["status"], fields + [("Content-Type", "application/json")], body)
        return (request.get("Connection") or "").lower() != "close"

    def gone(self, seconds):
        """Waits; True if the client went away meanwhile (what it sent meanwhile stays to be read)."""
        try:
            readable = select.select([self.request], [], [], seconds)[0]
            return bool(readable) and not self.request.recv(1, socket.MSG_PEEK)
        except ConnectionResetError:
            return True


class Http2(apps.Handler):
    """HTTP/2 and gRPC: any path is a method that echoes its messages. A stream whose reader stalls holds up no other."""

    def handle(self):
        end, due = H2End(self.request, client=False), []  # due: (when, stream, order, what was seen)
        self.unsent = []  # (stream, the rest of its body, trailers)
        while True:
            self.send_on(end)
            for stream in [s for s in end.fresh if s.over]:
                end.fresh.remove(stream)
                due.append(self.taken(stream))
            next_at = min((item[0] for item in due), default=time.monotonic() + 60)
            if not self.lives(end, max(0, next_at - time.monotonic())):
                for item in due:
                    log("gone", item[3])
                return
            for item in list(due):
                when, stream, order, answer = item
                if stream.reset is not None:
                    log("gone", answer)
                elif when <= time.monotonic():
                    self.answer(end, stream, order, answer)
                else:
                    continue
                due.remove(item)

    @staticmethod
    def lives(end, seconds):
        """Reads for so long at most; False when the client has gone."""
        try:
            return end.pump(seconds)
        except ConnectionResetError:
            return False

    def taken(self, stream):
        fields = [list(f) for f in stream.fields]
        answer = seen("h2", stream.get(":method"), stream.get(":path"), fields, stream.data, self.client_address)
        log("request", answer)
        order = told(stream.get("x-do"))
        return time.monotonic() + order["sleep"], stream, order, answer

    def answer(self, end, stream, order, answer):
        if order["reset"]:
            end.cancel(stream, 2)  # INTERNAL_ERROR
            return
        extra = [(n.lower(), v) for n, v in order["headers"]] + [("x-pod", POD)]
        trailers = [(n.lower(), v) for n, v in order["trailers"]]
        if (stream.get("content-type") or "").startswith("application/grpc"):
            status = ("grpc-status", str(order["grpc"]))
            if order["grpc"]:  # trailers only
                end.reply(stream, 200, [("content-type", "application/grpc"), status] + extra)
            else:
                said = b"".join(framed(m) for m in messages(stream.data)) + framed(json.dumps(answer).encode())
                self.reply(end, stream, 200, [("content-type", "application/grpc")] + extra, said, [status] + trailers)
            return
        body = json.dumps(answer).encode() if order["bytes"] is None else b"x" * order["bytes"]
        self.reply(end, stream, order["status"], extra, b"" if stream.get(":method") == "HEAD" else body, trailers)

    def reply(self, end, stream, status, fields, body, trailers):
        end.reply(stream, status, fields, trailers=[] if body else trailers, end=not body)
        if body:
            self.unsent.append((stream, body, trailers))
            self.send_on(end)

    def send_on(self, end):
        """What the windows take now of every answer under way."""
        under_way, self.unsent = self.unsent, []
        for stream, body, trailers in under_way:
            if stream.reset is not None:
                continue
            rest = end.send_some(stream.id, body)
            if rest:
                self.unsent.append((stream, rest, trailers))
            elif trailers:
                end.h2.send_headers(stream.id, trailers, end_stream=True)
            else:
                end.h2.end_stream(stream.id)
        end.flush()


def main():
    LOG.touch()
    for port, handler in ((HTTP_PORT, Http1), (H2_PORT, Http2), (apps.ECHO, apps.Echo), (apps.WHO, apps.Who)):
        threading.Thread(target=apps.Server(("::", port), handler).serve_forever, daemon=True).start()
    apps.serve_loans(pathlib.Path(os.environ["POD_DIR"]) / "lender.sock")


if __name__ == "__main__":
    sys.exit(main())
