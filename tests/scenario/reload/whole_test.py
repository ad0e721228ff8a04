#!/usr/bin/python3
"""A reload with anything wrong in it changes nothing, wherever it is found out, and says where."""

import json
import os
import socket
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../plugin'))

from harness.connection import Connection  # noqa: E402
from harness.console import FAILED, ConsoleCase, main  # noqa: E402
from harness.server import free_port, make_certificate  # noqa: E402
from plugin_test import PublicHeaders  # noqa: E402

FICKLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fickle.c')
ASK = "<iq type='get' id='f' to='%s'><query xmlns='urn:test:fickle'/></iq>"
SECRET = 'correct horse battery staple'


def setUpModule():
    """Built once: every server of this file finds the module in the same folder."""
    global folder
    folder = tempfile.TemporaryDirectory(prefix='linnet-fickle-')
    headers = PublicHeaders()
    headers.build(FICKLE, os.path.join(folder.name, 'fickle.so'))
    headers.dir.cleanup()


def tearDownModule():
    folder.cleanup()


def modules(**options):
    """A map with the module under test and the others that a client needs."""
    return '{mod_auth_internal: {}, mod_fickle: %s, mod_ping: {}}' % json.dumps(options)


class Whole(ConsoleCase):
    @property
    def over(self):
        return 'module_path: ["%s"]\nmodules: %s\n' % (folder.name, modules())

    def setUp(self):
        super().setUp()
        self.server.allowed_errors += ['reload failed', 'the domain is taken']
        self.server.register('juliet@localhost')
        self.client = self.server.login('juliet@localhost/a')
        self.asked = 0
        self.ask()

    def tearDown(self):
        self.client.close()

    def ask(self, to='localhost'):
        """What the module answers: its word. It has counted on since it was asked last."""
        self.client.send(ASK % to)
        answer = self.client.expect("<iq type='result' id='f'/>").elements()
        if to == 'localhost':
            self.asked += 1
            self.assertEqual(answer[1].text(), str(self.asked))
        return answer[0].text()

    def settings(self, over):
        """Laid over what runs; how many lines into the file the last of it begins."""
        self.server.write_settings(over if over.startswith('module_path')
                                   else 'module_path: ["%s"]\n%s' % (folder.name, over))

    def state(self):
        return [self.ctl.json(name) for name in
                ('hosts', 'modules', 'certificates', 'log-level')] + [
                    [(row['ip'], row['port'], row['tls']) for row in self.ctl.json('listeners')]]

    def place_of(self, text):
        """FILE:LINE:COLUMN of its first appearance."""
        with open(self.server.path('linnet.yml'), encoding='utf-8') as f:
            for n, line in enumerate(f, 1):
                if text in line:
                    return 'linnet.yml:%d:%d: ' % (n, line.index(text) + 1)
        raise AssertionError(text)

    def nothing_changes(self, over, place, reason):
        before = self.state()
        self.settings(over)
        foretold = self.ctl.run('reload', '--dry-run')
        complaint = self.refused(FAILED, 'reload')
        self.assertIn('nothing has changed', complaint)
        self.assertIn(self.place_of(place), complaint)
        self.assertIn(reason, complaint)
        self.assertEqual(self.state(), before)
        self.ask()      # the same instance as ever
        self.server.login('juliet@localhost/b').close()
        self.settings('modules: %s' % modules())
        self.assertEqual(self.done('reload'), '')
        return foretold

    # All of these also have a host that comes, one that goes, a module that goes, and a log level.
    FURTHER = 'hosts: [localhost, new.example]\nloglevel: debug\n'

    def test_a_port_that_another_has(self):
        with socket.socket() as other:
            other.bind(('127.0.0.1', free_port()))
            other.listen()
            port = other.getsockname()[1]
            foretold = self.nothing_changes(
                self.FURTHER + 'modules: {mod_auth_internal: {}}\n'
                'listen:\n  - {port: %d, ip: 127.0.0.1}\n  - {port: %d, ip: 127.0.0.1}\n'
                % (free_port(), port),
                '{port: %d' % port, '127.0.0.1 port %d: Address already in use' % port)
            self.assertEqual(foretold.returncode, FAILED)

    def test_a_certificate_that_is_none(self):
        with open(self.server.path('broken.pem'), 'w', encoding='ascii') as f:
            f.write('-----BEGIN CERTIFICATE-----\nnonsense\n')
        foretold = self.nothing_changes(
            self.FURTHER + 'certfiles:\n  - ${dir}/localhost.pem\n  - ${dir}/broken.pem\n',
            self.server.path('broken.pem'), 'broken.pem')
        self.assertEqual(foretold.returncode, FAILED)

    def test_a_certificate_that_was_replaced_waits_for_a_reload_that_succeeds(self):
        def shown():
            client = self.server.connect()
            client.ca = None
            client.open('localhost')
            client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            client.expect('<tls:proceed/>')
            client.handshake()
            return client.sock.getpeercert(binary_form=True)
        before = shown()
        make_certificate(self.server.path('localhost.pem'), 'localhost')
        self.settings('modules: %s\nlisten: [{port: 1, ip: 203.0.113.1}]' % modules())
        self.refused(FAILED, 'reload')
        self.assertEqual(shown(), before)

    def test_a_module_that_does_not_start_on_the_second_host(self):
        """What had started on the first one, and in front of it, is taken back."""
        self.nothing_changes(
            self.FURTHER + 'modules: %s\nhost_config:\n  new.example:\n    modules:\n'
            '      mod_auth_internal: {}\n      mod_fickle: {mood: bad}\n'
            % modules(word='bye', domain='elsewhere.@HOST@'),
            'mod_fickle: {mood: bad}', 'fickle did not start on new.example')

    def test_a_module_that_does_not_start_anew(self):
        self.nothing_changes(
            'modules:\n  mod_auth_internal: {}\n  mod_version: {}\n  mod_fickle: {mood: bad}\n',
            'mod_fickle: {mood: bad}', 'fickle did not start on localhost')

    def test_a_host_whose_domain_a_module_serves(self):
        self.nothing_changes(
            'loglevel: debug\nhosts:\n  - localhost\n  - other.example\n  - fickle.localhost\n'
            'modules: {mod_auth_internal: {}, mod_fickle: {}, mod_ping: {}}\n',
            'fickle.localhost', 'a module serves the domain fickle.localhost already')

    def test_a_log_that_cannot_be_written(self):
        self.nothing_changes(
            self.FURTHER + 'log_file: /nonexistent/folder/log\n', '/nonexistent',
            'log_file: /nonexistent/folder/log: No such file or directory')

    def test_a_word_that_is_none(self):
        self.nothing_changes(self.FURTHER.replace('debug', 'loud'), 'loud', 'loglevel: expected')

    def test_a_domain_goes_from_module_to_host_and_back(self):
        self.settings('modules: {mod_auth_internal: {}, mod_ping: {}}\n'
                      'hosts: [localhost, other.example, fickle.localhost]')
        self.assertEqual(self.done('reload').splitlines(),
                         ['+ host fickle.localhost', '- modules.mod_fickle'])
        self.client.send("<iq type='get' id='p' to='fickle.localhost'>"
                         "<ping:ping xmlns:ping='urn:xmpp:ping'/></iq>")
        self.client.expect("<iq type='result' id='p' from='fickle.localhost'/>")
        self.settings('modules: %s' % modules())
        self.done('reload')
        self.asked = 0      # another instance
        self.ask()
        self.assertNotIn('fickle.localhost', [row['host'] for row in self.ctl.json('hosts')])

    def test_options_are_handed_over_or_start_it_anew(self):
        self.settings('modules: %s' % modules(word='bye'))
        self.assertEqual(self.done('reload'), '~ modules.mod_fickle.word: hello -> bye\n')
        self.assertEqual(self.ask(), 'bye')
        self.settings('modules: %s' % modules(word='bye', mood='fine'))
        self.assertEqual(self.done('reload'),
                         '~ modules.mod_fickle.mood: good -> fine (starts the module anew)\n')
        self.asked = 0
        self.assertEqual(self.ask(), 'bye')
        self.assertEqual([row['module'] for row in self.ctl.json('modules', 'localhost')],
                         ['auth_internal', 'fickle', 'ping'])

    def test_started_anew_under_traffic_and_no_answer_is_lost(self):
        sent = 0
        for mood in ['fine', 'fair', 'great'] * 4:
            for _ in range(100):
                self.client.send((ASK % 'localhost').replace("'f'", "'f%d'" % sent))
                sent += 1
            self.settings('modules: %s' % modules(mood=mood))
            self.assertIn('starts the module anew', self.done('reload'))
        answered = [self.client.expect("<iq type='result'/>").get('id') for _ in range(sent)]
        self.assertCountEqual(answered, ['f%d' % n for n in range(sent)])

    def test_secrets_are_not_told(self):
        self.settings('loglevel: debug\nmodules: %s' % modules(password=SECRET))
        for words in (['reload', '--dry-run'], ['--json', 'reload', '--dry-run'], ['reload']):
            said = self.done(*words)
            self.assertIn('~ modules.mod_fickle.password: changed', said)
            self.assertNotIn(SECRET, said)
        self.assertNotIn(SECRET, self.server.log())

    def test_a_dry_run_starts_nothing(self):
        self.settings(self.FURTHER + 'modules: %s\nlisten: [{port: %d, ip: 127.0.0.1}]\n'
                      'log_file: ${dir}/new.log\n' % (modules(mood='fine'), free_port()))
        before = self.state()
        first = self.done('reload', '--dry-run')
        self.assertEqual(self.done('reload', '--dry-run'), first)
        self.assertEqual(self.state(), before)
        self.assertFalse(os.path.exists(self.server.path('new.log')))
        with self.assertRaises(ConnectionRefusedError):
            Connection(('127.0.0.1', int(first.partition('+ listener 127.0.0.1:')[2].split()[0])))
        self.ask()
        self.assertEqual(self.done('reload'), first)


if __name__ == '__main__':
    main()
