"""Where a garden grows: the proxy in question, with the sender on its client's side and the recorder on its server's.

`relay` (a proxy that only moves bytes), `haproxy` and `nginx` stand on loopback. `weir` is the mesh: a lab of two nodes,
the sender in a pod of one and the recorder in a pod of the other.
"""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))

from lab import Lab  # noqa: E402
from servers import free_port, wait_for  # noqa: E402

KINDS = ("weir", "haproxy", "nginx", "relay")
SERVICE, PORT = "10.96.0.1", 80
HAPROXY = """
global
  maxconn 4000
  log stdout format raw daemon emerg
defaults
  mode {mode}
  timeout client 10s
  timeout server 10s
  timeout connect 2s
  timeout http-request 10s
listen garden
  bind 127.0.0.1:{port}
  server recorder 127.0.0.1:{recorder}
"""
NGINX = """
daemon off; worker_processes 1; user root; pid {dir}/proxy.pid; error_log {dir}/proxy.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 0; keepalive_requests 1000000;
  client_body_temp_path {dir}/p1; proxy_temp_path {dir}/p2; fastcgi_temp_path {dir}/p3; uwsgi_temp_path {dir}/p4;
  scgi_temp_path {dir}/p5;
  upstream recorder {{ server 127.0.0.1:{recorder}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://recorder; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    }}
  }}
}}
"""


class Ground:
    """From `with` to its end; `ask` has the sender send, `harvest` has the recorder tell."""

    def __init__(self, kind, directory, server="recorder.py"):
        if kind not in KINDS:
            raise SystemExit(f"no proxy is called {kind!r}; there are {', '.join(KINDS)}")
        self.kind, self.directory, self.server, self.processes, self.lab = kind, pathlib.Path(directory), server, [], None

    def __enter__(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self.in_the_mesh() if self.kind == "weir" else self.on_loopback()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        if self.lab:
            self.lab.down()

    def popen(self, argv, place=None):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        argv = ["/usr/bin/python3", *map(str, argv)]
        process = self.lab.popen(place, argv, **pipes) if place else subprocess.Popen(argv, **pipes)
        self.processes.append(process)
        return process

    def on_loopback(self):
        self.recorder = self.popen([HERE / self.server, "127.0.0.1", "0"])
        recorder, port = int(self.recorder.stdout.readline()), free_port()
        text, argv = (NGINX, ["nginx", "-p", self.directory, "-e", self.directory / "proxy.log", "-c"]) if self.kind == "nginx" \
            else (HAPROXY, ["haproxy", "-db", "-f"])
        config = self.directory / "proxy.conf"
        config.write_text(text.format(dir=self.directory, port=port, recorder=recorder,
                                      mode="tcp" if self.kind == "relay" else "http"))
        proxy = subprocess.Popen([*argv, config], stdin=subprocess.DEVNULL)
        self.processes.append(proxy)
        wait_for(port, proxy, self.kind)
        self.sender, self.to = self.popen([HERE / "sender.py"]), ("127.0.0.1", port)

    def in_the_mesh(self):
        self.lab = Lab("garden")
        self.lab.up(HERE / "world")
        self.recorder = self.popen([HERE / self.server, "0.0.0.0", "8080"], "garden/recorder")
        self.recorder.stdout.readline()
        self.sender, self.to = self.popen([HERE / "sender.py"], "garden/sender"), (SERVICE, PORT)

    @staticmethod
    def talk(process, line):
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    def ask(self, **asked):
        return self.talk(self.sender, json.dumps({"to": self.to} | asked))

    def harvest(self):
        return self.talk(self.recorder, "")
