"""The jury: a stream of bytes is sent to every real server, and what each took it for is compared.

A server's `Reading` is one entry for each request it saw: its opinion (method, target, Host, length and hash of the body),
or that it refused (4xx, 5xx) or answered by itself (as OPTIONS * is). A sentinel request follows the stream. Servers may
refuse what others accept, for each has its limits; but where two have an opinion, it must be the same, and those that read
to the end must have seen as many requests. What half of them refuse should not have been forwarded.
"""

import asyncio
import base64
import contextlib
import ipaddress
import json
import re
import urllib.parse

import grammar

SILENCE_S, AT_ONCE = 1.0, 56
UPPER_CASES = "gunicorn"  # It takes methods for upper case, whatever they are; methods pass a proxy with their case kept.
SENTINEL = ("GET", "/sentinel", "sentinel", 0, "")
STATUS = re.compile(rb"HTTP/1\.[01] (\d\d\d)[^\r\n]*\r?\n")
OPINION = re.compile(rb"^x-opinion: *([A-Za-z0-9+/=]*)\r$", re.I | re.M)
UPGRADE = re.compile(rb"^upgrade:", re.I | re.M)
CLOSE = re.compile(rb"^connection: *close\r$", re.I | re.M)
LENGTH = re.compile(rb"^content-length: *(\d+)\r$", re.I | re.M)


def opinion_of(head):
    method, target, host, length, digest = json.loads(base64.b64decode(OPINION.search(head)[1]).decode("latin-1"))
    if absolute := re.match(r"(?i)https?://([^/?#]*)([^#]*)$", target):  # The authority wins over Host.
        target, host = absolute[2] or "/", absolute[1]
    host = urllib.parse.unquote(host, "latin-1")  # HAProxy's words for control characters
    return (method, target, same_host(host), length, digest)


def same_host(text):
    """A host in one writing: lighttpd, whatever it is told, hands on an IPv6 address in the shortest (RFC 5952)."""
    host = text.strip().lower().removesuffix(":80").removesuffix(":")
    if literal := re.match(r"\[([0-9a-f:.]+)\]", host):
        with contextlib.suppress(ValueError):
            return f"[{ipaddress.IPv6Address(literal[1])}]{host[literal.end():]}"
    return host


class Reading:
    """What one server made of a stream. An entry is an opinion, "itself", or the status of a refusal (0: without a word)."""

    def __init__(self, answer, end):
        self.entries, self.end, self.complete = [], end, False
        at, last = 0, b""
        while status := STATUS.match(answer, at):
            head_end = answer.find(b"\r\n\r\n", status.start())
            if head_end < 0:
                break
            head, at = answer[status.start():head_end + 2], head_end + 4
            code = int(status[1])
            if code < 200:
                continue
            last = head
            if OPINION.search(head):
                self.entries.append(opinion_of(head))
            else:
                self.entries.append("itself" if code < 400 else code)
            length = LENGTH.search(head)
            if length and not STATUS.match(answer, at):  # else it was HEAD
                at += int(length[1])
            elif not length:  # A body in chunks, or to the end: go on where the next response begins.
                following = re.compile(rb"HTTP/1\.[01] \d\d\d ").search(answer, at)
                at = following.start() if following else len(answer)
        if self.entries and self.entries[-1] == SENTINEL:
            self.entries.pop()
            self.complete = True
        elif end != "silent" and not CLOSE.search(last) and not last.startswith(b"HTTP/1.0"):
            self.entries.append(0)

    @property
    def refused(self):
        return any(isinstance(entry, int) for entry in self.entries)

    @property
    def stopped(self):
        """It refused, or answered by itself and closed (as lighttpd does an OPTIONS * with a body), and read no further: it
        has an opinion on what was before only."""
        return not self.complete and (self.refused or self.end != "silent" and self.entries[-1:] == ["itself"])

    def __repr__(self):
        return f"{self.entries}{'' if self.complete else ' then ' + self.end}"


def contradictions(readings, fields=5):
    """Requests that two servers have different opinions on, by as many fields of it, as sentences."""
    found = []
    for position in range(max((len(r.entries) for r in readings.values()), default=0)):
        said = {}
        for name, reading in readings.items():
            if position < len(reading.entries) and isinstance(reading.entries[position], tuple):
                opinion = reading.entries[position][:fields]
                if name == UPPER_CASES:
                    opinion = next((other for other in said if (other[0].upper(), *other[1:]) == opinion), opinion)
                said.setdefault(opinion, name)
        if len(said) > 1:
            found.append(f"request {position + 1}: " + "; ".join(f"{name} took it for {what}" for what, name in said.items()))
    return found


def miscounts(readings):
    """Where servers that read to the end have seen more requests than others, as sentences."""
    found, counts = [], {}
    whole = {name: reading for name, reading in readings.items() if not reading.stopped}
    for name, reading in whole.items():
        waits = not reading.complete and reading.end == "silent"
        counts.setdefault((len(reading.entries), waits), name)
    if len(counts) > 1:
        found.append("; ".join(f"{name} saw {count} requests{' and waits for more' if waits else ''}"
                               for (count, waits), name in counts.items()))
    most = max((len(r.entries) for r in whole.values()), default=None)
    for name, reading in readings.items():
        accepted = sum(1 for entry in reading.entries if not isinstance(entry, int))
        if reading.stopped and most is not None and accepted > most:
            found.append(f"{name} accepted {accepted} requests, and others saw {most}")
    return found


class Verdict:
    """What the jury says of one piece: `differences` between servers, and whether half of them refuse it."""

    def __init__(self, piece, readings, differences):
        self.piece, self.readings, self.differences = piece, readings, differences
        self.refusers = [name for name, reading in readings.items() if reading.refused]

    @property
    def unwanted(self):
        return len(self.refusers) * 2 >= len(self.readings)


class Jury:
    """Asks servers (name → port of loopback)."""

    def __init__(self, ports):
        self.ports, self.gate, self.asked, self.loop = ports, asyncio.Semaphore(AT_ONCE), 0, asyncio.new_event_loop()

    def run(self, task):
        return self.loop.run_until_complete(task)

    async def ask(self, name, stream, sentinel, wait_first=False):
        async with self.gate:
            self.asked += 1
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[name])
            answer, end = b"", "closed"
            try:
                writer.write(stream)
                if wait_first:
                    answer = await asyncio.wait_for(reader.read(65536), SILENCE_S)
                writer.write(sentinel)
                if not sentinel:
                    writer.write_eof()
                while data := await asyncio.wait_for(reader.read(65536), SILENCE_S):
                    answer += data
            except asyncio.TimeoutError:
                end = "silent"
            except OSError:
                end = "reset"
            finally:
                writer.transport.abort()
            return Reading(answer, end)

    async def readings(self, stream, sentinel=grammar.SENTINEL):
        """Who asks for an upgrade hears the answer before going on: Node reads nothing behind such a request."""
        names, waits = list(self.ports), bool(UPGRADE.search(stream))
        return dict(zip(names, await asyncio.gather(*[self.ask(name, stream, sentinel, waits) for name in names])))

    async def judge(self, pieces):
        """Verdicts on those of the pieces that something is the matter with, or that some server refuses.

        Pieces of one upstream connection are read as they came, one after the other on one connection. Only if that is not
        read to its end by everybody with one opinion, each is read by itself.
        """
        upgrades = [piece for piece in pieces if UPGRADE.search(piece)]
        if upgrades and len(pieces) > 1:
            rest = [piece for piece in pieces if not UPGRADE.search(piece)]
            apart = [[piece] for piece in upgrades] + ([rest] if rest else [])
            return sum(await asyncio.gather(*[self.judge(part) for part in apart]), [])
        together = await self.readings(b"".join(pieces))
        joint = contradictions(together) + miscounts(together)
        if not joint and all(r.complete and not r.refused for r in together.values()):
            return []
        if len(pieces) == 1:
            return [Verdict(pieces[0], together, joint)]
        read = await asyncio.gather(*[self.readings(piece) for piece in pieces])
        told = [Verdict(piece, r, contradictions(r) + miscounts(r)) for piece, r in zip(pieces, read)]
        if joint and not any(verdict.differences for verdict in told):  # Each is clear by itself, the sequence is not.
            told.append(Verdict(b"".join(pieces), together, joint))
        return told

    async def judge_begun(self, piece):
        """A verdict on a request that the proxy gave up: whatever servers saw of it must be one thing."""
        readings = await self.readings(piece, b"")
        return Verdict(piece, readings, contradictions(readings, 3))
