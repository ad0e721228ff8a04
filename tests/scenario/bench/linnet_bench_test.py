#!/usr/bin/python3
"""linnet-bench, short: each scenario plays against a real server, in one process and in several, and
tells it in every form. That it notices what is wrong is tried with a peer that does wrong."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main       # noqa: E402
from harness.server import LINNETD              # noqa: E402

BENCH = os.path.join(os.path.dirname(LINNETD), 'linnet-bench')
USERS = 8
SVG = '{http://www.w3.org/2000/svg}svg'


class LinnetBench(ServerCase):
    settings = """
        modules:
            mod_register: {access: all, registration_timeout: 0, password_min_length: 1}
            mod_ping: {}
            mod_carboncopy: {}
            mod_auth_internal: {}
        """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        made = cls.run_bench('--register', users=USERS, seconds=0)
        assert made.returncode == 0, made.stderr

    @classmethod
    def run_bench(cls, *words, users=USERS, seconds=1, port=None):
        return subprocess.run(
            [BENCH, '--port', str(port or cls.server.plain_port), '--users', str(users),
             '--pid', str(cls.server.serving_pid()), '--seconds', str(seconds), '--warmup', '0.2',
             *words],
            capture_output=True, text=True, check=False, timeout=100)

    def played(self, *words, **more):
        """The JSON of a run that went well."""
        done = self.run_bench('--json', '-', *words, **more)
        self.assertEqual((done.returncode, done.stderr), (0, ''), words)
        run = json.loads(done.stdout)
        self.assertTrue(run['good'])
        return run

    def assert_whole(self, run, operation):
        self.assertGreater(run[operation + 's'], 0)
        self.assertGreater(run['server_cpu_per_' + operation], 0)
        self.assertGreater(run['own_cpu_per_' + operation], 0)
        self.assertGreater(run['server_memory_start'], 0)
        self.assertGreater(run['server_memory_end'], 0)

    def assert_times(self, run, name, operations):
        self.assertEqual(sum(n for _, n in run['buckets'][name]), operations)
        times = [run[name + suffix] for suffix in ('_p50', '_p95', '_p99', '_p99.9', '_max')]
        self.assertEqual(times, sorted(times))

    # The scenarios.

    def test_chat(self):
        for words in ([], ['--inflight', '10'], ['--to', 'bare'], ['--processes', '3']):
            run = self.played(*words, 'chat', seconds=0.3 if words else 1)
            self.assert_whole(run, 'message')
            self.assert_times(run, 'latency', run['messages'])
            self.assertEqual((run['lost'], run['wrong']), (0, 0))

    def test_chat_with_what_clients_turn_on(self):
        run = self.played('--sm', '--carbons', '--finish', 'chat')
        self.assert_whole(run, 'message')
        self.assert_times(run, 'latency', run['messages'])
        self.assertEqual((run['lost'], run['wrong']), (0, 0))

    def test_chat_under_tls(self):
        for tls, port in (('starttls', self.server.port), ('direct', self.server.tls_port)):
            self.assert_whole(self.played('--tls', tls, 'chat', port=port, seconds=0.5), 'message')

    def test_ping(self):
        for words in ([], ['--inflight', '10'], ['--processes', '2']):
            run = self.played(*words, 'ping', seconds=0.3 if words else 1)
            self.assert_whole(run, 'ping')
            self.assert_times(run, 'latency', run['pings'])
            self.assertEqual((run['unanswered'], run['wrong']), (0, 0))

    def test_login(self):
        for words in ([], ['--processes', '2']):
            run = self.played(*words, 'login', seconds=0.3 if words else 1)
            self.assert_whole(run, 'login')
            self.assert_times(run, 'login', run['logins'])
            self.assertEqual(run['failed'], 0)

    def test_other_ways_to_log_in(self):
        """XEP-0388, XEP-0484: each user by password first, and then by token."""
        tls = '--tls', 'direct', '--port', str(self.server.tls_port)
        for way in 'sasl2', 'token':
            run = self.played(*tls, '--login', way, 'login')
            self.assert_whole(run, 'login')
            self.assertEqual(run['failed'], 0)
        done = self.run_bench('--json', '-', *tls, '--login', 'token', 'chat')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        metrics = self.server.control('metrics')
        self.assertRegex(metrics if isinstance(metrics, str) else metrics['text'],
                         r'linnet_token_logins_total [1-9]')

    def test_idle(self):
        for words in ([], ['--processes', '3']):
            run = self.played(*words, 'idle', seconds=0.3)
            self.assert_whole(run, 'login')
            self.assertEqual((run['logins'], run['sessions_alive'], run['sessions_lost']),
                             (USERS, USERS, 0))
            self.assertGreater(run['server_memory_after'], 0)
            self.assertTrue([s for s in run['timeline'] if s.get('server_memory')])

    # How they are played.

    def test_open_loop(self):
        for words in (['chat'], ['--to', 'bare', 'chat'], ['ping'], ['--processes', '2', 'ping']):
            run = self.played('--rate', '200', *words, seconds=0.5)
            # What was to be sent within the second; more or less of it was answered by its end.
            self.assertGreater(run.get('messages', run.get('pings')), 0)
            self.assertLess(run.get('messages', run.get('pings')), 100 * 200)
            self.assertIn('send_late_p99', run)
            self.assertEqual(run['wrong'], 0)

    def test_ends_after_so_many(self):
        run = self.played('--messages', '30', 'ping', seconds=60)
        self.assertGreaterEqual(run['pings'], 30)
        self.assertLessEqual(run['pings'], 30 + USERS)     # those that came along with the last

    def test_timeline(self):
        run = self.played('ping', seconds=2)
        phases = [s['phase'] for s in run['timeline']]
        self.assertEqual(phases, sorted(phases, key=['login', 'warm-up', 'measure', 'drain',
                                                     'close'].index))
        self.assertIn('measure', phases)
        self.assertEqual(max(s['sessions'] for s in run['timeline']), USERS)

    def test_limit_of_open_files(self):
        """As many processes as it takes, and no more than that limit in each."""
        made = self.run_bench('--register', users=150)
        self.assertEqual(made.returncode, 0, made.stderr)
        done = subprocess.run(
            ['bash', '-c', 'ulimit -n 100 && exec "$@"', 'bash', BENCH, '--port',
             str(self.server.plain_port), '--users', '150', '--seconds', '0.3', '--json', '-',
             'ping'],
            capture_output=True, text=True, check=False, timeout=100)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        run = json.loads(done.stdout)
        self.assertEqual((run['processes'], run['unanswered'], run['wrong']), (3, 0, 0))

    # What is shown.

    def test_table_and_page(self):
        page, file = self.server.path('run.html'), self.server.path('run.json')
        done = self.run_bench('--html', page, '--json', file, 'chat')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        with open(file, encoding='utf-8') as f:
            run = json.load(f)
        title, *lines = done.stdout.splitlines()
        self.assertEqual(title, run['run'])
        self.assertIn('%d' % run['messages'], [line for line in lines if ' messages ' in line][0])
        html = ElementTree.parse(page).getroot()
        self.assertEqual(html.findtext('head/title'), run['run'])
        self.assertGreaterEqual(len(list(html.iter(SVG))), 4)

    def test_result_that_cannot_be_written(self):
        done = self.run_bench('--json', '/nonexistent/run.json', 'ping', seconds=0.1)
        self.assertEqual(done.returncode, 1)
        self.assertIn('/nonexistent/run.json', done.stderr)

    def test_live_view_is_for_terminals(self):
        seen = {}
        for words in ([], ['--quiet']):
            ours, theirs = os.openpty()
            with subprocess.Popen(
                    [BENCH, '--port', str(self.server.plain_port), '--users', str(USERS),
                     '--seconds', '1', *words, 'ping'], stdout=theirs) as bench:
                os.close(theirs)
                seen[bool(words)] = self.read_all(ours)
                self.assertEqual(bench.wait(), 0)
        self.assertRegex(seen[False], r'\r\S.*own \d+ %\x1b\[K')
        self.assertNotIn('\x1b', seen[True])
        self.assertIn('pings_per_second', seen[True])

    @staticmethod
    def read_all(fd):
        said = b''
        while True:
            try:
                got = os.read(fd, 65536)
            except OSError:     # the other side has closed it
                got = b''
            if not got:
                os.close(fd)
                return said.decode()
            said += got

    # What goes wrong.

    def test_wrong_password(self):
        for words in ([], ['--processes', '2']):
            done = self.run_bench('--password', 'wrong', *words, 'chat')
            self.assertEqual(done.returncode, 1)
            self.assertIn('came through', done.stderr)

    def test_odd_number(self):
        done = self.run_bench('chat', users=3)
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        self.assertIn('even number', done.stderr)

    def test_wrong_usage(self):
        for words in ['--rate', '5', 'idle'], ['--login', 'token', 'login']:
            done = self.run_bench(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ''))

    def test_what_a_peer_does_wrong_is_noticed(self):
        """The relay's protocol: who connects is greeted and may send. This one spoils what passes."""
        spoils = {'lost': lambda n, text: [] if n == 5 else [text],
                  'doubled': lambda n, text: [text, text] if n == 5 else [text],
                  'early': lambda n, text: [text.replace(b"id='5-", b"id='6-")] if n == 5 else [text],
                  'bounced': lambda n, text: [text.replace(b"type='chat'", b"type='error'")]
                             if n == 5 else [text]}
        for name, spoil in spoils.items():
            with Spoiler(spoil) as peer:
                done = subprocess.run(
                    [BENCH, '--relay', '--port', str(peer.port), '--users', '2', '--rate', '50',
                     '--seconds', '0.5', '--warmup', '0', '--json', '-', 'chat'],
                    capture_output=True, text=True, check=False, timeout=100)
            run = json.loads(done.stdout)
            self.assertEqual((done.returncode, run['good']), (1, False), name)
            self.assertGreater(run['lost'] + run['wrong'], 0, name)


    def test_who_is_cut_off_while_others_still_log_in(self):
        """By a server that has just started, say: the run is refused, there is no crash."""
        for words in ([], ['--processes', '2']):
            with Quitter(4) as peer:
                done = subprocess.run(
                    [BENCH, '--relay', '--port', str(peer.port), '--users', '4', '--warmup', '0',
                     '--seconds', '0.1', *words, 'chat'],
                    capture_output=True, text=True, check=False, timeout=100)
            self.assertEqual((done.returncode, done.stdout), (1, ''), done.stderr)
            self.assertIn('cut off before it began', done.stderr)
            self.assertNotIn('signal', done.stderr)


class Quitter:
    """Greets so many clients as the relay does, but hangs up on the second before the next."""

    def __init__(self, clients):
        self.clients = clients
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join()
        self.listener.close()

    def run(self):
        ends = []
        for number in range(self.clients):
            end, _ = self.listener.accept()
            end.sendall(b'<stream:stream>')
            if number == 1:
                end.shutdown(socket.SHUT_WR)
                self.wait_for_end(end)
            else:
                ends.append(end)
        for end in ends:
            self.wait_for_end(end)

    @staticmethod
    def wait_for_end(end):
        said = got = end.recv(65536)
        while got and b'</stream:stream>' not in said:
            got = end.recv(65536)
            said += got
        end.close()


class Spoiler:
    """Between two clients: what the first writes, message by message, goes through a function."""

    def __init__(self, spoil):
        self.spoil = spoil
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join()
        self.listener.close()

    def run(self):
        ends = []
        for _ in range(2):
            end, _ = self.listener.accept()
            end.sendall(b'<stream:stream>')
            ends.append(end)
        kept, number = b'', 0
        while got := ends[0].recv(65536):
            *whole, kept = re.split(rb'(?<=</message>)', kept + got)
            for text in whole:
                for out in self.spoil(number, text):
                    ends[1].sendall(out)
                number += 1
            if b'</stream:stream>' in kept:
                break
        for end in ends:
            end.close()


if __name__ == '__main__':
    main()
