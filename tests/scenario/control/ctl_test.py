#!/usr/bin/python3
"""linnetctl against a real server: every command, its answers and its exit statuses."""

import os
import pty
import signal
import sys
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.connection import Failure  # noqa: E402
from harness.console import DONE, FAILED, NO_SERVER, USAGE, ConsoleCase, main  # noqa: E402


class Help(ConsoleCase):
    def test_lists_and_explains(self):
        text = self.done('help')
        for name in ('register', 'connected', 'reload', 'status', 'stop'):
            self.assertRegex(text, r'(?m)^  %s\b' % name)
        self.assertRegex(self.done('help', 'register'), r'usage: linnetctl register USER HOST')
        self.assertIn("no command 'nonsense'", self.refused(USAGE, 'help', 'nonsense'))

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
        self.assertEqual(status['pid'], self.server.serving_pid())
        self.assertGreater(status['memory_bytes'], 1 << 20)
        self.assertGreater(status['max_files'], status['open_files'])
        self.assertRegex(self.done('status'), r'(?m)^sessions: +0$')
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
        self.refused(FAILED, 'log-level', 'loud')

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


if __name__ == '__main__':
    main()
