#!/usr/bin/python3
"""./quickstart in a fresh copy of the tree: it builds, makes what it needs, serves; and run again it
changes nothing that exists. Built with a sanitizer there is nothing new to learn: skipped."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from harness.connection import Connection, Failure
from harness.server import LINNETD, TREE, free_port

SKIPPED = 77
BUILT_S = 250       # enough for a machine that does other things meanwhile
FILES = ('linnet.yml', 'localhost.pem')


class Quickstart(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix='linnet-quickstart-')
        cls.tree, cls.data = os.path.join(cls.dir, 'linnet'), os.path.join(cls.dir, 'data')
        cls.port = free_port()
        shutil.copytree(TREE, cls.tree, ignore=shutil.ignore_patterns('.git', 'build', 'build-*'))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def run_it(self, *options):
        return subprocess.run([os.path.join(self.tree, 'quickstart'), *options], cwd=self.dir,
                              capture_output=True, text=True, timeout=BUILT_S, check=False)

    def serve(self, *options):
        """Starts it; what it says until it has told how to go on."""
        self.process = subprocess.Popen(
            [os.path.join(self.tree, 'quickstart'), '--data', self.data, *options], cwd=self.dir,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(self.stop)
        said = ''
        for line in self.process.stdout:
            said += line
            if line.startswith('Stop:'):
                return said
        raise Failure('it ended: ' + said)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.assertEqual(self.process.wait(30), 0)
        self.process.stdout.close()

    def login(self, user, password):
        client = Connection(('127.0.0.1', self.port), ca=os.path.join(self.data, 'localhost.pem'))
        client.login(user + '@localhost/r', password)
        return client

    def ctl(self, *words):
        return subprocess.run(
            [os.path.join(self.tree, 'build', 'linnetctl'), '--data', self.data, *words],
            capture_output=True, text=True, timeout=30, check=True).stdout

    def sums(self):
        found = {}
        for name in FILES:
            with open(os.path.join(self.data, name), 'rb') as f:
                found[name] = hashlib.sha256(f.read()).hexdigest()
        return found

    def test_1_builds_only(self):
        done = self.run_it('--build-only')
        self.assertEqual(done.returncode, 0, done.stderr)
        for program in ('linnetd', 'linnetctl'):
            self.assertTrue(os.access(os.path.join(self.tree, 'build', program), os.X_OK))
        self.assertFalse(os.path.exists(self.data))

    def test_2_serves(self):
        said = self.serve('--port', str(self.port), '--user', 'juliet:balcony at night',
                          '--user', 'romeo:orchard wall')
        for text in ('register NAME localhost', 'port %d' % self.port, self.data):
            self.assertIn(text, said)
        juliet, romeo = self.login('juliet', 'balcony at night'), self.login('romeo', 'orchard wall')
        juliet.send("<message to='romeo@localhost/r' id='m1'><body>Wherefore?</body></message>")
        romeo.expect("<message id='m1'><body>Wherefore?</body></message>")
        with open(os.path.join(self.data, 'linnet.yml'), encoding='utf-8') as f:
            self.assertRegex(f.read(), r'acl: \{admin: \{user: \["juliet@localhost"\]\}\}')
        juliet.close()
        romeo.close()

    def test_3_again_it_changes_nothing(self):
        before = self.sums()
        said = self.serve('--user', 'juliet:another password', '--user', 'nurse:Angelica')
        self.assertNotIn('writing', said)
        self.assertEqual(self.sums(), before)
        self.login('juliet', 'balcony at night').close()
        self.login('nurse', 'Angelica').close()
        self.assertEqual(len(re.findall(r'^(juliet|romeo|nurse)$', self.ctl('accounts', 'localhost'),
                                        re.M)), 3)

    def test_4_says_what_is_wrong(self):
        for options in (['--port', '70000'], ['--user', 'nobody'], ['--domain', 'a b'], ['--data'],
                        ['--what']):
            done = self.run_it(*options)
            self.assertEqual(done.returncode, 2, options)
            self.assertTrue(done.stderr.startswith('quickstart: '), done.stderr)


if __name__ == '__main__':
    with open(LINNETD, 'rb') as program:
        if b'__asan_init' in program.read():
            sys.exit(SKIPPED)
    unittest.main()
