#!/usr/bin/python3
"""XEP-0484: tokens in place of the password, as a client gets, uses, changes and loses them."""

import os
import sqlite3
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness import sasl                                    # noqa: E402
from harness.case import ServerCase, main                   # noqa: E402
from harness.element import NS_BIND2, NS_FAST, NS_SASL, NS_SASL2      # noqa: E402
from harness.sasl2 import Client, bind, encode, proof       # noqa: E402
from harness.server import password_of                      # noqa: E402


class Tokens(ServerCase):
    settings = '''
        auth_fail_limit: 0
        modules:
            mod_mam: {}
            mod_offline: {}
        '''

    def client(self, user='juliet', **more):
        return Client(self.server, user, password_of(user + '@localhost'), **more)

    def with_token(self, mechanism='HT-SHA-256-NONE', **more):
        client = self.client(**more)
        c, came = client.by_password(client.want_token(mechanism))
        c.close()
        self.assertTrue(came.is_('success', NS_SASL2), came.show())
        self.assertTrue(client.token, came.show())
        return client

    def change_database(self, sql, *values):
        """What only time would bring about."""
        db = sqlite3.connect(self.server.path('linnet.db'), timeout=10)
        with db:
            changed = db.execute(sql, values).rowcount
        db.close()
        self.assertEqual(changed, 1)

    def assert_works(self, client, **more):
        c, came = client.by_token(**more)
        c.close()
        self.assertTrue(came.is_('success', NS_SASL2), came.show())
        return came

    def assert_fails(self, client, condition='not-authorized', **more):
        c, came = client.by_token(**more)
        c.close()
        self.assertTrue(came.is_('failure', NS_SASL2), came.show())
        self.assertEqual([e.name for e in came.elements() if e.ns == NS_SASL], [condition])

    def mechanisms(self, **more):
        c = self.client(**more).connect()
        inline = c.features.child('authentication', NS_SASL2).child('inline', NS_SASL2)
        names = [m.text() for m in inline.child('fast', NS_FAST).elements()]
        c.close()
        return names

    def test_offered(self):
        """§3.1; HT's bindings as TLS 1.2 and 1.3 have them."""
        self.assertEqual(self.mechanisms(),
                         ['HT-SHA-256-EXPR', 'HT-SHA-256-ENDP', 'HT-SHA-256-NONE'])
        self.assertEqual(self.mechanisms(version=ssl.TLSVersion.TLSv1_2),
                         ['HT-SHA-256-UNIQ', 'HT-SHA-256-ENDP', 'HT-SHA-256-NONE'])

    def test_given_and_used(self):
        """§3.2, §3.3, §3.4, with each binding that Python's TLS can tell."""
        for mechanism, version in (('HT-SHA-256-NONE', None), ('HT-SHA-256-ENDP', None),
                                   ('HT-SHA-256-UNIQ', ssl.TLSVersion.TLSv1_2)):
            client = self.with_token(mechanism, version=version)
            for _ in range(3):
                came = self.assert_works(client)
                self.assertIsNone(came.child('token', NS_FAST), 'not due')

    def test_one_round_trip_to_a_session(self):
        """§3.4, XEP-0386."""
        client = self.with_token()
        c, came = client.by_token(bind('Aves'))
        self.assertIsNotNone(came.child('bound', NS_BIND2))
        jid = came.child('authorization-identifier', NS_SASL2).text()
        c.send("<message to='%s' id='m'/>" % jid)
        c.expect("<message from='%s' id='m'/>" % jid)
        c.close()

    def test_expiry_is_told(self):
        """§3.3: expiry and token, XEP-0082."""
        client = self.client()
        c, came = client.by_password(client.want_token())
        c.close()
        token = came.child('token', NS_FAST)
        left = time.mktime(time.strptime(token.attrs['expiry'], '%Y-%m-%dT%H:%M:%SZ')) \
            - time.mktime(time.gmtime())
        self.assertAlmostEqual(left / 86400, 30, delta=1)
        self.assertGreater(len(token.attrs['token']), 64)

    def test_for_its_mechanism_alone(self):
        """§3.4: bound to what it was asked for."""
        client = self.with_token('HT-SHA-256-ENDP')
        self.assert_fails(client, mechanism='HT-SHA-256-NONE')
        self.assert_works(client)
        client = self.with_token('HT-SHA-256-NONE')
        self.assert_fails(client, mechanism='HT-SHA-256-ENDP')

    def test_for_its_client_and_account_alone(self):
        """§4.1."""
        client, other = self.with_token(), self.client()
        self.assert_fails(other, token=client.token, mechanism='HT-SHA-256-NONE')
        romeo = self.client('romeo')
        romeo.id = client.id
        self.assert_fails(romeo, token=client.token, mechanism='HT-SHA-256-NONE')
        self.assert_fails(client, user='romeo')
        self.assert_fails(client, 'malformed-request', agent=False)

    def test_wrong_token(self):
        client = self.with_token()
        self.assert_fails(client, token=client.token[:-1] + '-')
        self.assert_works(client)

    def test_without_saying_fast(self):
        """§3.4: a client MUST say that it shows a token; and that it does not, else."""
        client = self.with_token()
        c = client.connect()
        client.authenticate(c, 'HT-SHA-256-NONE', 'AAAA')
        c.expect('<sasl2:failure><sasl:invalid-mechanism/></sasl2:failure>', exact=True)
        client.authenticate(c, 'PLAIN', 'AAAA', "<fast xmlns='%s'/>" % NS_FAST)
        failure = c.expect('<sasl2:failure/>')
        self.assertNotIn('success', failure.show())
        c.close()

    def test_bad_attributes(self):
        for fast in ("count='0'", "count='-1'", "count=''", "count='x'", "count='2147483648'",
                     "count='1 '", "invalidate='maybe'", "invalidate=''"):
            client = self.with_token()
            self.assert_fails(client, 'malformed-request', fast=' ' + fast)

    def test_no_token_without_a_client(self):
        """§4.1: tokens are a client's; what cannot be given is not, and the login goes on."""
        client = self.client()
        c = client.connect()
        client.authenticate(c, 'PLAIN', sasl.plain('juliet', client.password), client.want_token(),
                            agent=False)
        self.assertIsNone(client.finish(c).child('token', NS_FAST))
        c.close()
        for mechanism in ('HT-SHA-512-NONE', 'HT-SHA-256-UNIQ', ''):
            c, came = client.by_password(client.want_token(mechanism))
            c.close()
            self.assertTrue(came.is_('success', NS_SASL2))
            self.assertIsNone(came.child('token', NS_FAST), mechanism)

    def test_no_token_after_a_failure(self):
        """§3.3."""
        client = self.client()
        client.password = 'wrong'
        c, came = client.by_password(client.want_token())
        c.close()
        self.assertTrue(came.is_('failure', NS_SASL2))
        self.assertIsNone(client.token)

    def test_count(self):
        """§3.4: nothing that was counted is taken again."""
        client = self.with_token()
        self.assert_works(client, fast=" count='5'")
        self.settled(client, 'current_count = 5 OR fresh_count = 5')
        self.assert_fails(client, 'credentials-expired', fast=" count='5'")
        self.assert_fails(client, 'credentials-expired', fast=" count='4'")
        self.assert_works(client, fast=" count='6'")

    def settled(self, client, condition):
        """Waits until what a login leaves behind is written."""
        deadline = time.monotonic() + 10
        db = sqlite3.connect(self.server.path('linnet.db'), timeout=10)
        while not db.execute('SELECT 1 FROM user_agents WHERE id = ? AND (%s)' % condition,
                             (client.id,)).fetchone():
            self.assertLess(time.monotonic(), deadline, condition)
            time.sleep(0.01)
        db.close()

    def test_rotation(self):
        """§3.5, §5.1: replaced unasked when old; the old one goes when the new one was used."""
        client = self.with_token()
        old = client.token
        self.assert_works(client)
        self.change_database('UPDATE user_agents SET current_issued = current_issued - 90000,'
                             ' current_expires = current_expires - 90000 WHERE id = ?', client.id)
        came = self.assert_works(client)
        self.assertIsNotNone(came.child('token', NS_FAST))
        self.assertNotEqual(client.token, old)
        lost, client.token = client.token, old  # the answer did not reach it
        came = self.assert_works(client)
        self.assertIsNotNone(came.child('token', NS_FAST))
        self.assertNotIn(client.token, (old, lost))
        new = client.token
        self.assert_fails(client, token=lost)   # never used, and replaced
        self.assert_works(client, token=old)    # the other new one is still unused
        client.token = new
        # Using the old one has brought yet another: the last that was given counts.
        came = self.assert_works(client, token=old)
        self.assert_works(client)
        self.assert_fails(client, token=old)
        self.assert_works(client)

    def test_asked_again(self):
        """§3.2: by token, a token may be asked for, with another mechanism too."""
        client = self.with_token()
        old = client.token
        came = self.assert_works(client, inline=client.want_token('HT-SHA-256-ENDP'),
                                 mechanism='HT-SHA-256-NONE')
        self.assertIsNotNone(came.child('token', NS_FAST))
        self.assert_works(client, token=old, mechanism='HT-SHA-256-NONE')
        self.assert_works(client)
        self.assert_fails(client, token=old, mechanism='HT-SHA-256-NONE')

    def test_expired(self):
        """§4.2: credentials-expired, and then the password."""
        client = self.with_token()
        self.change_database('UPDATE user_agents SET fresh_expires = 1000 WHERE id = ?', client.id)
        self.assert_fails(client, 'credentials-expired')
        c, came = client.by_password(client.want_token())
        c.close()
        self.assert_works(client)

    def test_invalidate(self):
        """§3.6: it works once more, and never again; no new one unless asked for."""
        for word in 'true', '1':
            client = self.with_token()
            came = self.assert_works(client, fast=" invalidate='%s'" % word)
            self.assertIsNone(came.child('token', NS_FAST))
            self.assert_fails(client)
        client = self.with_token()
        self.assert_works(client, fast=" invalidate='false'")
        self.assert_works(client)
        old = client.token
        came = self.assert_works(client, inline=client.want_token(), fast=" invalidate='1'")
        self.assertIsNotNone(came.child('token', NS_FAST))
        self.assert_fails(client, token=old)
        self.assert_works(client)

    def test_password_change(self):
        """Our choice: no token outlives the password that it was given for."""
        client = self.with_token()
        self.server.control('change-password', user='juliet', host='localhost',
                            password=client.password)
        self.assert_fails(client)

    def test_account_removed(self):
        self.server.control('register', user='tybalt', host='localhost', password='prince of cats')
        client = Client(self.server, 'tybalt', 'prince of cats')
        c, _ = client.by_password(client.want_token())
        c.close()
        self.assert_works(client)
        self.server.control('unregister', user='tybalt', host='localhost')
        self.assert_fails(client)
        self.server.control('register', user='tybalt', host='localhost', password='prince of cats')
        self.assert_fails(client)

    def test_gone_before_the_answer(self):
        """A client that does not wait for what is looked up, written down or bound for it."""
        client = self.with_token()
        proof_of = b'juliet\0' + proof(client.token, b'Initiator')
        everything = client.want_token() + bind('Aves') + \
            "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>" \
            "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>"
        for i in range(40):
            c = client.connect()
            if i % 2:
                client.authenticate(c, 'HT-SHA-256-NONE', encode(proof_of),
                                    "<fast xmlns='%s'/>" % NS_FAST + everything)
            else:
                client.authenticate(c, 'PLAIN', sasl.plain('juliet', client.password), everything)
            c.close()
        self.assert_serves()

    def test_hashed_at_rest_and_not_logged(self):
        client = self.with_token()
        self.assert_works(client)
        for name in 'linnet.db', 'linnet.db-wal':
            if os.path.exists(self.server.path(name)):
                with open(self.server.path(name), 'rb') as f:
                    self.assertNotIn(client.token.encode(), f.read())
        self.assertNotIn(client.token, self.server.log())

    def test_clients_are_few(self):
        """max_user_agents: the one not seen for longest makes room."""
        self.server.control('register', user='crowd', host='localhost', password='x')
        clients = []
        for i in range(21):
            client = Client(self.server, 'crowd', 'x')
            c, _ = client.by_password(client.want_token(), mechanism='PLAIN')
            c.close()
            self.change_database('UPDATE user_agents SET last_seen = ? WHERE id = ?',
                                 int(time.time()) - 1000 + i, client.id)
            clients.append(client)
        self.assert_fails(clients[0])
        self.assert_works(clients[1])


class NoTokens(ServerCase):
    settings = 'token_lifetime: 0\nsasl2: true'

    def test_not_offered(self):
        client = Client(self.server, 'juliet', password_of('juliet@localhost'))
        c, came = client.by_password(client.want_token())
        self.assertTrue(came.is_('success', NS_SASL2))
        self.assertIsNone(came.child('token', NS_FAST))
        c.close()
        c = client.connect()
        inline = c.features.child('authentication', NS_SASL2).child('inline', NS_SASL2)
        self.assertIsNone(inline.child('fast', NS_FAST))
        c.close()


if __name__ == '__main__':
    main()
