#!/usr/bin/python3
"""A thousand connections from one address that never log in: the address is limited, everybody
else is served (RFC 6120 §13.12)."""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main   # noqa: E402

CROWD = 1000
LIMIT = 50


class Crowd(ServerCase):
    settings = '''
max_user_sessions: 100
listen:
    - {port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s, starttls: true, starttls_required: true,
       max_unauthenticated_per_address: %d}
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
        self.come(CROWD)
        self.assert_serves()                    # from 127.0.0.1
        self.assert_serves(source='127.0.0.2')  # so all the crowd's connections were accepted by now
        self.assert_refused(lambda: self.opened('127.0.0.9'))
        self.assertGreaterEqual(self.closed(), CROWD - LIMIT)

    def opened(self, source):
        client = self.server.connect(source=source)
        client.open('localhost')
        return client

    def test_whoever_has_left_counts_no_more(self):
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
        clients = [self.server.login('romeo@localhost/%d' % i, source='127.0.0.8')
                   for i in range(LIMIT + 5)]
        for client in clients:
            client.close()


if __name__ == '__main__':
    main()
