"""A steady client: so many requests a second over one kept connection, whoever else uses the same proxies.

It sends on a clock of its own, whether or not the last answer came in time (open loop), so a proxy that stalls shows in
every request it kept waiting. One line for each request: when it was due, how long until its answer from then, whether
it failed. Run as `neighbour.py ADDRESS PORT RATE` in a pod; times are CLOCK_MONOTONIC's, which all processes share.
"""

import socket
import sys
import time

from http_ends import End, Ended


def main(address, port, rate):
    end, due = None, time.monotonic()
    while True:
        due += 1 / rate
        time.sleep(max(0, due - time.monotonic()))
        failure = ""
        try:
            if end is None:
                connection = socket.create_connection((address, port), 5)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                end = End(connection)
            answer = end.ask()
            failure = "" if answer.status == 200 else answer.start
        except (OSError, Ended) as error:
            failure, end = repr(error), None
        print(f"{due:.6f} {time.monotonic() - due:.6f} {failure}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
