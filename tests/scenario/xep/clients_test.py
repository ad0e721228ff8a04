#!/usr/bin/python3
"""XEP-0494: which clients have access to an account, and taking it away; linnetctl's view of it."""

import json
import os
import re
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main                   # noqa: E402
from harness.element import NS_CAM, NS_SASL2                # noqa: E402
from harness.sasl2 import Client, bind                      # noqa: E402

WHEN = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z')


class Clients(ServerCase):
    settings = 'auth_fail_limit: 0'
    accounts = ()
    number = 0

    def setUp(self):
        Clients.number += 1
        self.user = 'user%d' % Clients.number
        self.server.control('register', user=self.user, host='localhost', password='pencil')

    def client(self, **more):
        return Client(self.server, self.user, 'pencil', **more)

    def session(self, client, by='password', inline=''):
        c, came = getattr(client, 'by_' + by)(bind() + inline)
        self.assertTrue(came.is_('success', NS_SASL2), came.show())
        c.jid = came.child('authorization-identifier', NS_SASL2).text()
        return c

    def list(self, c):
        c.send("<iq type='get' id='l'><list xmlns='%s'/></iq>" % NS_CAM)
        answer = c.expect("<iq type='result' id='l'><cam:clients/></iq>")
        return list(answer.child('clients', NS_CAM).elements())

    def text(self, e, *path):
        for name in path:
            e = e.child(name, NS_CAM)
        return e.text()

    def ways(self, e):
        return {w.name for w in e.child('auth', NS_CAM).elements()}

    def await_rows(self, n):
        """A login by password is written down behind its back."""
        deadline = time.monotonic() + 10
        while len(self.operator('clients')) < n:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def operator(self, name, **args):
        return self.server.control(name, user=self.user, host='localhost', **args)

    def with_token(self, **more):
        """A client with a token."""
        client = self.client(**more)
        c = self.session(client, inline=client.want_token())
        c.close()
        return client

    def forget_password(self, client):
        """As if it had come by another way than the password."""
        db = sqlite3.connect(self.server.path('linnet.db'), timeout=10)
        with db:
            db.execute('UPDATE user_agents SET ways = 0 WHERE id = ?', (client.id,))
        db.close()

    def test_list(self):
        """§3.1: who is connected, by what, since when; the id tells nobody the client's own."""
        phone = self.client(device='Kiva\'s <Phone>')
        c = self.session(phone, inline=phone.want_token())
        laptop = self.client()
        self.session(laptop).close()
        self.await_rows(2)
        # A client that gives no id, by RFC 6120.
        old = self.server.login('%s@localhost/old' % self.user, 'pencil')
        clients = self.list(c)
        self.assertEqual(len(clients), 3)
        first = next(e for e in clients if 'Phone' in e.show())
        self.assertEqual(self.text(first, 'user-agent', 'device'), "Kiva's <Phone>")
        self.assertEqual(first.attrs['connected'], 'true')
        self.assertEqual(first.attrs['type'], 'session')
        self.assertEqual(self.text(first, 'user-agent', 'software'), 'Test & co')
        self.assertEqual(self.ways(first), {'password', 'fast'})
        self.assertEqual(first.child('permission', NS_CAM).attrs['status'], 'unrestricted')
        for e in clients:
            self.assertRegex(self.text(e, 'first-seen'), WHEN)
            self.assertRegex(self.text(e, 'last-seen'), WHEN)
            for client in phone, laptop:
                self.assertNotIn(client.id, e.show())
        self.assertEqual(len({e.attrs['id'] for e in clients}), 3)
        others = [e for e in clients if e is not first]
        self.assertEqual([self.ways(e) for e in others], [{'password'}] * 2)
        self.assertEqual(clients[2].attrs['connected'], 'true')
        old.close()
        c.close()

    def test_two_sessions_without_an_id(self):
        """They are two that have access; the same client twice is one."""
        first = self.server.login('%s@localhost/a' % self.user, 'pencil')
        second = self.server.login('%s@localhost/b' % self.user, 'pencil')
        self.assertEqual(len(self.list(first)), 2)
        first.close()
        second.close()

    def test_revoke(self):
        """§3.2: a client with a token alone: it is gone, its session ends, its token is dead."""
        me, lost = self.client(), self.with_token()
        self.forget_password(lost)
        session = self.session(lost, 'token')
        c = self.session(me)
        mine = [e for e in self.list(c) if self.ways(e) == {'fast'}]
        self.assertEqual(len(mine), 1)
        c.send("<iq type='set' id='r'><revoke xmlns='%s' id='%s'/></iq>"
               % (NS_CAM, mine[0].attrs['id']))
        answer = c.expect("<iq type='result' id='r'/>")
        self.assertEqual(list(answer.elements()), [])
        session.expect_stream_error('not-authorized')
        came = lost.by_token()[1]
        self.assertTrue(came.is_('failure', NS_SASL2))
        self.assertEqual(len(self.list(c)), 1)
        c.close()

    def test_password_must_change(self):
        """§3.2: who has the password keeps access until it changes."""
        c = self.session(self.client())
        other = self.client()
        self.session(other, inline=other.want_token()).close()
        old = self.server.login('%s@localhost/old' % self.user, 'pencil')
        for e in self.list(c):
            c.send("<iq type='set' id='r'><revoke xmlns='%s' id='%s'/></iq>"
                   % (NS_CAM, e.attrs['id']))
            c.expect("<iq type='error' id='r'><error type='cancel'><e:service-unavailable/>"
                     "<cam:password-reset-required/></error></iq>")
        self.assertTrue(other.by_token()[1].is_('success', NS_SASL2), 'left alone')
        self.operator('change-password', password='another')
        self.assertTrue(other.by_token()[1].is_('failure', NS_SASL2))
        clients = self.list(c)
        self.assertEqual(len(clients), 2, 'who is connected, and nobody else')
        self.assertIn(set(), [self.ways(e) for e in clients])
        old.close()
        c.close()

    def test_errors(self):
        c = self.session(self.client())
        for payload, kind, condition in (
                ("<revoke xmlns='%s'/>", 'set', 'bad-request'),
                ("<revoke xmlns='%s' id=''/>", 'set', 'bad-request'),
                ("<revoke xmlns='%s' id='c0000000000000000'/>", 'set', 'item-not-found'),
                ("<list xmlns='%s'/>", 'set', 'bad-request'),
                ("<revoke xmlns='%s' id='x'/>", 'get', 'bad-request'),
                ("<nothing xmlns='%s'/>", 'get', 'bad-request')):
            c.send("<iq type='%s' id='x'>%s</iq>" % (kind, payload % NS_CAM))
            c.expect("<iq type='error' id='x'><error><e:%s/></error></iq>" % condition)
        c.close()

    def test_nobody_elses(self):
        """§5."""
        self.server.control('register', user='tybalt', host='localhost', password='pencil')
        c = self.server.login('tybalt@localhost/x', 'pencil')
        for kind, payload in ('get', "<list xmlns='%s'/>"), ('set', "<revoke xmlns='%s' id='x'/>"):
            c.send("<iq type='%s' id='x' to='%s@localhost'>%s</iq>"
                   % (kind, self.user, payload % NS_CAM))
            c.expect("<iq type='error' id='x'><error><e:forbidden/></error></iq>")
        c.close()
        self.server.control('unregister', user='tybalt', host='localhost')

    def test_operator(self):
        """linnetctl clients, client-revoke, tokens-revoke."""
        phone, laptop = self.client(device='phone'), self.client(device='laptop')
        session = self.session(phone, inline=phone.want_token())
        self.session(laptop, inline=laptop.want_token()).close()
        rows = self.operator('clients')
        rows.sort(key=lambda r: r['device'], reverse=True)
        self.assertEqual([r['device'] for r in rows], ['phone', 'laptop'])
        self.assertEqual(rows[0]['connected'], True)
        self.assertTrue(all(r['password'] and WHEN.match(r['token']) for r in rows))
        text = json.dumps(rows)
        for client in phone, laptop:
            self.assertNotIn(client.id, text)
            self.assertNotIn(client.token, text)
        self.operator('client-revoke', id=rows[0]['id'])
        session.expect_stream_error('not-authorized')
        self.assertTrue(phone.by_token()[1].is_('failure', NS_SASL2))
        self.assertTrue(laptop.by_token()[1].is_('success', NS_SASL2))
        self.assertEqual(len(self.operator('clients')), 1)
        self.assertEqual(self.operator('tokens-revoke', software='Others')['clients'], 0)
        self.assertEqual(self.operator('tokens-revoke', software='Test & co')['clients'], 1)
        self.assertTrue(laptop.by_token()[1].is_('failure', NS_SASL2))
        self.assertIsNone(self.operator('clients')[0]['token'])
        phone.by_password(phone.want_token())[0].close()
        self.assertEqual(self.operator('tokens-revoke')['clients'], 1)
        phone.by_password(phone.want_token())[0].close()
        self.assertGreater(self.server.control('tokens-revoke', host='localhost')['clients'], 0)
        self.assertTrue(phone.by_token()[1].is_('failure', NS_SASL2))


class NothingKept(ServerCase):
    """user_agent_lifetime: 0 keeps no names, and nobody without a token."""

    settings = 'user_agent_lifetime: 0'

    def test_nothing(self):
        client = Client(self.server, 'juliet', 'secret of juliet', device='phone')
        client.by_password()[0].close()
        self.assertEqual(self.server.control('clients', user='juliet', host='localhost'), [])
        client.by_password(client.want_token())[0].close()
        rows = self.server.control('clients', user='juliet', host='localhost')
        self.assertEqual([(r['device'], r['software']) for r in rows], [(None, None)])
        self.assertTrue(client.by_token()[1].is_('success', NS_SASL2))


if __name__ == '__main__':
    main()
