#!/usr/bin/python3
"""What a component's port withstands: bytes that are no XMPP, guesses at secrets, silence, stanzas beyond
all bounds, and a component that does not read."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../hostile'))

import garbage_test                                     # noqa: E402
from harness.case import ServerCase, main               # noqa: E402
from harness.connection import HEADER, NS_COMPONENT     # noqa: E402

MIB = 1 << 20
DOMAIN, SECRET = 'bot.example', 'a secret of ours'


class Hostile(ServerCase):
    settings = '''
listen:
    - {port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s}
    - port: ${component_port}
      ip: 127.0.0.1
      module: ejabberd_service
      max_out_bytes: 1 MB
      max_stanza_size: 100 KB
      hosts: {bot.example: {password: a secret of ours}}
    # For those that are to be cut off soon; others may be as slow as the machine is.
    - {port: ${tls_port}, ip: 127.0.0.1, module: ejabberd_service, negotiation_timeout: 1 s, password: x}
auth_fail_limit: 5
'''
    talk = garbage_test.Garbage.talk

    def component(self, source=None):
        component = self.server.connect('component', self.server.component_port, source)
        component.serve(DOMAIN, SECRET)
        return component

    def leave(self, component):
        component.send('</stream:stream>')
        component.expect_close()
        component.close()

    def test_garbage(self):
        """RFC 6120 §4.9.3.13: where a header should be, and behind it."""
        header = HEADER.replace('jabber:client', NS_COMPONENT).replace(" version='1.0'", '') % DOMAIN
        for data in garbage_test.GARBAGE:
            for before in (b'', header.encode()):
                with self.subTest(data=data[:20], before=before):
                    self.talk(self.server.tls_port, before + data)
        self.leave(self.component())
        self.assert_serves()

    def test_silence(self):
        """RFC 6120 §4.9.3.4: who connects and says nothing."""
        silent = self.server.connect('silent', self.server.tls_port)
        opened = self.server.connect('opened', self.server.tls_port)
        opened.open_component(DOMAIN)
        opened.expect_stream_error('connection-timeout')
        silent.event()      # a header of the server's own
        silent.expect_stream_error('connection-timeout')

    def test_too_large(self):
        """RFC 6120 §13.12: before the handshake little is allowed, afterwards what the port says."""
        stranger = self.server.connect('stranger', self.server.component_port)
        stranger.open_component(DOMAIN)
        stranger.send('<handshake>' + 'a' * 20000)
        stranger.expect_stream_error('policy-violation')
        component = self.component()
        message = "<message from='%s' to='%s'><body>%%s</body></message>" % (DOMAIN, DOMAIN)
        component.send(message % ('x' * 90000))
        self.assertEqual(len(component.expect('<message/>').child('body').text()), 90000)
        component.send(message % ('x' * 110000))
        component.expect_stream_error('policy-violation')
        self.assert_serves()

    def test_guesses(self):
        """XEP-0114 §3: whoever tries too many secrets is not believed the right one either."""
        for _ in range(5):
            guesser = self.server.connect('guesser', self.server.component_port, '127.0.0.66')
            guesser.shake_hands(guesser.open_component(DOMAIN), 'a guess')
            guesser.expect_stream_error('not-authorized')
        guesser = self.server.connect('guesser', self.server.component_port, '127.0.0.66')
        guesser.shake_hands(guesser.open_component(DOMAIN), SECRET)
        guesser.expect_stream_error('not-authorized')
        self.leave(self.component())

    def test_it_does_not_read(self):
        """RFC 6120 §13.12: what waits for it is bounded, and each message arrives or bounces, once."""
        component = self.component()
        juliet = self.server.login('juliet@localhost/balcony')
        before = self.server.resident_bytes()
        sent, bounced = 0, []
        while not bounced:
            for _ in range(20):
                juliet.send("<message to='%s' id='m%d'><body>%s</body></message>" % (DOMAIN, sent, 'x' * 50000))
                sent += 1
            bounced += self.errors(juliet, sent)
            self.assertLess(sent * 50000, 100 * MIB)
        self.assertLess(self.server.resident_bytes() - before, 50 * MIB)
        arrived = [e.get('id') for e in component.wait_for_end() if e.name == 'message']
        component.close()
        while len(arrived) + len(bounced) < sent:
            bounced.append(juliet.stanza().get('id'))
        self.assertEqual(sorted(arrived + bounced), sorted('m%d' % n for n in range(sent)))
        juliet.close()
        self.leave(self.component())
        self.assert_serves()

    def errors(self, client, step):
        """What has come back so far."""
        client.send("<iq type='get' id='step%d' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>" % step)
        ids = []
        while True:
            element = client.stanza()
            if element.get('id') == 'step%d' % step:
                return ids
            self.assertEqual(element.get('type'), 'error')
            ids.append(element.get('id'))


if __name__ == '__main__':
    main()
