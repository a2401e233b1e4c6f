"""The jury for responses: what the proxy forwarded is served again, as it was, to three client libraries, which must agree.

Python's http.client, the curl of Debian (libcurl) and Node's http each ask for it and then, on the same connection, for the
sentinel. A reading is [status, length, hash, second], where second is "sentinel", "anew" (another connection was made) or
"other"; or a failure: "refused" (it is no HTTP), "cut" (it ended too early), "waits" (for more). A fourth reading is made by
the rules of RFC 9112 alone, to compare with what was forwarded.
"""

import asyncio
import concurrent.futures
import hashlib
import http.client
import json
import pathlib
import re
import socket
import subprocess
import threading

import response_grammar as grammar
from servers import free_port

RESET = b"\1\0\0\0\0\0\0\0"  # struct linger {1, 0}
HERE = pathlib.Path(__file__).resolve().parent
FIELDS = rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n"
HEAD = re.compile(rb"HTTP/1\.[01] (\d\d\d) [\t\x20-\x7e\x80-\xff]*\r\n" + FIELDS)
SIZE = re.compile(rb"([0-9a-fA-F]{1,8})(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
TRAILERS = re.compile(FIELDS)


def values(fields, name):
    return re.findall(rb"(?im)^%s:[ \t]*(.*?)[ \t]*\r$" % name, fields)


def strict_body(data, at, status, fields, end):
    """(body, where it ends) by RFC 9112 section 6.3; a string where that cannot be said."""
    if status in (204, 304):
        return b"", at
    coding, lengths = values(fields, b"transfer-encoding"), values(fields, b"content-length")
    if coding:
        if len(coding) > 1 or coding[0].lower() != b"chunked" or lengths:
            return "refused"
        body = b""
        while size := SIZE.match(data, at):
            at, count = size.end(), int(size[1], 16)
            if count == 0:
                trailers = TRAILERS.match(data, at)
                return (body, trailers.end()) if trailers else "refused"
            if data[at + count:at + count + 2] != b"\r\n":
                return "cut" if len(data) < at + count + 2 else "refused"
            body, at = body + data[at:at + count], at + count + 2
        return "cut" if len(data) - at < 12 else "refused"
    if lengths:
        if len(lengths) > 1 or not lengths[0].isdigit():
            return "refused"
        last = at + int(lengths[0])
        return (data[at:last], last) if last <= len(data) else "cut"
    return (data[at:], len(data)) if end == "closed" else {"reset": "cut", "open": "waits"}[end]


def strictly(data, end):
    """The reading of one forwarded answer by the RFC alone. `end`: how its connection went on: open, closed, reset."""
    at = 0
    while head := HEAD.match(data, at):
        at, status = head.end(), int(head[1])
        if status == 101 or status < 100:
            return ["refused"]
        if status >= 200:
            found = strict_body(data, at, status, head[2], end)
            if isinstance(found, str):
                return [found]
            body, last = found
            return [status, len(body), hashlib.sha1(body).hexdigest(), "sentinel" if last == len(data) else "other"]
    return ["refused" if b"\r\n\r\n" in data[at:] else "cut"]


class Replayer(asyncio.Protocol):
    """Serves forwarded answers: /NUMBER and /sentinel/NUMBER. `answers`: number → (bytes, how the proxy's connection went on)."""

    answers = {}

    def connection_made(self, transport):
        self.transport, self.data = transport, b""

    def data_received(self, data):
        self.data += data
        while (at := self.data.find(b"\r\n\r\n")) >= 0:
            target, self.data = self.data.split(b" ", 2)[1], self.data[at + 4:]
            if target.startswith(b"/sentinel"):
                self.transport.write(grammar.SENTINEL)
                continue
            answer, end = self.answers[int(target[1:])]
            self.transport.write(answer)
            if end == "reset":
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            if end != "open":
                self.transport.close()


class Clients:
    """The three clients, and the server that they ask; `readings` of many numbers at once."""

    def __init__(self, directory):
        self.directory, self.port, self.loop = pathlib.Path(directory), free_port(), asyncio.new_event_loop()
        self.directory.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        self.loop.run_until_complete(self.loop.create_server(Replayer, "127.0.0.1", self.port, backlog=4096))
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.node = subprocess.Popen(["node", HERE / "client.js"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self.node.kill()
        self.node.wait()
        self.loop.call_soon_threadsafe(self.loop.stop)

    def readings(self, answers):
        """{number: {client: reading}}; `answers` as in Replayer."""
        Replayer.answers = answers
        numbers = list(answers)
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            node, curl = pool.submit(self.by_node, numbers), pool.submit(self.by_curl, numbers)
            python = list(pool.map(self.by_python, numbers))
        told = {"python": python, "curl": curl.result(), "node": node.result(),
                "the RFC": [strictly(*answers[n]) for n in numbers]}
        return {number: {name: readings[i] for name, readings in told.items()} for i, number in enumerate(numbers)}

    def by_node(self, numbers):
        self.node.stdin.write(json.dumps({"port": self.port, "numbers": numbers}) + "\n")
        self.node.stdin.flush()
        return json.loads(self.node.stdout.readline())

    def by_python(self, number):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=0.7)
        try:
            connection.request("GET", f"/{number}")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status < 200:
                return ["refused"]  # It knows 100, and takes 103 for the answer.
            first = [answer.status, len(body), hashlib.sha1(body).hexdigest(), "anew"]
            if connection.sock is not None:
                connection.request("GET", f"/sentinel/{number}")
                first[3] = "sentinel" if connection.getresponse().read() == b"sentinel" else "other"
            return first
        except TimeoutError:
            return ["waits"]
        except (http.client.IncompleteRead, http.client.RemoteDisconnected, ConnectionResetError):
            return first if "first" in locals() else ["cut"]  # The second request found the connection closed.
        except (http.client.HTTPException, ValueError, OverflowError, MemoryError):
            return ["refused"] if "first" not in locals() else [*first[:3], "other"]
        finally:
            connection.close()

    def by_curl(self, numbers):
        """curl of all of them in one process, each followed by its sentinel; of more, where one makes curl give up."""
        readings = []
        while len(readings) < len(numbers):
            left = numbers[len(readings):]
            lines = ["silent", "max-time = 0.7", "http1.1", 'write-out = "%{exitcode} %{http_code} %{num_connects}\\n"']
            for number in left:
                for what in (f"{number}", f"sentinel/{number}"):
                    lines += [f'url = "http://127.0.0.1:{self.port}/{what}"',
                              f'output = "{self.directory}/{what.replace("/", "-")}"']
            done = subprocess.run(["curl", "-q", "-K", "-"], input="\n".join(lines), capture_output=True, text=True)
            told = [line.split() for line in done.stdout.splitlines()]
            readings += [self.curl_reading(number, *of) for number, of in zip(left, zip(told[::2], told[1::2]))]
            if len(told) < 2 * len(left):
                readings.append(["refused"])
        return readings

    def curl_reading(self, number, first, second):
        def output(what):
            path = self.directory / what
            body = path.read_bytes() if path.exists() else b""
            path.unlink(missing_ok=True)
            return body

        body, after = output(f"{number}"), output(f"sentinel-{number}")
        code = int(first[0])
        if code:  # 18, 52, 56: it ended too early
            return ["waits" if code == 28 else "cut" if code in (18, 52, 56) else "refused"]
        how = "anew" if second[2] != "0" else "sentinel" if after == b"sentinel" else "other"
        return [int(first[1]), len(body), hashlib.sha1(body).hexdigest(), how]


def differences(readings):
    """What two of them disagree on, as sentences."""
    found, said = [], {}
    for name, reading in readings.items():
        if len(reading) > 1:
            said.setdefault(tuple(reading[:3]), name)
            if reading[3] == "other":
                found.append(f"{name} is left with something that it takes for the answer to the next request")
    failures = {reading[0]: name for name, reading in readings.items() if len(reading) == 1 and reading[0] != "refused"}
    if len(said) > 1:
        found.append("; ".join(f"{name} took it for {what}" for what, name in said.items()))
    if said and failures:
        found += [f"{list(said.values())[0]} read it to its end, to {name} it is {why}" for why, name in failures.items()]
    if said and readings["the RFC"] == ["refused"]:
        found.append("by RFC 9112 it is no response")
    return found


def whole(readings):
    """Whether it is one whole response by the RFC."""
    return len(readings["the RFC"]) > 1
