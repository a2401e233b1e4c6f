"""Keys, certificates and kubeconfigs of a test cluster, made by openssl into one directory. They end with it."""

import base64
import pathlib
import secrets
import subprocess

ADMINS = "system:masters"


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")


class Pki:
    """A directory NAME.key, NAME.crt. What is there already is kept, so a cluster may be started again on its data."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def key(self, name):
        path = self.directory / f"{name}.key"
        if not path.exists():
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
        return path

    def crt(self, name):
        return self.directory / f"{name}.crt"

    def authority(self, name):
        key = self.key(name)
        if not self.crt(name).exists():
            openssl("req", "-x509", "-new", "-key", key, "-days", 3650, "-subj", f"/CN={name}", "-out", self.crt(name),
                    "-addext", "basicConstraints=critical,CA:TRUE",
                    "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
        return self.crt(name)

    def certificate(self, name, authority, subject, names=()):
        """A leaf; with `names` (DNS:…, IP:…) it serves, and it is a client's in any case."""
        key, certificate = self.key(name), self.crt(name)
        if certificate.exists():
            return certificate
        request, extensions = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        lines = ["keyUsage=critical,digitalSignature,keyEncipherment",
                 "extendedKeyUsage=clientAuth" + ",serverAuth" * bool(names)]
        extensions.write_text("\n".join(lines + [f"subjectAltName={','.join(names)}"] * bool(names)) + "\n")
        openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.crt(authority), "-CAkey", self.key(authority),
                "-set_serial", f"0x{secrets.token_hex(12)}", "-days", 3650, "-sha256", "-extfile", extensions,
                "-out", certificate)
        return certificate

    def signing_key(self):
        """(private, public) of the service accounts' tokens."""
        private, public = self.key("service-accounts"), self.directory / "service-accounts.pub"
        if not public.exists():
            openssl("ec", "-in", private, "-pubout", "-out", public)
        return private, public


def kubeconfig(path, server, ca, certificate=None, key=None, token=None):
    """Writes a kubeconfig for one user, known by a certificate or by a token; everything is in the one file."""
    def embedded(file):
        return base64.b64encode(pathlib.Path(file).read_bytes()).decode()

    user = f"token: {token}" if token else f"client-certificate-data: {embedded(certificate)}, client-key-data: {embedded(key)}"
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(f"""apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
clusters: [{{name: test, cluster: {{server: "{server}", certificate-authority-data: {embedded(ca)}}}}}]
users: [{{name: test, user: {{{user}}}}}]
""")
    return path
