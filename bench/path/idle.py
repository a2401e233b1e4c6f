"""Holds idle connections:  idle.py ADDRESS PORT COUNT

Opens COUNT connections, asks one request on each and reads the answer, prints "held N", and keeps them until its
standard input closes. What a proxy keeps for them meanwhile is what an idle connection costs.
"""

import socket
import sys


def read_answer(connection):
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536) or sys.exit("connection closed before the answer")
    head, body = received.split(b"\r\n\r\n", 1)
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    while len(body) < length:
        body += connection.recv(65536) or sys.exit("connection closed inside the answer")


def main(address, port, count):
    held = []
    for _ in range(int(count)):
        try:
            connection = socket.create_connection((address, int(port)), 10)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: origin\r\n\r\n")
            read_answer(connection)
        except OSError as error:
            sys.exit(f"{error}, with {len(held)} held")
        held.append(connection)
    print(f"held {len(held)}", flush=True)
    sys.stdin.read()


main(*sys.argv[1:])
