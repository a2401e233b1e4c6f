"""HAProxy of the distribution on both nodes, one thread each, in two shapes.

HaproxyTcp   mode tcp; a TLS 1.3 connection for each application connection
HaproxyHttp  mode http; HTTP/2 over mTLS between the nodes, on connections that all clients share

Client certificates are demanded and both chains verified; resumption is left as HAProxy ships it. The suite is named,
since OpenSSL would choose AES-256 where the others choose AES-128. No access log.
"""

import socket
import subprocess

from peers import certs
from peers.peer import LAYER_4, LAYER_7, ORIGIN_PORTS, ExplicitPair

SUITE = "TLS_AES_128_GCM_SHA256"
CONNECTIONS_MAX = 9000  # HAProxy wants two descriptors each, and the machine allows 20,000

GLOBAL = """global
  nbthread 1
  maxconn {connections}
  stats socket {socket} mode 600
defaults
  mode {mode}
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
"""
HTTP_DEFAULTS = """  timeout http-keep-alive 3600s
  http-reuse always
"""


class HaproxyTcp(ExplicitPair):
    name = "haproxy-tcp"
    title = "HAProxy, TCP over mTLS"
    services = LAYER_4
    first_port = 20300
    mode = "tcp"

    def stats_socket(self, side):
        return self.run_dir / f"{self.name}-{side}.sock"

    def command(self, side):
        path = self.run_dir / f"{self.name}-{side}.cfg"
        path.write_text(self.config(side))
        return ["/usr/sbin/haproxy", "-db", "-f", path]

    def config(self, side):
        directory = certs.ensure(self.cache)
        tls = (
            f"ssl crt {directory}/{side}.both.pem ca-file {directory}/ca.pem verify required "
            f"ssl-min-ver TLSv1.3 ciphersuites {SUITE}"
        )
        text = GLOBAL.format(connections=CONNECTIONS_MAX, socket=self.stats_socket(side), mode=self.mode)
        text += HTTP_DEFAULTS if self.mode == "http" else ""
        for service in self.services:
            port, between = self.port(service), f"{tls} alpn h2" if self.mode == "http" else tls
            plain = "proto h2" if service in ("h2", "grpc") else ""  # towards client and origin
            if side == "a":
                bind = f"{self.ground.node_a_address}:{port} backlog 8192 {plain}"
                server = f"{self.ground.node_b_address}:{port} {between}"
            else:
                bind = f"{self.ground.node_b_address}:{port} backlog 8192 {between}"
                server = f"{self.ground.server_address}:{ORIGIN_PORTS[service]} {plain}"
            text += f"frontend {service}_in\n  bind {bind}\n  default_backend {service}_out\n"
            text += f"backend {service}_out\n  server origin {server}\n"
        return text

    def facts(self):
        version = subprocess.run(["/usr/sbin/haproxy", "-vv"], capture_output=True, text=True).stdout.splitlines()
        facts = {"version": version[0], "suite": SUITE, "group": "X25519 (OpenSSL's first)"}
        facts["library"] = next(line for line in version if line.startswith("Running on OpenSSL version"))
        with socket.socket(socket.AF_UNIX) as stats:
            stats.settimeout(5)
            stats.connect(str(self.stats_socket("b")))
            stats.sendall(b"show info\n")
            answer = b"".join(iter(lambda: stats.recv(65536), b"")).decode()
        told = ("CumSslConns", "SslFrontendSessionReuse_pct")
        facts.update(line.split(": ", 1) for line in answer.splitlines() if line.startswith(told))
        return facts


class HaproxyHttp(HaproxyTcp):
    name = "haproxy-http"
    title = "HAProxy, HTTP, h2 over mTLS between"
    services = LAYER_7
    first_port = 20500
    mode = "http"
