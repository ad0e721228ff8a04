#!/usr/bin/python3
"""What the system monitor says of slow handlers, long queues, few descriptors and a slow database,
against servers that are made to have them."""

import os
import re
import resource
import sqlite3
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../../support'))
sys.path.insert(0, os.path.join(HERE, '../plugin'))

from harness.connection import WAIT_S, Failure  # noqa: E402
from harness.console import ConsoleCase, main  # noqa: E402
from plugin_test import PublicHeaders  # noqa: E402

ASK = "<iq type='get' id='%s' to='localhost'><query xmlns='urn:test:%s'/></iq>"


class Watched(ConsoleCase):
    def await_true(self, what, tell):
        deadline = time.monotonic() + 3 * WAIT_S
        while not what():
            if time.monotonic() > deadline:
                raise Failure(tell())
            time.sleep(0.05)

    def await_state(self, pattern):
        """Until the monitor has looked and says so."""
        self.await_true(lambda: re.search(pattern, self.state()), lambda: 'it says: ' + self.state())

    def state(self):
        return self.ctl.json('status')['state']

    def await_line(self, pattern):
        self.await_true(lambda: re.search(pattern, self.server.log()),
                        lambda: '%s is not in the log:\n%s' % (pattern, self.server.log()))

    def metric(self, name):
        """A metric's value; its labels as they are exported."""
        found = re.search(r'(?m)^linnet_%s (\d+)' % re.escape(name), self.done('metrics'))
        return int(found.group(1)) if found else None


def setUpModule():
    global folder
    folder = tempfile.TemporaryDirectory(prefix='linnet-slow-')
    headers = PublicHeaders()
    headers.build(os.path.join(HERE, 'slow.c'), os.path.join(folder.name, 'slow.so'))
    headers.dir.cleanup()


def tearDownModule():
    folder.cleanup()


class Handlers(Watched):
    over = '''
module_path: ["%s"]
queue_warning: 20
modules: {mod_auth_internal: {}, mod_slow: {until: "${dir}/go on"}}
'''

    def setUp(self):
        self.over = self.over % folder.name
        super().setUp()
        self.server.register('juliet@localhost')

    def until_line(self, pattern, do):
        """Does it again while there is no such line: one a second is written at most, and on a busy
        machine it may be about somebody else."""
        deadline = time.monotonic() + 3 * WAIT_S
        while not re.search(pattern, self.server.log()):
            if time.monotonic() > deadline:
                raise Failure('%s is not in the log:\n%s' % (pattern, self.server.log()))
            do()
            time.sleep(0.3)

    def ask_slowly(self):
        client = self.server.login('juliet@localhost/a')
        client.send(ASK % ('s', 'slow'))
        client.expect("<iq type='result' id='s'/>")
        client.close()

    def test_a_handler_that_holds_its_shard_is_named(self):
        self.until_line(r'level=warning part=shard what="a handler held its shard" kind=hook '
                        r'handler=session_opened/slow\.so\+0x[0-9a-f]+ ms=\d{3}', self.ask_slowly)
        self.until_line(r'what="a handler held its shard" kind=iq handler=urn:test:slow/\S+ ms=\d{3}',
                        self.ask_slowly)
        self.assertGreaterEqual(self.metric('shard_slow_turns_total'), 2)

    def test_what_is_too_long_is_a_setting(self):
        self.server.write_settings(self.over + '\nshard_turn_warning: 30 s')
        self.assertEqual(self.done('reload'), '~ shard_turn_warning: 20 ms -> 30 s\n')
        before = self.metric('shard_slow_turns_total')
        self.ask_slowly()
        self.assertEqual(self.metric('shard_slow_turns_total'), before)
        self.assertNotIn('urn:test:slow', self.server.log())

    def test_a_long_queue_is_named_and_said_to_be_well_again(self):
        self.await_state('^well$')
        client = self.server.login('juliet@localhost/a')
        for n in range(50):
            client.send(ASK % (n, 'queued'))
        self.await_state(r'^jobs: urn:test:queued has \d+, warned of from 20 on$')
        self.await_line(r'level=warning part=sysmon what="a queue is long" of=jobs which=urn:test:queued '
                        r'now=\d+ threshold=20 over=1')
        self.assertGreaterEqual(self.metric('queue_length{kind="jobs",queue="urn:test:queued"}'), 20)
        with open(self.server.path('go on'), 'w', encoding='ascii'):
            pass
        for n in range(50):
            client.expect("<iq type='result' id='%d'/>" % n)
        self.await_state('^well$')
        self.await_line('level=info part=sysmon what="queues are short again" of=jobs')
        self.assertEqual(self.metric('queue_length{kind="jobs",queue="urn:test:queued"}'), 0)
        for name in ('kind="mailbox",queue="shard 0"', 'kind="mailbox",queue="shard 1"',
                     'kind="jobs",queue="passwords"', 'kind="database writes",queue="main"',
                     'kind="log",queue="lines"'):
            self.assertIsNotNone(self.metric('queue_length{%s}' % name), name)
        client.close()


class Restarted(Watched):
    """A child of the server's tree: whoever needs it least is restarted without a trace."""

    over = 'memory_limit: 1'

    def row(self):
        return next(r for r in self.ctl.json('supervisor', 'tree') if r['path'] == 'system monitor')

    def test_it_is_a_child_that_can_be_stopped_and_started(self):
        self.server.allowed_errors = []
        self.assertEqual(self.row()['state'], 'up')
        self.await_state('new logins|those who hold')
        self.done('supervisor', 'stop', 'system monitor')
        self.assertEqual(self.state(), 'well')     # nobody looks, so nobody is refused
        self.server.register('juliet@localhost')
        self.server.login('juliet@localhost/a').close()
        self.done('supervisor', 'start', 'system monitor')
        self.await_state('those who hold')


class Files(Watched):
    """Few descriptors: told before they are all used."""

    LIMIT = 100

    def setUp(self):
        super().setUp()
        resource.prlimit(self.server.serving_pid(), resource.RLIMIT_NOFILE, (self.LIMIT, self.LIMIT))

    def test_told_when_nearly_all_are_used_and_when_they_are_not(self):
        self.assertEqual(self.ctl.json('status')['max_files'], self.LIMIT)
        self.await_state('^well$')
        clients = []
        while self.ctl.json('status')['open_files'] < 0.9 * self.LIMIT + 1:
            clients.append(self.server.connect(port=self.server.plain_port))
            clients[-1].open('localhost')
        self.await_state('^file descriptors: open files has 9[0-9], warned of from 90 on$')
        self.await_line('level=warning part=sysmon what="nearly all are used" of="file descriptors" '
                        'which="open files" now=9[0-9] threshold=90')
        for client in clients:
            client.close()
        self.await_state('^well$')
        self.await_line('what="enough are free again" of="file descriptors"')


class Database(Watched):
    """One who holds the file's lock makes the server's write wait: SQLite's busy timeout."""

    over = "database: {path: '${dir}/linnet.db', synchronous: 'off', slow_warning: 50 ms}"

    def write_slowly(self, n):
        """A write that finds the file locked, if it comes while it is."""
        other = sqlite3.connect(self.server.path('linnet.db'), isolation_level=None, timeout=WAIT_S)
        other.execute('BEGIN IMMEDIATE')
        writing = threading.Thread(target=self.server.register, args=('user%d@localhost' % n,))
        writing.start()
        writing.join(0.3)
        other.execute('ROLLBACK')
        writing.join()
        other.close()

    def test_a_slow_statement_is_named(self):
        self.server.register('juliet@localhost')
        slow = r'level=warning part=db what=slow statement=begin ms=\d{2,}'
        for n in range(20):
            if re.search(slow, self.server.log()):
                break
            self.write_slowly(n)
        self.await_line(slow)
        self.assertGreaterEqual(self.metric('db_slow_total'), 1)
        self.assertGreaterEqual(self.metric('db_write_seconds_count'), 2)
        self.assertGreaterEqual(self.metric('db_commit_seconds_count'), 2)
        self.assertIn('linnet_db_read_seconds_count', self.done('metrics'))

    def test_the_threshold_applies_at_a_reload(self):
        self.server.write_settings(self.over.replace('50 ms', '1 min'))
        self.assertEqual(self.done('reload'), '~ database.slow_warning: 50 ms -> 1 min\n')


if __name__ == '__main__':
    main()
