"""The sender: raw streams to the proxy, many connections at a time, from wherever the client is (a pod, or loopback).

`sender.py` reads lines of JSON, {"to": [address, port], "streams": [base64, …]}, and answers each with a list: for every
stream {"statuses": [200, …], "end": "closed" | "reset" | "silent" | "refused"}. After a stream a sentinel request follows,
which asks to close; whoever has kept count answers it last. With "answers": true the answer's bytes are told too, in base64.
A connection that stays silent is given up after SILENCE.
"""

import asyncio
import base64
import json
import re
import sys

SILENCE_S, AT_ONCE = 0.4, 48
STATUS = re.compile(rb"(?:^|\n)HTTP/1\.\d (\d\d\d)[ \r\n]")


async def send(to, stream, gate):
    """Everything that comes back for one stream, and how it ended."""
    async with gate:
        try:
            reader, writer = await asyncio.open_connection(*to)
        except OSError:
            return b"", "refused"
        answer = b""
        try:
            writer.write(stream)
            while True:
                data = await asyncio.wait_for(reader.read(65536), SILENCE_S)
                if not data:
                    return answer, "closed"
                answer += data
        except asyncio.TimeoutError:
            return answer, "silent"
        except OSError:
            return answer, "reset"
        finally:
            writer.close()


async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 30)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    gate = asyncio.Semaphore(AT_ONCE)
    while line := await reader.readline():
        asked = json.loads(line)
        told = await asyncio.gather(*[send(asked["to"], base64.b64decode(s), gate) for s in asked["streams"]])
        answers = [{"statuses": [int(s) for s in STATUS.findall(a)], "end": end} for a, end in told]
        if asked.get("answers"):
            answers = [one | {"answer": base64.b64encode(a).decode()} for one, (a, _) in zip(answers, told)]
        sys.stdout.write(json.dumps(answers) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
