"""What is read byte by byte off a TLS socket is what was sent, and nothing that waits is overlooked."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mqtt.read_ahead import AT_ONCE_BYTES, ReadAhead


def server_context(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = made.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    pem = signed.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    file = folder / "server.pem"
    file.write_bytes(pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[ssl.SSLSocket, ReadAhead]]:
    """The server's, and ours."""
    theirs, ours = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.sslsocket_class = ReadAhead
    accepted: list[ssl.SSLSocket] = []
    accepting = threading.Thread(
        target=lambda: accepted.append(server_context(tmp_path).wrap_socket(theirs, server_side=True))
    )
    accepting.start()
    reader = context.wrap_socket(ours)
    accepting.join(30)
    assert isinstance(reader, ReadAhead)
    yield accepted[0], reader
    accepted[0].close()
    reader.close()


def test_bytes_come_in_their_order_however_few_are_asked_for(ends: tuple[ssl.SSLSocket, ReadAhead]) -> None:
    server, reader = ends
    sent = bytes(range(256)) * 100
    sending = threading.Thread(target=server.sendall, args=(sent,))
    sending.start()
    got = b""
    for number in range(len(sent)):
        if len(got) == len(sent):
            break
        got += reader.recv(1 + number % 700)
    sending.join(30)
    assert got == sent


def test_what_was_taken_ahead_is_pending(ends: tuple[ssl.SSLSocket, ReadAhead]) -> None:
    server, reader = ends
    server.sendall(b"x" * 100)
    assert reader.recv(1) == b"x"
    assert reader.pending() == 99
    assert reader.recv(200) == b"x" * 99
    assert reader.pending() == 0


def test_what_tls_holds_beyond_one_reading_is_pending_too(ends: tuple[ssl.SSLSocket, ReadAhead]) -> None:
    server, reader = ends
    server.sendall(b"x" * AT_ONCE_BYTES)
    taken = len(reader.recv(10))
    while reader.pending():
        taken += len(reader.recv(5000))
    assert taken == AT_ONCE_BYTES


def test_the_end_is_said_after_the_last_byte(ends: tuple[ssl.SSLSocket, ReadAhead]) -> None:
    server, reader = ends
    server.sendall(b"ab")
    server.shutdown(socket.SHUT_WR)
    assert (reader.recv(1), reader.recv(1), reader.recv(1)) == (b"a", b"b", b"")


def test_nothing_there_is_said_without_waiting(ends: tuple[ssl.SSLSocket, ReadAhead]) -> None:
    _, reader = ends
    reader.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        reader.recv(1)
