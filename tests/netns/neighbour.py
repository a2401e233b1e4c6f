"""A steady client: so many requests a second over a few kept connections, whoever else uses the same proxies.

It sends on a clock of its own, whether or not the last answer came in time (open loop), so a proxy that stalls shows in
every request it kept waiting. The connections take turns: one slow answer does not make a queue of the client's own. One
line for each request: its connection, when it was due, how long until its answer from then, how it failed if it did. Run
as `neighbour.py ADDRESS PORT RATE` in a pod; times are CLOCK_MONOTONIC's, which all processes share.
"""

import os
import socket
import sys
import threading
import time

from http_ends import End, Ended

CONNECTIONS = 8


def asked(end, address, port):
    """(the connection to go on with, how the request failed)"""
    try:
        if end is None:
            connection = socket.create_connection((address, port), 5)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end = End(connection)
        answer = end.ask()
        return end, "" if answer.status == 200 else answer.start
    except (OSError, Ended) as error:
        return None, repr(error)


def keep_asking(number, address, port, due, every):
    end = None
    while True:
        due += every
        time.sleep(max(0, due - time.monotonic()))
        end, failure = asked(end, address, port)
        os.write(1, f"{number} {due:.6f} {time.monotonic() - due:.6f} {failure}\n".encode())  # threads share no buffer


def main(address, port, rate):
    begun = time.monotonic()
    for number in range(CONNECTIONS):
        threading.Thread(target=keep_asking, args=(number, address, port, begun + number / rate, CONNECTIONS / rate)).start()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
