"""WebSocket by real libraries, crossed: Node's ws and Python's websockets as servers and as clients, through the mesh."""

import pathlib
import time

import pytest

import tools

HERE = pathlib.Path(__file__).parent
CLIENTS = {"node": ["env", "NODE_PATH=/usr/share/nodejs", "node", HERE / "websocket.js", "ask"],
           "python": ["/usr/bin/python3", HERE / "websocket_ends.py", "ask"]}


@pytest.mark.parametrize("server", CLIENTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_texts_binaries_fragments_pings_and_the_close_pass_as_sent(suites, client, server):
    tools.debian("node")
    suites.wait_for(f"ws-{server}")
    host, port = suites.address(f"ws-{server}")
    done = suites.run(*CLIENTS[client], f"ws://{host}:{port}/echo")
    assert done.stdout == "ok\n", done.stdout + done.stderr
    suites.went_through_the_mesh(f"ws-{server}", "request")


def test_a_hundred_websockets_live_side_by_side_and_none_is_ended_for_being_idle(suites):
    suites.wait_for("ws-node")
    host, port = suites.address("ws-node")
    script = f"""
import asyncio, websockets
async def main():
    held = [await websockets.connect("ws://{host}:{port}/", ping_interval=None, compression=None) for _ in range(100)]
    await asyncio.sleep(12)
    for number, connection in enumerate(held):
        await connection.send(str(number))
    assert [await c.recv() for c in held] == [str(n) for n in range(100)]
    for connection in held:
        await connection.close()
asyncio.run(main())
"""
    begun = time.monotonic()
    done = suites.run("/usr/bin/python3", "-c", script)
    assert done.returncode == 0 and time.monotonic() - begun > 12, done.stderr
