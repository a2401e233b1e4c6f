"""What a lab lets a person or a test see: admin sockets, Prometheus metrics, the access log, packets on the wire."""

import http.client
import json
import pathlib
import re
import socket
import subprocess
import time

from processes import LabError, spawn

SAMPLE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def http_get(path, target, method="GET", timeout=5):
    """(status, body) of a request to an admin socket."""
    connection = UnixConnection(path, timeout)
    try:
        connection.request(method, target)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Metrics:
    """One scrape: `total` sums the samples of a name that have the labels asked for."""

    def __init__(self, text):
        self.text = text
        self.samples = []  # (name, labels, value)
        for line in text.splitlines():
            if match := SAMPLE.match(line):
                self.samples.append((match[1], dict(LABEL.findall(match[2] or "")), float(match[3])))

    def find(self, name, **labels):
        return [(have, value) for sample, have, value in self.samples
                if sample == name and all(have.get(k) == v for k, v in labels.items())]

    def total(self, name, **labels):
        return sum(value for _, value in self.find(name, **labels))


def read_log(path, offset=0):
    """The access log's entries from a byte offset on; a last line still being written is left for the next call."""
    path = pathlib.Path(path)
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(offset)
        lines = file.read().split(b"\n")[:-1]
    return [json.loads(line) for line in lines if line.strip()]


class Sniffer:
    """tcpdump on one link into a file: `with lab.sniff("node-1") as wire: …; assert wire.holds(b"…")`."""

    def __init__(self, netns, cgroup, device, file, expression=()):
        self.file = pathlib.Path(file)
        self.command = ["tcpdump", "-i", device, "-n", "-s0", "-B", "16384", "--immediate-mode", "-U", "-w", str(file),
                        *expression]
        self.process = spawn(self.command, netns, cgroup, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for line in self.process.stderr:
            if "listening on" in line:
                return
        raise LabError(f"tcpdump on {device} ended: {self.process.wait()}")

    def stop(self):
        if self.process.poll() is None:
            time.sleep(0.2)  # What was sent last is on its way to the file.
            self.process.terminate()
            self.process.wait(10)
            self.process.stderr.close()
        return self.file

    def holds(self, payload):
        """Whether these bytes are in a packet seen (in one packet: a short text is)."""
        self.stop()
        return payload in self.file.read_bytes()

    def packets(self, *expression):
        """Lines of tcpdump's own reading of the file."""
        self.stop()
        done = subprocess.run(["tcpdump", "-n", "-r", str(self.file), *expression], capture_output=True, text=True)
        return done.stdout.splitlines()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
