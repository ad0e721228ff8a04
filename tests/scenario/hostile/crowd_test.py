#!/usr/bin/python3
"""A thousand connections from one address that never log in: the address is limited, everybody
else is served (RFC 6120 §13.12)."""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main   # noqa: E402
from harness.connection import HEADER       # noqa: E402

CROWD = 1000
LIMIT = 50
HALF_OPEN_BYTES = 64 * 1024     # one may cost the server so much, with its TLS


class Crowd(ServerCase):
    settings = '''
max_user_sessions: 100
listen:
    - {port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s, starttls: true, starttls_required: true,
       max_unauthenticated_per_address: %d}
    - {port: ${tls_port}, ip: 127.0.0.1, module: ejabberd_c2s, tls: true}
''' % LIMIT

    def setUp(self):
        self.crowd = []

    def tearDown(self):
        for s in self.crowd:
            s.close()

    def come(self, n):
        for _ in range(n):
            self.crowd.append(socket.create_connection(
                ('127.0.0.1', self.server.port), timeout=20, source_address=('127.0.0.9', 0)))

    def closed(self):
        """How many of them the server has hung up on, without waiting for any."""
        n = 0
        for s in self.crowd:
            s.setblocking(False)
            try:
                while True:
                    if not s.recv(4096):
                        n += 1
                        break
            except BlockingIOError:
                pass
            except ConnectionResetError:
                n += 1
        return n

    def test_the_crowd_is_limited_and_others_are_served(self):
        """RFC 6120 §13.12: so many connections before login from one address, and no more."""
        self.come(CROWD)
        self.assert_serves()                    # from 127.0.0.1
        self.assert_serves(source='127.0.0.2')  # so all the crowd's connections were accepted by now
        self.assert_refused(lambda: self.opened('127.0.0.9'))
        self.assertGreaterEqual(self.closed(), CROWD - LIMIT)

    def opened(self, source):
        client = self.server.connect(source=source)
        client.open('localhost')
        return client

    def test_a_crowd_from_everywhere(self):
        """RFC 6120 §13.12: each from an address of its own, so that none is over the limit, and each
        in the middle of something: half a header, half a TLS record, half a STARTTLS."""
        before = self.server.resident_bytes()
        halves = ((self.server.port, b"<stream:stream xmlns='jabber:client' to='"),
                  (self.server.tls_port, b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc'),
                  (self.server.port, (HEADER % 'localhost').encode()
                   + b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\x16\x03"))
        for n in range(CROWD):
            port, half = halves[n % len(halves)]
            s = socket.create_connection(('127.0.0.1', port), timeout=20,
                                         source_address=('127.1.%d.%d' % divmod(n, 256), 0))
            s.sendall(half)
            self.crowd.append(s)
        self.assert_serves()
        self.assert_serves(source='127.0.0.2')  # each shard has seen them all by now, or soon
        self.assertLess(self.server.resident_bytes() - before, CROWD * HALF_OPEN_BYTES)
        self.assertEqual(self.closed(), 0, 'nobody was over the limit or out of time')

    def test_whoever_has_left_counts_no_more(self):
        """RFC 6120 §13.12."""
        self.come(LIMIT)
        self.assert_serves()
        self.assert_refused(lambda: self.opened('127.0.0.9'))
        for s in self.crowd:
            s.shutdown(socket.SHUT_WR)
            s.settimeout(20)
            while s.recv(4096):     # the server has noticed
                pass
        self.assert_serves(source='127.0.0.9')

    def test_whoever_has_logged_in_counts_no_more(self):
        """RFC 6120 §13.12: an office behind one address may be full of people."""
        clients = [self.server.login('romeo@localhost/%d' % i, source='127.0.0.8')
                   for i in range(LIMIT + 5)]
        for client in clients:
            client.close()


if __name__ == '__main__':
    main()
