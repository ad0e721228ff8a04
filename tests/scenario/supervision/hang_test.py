#!/usr/bin/python3
"""A server that hangs is ended by its monitor, says where it hung, and is there again."""

import os
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import frail  # noqa: E402
from harness.case import main  # noqa: E402
from harness.connection import WAIT_S  # noqa: E402
from harness.server import LINNETD, Server  # noqa: E402

DIED = r'what="the server died and was started again"'


class Hanging(unittest.TestCase):
    def log_with(self, server, text):
        """Once it is there: lines are written in bunches."""
        deadline = time.monotonic() + WAIT_S
        log = ''
        while text not in log:
            self.assertLess(time.monotonic(), deadline, log)
            with open(server.path('log'), encoding='utf-8') as f:
                log = f.read()
        return log

    @unittest.skipIf('asan' in LINNETD or 'tsan' in LINNETD, 'the sanitizer handles the signal')
    def test_a_shard_that_does_not_turn(self):
        """Whichever it is: the calls in the log are those of its thread."""
        with frail.FrailServer('hang_timeout: 1 s\nlog_file: ${dir}/log\n') as server:
            server.allowed_errors = [DIED]
            for n in range(1, 3):
                pid = server.serving_pid()
                client = server.login('romeo@localhost/%d' % n)
                shard = next(row['shard'] for row in server.control('connected')
                             if row['jid'].endswith('/%d' % n))
                client.send("<iq type='set' id='h' to='localhost'><query xmlns='urn:test:hang'/></iq>")
                client.wait_for_end()
                client.close()
                server._wait_until_up()
                self.assertNotEqual(server.serving_pid(), pid)
                self.assertEqual(server.control('status')['restarts'], n)
                log = self.log_with(server, 'restarts=%d' % n)
                self.assertRegex(log, r'linnetd: crash: signal 6 in thread shard%d, process %d\n'
                                      r'(.*\n)*.*frail\.so' % (shard, pid))
                self.assertEqual(len(re.findall(DIED, log)), n)
                self.assertIn('ended_by="hanging, signal 6 (Aborted)" restarts=%d' % n, log)
                server.login('romeo@localhost/again').close()

    def test_one_that_turns_is_left_alone(self):
        """Also when nobody does anything, and through a reload and a stop."""
        with Server('hang_timeout: 1 s') as server:
            pid = server.serving_pid()
            while server.control('status')['uptime_s'] < 3:
                server.control('reload')
            self.assertEqual(server.serving_pid(), pid)


main()
