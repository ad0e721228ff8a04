#!/usr/bin/python3
"""Connections that dawdle on their way to a login are closed in time, however busy they look
(RFC 6120 §4.9.3.4)."""

import os
import socket
import ssl
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import HEADER           # noqa: E402

DAWDLERS = 50


class SlowWriter(ServerCase):
    settings = 'negotiation_timeout: 2 s'

    def ends(self, client):
        """The elements that came before the server closed."""
        came = client.wait_for_end()
        client.close()
        return came

    def test_silence(self):
        """RFC 6120 §4.9.3.4: not a byte, on either kind of port."""
        for port in (self.server.port, self.server.tls_port):
            with socket.create_connection(('127.0.0.1', port), timeout=30) as s:
                while s.recv(4096):
                    pass
        self.assert_serves()

    def test_a_stream_without_a_login_ends_with_an_error(self):
        """RFC 6120 §4.9.3.4."""
        client = self.server.connect(port=self.server.plain_port)
        client.open('localhost')
        client.expect_stream_error('connection-timeout')
        client.close()

    def test_a_login_without_a_resource(self):
        """RFC 6120 §4.9.3.4, §7.1."""
        client = self.server.connect(port=self.server.plain_port)
        client.open('localhost')
        client.authenticate('romeo', 'secret of romeo')
        client.open('localhost')
        client.expect_stream_error('connection-timeout')
        client.close()

    def test_a_handshake_that_does_not_begin(self):
        """RFC 6120 §5.4.3.2: the connection ends without a word, since none could be understood."""
        client = self.server.connect()
        client.open('localhost')
        client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        client.expect('<tls:proceed/>')
        self.assertEqual(self.ends(client), [])
        self.assert_serves()

    def test_a_header_byte_by_byte_is_no_progress(self):
        """RFC 6120 §4.9.3.4: many at once, each with a header that never ends."""
        self.drip([socket.create_connection(('127.0.0.1', self.server.plain_port), timeout=30)
                   for _ in range(DAWDLERS)], (HEADER % 'localhost')[:60].encode() + b'x' * 100000)

    def test_a_handshake_byte_by_byte_is_no_progress(self):
        """RFC 6120 §4.9.3.4, §5.4.3.1: a ClientHello that is cut in two and never ends."""
        hello = self.client_hello()
        socks = [socket.create_connection(('127.0.0.1', self.server.tls_port), timeout=30)
                 for _ in range(DAWDLERS)]
        for _ in range(DAWDLERS):
            client = self.server.connect()
            client.open('localhost')
            client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            client.expect('<tls:proceed/>')
            socks.append(client.sock)
        for s in socks:
            s.sendall(hello[:len(hello) // 2])
        self.drip(socks, hello[len(hello) // 2:-1])

    def client_hello(self):
        context = ssl.create_default_context()
        bytes_out = ssl.MemoryBIO()
        tls = context.wrap_bio(ssl.MemoryBIO(), bytes_out, server_hostname='localhost')
        with self.assertRaises(ssl.SSLWantReadError):
            tls.do_handshake()
        return bytes_out.read()

    def drip(self, socks, data):
        """A byte now and then on all of them, until the server has closed all."""
        over = threading.Event()

        def drip():
            for c in data:
                for s in socks:
                    try:
                        s.send(bytes([c]))
                    except OSError:
                        pass
                if over.wait(0.1):
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            self.assert_serves()
            for s in socks:
                try:
                    while s.recv(4096):
                        pass
                except ConnectionResetError:
                    pass
        finally:
            over.set()
            dripping.join()
            for s in socks:
                s.close()
        self.assert_serves()


if __name__ == '__main__':
    main()
