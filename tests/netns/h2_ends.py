"""Both ends of HTTP/2 without TLS on sockets, by python3-h2 (nobody here wrote it), for scenarios and the pods' apps.

`H2End` is one connection with prior knowledge, client or server. It is pumped by whoever uses it, on their thread:
`wait` reads until a condition holds. Each stream keeps what came: fields, data, trailers, how it ended.
gRPC's framing (5 bytes before each message) and its status are at the bottom.
"""

import select
import struct

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from http_ends import Ended


class Stream:
    """What came on one stream."""

    def __init__(self, number):
        self.id = number
        self.fields, self.data, self.trailers, self.interim = [], b"", [], []
        self.ended, self.reset = False, None  # reset: the error code

    def get(self, name, default=None):
        found = [value for field, value in self.trailers + self.fields if field == name]
        return ", ".join(found) if found else default

    @property
    def status(self):
        return int(self.get(":status"))

    @property
    def over(self):
        return self.ended or self.reset is not None

    def __repr__(self):
        return (f"<stream {self.id} {self.fields} data {len(self.data)} bytes {self.data[:200]!r} trailers {self.trailers} "
                f"{'reset ' + str(self.reset) if self.reset is not None else 'ended' if self.ended else 'open'}>")


class H2End:
    """One end of a connection. `acknowledge` False leaves flow control windows shut: a reader that stalls. `settings`: of
    its first SETTINGS, besides python3-h2's."""

    def __init__(self, connection, client=True, acknowledge=True, validate=True, settings=None):
        self.socket, self.acknowledge = connection, acknowledge
        config = h2.config.H2Configuration(client_side=client, header_encoding="utf-8", validate_outbound_headers=validate,
                                           normalize_outbound_headers=validate)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.local_settings.update(settings or {})
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        self.streams, self.goaway, self.over, self.fresh = {}, None, False, []
        self.flush()

    def flush(self):
        if data := self.h2.data_to_send():
            self.socket.sendall(data)

    def pump(self, timeout=None):
        """Reads once (waiting for at most `timeout` seconds) and takes in what came; False at the end of the stream."""
        if timeout is not None and not select.select([self.socket], [], [], timeout)[0]:
            return True
        data = self.socket.recv(1 << 16)
        if not data:
            self.over = True
            return False
        for event in self.h2.receive_data(data):
            self.take(event)
        self.flush()
        return True

    def take(self, event):
        number = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            self.streams[number] = Stream(number)
            self.fresh.append(self.streams[number])
        if isinstance(event, (h2.events.RequestReceived, h2.events.ResponseReceived)):
            self.streams[number].fields = list(event.headers)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            self.streams[number].interim.append(list(event.headers))
        elif isinstance(event, h2.events.TrailersReceived):
            self.streams[number].trailers = list(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.streams[number].data += event.data
            if self.acknowledge and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, h2.events.StreamEnded):
            self.streams[number].ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.streams[number].reset = int(event.error_code)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event

    def wait(self, condition):
        while not condition():
            if not self.pump():
                raise Ended(f"the connection ended (goaway: {self.goaway}) before that was so: {list(self.streams.values())}")

    # --- Writing -------------------------------------------------------------------------------------------------
    def send_some(self, number, data):
        """What the peer's windows take of it now; returns the rest."""
        while room := max(0, min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(data))):
            self.h2.send_data(number, data[:room])
            data = data[room:]
            self.flush()
        return data

    def send(self, number, data, end=False):
        """Data within the peer's windows, reading meanwhile where they are shut."""
        while data := self.send_some(number, data):
            if not self.pump() or self.streams[number].reset is not None:
                raise Ended(f"nobody reads any more: {self.streams[number]}")
        if end:
            self.h2.end_stream(number)
        self.flush()

    def ask(self, method="GET", path="/", fields=(), body=b"", end=True, authority="web.servers"):
        """Opens a stream with a request; returns its Stream at once."""
        number = self.h2.get_next_available_stream_id()
        self.streams[number] = Stream(number)
        head = [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)]
        self.h2.send_headers(number, head + list(fields), end_stream=end and not body)
        self.flush()
        if body:
            self.send(number, body, end)
        return self.streams[number]

    def answer(self, stream):
        """Waits for the end of a stream, whichever it is."""
        self.wait(lambda: stream.over)
        return stream

    def accept(self):
        """As a server: the next request; its data may still be coming."""
        self.wait(lambda: self.fresh)
        return self.fresh.pop(0)

    def reply(self, stream, status=200, fields=(), body=b"", trailers=(), end=True):
        head = [(":status", str(status))] + list(fields)
        self.h2.send_headers(stream.id, head, end_stream=end and not body and not trailers)
        self.flush()
        if body:
            self.send(stream.id, body, end and not trailers)
        if trailers:
            self.h2.send_headers(stream.id, list(trailers), end_stream=True)
            self.flush()

    def cancel(self, stream, code=8):
        self.h2.reset_stream(stream.id, code)
        self.flush()


# --- gRPC ----------------------------------------------------------------------------------------------------------
GRPC_FIELDS = [("content-type", "application/grpc"), ("te", "trailers")]


def framed(message):
    """A gRPC message on the wire: not compressed, 4 bytes of length."""
    return struct.pack(">BI", 0, len(message)) + message


def messages(data):
    found = []
    while data:
        compressed, length = struct.unpack(">BI", data[:5])
        assert not compressed and len(data) >= 5 + length, data[:80]
        found.append(data[5:5 + length])
        data = data[5 + length:]
    return found


def call(end, path, message=b"", fields=()):
    """One unary gRPC call: (grpc-status, the messages that came, the Stream)."""
    stream = end.answer(end.ask("POST", path, GRPC_FIELDS + list(fields), framed(message)))
    status = stream.get("grpc-status")
    return (int(status) if status is not None else None), messages(stream.data), stream
