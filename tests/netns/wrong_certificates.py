"""Certificates that are wrong in one way each, made beside Weir's own code: the list that a scenario shows to a proxy.

`WRONG` maps what is wrong to (the reason with which it must be refused, a maker: `Authority` → (chain, key) in PEM).
tests/unit/tls/wrong_certificates.cc has the longer list, without sockets, and the faults that OpenSSL would not show.
"""

import base64
import datetime
import functools

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from certificates import ALICE, new_directory

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
SAN, ISSUER_ALT_NAME, COMMENT = (ObjectIdentifier(oid) for oid in ("2.5.29.17", "2.5.29.18", "2.16.840.1.113730.1.13"))
URI, DNS, EMAIL, ADDRESS = 0x86, 0x82, 0x81, 0x87  # tags of GeneralName, RFC 5280 4.2.1.6
USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
          "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")


@functools.cache  # RSA keys take their time
def new_key(kind="p256"):
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    return ec.generate_private_key({"p224": ec.SECP224R1, "p256": ec.SECP256R1, "p384": ec.SECP384R1}[kind]())


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def der(tag, value):
    length = bytes([len(value)]) if len(value) < 128 else b"\x82" + len(value).to_bytes(2, "big")
    return bytes([tag]) + length + value


def names(*pairs):
    """The value of a subjectAltName: (tag, bytes) each."""
    return der(0x30, b"".join(der(tag, value if isinstance(value, bytes) else value.encode()) for tag, value in pairs))


def usage(*bits):
    return x509.KeyUsage(**{bit: bit in bits for bit in USAGES})


def seconds(count):
    return datetime.datetime.utcnow() + datetime.timedelta(seconds=count)


class Authority:
    """A key and a certificate that sign. `identity` is what leaves are for if nothing else is said."""

    def __init__(self, certificate, key, above=(), identity=ALICE):
        self.certificate, self.key, self.above, self.identity = certificate, key, above, identity

    @classmethod
    def load(cls, root, identity=ALICE):
        """From a file with the certificate and its key."""
        text = root.read_bytes()
        return cls(x509.load_pem_x509_certificate(text), serialization.load_pem_private_key(text, None), (), identity)

    def make(self, subject, key, extensions, begins=-60, ends=3600, digest=hashes.SHA256(), issuer=None, signer=None):
        builder = x509.CertificateBuilder(subject_name=name(subject), serial_number=x509.random_serial_number(),
                                          issuer_name=issuer or self.certificate.subject, public_key=key.public_key(),
                                          not_valid_before=seconds(begins), not_valid_after=seconds(ends))
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        return builder.sign(signer or self.key, digest)

    def leaf(self, *uris, san=None, kind="p256", ca=False, uses=("digital_signature",), purposes=(CLIENT, SERVER), more=(),
             subject="x", broken=False, **made):
        """(chain, key) in PEM. `san` is the value of the extension in DER, b"" for none."""
        key = new_key(kind)
        if san is None:
            san = names(*((URI, uri) for uri in uris or [self.identity]))
        extensions = [(x509.BasicConstraints(ca, None), True)]
        extensions += [(usage(*uses), True)] if uses else []
        extensions += [(x509.ExtendedKeyUsage(purposes), False)] if purposes else []
        extensions += [(x509.UnrecognizedExtension(SAN, san), True)] if san else []
        encoded = self.make(subject, key, [*extensions, *more], **made).public_bytes(serialization.Encoding.DER)
        if broken:
            encoded = encoded[:-1] + bytes([encoded[-1] ^ 1])  # the signature stands last
        return pem(encoded) + b"".join(self.above), pem_of(key)

    def below(self, subject="middle", kind="p256", ca=True, length=None, uses=("key_cert_sign",), more=(), **made):
        """An intermediate authority."""
        key = new_key(kind) if kind != "p256" else ec.generate_private_key(ec.SECP256R1())
        extensions = [] if ca is None else [(x509.BasicConstraints(ca, length), True)]
        extensions += [(usage(*uses), True)] if uses else []
        certificate = self.make(subject, key, [*extensions, *more], **made)
        chain = (certificate.public_bytes(serialization.Encoding.PEM), *self.above)
        return Authority(certificate, key, chain, self.identity)


def stranger(like):
    """Another root of the same name."""
    return Authority(like.certificate, ec.generate_private_key(ec.SECP256R1()), (), like.identity)


def without_chain(authority):
    return Authority(authority.certificate, authority.key, (), authority.identity)


def pem(encoded):
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(encoded) + b"-----END CERTIFICATE-----\n"


def pem_of(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def files(chain, key):
    """The same as (certificate, key) files."""
    directory = new_directory()
    (directory / "cert.pem").write_bytes(chain)
    (directory / "key.pem").write_bytes(key)
    return directory / "cert.pem", directory / "key.pem"


def permits(*hosts, excluded=False):
    subtrees = [x509.UniformResourceIdentifier(host) for host in hosts]
    return x509.NameConstraints(None if excluded else subtrees, subtrees if excluded else None), True


MALFORMED, EXPIRED, UNTRUSTED, DOMAIN = (
    "certificate_malformed", "certificate_expired", "certificate_untrusted", "trust_domain")


def uri(text):
    """What changes the identity's text: {} is the identity, {head} all but the last segment, {last} that segment."""
    def make(root):
        head, _, last = root.identity.rpartition("/")
        return root.leaf(text.replace("{head}", head).replace("{last}", last).replace("{}", root.identity))
    return MALFORMED, make


def of(reason, *arguments, **fields):
    return reason, lambda root: root.leaf(*arguments, **fields)


def beside(*more):
    """A leaf with these names instead of its URI."""
    return MALFORMED, lambda root: root.leaf(san=names(*((tag, value or root.identity) for tag, value in more)))


def under(reason, **fields):
    """A good leaf of an intermediate with these faults."""
    return reason, lambda root: root.below(**fields).leaf()


COMMENTED = (x509.UnrecognizedExtension(COMMENT, b"\x16\1x"), True)
NOWHERE = "spiffe://elsewhere.example/ns/clients/sa/alice"
WRONG = {
    # the text of the URI: SPIFFE-ID 2
    "upper case in the path": uri("{head}/Alice"),
    "upper case in the scheme": uri("SPIFFE://cluster.local/ns/clients/sa/{last}"),
    "upper case in the trust domain": uri("spiffe://Cluster.local/ns/clients/sa/{last}"),
    "a port": uri("spiffe://cluster.local:443/ns/clients/sa/{last}"),
    "user info": uri("spiffe://me@cluster.local/ns/clients/sa/{last}"),
    "a query": uri("{}?a=b"),
    "a fragment": uri("{}#a"),
    "a percent escape": uri("{head}/%61lice"),
    "an escaped slash": uri("spiffe://cluster.local/ns/clients%2fsa/{last}"),
    "dot dot": uri("spiffe://cluster.local/ns/x/../clients/sa/{last}"),
    "a dot": uri("{head}/."),
    "an empty segment": uri("spiffe://cluster.local/ns//sa/{last}"),
    "a trailing slash": uri("{}/"),
    "a segment too many": uri("{}/admin"),
    "no path": uri("spiffe://cluster.local"),
    "an empty path": uri("spiffe://cluster.local/"),
    "no trust domain": uri("spiffe:///ns/clients/sa/{last}"),
    "a path of another shape": uri("spiffe://cluster.local/workload/{last}"),
    "another scheme": uri("https://cluster.local/ns/clients/sa/{last}"),
    "a space": uri("{} "),
    "a backslash": uri("{head}\\{last}"),
    "2,049 bytes": uri("spiffe://cluster.local/ns/clients/sa/".ljust(2049, "x")),
    "bytes that are not ASCII": beside((URI, b"spiffe://cluster.local/ns/clients/sa/\xe9")),
    "a NUL": (MALFORMED, lambda root: root.leaf(san=names((URI, root.identity + "\0.evil")))),
    # names beside and instead of it: X509-SVID 2
    "no name": of(MALFORMED, san=b""),
    "a SAN of no name": of(MALFORMED, san=names()),
    "two URIs": beside((URI, None), (URI, "spiffe://cluster.local/ns/clients/sa/bob")),
    "the same URI twice": beside((URI, None), (URI, None)),
    "a DNS name": beside((DNS, "alice.clients.svc.cluster.local")),
    "the URI as a DNS name": beside((DNS, None)),
    "the URI as an e-mail address": beside((EMAIL, None)),
    "an IP address": beside((ADDRESS, b"\x0a\xf4\1\2")),
    "the URI as the subject": of(MALFORMED, san=b"", subject=ALICE),
    "the URI as the issuer's name": of(MALFORMED, san=b"", more=[
        (x509.UnrecognizedExtension(ISSUER_ALT_NAME, names((URI, ALICE))), False)]),
    "a SAN with bytes behind it": (MALFORMED, lambda root: root.leaf(san=names((URI, root.identity)) + b"\0")),
    "another trust domain": of(DOMAIN, NOWHERE),
    "a trust domain that begins alike": of(DOMAIN, "spiffe://cluster.local.example/ns/clients/sa/alice"),
    # what the leaf may do: X509-SVID 4
    "a CA": of(MALFORMED, ca=True),
    "may sign certificates": of(MALFORMED, uses=("digital_signature", "key_cert_sign")),
    "may sign CRLs": of(MALFORMED, uses=("digital_signature", "crl_sign")),
    "no key usage": of(MALFORMED, uses=()),
    "no extended key usage": of(MALFORMED, purposes=()),
    "servers only": of(MALFORMED, purposes=(SERVER,)),
    "clients only": of(MALFORMED, purposes=(CLIENT,)),
    "any purpose": of(MALFORMED, purposes=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
    "code signing": of(MALFORMED, purposes=(ExtendedKeyUsageOID.CODE_SIGNING,)),
    "a critical extension that nobody knows": of(MALFORMED, more=[COMMENTED]),
    # time
    "expired": of(EXPIRED, begins=-3600, ends=-65),
    "not yet valid": of(EXPIRED, begins=65),
    # signatures and chains
    "a signature that was changed": of(UNTRUSTED, broken=True),
    "a signature over SHA-1": of(UNTRUSTED, digest=hashes.SHA1()),
    "an issuer that nobody knows": of(UNTRUSTED, issuer=name("nobody")),
    "another root of the same name": (UNTRUSTED, lambda root: stranger(root).leaf()),
    "signed by itself": (UNTRUSTED, lambda root: root.leaf(issuer=name("x"), signer=new_key())),
    "an intermediate that is missing": (UNTRUSTED, lambda root: without_chain(root.below()).leaf()),
    "an intermediate that is no CA": under(UNTRUSTED, ca=False),
    "an intermediate without basic constraints": under(UNTRUSTED, ca=None),
    "an intermediate that may not sign": under(UNTRUSTED, uses=("crl_sign",)),
    "an intermediate that has expired": under(EXPIRED, begins=-3600, ends=-65),
    "an intermediate of another root": (UNTRUSTED, lambda root: stranger(root).below().leaf()),
    "an intermediate with a weak RSA key": under(UNTRUSTED, kind="rsa1024"),
    "an intermediate with a weak curve": under(UNTRUSTED, kind="p224"),
    "an intermediate signed over SHA-1": under(UNTRUSTED, digest=hashes.SHA1()),
    "a critical extension in the intermediate": under(UNTRUSTED, more=[COMMENTED]),
    "name constraints that permit elsewhere only": under(UNTRUSTED, more=[permits("elsewhere.example")]),
    "name constraints that exclude us": under(UNTRUSTED, more=[permits("cluster.local", excluded=True)]),
    "a path that is longer than its CA allows": (UNTRUSTED, lambda root: root.below(length=0).below("lower").leaf()),
}
RIGHT = {
    "as it should be": lambda root: root.leaf(),
    "from 55 seconds on: clocks differ": lambda root: root.leaf(begins=55),
    "with names of other kinds beside": lambda root: root.leaf(san=names((DNS, "beside.example"), (URI, root.identity))),
    "of an intermediate": lambda root: root.below(length=0).leaf(),
    "of an intermediate on a larger curve": lambda root: root.below(kind="p384").leaf(),
    "of an intermediate for our trust domain": lambda root: root.below(more=[permits("cluster.local")]).leaf(),
}
