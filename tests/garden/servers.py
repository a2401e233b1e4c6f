"""Seven real servers, which are asked what they take a stream of bytes for: nginx, Apache, HAProxy, lighttpd, Caddy, Node and
gunicorn, each in Debian's version with its defaults, on loopback ports of their own.

Node and gunicorn say themselves what they understood (opinion.js, opinion.py); the others pass the request on to told.py with
the raw target, method and Host that they saw, so a body is what that server took for the body. Every one of them is started
once and ended with the garden.
"""

import pathlib
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
APACHE_MODULES = ("mpm_event", "authz_core", "proxy", "proxy_http", "headers")

NGINX = """
daemon off; worker_processes 1; user root; pid {dir}/nginx.pid; error_log {dir}/nginx.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 0; keepalive_requests 1000000;
  client_body_temp_path {dir}/n1; proxy_temp_path {dir}/n2; fastcgi_temp_path {dir}/n3; uwsgi_temp_path {dir}/n4;
  scgi_temp_path {dir}/n5;
  proxy_buffer_size 64k; proxy_buffers 4 64k; large_client_header_buffers 8 64k;
  upstream told {{ server 127.0.0.1:{told}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://told; proxy_http_version 1.1; proxy_pass_request_headers off; proxy_set_header Connection "";
      proxy_set_header X-Method $request_method; proxy_set_header X-Target $request_uri; proxy_set_header X-Host $http_host;
      proxy_set_header Host told;
    }}
  }}
}}
"""
APACHE = """
ServerName garden
Listen 127.0.0.1:{port}
{modules}
User www-data
Group www-data
PidFile {dir}/apache.pid
ErrorLog {dir}/apache.log
LogLevel crit
KeepAliveTimeout 5
MaxKeepAliveRequests 0
TraceEnable off
ServerLimit 2
MaxRequestWorkers 50
StartServers 1
AllowEncodedSlashes NoDecode
ProxyPreserveHost On
RequestHeader set X-Method "expr=%{{REQUEST_METHOD}}"
RequestHeader set X-Line "expr=%{{THE_REQUEST}}"
RequestHeader set X-Host "expr=%{{req_novary:Host}}"
ProxyPass / http://127.0.0.1:{told}/ nocanon
"""
HAPROXY = """
global
  maxconn 4000
  log stdout format raw daemon emerg
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 2s
frontend front
  bind 127.0.0.1:{port}
  http-request set-header X-Method %[method]
  http-request set-header X-Target %[url]
  http-request set-header X-Host %[req.fhdr(host)]
  default_backend told
backend told
  server told 127.0.0.1:{told}
"""
LIGHTTPD = """
server.modules = ("mod_proxy")
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{dir}"
server.errorlog = "{dir}/lighttpd.log"
server.upload-dirs = ("{dir}")
server.max-keep-alive-requests = 1000000
server.http-parseopts = ("url-normalize" => "disable", "host-normalize" => "disable")
proxy.server = ("" => (("host" => "127.0.0.1", "port" => {told})))
"""
CADDY = """
{{
  admin off
  auto_https off
  servers {{
    protocols h1
  }}
  log {{
    level ERROR
  }}
}}
http://:{port} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{told} {{
    header_up X-Method {{http.request.method}}
    header_up X-Target {{http.request.orig_uri}}
    header_up X-Host {{http.request.hostport}}
  }}
}}
"""
NAMES = ("nginx", "apache", "haproxy", "lighttpd", "caddy", "node", "gunicorn")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process, name):
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not listen: {error}; see its log") from error
            time.sleep(0.05)


class Servers:
    """The servers, from `with` to its end. `ports`: by name."""

    def __init__(self, directory, names=NAMES):
        self.directory, self.names = pathlib.Path(directory), names
        self.ports, self.processes = {}, []

    def __enter__(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        self.told = free_port()
        try:
            self.start("told", ["/usr/bin/python3", HERE / "told.py", str(self.told)], self.told)
            for name in self.names:
                self.ports[name] = free_port()
                self.start(name, getattr(self, name)(self.ports[name]), self.ports[name])
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, name, argv, port):
        with open(self.directory / f"{name}.out", "ab") as log:
            environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.directory), "PYTHONPATH": str(HERE),
                           "PYTHONDONTWRITEBYTECODE": "1"}
            process = subprocess.Popen([str(a) for a in argv], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                       env=environment, cwd=self.directory)
        self.processes.append(process)
        wait_for(port, process, name)

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def config(self, name, text, port, **more):
        path = self.directory / f"{name}.conf"
        path.write_text(text.format(dir=self.directory, port=port, told=self.told, **more))
        return path

    def nginx(self, port):
        return ["nginx", "-p", self.directory, "-c", self.config("nginx", NGINX, port), "-e", self.directory / "nginx.log"]

    def apache(self, port):
        modules = "\n".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so" for m in APACHE_MODULES)
        return ["apache2", "-DFOREGROUND", "-f", self.config("apache", APACHE, port, modules=modules)]

    def haproxy(self, port):
        return ["haproxy", "-db", "-f", self.config("haproxy", HAPROXY, port)]

    def lighttpd(self, port):
        return ["lighttpd", "-D", "-f", self.config("lighttpd", LIGHTTPD, port)]

    def caddy(self, port):
        return ["caddy", "run", "--adapter", "caddyfile", "--config", self.config("caddy", CADDY, port)]

    def node(self, port):
        return ["node", HERE / "opinion.js", str(port)]

    def gunicorn(self, port):
        return ["gunicorn", "-k", "gevent", "-w", "1", "-b", f"127.0.0.1:{port}", "--keep-alive", "30", "--backlog", "4096",
                "--log-level", "critical", "opinion:application"]
