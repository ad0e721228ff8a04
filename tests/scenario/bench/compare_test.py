#!/usr/bin/python3
"""bench/compare, short: it measures what it says, ends what it started, and reckons rightly. Linnet
and the relay alone; with the installed peers: compare_peers_test.py."""

import glob
import html.parser
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

from comparison import machine, page, row, scenarios, servers, table   # noqa: E402

PORTS = 2 * len(servers.ALL)
END_S = 60      # for cleaning up, on a machine that does much else


class Compare(unittest.TestCase):
    servers = 'relay,linnet'
    scenarios = [s.name for s in scenarios.ALL
                 if not s.name.endswith('-im') or s.name in ('chat-10-im', 'presence-im')]

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix='linnet-test-')
        self.addCleanup(self.folder.cleanup)
        self.port = free_port(PORTS)

    def start(self, *options):
        # All that it makes is in a folder of ours, in which nothing may be left.
        return subprocess.Popen(
            [os.path.join(TREE, 'bench/compare'), '--build', os.path.dirname(LINNETD),
             '--servers', self.servers, '--scenarios', ','.join(self.scenarios), '--rounds', '1',
             '--seconds', '0.3', '--users', '4', '--idle-users', '10', '--port', str(self.port),
             *options],
            env=dict(os.environ, TMPDIR=self.folder.name), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def assert_nothing_is_left(self, but=()):
        self.assertEqual(glob.glob(self.folder.name + '/linnet-compare-*'), [])
        for port in range(self.port, self.port + PORTS):
            if port not in but:
                with socket.socket() as s:
                    self.assertNotEqual(s.connect_ex(('127.0.0.1', port)), 0, port)


class Page(html.parser.HTMLParser):
    """What a reader gets: its texts, its tables, and what it is made of."""

    EMPTY = ('meta', 'br')

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts, self.lines = [], [], [], []
        self.wants = []     # what would be fetched from elsewhere
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)
        if tag == 'tr':
            self.lines.append([])
        elif tag in ('td', 'th'):
            self.lines[-1].append('')
        self.wants += [value for name, value in attrs if name in ('src', 'href', 'xlink:href')]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.texts.append(data)
        if 'td' in self.open or 'th' in self.open:
            self.lines[-1][-1] += data


class Measures(Compare):
    def test_scenarios(self):
        out = os.path.join(self.folder.name, 'out.json')
        drawn = os.path.join(self.folder.name, 'out.html')
        done = self.start('--json', out, '--html', drawn)
        said, progress = done.communicate()
        self.assertEqual(done.returncode, 0, progress)
        with open(out, encoding='utf-8') as f:
            result = json.load(f)
        self.assert_runs(result['runs'], said)
        with open(drawn, encoding='utf-8') as f:
            self.assert_page(Page(f.read()), result)
        self.assert_nothing_is_left()

    def assert_runs(self, runs, said):
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
                if 'not_offered' in mine[0]:
                    self.assertTrue(scenario.needs and server == 'linnet', mine[0])
                    continue
                figures = mine[0]['figures' if 'linnet' in server else self.figures_of(mine[0])]
                for figure in scenario.figures:
                    self.assertIn(figure.key, figures)

    @staticmethod
    def figures_of(run):
        """Peers make errors, which is no failure of ours."""
        return 'figures' if 'figures' in run else 'erring_figures'

    def assert_page(self, shown, result):
        """Every row is there, with every number and every word about it."""
        self.assertEqual((shown.wants, shown.tags.count('script')), ([], 0))
        self.assertEqual(shown.tags.count('svg'), len(result['rows']) + len(
            {r['scenario'] for r in result['rows'] if r['scenario'].startswith(('chat', 'shards'))}))
        for one in result['rows']:
            line = next(line for line in shown.lines if line[0] == one['title'])
            self.assertEqual(line[5], one['linnet_is'])
            self.assertIn(one['goal'], line[6])
            self.assertEqual(line[6].partition(': ')[2],
                             {True: 'met', False: 'not met', None: ''}[one['met']])
            for server, cell in one['servers'].items():
                column = line[1 + table.COLUMNS.index(server.partition('-')[0])]
                if 'not_offered' in cell:
                    self.assertEqual(column, 'not offered')
                    self.assertIn(cell['not_offered'], ''.join(shown.texts))
                else:
                    for value in cell['rounds'] + cell.get('with_errors', []):
                        if value is not None:   # there is one round, so it is the median
                            self.assertIn(row.quantity(value, one['unit']), column)
                            self.assertIn(row.quantity(value, one['unit']), [
                                text.partition(',')[0] for line in shown.lines
                                if line[0] == server for text in line[1:]])
        cells = [cell for line in shown.lines for cell in line]
        for what in (result['date'], result['machine'], *result['versions'].values(),
                     *(run['command'] for run in result['runs'])):
            self.assertIn(what, cells)
        self.assertIn(result['command'], shown.texts)
        self.assertIn(machine.verdict(result), shown.texts)


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
    """Runs made up, so that table and page are known beforehand."""

    around = {'date': '2026-01-02 03:04 UTC', 'command': 'bench/compare --json "<&>"',
              'machine': 'Calculator <1 & 2>', 'versions': {'linnet': '1.0 (abc)'},
              'rounds': 2, 'seconds': 3, 'users': 4, 'idle_users': 5, 'load_before': 0.1,
              'load_after': 2.5, 'others_cores': 0.01, 'busy': False}

    @staticmethod
    def rows(name, figures, more=()):
        runs = [{'scenario': name, 'server': server, 'figures': {key: value}, 'command': server}
                for server, key, values in figures for value in values]
        runs += [dict(run, scenario=name, command=run['server']) for run in more]
        return row.rows_of(runs, [s for s in scenarios.ALL if s.name == name]), runs

    def cells(self, name, figures, more=()):
        lines = table.table(self.rows(name, figures, more)[0]).split('\n')
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

    def test_what_is_better_when_there_is_more_of_it(self):
        key = scenarios.RATE
        cells = self.rows('chat-archive', [('linnet', key, [30000]), ('prosody', key, [120])])[0]
        line = table.table(cells[1:]).split('\n')[2]
        self.assertEqual([c.strip() for c in line.strip('|').split('|')][2:5],
                         ['30000 /s', '', '120 /s (1/250)'])

    def test_all_on_is_asked_the_same(self):
        for bare in scenarios.BARE:
            on = next(s for s in scenarios.ALL if s.name == bare.name + '-im')
            self.assertEqual((on.figures, on.servers, on.tls), (bare.figures, bare.servers, bare.tls))
            self.assertIn('archive', on.needs)
            self.assertIn('--sm', on.command)

    def test_a_failed_run_counts_not(self):
        failed = [{'server': 'linnet', 'status': 1}]
        self.assertEqual(self.cells('idle', [], failed)[2:], ['failed', '', '', '', '≤ 4.00 KiB'])
        cells = self.cells('idle', [('linnet', scenarios.MEMORY, [1024, 3072])], failed)
        self.assertEqual(cells[2], '2.00 KiB')

    def test_a_run_with_errors_counts_when_there_is_no_better(self):
        key = scenarios.CPU_PER_MESSAGE
        bad = [{'server': 'linnet', 'status': 1, 'erring_figures': {key: 2}},
               {'server': 'ejabberd', 'status': 1, 'erring_figures': {key: 50}}]
        cells = self.cells('chat-10', [('linnet', key, [3])], bad)
        self.assertEqual(cells[2:4], ['3.00 µs', '50.0 µs, with errors'])
        self.assertEqual(cells[-2:], ['', '≤ ejabberd / 10'])
        rows, runs = self.rows('chat-10', [('linnet', key, [3])], bad)
        lines = Page(page.page(self.around, rows, runs)).lines
        self.assertIn(['linnet', '3.00 µs', '2.00 µs, with errors'], lines)
        self.assertIn(['ejabberd', '50.0 µs, with errors', ''], lines)

    def test_what_is_not_offered(self):
        lacks = [{'server': 'linnet', 'status': 3, 'not_offered': 'no rosters'}]
        cells = self.cells('presence', [('ejabberd', 'server_cpu_per_delivery', [28])], lacks)
        self.assertEqual(cells, ['presence to 20 contacts: per delivery', '', 'not offered',
                                 '28.0 µs', '', '', '≤ ejabberd / 10'])

    def test_shards(self):
        key = scenarios.CPU_PER_MESSAGE
        for two, text in ((1.0, ['2.00 ×', '≥ 1.7 ×: met']), (1.25, ['1.60 ×', '≥ 1.7 ×: not met'])):
            cells = self.cells('shards', [('linnet-1', key, [1.0]), ('linnet-2', key, [two])])
            self.assertEqual(cells[-2:], text)

    def test_groups_of_users(self):
        groups = {s.name: s.users(4) for s in scenarios.ALL}
        self.assertEqual((groups['chat-1'], groups['muc'], groups['presence']), (4, 20, 22))
        many = {s.name: s.users(459) for s in scenarios.ALL}
        self.assertEqual((many['chat-1'], many['muc'], many['mam']), (458, 440, 40))

    # The page.

    def test_what_a_value_holds_stays_text(self):
        nasty = '<script>alert("&amp;")</script>'
        rows, runs = self.rows('presence', [], [{'server': 'linnet', 'not_offered': nasty},
                                                {'server': 'ejabberd', 'status': 1}])
        shown = Page(page.page(self.around, rows, runs))
        self.assertNotIn('script', shown.tags)
        said = ''.join(shown.texts)
        for text in (nasty, self.around['command'], self.around['machine']):
            self.assertIn(text, said)
        self.assertIn(['ejabberd', 'failed'], shown.lines)
        self.assertIn(['linnet', 'not offered'], shown.lines)

    def test_each_round_is_shown(self):
        key = scenarios.CPU_PER_MESSAGE
        rows, runs = self.rows('chat-1', [('relay', key, [4, 100, 1]), ('linnet', key, [6, 7, 8])])
        for run in runs:
            run['latency'] = [[10, 5], [200, 5]]
        shown = Page(page.page(self.around, rows, runs))
        self.assertIn(['relay', '4.00 µs', '100 µs', '1.00 µs'], shown.lines)
        self.assertEqual(shown.tags.count('circle'), 6)
        self.assertEqual(shown.tags.count('polyline'), 2)
        self.assertIn('logarithmic scale', shown.texts)     # from 1 to 100

    def test_a_busy_machine_is_said_to_be(self):
        self.assertIn('nothing else to do', machine.verdict(self.around))
        self.assertIn('was busy', machine.verdict(dict(self.around, busy=True)))


if __name__ == '__main__':
    main()
