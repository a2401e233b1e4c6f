"""weir-controller under test: its own account with the README's rights, its processes, and an agent's side of its gRPC."""

import os
import pathlib
import re
import subprocess
import time
import urllib.error
import urllib.request

import grpc
import yaml
from control_plane import free_ports
from daemons import eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD_DIR", ROOT / "build/release"))
NAME = "weir-controller.weir-system.svc"
SYSTEM = "weir-system"


def rights():
    """The manifests in agent/controller/README.md: what the controller may do in these tests is what is written there."""
    text = (ROOT / "agent/controller/README.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.S)
    return [manifest for block in blocks for manifest in yaml.safe_load_all(block)]


class Controller:
    """One replica, as the Deployment's container would run it, with a token of its service account."""

    def __init__(self, control_plane, directory, name, *flags):
        self.name = name
        self.port, self.metrics_port = free_ports(2)
        token = directory / f"{name}.token"
        token.write_text(control_plane.token(SYSTEM, "weir-controller", seconds=3600))
        self.log = directory / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [BUILD / "bin/weir-controller", f"--listen=127.0.0.1:{self.port}",
                 f"--metrics-listen=127.0.0.1:{self.metrics_port}",
                 f"--identity={name}", f"--server={control_plane.url}", f"--ca-file={control_plane.ca}", f"--token-file={token}",
                 "--root-check=1s", "--signing-delay=3s", *flags], stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """SIGTERM, and how it exited."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=20)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def http(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ready(self, timeout=40):
        eventually(lambda: self.http("/readyz")[0] == 200, timeout, f"{self.name} is ready: {self.log.read_text()[-800:]}")
        return self

    def metric(self, name, labels=""):
        found = re.search(rf"^{name}{re.escape(labels)} (\S+)$", self.http("/metrics")[1], re.M)
        return float(found.group(1)) if found else 0.0

    def leads(self):
        return self.metric("weir_controller_leader") == 1


# --- the wire of ca.proto, by hand: the tests are a second opinion on it ---------------------------------------------
def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def message(*fields):
    """(number, bytes) of each field."""
    return b"".join(varint(number << 3 | 2) + varint(len(value)) + value for number, value in fields)


def fields(data):
    """{number: [value, ...]} of a message of bytes and varints."""
    out, at = {}, 0

    def read():
        nonlocal at
        number = shift = 0
        while True:
            byte = data[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while at < len(data):
        key = read()
        if key & 7 == 0:
            value = read()
        else:
            length = read()
            value = data[at:at + length]
            at += length
        out.setdefault(key >> 3, []).append(value)
    return out


class Agent:
    """What an agent does: calls with a token, trusting the published roots."""

    def __init__(self, controller, roots):
        self.channel = grpc.secure_channel(f"127.0.0.1:{controller.port}", grpc.ssl_channel_credentials(roots.encode()),
                                           [("grpc.ssl_target_name_override", NAME), ("grpc.use_local_subchannel_pool", 1)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def sign(self, token, identity, csr, timeout=15):
        """(chain of DER, not after)."""
        call = self.channel.unary_unary("/weir.ca.v1.CertificateAuthority/Sign")
        metadata = [("authorization", f"Bearer {token}")] if token else []
        answer = fields(call(message((1, identity.encode()), (2, csr)), timeout=timeout, metadata=metadata))
        return answer[1], answer[2][0]

    def refusal(self, *arguments):
        """(code, sentence) of a call that must not succeed."""
        try:
            self.sign(*arguments)
        except grpc.RpcError as error:
            return error.code().name, error.details()
        raise AssertionError("it was signed")

    def trust(self, token, timeout=60):
        """The bundles as they come: (version, roots)."""
        call = self.channel.unary_stream("/weir.ca.v1.CertificateAuthority/Trust")
        for answer in call(b"", timeout=timeout, metadata=[("authorization", f"Bearer {token}")]):
            read = fields(answer)
            yield read[1][0], read[2]


def openssl(*arguments, stdin=None):
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def request(directory, *names, key=None):
    """A certificate request (DER) for these subjectAltNames."""
    key = key or directory / "key.pem"
    if not key.exists():
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    return openssl("req", "-new", "-key", key, "-subj", "/", "-addext", "subjectAltName=" + ",".join(names), "-outform", "DER")


def authority(directory, name, *options):
    """A self-signed CA as somebody would bring it: (certificate, key), PEM."""
    key, certificate = directory / f"{name}.key", directory / f"{name}.crt"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "30",
            "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign", *options)
    return certificate.read_text(), key.read_text()


def issued_by(directory, chain, roots):
    """Whether the leaf leads to one of the roots (PEM), by OpenSSL."""
    (directory / "roots.pem").write_text(roots)
    (directory / "chain.pem").write_bytes(b"".join(openssl("x509", "-inform", "DER", stdin=der) for der in chain))
    done = subprocess.run(["openssl", "verify", "-CAfile", directory / "roots.pem", "-untrusted", directory / "chain.pem",
                           directory / "chain.pem"], capture_output=True)
    return done.returncode == 0


def wait_until(check, timeout, what):
    eventually(check, timeout, what, every=0.3)
    return time.monotonic()
