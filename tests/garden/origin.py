"""The origin: a raw server behind the proxy, which answers GET /SEED/NUMBER with the mutated response of that number.

`origin.py ADDRESS PORT` listens and prints its port. An even number's connection ends with its response, an odd one's stays
for a while (unless it is a valid response that its end ends). GET /sentinel is answered with the sentinel, whatever the
connection has carried.
"""

import asyncio
import re
import sys

import response_grammar as grammar

ASKED = re.compile(rb"GET /(?:sentinel|(\w+)/(\d+)) ")
LINGER_S = 0.25


class Origin(asyncio.Protocol):
    """One upstream connection."""

    def connection_made(self, transport):
        self.transport, self.data, self.end = transport, b"", None

    def data_received(self, data):
        self.data += data
        while (at := self.data.find(b"\r\n\r\n")) >= 0:
            head, self.data = self.data[:at], self.data[at + 4:]
            asked = ASKED.match(head)
            if self.end:
                self.end.cancel()
                self.end = None
            if asked and asked[2]:
                number = int(asked[2])
                self.transport.write(grammar.mutated(asked[1].decode(), number))
                if number % 2 == 0 or number in grammar.ENDED_BY_CLOSE:
                    self.transport.close()
                    return
                self.end = asyncio.get_running_loop().call_later(LINGER_S, self.transport.close)
            else:
                self.transport.write(grammar.SENTINEL)


async def main(address, port):
    server = await asyncio.get_running_loop().create_server(Origin, address, port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
