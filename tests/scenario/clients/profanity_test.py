#!/usr/bin/python3
"""profanity, a program that people use, in a terminal: commands are typed, the screen is read. It
meets the server's default settings, and its certificate is accepted as a user would do it.

PROFANITY_CAPTURE=FILE.svg keeps the screen of who finds its history: docs/clients.md."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main   # noqa: E402
from harness.connection import WAIT_S       # noqa: E402
from harness.screen import svg              # noqa: E402
from harness.server import password_of      # noqa: E402

if not shutil.which('profanity') or not shutil.which('tmux'):
    print('profanity and tmux are not both installed', file=sys.stderr)
    sys.exit(77)    # skipped


class Terminal:
    """One person's terminal with profanity in it and a home of its own, which may have been there."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.socket = os.path.join(folder, 'tmux')
        self.environ = dict(os.environ, HOME=folder, TERM='screen', LC_ALL='C.UTF-8',
                            XDG_CONFIG_HOME=folder, XDG_DATA_HOME=folder)
        self.tmux('-f', '/dev/null', 'new-session', '-d', '-x', '200', '-y', '60',
                  'profanity; echo "ended with $?"; read line')

    def tmux(self, *words):
        return subprocess.run(['tmux', '-S', self.socket, *words], env=self.environ, text=True,
                              check=True, capture_output=True).stdout

    def sees(self, pattern):
        """Waits until the screen shows it."""
        deadline = time.monotonic() + WAIT_S
        while True:
            screen = self.tmux('capture-pane', '-p')
            if re.search(pattern, screen):
                return
            if time.monotonic() > deadline:
                raise AssertionError('nothing like %s on the screen:\n%s' % (pattern, screen))
            time.sleep(0.02)

    def types(self, line):
        self.tmux('send-keys', '-l', line)
        self.tmux('send-keys', 'Enter')

    def resize(self, columns, lines):
        self.columns = columns
        self.tmux('resize-window', '-x', str(columns), '-y', str(lines))

    def draw(self, path):
        with open(path, 'w', encoding='utf-8') as out:
            out.write(svg(self.tmux('capture-pane', '-p', '-e'), self.columns))

    def close(self):
        """And waits until the terminal is gone: a new one in the same folder would be told to go to it."""
        subprocess.run(['tmux', '-S', self.socket, 'kill-server'], check=False, capture_output=True)
        deadline = time.monotonic() + WAIT_S
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(self.socket)
                time.sleep(0.01)


class PeopleCase(ServerCase):
    """With what people do at their terminals."""
    accounts = ServerCase.accounts + ('benvolio@localhost', 'rosaline@localhost')
    # /register goes to the first address of localhost, and to no other: IPv6 where there is any.
    settings = '''
listen:
    - {port: ${port}, ip: "%s"}
    - {port: ${tls_port}, ip: 127.0.0.1, tls: true}
modules:
    mod_register: {access: all, registration_timeout: 0}
    mod_roster: {}
''' % ('::' if os.path.exists('/proc/net/if_inet6') else '127.0.0.1')

    def terminal(self, name):
        terminal = Terminal(self.server.path(name))
        self.addCleanup(terminal.close)
        terminal.sees(r'Welcome to')
        return terminal

    def online(self, jid, tls='force', resource='', says=()):
        port = self.server.tls_port if tls == 'legacy' else self.server.port
        terminal = self.terminal(self.id().rpartition('.')[2] + '-' + jid + resource)
        for line in says:
            terminal.types(line)
        terminal.types('/connect %s server 127.0.0.1 port %d tls %s' % (jid, port, tls))
        terminal.sees(r'Enter password:')
        terminal.types(password_of(jid))
        self.accept_certificate(terminal)
        terminal.sees(r'%s/\S+ logged in successfully, online' % jid)
        terminal.sees(r'\[TLS\] \[online\]')
        return terminal

    def accept_certificate(self, terminal):
        terminal.sees(r"Use '/tls allow' to accept this certificate")
        terminal.types('/tls allow')

    def quit(self, terminal):
        terminal.types('/quit')
        terminal.sees('ended with 0')


class Profanity(PeopleCase):
    def test_two_talk(self):
        romeo = self.online('romeo@localhost')
        juliet = self.online('juliet@localhost', tls='legacy')
        romeo.types('/msg juliet@localhost hello, <you> & yours')
        juliet.sees(r'chat message: romeo@localhost')
        juliet.types('/win 2')
        juliet.sees(r'romeo@localhost/\S+: hello, <you> & yours')
        juliet.types('and a good night')
        romeo.sees(r'juliet@localhost/\S+: and a good night')
        self.quit(romeo)
        self.quit(juliet)

    def test_contacts(self):
        benvolio = self.online('benvolio@localhost')
        rosaline = self.online('rosaline@localhost')
        benvolio.types('/roster add rosaline@localhost Rosy')
        benvolio.sees(r'Roster item added: rosaline@localhost')
        benvolio.types('/sub request rosaline@localhost')
        rosaline.sees(r'Received authorization request from benvolio@localhost')
        rosaline.types('/sub allow benvolio@localhost')
        benvolio.sees(r'Subscription received from rosaline@localhost')
        benvolio.sees(r'Rosy .*is online')
        rosaline.types('/status set away "tea"')
        benvolio.sees(r'Rosy .*is away, .*"tea"')
        rosaline.types('/sub request benvolio@localhost')
        benvolio.sees(r'Received authorization request from rosaline@localhost')
        benvolio.types('/sub allow rosaline@localhost')
        rosaline.sees(r'benvolio@localhost.* is online')
        self.quit(benvolio)
        rosaline.sees(r'benvolio@localhost.* is offline')
        benvolio = self.online('benvolio@localhost', resource='again')
        rosaline.sees(r'(?s)benvolio@localhost.* is offline.*benvolio@localhost.* is online')
        rosaline.types('/status set dnd "busy"')
        benvolio.sees(r'Rosy .*is dnd, .*"busy"')
        benvolio.types('/who')
        benvolio.sees(r'Rosy .*is dnd, "busy"')
        self.quit(benvolio)
        self.quit(rosaline)

    def test_the_server_answers(self):
        romeo = self.online('romeo@localhost')
        romeo.types('/disco info localhost')
        romeo.sees(r'%s im server' % self.server.software)
        romeo.sees(r'urn:xmpp:ping')
        romeo.types('/ping')
        romeo.sees(r'Ping response from')
        self.quit(romeo)

    def test_register(self):
        """Trusting: 0.13.1 aborts where it should ask about a certificate while it registers."""
        nurse = self.terminal('nurse')
        nurse.types('/register nurse localhost port %d tls trust' % self.server.port)
        for ask in ('Enter', 'Confirm'):
            nurse.sees('%s password:' % ask)
            nurse.types(password_of('nurse@localhost'))
        nurse.sees(r'Registration successful')
        self.quit(nurse)
        self.quit(self.online('nurse@localhost'))

    def test_wrong_password(self):
        romeo = self.terminal('wrong')
        romeo.types('/connect romeo@localhost server 127.0.0.1 port %d tls force' % self.server.port)
        romeo.sees(r'Enter password:')
        romeo.types('not the password')
        self.accept_certificate(romeo)
        romeo.sees(r'Login failed')
        self.quit(romeo)


class History(PeopleCase):
    """Messages are in the archive, and nowhere else when their receiver is away."""
    settings = PeopleCase.settings + '''
    mod_mam: {default: always}
    mod_carboncopy: {}
    mod_private: {}
    mod_blocking: {}
    mod_disco: {}
    mod_offline: none
'''
    SAYS = ('/mam on', '/intype off', '/outtype off')

    def befriend(self, one, other):
        """The one adds the other, who allows it."""
        one.types('/roster add juliet@localhost Juliet')
        one.sees(r'Roster item added: juliet@localhost')
        one.types('/sub request juliet@localhost')
        other.sees(r'Received authorization request from romeo@localhost')
        other.types('/sub allow romeo@localhost')
        one.sees(r'Juliet .*is online')

    def talk(self, one, other):
        one.types('/msg juliet@localhost By whose direction found I out this place?')
        other.sees(r'chat message: romeo@localhost')
        other.types('/win 2')
        other.sees(r'found I out this place')
        other.types('By love, that first did prompt me to enquire.')
        one.sees(r'Juliet/\S+: By love, that first')

    def forget(self, terminal):
        """Its log goes; what it shows of the past is the server's from now on."""
        shutil.rmtree(os.path.join(terminal.folder, 'profanity', 'database'))

    def test_who_was_away_finds_the_history(self):
        romeo = self.online('romeo@localhost', says=self.SAYS)
        juliet = self.online('juliet@localhost', says=self.SAYS)
        self.befriend(romeo, juliet)
        self.talk(romeo, juliet)
        self.quit(romeo)
        romeo.close()
        juliet.sees(r'romeo@localhost')
        juliet.types('It is almost morning,')
        juliet.types('I would have thee gone.')
        juliet.sees(r'me: I would have thee gone')
        juliet.types('/ping')      # answered behind them
        juliet.types('/win 1')
        juliet.sees(r'Ping response from')
        self.forget(romeo)
        romeo = self.online('romeo@localhost', says=self.SAYS)
        romeo.types('/disco info localhost')
        romeo.sees(r'urn:xmpp:mam:2')   # it knows now what the server can do
        romeo.types('/msg juliet@localhost')
        romeo.sees(r'(?s)By love, that first.*It is almost morning,.*I would have thee gone\.')
        if 'PROFANITY_CAPTURE' in os.environ:
            romeo.resize(90, 12)
            romeo.sees(r'(?m)^.{80,90}$')
            romeo.draw(os.environ['PROFANITY_CAPTURE'])
        self.quit(romeo)
        self.quit(juliet)


if __name__ == '__main__':
    main()
