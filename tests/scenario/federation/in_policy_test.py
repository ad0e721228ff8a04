#!/usr/bin/python3
"""Streams that other servers opened while the operator's settings change, the server is looked at, and
another one takes its place."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness import settings                    # noqa: E402
from harness.case import main                   # noqa: E402
from harness.remote import RemoteCase           # noqa: E402

MESSAGE = "<message from='juliet@%s' to='romeo@localhost' id='%s'><body>%s</body></message>"
R = "<r xmlns='urn:xmpp:sm:3'/>"


class Policy(RemoteCase):
    domains = ('remote.example', 'second.example', 'slow.example')
    more = '''
s2s_use_starttls: optional
shaper: {snail: {rate: 1000, burst_size: 1000}, hare: 10000000}
shaper_rules:
    s2s_shaper: {snail: slow, hare: all}
acl:
    slow: {server: slow.example}
'''

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.over = cls.server.over.replace(
            'module: ejabberd_s2s_in}', 'module: ejabberd_s2s_in, shaper: s2s_shaper, '
            'max_unauthenticated_per_address: 3}')

    def setUp(self):
        super().setUp()
        self.reload()

    def reload(self, over=''):
        """Settings as the class has them, and more."""
        self.server.write_settings(settings.merge(self.server.over, over))
        self.server.control('reload')

    def alive(self, stream, sender='remote.example'):
        romeo = self.client()
        stream.send(MESSAGE % (sender, 'alive', 'hi'))
        romeo.expect("<message id='alive'/>")
        romeo.close()

    def test_listed(self):
        """linnetctl s2s incoming"""
        stream = self.proven()
        stream.prove('second.example')
        self.alive(stream)
        rows = [r for r in self.server.control('s2s', action='incoming') if r['pairs'] == 2]
        self.assertEqual(len(rows), 1)
        row = rows[0]
        self.assertEqual((row['from'], row['to'], row['address'], row['state'], row['tls'], row['both_ways'],
                          row['received']),
                         ('remote.example', 'localhost', '127.0.0.1', 'stream_established', False, False, 1))

    def test_not_welcome_any_more(self):
        """A reload's s2s_access holds for streams that are there."""
        bad, good = self.proven(), self.proven(remote=self.remotes['second.example'])
        self.reload('access_rules:\n    federated: [{deny: unwanted}, {allow: all}]\n'
                    's2s_access: federated\n'
                    'acl:\n    unwanted: {server: remote.example}\n')
        bad.expect_stream_error('policy-violation')
        self.alive(good, 'second.example')
        again = self.dial()
        again.begin()
        again.expect_stream_error('policy-violation')

    def test_host_is_gone(self):
        """RFC 6120 §4.9.3.5: a stream to a host that is taken out ends, one that carries for others too
        goes on."""
        gone, stays = self.proven('other.example'), self.proven()
        stays.prove(to='other.example')
        self.reload('hosts: [localhost]\ncertfiles: [${dir}/localhost.pem]\n')
        gone.expect_stream_error('host-gone')
        self.alive(stays)
        stays.claim(to='other.example')
        stays.expect_refusal('item-not-found', to='other.example')

    def test_connections_of_one_address(self):
        """Those that have not shown who they are count, and no others."""
        proven = [self.proven() for _ in range(3)]
        waiting = [self.dial() for _ in range(3)]
        for stream in waiting:
            stream.open()
        self.assert_refused(self.dial)
        waiting[0].prove()
        another = self.dial()
        another.open()
        for stream in proven:
            self.alive(stream)
        for stream in [*waiting, another]:
            stream.close()
        while [r for r in self.server.control('s2s', action='incoming') if not r['pairs']]:
            pass        # or the next test finds the places taken

    def test_shaper(self):
        """s2s_shaper is asked with the other server's domain."""
        romeo = self.client()
        slow = self.proven(remote=self.remotes['slow.example'])
        fast = self.proven()
        slow.send(''.join(MESSAGE % ('slow.example', 's%d' % n, 'x' * 1000) for n in range(300)))
        fast.send(''.join(MESSAGE % ('remote.example', 'f%d' % n, 'x' * 1000) for n in range(60)))
        came = []
        while 'f59' not in came:
            came.append(romeo.stanza().get('id'))
        self.assertNotIn('s299', came)      # one read may take the first of them together

    def test_upgrade(self):
        """Another server takes this one's place: peers are told what was handled, and find it."""
        romeo = self.client()
        stream = self.proven()
        stream.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        stream.expect('<sm:enabled/>')
        stream.send(''.join(MESSAGE % ('remote.example', 'u%d' % n, n) for n in range(20)) + R)
        stream.expect("<sm:a h='20'/>")
        for n in range(20):
            romeo.expect("<message id='u%d'/>" % n)
        self.server.control('upgrade')
        stream.expect("<sm:a h='20'/>")
        stream.expect_stream_error('system-shutdown')
        self.alive(self.proven())


if __name__ == '__main__':
    main()
