"""One CA and a SPIFFE leaf for each of the two workloads (ECDSA P-256), for the peers: Weir makes its own."""

import subprocess
from pathlib import Path

IDENTITIES = {side: f"spiffe://cluster.local/ns/bench/sa/{name}" for side, name in (("a", "client"), ("b", "server"))}


def _openssl(directory, *words):
    subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)


def ensure(cache):
    """Makes ca.pem, {a,b}.pem, {a,b}.key and {a,b}.both.pem, anew when within a day of expiry; returns the directory."""
    directory = Path(cache) / "certs"
    leaf = directory / "b.both.pem"
    fresh = ["openssl", "x509", "-in", leaf, "-noout", "-checkend", "86400"]
    if leaf.exists() and subprocess.run(fresh, capture_output=True).returncode == 0:
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    key = ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"]
    _openssl(directory, *key, "ca.key")
    ca = ["req", "-x509", "-new", "-key", "ca.key", "-sha256", "-days", "365", "-subj", "/O=weir-bench/CN=ca"]
    _openssl(directory, *ca, "-out", "ca.pem")
    for side, identity in IDENTITIES.items():
        extensions = directory / f"{side}.ext"
        extensions.write_text(
            f"subjectAltName=critical,URI:{identity}\nkeyUsage=critical,digitalSignature\n"
            "extendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=critical,CA:FALSE\n"
        )
        _openssl(directory, *key, f"{side}.key")
        _openssl(directory, "req", "-new", "-key", f"{side}.key", "-subj", "/O=weir-bench", "-out", f"{side}.csr")
        sign = ["x509", "-req", "-in", f"{side}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
        _openssl(directory, *sign, "-days", "300", "-sha256", "-extfile", extensions.name, "-out", f"{side}.pem")
        both = (directory / f"{side}.pem").read_text() + (directory / f"{side}.key").read_text()
        (directory / f"{side}.both.pem").write_text(both)
    return directory
