#!/usr/bin/python3
"""memory_limit: when memory runs short, first nobody new may log in; beyond the limit whoever holds
the most of it is closed, and nobody else; below it all is as it was."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.connection import WAIT_S, Failure  # noqa: E402
from harness.console import ConsoleCase, main  # noqa: E402
from harness.sasl import Scram  # noqa: E402
from harness.server import password_of  # noqa: E402

MIB = 1 << 20
BODY = 'x' * 50000
ROOM = 80 * MIB     # above what an empty server has in use
PING = "<iq type='get' id='%s' to='localhost'><ping:ping xmlns:ping='urn:xmpp:ping'/></iq>"


class Memory(ConsoleCase):
    over = 'max_out_bytes: 1 GB'    # so that no bound of their own closes them

    def setUp(self):
        super().setUp()
        if self.ctl.run('memory').returncode:
            self.skipTest('without jemalloc freed memory does not show')
        for user in ('romeo', 'juliet', 'mercutio', 'tybalt'):
            self.server.register(user + '@localhost')
        self.sent = self.asked = 0

    def limit(self, limit):
        self.server.write_settings('%s\nmemory_limit: %d' % (self.over, limit))
        self.done('reload')

    def status(self):
        return self.ctl.json('status')

    def await_state(self, part):
        """Until the monitor has looked and says so."""
        deadline = time.monotonic() + 3 * WAIT_S
        while part not in self.status()['state']:
            if time.monotonic() > deadline:
                raise Failure('%r did not come, the state is %s' % (part, self.status()))
            time.sleep(0.05)

    def served(self, client):
        """Those who are there are served; what came before the answer."""
        self.asked += 1
        client.send(PING % ('asked%d' % self.asked))
        came = []
        while True:
            element = client.stanza()
            if element.get('id') == 'asked%d' % self.asked:
                return came
            came.append(element)

    def send_until(self, sender, to, enough):
        while not enough():
            for _ in range(20):
                self.sent += 1
                sender.send("<message to='%s' id='m%d'><body>%s</body></message>" % (to, self.sent, BODY))
            self.served(sender)

    def in_use(self):
        return self.status()['memory_in_use_bytes']

    def assert_no_login(self):
        """RFC 6120 §4.9.3.17, before any work is done for it."""
        client = self.server.connect()
        client.send("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
                    "to='localhost' version='1.0'>")
        self.assertEqual(client.event()[0], 'open')
        client.expect_stream_error('resource-constraint')
        client.close()

    def test_nobody_new_then_the_largest_goes_then_all_is_well(self):
        self.play('starttls')

    def test_the_same_without_tls(self):
        self.play('none')

    def play(self, tls):
        reader = self.server.login('romeo@localhost/asleep', tls=tls)
        small_reader = self.server.login('tybalt@localhost/asleep')
        sender = self.server.login('juliet@localhost/awake')
        late = self.server.connect('late', self.server.plain_port)
        late.open('localhost')
        before = self.in_use()
        limit = before + ROOM
        self.limit(limit)
        self.assertEqual(self.status()['memory_limit_bytes'], limit)
        self.assertEqual(self.status()['state'], 'well')
        for _ in range(4):  # enough to be looked at, too
            sender.send("<message to='%s'><body>%s</body></message>" % (small_reader.jid, BODY))

        # Short: those who are there are served, others are not.
        self.send_until(sender, reader.jid, lambda: self.in_use() > 0.92 * limit)
        self.assertLess(self.in_use(), limit)
        self.await_state('new logins are refused')
        self.assert_no_login()
        late.auth('SCRAM-SHA-1', Scram('SCRAM-SHA-1', 'mercutio', password_of('mercutio@localhost')).first())
        late.expect('<sasl:failure><sasl:temporary-auth-failure/></sasl:failure>')  # §6.5.11
        self.served(sender)

        # Over: the largest goes, and gives back what it had.
        self.send_until(sender, reader.jid,
                        lambda: 'closed: memory is over its limit' in self.server.log())
        self.await_state('well')
        self.assertLess(self.in_use(), 0.8 * limit)
        self.served(sender)
        closed = [line for line in self.server.log().splitlines() if 'closed: memory is over its limit' in line]
        self.assertEqual(len(closed), 1, closed)
        self.assertIn('jid=romeo@localhost/asleep', closed[0])
        self.assertRegex(closed[0], r'bytes=\d{7,}')
        self.assertCountEqual([row['jid'] for row in self.ctl.json('connected')],
                         ['juliet@localhost/awake', 'tybalt@localhost/asleep'])

        # And well: as ever, also for who was refused before.
        late.authenticate('mercutio', password_of('mercutio@localhost'))
        self.server.login('mercutio@localhost/new').close()
        self.served(small_reader)
        said = reader.wait_for_end()
        self.assertTrue(said[-1].is_('error', 'http://etherx.jabber.org/streams'), said[-1].show()[:200])
        self.assertEqual(said[-1].elements()[0].name, 'resource-constraint')
        for client in (reader, small_reader, sender, late):
            client.close()
        log = self.server.log()
        for line in ('memory is short: new logins are refused', 'memory is over its limit',
                     'memory suffices again'):
            self.assertIn(line, log)
        metrics = self.done('metrics')
        self.assertIn('\nlinnet_c2s_shed_total 1\n', metrics)
        self.assertRegex(metrics, r'\nlinnet_logins_total\{result="refused"\} 2\n')

    def test_the_limit_is_lifted_by_a_reload(self):
        self.limit(1)
        self.await_state('those who hold the most are closed')
        self.assert_no_login()
        self.limit(0)
        self.await_state('well')
        self.server.login('romeo@localhost/a').close()
        self.assertIn('no client holds much of it', self.server.log())


if __name__ == '__main__':
    main()
