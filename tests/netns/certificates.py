"""Certificates that a scenario shows to a proxy: self-signed ones, and leaves that the mesh's own root has signed.

openssl makes them; nothing here is shared with Weir's own certificate code.
"""

import atexit
import pathlib
import shutil
import subprocess
import tempfile

ALICE = "spiffe://cluster.local/ns/clients/sa/alice"
CONFIGURATION = """
[ca]
default_ca = this
[this]
database = {directory}/index.txt
serial = {directory}/serial
new_certs_dir = {directory}
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = optional
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = critical,{names}
"""


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def new_directory():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-netns-"))
    atexit.register(shutil.rmtree, directory, True)
    return directory


def self_signed(name=ALICE):
    """(certificate, key) files of a self-signed leaf with this URI."""
    directory = new_directory()
    certificate, key = directory / "cert.pem", directory / "key.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 1, "-subj", "/CN=x",
            "-addext", f"subjectAltName=critical,URI:{name}", "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "keyUsage=critical,digitalSignature", "-addext", "extendedKeyUsage=serverAuth,clientAuth",
            "-keyout", key, "-out", certificate)
    return certificate, key


def root_of(mesh):
    """The file of the newest root of the mesh's authority: certificate and key."""
    return max((mesh.lab.directory / "ca").glob("root-*.pem"), key=lambda p: p.stat().st_mtime)


def signed(root, *names, begins="20200101000000Z", ends="20991231000000Z"):
    """(certificate, key) files of a leaf with these URIs, signed by a root file (certificate and key in one)."""
    directory = new_directory()
    certificate, key, request = directory / "cert.pem", directory / "key.pem", directory / "request.pem"
    (directory / "index.txt").touch()
    (directory / "serial").write_text("01\n")
    text = CONFIGURATION.format(directory=directory, names=",".join(f"URI:{n}" for n in names))
    (directory / "ca.cnf").write_text(text)
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
            "-keyout", key, "-out", request)
    openssl("ca", "-batch", "-config", directory / "ca.cnf", "-extensions", "leaf", "-notext", "-in", request,
            "-cert", root, "-keyfile", root, "-startdate", begins, "-enddate", ends, "-out", certificate)
    return certificate, key
