#!/usr/bin/python3
"""libstrophe, a client library in C: strophe_client.c is compiled and run against the server's
default settings."""

import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../../support'))

from harness.case import ServerCase, main   # noqa: E402
from harness.connection import WAIT_S       # noqa: E402
from harness.server import password_of      # noqa: E402

COMPILER = shutil.which(os.environ.get('CC', 'cc'))
if not COMPILER or subprocess.run(['pkg-config', '--exists', 'libstrophe'], check=False).returncode:
    print('libstrophe-dev is not installed', file=sys.stderr)
    sys.exit(77)    # skipped

ROMEO, JULIET = 'romeo@localhost', 'juliet@localhost'


class Strophe(ServerCase):
    settings = '''
modules:
    mod_register: {access: all, registration_timeout: 0}
'''

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = cls.server.path('strophe_client')
        flags = subprocess.check_output(['pkg-config', '--cflags', '--libs', 'libstrophe'], text=True)
        subprocess.run([COMPILER, '-std=gnu17', '-Wall', '-Wextra', '-Werror', '-o', cls.program,
                        os.path.join(HERE, 'strophe_client.c'), *flags.split()], check=True)

    def strophe(self, *args, succeeds=True):
        """The lines that it prints, and what libstrophe logs."""
        ran = subprocess.run([self.program, self.server.path('ca.pem'), *map(str, args)], text=True,
                             capture_output=True, timeout=3 * WAIT_S, check=False)
        said = ran.stdout.splitlines()
        self.assertEqual(not ran.returncode, succeeds, ran.stdout + ran.stderr)
        return said, ran.stderr

    def port(self, tls):
        return self.server.tls_port if tls == 'direct' else self.server.port

    def talk(self, first_tls, other_tls, first=ROMEO, password=None):
        return self.strophe(
            'talk', self.port(first_tls), first_tls, first, password or password_of(first),
            self.port(other_tls), other_tls, JULIET, password_of(JULIET))

    def assert_said(self, said, *lines):
        for line in lines:
            self.assertTrue([s for s in said if s.startswith(line)], '%s\nnot in\n%s'
                            % (line, '\n'.join(said)))

    def test_two_talk(self):
        for tls in (('starttls', 'direct'), ('direct', 'starttls')):
            with self.subTest(tls=tls):
                said, log = self.talk(*tls)
                self.assert_said(
                    said,
                    'romeo@localhost: logged in, secured',
                    'juliet@localhost: logged in, secured',
                    'juliet@localhost: heard hello <you> from romeo@localhost/',
                    'romeo@localhost: heard and you & yours from juliet@localhost/',
                    'romeo@localhost: ponged',
                    'romeo@localhost: the server is server/im',
                    'romeo@localhost: the server can urn:xmpp:ping',
                    'romeo@localhost: gone', 'juliet@localhost: gone')
                self.assertEqual(log.count('mechanism="SCRAM-'), 2, log)

    def test_register(self):
        said, _ = self.strophe('register', self.server.port, 'delta@localhost', 'a new secret')
        self.assertEqual(said, ['delta@localhost: registered', 'delta@localhost: gone'])
        said, _ = self.talk('starttls', 'starttls', 'delta@localhost', 'a new secret')
        self.assert_said(said, 'juliet@localhost: heard hello <you> from delta@localhost/',
                         'delta@localhost: heard and you & yours from juliet@localhost/')
        said, _ = self.strophe('register', self.server.port, 'delta@localhost', 'another secret',
                               succeeds=False)
        self.assert_said(said, 'delta@localhost: failed: not registered')

    def test_wrong_password(self):
        said, _ = self.strophe('talk', self.server.port, 'starttls', ROMEO, 'not the password',
                               self.server.port, 'starttls', JULIET, password_of(JULIET),
                               succeeds=False)
        self.assertFalse([line for line in said if line.startswith('romeo@localhost: logged in')])


if __name__ == '__main__':
    main()
