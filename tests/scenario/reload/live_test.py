#!/usr/bin/python3
"""Each kind of change that a reload applies, as clients see it who are connected meanwhile."""

import hashlib
import json
import os
import re
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness import sasl  # noqa: E402
from harness.connection import Connection  # noqa: E402
from harness.console import ConsoleCase, main  # noqa: E402
from harness.server import make_certificate, password_of  # noqa: E402

PING = "<iq type='get' id='%s' to='localhost'><ping:ping xmlns:ping='urn:xmpp:ping'/></iq>"
VERSION = "<iq type='get' id='%s' to='localhost'><query xmlns='jabber:iq:version'/></iq>"
DISCO = ("<iq type='get' id='d' to='localhost'>"
         "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>")


class Live(ConsoleCase):
    def setUp(self):
        super().setUp()
        self.server.register('juliet@localhost')
        self.client = self.server.login('juliet@localhost/a')

    def tearDown(self):
        """Whatever was reloaded: who was there before still is."""
        self.is_served(self.client)
        self.client.close()

    def is_served(self, client):
        client.send(PING % 'alive')
        client.expect("<iq type='result' id='alive'/>")

    def reload_with(self, over):
        """The lines that the console prints; the file is found to be applied."""
        self.server.write_settings(over)
        foretold = self.done('reload', '--dry-run').splitlines()
        self.assertEqual(self.done('reload', '--dry-run').splitlines(), foretold)
        self.assertEqual(self.done('reload').splitlines(), foretold)
        self.assertEqual([line for line in self.done('reload').splitlines() if line[0] != '!'], [])
        return foretold

    def listen(self, *more, **options):
        """The first listener with other options, and maybe further ones."""
        entry = {'port': self.server.port, 'ip': '127.0.0.1', **options}
        return 'listen: %s' % json.dumps([entry, *more])

    def test_a_host_comes_and_its_users_log_in(self):
        make_certificate(self.server.path('third.example.pem'), 'third.example')
        lines = self.reload_with('hosts: [localhost, other.example, third.example]\n'
                                 'certfiles: ["${dir}/*.example.pem", "${dir}/localhost.pem"]')
        self.assertIn('+ host third.example', lines)
        self.assertTrue(any(line.startswith('+ certificate third.example in ') for line in lines))
        self.server.register('romeo@third.example')
        self.server.login('romeo@third.example/a', tls='none').close()

    def test_a_host_goes_and_its_users_are_told(self):
        """RFC 6120 4.9.3.5, and 4.9.3.6 for those who come later."""
        self.server.register('romeo@other.example')
        there = self.server.login('romeo@other.example/a')
        self.assertEqual(self.reload_with('hosts: [localhost]'), ['- host other.example'])
        there.expect_stream_error('host-gone')
        late = self.server.connect()
        late.send("<stream:stream xmlns='jabber:client' version='1.0' to='other.example' "
                  "xmlns:stream='http://etherx.jabber.org/streams'>")
        self.assertEqual(late.event()[0], 'open')
        late.expect_stream_error('host-unknown')

    def test_a_port_comes_and_goes(self):
        port = self.server.plain_port
        lines = self.reload_with(self.listen())
        self.assertEqual(lines, ['- listener 127.0.0.1:%d' % self.server.tls_port,
                                 '- listener 127.0.0.1:%d' % port])
        with self.assertRaises(ConnectionRefusedError):
            self.server.connect(port=port)
        lines = self.reload_with(self.listen({'port': port, 'ip': '127.0.0.1'}))
        self.assertEqual(lines, ['+ listener 127.0.0.1:%d' % port])
        self.server.connect(port=port).open('localhost')

    def test_a_ports_limits_change_and_it_stays_open(self):
        lines = self.reload_with(self.listen(max_connections=2))
        self.assertIn('~ listener 127.0.0.1:%d max_connections: 0 -> 2' % self.server.port, lines)
        second = self.server.connect()
        second.open('localhost')
        third = self.server.connect()
        third.expect_end()
        self.assertEqual(self.reload_with(self.listen(max_connections=3, backlog=7)),
                         ['~ listener 127.0.0.1:%d max_connections: 2 -> 3' % self.server.port,
                          '~ listener 127.0.0.1:%d backlog: 1024 -> 7' % self.server.port])
        self.server.connect().open('localhost')
        second.send('</stream:stream>')
        second.expect_close()

    def test_a_port_moves_to_all_addresses(self):
        """What holds the port is our own, and goes."""
        port = self.server.port
        self.reload_with(self.listen())
        self.assertEqual(self.reload_with(self.listen(ip='0.0.0.0')),
                         ['- listener 127.0.0.1:%d' % port, '+ listener 0.0.0.0:%d' % port])
        Connection(('127.0.0.2', port)).open('localhost')
        self.assertEqual(self.reload_with(self.listen()),
                         ['- listener 0.0.0.0:%d' % port, '+ listener 127.0.0.1:%d' % port])
        self.server.connect().open('localhost')
        with self.assertRaises(ConnectionRefusedError):
            Connection(('127.0.0.2', port))

    def certificate(self):
        """What a new client is shown."""
        client = Connection(('127.0.0.1', self.server.tls_port))
        client.handshake('localhost', context=self.trusting())
        shown = client.sock.getpeercert(binary_form=True)
        client.close()
        return hashlib.sha256(shown).hexdigest()

    @staticmethod
    def trusting():
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def test_a_certificate_is_replaced_in_its_file(self):
        before = self.certificate()
        make_certificate(self.server.path('localhost.pem'), 'localhost')
        self.assertEqual(self.certificate(), before)
        self.assertEqual(self.done('reload', '--dry-run').splitlines(),
                         self.done('reload', '--dry-run').splitlines())
        self.assertEqual(self.certificate(), before)
        lines = self.done('reload').splitlines()
        self.assertEqual(len(lines), 1)
        self.assertRegex(lines[0], r'^~ certificate localhost in \S+/localhost.pem: valid until \S+'
                                   r' -> valid until \S+$')
        self.assertNotEqual(self.certificate(), before)
        self.assertEqual(self.done('reload'), '')

    def features(self):
        self.client.send(DISCO)
        answer = self.client.expect("<iq type='result' id='d'/>")
        return [e.get('var') for e in answer.elements()[0].elements() if e.name == 'feature']

    def test_a_module_is_switched_off_and_on(self):
        self.assertIn('jabber:iq:version', self.features())
        lines = self.reload_with('modules: {mod_auth_internal: {}, mod_clients: {}, mod_ping: {}, '
                                 'mod_disco: {}, mod_time: {}, mod_last: {}}')
        self.assertEqual(lines, ['- modules.mod_version'])
        self.assertNotIn('jabber:iq:version', self.features())
        self.client.send(VERSION % 'v')
        self.client.expect("<iq type='error' id='v'><error><e:service-unavailable/></error></iq>")
        self.assertEqual(self.reload_with(''), ['+ modules.mod_version'])
        self.assertIn('jabber:iq:version', self.features())
        self.client.send(VERSION % 'w')
        self.client.expect("<iq type='result' id='w'/>")

    def test_an_option_of_one_hosts_module(self):
        lines = self.reload_with('host_config: {other.example: {modules: {mod_auth_internal: {}, '
                                 'mod_disco: {}, mod_version: {show_os: true}}}}')
        self.assertCountEqual(lines, [
            '~ modules.mod_version.show_os (host other.example): false -> true',
            *('- modules.mod_%s (host other.example)' % name for name in ('clients', 'ping', 'time', 'last'))])

    def test_an_access_rule(self):
        rules = ('access_rules: {login: [%s]}\n' + self.listen(access='login'))
        self.reload_with(rules % 'allow: all')
        self.server.login('juliet@localhost/b').close()
        self.assertEqual(self.reload_with(rules % 'deny: all'),
                         ['~ access_rules.login: [{allow: all}] -> [{deny: all}]'])
        client = self.server.connect()
        client.open('localhost')
        client.starttls('localhost')
        client.open('localhost')
        client.auth('PLAIN', sasl.plain('juliet', password_of('juliet')))
        client.expect('<sasl:failure/>')

    def shaped(self, rate):
        plain = {'port': self.server.plain_port, 'ip': '127.0.0.1', 'starttls': False}
        return 'shaper: {mine: %s}\n%s' % (rate, self.listen(plain, shaper='mine'))

    def test_a_shaper_of_a_stream_that_is_open(self):
        """At the slow rate the second stanza would be read after hours, at the fast one at once."""
        self.reload_with(self.shaped('1000000'))
        self.assertEqual(self.reload_with(self.shaped('{rate: 2, burst_size: 10}')),
                         ['~ shaper.mine: 1000000 -> {rate: 2, burst_size: 10}'])
        self.client.send("<message to='juliet@localhost/a' id='m'><body>%s</body></message>"
                         % ('x' * 3000))
        self.client.expect("<message id='m'/>")
        self.client.send(PING % 'p')
        for _ in range(5):      # others are served, while this one waits
            self.server.login('juliet@localhost/b', tls='none').close()
        self.client.sock.setblocking(False)
        with self.assertRaises(ssl.SSLWantReadError):
            self.client.sock.recv(1)
        self.client.sock.setblocking(True)
        self.reload_with(self.shaped('1000000'))
        self.client.expect("<iq type='result' id='p'/>")

    def test_log_level_and_format(self):
        lines = self.reload_with('loglevel: debug\nlog_format: json')
        self.assertEqual(lines, ['~ loglevel: info -> debug', '~ log_format: logfmt -> json'])
        self.assertEqual(self.ctl.json('log-level'), {'log_level': 'debug'})
        written = [json.loads(line) for line in self.server.log().splitlines() if line[0] == '{']
        self.assertIn('reloaded', [line['what'] for line in written])

    def test_disciplines_change_under_traffic_and_no_answer_is_lost(self):
        disciplines = ['one_queue', 'parallel', '{queues: 3}', 'no_queue'] * 3
        sent = 0
        for discipline in disciplines:
            for _ in range(100):
                self.client.send(VERSION % ('v%d' % sent))
                sent += 1
            self.server.write_settings('modules: {mod_auth_internal: {}, mod_ping: {}, '
                                       'mod_version: {iqdisc: %s}}' % discipline)
            lines = self.done('reload').splitlines()
            self.assertIn(' -> %s' % discipline, '\n'.join(lines))
        answered = [self.client.expect("<iq type='result'/>").get('id') for _ in range(sent)]
        self.assertCountEqual(answered, ['v%d' % n for n in range(sent)])

    def test_what_waits_is_named_until_the_restart(self):
        self.assertEqual(self.reload_with('shards: 3\nloglevel: debug'),
                         ['~ loglevel: info -> debug',
                          '! shards: 2 -> 3 takes effect after a restart'])
        self.assertEqual(self.done('reload'), '! shards: 2 -> 3 takes effect after a restart\n')
        [row] = self.ctl.json('reload', '--dry-run')
        self.assertEqual(row, {
            'change': '! shards: 2 -> 3 takes effect after a restart', 'sign': '!',
            'kind': 'option', 'name': 'shards', 'host': None, 'before': '2', 'after': '3',
            'applies': 'at the next start'})
        self.assertEqual(self.reload_with('loglevel: debug'), [])

    def test_reloads_are_counted(self):
        def counted():
            return dict(re.findall(r'^linnet_reload(\S+) (\S+)$', self.done('metrics'), re.M))
        self.assertEqual(counted(), {'s_total{result="ok"}': '0', 's_total{result="failed"}': '0',
                                     '_last_success_timestamp_seconds': '0'})
        self.done('reload')
        self.done('reload', '--dry-run')
        self.server.allowed_errors += ['reload failed']
        self.server.write_settings('loglevel: loud')
        self.ctl.run('reload')
        after = counted()
        self.assertEqual((after['s_total{result="ok"}'], after['s_total{result="failed"}']),
                         ('1', '1'))
        self.assertGreater(float(after['_last_success_timestamp_seconds']), 1e9)


if __name__ == '__main__':
    main()
