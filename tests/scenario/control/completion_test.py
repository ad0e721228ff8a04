#!/usr/bin/python3
"""The completion of linnetctl's command line, as a bash on a terminal does it."""

import os
import pty
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.console import LINNETCTL, ConsoleCase, main  # noqa: E402
from harness.server import TREE  # noqa: E402

END = b'=end=\r\n'        # bash prints it before each prompt
ALL_COMPLETIONS = '\x1b*'       # readline's insert-completions
TAB, LINE_START = '\t', '\x01'


class Bash:
    def __init__(self, folder):
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.chdir(folder)
            os.execvpe('bash', ['bash', '--norc', '--noprofile', '-i'], {
                'PATH': os.path.dirname(LINNETCTL) + ':/usr/bin:/bin', 'HOME': folder, 'TERM': 'dumb',
                'PS1': '', 'PROMPT_COMMAND': 'echo =end=', 'INPUTRC': '/dev/null', 'HISTFILE': '', 'COLUMNS': '1000',
                'LC_ALL': 'C.UTF-8'})
        self.pid = pid
        self._answer()
        self.run('stty cols 1000; . %s/tools/completion/linnetctl.bash' % TREE)

    def _answer(self):
        seen = b''
        while END not in seen:
            seen += os.read(self.terminal, 10000)
        return seen.decode()

    def run(self, line):
        os.write(self.terminal, line.encode() + b'\r')
        return self._answer()

    def words(self, typed):
        """What stands on the line after the keys of typed, word by word."""
        said = self.run(typed + LINE_START + "printf '<%s>\\n' ")
        return re.findall(r'(?m)^<(.*)>\r?$', said)

    def close(self):
        os.write(self.terminal, b'exit\r')
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


class Completion(ConsoleCase):
    def setUp(self):
        super().setUp()
        self.bash = Bash(self.server.dir)
        self.addCleanup(self.bash.close)
        self.ask = 'linnetctl --socket control '

    def offered(self, line):
        """All that may stand in place of the last word; the line without it."""
        words = self.bash.words(self.ask + line + ALL_COMPLETIONS)
        return words[3 + len(line.split()) - (not line.endswith(' ')):]

    def test_commands(self):
        self.assertEqual(self.offered('reg'), ['register'])
        self.assertEqual(self.offered('log-'), ['log-follow', 'log-level', 'log-reopen'])
        self.assertTrue({'status', 'register', 'kick', 'help'} <= set(self.offered('')))
        self.assertEqual(self.offered('help con'), ['config-check', 'connected'])
        self.assertEqual(self.offered('nonsense'), ['nonsense'])

    def test_one_key_finishes_the_word(self):
        self.assertEqual(self.bash.words(self.ask + 'regi' + TAB + 'romeo lo' + TAB),
                         [*self.ask.split(), 'register', 'romeo', 'localhost'])

    def test_hosts(self):
        self.assertEqual(self.offered('connected '), ['localhost', 'other.example'])
        self.assertEqual(self.offered('register juliet o'), ['other.example'])
        self.assertEqual(self.offered('accounts --max 5 l'), ['localhost'])
        self.assertEqual(self.offered('register '), [])
        self.assertEqual(self.offered('accounts localhost '), [])

    def test_options(self):
        self.assertEqual(self.offered('register juliet localhost --i'), ['--if-absent'])
        self.assertEqual(self.offered('reload --'), ['--dry-run', '--json'])
        self.assertEqual(self.bash.words('linnetctl --s' + TAB + 'con' + TAB + 'stat' + TAB)[1:],
                         ['--socket', 'control', 'status'])
        self.assertIn('--data', self.bash.words('linnetctl --' + ALL_COMPLETIONS))

    def test_words_files_and_jids(self):
        self.assertEqual(self.offered('log-level '), ['debug', 'error', 'info', 'none', 'warning'])
        self.assertEqual(self.offered('config-check linnet.y'), ['linnet.yml'])
        self.server.register('juliet@localhost')
        client = self.server.login('juliet@localhost/balcony')
        self.assertEqual(self.offered('kick '), ['juliet@localhost/balcony'])
        self.assertEqual(self.bash.words(self.ask + 'kick juliet@lo' + TAB)[3:],
                         ['kick', 'juliet@localhost/balcony'])
        client.close()

    def test_without_a_server(self):
        self.assertEqual(self.bash.words('linnetctl --socket none reg' + TAB),
                         ['linnetctl', '--socket', 'none', 'reg'])


if __name__ == '__main__':
    main()
