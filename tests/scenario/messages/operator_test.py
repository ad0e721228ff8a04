#!/usr/bin/python3
"""What an operator sees of archives (XEP-0313) and of what waits (XEP-0160): counted, listed, deleted,
written into a file; and what is too old, which nobody finds any more."""

import os
import sys
import time
import xml.etree.ElementTree as tree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.connection import WAIT_S                               # noqa: E402
from harness.console import FAILED, ConsoleCase, main               # noqa: E402

MESSAGE = "<message to='%s' type='chat' id='%s'><body>%s</body></message>"
PING = "<iq type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>"
MAM, PIE = '{urn:xmpp:mam:2}', '{urn:xmpp:pie:0}'


class Messages(ConsoleCase):
    over = 'modules:\n    mam: {}\n    mod_offline: {}\n'

    def say(self, *bodies):
        """To juliet, who is away; returns when they are stored."""
        self.server.register('romeo@localhost')
        self.server.register('juliet@localhost')
        romeo = self.server.login('romeo@localhost/orchard')
        for body in bodies:
            romeo.send(MESSAGE % ('juliet@localhost', body, body))
        romeo.send(PING)
        romeo.expect("<iq type='result' id='ping'/>")
        romeo.close()
        self.wait_for(lambda: self.ctl.json('offline-count', 'juliet', 'localhost'), {'messages': len(bodies)})

    def wait_for(self, look, wanted):
        end = time.monotonic() + WAIT_S
        while look() != wanted and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(look(), wanted)

    def count(self, user):
        return self.ctl.json('archive-count', user, 'localhost')['messages']

    def test_counted_and_listed(self):
        self.assertEqual(self.ctl.json('archive-count', 'juliet', 'localhost'), {'messages': 0})
        self.say('one', 'two')
        rows = self.ctl.json('offline-list', 'juliet', 'localhost')
        self.assertEqual([row['from'] for row in rows], ['romeo@localhost/orchard'] * 2)
        self.assertRegex(rows[0]['time'], r'^20\d\d-')
        self.assertGreater(rows[0]['bytes'], 100)
        for user in ('romeo', 'juliet'):
            answer = self.ctl.json('archive-count', user, 'localhost')
            self.assertEqual(answer['messages'], 2)
            self.assertLessEqual(answer['first'], answer['last'])

    def test_what_waits_is_purged_and_the_archive_stays(self):
        self.say('one', 'two')
        self.assertEqual(self.ctl.json('offline-purge', 'juliet', 'localhost'), {'deleted': 2})
        self.assertEqual(self.ctl.json('offline-list', 'juliet', 'localhost'), [])
        self.assertEqual(self.count('juliet'), 2)
        self.assertEqual(self.ctl.json('offline-purge', 'juliet', 'localhost'), {'deleted': 0})

    def test_the_archive_is_purged_and_what_waits_stays(self):
        self.say('one', 'two')
        purge = ('archive-purge', 'juliet', 'localhost')
        self.assertIn('no moment', self.refused(FAILED, *purge, '--before', 'yesterday'))
        self.assertEqual(self.ctl.json(*purge, '--before', '2020-01-01T00:00:00Z'), {'deleted': 0})
        self.assertEqual(self.ctl.json(*purge), {'deleted': 2})
        self.assertEqual((self.count('juliet'), self.count('romeo')), (0, 2))
        juliet = self.server.login('juliet@localhost/balcony')
        juliet.send('<presence/>')
        juliet.expect('<presence/>')
        for body in ('one', 'two'):
            juliet.expect("<message id='%s'><delay xmlns='urn:xmpp:delay'/></message>" % body)
        juliet.close()
        self.wait_for(lambda: self.ctl.json('offline-count', 'juliet', 'localhost'), {'messages': 0})

    def test_exported(self):
        self.say('one', 't&lt;wo')
        path = self.server.path('juliet.xml')
        export = ('archive-export', 'juliet', 'localhost', path)
        self.assertEqual(self.ctl.json(*export), {'messages': 2})
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertIn('exists', self.refused(FAILED, *export))
        top = tree.parse(path).getroot()
        self.assertEqual(top.tag, PIE + 'server-data')
        user = top.find('%shost[@jid="localhost"]/%suser[@name="juliet"]' % (PIE, PIE))
        results = user.findall('{urn:xmpp:pie:0#mam}archive/%sresult' % MAM)
        self.assertEqual([''.join(r.itertext()).strip() for r in results], ['one', 't<wo'])
        self.assertEqual([r.find('{urn:xmpp:forward:0}forwarded/{jabber:client}message').get('from') for r in results],
                         ['romeo@localhost/orchard'] * 2)

    def test_an_account_that_goes_takes_its_messages_along(self):
        self.say('one')
        self.ctl.json('unregister', 'juliet', 'localhost')
        self.wait_for(lambda: self.count('juliet'), 0)
        self.assertEqual(self.count('romeo'), 1)


class Old(ConsoleCase):
    over = 'modules:\n    mam: {expire_after: 2 s}\n    mod_offline: {expire_after: 2 s}\n'

    def test_nobody_finds_what_is_too_old(self):
        self.server.register('romeo@localhost')
        self.server.register('juliet@localhost')
        romeo = self.server.login('romeo@localhost/orchard')
        romeo.send(MESSAGE % ('juliet@localhost', 'm1', 'one'))
        query = ("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'>"
                 "<set xmlns='http://jabber.org/protocol/rsm'><max>0</max></set></query></iq>")
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            romeo.send(query)
            count = romeo.expect("<iq type='result' id='q'/>").child('fin').child('set').child('count').text()
            if count == '0':
                break
            time.sleep(0.1)
        self.assertEqual(count, '0')
        juliet = self.server.login('juliet@localhost/balcony')
        juliet.send('<presence/>')
        juliet.expect('<presence/>')
        juliet.send(PING)
        juliet.expect("<iq type='result' id='ping'/>")
        juliet.close()
        romeo.close()


class Without(ConsoleCase):
    def test_the_modules_do_not_run(self):
        for command, module in (('offline-count', 'offline'), ('archive-count', 'mam')):
            self.assertIn('mod_%s does not run on localhost' % module,
                          self.refused(FAILED, command, 'romeo', 'localhost'))


if __name__ == '__main__':
    main()
