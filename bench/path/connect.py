"""What a connect() takes:  connect.py COUNT

Connects COUNT times to a port of 127.0.0.1 where nobody listens, and prints the microseconds of each, on average: a SYN and
its RST over lo, and what is hooked into connect().
"""

import socket
import sys
import time


def main(count):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else will
        address = taken.getsockname()
        spent = 0
        for _ in range(count):
            with socket.socket() as one:
                begun = time.perf_counter_ns()
                refused = one.connect_ex(address)
                spent += time.perf_counter_ns() - begun
            if not refused:
                sys.exit("somebody listens there")
    print(spent / count / 1000)


main(int(sys.argv[1]))
