#!/usr/bin/python3
"""bench/compare, short: it measures what it says, ends what it started, and reckons rightly. Linnet
and the relay alone; with the installed peers: compare_peers_test.py."""

import glob
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import main                       # noqa: E402
from harness.server import LINNETD, TREE, free_port     # noqa: E402

sys.path.insert(0, os.path.join(TREE, 'bench'))

from comparison import scenarios, table             # noqa: E402

PORTS = 7
END_S = 60      # for cleaning up, on a machine that does much else


class Compare(unittest.TestCase):
    servers = 'relay,linnet'
    scenarios = [s.name for s in scenarios.ALL]

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix='linnet-test-')
        self.addCleanup(self.folder.cleanup)
        self.port = free_port(PORTS)

    def start(self, *options):
        # All that it makes is in a folder of ours, in which nothing may be left.
        return subprocess.Popen(
            [os.path.join(TREE, 'bench/compare'), '--build', os.path.dirname(LINNETD),
             '--servers', self.servers, '--scenarios', ','.join(self.scenarios), '--rounds', '1', '--seconds', '0.3', '--users', '4',
             '--idle-users', '10', '--port', str(self.port), *options],
            env=dict(os.environ, TMPDIR=self.folder.name), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def assert_nothing_is_left(self, but=()):
        self.assertEqual(glob.glob(self.folder.name + '/linnet-compare-*'), [])
        for port in range(self.port, self.port + PORTS):
            if port not in but:
                with socket.socket() as s:
                    self.assertNotEqual(s.connect_ex(('127.0.0.1', port)), 0, port)


class Measures(Compare):
    def test_scenarios(self):
        out = os.path.join(self.folder.name, 'out.json')
        done = self.start('--json', out)
        said, progress = done.communicate()
        self.assertEqual(done.returncode, 0, progress)
        with open(out, encoding='utf-8') as f:
            runs = json.load(f)['runs']
        for scenario in scenarios.ALL:
            played = [s for s in scenario.servers
                      if s.partition('-')[0] in self.servers.split(',')]
            if not played or scenario.name not in self.scenarios:
                continue
            self.assertIn('| ' + scenario.title, said)
            for server in played:
                mine = [r for r in runs
                        if (r['scenario'], r['server']) == (scenario.name, server)]
                self.assertEqual(len(mine), 1, (scenario.name, server))
                for figure in scenario.figures:
                    self.assertIn(figure.key, mine[0]['figures'])
        self.assert_nothing_is_left()


class Behaves(Compare):
    def test_a_port_that_is_taken(self):
        with socket.create_server(('127.0.0.1', self.port + 2)) as mine:
            done = self.start()
            _, said = done.communicate()
            self.assertEqual(done.returncode, 1, said)
            self.assertIn('port %d, for linnet, is taken' % (self.port + 2), said)
            self.assert_nothing_is_left(but=[mine.getsockname()[1]])

    def test_ended_in_the_middle(self):
        done = self.start('--seconds', '600', '--scenarios', 'chat-1')
        for line in done.stderr:    # up to the last server's
            if 'linnet ' in line:
                break
        deadline = time.monotonic() + END_S
        while time.monotonic() < deadline:
            with socket.socket() as s:
                if s.connect_ex(('127.0.0.1', self.port + 2)) == 0:
                    break
            time.sleep(0.1)
        done.send_signal(signal.SIGTERM)
        done.communicate(timeout=END_S)
        self.assertEqual(done.returncode, 143)
        self.assert_nothing_is_left()

    def test_interrupted_it_tells_what_there_is(self):
        done = self.start('--rounds', '100', '--scenarios', 'chat-1')
        for line in done.stderr:
            if line.startswith('compare: round 2 '):
                break
        done.send_signal(signal.SIGINT)
        said, _ = done.communicate(timeout=END_S)
        self.assertEqual(done.returncode, 130)
        self.assertIn('× relay', said)
        self.assert_nothing_is_left()

    def test_wrong_use(self):
        for wrong in (['--scenarios', 'tennis'], ['--servers', 'tennis'], ['--users', '3'],
                      ['--rounds', '0']):
            done = self.start(*wrong)
            _, said = done.communicate()
            self.assertEqual(done.returncode, 2, said)
            self.assert_nothing_is_left()


class Reckons(unittest.TestCase):
    """Runs made up, so that the table is known beforehand."""

    def cells(self, name, figures):
        scenario = next(s for s in scenarios.ALL if s.name == name)
        runs = [{'scenario': name, 'server': server, 'figures': {key: value}}
                for server, key, values in figures for value in values]
        lines = table.table(runs, [scenario]).split('\n')
        return [c.strip() for c in lines[2].strip('|').split('|')]

    def test_ratios_of_medians(self):
        key = scenarios.CPU_PER_MESSAGE
        cells = self.cells('chat-1', [('relay', key, [4, 100, 1]), ('linnet', key, [6, 6, 6]),
                                      ('ejabberd', key, [60]), ('prosody', key, [120])])
        self.assertEqual(cells[1:], ['4.00 µs (0.67)', '6.00 µs', '60.0 µs (10.0)', '120 µs (20.0)',
                                     '1.50 × relay', '≤ 2 × relay: met'])

    def test_a_goal_missed(self):
        key = scenarios.CPU_PER_MESSAGE
        cells = self.cells('chat-10', [('linnet', key, [5]), ('ejabberd', key, [40])])
        self.assertEqual(cells[-2:], ['ejabberd / 8.00', '≤ ejabberd / 10: not met'])

    def test_a_goal_in_bytes(self):
        cells = self.cells('idle', [('linnet', scenarios.MEMORY, [4096])])
        self.assertEqual(cells[-2:], ['4.00 KiB', '≤ 4.00 KiB: met'])

    def test_nobody_to_compare_with(self):
        cells = self.cells('chat-1', [('linnet', scenarios.CPU_PER_MESSAGE, [6])])
        self.assertEqual(cells[-2:], ['', '≤ 2 × relay'])

    def test_a_failed_run_counts_not(self):
        scenario = next(s for s in scenarios.ALL if s.name == 'idle')
        runs = [{'scenario': 'idle', 'server': 'linnet', 'status': 1}]
        self.assertNotIn('met', table.table(runs, [scenario]))

    def test_shards(self):
        key = scenarios.CPU_PER_MESSAGE
        for two, text in ((1.0, ['2.00 ×', '≥ 1.7 ×: met']), (1.25, ['1.60 ×', '≥ 1.7 ×: not met'])):
            cells = self.cells('shards', [('linnet-1', key, [1.0]), ('linnet-2', key, [two])])
            self.assertEqual(cells[-2:], text)


if __name__ == '__main__':
    main()
