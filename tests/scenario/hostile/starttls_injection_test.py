#!/usr/bin/python3
"""Commands sent behind <starttls/> in plain text must never run inside TLS (the class of
CVE-2011-0411; RFC 6120 §5.4.3.3: what was said before TLS is forgotten)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import HEADER, Failure  # noqa: E402
from harness.sasl import plain                  # noqa: E402
from harness.server import password_of          # noqa: E402

STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
AUTH = ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"
        % plain('romeo', password_of('romeo@localhost')))
INJECTED = (
    AUTH,
    HEADER % 'localhost',
    HEADER % 'localhost' + AUTH,
    "<iq type='get' id='injected'><query xmlns='jabber:iq:register'/></iq>",
    '</stream:stream>',
    ' ',
)


class Injection(ServerCase):
    settings = 'negotiation_timeout: 2 s'

    def inject(self, text):
        client = self.server.connect()
        client.open('localhost')
        client.send(STARTTLS + text)
        if client.stanza().name != 'proceed':
            return      # refused as a whole
        try:
            client.handshake('localhost')
        except Failure:
            return      # taken for TLS, which it is not: closed
        # The server must be waiting for a stream, and must not have taken what came too early.
        client.open('localhost')
        self.assertIn('PLAIN', client.mechanisms())
        client.authenticate('juliet', password_of('juliet@localhost'))
        client.open('localhost')
        self.assertEqual(client.bind('a'), 'juliet@localhost/a')
        client.close()

    def test_in_one_packet(self):
        """RFC 6120 §5.4.3.3."""
        for text in INJECTED:
            with self.subTest(text):
                self.inject(text)
                self.assert_serves()

    def test_tls_at_once(self):
        """RFC 6120 §5.4.2.1: a client that cannot wait for <proceed/> is a client that does not speak XMPP."""
        client = self.server.connect()
        client.open('localhost')
        client.send(STARTTLS.encode() + b'\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00')
        try:
            came = [e.name for e in client.wait_for_end()]
        except Failure:
            came = []   # TLS bytes where XML was expected
        self.assertNotIn('features', came)
        client.close()
        self.assert_serves()


if __name__ == '__main__':
    main()
