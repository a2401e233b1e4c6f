"""A proxy beside an agent that this test plays: when it takes the connections of a pod that it was given."""

import array
import datetime
import importlib
import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD_DIR") or REPOSITORY / "build/release")
IDENTITY = "spiffe://cluster.local/ns/a/sa/b"
CERTIFICATE_WAIT = 10  # seconds: limits::certificate_wait


@pytest.fixture(scope="module")
def mesh_pb(tmp_path_factory):
    out = tmp_path_factory.mktemp("proto")
    subprocess.run(["protoc", f"--python_out={out}", f"-I{REPOSITORY}/nodeproxy/config", "mesh.proto"], check=True)
    sys.path.insert(0, str(out))
    return importlib.import_module("mesh_pb2")


class Authority:
    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
        self.root = self.issue(self.key.public_key(), self.name, [
            (x509.BasicConstraints(True, None), True),
            (usage(key_cert_sign=True), True),
            (x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://cluster.local")]), False)])

    def issue(self, public_key, subject, extensions):
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public_key)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=1))
                   .not_valid_after(now + datetime.timedelta(hours=1)))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def answer(self, request):
        csr = x509.load_der_x509_csr(request.csr)
        purposes = [x509.ExtendedKeyUsageOID.CLIENT_AUTH, x509.ExtendedKeyUsageOID.SERVER_AUTH]
        return self.issue(csr.public_key(), x509.Name([]), [
            (x509.BasicConstraints(False, None), True),
            (usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage(purposes), False),
            (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(request.identity)]), True)])


def usage(**set_):
    bits = ("digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
            "encipher_only decipher_only").split()
    return x509.KeyUsage(**{bit: bit in set_ for bit in bits})


class Agent:
    """Says Welcome and a first state to the proxy that connects, and hands it one pod of this very namespace."""

    def __init__(self, mesh_pb, path):
        self.pb, self.authority = mesh_pb, Authority()
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()
        self.outbound, self.inbound = (self.listener() for _ in range(2))

    @staticmethod
    def listener():
        listener = socket.socket(socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        return listener

    def meet(self):
        self.proxy = self.listening.accept()[0]
        self.proxy.settimeout(20)
        assert self.hear().WhichOneof("message") == "hello"
        self.say(welcome=self.pb.Welcome(schema_level=1, node="a", agent_version="0"))
        update = self.pb.Update(version=1, full_state=True)
        update.changed.add().mesh.CopyFrom(self.pb.Mesh(trust_domain="cluster.local", node="a"))
        update.changed.add().trust.CopyFrom(self.pb.Trust(domain="cluster.local", version=1, roots=[self.authority.root]))
        update.changed.add().workload.CopyFrom(self.pb.Workload(
            uid="u", name="w", namespace="a", node="a", identity=IDENTITY, mesh_peer=True, addresses=[bytes([10, 0, 0, 1])]))
        self.say(update=update)
        with open("/proc/self/ns/net") as netns:
            self.say([netns.fileno(), self.outbound.fileno(), self.inbound.fileno()],
                     local_pod=self.pb.LocalPod(uid="u", outbound_listeners=1, inbound_listeners=1, identity=IDENTITY,
                                                listener_port=self.outbound.getsockname()[1],
                                                local_port_first=32768, local_port_last=60999))

    def say(self, descriptors=(), **message):
        text = self.pb.FromAgent(**message).SerializeToString()
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self.proxy.sendmsg([len(text).to_bytes(4, "big") + text], ancillary)

    def hear(self):
        length = int.from_bytes(self.exactly(4), "big")
        return self.pb.FromProxy.FromString(self.exactly(length))

    def exactly(self, count):
        text = b""
        while len(text) < count:
            more = self.proxy.recv(count - len(text))
            assert more, "the proxy has gone"
            text += more
        return text

    def until(self, kind):
        while True:
            message = self.hear()
            if message.WhichOneof("message") == kind:
                return getattr(message, kind)

    def in_queue(self):
        """Connections that nobody has accepted, at the outbound listener."""
        port = self.outbound.getsockname()[1]
        lines = subprocess.run(["ss", "-Htln", f"sport = :{port}"], capture_output=True, text=True).stdout.splitlines()
        return sum(int(line.split()[1]) for line in lines)


@pytest.fixture
def agent(mesh_pb, tmp_path):
    agent = Agent(mesh_pb, tmp_path / "agent.sock")
    command = [str(BUILD / "bin/weir-proxy"), "--agent-socket", str(tmp_path / "agent.sock"), "--metrics-listen", "127.0.0.1:0",
               "--workers", "1", "--access-log", "off", "--drain-seconds", "0"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as proxy:
        try:
            agent.meet()
            yield agent
        finally:
            proxy.terminate()


def test_a_pod_is_accepted_for_as_soon_as_its_certificate_is_there(agent):
    request = agent.until("certificate_request")
    with socket.create_connection(agent.outbound.getsockname()) as waiting:
        time.sleep(2)
        assert agent.in_queue() == 1, "it was taken by a proxy that has no certificate for it"
        agent.say(certificate=agent.pb.Certificate(identity=IDENTITY, chain=[agent.authority.answer(request)]))
        begun = time.monotonic()
        assert agent.until("pod_accepting").uid == "u"
        assert time.monotonic() - begun < CERTIFICATE_WAIT / 2
        waiting.settimeout(CERTIFICATE_WAIT)
        assert ending(waiting) in (b"", "reset")  # nobody listens where it was going
    assert agent.in_queue() == 0


def test_a_pod_whose_certificate_does_not_come_is_accepted_for_after_a_while_and_refused(agent):
    begun = time.monotonic()
    agent.until("certificate_request")
    with socket.create_connection(agent.outbound.getsockname()) as waiting:
        while time.monotonic() - begun < CERTIFICATE_WAIT - 2:
            assert agent.in_queue() == 1, "it was taken by a proxy that has no certificate for it"
            time.sleep(0.5)
        assert agent.until("pod_accepting").uid == "u"
        assert time.monotonic() - begun > CERTIFICATE_WAIT - 1
        waiting.settimeout(2 * CERTIFICATE_WAIT)
        assert ending(waiting) == "reset"


def ending(connection):
    try:
        return connection.recv(1)
    except ConnectionResetError:
        return "reset"
