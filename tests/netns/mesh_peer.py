"""A peer of the mesh protocol that Weir did not write: TLS with any certificate, and any frames on it, in either role.

The frames are those of nodeproxy/mesh/frame.h, whole or broken. A `Records` goes below them: it seals TLS records itself,
with the secret that the ssl module writes down for Wireshark, so that it can send what no TLS library would.
"""

import contextlib
import ipaddress
import pathlib
import ssl
import struct
import tempfile

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

SETTINGS, OPEN, OPENED, DATA, FIN, RST, CREDIT, PING, GOAWAY = range(1, 10)
CRITICAL, REPLY, RETRYABLE = 0x80, 0x01, 0x01
PAYLOAD_MAX, WINDOW = 16 * 1024 - 64, 64 * 1024  # limits::frame_payload_max_bytes, session_window_initial_bytes
REFUSED, OVERLOADED, BAD_OPEN = 2, 5, 10         # of RST
HANDSHAKE, ALERT, APPLICATION_DATA = 22, 21, 23
KEY_UPDATE = {asks: b"\x18\0\0\1" + bytes([asks]) for asks in (0, 1)}


def frame(kind, session=0, payload=b"", flags=0, length=None):
    return struct.pack("!BBHI", kind, flags, len(payload) if length is None else length, session) + payload


def settings(version=1, window=WINDOW, sessions=100, features=0):
    return frame(SETTINGS, 0, struct.pack("!HIIQ", version, window, sessions, features))


def field(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def client_field(address, port=1234, kind=0x81):
    ip = ipaddress.ip_address(address)
    return field(kind, (b"\0" * 10 + b"\xff\xff" + ip.packed if ip.version == 4 else ip.packed) + struct.pack("!H", port))


def opening(session, address, more=b""):
    return frame(OPEN, session, client_field(address) + more)


def number(value):
    return struct.pack("!I", value)


def client_context(certificate=None, key=None, alpn=("weir/1",), versions=(ssl.TLSVersion.TLSv1_3,) * 2):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return dressed(context, certificate, key, alpn, versions)


def server_context(certificate, key, alpn=("weir/1",), versions=(ssl.TLSVersion.TLSv1_3,) * 2):
    """It wants a client certificate, as a proxy does, and judges none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    return dressed(context, certificate, key, alpn, versions)


def dressed(context, certificate, key, alpn, versions):
    context.set_ciphers("ALL:@SECLEVEL=0")  # or OpenSSL itself refuses to show what is too weak for it
    context.minimum_version, context.maximum_version = versions
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


class Ended(Exception):
    """The lane ended; its text is how: closed (close_notify), truncated, reset, or the name of the alert."""


class Peer:
    """One end of a lane. `raw` is the socket below TLS."""

    def __init__(self, connection, context, server=False):
        self.raw = connection
        self.tls = context.wrap_socket(connection.dup(), server_side=server, suppress_ragged_eofs=False)
        self.buffer = b""

    def send(self, *frames):
        self.tls.sendall(b"".join(frames))

    def receive(self):
        """The next (kind, flags, session, payload)."""
        while len(self.buffer) < 8 or len(self.buffer) < 8 + struct.unpack_from("!H", self.buffer, 2)[0]:
            self.buffer += self.more()
        kind, flags, length, session = struct.unpack_from("!BBHI", self.buffer)
        payload, self.buffer = self.buffer[8:8 + length], self.buffer[8 + length:]
        return kind, flags, session, payload

    def more(self):
        try:
            read = self.tls.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            raise Ended("reset") from None
        except ssl.SSLEOFError:
            raise Ended("truncated") from None
        except ssl.SSLError as error:
            raise Ended(error.reason) from None
        if not read:
            raise Ended("closed")
        return read

    def until(self, kind, session=None):
        """The payload of the next frame of this kind; what comes before it is dropped."""
        while True:
            came, _, of, payload = self.receive()
            if came == kind and session in (None, of):
                return payload

    def echoes(self, session, text=b"hello"):
        """Whether an open session to the echo server works."""
        self.send(frame(DATA, session, text))
        got = b""
        while len(got) < len(text):
            got += self.until(DATA, session)
        return got == text

    def ending(self):
        """(frames that came before the end, how it ended)"""
        frames = []
        try:
            while True:
                frames.append(self.receive())
        except Ended as end:
            return frames, str(end)

    def shutdown(self):
        """Ends in order: close_notify, and waits for the other's."""
        self.tls.unwrap().close()
        self.raw.close()

    def close(self):
        """Ends as what has crashed does: without close_notify."""
        self.tls.close()
        self.raw.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def expand(secret, label, length, digest):
    """HKDF-Expand-Label of RFC 8446 section 7.1, without a context."""
    label = b"tls13 " + label
    info = struct.pack("!HB", length, len(label)) + label + b"\0"
    return HKDFExpand(digest, length, info).derive(secret)


SUITES = {"TLS_AES_128_GCM_SHA256": (AESGCM, 16, hashes.SHA256()), "TLS_AES_256_GCM_SHA384": (AESGCM, 32, hashes.SHA384()),
          "TLS_CHACHA20_POLY1305_SHA256": (ChaCha20Poly1305, 32, hashes.SHA256())}


class Records(Peer):
    """A dialler that seals its own records once the handshake is through. What it reads still goes through OpenSSL."""

    def __init__(self, connection, certificate, key):
        with tempfile.NamedTemporaryFile(prefix="weir-netns-") as secrets:
            context = client_context(certificate, key)
            context.keylog_filename = secrets.name
            super().__init__(connection, context)
            self.seal, self.key_bytes, self.hash = SUITES[self.tls.cipher()[0]]
            lines = [line.split() for line in pathlib.Path(secrets.name).read_text().splitlines()]
        self.use(bytes.fromhex(next(line[2] for line in lines if line[0] == "CLIENT_TRAFFIC_SECRET_0")))

    def use(self, secret):
        self.secret, self.sequence = secret, 0
        self.key = self.seal(expand(secret, b"key", self.key_bytes, self.hash))
        self.nonce = int.from_bytes(expand(secret, b"iv", 12, self.hash), "big")

    def update(self):
        self.use(expand(self.secret, b"traffic upd", self.hash.digest_size, self.hash))

    def record(self, kind, inner, padding=0):
        inner += bytes([kind]) + bytes(padding)
        header = b"\x17\3\3" + struct.pack("!H", len(inner) + 16)
        nonce = (self.nonce ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        return header + self.key.encrypt(nonce, inner, header)

    def key_update(self, asks=0):
        sealed = self.record(HANDSHAKE, KEY_UPDATE[asks])
        self.update()
        return sealed

    def send(self, *frames):
        self.raw.sendall(self.record(APPLICATION_DATA, b"".join(frames)))


# --- Below the handshake ---------------------------------------------------------------------------------------------
def first_flight(context):
    """(an SSLObject, its incoming and outgoing BIO, its ClientHello in one record)"""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return tls, incoming, outgoing, outgoing.read()


def in_records(hello, size):
    """The same ClientHello in records of so many bytes (RFC 8446 5.1 lets it be cut anywhere)."""
    body = hello[5:]
    return b"".join(hello[:3] + struct.pack("!H", len(part)) + part
                    for part in (body[at:at + size] for at in range(0, len(body), size)))


def padded(hello, size):
    """A ClientHello with the extension padding (RFC 7685) on top, so that it is of so many bytes; in full records."""
    message = hello[5:]
    at = 4 + 2 + 32
    at += 1 + message[at]
    at += 2 + int.from_bytes(message[at:at + 2], "big")
    at += 1 + message[at]
    extensions = message[at + 2:]
    extensions += struct.pack("!HH", 21, size - len(message) - 4) + bytes(size - len(message) - 4)
    body = message[4:at] + struct.pack("!H", len(extensions)) + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return in_records(hello[:5] + message, 16384)


def handshaken(connection, context, pieces):
    """Goes through a handshake whose ClientHello is sent as `pieces(hello)`; the proxy's first frame."""
    tls, incoming, outgoing, hello = first_flight(context)
    for piece in pieces(hello):
        connection.sendall(piece)

    def step(act):
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                read = connection.recv(65536)
                if not read:
                    raise Ended("truncated") from None
                incoming.write(read)
            except ssl.SSLError as error:
                raise Ended(error.reason) from None

    step(tls.do_handshake)
    connection.sendall(outgoing.read())
    return step(lambda: tls.read(65536))
