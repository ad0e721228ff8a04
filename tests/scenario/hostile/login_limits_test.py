#!/usr/bin/python3
"""Guessing passwords: a stream has so many tries, an address so many in a while (RFC 6120 §6.4.5,
§13.12)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main   # noqa: E402
from harness.connection import Failure      # noqa: E402
from harness.sasl import plain              # noqa: E402
from harness.server import password_of      # noqa: E402

FAILS = 6


class LoginLimits(ServerCase):
    settings = '''
auth_fail_limit: %d
auth_fail_window: 1 hour
''' % FAILS

    def stream(self, source):
        client = self.server.connect(source=source)
        client.open('localhost')
        client.starttls('localhost')
        client.open('localhost')
        return client

    def guess(self, client):
        """True while the answer is that of a wrong password and not that of a closed door."""
        client.auth('PLAIN', plain('romeo', 'guess'))
        return client.stanza().child('not-authorized') is not None

    def test_a_stream_has_so_many_tries(self):
        """RFC 6120 §6.4.5: at least two, at most five."""
        client = self.stream('127.0.0.4')
        guesses = 0
        try:
            while self.guess(client):
                guesses += 1
                self.assertLessEqual(guesses, 5)
        except Failure:
            pass
        self.assertGreaterEqual(guesses, 2)
        client.close()

    def test_an_address_has_so_many_in_a_while(self):
        """RFC 6120 §13.12."""
        address = '127.0.0.5'
        for _ in range(FAILS):
            client = self.stream(address)
            self.guess(client)
            client.close()
        # Now even who knows the password does not get in from there ...
        with self.assertRaises((Failure, OSError)):
            self.server.login('romeo@localhost/late', source=address)
        # ... but does from anywhere else.
        self.server.login('romeo@localhost/there', source='127.0.0.6').close()
        self.assert_serves()

    def test_success_is_no_failure(self):
        """RFC 6120 §6.4.5."""
        for _ in range(FAILS + 2):
            self.server.login('romeo@localhost/again', source='127.0.0.7').close()


if __name__ == '__main__':
    main()
