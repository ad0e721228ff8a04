"""linnetctl against a harness Server, and a unittest case with a server for each test."""

import json
import os
import subprocess
import unittest

from .connection import Failure
from .server import TREE, Server

DONE, FAILED, USAGE, NO_SERVER = range(4)
LINNETCTL = os.environ.get('LINNETCTL', os.path.join(TREE, 'build', 'linnetctl'))


class Console:
    """The console of one server."""

    def __init__(self, server):
        self.server = server

    def argv(self, *words):
        return [LINNETCTL, '--socket', self.server.path('control'), *words]

    def run(self, *words, stdin=''):
        return subprocess.run(self.argv(*words), input=stdin, capture_output=True, text=True,
                              timeout=60, check=False)

    def json(self, *words, stdin=''):
        """The answer of a command that must succeed."""
        done = self.run('--json', *words, stdin=stdin)
        if done.returncode != DONE:
            raise Failure('linnetctl %s: %s' % (' '.join(words), done.stderr))
        return json.loads(done.stdout)


class ConsoleCase(unittest.TestCase):
    """A server of its own for each test, as self.server, and its console as self.ctl."""

    over = ''       # YAML laid over support/settings.yml

    def setUp(self):
        self.server = Server(self.over)
        self.server.__enter__()
        self.addCleanup(self._end)
        self.ctl = Console(self.server)

    def _end(self):
        try:
            self.server.stop()
        finally:
            self.server.kill()
            self.server.clean()

    def done(self, *words, stdin=''):
        """Runs a command that must succeed; what it printed."""
        got = self.ctl.run(*words, stdin=stdin)
        self.assertEqual((got.returncode, got.stderr), (DONE, ''), words)
        return got.stdout

    def refused(self, status, *words, stdin=''):
        """Runs a command that must fail with this status; what it complained."""
        got = self.ctl.run(*words, stdin=stdin)
        self.assertEqual((got.returncode, got.stdout), (status, ''), (words, got.stderr))
        self.assertTrue(got.stderr.startswith('linnetctl: '), got.stderr)
        return got.stderr


def main():
    unittest.main(warnings='ignore')    # of sockets left to the end of a test
