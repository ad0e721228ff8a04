#!/usr/bin/python3
"""What an operator sees of blocks (XEP-0191) and privacy lists (XEP-0016)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.console import FAILED, ConsoleCase, main  # noqa: E402

BLOCK = "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>%s</block></iq>"
LIST = "<iq type='set' id='b'><query xmlns='jabber:iq:privacy'><list name='%s'>%s</list></query></iq>"
DEFAULT = "<iq type='set' id='b'><query xmlns='jabber:iq:privacy'><default name='%s'/></query></iq>"
PUSH = "<iq type='set' id='b'><query xmlns='jabber:iq:privacy'/></iq>"
RESULT = "<iq type='result' id='b'/>"


class Blocks(ConsoleCase):
    over = 'modules:\n    mod_blocking: {}\n    mod_privacy: {}\n'

    def ask(self, client, *requests):
        for request in requests:
            client.send(request)
            client.expect(RESULT)
            if '<list ' in request:
                client.expect(PUSH)

    def blocks(self, name='romeo'):
        return [row['address'] for row in self.ctl.json('blocks', name, 'localhost')]

    def rules(self, name):
        return [(row['list'], row['default'], row['rule'], row['action'], row['about'],
                 ' '.join(row['stanzas'])) for row in self.ctl.json('privacy-lists', name, 'localhost')]

    def test_blocks(self):
        self.server.register('romeo@localhost')
        self.assertEqual(self.blocks(), [])
        romeo = self.server.login('romeo@localhost/orchard')
        self.ask(romeo, BLOCK % "<item jid='tybalt@localhost'/><item jid='spam.example'/>")
        self.assertEqual(sorted(self.blocks()), ['spam.example', 'tybalt@localhost'])
        self.assertEqual(self.blocks('nobody'), [])
        self.assertEqual([rule[1:2] + rule[3:] for rule in sorted(self.rules('romeo'), key=lambda r: r[4])],
                         [(True, 'deny', 'address spam.example', ''),
                          (True, 'deny', 'address tybalt@localhost', '')])
        romeo.close()

    def test_lists(self):
        self.server.register('juliet@localhost')
        juliet = self.server.login('juliet@localhost/balcony')
        self.ask(juliet,
                 LIST % ('away', "<item action='deny' order='7'><presence-out/></item>"),
                 LIST % ('here', "<item type='subscription' value='none' action='deny' order='2'>"
                         "<message/><iq/></item>"
                         "<item type='jid' value='nurse@localhost' action='allow' order='1'/>"
                         "<item type='jid' value='paris@localhost' action='deny' order='3'/>"),
                 DEFAULT % 'here')
        self.assertEqual(self.rules('juliet'), [
            ('away', False, 1, 'deny', 'anybody', 'presence-out'),
            ('here', True, 1, 'allow', 'address nurse@localhost', ''),
            ('here', True, 2, 'deny', 'subscription none', 'message iq'),
            ('here', True, 3, 'deny', 'address paris@localhost', '')])
        self.assertEqual(self.blocks('juliet'), ['paris@localhost'])
        juliet.close()


class Without(ConsoleCase):
    def test_the_modules_do_not_run(self):
        for command, module in (('blocks', 'blocking'), ('privacy-lists', 'privacy')):
            self.assertIn('mod_%s does not run on localhost' % module,
                          self.refused(FAILED, command, 'romeo', 'localhost'))


if __name__ == '__main__':
    main()
