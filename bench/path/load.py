"""The loads, and the origin that answers them. Each runs in its pod's namespace on the load core.

Every load returns what it did (requests, bytes, latencies); what that cost is measured around it by cases.py.
"""

import contextlib
import json
import re
import subprocess
import time
from pathlib import Path

from path import procs
from path.ground import CLIENT, NEAR, NODE_A, SERVER
from peers.peer import ORIGIN_PORTS

HERE = Path(__file__).resolve().parent
BODY_BYTES = 1024
BIG_BODY_BYTES = 64 << 20
GRPC_REQUEST_BYTES = 100
GRPC_PATH = "bench.Echo/Unary"
START_AND_END_S = 20  # on top of a load's own length, before it counts as hung

NGINX = """daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log;
events {{ worker_connections 8192; multi_accept on; }}
http {{
  access_log off;
  default_type text/plain;
  keepalive_timeout 3600s;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  sendfile on;
  open_file_cache max=10;
  client_body_temp_path {dir}/nginx-body;
  proxy_temp_path {dir}/nginx-proxy;
  fastcgi_temp_path {dir}/nginx-fastcgi;
  uwsgi_temp_path {dir}/nginx-uwsgi;
  scgi_temp_path {dir}/nginx-scgi;
  server {{
    listen 0.0.0.0:{tcp_port} backlog=8192;
    listen 0.0.0.0:{http_port} backlog=8192;
    root {www};
    location / {{ return 200 "{body}"; }}
    location = /big {{ }}
  }}
}}
"""


def grpc_message(size):
    """One message as gRPC frames it: not compressed, its length, its bytes."""
    return b"\0" + size.to_bytes(4, "big") + b"x" * size


class Origin:
    """In the server pod, one process each: nginx for HTTP/1.1, nghttpd for HTTP/2, nghttpd with the trailer that ends a
    gRPC answer; and an iperf3 server for one test at a time."""

    def __init__(self, ground, run_dir):
        self.ground = ground
        self.run_dir = run_dir
        self.servers = []

    def start(self):
        www = self.run_dir / "www"
        (www / GRPC_PATH).parent.mkdir(parents=True)
        (www / GRPC_PATH).write_bytes(grpc_message(BODY_BYTES))
        (www / "1k").write_bytes(b"x" * BODY_BYTES)
        (www / "big").write_bytes(b"x" * BIG_BODY_BYTES)
        h2 = ["nghttpd", "--no-tls", "--workers=1", "--max-concurrent-streams=1000", f"--htdocs={www}"]
        self.serve("nginx", self.nginx("nginx", www), ["tcp", "http"])
        self.servers.append(self.ground.start(NEAR, self.nginx("near", www), procs.LOAD_CPU, self.run_dir / "near.out"))
        self.serve("h2", [*h2, ORIGIN_PORTS["h2"]], ["h2"])
        self.serve("grpc", [*h2, "--trailer=grpc-status: 0", ORIGIN_PORTS["grpc"]], ["grpc"])

    def nginx(self, name, www):
        """The command of one with a directory of its own in the run's."""
        directory = self.run_dir / name
        directory.mkdir()
        ports = {"tcp_port": ORIGIN_PORTS["tcp"], "http_port": ORIGIN_PORTS["http"]}
        config = directory / "nginx.conf"
        config.write_text(NGINX.format(dir=directory, www=www, body="x" * BODY_BYTES, **ports))
        return ["/usr/sbin/nginx", "-c", config]

    def serve(self, name, argv, services):
        self.servers.append(self.ground.start(SERVER, argv, procs.LOAD_CPU, self.run_dir / f"{name}.out"))
        for service in services:
            self.ground.wait_accepting(SERVER, self.ground.server_address, ORIGIN_PORTS[service], self.servers[-1])

    def stop(self):
        for server in self.servers:
            procs.stop(server)

    def pids(self):
        return [server.pid for server in self.servers]

    @contextlib.contextmanager
    def bulk_server(self, before=()):
        """One that serves one test and ends: an aborted test would leave a lasting one busy."""
        argv = [*before, "iperf3", "--server", "--one-off", "--port", ORIGIN_PORTS["bulk"]]
        process = self.ground.start(SERVER, argv, procs.LOAD_CPU, self.run_dir / "iperf3.log")
        try:
            _wait_for_listener(process, ORIGIN_PORTS["bulk"])
            yield
        finally:
            procs.stop(process)


def _wait_for_listener(process, port, limit_s=5):
    """Looks into /proc instead of connecting: a connection would be the one test that the server serves."""
    wanted = re.compile(rf"^\s*\d+: \w+:{port:04X} \w+:0000 0A ", re.MULTILINE)
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server for port {port} ended with {process.returncode} (iperf3.log of the run says why)")
        tables = (f"/proc/{process.pid}/net/tcp", f"/proc/{process.pid}/net/tcp6")
        for table in tables:
            with open(table, encoding="ascii") as lines:
                if wanted.search(lines.read()):
                    return
        time.sleep(0.02)
    raise RuntimeError(f"no listener on port {port}")


def _client(ground, argv, seconds):
    return ground.run(CLIENT, argv, procs.LOAD_CPU, seconds + START_AND_END_S)


def keep_alive(ground, target, seconds, connections=32, close=False):
    """wrk, as fast as it goes; with close, a connection for each request."""
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s"]
    argv += ["-H", "Connection: close"] if close else []
    output = _client(ground, [*argv, f"http://{target[0]}:{target[1]}/"], seconds)
    done = re.search(r"(\d+) requests in ([\d.]+)(m?s)", output)
    if not done or done[1] == "0":
        raise RuntimeError(f"wrk to {target} answered nothing: {output.strip()[-300:]}")
    length_s = float(done[2]) / (1000 if done[3] == "ms" else 1)
    trouble = re.findall(r"(?:Socket errors|Non-2xx).*", output)
    return {"requests": int(done[1]), "load_s": length_s, "trouble": " ".join(trouble)}


def fixed_rate(ground, target, seconds, binary, rate=1000, connections=16, warmup=1):
    """Open loop: latencies in microseconds from the moment each request was due."""
    argv = [binary, "--address", target[0], "--port", target[1], "--rate", rate, "--connections", connections]
    output = _client(ground, [*argv, "--warmup", warmup, "--seconds", seconds], seconds + warmup)
    try:
        result = json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise RuntimeError(f"latency client to {target}: {output.strip()[-300:]}") from error
    trouble = {key: result[key] for key in ("errors", "unfinished") if result[key]}
    return {**result, "requests": result["sent"], "trouble": " ".join(f"{k} {v}" for k, v in trouble.items())}


def _h2load(ground, target, path, words, seconds):
    words = [*words, f"-D{seconds}", f"http://{target[0]}:{target[1]}/{path}"]
    output = _client(ground, ["h2load", "-t1", *words], seconds)
    done = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    took = re.search(r"finished in ([\d.]+)(ms|s)\b", output)
    if not (done and took) or done[2] == "0":
        said = [line for line in output.splitlines() if re.match("requests:|status|traffic:|.*rror", line)]
        raise RuntimeError(f"h2load to {target} got nothing: {'; '.join(said) or output.strip()[-300:]}")
    length_s = float(took[1]) / (1000 if took[2] == "ms" else 1)
    trouble = {what: int(count) for what, count in zip(("failed", "errored", "timeout"), done.groups()[2:]) if count != "0"}
    said = " ".join(f"{what} {count}" for what, count in trouble.items())
    return {"requests": int(done[2]), "load_s": length_s, "trouble": said}


def streams(ground, target, seconds, connections=4, each=8):
    """HTTP/2 with prior knowledge, as fast as it goes: GETs, so many at once on each connection."""
    return _h2load(ground, target, "1k", [f"-c{connections}", f"-m{each}"], seconds)


def unary_calls(ground, target, seconds, request_file, connections=4, each=8):
    """As gRPC calls look to a proxy: POST, one small message there, 1 KiB and a trailer back."""
    words = [f"-c{connections}", f"-m{each}", "-d", request_file]
    words += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    return _h2load(ground, target, GRPC_PATH, words, seconds)


def big_bodies(ground, target, seconds, connections):
    """wrk, 64 MiB bodies one after the other on each connection; bytes as they came, half bodies too."""
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", ground.scratch / "bytes.lua"]
    argv[-1].write_text('done = function(all) io.write(("%d bytes in %d us\\n"):format(all.bytes, all.duration)) end\n')
    output = _client(ground, [*argv, f"http://{target[0]}:{target[1]}/big"], seconds)
    done = re.search(r"^(\d+) bytes in (\d+) us$", output, re.MULTILINE)
    if not done or done[1] == "0":
        raise RuntimeError(f"wrk to {target} got nothing: {output.strip()[-300:]}")
    trouble = re.findall(r"(?:Socket errors|Non-2xx).*", output)
    return {"bytes": int(done[1]), "gbit_s": int(done[1]) * 8e-3 / int(done[2]), "trouble": " ".join(trouble)}


def bulk(ground, target, seconds, streams, before=()):
    """iperf3 from client to server; bytes as the server received them."""
    argv = [*before, "iperf3", "--client", target[0], "--port", target[1], "--parallel", streams, "--time", seconds, "--json"]
    output = _client(ground, argv, seconds)
    try:
        end = json.loads(output)["end"]["sum_received"]
    except (ValueError, KeyError) as error:
        raise RuntimeError(f"iperf3 to {target}: {output.strip()[-300:]}") from error
    return {"bytes": end["bytes"], "gbit_s": end["bits_per_second"] / 1e9, "trouble": ""}


def connects(ground, count=20_000):
    """So many connect() to a port of the client pod's own where nobody listens: the call and its refusal, no proxy."""
    output = ground.run(CLIENT, ["/usr/bin/python3", "-S", HERE / "connect.py", count], procs.LOAD_CPU, START_AND_END_S)
    return {"connect_us": float(output), "connects": count}


def handshakes(ground, entry, count):
    """Full handshakes with the proxy of the server's node, from node a. `entry`: address, port, certificate, key, ALPN."""
    output = ground.run(NODE_A, ["/usr/bin/python3", HERE / "handshakes.py", *entry, count], procs.LOAD_CPU, START_AND_END_S)
    if output.strip() != str(count):
        raise RuntimeError(f"handshakes with {entry[0]}:{entry[1]}: {output.strip()[-300:]}")
    return {"requests": count, "trouble": ""}


class IdleConnections:
    """Connections held open by idle.py for as long as the `with` block lasts."""

    def __init__(self, ground, target, count):
        self.ground, self.target, self.count = ground, target, count
        self.process = None

    def __enter__(self):
        argv = ["/usr/bin/python3", "-S", HERE / "idle.py", *self.target, self.count]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = self.ground.start(CLIENT, argv, procs.LOAD_CPU, **pipes)
        line = self.process.stdout.readline()
        if not line.startswith("held"):
            raise RuntimeError(f"idle connections to {self.target}: {line.strip()}")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        procs.stop(self.process)
