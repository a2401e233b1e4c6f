"""A WebSocket echo and its client with the library websockets: `websocket_ends.py serve PORT`, `websocket_ends.py ask URL`."""

import asyncio
import os
import sys

import websockets

SIZES = (0, 1, 125, 126, 65_535, 65_536, 1_000_000)
LIMITS = {"max_size": 1 << 26, "compression": None}


async def echo(connection, _path=None):
    async for message in connection:
        await connection.send(message)


async def serve(port):
    async with websockets.serve(echo, None, port, **LIMITS):
        await asyncio.Future()


async def echoes(connection, data):
    await connection.send(data)
    assert await connection.recv() == data, f"{len(data)} differ"


async def ask(url):
    async with websockets.connect(url, **LIMITS) as connection:
        for size in SIZES:
            await echoes(connection, "é" * size)
            await echoes(connection, os.urandom(size))
        await connection.send([f"part {part};" for part in range(10)])
        assert (await connection.recv()).endswith("part 9;")
        await asyncio.wait_for(await connection.ping("are you there"), 10)
        for number in range(1000):
            await connection.send(str(number))
        assert [await connection.recv() for _ in range(1000)] == [str(n) for n in range(1000)]
        await connection.close(4321, "enough")
        assert connection.close_code == 4321, connection.close_code
    print("ok")


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[2])) if sys.argv[1] == "serve" else ask(sys.argv[2]))
