#!/usr/bin/python3
"""How the server of a domain is found: RFC 6120 §3.2, XEP-0368, RFC 7673, against a real validating
name server with zones of our own, and against name servers that are of no use."""

import os
import re
import socket
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.console import FAILED, Console, ConsoleCase, main  # noqa: E402
from harness.dns import Dns     # noqa: E402
from harness.server import Server   # noqa: E402

HASH = '00' * 32
ZONES = {
    'montague.example': '''
        @                   A    127.0.0.1
        _xmpp-server._tcp   SRV  10 5 5269 xmpp
        _xmpps-server._tcp  SRV  5 5 5270 xmpp
        _xmpp-server._tcp   SRV  20 5 5280 backup
        xmpp                A    127.0.0.2
        xmpp                AAAA ::1
        backup              A    127.0.0.3
        _5269._tcp.xmpp     TLSA 3 1 1 ''' + HASH + '''
        none                A    127.0.0.1
        _xmpps-server._tcp.none  SRV 0 0 0 .
        half                A    127.0.0.1
        _xmpps-server._tcp.half  SRV 0 0 0 .
        _xmpp-server._tcp.half   SRV 0 0 5269 xmpp
        bare                A    127.0.0.4
        _5269._tcp.bare     TLSA 2 0 1 ''' + HASH + '''
        lonely              TXT  "nothing to connect to"
        far                 CNAME xmpp
        xn--mgb-sna         A    127.0.0.5
    ''',
    'capulet.example': '''
        _xmpp-server._tcp   SRV  10 5 5269 xmpp
        xmpp                A    127.0.0.2
        _5269._tcp.xmpp     TLSA 3 1 1 ''' + HASH + '''
    ''',
    'bogus.example': '''
        @                   A    127.0.0.1
    ''',
}
SIGNED, BOGUS = {'montague.example'}, {'bogus.example'}
OWN = '''
outgoing_s2s_port: 5333
s2s_places:
  verona.example: [{host: 127.0.0.7, port: 5270, tls: true}, {host: XMPP.Montague.example}]
  closed.example: []
'''


def row(address, host, tls='starttls', rank=0, validated=True, tlsa=0):
    return {'rank': rank, 'address': address, 'host': host, 'tls': tls, 'validated': validated,
            'tlsa': tlsa}


class WithZones(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dns = Dns(ZONES, SIGNED, BOGUS)
        cls.dns.start()
        cls.addClassCleanup(cls.dns.clean)
        cls.addClassCleanup(cls.dns.stop)
        cls.server = Server(cls.dns.settings() + OWN)
        cls.server.allowed_errors = []
        cls.server.__enter__()
        cls.addClassCleanup(cls.server.__exit__, None)
        cls.ctl = Console(cls.server)

    def steps(self, domain):
        return [s['step'] for s in self.ctl.json('dns-explain', domain)]

    def check(self, domain, *rows):
        self.assertEqual(self.ctl.json('dns-lookup', domain), list(rows), self.steps(domain))

    def refused(self, domain, why):
        got = self.ctl.run('dns-lookup', domain)
        self.assertEqual((got.returncode, got.stderr), (FAILED, 'linnetctl: %s\n' % why))

    def test_both_kinds_of_srv_mixed(self):
        host = 'xmpp.montague.example'
        self.check('montague.example',
                   row('[::1]:5270', host, 'direct'), row('127.0.0.2:5270', host, 'direct'),
                   row('[::1]:5269', host, rank=1, tlsa=1),
                   row('127.0.0.2:5269', host, rank=1, tlsa=1),
                   row('127.0.0.3:5280', 'backup.montague.example', rank=2))

    def test_without_dnssec_nothing_is_validated(self):
        self.check('capulet.example',
                   row('127.0.0.2:5269', 'xmpp.capulet.example', validated=False))

    def test_no_service(self):
        self.refused('none.montague.example', 'none.montague.example says that it has no XMPP server')

    def test_no_direct_tls(self):
        host = 'xmpp.montague.example'
        self.check('half.montague.example', row('[::1]:5269', host, tlsa=1),
                   row('127.0.0.2:5269', host, tlsa=1))

    def test_fallback(self):
        self.check('bare.montague.example', row('127.0.0.4:5333', 'bare.montague.example'))
        self.check('far.montague.example', row('[::1]:5333', 'far.montague.example'),
                   row('127.0.0.2:5333', 'far.montague.example'))

    def test_international_name(self):
        self.check('m\u00f6gb.montague.example', row('127.0.0.5:5333', 'xn--mgb-sna.montague.example'))

    def test_nothing_there(self):
        self.refused('lonely.montague.example', 'lonely.montague.example has no address')
        self.refused('nobody.montague.example', 'there is no nobody.montague.example in DNS')
        self.refused('expyuzz4wqqyqhjn.onion', 'names of .onion are not in DNS')

    def test_broken_signatures(self):
        self.refused('bogus.example', 'the address of bogus.example is not known: the name server '
                                      'failed (SERVFAIL), as it does when DNSSEC does')

    def test_literals(self):
        self.check('127.0.0.9', row('127.0.0.9:5333', '127.0.0.9', validated=False))
        self.check('[2001:db8::1]', row('[2001:db8::1]:5333', '2001:db8::1', validated=False))

    def test_places_of_the_settings(self):
        host = 'xmpp.montague.example'
        self.check('verona.example',
                   row('127.0.0.7:5270', '127.0.0.7', 'direct', validated=False),
                   row('[::1]:5333', host, rank=1), row('127.0.0.2:5333', host, rank=1))
        self.refused('closed.example', 'the settings say that closed.example has no place')

    def test_explained(self):
        self.ctl.json('dns-flush')
        # How long it holds is less when the name server has known it for some time.
        steps = [re.sub(r'for \d+ s$', 'for a while', s) for s in self.steps('capulet.example')]
        for step in ('_xmpp-server._tcp.capulet.example SRV: asked for',
                     '_xmpps-server._tcp.capulet.example SRV: no such name, for a while',
                     '_xmpp-server._tcp.capulet.example SRV: found, for a while',
                     '- priority 10, weight 5: xmpp.capulet.example port 5269',
                     'xmpp.capulet.example AAAA: no such records, for a while',
                     'xmpp.capulet.example A: found, for a while', '- 127.0.0.2',
                     'place 1: 127.0.0.2:5269 (xmpp.capulet.example), STARTTLS'):
            self.assertIn(step, steps)
        again = self.steps('capulet.example')
        self.assertTrue(any(s.endswith(', known already') for s in again), again)
        self.assertFalse([s for s in again if ' SRV: found' in s and 'known already' not in s])


class Changing(ConsoleCase):
    def setUp(self):
        self.dns = Dns({'capulet.example': '@ A 127.0.0.2'}, signed={'capulet.example'})
        self.dns.start()
        self.addCleanup(self.dns.clean)
        self.addCleanup(self.dns.stop)
        self.over = self.dns.settings() + 's2s_dns_timeout: 3 s'
        super().setUp()

    def addresses(self):
        return [p['address'] for p in self.ctl.json('dns-lookup', 'capulet.example')]

    def test_cache_flush_and_reload(self):
        self.assertEqual(self.addresses(), ['127.0.0.2:5269'])
        self.dns.change('capulet.example', '@ A 127.0.0.3')
        self.assertEqual(self.addresses(), ['127.0.0.2:5269'])
        self.assertGreater(self.ctl.json('dns-flush')['forgotten'], 0)
        self.assertEqual(self.addresses(), ['127.0.0.3:5269'])
        self.dns.stop()     # what is known is known
        self.assertEqual(self.addresses(), ['127.0.0.3:5269'])
        with Dns({'capulet.example': '_xmpp-server._tcp SRV 1 1 5269 x\nx A 127.0.0.4'}) as other:
            self.server.write_settings(other.settings())
            self.done('reload')
            self.assertEqual(self.addresses(), ['127.0.0.4:5269'])

    def test_name_server_away_and_back(self):
        self.dns.stop()
        refused = self.refused(FAILED, 'dns-lookup', 'capulet.example')
        self.assertIn('the address of capulet.example is not known', refused)
        self.dns.start()
        self.assertEqual(self.addresses(), ['127.0.0.2:5269'])

    def test_name_server_that_is_silent(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(('127.0.0.1', 0))
            address = '127.0.0.1:%d' % silent.getsockname()[1]
            self.server.write_settings('dns_servers: ["%s"]\ns2s_dns_timeout: 200 ms' % address)
            self.done('reload')
            refused = self.refused(FAILED, 'dns-lookup', 'capulet.example')
            self.assertIn('Timeout while contacting DNS servers', refused)
            # The next one is asked when the first keeps silent.
            self.server.write_settings('dns_servers: ["%s", "%s"]\ns2s_dns_timeout: 4 s'
                                       % (address, self.dns.address))
            self.done('reload')
            self.assertEqual(self.addresses(), ['127.0.0.2:5269'])

    def test_the_thread_stops_and_starts(self):
        self.done('supervisor', 'stop', 'dns')
        self.assertIn('DNS is not asked any more',
                      self.refused(FAILED, 'dns-lookup', 'capulet.example'))
        self.done('supervisor', 'start', 'dns')
        self.assertEqual(self.addresses(), ['127.0.0.2:5269'])


if __name__ == '__main__':
    main()
