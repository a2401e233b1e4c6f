"""Very many connections, each of which ends badly in one of many ways: by the client, by the server, by what stands between.

`WAYS` are all of them, by what they speak. Each client process takes every way of its groups the same number of times, in an
order drawn from a seed, and says at the end how often each ended how. Run as `endings.py ORDERS` in a pod; ORDERS is JSON:
{"count": of each way, "at_once": connections, "seed": …, "groups": {name: [kind, address, port]}, "certificate": [file, key]}.
"""

import collections
import contextlib
import itertools
import json
import random
import socket
import sys
import threading
import time

import ending_lanes
import ending_requests
import mesh_peer
from mesh_peer import Ended
from world import ending, read_all, read_exactly, reset

PATIENCE = 20  # seconds that a connection may take to connect, or to say anything


# --- Raw streams: the first byte is the server's order (ending_servers.py) --------------------------------------------
def says(order, then):
    def way(connection):
        connection.sendall(order)
        return then(connection)
    return way


def leaves(connection):
    return "left"


def resets(connection):
    reset(connection)
    return "left"


def is_silent(connection):
    time.sleep(0.2)  # longer than anybody waits for a client's first word
    return "left"


def echoed(connection):
    connection.sendall(b"hello")
    assert read_exactly(connection, 5) == b"hello"


def half_closes(connection):
    connection.sendall(b"farewell")
    connection.shutdown(socket.SHUT_WR)
    return "served" if read_all(connection) == b"farewell" else "cut"


def half_closes_and_waits(connection):
    connection.shutdown(socket.SHUT_WR)
    return ending(connection)


def half_closes_and_resets(connection):
    connection.shutdown(socket.SHUT_WR)
    time.sleep(0.01)
    return resets(connection)


def resets_in_mid_stream(connection):
    echoed(connection)
    return resets(connection)


def resets_a_half_closed(connection):
    assert connection.recv(1) == b""
    connection.sendall(b"but I have more")
    return resets(connection)


def closes_at_once_with_the_server(connection):
    connection.shutdown(socket.SHUT_WR)
    return ending(connection)


def gives_up(connection):
    connection.settimeout(0.05)
    with contextlib.suppress(TimeoutError):
        return f"got {connection.recv(1)!r}"
    return resets(connection)


def resets_an_answer(connection):
    read_exactly(connection, 1000)
    time.sleep(0.02)
    return resets(connection)


def resets_what_is_not_read(connection):
    connection.settimeout(0.05)
    with contextlib.suppress(TimeoutError):
        for _ in range(8):
            connection.sendall(bytes(65536))
    return resets(connection)


RAW = {
    "FIN and no word": (leaves, {"left"}),
    "RST and no word": (resets, {"left"}),
    "silence, then FIN": (is_silent, {"left"}),
    "silence of both, then RST": (says(b"s", gives_up), {"left"}),
    "RST in mid-stream": (says(b"e", resets_in_mid_stream), {"left"}),
    "a half-close, served to the end": (says(b"e", half_closes), {"served"}),
    "a half-close, then RST": (says(b"s", half_closes_and_resets), {"left"}),
    "a half-close, then the server's RST": (says(b"a", half_closes_and_waits), {"reset"}),
    "the server's RST": (says(b"r", ending), {"reset"}),
    "a server that closes and has not read": (says(b"u" + bytes(1000), ending), {"reset"}),
    "the server's half-close, then RST": (says(b"h", resets_a_half_closed), {"left"}),
    "both close at once": (says(b"h", closes_at_once_with_the_server), {"fin"}),
    "the server's RST in mid-answer": (says(b"m", ending), {"reset"}),
    "an endless answer, then RST": (says(b"b", resets_an_answer), {"left"}),
    "a request that is not read, then RST": (says(b"s", resets_what_is_not_read), {"left"}),
}


def is_turned_away(connection):
    connection.sendall(b"anybody?")
    return ending(connection)


WAYS = {"raw": RAW, "h1": ending_requests.H1, "h2": ending_requests.H2,
        "h1 timed": ending_requests.H1_TIMED, "h2 timed": ending_requests.H2_TIMED,
        "nobody": {"nobody listens": (is_turned_away, {"refused", "reset"})},
        "lanes": ending_lanes.WAYS,
        "bad lanes": {way.__name__.replace("_", " "): (is_turned_away, {"reset", "fin"}) for way in ending_lanes.ACCEPTORS}}


def ended(way, kind, address, port, context):
    """How one connection ended."""
    try:
        with socket.create_connection((address, port), PATIENCE) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return way(connection, context) if kind == "lanes" else way(connection)
    except ConnectionRefusedError:
        return "refused"
    except (ConnectionResetError, BrokenPipeError):
        return "reset"
    except Ended as error:
        return f"lane {error}"
    except (OSError, AssertionError) as error:
        return repr(error)


def main(count, at_once, seed, groups, certificate):
    context = mesh_peer.client_context(*certificate)
    due = [(group, kind, address, port, name) for group, (kind, address, port) in groups.items() for name in WAYS[kind]] * count
    random.Random(seed).shuffle(due)
    took, outcomes, turn = collections.defaultdict(float), collections.Counter(), itertools.count()

    def run():
        while (number := next(turn)) < len(due):
            group, kind, address, port, name = due[number]
            begun = time.monotonic()
            outcomes[group, kind, name, ended(WAYS[kind][name][0], kind, address, port, context)] += 1
            took[group, name] = max(took[group, name], time.monotonic() - begun)

    threads = [threading.Thread(target=run) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps([[*key, times, took[key[0], key[2]]] for key, times in sorted(outcomes.items())]))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
