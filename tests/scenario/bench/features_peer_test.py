#!/usr/bin/python3
"""linnet-bench's scenarios about rosters, offline messages, archives, resumption, rooms and nodes,
against Prosody where it is installed: each plays through, and nothing is lost or out of order."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.server import LINNETD, START_S, STOP_S, TREE, free_port   # noqa: E402

BENCH = os.path.join(os.path.dirname(LINNETD), 'linnet-bench')
START = os.path.join(TREE, 'bench/peers/start')
USERS = 6


class Features(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix='linnet-peer-')
        cls.port = free_port(2)
        with open(os.path.join(cls.folder, 'output'), 'wb') as out:
            cls.peer = subprocess.Popen(    # pylint: disable=consider-using-with
                [START, '--archive', 'prosody', cls.folder, str(cls.port)], stdin=subprocess.DEVNULL,
                stdout=out, stderr=out)
        try:
            cls.wait_for_peer()
            cls.bench('--register')
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def wait_for_peer(cls):
        deadline = time.monotonic() + START_S
        while True:
            with socket.socket() as s:
                if s.connect_ex(('127.0.0.1', cls.port)) == 0:
                    return
            if time.monotonic() > deadline or cls.peer.poll() is not None:
                with open(os.path.join(cls.folder, 'output'), encoding='utf-8') as f:
                    raise AssertionError('prosody did not start: ' + f.read())
            time.sleep(0.1)

    @classmethod
    def tearDownClass(cls):
        cls.peer.terminate()
        try:
            cls.peer.wait(STOP_S)
        except subprocess.TimeoutExpired:
            cls.peer.kill()
            cls.peer.wait()
        shutil.rmtree(cls.folder)

    @classmethod
    def bench(cls, *words):
        done = subprocess.run(
            [BENCH, '--port', str(cls.port), '--pid', str(cls.peer.pid), '--users', str(USERS),
             '--fanout', '2', '--batch', '7', '--page', '3', '--seconds', '0.5', '--warmup', '0.1',
             '--json', '-', *words], capture_output=True, text=True, check=False, timeout=100)
        assert (done.returncode, done.stderr) == (0, ''), (words, done)
        return json.loads(done.stdout) if done.stdout else None

    def assert_whole(self, run, *operations):
        self.assertTrue(run['good'])
        self.assertEqual((run.get('lost', 0), run['wrong']), (0, 0))
        for many in operations:
            self.assertGreater(run[many], 0, many)

    def test_presence(self):
        first = self.bench('presence')
        self.assert_whole(first, 'presences', 'deliveries', 'login_deliveries')
        self.assertEqual(first['subscriptions'], USERS * 2)
        again = self.bench('presence')      # the rosters are kept
        self.assert_whole(again, 'presences', 'deliveries', 'login_deliveries')
        self.assertNotIn('subscriptions', again)
        self.assertEqual(sum(n for _, n in again['buckets']['latency']), again['deliveries'])

    def test_offline(self):
        run = self.bench('offline')
        self.assert_whole(run, 'stores', 'collects')
        self.assertEqual((run['stores'], run['stores'] % 21), (run['collects'], 0))

    def test_mam(self):
        for _ in range(2):      # the second time there is something in the archive before
            run = self.bench('mam')
            self.assert_whole(run, 'pages', 'messages')
            self.assertEqual(run['messages'] % 7, 0)
            self.assertEqual(run['archived_messages'], 21)

    def test_resume(self):
        self.assert_whole(self.bench('resume'), 'resumptions')

    def test_muc(self):
        for words in ([], ['--inflight', '5'], ['--processes', '3']):
            run = self.bench(*words, 'muc')
            self.assert_whole(run, 'messages', 'deliveries')
            self.assertEqual(run['joins'], 3)

    def test_pubsub(self):
        self.assert_whole(self.bench('pubsub'), 'items', 'deliveries')


def main():
    if not shutil.which('prosody'):
        print('prosody is not installed')
        sys.exit(77)
    unittest.main(verbosity=2)


if __name__ == '__main__':
    main()
