"""A client that keeps nothing: so many new connections a second, each with one small exchange that must succeed.

One line for each that failed, and one with the count at the end (SIGTERM). Run as `newcomers.py ADDRESS PORT RATE` in a pod.
"""

import os
import signal
import socket
import sys
import threading
import time

THREADS = 10
TEXT = b"hello, and farewell"
over = threading.Event()


def once(address, port):
    with socket.create_connection((address, port), 10) as connection:
        connection.sendall(TEXT)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(100):
            received += chunk
    if received != TEXT:
        raise OSError(f"{received!r} came back")


def keep_coming(address, port, due, every, counts, number):
    while not over.is_set():
        due += every
        time.sleep(max(0, due - time.monotonic()))
        begun = time.monotonic()
        try:
            once(address, port)
            counts[number] += 1
        except OSError as error:
            os.write(1, f"failed after {time.monotonic() - begun:.3f} s: {error!r}\n".encode())


def main(address, port, rate):
    counts, begun = [0] * THREADS, time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    threads = [threading.Thread(target=keep_coming, args=(address, port, begun + n / rate, THREADS / rate, counts, n))
               for n in range(THREADS)]
    for thread in threads:
        thread.start()
    over.wait()
    for thread in threads:
        thread.join()
    os.write(1, f"served {sum(counts)}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
