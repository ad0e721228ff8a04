#!/usr/bin/python3
"""What an operator sees of private XML (XEP-0049)."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.console import FAILED, ConsoleCase, main  # noqa: E402

SET = "<iq type='set' id='p'><query xmlns='jabber:iq:private'>%s</query></iq>"
RESULT = "<iq type='result' id='p'/>"


class Private(ConsoleCase):
    over = 'modules:\n    mod_private: {}\n'

    def names(self):
        return [(row['element'], row['namespace']) for row in self.ctl.json('private', 'romeo', 'localhost')]

    def test_listed_and_deleted(self):
        self.server.register('romeo@localhost')
        romeo = self.server.login('romeo@localhost/orchard')
        romeo.send(SET % "<a xmlns='one'>x</a><b xmlns='one'>y</b><a xmlns='two'>z</a>")
        romeo.expect(RESULT)
        romeo.close()
        self.assertEqual(self.names(), [('a', 'one'), ('b', 'one'), ('a', 'two')])
        row = self.ctl.json('private', 'romeo', 'localhost')[0]
        self.assertEqual(row['bytes'], len("<a xmlns='one'>x</a>"))
        self.assertRegex(row['changed'], r'^20\d\d-')
        self.assertIn('go together', self.refused(
            FAILED, 'private-delete', 'romeo', 'localhost', '--element', 'a'))
        gone = self.ctl.json('private-delete', 'romeo', 'localhost', '--element', 'a', '--namespace', 'two')
        self.assertEqual(gone, {'deleted': 1})
        self.assertEqual(self.names(), [('a', 'one'), ('b', 'one')])
        self.assertEqual(self.ctl.json('private-delete', 'romeo', 'localhost'), {'deleted': 2})
        self.assertEqual(self.names(), [])
        self.assertEqual(self.ctl.json('private-delete', 'romeo', 'localhost'), {'deleted': 0})

    def test_it_lasts(self):
        self.server.register('romeo@localhost')
        romeo = self.server.login('romeo@localhost/orchard')
        romeo.send(SET % "<a xmlns='one'>x</a>")
        romeo.expect(RESULT)
        self.server.kill()
        self.server.start()
        romeo = self.server.login('romeo@localhost/orchard')
        romeo.send("<iq type='get' id='p'><query xmlns='jabber:iq:private'><a xmlns='one'/></query></iq>")
        romeo.expect("<iq type='result' id='p'><query xmlns='jabber:iq:private'><a xmlns='one'>x</a></query></iq>")
        romeo.close()


class Without(ConsoleCase):
    def test_the_module_does_not_run(self):
        self.assertIn('mod_private does not run on localhost',
                      self.refused(FAILED, 'private', 'romeo', 'localhost'))


if __name__ == '__main__':
    main()
