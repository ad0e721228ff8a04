#!/usr/bin/python3
"""Servers whose certificates DNS vouches for (RFC 7671, RFC 7673), in zones that a real resolver validates,
where nothing but a good certificate will do: s2s_use_starttls is `required_trusted`."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.ca import Authority, self_signed           # noqa: E402
from harness.callee import DIALBACK, STARTTLS, Callee   # noqa: E402
from harness.case import ServerCase, main               # noqa: E402
from harness.dns import Dns                             # noqa: E402


def digest(path, public_key):
    """SHA-256 of the first certificate in a file, or of its key: RFC 6698 §2.1."""
    der = subprocess.run(['openssl', 'x509', '-in', path, *(('-noout', '-pubkey') if public_key else ('-outform', 'DER'))],
                         capture_output=True, check=True).stdout
    if public_key:
        der = subprocess.run(['openssl', 'pkey', '-pubin', '-outform', 'DER'], input=der, capture_output=True,
                             check=True).stdout
    return hashlib.sha256(der).hexdigest()


class Dane(ServerCase):
    names = ('key.signed', 'another-key.signed', 'authority.signed', 'another-name.signed', 'target.signed',
             'key.plain', 'target.plain')

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix='linnet-ca-')
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.known = Authority(cls.folder, 'Known')
        cls.hidden = Authority(cls.folder, 'In between', Authority(cls.folder, 'Unknown'))
        cls.callees = {name: Callee(name + '.example') for name in cls.names}
        for callee in cls.callees.values():
            cls.addClassCleanup(callee.close)
        cls.certificates = {
            'key.signed': self_signed(cls.folder, 'whoever.example', file='1'),
            'another-key.signed': cls.known.certificate('another-key.signed.example'),
            'authority.signed': cls.hidden.certificate('xmpp.authority.signed.example'),
            'another-name.signed': cls.hidden.certificate('whoever.example'),
            'target.signed': cls.known.certificate('xmpp.target.signed.example'),
            'key.plain': self_signed(cls.folder, 'key.plain.example', file='2'),
            'target.plain': cls.known.certificate('xmpp.target.plain.example'),
        }
        by_authority = '2 0 1 ' + digest(cls.hidden.path, False)
        cls.tlsa = {
            'key.signed': '3 1 1 ' + digest(cls.certificates['key.signed'], True),
            'another-key.signed': '3 1 1 ' + digest(cls.certificates['key.signed'], True),
            'authority.signed': by_authority,
            'another-name.signed': by_authority,
            'key.plain': '3 1 1 ' + digest(cls.certificates['key.plain'], True),
        }
        cls.dns = Dns({zone + '.example': cls.records(zone) for zone in ('signed', 'plain')}, {'signed.example'})
        cls.addClassCleanup(cls.dns.clean)
        cls.dns.start()
        cls.addClassCleanup(cls.dns.stop)
        cls.settings = cls.dns.settings() + 's2s_use_starttls: required_trusted\nca_file: %s\n' % cls.known.path
        super().setUpClass()

    @classmethod
    def records(cls, zone):
        lines = []
        for name in cls.names:
            label, _, its_zone = name.partition('.')
            if its_zone != zone:
                continue
            port = cls.callees[name].port
            lines += ['_xmpp-server._tcp.%s SRV 0 0 %d xmpp.%s' % (label, port, label),
                      'xmpp.%s A 127.0.0.1' % label]
            if name in cls.tlsa:
                lines.append('_%d._tcp.xmpp.%s TLSA %s' % (port, label, cls.tlsa[name]))
        return '\n'.join(lines)

    def begin(self, name):
        """A message for that server is on its way, and its certificate has been shown."""
        romeo = self.server.login('romeo@localhost/orchard')
        self.addCleanup(romeo.close)
        romeo.send("<message to='juliet@%s.example' id='m'/>" % name)
        link = self.callees[name].accept()
        self.addCleanup(link.close)
        link.greet(STARTTLS)
        link.starttls(self.certificates[name])
        return romeo, link

    def assert_good(self, name):
        _, link = self.begin(name)
        link.greet(DIALBACK)
        link.validate()
        link.expect("<message from='romeo@localhost/orchard' to='juliet@%s.example' id='m'/>" % name)

    def assert_bad(self, name, why):
        romeo, _ = self.begin(name)
        romeo.expect("<message from='juliet@%s.example' id='m' type='error'><error><e:remote-server-timeout/></error>"
                     '</message>' % name)
        said = [row['what'] for row in self.server.control('s2s', action='explain', domain=name + '.example')]
        self.assertTrue(any(why in line for line in said), said)

    def test_key(self):
        """RFC 7671 §5.1: whoever signed it, and whatever its name."""
        self.assert_good('key.signed')

    def test_another_key(self):
        """RFC 7673 §4: a certificate that would do otherwise."""
        self.assert_bad('another-key.signed', 'it is not the one that DNS names (DANE)')

    def test_authority(self):
        """RFC 7671 §5.2, RFC 7673 §4: for where the SRV record leads."""
        self.assert_good('authority.signed')

    def test_another_name(self):
        """RFC 7671 §5.2: the authority may have signed more than this."""
        self.assert_bad('another-name.signed', 'it is not for this domain')

    def test_target(self):
        """RFC 7673 §4: without TLSA records, for where a validated SRV record leads."""
        self.assert_good('target.signed')

    def test_what_was_not_validated(self):
        """RFC 6698 §4.1: it counts for nothing."""
        self.assert_bad('key.plain', 'it is self-signed')
        self.assert_bad('target.plain', 'it is not for this domain')


if __name__ == '__main__':
    main()
