#!/usr/bin/python3
"""XEP-0357 §7.1: app servers that refuse or fail, how many notifications they get, and what operators do."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main   # noqa: E402
from harness.connection import WAIT_S       # noqa: E402
from harness.server import password_of    # noqa: E402

PUBSUB = 'http://jabber.org/protocol/pubsub'


class Push(ServerCase):
    settings = '''
modules:
    mod_offline: {}
    mod_push: {max_rate: 4, max_failures: 3, include_body: true}
'''

    def login(self, jid):
        self.server.control('register', user=jid.partition('@')[0], host='localhost',
                            password=password_of(jid.partition('/')[0]), **{'if-absent': True})
        return self.server.login(jid)

    def enable(self, name, app, node='n'):
        """An account of that name whose client has named a node, and has gone."""
        client = self.login('%s@localhost/phone' % name)
        client.send("<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='%s' node='%s'/></iq>"
                    % (app, node))
        client.expect("<iq type='result' id='e'/>")
        client.send('</stream:stream>')
        client.expect_close()

    def write(self, sender, name, ident):
        sender.send("<message to='%s@localhost' type='chat' id='%s'><body>%s</body></message>"
                    % (name, ident, ident))

    def entries(self, name):
        return self.server.control('push', user=name, host='localhost')

    def wait_for_none(self, name):
        end = time.monotonic() + WAIT_S
        while self.entries(name):
            self.assertLess(time.monotonic(), end, 'it is never given up')
            time.sleep(0.02)

    def answer(self, app, condition, kind):
        iq = app.expect("<iq type='set' from='localhost'><pubsub xmlns='%s'><publish node='n'/></pubsub></iq>"
                        % PUBSUB)
        app.send("<iq type='error' id='%s' to='localhost'><error type='%s'>"
                 "<%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
                 % (iq.get('id'), kind, condition))

    def test_refused_is_given_up(self):
        app = self.login('app1@localhost/push')
        self.enable('juliet1', 'app1@localhost/push')
        row, = self.entries('juliet1')
        self.assertEqual((row['service'], row['node'], row['resource']),
                         ('app1@localhost/push', 'n', 'phone'))
        self.write(app, 'juliet1', 'm1')
        self.answer(app, 'item-not-found', 'cancel')
        self.wait_for_none('juliet1')

    def test_failures_in_a_row(self):
        app = self.login('app2@localhost/push')
        self.enable('juliet2', 'app2@localhost/push')
        for i in range(3):
            self.assertEqual(len(self.entries('juliet2')), 1)
            self.write(app, 'juliet2', 'm%d' % i)
            self.answer(app, 'resource-constraint', 'wait')
        self.wait_for_none('juliet2')

    def test_nobody_else_answers_for_it(self):
        app = self.login('app3@localhost/push')
        thief = self.login('app3@localhost/thief')
        self.enable('juliet3', 'app3@localhost/push')
        self.write(app, 'juliet3', 'm1')
        iq = app.expect("<iq type='set' from='localhost'/>")
        error = ("<iq type='error' id='%s' to='localhost'><error type='cancel'>"
                 "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>" % iq.get('id'))
        thief.send(error)
        thief.send("<iq type='set' id='b' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        thief.expect("<iq id='b'/>")
        self.write(app, 'juliet3', 'm2')
        app.expect("<iq type='set' from='localhost'/>")
        self.assertEqual(len(self.entries('juliet3')), 1)
        app.send(error)
        self.wait_for_none('juliet3')

    def test_an_app_server_that_is_gone(self):
        sender = self.login('romeo4@localhost/orchard')
        self.server.control('register', user='app4', host='localhost', password='x')
        self.enable('juliet4', 'app4@localhost/gone')
        for i in range(3):
            self.assertEqual(len(self.entries('juliet4')), 1, 'service-unavailable may pass')
            self.write(sender, 'juliet4', 'm%d' % i)
        self.wait_for_none('juliet4')

    def test_not_more_than_the_rate(self):
        app = self.login('app5@localhost/push')
        self.enable('juliet5', 'app5@localhost/push')
        for i in range(7):
            self.write(app, 'juliet5', 'm%d' % i)
        for i in range(4):
            app.expect("<iq type='set' from='localhost'><pubsub xmlns='%s'><publish><item>"
                       "<notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data'>"
                       "<field var='message-count'><value>1</value></field>"
                       "<field var='last-message-body'><value>m%d</value></field>"
                       "</x></notification></item></publish></pubsub></iq>" % (PUBSUB, i))
        app.send("<message to='app5@localhost/push' id='end'/>")
        app.expect("<message id='end'/>")

    def test_kept_over_a_restart_and_removed(self):
        self.enable('juliet6', 'push.example', 'a')
        self.enable('juliet6', 'push.example', 'b')
        self.enable('juliet6', 'other.example', 'c')
        self.server.stop()
        self.server.again()
        self.assertEqual([(e['service'], e['node']) for e in self.entries('juliet6')],
                         [('other.example', 'c'), ('push.example', 'a'), ('push.example', 'b')])
        done = self.server.control('push-remove', user='juliet6', host='localhost',
                                   service='push.example', node='a')
        self.assertEqual(done['removed'], 1)
        done = self.server.control('push-remove', user='juliet6', host='localhost', service='push.example')
        self.assertEqual(done['removed'], 1)
        done = self.server.control('push-remove', user='juliet6', host='localhost')
        self.assertEqual(done['removed'], 1)
        self.assertEqual(self.entries('juliet6'), [])

    def test_nothing_is_left_of_a_removed_account(self):
        self.enable('juliet7', 'push.example', 'a')
        self.server.control('unregister', user='juliet7', host='localhost')
        self.server.control('register', user='juliet7', host='localhost', password='y')
        end = time.monotonic() + WAIT_S
        while self.entries('juliet7'):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)


if __name__ == '__main__':
    main()
