#!/usr/bin/python3
"""What an operator sees of reports (XEP-0377)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.console import FAILED, ConsoleCase, main  # noqa: E402


class Reports(ConsoleCase):
    over = 'modules:\n    mod_blocking: {}\n    mod_report: {}\n'

    def test_announced(self):
        """XEP-0377 §3"""
        self.server.register('romeo@localhost')
        romeo = self.server.login('romeo@localhost/orchard')
        romeo.send("<iq type='get' id='d' to='localhost'>"
                   "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
        romeo.expect("<iq type='result' id='d'><info:query><info:feature var='urn:xmpp:reporting:1'/>"
                     "</info:query></iq>")
        romeo.close()

    def test_none_yet(self):
        self.assertEqual(self.ctl.json('reports'), [])
        self.assertEqual(self.ctl.json('reports', 'localhost', '--reported', 'a@example.net', '--max', '3'), [])
        self.assertIn('there is no report 7', self.refused(FAILED, 'report', '7'))
        self.assertIn('there is no report 7', self.refused(FAILED, 'report-delete', '7'))
        self.assertIn('is not a JID', self.refused(FAILED, 'reports', '--reported', '@'))
        self.assertIn('from 1 to', self.refused(FAILED, 'reports', '--max', '0'))


class WithoutBlocks(ConsoleCase):
    over = 'modules:\n    mod_report: {}\n'

    def test_is_not_announced(self):
        """XEP-0377 §3"""
        self.server.register('romeo@localhost')
        romeo = self.server.login('romeo@localhost/orchard')
        for to in 'localhost', 'romeo@localhost':
            romeo.send("<iq type='get' id='d' to='%s'>"
                       "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>" % to)
            features = romeo.expect("<iq type='result' id='d'/>").show()
            self.assertIn('http://jabber.org/protocol/disco#info', features)
            self.assertNotIn('urn:xmpp:reporting', features)
        romeo.close()


class Without(ConsoleCase):
    def test_the_module_does_not_run(self):
        for words in (['reports'], ['report', '1'], ['report-delete', '1']):
            self.assertIn('mod_report runs on no host', self.refused(FAILED, *words))


if __name__ == '__main__':
    main()
