#!/usr/bin/python3
"""linnetctl against a real server: every command, its answers and its exit statuses."""

import base64
import os
import pty
import re
import signal
import sys
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.connection import Failure  # noqa: E402
from harness.console import DONE, FAILED, NO_SERVER, USAGE, ConsoleCase, main  # noqa: E402
from harness.server import SUPPORT  # noqa: E402


class Help(ConsoleCase):
    def test_lists_and_explains(self):
        text = self.done('help')
        for name in ('register', 'connected', 'reload', 'status', 'stop'):
            self.assertRegex(text, r'(?m)^  %s\b' % name)
        self.assertRegex(self.done('help', 'register'), r'usage: linnetctl register USER HOST')
        self.assertIn("no command 'nonsense'", self.refused(USAGE, 'help', 'nonsense'))
        self.assertEqual(self.done('register', '--help'), self.done('help', 'register'))

    def test_described_as_json(self):
        commands = {c['name']: c for c in self.ctl.json('help')}
        args = {a['name']: a for a in commands['register']['args']}
        self.assertEqual(args['password']['type'], 'secret')
        self.assertTrue(args['if-absent']['option'])
        self.assertFalse(args['user']['optional'])
        for command in commands.values():
            self.assertTrue(command['help'].endswith('.'), command)

    def test_wrong_usage(self):
        self.assertIn("no command 'nonsense'", self.refused(USAGE, 'nonsense'))
        self.assertIn("did you mean 'status'?", self.refused(USAGE, 'statsu'))
        self.assertIn("did you mean 'change-password'?", self.refused(USAGE, 'change_password'))
        self.assertIn('missing: user', self.refused(USAGE, 'register'))
        self.assertIn('too many', self.refused(USAGE, 'unregister', 'a', 'localhost', 'c'))
        self.assertIn('unknown option', self.refused(USAGE, 'status', '--verbose'))
        self.assertIn('whole number', self.refused(USAGE, 'accounts', 'localhost', '--max', 'x'))
        self.assertIn('needs a value', self.refused(USAGE, 'accounts', 'localhost', '--max'))
        self.assertIn('takes no value', self.refused(USAGE, 'reload', '--dry-run=yes'))


class Accounts(ConsoleCase):
    def names(self, host='localhost'):
        return [row['user'] for row in self.ctl.json('accounts', host)]

    def test_life_of_an_account(self):
        self.done('register', 'juliet', 'localhost', 'first')
        self.assertIn('exists', self.refused(FAILED, 'register', 'juliet', 'localhost', 'other'))
        kept = self.ctl.json('register', 'juliet', 'localhost', 'other', '--if-absent')
        self.assertEqual(kept, {'account': 'juliet@localhost', 'existed': True})
        self.server.login('juliet@localhost/a', 'first').close()
        self.done('change-password', 'juliet', 'localhost', '-', stdin='second\n')
        self.server.login('juliet@localhost/a', 'second').close()
        with self.assertRaises(Failure):
            self.server.login('juliet@localhost/a', 'first')
        self.done('unregister', 'juliet', 'localhost')
        self.assertIn('no such', self.refused(FAILED, 'unregister', 'juliet', 'localhost'))
        self.assertIn('no such', self.refused(FAILED, 'change-password', 'juliet', 'localhost', 'x'))

    def test_names_are_prepared_and_checked(self):
        self.done('register', 'ROMEO', 'LOCALHOST', 'secret')
        self.assertEqual(self.names(), ['romeo'])
        self.refused(FAILED, 'register', 'no@body', 'localhost', 'x')
        self.refused(FAILED, 'register', '', 'localhost', 'x')
        self.assertIn('not a host', self.refused(FAILED, 'register', 'a', 'elsewhere.example', 'x'))

    def test_listed_in_pieces_and_by_host(self):
        for name in ('c', 'a', 'd', 'b'):
            self.done('register', name, 'localhost', 'x')
        self.done('register', 'z', 'other.example', 'x')
        self.assertEqual(self.names(), ['a', 'b', 'c', 'd'])
        self.assertEqual(self.names('other.example'), ['z'])
        rows = self.ctl.json('accounts', 'localhost', '--max=2', '--after', 'a')
        self.assertEqual([row['user'] for row in rows], ['b', 'c'])
        self.refused(FAILED, 'accounts', 'localhost', '--max', '0')

    def on_terminal(self, *words):
        """The console on a terminal of its own: its process id and the terminal's other end."""
        pid, terminal = pty.fork()
        if pid == 0:
            argv = self.ctl.argv(*words)
            os.execv(argv[0], argv)
        self.addCleanup(os.close, terminal)
        return pid, terminal

    def shown_until(self, terminal, prompt):
        shown = b''
        while prompt not in shown:
            shown += os.read(terminal, 1000)
        return shown

    def rest(self, terminal):
        shown = b''
        try:
            while piece := os.read(terminal, 1000):
                shown += piece
        except OSError:     # the other end is closed
            pass
        return shown

    def test_password_is_asked_for_without_echo(self):
        pid, terminal = self.on_terminal('register', 'juliet', 'localhost')
        shown = b''
        for prompt in (b'Password: ', b'The same again: '):
            shown += self.shown_until(terminal, prompt)
            os.write(terminal, b'geheim\n')
        shown += self.rest(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), DONE, shown)
        self.assertNotIn(b'geheim', shown)
        self.server.login('juliet@localhost/a', 'geheim').close()

    def test_interrupted_while_asking_leaves_the_terminal_as_it_was(self):
        pid, terminal = self.on_terminal('register', 'juliet', 'localhost')
        self.shown_until(terminal, b'Password: ')
        self.assertFalse(termios.tcgetattr(terminal)[3] & termios.ECHO)
        os.write(terminal, b'\x03')
        self.rest(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), -signal.SIGINT)
        self.assertTrue(termios.tcgetattr(terminal)[3] & termios.ECHO)
        self.assertEqual(self.names(), [])

    def test_password_is_not_asked_for_without_terminal(self):
        self.assertIn('standard input', self.refused(USAGE, 'register', 'a', 'localhost'))


class Sessions(ConsoleCase):
    def test_connected_and_kick(self):
        for user in ('juliet', 'romeo'):
            self.server.register(user + '@localhost')
        self.assertEqual(self.done('connected'), '')
        juliet = self.server.login('juliet@localhost/balcony')
        romeo = self.server.login('romeo@localhost/street', tls='none')
        juliet.send("<presence><priority>5</priority></presence>")
        juliet.expect("<presence/>")
        rows = {row['jid']: row for row in self.ctl.json('connected')}
        self.assertEqual(set(rows), {'juliet@localhost/balcony', 'romeo@localhost/street'})
        row = rows['juliet@localhost/balcony']
        self.assertEqual((row['address'], row['tls'], row['priority']), ('127.0.0.1', True, 5))
        self.assertRegex(row['since'], r'^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$')
        row = rows['romeo@localhost/street']
        self.assertEqual((row['tls'], row['priority']), (False, None))
        self.assertEqual(self.ctl.json('connected', 'other.example'), [])
        lines = self.done('connected', 'localhost').splitlines()
        self.assertEqual(lines[0].split()[:2], ['jid', 'address'])
        self.assertEqual(len(lines), 3)
        self.assertEqual(self.ctl.json('status')['sessions'], 2)

        self.assertEqual(self.ctl.json('kick', 'juliet@localhost', '--reason', 'go & rest'),
                         {'kicked': 1})
        self.assertEqual(self.ctl.json('kick', 'juliet@localhost/elsewhere'), {'kicked': 0})
        juliet.expect("<stream:error><s:policy-violation/><s:text>go &amp; rest</s:text>"
                      "</stream:error>")
        juliet.expect_close()
        self.assertEqual([row['jid'] for row in self.ctl.json('connected')],
                         ['romeo@localhost/street'])
        self.refused(FAILED, 'kick', '@')
        romeo.close()


class ServerItself(ConsoleCase):
    def test_says_how_it_is(self):
        status = self.ctl.json('status')
        self.assertEqual(status['hosts'], 2)
        self.assertEqual(status['pid'], self.server.process.pid)
        self.assertEqual(status['server_pid'], self.server.serving_pid())
        self.assertEqual(status['restarts'], 0)
        self.assertGreater(status['memory_bytes'], 1 << 20)
        self.assertGreater(status['max_files'], status['open_files'])
        self.assertRegex(self.done('status'), r'(?m)^sessions: +0$')
        self.assertRegex(self.done('status'), r'(?m)^uptime: +\d+ s$')
        self.assertRegex(self.done('status'), r'(?m)^memory: +\d+\.\d MiB$')
        self.assertEqual([row['host'] for row in self.ctl.json('hosts')],
                         ['localhost', 'other.example'])
        self.assertIn('ping', [row['module'] for row in self.ctl.json('modules', 'localhost')])
        ports = [row['port'] for row in self.ctl.json('listeners')]
        self.assertEqual(sorted(ports), sorted([self.server.port, self.server.tls_port,
                                                self.server.plain_port]))
        names = [row['names'] for row in self.ctl.json('certificates')]
        self.assertIn('localhost', names)

    def test_metrics_are_open_metrics(self):
        text = self.done('metrics')
        self.assertRegex(text, r'(?m)^linnet_process_open_fds \d+$')
        self.assertTrue(text.endswith('# EOF\n'))

    def test_log_level(self):
        self.assertEqual(self.ctl.json('log-level'), {'log_level': 'info'})
        self.assertEqual(self.ctl.json('log-level', 'debug'), {'log_level': 'debug'})
        self.assertEqual(self.ctl.json('log-level'), {'log_level': 'debug'})
        self.assertEqual(self.ctl.json('log-level', '3'), {'log_level': 'warning'})
        self.refused(FAILED, 'log-level', 'loud')

    def test_config_check(self):
        own = self.server.path('linnet.yml')
        self.assertEqual(self.ctl.json('config-check'), {'file': own, 'errors': 0})
        self.assertEqual(self.ctl.json('config-check', own), {'file': own, 'errors': 0})
        with open(os.path.join(SUPPORT, 'mistakes.txt'), encoding='utf-8') as f:
            places = [line.split(' ')[0] for line in f]
        complaint = self.refused(FAILED, 'config-check', os.path.join(SUPPORT, 'mistakes.yml'))
        self.assertEqual(complaint.splitlines()[0], 'linnetctl: 20 errors:')
        self.assertEqual([line.split(' ')[0] for line in complaint.splitlines()[1:]],
                         [os.path.join(SUPPORT, place) for place in places])

    def test_config_check_tries_the_certificates(self):
        with open(self.server.path('localhost.pem'), 'w', encoding='ascii') as f:
            f.write('no certificate\n')
        self.assertIn('localhost.pem', self.refused(FAILED, 'config-check'))

    def test_stop(self):
        self.done('stop')
        self.assertEqual(self.server.process.wait(60), 0)
        self.assertFalse(os.path.exists(self.server.path('control')))
        complaint = self.refused(NO_SERVER, 'status')
        self.assertIn('no server answers at ' + self.server.path('control'), complaint)
        self.server.start()     # for tearDown, and to see that it comes up again

    def test_killed_server_leaves_no_hindrance(self):
        self.server.kill()
        self.assertIn('Connection refused', self.refused(NO_SERVER, 'status'))
        self.server.start()
        self.done('status')


class Following(ConsoleCase):
    """log-follow, and what no log may have."""

    over = 'loglevel: error\nmodules:\n    mod_register: {}'

    def lines(self, **fields):
        found = [dict(re.findall(r'(\w+)=("[^"]*"|\S*)', line))
                 for line in self.server.log().splitlines()]
        return [line for line in found if all(line.get(k) == v for k, v in fields.items())]

    def say(self, client, text):
        client.send("<message to='%s'><body>%s</body></message>" % (client.jid, text))
        client.expect('<message><body>%s</body></message>' % text)

    def test_a_jid(self):
        for user in ('juliet', 'romeo'):
            self.server.register(user + '@localhost')
        juliet = self.server.login('juliet@localhost/a')
        romeo = self.server.login('romeo@localhost/a')
        self.assertEqual(self.ctl.json('log-follow', 'Juliet@LOCALHOST'),
                         {'following': 'juliet@localhost'})
        self.say(juliet, 'one')
        self.say(romeo, 'two')
        self.assertEqual(self.ctl.json('log-follow'), {'following': None})
        self.say(juliet, 'three')
        for client in (juliet, romeo):
            client.close()
        self.server.stop()
        lines = self.lines(level='trace')
        self.assertEqual([line['what'] for line in lines], ['received', 'sent'])
        self.assertEqual({line['jid'] for line in lines}, {'juliet@localhost/a'})
        self.assertEqual(lines[0]['name'], 'message')
        self.server.start()

    def test_an_address_from_the_first_byte_to_the_last(self):
        self.server.register('juliet@localhost')
        self.ctl.json('log-follow', '127.0.0.9')
        juliet = self.server.login('juliet@localhost/a', source='127.0.0.9')
        other = self.server.login('juliet@localhost/b')
        for client in (juliet, other):
            client.close()
        self.server.stop()
        whats = [line['what'] for line in self.lines(part='c2s')]
        self.assertEqual({line['address'] for line in self.lines(part='c2s')}, {'127.0.0.9'})
        for what in ('connected', 'encrypted', '"session opened"', '"connection ended"'):
            self.assertIn(what, whats)
        self.server.start()

    def test_neither_jid_nor_address(self):
        self.assertIn('neither', self.refused(FAILED, 'log-follow', '@'))

    def test_no_passwords_and_nothing_that_was_said(self):
        self.done('log-level', 'debug')
        self.done('log-follow', '127.0.0.1')
        self.done('register', 'juliet', 'localhost', '-', stdin='geheim-eins\n')
        for mechanism in ('PLAIN', None):
            self.server.login('juliet@localhost/a', 'geheim-eins', mechanism).close()
        with self.assertRaises(Failure):
            self.server.login('juliet@localhost/a', 'geheim-falsch', 'PLAIN')
        client = self.server.login('juliet@localhost/a', 'geheim-eins')
        client.send("<iq type='set' id='p' to='localhost'><query xmlns='jabber:iq:register'>"
                    "<username>juliet</username><password>geheim-zwei</password></query></iq>")
        client.expect("<iq type='result' id='p'/>")
        self.say(client, 'geheim-drei')
        client.close()
        self.done('change-password', 'juliet', 'localhost', 'geheim-vier')
        self.server.stop()
        log = self.server.log()
        self.assertIn('"login failed"', log)
        self.assertNotIn('geheim', log)
        for word in ('geheim-eins', 'geheim-falsch'):
            plain = base64.b64encode(b'\0juliet\0' + word.encode()).decode()
            self.assertNotIn(plain, log)
        self.server.start()


if __name__ == '__main__':
    main()
