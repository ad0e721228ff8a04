#!/usr/bin/python3
"""XEP-0178: clients that log in by certificate, and certificates that are good for nothing."""

import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.ca import Authority, self_signed               # noqa: E402
from harness.case import ServerCase, main                   # noqa: E402
from harness.element import NS_SASL, NS_SASL2               # noqa: E402
from harness.sasl2 import bind, encode                      # noqa: E402
from harness.server import Server, password_of              # noqa: E402

SETTINGS = '''
    ca_file: ${dir}/Elsewhere/ca.pem
    auth_fail_limit: 0
    listen:
        - {port: ${port}, ip: 127.0.0.1, tls_verify: true, cafile: "${dir}/Staff/ca.pem"}
        - {port: ${tls_port}, ip: 127.0.0.1, tls: true, tls_verify: true}
        - {port: ${plain_port}, ip: 127.0.0.1}
    '''
ROMEO = 'XMPP:romeo@localhost'


class External(ServerCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(SETTINGS, [(jid, None) for jid in (*cls.accounts, 'tybalt@localhost')])
        cls.staff = Authority(cls.server.dir, 'Staff')
        cls.elsewhere = Authority(cls.server.dir, 'Elsewhere')
        try:
            cls.server.start()
        except BaseException:
            cls.server.kill()
            cls.server.clean()
            raise
        cls.good = cls.staff.certificate('romeo', ROMEO, use='clientAuth')

    def connect(self, certificate, port=None, direct=False):
        """A stream over TLS with that certificate (or None), its features read."""
        c = self.server.connect(port=self.server.tls_port if direct else port)
        self.addCleanup(c.close)
        context = c.context('xmpp-client' if direct else None)
        if certificate:
            context.load_cert_chain(certificate)
        if not direct:
            c.open('localhost')
            c.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            c.expect('<tls:proceed/>')
        c.handshake('localhost', context=context)
        c.open('localhost')
        return c

    def external(self, c, authzid=''):
        """How it ends: 'success', or the condition of the failure."""
        c.auth('EXTERNAL', encode(authzid.encode()) if authzid else '=')
        came = c.stanza()
        return 'success' if came.is_('success', NS_SASL) else came.elements()[0].name

    def assert_logs_in(self, c, jid, authzid=''):
        self.assertIn('EXTERNAL', c.mechanisms())
        self.assertEqual(self.external(c, authzid), 'success')
        c.open('localhost')
        self.assertEqual(c.bind('here'), jid + '/here')

    def test_by_starttls(self):
        self.assert_logs_in(self.connect(self.good), 'romeo@localhost')
        self.assert_logs_in(self.connect(self.good), 'romeo@localhost', 'Romeo@localhost')

    def test_by_direct_tls_with_the_authorities_of_all(self):
        romeo = self.elsewhere.certificate('romeo', ROMEO)
        self.assert_logs_in(self.connect(romeo, direct=True), 'romeo@localhost')
        self.assertNotIn('EXTERNAL', self.connect(self.good, direct=True).mechanisms())

    def test_through_an_authority_in_between(self):
        office = Authority(self.server.dir, 'Office', self.staff)
        self.assert_logs_in(self.connect(office.certificate('romeo', ROMEO)), 'romeo@localhost')

    def test_one_of_several(self):
        """§2, example 10; an address of another server's does not count."""
        both = self.staff.certificate('both', ROMEO, 'XMPP:juliet@localhost', 'XMPP:nurse@example.net')
        self.assertEqual(self.external(self.connect(both)), 'invalid-authzid')
        self.assert_logs_in(self.connect(both), 'juliet@localhost', 'juliet@localhost')
        other = self.staff.certificate('other', ROMEO, 'XMPP:nurse@example.net', file='other')
        self.assert_logs_in(self.connect(other), 'romeo@localhost')

    def test_somebody_else(self):
        for authzid in ('juliet@localhost', 'localhost', 'romeo@localhost/here', 'romeo', 'a@b@c'):
            self.assertEqual(self.external(self.connect(self.good), authzid), 'invalid-authzid', authzid)

    def test_what_is_good_for_nothing(self):
        """Nobody is turned away: a password does as well."""
        bad = {
            'none': None,
            'expired': self.staff.certificate('romeo', ROMEO, days=(-9, -1), file='expired'),
            'not valid yet': self.staff.certificate('romeo', ROMEO, days=(1, 9), file='early'),
            'another authority': self.elsewhere.certificate('romeo', ROMEO, file='stranger'),
            'self-signed': self_signed(self.server.dir, 'localhost', file='alone'),
            "a server's": self.staff.certificate('romeo', ROMEO, use='serverAuth', file='server'),
            'no address': self.staff.certificate('localhost', file='nobody'),
            'a domain': self.staff.certificate('localhost', 'XMPP:localhost', file='domain'),
            "another domain's": self.staff.certificate('romeo', 'XMPP:romeo@example.net', file='foreign'),
        }
        for what, certificate in bad.items():
            with self.subTest(what):
                c = self.connect(certificate)
                self.assertNotIn('EXTERNAL', c.mechanisms())
                self.assertEqual(self.external(c), 'invalid-mechanism')
                c.authenticate('romeo', password_of('romeo@localhost'))

    def test_a_port_that_does_not_ask(self):
        self.assertNotIn('EXTERNAL', self.connect(self.good, self.server.plain_port).mechanisms())

    def test_accounts_that_are_not(self):
        ghost = self.staff.certificate('ghost', 'XMPP:ghost@localhost')
        self.assertEqual(self.external(self.connect(ghost)), 'not-authorized')
        tybalt = self.staff.certificate('tybalt', 'XMPP:tybalt@localhost')
        self.assert_logs_in(self.connect(tybalt), 'tybalt@localhost')
        db = sqlite3.connect(self.server.path('linnet.db'), timeout=10)
        with db:
            db.execute("UPDATE accounts SET disabled = 1 WHERE name = 'tybalt'")
        db.close()
        self.assertEqual(self.external(self.connect(tybalt)), 'account-disabled')

    def authenticate2(self, c, authzid=''):
        c.send("<authenticate xmlns='%s' mechanism='EXTERNAL'><initial-response>%s</initial-response>%s"
               "</authenticate>" % (NS_SASL2, encode(authzid.encode()), bind('here')))
        return c.stanza()

    def test_sasl2(self):
        c = self.connect(self.good)
        offered = c.features.child('authentication', NS_SASL2)
        self.assertIn('EXTERNAL', [m.text() for m in offered.elements() if m.name == 'mechanism'])
        success = self.authenticate2(c)
        self.assertTrue(success.is_('success', NS_SASL2), success.show())
        jid = success.child('authorization-identifier', NS_SASL2).text()
        self.assertEqual(jid.split('/')[0], 'romeo@localhost')
        failure = self.authenticate2(self.connect(self.good), 'juliet@localhost')
        self.assertTrue(failure.is_('failure', NS_SASL2), failure.show())
        self.assertEqual(failure.elements()[0].name, 'invalid-authzid')

    def test_scram_is_told_what_was_offered(self):
        """XEP-0474: EXTERNAL stands among the mechanisms."""
        c = self.connect(self.good)
        c.authenticate('juliet', password_of('juliet@localhost'), 'SCRAM-SHA-256')

    def test_reload(self):
        """A new file of authorities counts from the next connection on."""
        path = self.staff.path
        with open(path, encoding='ascii') as f:
            before = f.read()
        fresh = Authority(self.server.dir, 'Fresh')
        try:
            with open(fresh.path, encoding='ascii') as f, open(path, 'w', encoding='ascii') as out:
                out.write(f.read())
            self.server.control('reload')
            self.assertNotIn('EXTERNAL', self.connect(self.good).mechanisms())
            self.assert_logs_in(self.connect(fresh.certificate('romeo', ROMEO)), 'romeo@localhost')
        finally:
            with open(path, 'w', encoding='ascii') as out:
                out.write(before)
            self.server.control('reload')
        self.assertIn('EXTERNAL', self.connect(self.good).mechanisms())


if __name__ == '__main__':
    main()
