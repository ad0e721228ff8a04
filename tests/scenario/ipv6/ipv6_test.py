#!/usr/bin/python3
"""IPv6 wherever an address may be: listeners, other servers, components, name servers, access rules, limits,
and what people are shown (RFC 5952; with ports in brackets, RFC 3986 §3.2.2). All on ::1."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.callee import DIALBACK, Callee     # noqa: E402
from harness.case import ServerCase, main       # noqa: E402
from harness.connection import WAIT_S, Connection, Failure      # noqa: E402
from harness.dns import Dns     # noqa: E402
from harness.remote import header       # noqa: E402
from harness.server import free_port, password_of       # noqa: E402

SETTINGS = '''
s2s_use_starttls: false
s2s_max_retry_delay: 1 hour
acl:
    documents: {ip: "2001:db8::/32"}
    near: {ip: ["::1"]}
    nearby: {ip: "::/64"}
shaper: {snail: {rate: 20000, burst_size: 20000}}
shaper_rules:
    by_address: [{snail: near}, {none: all}]
access_rules:
    documents: {allow: documents}
    near: {allow: near}
    nearby: [{deny: documents}, {allow: nearby}]
listen:
    - {port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s}
    - {port: ${port}, ip: "::1", module: ejabberd_c2s, starttls_required: true}
    - {port: ${tls_port}, ip: "::1", module: ejabberd_c2s, tls: true}
    - {port: ${plain_port}, ip: "::", module: ejabberd_c2s, starttls: false, starttls_required: false}
    - {port: %(documents)d, ip: "::", module: ejabberd_c2s, starttls: false, starttls_required: false, access: documents}
    - {port: %(near)d, ip: "::", module: ejabberd_c2s, starttls: false, starttls_required: false, access: near}
    - {port: %(nearby)d, ip: "::1", module: ejabberd_c2s, starttls: false, starttls_required: false, access: nearby}
    - {port: %(shaped)d, ip: "::", module: ejabberd_c2s, starttls: false, starttls_required: false, shaper: by_address}
    - {port: %(few)d, ip: "::1", module: ejabberd_c2s, max_unauthenticated_per_address: 2}
    - {port: ${s2s_port}, ip: "::1", module: ejabberd_s2s_in}
    - {port: ${component_port}, ip: "::1", module: ejabberd_service, password: secret}
'''
ZONE = '''_xmpp-server._tcp SRV 10 5 %d host
host AAAA ::1
'''


class Case(ServerCase):
    @classmethod
    def setUpClass(cls):
        cls.ports = {name: free_port() for name in ('documents', 'near', 'nearby', 'shaped', 'few')}
        cls.callees = {name: Callee(name, '::1') for name in
                       ('srv.example', 'literal', 'place.example', 'bound.example')}
        cls.dns = Dns({'srv.example': ZONE % cls.callees['srv.example'].port}, ip='::1')
        cls.settings = SETTINGS % cls.ports + cls.more()
        cls.dns.start()
        cls.addClassCleanup(cls.dns.clean)
        cls.addClassCleanup(cls.dns.stop)
        for callee in cls.callees.values():
            cls.addClassCleanup(callee.close)
        super().setUpClass()

    def client(self, port, address='::1', user='romeo', resource='six', tls='none'):
        client = Connection((address, port), resource, ca=self.server.path('ca.pem'))
        self.addCleanup(client.close)
        client.login('%s@localhost/%s' % (user, resource), password_of(user + '@localhost'), tls=tls)
        return client


class IPv6(Case):
    @classmethod
    def more(cls):
        return cls.dns.settings() + '''
outgoing_s2s_port: %d
outgoing_s2s_ipv6_address: "::1"
s2s_places:
    place.example: [%s]
''' % (cls.callees['literal'].port, cls.callees['place.example'].place())

    def address_of(self, resource):
        row, = [s for s in self.server.control('connected') if s['jid'].endswith('/' + resource)]
        return row['address']

    def logged(self, text):
        """The log is written by a thread of its own."""
        until = time.monotonic() + 20
        while text not in self.server.log():
            self.assertLess(time.monotonic(), until, text)
            time.sleep(0.01)

    # Clients.

    def test_clients(self):
        """Each kind of listener; a client is shown and logged by its address."""
        for tls, port in (('starttls', self.server.port), ('direct', self.server.tls_port),
                          ('none', self.server.plain_port)):
            with self.subTest(tls):
                self.client(port, resource=tls, tls=tls)
                self.assertEqual(self.address_of(tls), '::1')
                self.logged('address=::1 jid=romeo@localhost/' + tls)

    def test_both_families(self):
        """A listener on :: serves IPv4, too, whose addresses are written as such."""
        self.client(self.server.plain_port, '127.0.0.1', resource='four')
        self.client(self.server.plain_port, '::1', resource='six-of-two')
        self.assertEqual(self.address_of('four'), '127.0.0.1')
        self.assertEqual(self.address_of('six-of-two'), '::1')

    def test_access(self):
        """Rules by address and by prefix."""
        rows = (('documents', '::1', False), ('near', '::1', True), ('near', '127.0.0.1', False),
                ('nearby', '::1', True))
        for name, address, allowed in rows:
            with self.subTest('%s from %s' % (name, address)):
                if allowed:
                    self.client(self.ports[name], address, resource=name)
                else:
                    self.assertRaises(Failure, self.client, self.ports[name], address)

    def test_shaper(self):
        """The same for how fast clients are read: one takes 20 s for what another says at once."""
        juliet = self.client(self.server.plain_port, user='juliet', resource='hears')
        slow = self.client(self.ports['shaped'], resource='slow')
        fast = self.client(self.ports['shaped'], '127.0.0.1', resource='fast')
        for client, name in (slow, 'slow'), (fast, 'fast'):
            client.send(''.join("<message id='%s%d' to='%s'><body>%s</body></message>"
                                % (name, n, juliet.jid, 'x' * 4000) for n in range(100)))
        came = []
        while 'fast99' not in came:
            came.append(juliet.stanza().get('id'))
        self.assertNotIn('slow99', came)

    def opened(self, name):
        """A connection with a stream; those of a moment ago from this address may count still."""
        deadline = time.monotonic() + WAIT_S
        while True:
            client = Connection(('::1', self.ports[name]))
            try:
                client.open('localhost')
                return client
            except Failure:
                client.close()
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def test_limit(self):
        """So many connections of one address that have not logged in."""
        first = [self.opened('few') for _ in range(2)]
        third = Connection(('::1', self.ports['few']))
        self.addCleanup(third.close)
        self.assert_refused(lambda: third)
        for client in first:
            client.close()

    # Other servers.

    def reaches(self, domain, callee, *shown):
        romeo = self.client(self.server.plain_port, resource='to-' + callee.domain)
        romeo.send("<message id='m' to='juliet@%s' type='chat'><body>x</body></message>" % domain)
        link = callee.accept()
        self.addCleanup(link.close)
        self.assertEqual(link.sock.getpeername()[0], '::1')
        root = link.greet(DIALBACK)
        self.assertEqual((root.get('from'), root.get('to')), ('localhost', domain))
        link.validate()
        link.expect("<message id='m' to='juliet@%s'/>" % domain)
        row, = [r for r in self.server.control('s2s', action='list') if r['to'] == domain]
        self.assertIn(', [::1]:%d' % callee.port, row['way'])
        explained = [r['what'] for r in self.server.control('s2s', action='explain', domain=domain)]
        for text in shown + ('[::1]:%d' % callee.port,):
            self.assertTrue(any(text in line for line in explained), explained)

    def test_by_dns(self):
        """SRV and AAAA, from a name server at an IPv6 address."""
        self.reaches('srv.example', self.callees['srv.example'], '(host.srv.example)')

    def test_literal(self):
        """A domain that is an address: RFC 7622 §3.2."""
        self.reaches('[::1]', self.callees['literal'])

    def test_place(self):
        self.reaches('place.example', self.callees['place.example'])

    def test_from_other_servers(self):
        stream = Connection(('::1', self.server.s2s_port), 'remote.example')
        self.addCleanup(stream.close)
        stream.send(header(to='localhost', **{'from': 'remote.example'}, version='1.0'))
        self.assertEqual(stream.event()[0], 'open')
        stream.expect('<stream:features/>')
        row, = self.server.control('s2s', action='incoming')
        self.assertEqual((row['from'], row['address']), ('remote.example', '::1'))

    # Components.

    def test_component(self):
        bot = Connection(('::1', self.server.component_port), 'bot')
        self.addCleanup(bot.close)
        bot.serve('bot.example', 'secret')
        row, = self.server.control('components')
        self.assertEqual(row['address'], '::1')
        romeo = self.client(self.server.plain_port, resource='to-bot')
        romeo.send("<message id='b' to='bot.example'><body>x</body></message>")
        bot.expect("<message id='b' from='romeo@localhost/to-bot'/>")


class Elsewhere(Case):
    """Connecting from an address that is not of this machine."""

    @classmethod
    def more(cls):
        return '''
outgoing_s2s_ipv6_address: "2001:db8::7"
s2s_places:
    place.example: [%s]
''' % cls.callees['place.example'].place()

    def test_place(self):
        romeo = self.client(self.server.plain_port, resource='out')
        romeo.send("<message id='m' to='juliet@place.example' type='chat'><body>x</body></message>")
        romeo.expect("<message id='m' type='error'><error><e:remote-server-timeout/></error></message>")
        explained = [r['what'] for r in
                     self.server.control('s2s', action='explain', domain='place.example')]
        self.assertTrue(any('[::1]:%d' % self.callees['place.example'].port in line for line in explained),
                        explained)


if __name__ == '__main__':
    main()
