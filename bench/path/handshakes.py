"""Full TLS 1.3 handshakes, one after the other:  handshakes.py ADDRESS PORT CERTIFICATE KEY ALPN COUNT

Each is a new connection with a client certificate and without a ticket; it ends in order, so that the server has seen all of
it. ALPN may be empty. Prints how many there were.
"""

import socket
import ssl
import sys


def main(address, port, certificate, key, alpn, count):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is the server's side that is measured
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    if alpn:
        context.set_alpn_protocols([alpn])
    for _ in range(int(count)):
        with context.wrap_socket(socket.create_connection((address, int(port)), 5)) as connection:
            connection.settimeout(5)
            end(connection)
    print(count)


def end(connection):
    try:
        connection.unwrap()
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):  # the certificate was refused; an end without close_notify is no matter
            raise


main(*sys.argv[1:])
