#!/usr/bin/python3
"""Servers that are found by DNS, and spoken with: SRV records in their order, direct TLS, several
addresses, and certificates that TLSA records name (RFC 6120 §3.2, XEP-0368, RFC 7673)."""

import hashlib
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.callee import DIALBACK, STARTTLS, Callee   # noqa: E402
from harness.case import ServerCase, main   # noqa: E402
from harness.dns import Dns     # noqa: E402
from harness.server import make_certificate     # noqa: E402

ZONE = 'example'


def public_key_hash(pem):
    """What a TLSA record with selector 1 and matching type 1 has: RFC 6698 §2.1."""
    key = subprocess.run(['openssl', 'x509', '-in', pem, '-noout', '-pubkey'], check=True,
                         capture_output=True).stdout
    der = subprocess.run(['openssl', 'pkey', '-pubin', '-outform', 'DER'], input=key, check=True,
                         capture_output=True).stdout
    return hashlib.sha256(der).hexdigest()


class Found(ServerCase):
    """Each test has a domain of its own, with two servers behind it; its comment is its part of the
    zone."""

    @classmethod
    def setUpClass(cls):
        tests = [n for n in dir(cls) if n.startswith('test_')]
        cls.callees = {t: (Callee(t), Callee(t)) for t in tests}
        cls.refuse(cls.callees['test_dead_before_live'][0])
        cls.dns = Dns({ZONE: ''}, signed={ZONE})
        cls.addClassCleanup(cls.dns.clean)
        cls.certificate = cls.dns.path('callee.pem')
        make_certificate(cls.certificate, 'callee.example')
        cls.dns.zones[ZONE] = ''.join(cls.records(t) for t in tests)
        cls.dns.start()
        cls.addClassCleanup(cls.dns.stop)
        cls.settings = cls.dns.settings() + 's2s_max_retry_delay: 1 hour\n'
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        for pair in cls.callees.values():
            for callee in pair:
                callee.close()
        super().tearDownClass()

    @staticmethod
    def refuse(callee):
        """Nobody listens there any more, nor will: the port stays taken."""
        callee.close()
        callee.listener = socket.socket()
        callee.listener.bind((callee.address, callee.port))

    @classmethod
    def records(cls, test):
        """What the test's comment has, filled in."""
        one, two = cls.callees[test]
        fields = {'d': cls.domain_of(test)[:-len('.' + ZONE)], 'one': one.port, 'two': two.port,
                  'right': '3 1 1 ' + public_key_hash(cls.certificate), 'wrong': '3 1 1 ' + '00' * 32}
        return '\n'.join(line.strip() for line in
                         getattr(cls, test).__doc__.format(**fields).splitlines()[1:]) + '\n'

    @staticmethod
    def domain_of(test):
        return test[len('test_'):].replace('_', '-') + '.' + ZONE

    def setUp(self):
        self.domain = self.domain_of(self._testMethodName)
        self.one, self.two = self.callees[self._testMethodName]
        self.romeo = self.server.login('romeo@localhost/orchard')
        self.addCleanup(self.romeo.close)
        self.romeo.send("<message to='juliet@%s' id='m'><body>hark</body></message>" % self.domain)

    def told(self, condition):
        self.romeo.expect("<message type='error' id='m'><error><e:%s/></error></message>" % condition)
        return '\n'.join(row['what'] for row in
                         self.server.control('s2s', action='explain', domain=self.domain))

    def serve(self, callee):
        """Until the message has come."""
        link = callee.accept()
        link.greet(STARTTLS + DIALBACK)
        link.starttls(self.certificate)
        self.take(link)

    def take(self, link):
        link.greet()
        link.validate()
        link.expect("<message to='juliet@%s' id='m'><body>hark</body></message>" % self.domain)
        link.close()

    def test_dead_before_live(self):
        """
        _xmpp-server._tcp.{d}   SRV 5 0 {one} {d}
        _xmpp-server._tcp.{d}   SRV 10 0 {two} {d}
        {d}                     A 127.0.0.1
        """
        self.serve(self.two)

    def test_dead_address_before_live(self):
        """
        _xmpp-server._tcp.{d}   SRV 5 0 {one} dead.{d}
        _xmpp-server._tcp.{d}   SRV 10 0 {one} live.{d}
        dead.{d}                A 127.0.0.99
        dead.{d}                A 127.0.0.98
        live.{d}                A 127.0.0.1
        """
        self.serve(self.one)

    def test_direct_tls(self):
        """
        _xmpp-server._tcp.{d}   SRV 10 0 {one} {d}
        _xmpps-server._tcp.{d}  SRV 5 0 {two} {d}
        {d}                     A 127.0.0.1
        """
        link = self.two.accept()
        link.serve_tls(self.certificate)
        self.take(link)

    def test_direct_tls_that_fails(self):
        """
        _xmpps-server._tcp.{d}  SRV 5 0 {two} {d}
        _xmpp-server._tcp.{d}   SRV 10 0 {one} {d}
        {d}                     A 127.0.0.1
        """
        self.two.accept().close()
        self.serve(self.one)

    def test_right_certificate(self):
        """
        _xmpp-server._tcp.{d}   SRV 5 0 {one} {d}
        {d}                     A 127.0.0.1
        _{one}._tcp.{d}         TLSA {right}
        """
        self.serve(self.one)

    def test_wrong_certificate(self):
        """
        _xmpp-server._tcp.{d}   SRV 5 0 {one} {d}
        {d}                     A 127.0.0.1
        _{one}._tcp.{d}         TLSA {wrong}
        """
        link = self.one.accept()
        link.greet(STARTTLS + DIALBACK)
        link.starttls(self.certificate)
        self.assertIn('TLSA', self.told('remote-server-timeout'))
        link.close()

    def test_wrong_certificate_before_the_right_one(self):
        """
        _xmpp-server._tcp.{d}   SRV 5 0 {one} {d}
        _xmpp-server._tcp.{d}   SRV 10 0 {two} {d}
        {d}                     A 127.0.0.1
        _{one}._tcp.{d}         TLSA {wrong}
        _{two}._tcp.{d}         TLSA {right}
        """
        link = self.one.accept()
        link.greet(STARTTLS + DIALBACK)
        link.starttls(self.certificate)
        self.serve(self.two)
        link.close()

    def test_no_server(self):
        """
        _xmpp-server._tcp.{d}   SRV 0 0 0 .
        {d}                     A 127.0.0.1
        """
        self.assertIn('says that it has no XMPP server', self.told('remote-server-not-found'))

    def test_no_domain(self):
        """
        """
        self.assertIn('there is no no-domain.example in DNS', self.told('remote-server-not-found'))


if __name__ == '__main__':
    main()
