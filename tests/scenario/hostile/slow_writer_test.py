#!/usr/bin/python3
"""Connections that dawdle on their way to a login are closed in time, however busy they look
(RFC 6120 §4.9.3.4)."""

import os
import socket
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
        for port in (self.server.port, self.server.tls_port):
            with socket.create_connection(('127.0.0.1', port), timeout=30) as s:
                while s.recv(4096):
                    pass
        self.assert_serves()

    def test_a_stream_without_a_login_ends_with_an_error(self):
        client = self.server.connect(port=self.server.plain_port)
        client.open('localhost')
        client.expect_stream_error('connection-timeout', 'policy-violation')
        client.close()

    def test_a_login_without_a_resource(self):
        client = self.server.connect(port=self.server.plain_port)
        client.open('localhost')
        client.authenticate('romeo', 'secret of romeo')
        client.open('localhost')
        client.expect_stream_error('connection-timeout', 'policy-violation')
        client.close()

    def test_a_handshake_that_does_not_end(self):
        client = self.server.connect()
        client.open('localhost')
        client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        client.expect('<tls:proceed/>')
        self.assertEqual(self.ends(client), [])

    def test_a_byte_now_and_then_is_no_progress(self):
        """Slowloris: many at once, each with a header that never ends."""
        socks = [socket.create_connection(('127.0.0.1', self.server.plain_port), timeout=30)
                 for _ in range(DAWDLERS)]
        over = threading.Event()

        def drip():
            header = HEADER % 'localhost'
            for c in header[:60] + 'x' * 100000:
                for s in socks:
                    try:
                        s.send(c.encode())
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
