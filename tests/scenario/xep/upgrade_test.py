#!/usr/bin/python3
"""XEP-0480: a client brings the verifier that its account lacks while it logs in. XEP-0474 on the way."""

import base64
import hashlib
import hmac
import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness import sasl                                    # noqa: E402
from harness.case import ServerCase, main                   # noqa: E402
from harness.element import NS_SASL, NS_SASL2               # noqa: E402
from harness.sasl2 import NS_SCRAM_UPGRADE, NS_UPGRADE, Client, bind, hash_of   # noqa: E402

TASKS = {'UPGR-SCRAM-SHA-1': 'sha1', 'UPGR-SCRAM-SHA-256': 'sha256', 'UPGR-SCRAM-SHA-512': 'sha512'}
COLUMNS = {'sha1': 'scram_sha_1', 'sha256': 'scram_sha_256', 'sha512': 'scram_sha_512'}


def wish(*tasks):
    return ''.join("<upgrade xmlns='%s'>%s</upgrade>" % (NS_UPGRADE, t) for t in tasks)


class Upgrades(ServerCase):
    settings = 'auth_fail_limit: 0\noffered_upgrades: [SCRAM-SHA-1, SCRAM-SHA-256, SCRAM-SHA-512]'
    accounts = ()
    number = 0

    def setUp(self):
        """An account that came with a verifier for SCRAM-SHA-1 alone."""
        Upgrades.number += 1
        self.user, self.password = 'user%d' % Upgrades.number, 'pencil'
        self.server.control('register', user=self.user, host='localhost', password=self.password)
        self.change('scram_sha_256 = NULL, scram_sha_512 = NULL')
        self.client = Client(self.server, self.user, self.password)

    def change(self, what):
        db = sqlite3.connect(self.server.path('linnet.db'), timeout=10)
        with db:
            db.execute('UPDATE accounts SET %s WHERE name = ?' % what, (self.user,))
        db.close()

    def stored(self):
        """The hashes that it has verifiers for."""
        db = sqlite3.connect(self.server.path('linnet.db'), timeout=10)
        row = db.execute('SELECT scram_sha_1, scram_sha_256, scram_sha_512 FROM accounts'
                         ' WHERE name = ?', (self.user,)).fetchone()
        db.close()
        return {k for k, v in zip(('sha1', 'sha256', 'sha512'), row) if v}

    def works(self, mechanism, password=None):
        client = Client(self.server, self.user, password or self.password)
        c, came = client.by_password(mechanism=mechanism)
        c.close()
        return came.is_('success', NS_SASL2)

    def task(self, c, offer, password=None):
        """One task, as the server has offered it, up to what follows."""
        name = offer.child('tasks', NS_SASL2).child('task', NS_SASL2).text()
        c.send("<next xmlns='%s' task='%s'/>" % (NS_SASL2, name))
        data = c.expect("<sasl2:task-data><salt xmlns='%s' iterations='*'>*</salt></sasl2:task-data>"
                        % NS_SCRAM_UPGRADE)
        salt = data.child('salt', NS_SCRAM_UPGRADE)
        hashed = hash_of(TASKS[name], password or self.password, salt.text(),
                         int(salt.attrs['iterations']))
        c.send("<task-data xmlns='%s'><hash xmlns='%s'>%s</hash></task-data>"
               % (NS_SASL2, NS_SCRAM_UPGRADE, hashed))
        return name, self.client.finish(c)

    def test_offered(self):
        """§2.1: names without -PLUS, each once."""
        c = self.client.connect()
        offered = c.features.child('authentication', NS_SASL2)
        names = [e.text() for e in offered.elements() if e.is_('upgrade', NS_UPGRADE)]
        c.close()
        self.assertEqual(names, sorted(TASKS, key=lambda t: int(t.rpartition('-')[2])))

    def test_one(self):
        """§2.2, §2.3, §3: continue with the mechanism's last word, next, salt, hash, success."""
        self.assertFalse(self.works('SCRAM-SHA-256'))
        c, came = self.client.by_password(wish('UPGR-SCRAM-SHA-256') + bind(), 'SCRAM-SHA-1')
        self.assertTrue(came.is_('continue', NS_SASL2), came.show())    # by_password checked v=
        self.assertIsNotNone(came.child('additional-data', NS_SASL2))
        name, came = self.task(c, came)
        self.assertEqual(name, 'UPGR-SCRAM-SHA-256')
        self.assertTrue(came.is_('success', NS_SASL2), came.show())
        self.assertIsNone(came.child('additional-data', NS_SASL2), 'said before')
        self.assertIn('/', came.child('authorization-identifier', NS_SASL2).text())
        c.close()
        self.assertEqual(self.stored(), {'sha1', 'sha256'})
        self.assertTrue(self.works('SCRAM-SHA-256'))
        self.assertTrue(self.works('SCRAM-SHA-1'), '§4: the older one stays')

    def test_several(self):
        """§2.2: one task after the other, and only those that were asked for and bring something."""
        c, came = self.client.by_password(
            wish('UPGR-SCRAM-SHA-512', 'UPGR-SCRAM-SHA-256', 'UPGR-SCRAM-SHA-1', 'UPGR-BLOOP'),
            'SCRAM-SHA-1')
        first, came = self.task(c, came)
        self.assertTrue(came.is_('continue', NS_SASL2), came.show())
        self.assertIsNone(came.child('additional-data', NS_SASL2))
        second, came = self.task(c, came)
        self.assertEqual({first, second}, {'UPGR-SCRAM-SHA-256', 'UPGR-SCRAM-SHA-512'})
        self.assertTrue(came.is_('success', NS_SASL2), came.show())
        c.close()
        self.assertTrue(self.works('SCRAM-SHA-512'))

    def test_by_plain(self):
        c, came = self.client.by_password(wish('UPGR-SCRAM-SHA-512'), 'PLAIN')
        self.assertTrue(came.is_('continue', NS_SASL2), came.show())
        _, came = self.task(c, came)
        self.assertTrue(came.is_('success', NS_SASL2), came.show())
        c.close()
        self.assertTrue(self.works('SCRAM-SHA-512'))

    def test_nothing_to_do(self):
        """Our choice: what is there and slow enough is not asked for."""
        c, came = self.client.by_password(wish('UPGR-SCRAM-SHA-1'), 'SCRAM-SHA-1')
        self.assertTrue(came.is_('success', NS_SASL2), came.show())
        c.close()

    def test_not_without_the_mechanism(self):
        """§2.2: upon successfully authenticating."""
        self.client.password = 'wrong'
        c, came = self.client.by_password(wish('UPGR-SCRAM-SHA-256'), 'SCRAM-SHA-1')
        self.assertTrue(came.is_('failure', NS_SASL2), came.show())
        c.send("<next xmlns='%s' task='UPGR-SCRAM-SHA-256'/>" % NS_SASL2)
        c.expect_stream_error('not-authorized')
        c.close()

    def test_not_by_token(self):
        """Our choice: who has a token need not have the password."""
        c, _ = self.client.by_password(self.client.want_token(), 'SCRAM-SHA-1')
        c.close()
        c, came = self.client.by_token(wish('UPGR-SCRAM-SHA-256'))
        self.assertTrue(came.is_('success', NS_SASL2), came.show())
        c.close()

    def test_token_after_the_tasks(self):
        """XEP-0484 §3.3: not before all tasks are done."""
        c, came = self.client.by_password(wish('UPGR-SCRAM-SHA-256') + self.client.want_token(),
                                          'SCRAM-SHA-1')
        self.assertIsNone(self.client.token)
        self.task(c, came)
        c.close()
        self.assertTrue(self.client.token)
        c, came = self.client.by_token()
        self.assertTrue(came.is_('success', NS_SASL2), came.show())
        c.close()

    def assert_failed(self, c, condition):
        failure = c.stanza()
        self.assertTrue(failure.is_('failure', NS_SASL2), failure.show())
        self.assertEqual([e.name for e in failure.elements() if e.ns == NS_SASL], [condition])
        self.assertEqual(self.stored(), {'sha1'})
        _, came = self.client.by_password(mechanism='SCRAM-SHA-1', c=c)     # XEP-0388 §2.6.2
        self.assertTrue(came.is_('success', NS_SASL2), came.show())
        c.close()

    def begin(self):
        c, came = self.client.by_password(wish('UPGR-SCRAM-SHA-256'), 'SCRAM-SHA-1')
        self.assertTrue(came.is_('continue', NS_SASL2), came.show())
        return c

    def test_wrong_answers(self):
        """XEP-0388 §2.6.3: a task that fails."""
        right = hash_of('sha256', 'pencil', base64.b64encode(b'salt').decode(), 4096)
        for task in "", " task=''", " task='UPGR-SCRAM-SHA-512'", " task='UPGR-BLOOP'":
            c = self.begin()
            c.send("<next xmlns='%s'%s/>" % (NS_SASL2, task))
            self.assert_failed(c, 'malformed-request')
        for data in ('', "<hash xmlns='%s'/>" % NS_SCRAM_UPGRADE,
                     "<hash xmlns='%s'>%s</hash>" % (NS_SCRAM_UPGRADE, right[:-4]),
                     "<hash xmlns='%s'>%sAAAA</hash>" % (NS_SCRAM_UPGRADE, right),
                     "<hash xmlns='%s'>!%s</hash>" % (NS_SCRAM_UPGRADE, right[1:]),
                     "<hash xmlns='urn:example'>%s</hash>" % right):
            c = self.begin()
            c.send("<next xmlns='%s' task='UPGR-SCRAM-SHA-256'/>" % NS_SASL2)
            c.expect('<sasl2:task-data/>')
            c.send("<task-data xmlns='%s'>%s</task-data>" % (NS_SASL2, data))
            self.assert_failed(c, 'malformed-request')

    def test_abort(self):
        """XEP-0388 §4.5."""
        c = self.begin()
        c.send("<abort xmlns='%s'/>" % NS_SASL2)
        self.assert_failed(c, 'aborted')

    def test_out_of_turn(self):
        """XEP-0388 §2.4, §4.8."""
        for text in ("<task-data xmlns='%s'/>" % NS_SASL2, "<response xmlns='%s'/>" % NS_SASL2,
                     "<authenticate xmlns='%s' mechanism='PLAIN'/>" % NS_SASL2, '<presence/>'):
            c = self.begin()
            c.send(text)
            c.expect_stream_error('not-authorized')
            c.close()

    def test_password_changed_meanwhile(self):
        """The old password does not come back by it."""
        c = self.begin()
        c.send("<next xmlns='%s' task='UPGR-SCRAM-SHA-256'/>" % NS_SASL2)
        salt = c.expect('<sasl2:task-data/>').child('salt', NS_SCRAM_UPGRADE)
        self.server.control('change-password', user=self.user, host='localhost', password='other')
        hashed = hash_of('sha256', 'pencil', salt.text(), int(salt.attrs['iterations']))
        c.send("<task-data xmlns='%s'><hash xmlns='%s'>%s</hash></task-data>"
               % (NS_SASL2, NS_SCRAM_UPGRADE, hashed))
        c.expect('<sasl2:failure><sasl:not-authorized/></sasl2:failure>', exact=True)
        c.close()
        self.assertFalse(self.works('SCRAM-SHA-256', 'pencil'))
        self.assertTrue(self.works('SCRAM-SHA-256', 'other'))

    def test_fewer_rounds(self):
        """A verifier of fewer rounds than scram_iterations is replaced."""
        other = Client(self.server, self.user, self.password)
        db = sqlite3.connect(self.server.path('linnet.db'), timeout=10)
        with db:
            salt = b'0123456789abcdef'
            salted = hashlib.pbkdf2_hmac('sha256', b'pencil', salt, 4096)
            stored = hashlib.sha256(hmac.new(salted, b'Client Key', 'sha256').digest()).digest()
            server = hmac.new(salted, b'Server Key', 'sha256').digest()
            db.execute('UPDATE accounts SET scram_sha_256 = ? WHERE name = ?',
                       ((4096).to_bytes(4, 'big') + bytes([16]) + salt + stored + server,
                        self.user))
        db.close()
        self.assertTrue(self.works('SCRAM-SHA-256'))
        c, came = other.by_password(wish('UPGR-SCRAM-SHA-256'), 'SCRAM-SHA-256')
        self.assertTrue(came.is_('continue', NS_SASL2), came.show())
        self.task(c, came)
        c.close()
        self.assertTrue(self.works('SCRAM-SHA-256'))
        c, came = other.by_password(wish('UPGR-SCRAM-SHA-256'), 'SCRAM-SHA-256')
        self.assertTrue(came.is_('success', NS_SASL2), came.show())
        c.close()


class Protection(ServerCase):
    """XEP-0474 in both profiles."""

    def check(self, c, offered, start, tag):
        types = [e.attrs['type'] for e in
                 c.features.child('sasl-channel-binding', 'urn:xmpp:sasl-cb:0').elements()]
        names = [e.text() for e in offered.elements() if e.name == 'mechanism']
        text = '\x1e'.join(sorted(names)) + '\x1f' + '\x1e'.join(sorted(types))
        c.send(start)
        challenge = base64.b64decode(c.expect('<%s:challenge/>' % tag).text()).decode()
        want = base64.b64encode(hashlib.sha512(text.encode()).digest()).decode()
        self.assertTrue(challenge.endswith(',h=' + want), challenge)
        c.close()

    def test_both_profiles(self):
        """§5.1, over what this profile has offered."""
        client = Client(self.server, 'juliet', 'secret of juliet')
        first = sasl.Scram('SCRAM-SHA-512', 'juliet', '').first()
        c = client.connect()
        self.check(c, c.features.child('authentication', NS_SASL2),
                   "<authenticate xmlns='%s' mechanism='SCRAM-SHA-512'><initial-response>%s"
                   "</initial-response></authenticate>" % (NS_SASL2, first), 'sasl2')
        c = client.connect()
        self.check(c, c.features.child('mechanisms', NS_SASL),
                   "<auth xmlns='%s' mechanism='SCRAM-SHA-512'>%s</auth>" % (NS_SASL, first),
                   'sasl')


class NoProtection(ServerCase):
    settings = 'disable_sasl_scram_downgrade_protection: true\nsasl2: false'

    def test_not_told(self):
        client = Client(self.server, 'juliet', 'secret of juliet')
        c = client.connect()
        self.assertIsNone(c.features.child('authentication', NS_SASL2))
        c.auth('SCRAM-SHA-1', sasl.Scram('SCRAM-SHA-1', 'juliet', '').first())
        challenge = base64.b64decode(c.expect('<sasl:challenge/>').text()).decode()
        self.assertEqual([f[0] for f in challenge.split(',')], ['r', 's', 'i'])
        c.close()
        c = client.connect()
        client.authenticate(c, 'PLAIN', 'AAAA')
        c.expect_stream_error('not-authorized')
        c.close()


if __name__ == '__main__':
    main()
