#!/usr/bin/python3
"""Bytes that are no XMPP at all, on every port. Each connection is closed, each next one served
(RFC 6120 §4.9.3.13, §11.3)."""

import os
import random
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import HEADER, Failure  # noqa: E402

SEEDED = random.Random(6120)
GARBAGE = (
    b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
    b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(600),    # a TLS hello without end
    b'\x16\x03\x03\xff\xff' + bytes(70000),
    b'SSH-2.0-OpenSSH_9.2\r\n',
    b'\x00' * 5000,
    b'\xff' * 5000,
    b'<' * 5000,
    b'</' * 5000,
    b'\xef\xbb\xbf<?xml version="1.0"?><html>',
    *[bytes(SEEDED.randrange(256) for _ in range(3000)) for _ in range(20)],
)


class Garbage(ServerCase):
    settings = 'negotiation_timeout: 1 s'

    def talk(self, port, data):
        """Says it and listens until the server hangs up."""
        with socket.create_connection(('127.0.0.1', port), timeout=20) as s:
            try:
                s.sendall(data)
                while s.recv(65536):
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass

    def test_on_every_port(self):
        """RFC 6120 §4.9.3.13: where a header should be."""
        for port in (self.server.port, self.server.plain_port, self.server.tls_port):
            for data in GARBAGE:
                with self.subTest(port=port, data=data[:20]):
                    self.talk(port, data)
                    self.assert_serves()

    def test_inside_the_stream(self):
        """RFC 6120 §4.9.3.13: where features have been offered."""
        for data in GARBAGE:
            with self.subTest(data=data[:20]):
                self.talk(self.server.plain_port, (HEADER % 'localhost').encode() + data)
                self.assert_serves()

    def test_inside_tls(self):
        """RFC 6120 §4.9.3.13: where a header should be, encrypted."""
        for data in GARBAGE:
            with self.subTest(data=data[:20]):
                client = self.server.connect(port=self.server.tls_port)
                client.handshake('localhost')
                client.send(data)
                try:
                    client.wait_for_end()
                except Failure:
                    pass        # no TLS error alert is needed to be right
                client.close()
                self.assert_serves()

    def test_plain_text_where_tls_was_promised(self):
        """RFC 6120 §5.4.3.2."""
        client = self.server.connect()
        client.open('localhost')
        client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        client.expect('<tls:proceed/>')
        self.assertNotIn('features', [e.name for e in self.said_in_plain(client)])
        self.assert_serves()

    def said_in_plain(self, client):
        client.send(HEADER % 'localhost')
        try:
            return client.wait_for_end()
        except Failure:
            return []

    def test_ends_in_the_middle(self):
        """RFC 6120 §4.4: connections that end anywhere, in every way a connection can."""
        for cut in range(1, 170, 7):
            client = self.server.connect(port=self.server.plain_port)
            client.send((HEADER % 'localhost')[:cut])
            client.close()
        for how in ('reset', 'half', 'at once'):
            with socket.create_connection(('127.0.0.1', self.server.plain_port), timeout=20) as s:
                if how == 'reset':
                    s.sendall((HEADER % 'localhost').encode())
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                elif how == 'half':
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(4096):
                        pass
        self.assert_serves()


if __name__ == '__main__':
    main()
