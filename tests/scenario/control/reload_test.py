#!/usr/bin/python3
"""A reload applies all that changed, or, with anything wrong, nothing."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.connection import Connection, Failure  # noqa: E402
from harness.console import FAILED, ConsoleCase, main  # noqa: E402
from harness.server import free_port, make_certificate  # noqa: E402


def until(condition, what):
    """What a signal sets off has no answer to wait for."""
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise Failure('never came: ' + what)
        time.sleep(0.01)


class Reload(ConsoleCase):
    def reload_with(self, over, *options):
        """What the reload lists, by name."""
        self.server.write_settings(over)
        return {row['name']: row for row in self.ctl.json('reload', *options)}

    def hosts(self):
        return [row['host'] for row in self.ctl.json('hosts')]

    def modules(self, host):
        return [row['module'] for row in self.ctl.json('modules', host)]

    def test_nothing_changed(self):
        self.assertEqual(self.ctl.json('reload'), [])

    def test_hosts_come_and_go(self):
        for host in ('localhost', 'other.example'):
            self.server.register('juliet@' + host)
        stays = self.server.login('juliet@localhost/a')
        goes = self.server.login('juliet@other.example/a')
        make_certificate(self.server.path('third.example.pem'), 'third.example')
        changes = self.reload_with('hosts: [localhost, third.example]\n'
                                   'certfiles: ["${dir}/*.example.pem", "${dir}/localhost.pem"]')
        self.assertEqual(changes['third.example']['change'], '+ host third.example')
        self.assertEqual(changes['other.example']['change'], '- host other.example')
        self.assertEqual(self.hosts(), ['localhost', 'third.example'])
        goes.expect('<stream:error><s:host-gone/></stream:error>')
        goes.expect_close()
        stays.send("<iq type='get' id='1' to='localhost'><ping:ping xmlns:ping='urn:xmpp:ping'/></iq>")
        stays.expect("<iq type='result' id='1'/>")
        self.server.register('romeo@third.example')
        with open(self.server.path('ca.pem'), 'a', encoding='ascii') as ca:
            with open(self.server.path('third.example.pem'), encoding='ascii') as pem:
                ca.write(pem.read())
        self.server.login('romeo@third.example/a').close()
        self.assertRaises(Failure, self.server.register, 'x@other.example')

        self.reload_with('')    # and back again, with the accounts it had
        self.assertEqual(self.hosts(), ['localhost', 'other.example'])
        self.server.login('juliet@other.example/b').close()
        stays.close()

    def test_modules_come_and_go(self):
        self.reload_with('modules: {mod_auth_internal: {}, mod_echo: {}}')
        self.assertEqual(self.modules('localhost'), ['auth_internal', 'echo'])
        changes = self.reload_with('modules: {mod_auth_internal: {}, mod_version: {show_os: true}}')
        self.assertIn('modules.mod_version', changes)
        self.assertEqual(self.modules('other.example'), ['auth_internal', 'version'])
        self.server.register('juliet@localhost')
        client = self.server.login('juliet@localhost/a')
        client.send("<iq type='get' id='v' to='localhost'><query xmlns='jabber:iq:version'/></iq>")
        self.assertIsNotNone(client.expect("<iq type='result' id='v'/>").elements()[0].child('os'))
        client.close()

    def test_ports_come_and_go(self):
        port = free_port()
        listen = 'listen: [{port: %d, ip: 127.0.0.1, module: ejabberd_c2s}]'
        self.server.register('juliet@localhost')
        before = self.server.login('juliet@localhost/a')
        self.reload_with(listen % port)
        self.assertEqual([row['port'] for row in self.ctl.json('listeners')], [port])
        Connection(('127.0.0.1', port)).open('localhost')
        with self.assertRaises(ConnectionRefusedError):
            Connection(('127.0.0.1', self.server.port))
        before.send("<message to='juliet@localhost/a' id='m'/>")
        before.expect("<message id='m'/>")
        before.close()

    def test_log_level(self):
        changes = self.reload_with('loglevel: debug')
        self.assertEqual(changes['loglevel']['after'], 'debug')
        self.assertEqual(changes['loglevel']['applies'], 'now')
        self.assertEqual(self.ctl.json('log-level'), {'log_level': 'debug'})

    def test_what_needs_a_restart_is_told(self):
        changes = self.reload_with('shards: 3')
        self.assertEqual(changes['shards']['applies'], 'at the next start')
        self.assertEqual(self.ctl.json('status')['shards'], 2)

    def test_dry_run_only_tells(self):
        changes = self.reload_with('hosts: [localhost]\nloglevel: debug', '--dry-run')
        self.assertEqual(set(changes), {'other.example', 'loglevel'})
        self.assertEqual(self.hosts(), ['localhost', 'other.example'])
        self.assertEqual(self.ctl.json('log-level'), {'log_level': 'info'})

    def nothing_changes(self, over, *reasons):
        self.server.allowed_errors += ['reload failed']
        self.server.write_settings(over)
        complaint = self.refused(FAILED, 'reload')
        for reason in reasons:
            self.assertIn(reason, complaint)
        self.assertEqual(self.hosts(), ['localhost', 'other.example'])
        self.assertEqual(self.ctl.json('log-level'), {'log_level': 'info'})
        self.assertEqual(len(self.ctl.json('listeners')), 3)
        self.assertIn('version', self.modules('localhost'))
        self.server.register('witness@localhost')
        self.server.login('witness@localhost/a').close()

    def test_all_errors_at_once_and_nothing_changes(self):
        self.nothing_changes(
            'hosts: [localhost, "not a domain"]\nloglevel: loud\nlogleval: info\nshards: -1\n',
            'linnet.yml:', 'not a domain', 'loud', 'logleval', 'shards')

    def test_not_even_yaml(self):
        with open(self.server.path('linnet.yml'), 'w', encoding='utf-8') as f:
            f.write('hosts: [localhost\n')
        self.server.allowed_errors += ['reload failed']
        self.assertIn('linnet.yml:', self.refused(FAILED, 'reload'))
        self.assertEqual(self.hosts(), ['localhost', 'other.example'])

    def test_a_taken_port_takes_all_back(self):
        self.nothing_changes(
            'hosts: [localhost, new.example]\nloglevel: debug\nmodules: {mod_auth_internal: {}}\n'
            'listen: [{port: %d, ip: 127.0.0.1, module: ejabberd_c2s}, '
            '{port: 1, ip: 203.0.113.1, module: ejabberd_c2s}]\n' % self.server.port,
            '203.0.113.1')

    def test_a_missing_certificate_takes_all_back(self):
        with open(self.server.path('broken.pem'), 'w', encoding='ascii') as f:
            f.write('-----BEGIN CERTIFICATE-----\nnonsense\n')
        self.nothing_changes('certfiles: ["${dir}/broken.pem"]\nloglevel: debug\n', 'broken.pem')

    def test_hangup_reloads(self):
        self.server.write_settings('hosts: [localhost]')
        os.kill(self.server.serving_pid(), signal.SIGHUP)
        until(lambda: self.hosts() == ['localhost'], 'the reload')

    def test_hangup_with_errors_is_logged(self):
        self.server.allowed_errors += ['reload failed']
        self.server.write_settings('loglevel: loud')
        os.kill(self.server.serving_pid(), signal.SIGHUP)
        until(lambda: 'reload failed' in self.server.log(), 'the error in the log')
        self.assertEqual(self.hosts(), ['localhost', 'other.example'])


class LogFile(ConsoleCase):
    over = 'log_file: ${dir}/linnet.log'

    def read(self, name):
        with open(self.server.path(name), encoding='utf-8') as f:
            return f.read()

    def moved_away(self, name):
        os.rename(self.server.path('linnet.log'), self.server.path(name))

    def test_reopened_when_asked(self):
        self.moved_away('one')
        self.done('log-reopen')
        self.moved_away('two')
        os.kill(self.server.serving_pid(), signal.SIGUSR1)
        until(lambda: os.path.exists(self.server.path('linnet.log')), 'the new log')
        self.done('reload')
        until(lambda: 'what=reloaded' in self.read('linnet.log'), 'a line in the new log')
        self.assertIn('what=started', self.read('one'))
        self.assertNotIn('what=reloaded', self.read('one') + self.read('two'))


if __name__ == '__main__':
    main()
