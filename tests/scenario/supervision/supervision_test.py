#!/usr/bin/python3
"""The tree: what it shows, what an operator does with it, what a reload does to it, and what becomes
of parts that fail."""

import os
import re
import socket
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import frail  # noqa: E402
from harness.connection import WAIT_S, Failure  # noqa: E402
from harness.console import FAILED, Console, ConsoleCase, main  # noqa: E402
from harness.server import START_S, free_port  # noqa: E402

TOP = ['control', 'hooks', 'router', 'services', 'session manager', 'local router', 'iq handlers',
       'database', 'temporary tasks', 'accounts', 'hosts', 'c2s', 'components', 's2s manager',
       's2s out', 's2s in', 'acceptors', 'listener', 'dns', 'system monitor']
AFTER_DATABASE = TOP[TOP.index('database'):]
PROCESSES = 'hosts/localhost/processes'


def refused(port):
    try:
        socket.create_connection(('127.0.0.1', port)).close()
    except ConnectionRefusedError:
        return True
    return False


class TreeCase(ConsoleCase):
    def tree(self):
        return {row['path']: row for row in self.ctl.json('supervisor', 'tree')}

    def down(self):
        return [path for path, row in self.tree().items() if row['state'] != 'up']

    def supervisor(self, action, path):
        self.done('supervisor', action, path)

    def port_row(self, port):
        return 'listener/127.0.0.1:%d' % port

    def until(self, is_so, seconds=START_S):
        deadline = time.monotonic() + seconds
        while not is_so():
            self.assertLess(time.monotonic(), deadline, self.server.log()[-4000:])
            time.sleep(0.01)


class Operated(TreeCase):
    def setUp(self):
        super().setUp()
        for jid in 'romeo@localhost', 'juliet@other.example':
            self.server.register(jid)

    def talks(self, client, jid):
        client.send("<message to='%s' id='t'/>" % jid)
        client.expect("<message from='%s' id='t'/>" % jid)

    def test_shows_the_whole_server(self):
        client = self.server.login('romeo@localhost/a')
        rows = self.ctl.json('supervisor', 'tree')
        self.assertEqual([row['path'] for row in rows if '/' not in row['path']], TOP)
        self.assertEqual(self.down(), [])
        tree = self.tree()
        self.assertEqual(tree['hosts']['type'], 'supervisor')
        self.assertEqual(tree['hosts/localhost/modules/ping']['type'], 'module')
        self.assertEqual(tree['c2s']['holds'], 1)
        self.assertEqual(tree['session manager']['holds'], 1)
        self.assertEqual(tree['router']['holds'], 2)
        self.assertEqual(tree[self.port_row(self.server.port)]['holds'], 1)
        self.assertEqual(len([path for path in tree if path.startswith('c2s/shard')]), 2)
        self.assertEqual({row['restarts'] for row in rows if row.get('restarts')}, set())
        self.assertRegex(tree['database']['since'], r'^20\d\d-\d\d-\d\dT')
        shown = self.done('supervisor', 'tree').splitlines()
        self.assertEqual(shown[0].split(), ['path', 'type', 'state', 'restarts', 'since', 'waiting',
                                            'holds', 'reason'])
        self.assertEqual(len(shown), len(rows) + 1)
        client.close()

    def test_a_port_is_closed_and_opened_again(self):
        """Its streams live on."""
        port = self.server.plain_port
        client = self.server.login('romeo@localhost/a', tls='none')
        self.supervisor('stop', self.port_row(port))
        self.assertTrue(refused(port))
        self.assertFalse(refused(self.server.port))
        self.assertEqual(self.down(), [self.port_row(port)])
        self.assertNotIn(port, [row['port'] for row in self.ctl.json('listeners')])
        self.talks(client, 'romeo@localhost/a')
        self.supervisor('start', self.port_row(port))
        self.assertFalse(refused(port))
        self.talks(client, 'romeo@localhost/a')
        self.supervisor('restart', self.port_row(port))
        self.server.login('romeo@localhost/b', tls='none').close()
        self.talks(client, 'romeo@localhost/a')
        client.close()

    def test_a_host_is_stopped_and_started_again(self):
        romeo = self.server.login('romeo@localhost/a')
        juliet = self.server.login('juliet@other.example/a')
        self.supervisor('stop', 'hosts/other.example')
        juliet.wait_for_end()
        juliet.close()
        self.talks(romeo, 'romeo@localhost/a')
        self.assertRaises(Failure, self.server.login, 'juliet@other.example/b')
        self.assertEqual(self.down(), ['hosts/other.example'])
        self.supervisor('start', 'hosts/other.example')
        self.server.login('juliet@other.example/b').close()
        self.talks(romeo, 'romeo@localhost/a')
        romeo.close()

    def test_who_depends_on_a_part_goes_and_comes_with_it(self):
        pid = self.server.control('status')['server_pid']
        client = self.server.login('romeo@localhost/a')
        self.supervisor('stop', 'database')
        client.wait_for_end()
        client.close()
        self.assertEqual([path for path in self.down() if '/' not in path], AFTER_DATABASE)
        self.assertTrue(refused(self.server.port))
        self.server.allowed_errors += ['accounts need a database', 'did not start']
        self.assertIn('not all of it has started',
                      self.refused(FAILED, 'supervisor', 'start', 'hosts'))
        self.assertIn("database is not up", self.refused(FAILED, 'reload'))
        self.server.allowed_errors += ['reload failed']
        self.supervisor('start', 'database')
        for path in ('database', 'c2s', 'router', 'system monitor'):
            self.assertEqual(self.down(), [])
            self.server.login('romeo@localhost/b').close()
            self.supervisor('restart', path)
        self.assertEqual(self.server.control('status')['server_pid'], pid)

    def test_what_is_refused(self):
        for action in 'stop', 'start', 'restart':
            self.assertIn('linnetctl speaks through it',
                          self.refused(FAILED, 'supervisor', action, 'control'))
            for path in 'nobody', 'hosts/nobody', 'nobody/at/all', 'c2s/shard0', '':
                self.assertIn("there is no child '%s'" % path,
                              self.refused(FAILED, 'supervisor', action, path))
            self.refused(FAILED, 'supervisor', action)
        self.assertIn('up already', self.refused(FAILED, 'supervisor', 'start', 'hosts/localhost'))
        self.refused(FAILED, 'supervisor', 'forest')
        self.assertEqual(self.down(), [])

    def test_a_reload_and_the_tree_agree(self):
        more = free_port()
        self.supervisor('stop', self.port_row(self.server.plain_port))
        self.supervisor('stop', 'hosts/localhost')
        self.server.write_settings('''
hosts: [localhost, new.example]
modules: {mod_auth_internal: {}, mod_ping: {}, mod_echo: {}}
listen:
  - {port: ${port}, ip: 127.0.0.1, starttls: true}
  - {port: ${plain_port}, ip: 127.0.0.1, starttls: false, starttls_required: false}
  - {port: %d, ip: 127.0.0.1, starttls: true}
''' % more)
        self.done('reload')
        tree = self.tree()
        self.assertEqual(self.down(), [], 'what had been stopped is there again')
        self.assertEqual({path for path in tree if re.fullmatch('(hosts|listener)/[^/]*', path)},
                         {'hosts/localhost', 'hosts/new.example', self.port_row(self.server.port),
                          self.port_row(self.server.plain_port), self.port_row(more)})
        self.assertEqual(tree['hosts/new.example/modules']['holds'], 3)
        self.assertIn('hosts/localhost/modules/echo', tree)
        self.assertNotIn('hosts/localhost/modules/disco', tree)
        self.supervisor('restart', 'hosts/new.example')
        self.supervisor('stop', self.port_row(more))
        self.assertTrue(refused(more))
        self.supervisor('restart', 'hosts')
        self.server.login('romeo@localhost/a').close()
        self.assertEqual(self.down(), [], 'a supervisor that starts anew starts all')


class Failing(TreeCase):
    def setUp(self):
        self.server = frail.FrailServer()
        self.server.allowed_errors = ['part=supervisor', 'part=clerk']
        self.server.__enter__()
        self.addCleanup(self._end)
        self.ctl = Console(self.server)
        self.romeo = self.server.login('romeo@localhost/a')
        self.juliet = self.server.login('juliet@other.example/a')
        self.addCleanup(self.romeo.close)
        self.addCleanup(self.juliet.close)

    def ask(self, what, *attributes):
        self.romeo.send("<iq type='set' id='f' to='localhost'><query xmlns='urn:test:%s' %s/></iq>"
                        % (what, ' '.join(attributes)))
        self.romeo.expect("<iq type='result' id='f'/>")

    def others_are_served(self):
        self.juliet.send("<message to='juliet@other.example/a' id='t'/>")
        self.juliet.expect("<message from='juliet@other.example/a' id='t'/>")

    def child(self, name):
        return self.tree().get('%s/frail.%s' % (PROCESSES, name), {'restarts': 0, 'state': ''})

    def restarted(self, name, times):
        self.until(lambda: self.child(name)['restarts'] == times
                   and self.child(name)['state'] == 'up')

    def logged(self, text):
        """Lines are written in bunches."""
        self.until(lambda: text in self.server.log())

    def abandoned(self):
        """A metric is there once it counts something."""
        found = re.search(r'(?m)^linnet_supervisor_abandoned_total (\d+)$',
                          self.server.control('metrics'))
        return int(found[1]) if found else 0

    def test_an_actor_that_returns_an_error(self):
        """It is restarted, and nobody else with it."""
        for times in 1, 2:
            self.ask('annoy')
            self.restarted('clerk', times)
        self.logged('child=frail.clerk reason="a bad day"')
        self.assertEqual(self.child('watch')['restarts'], 0)
        self.others_are_served()

    def test_a_thread_that_hangs(self):
        """It misses a heartbeat and is restarted."""
        self.ask('freeze')
        self.restarted('watch', 1)
        self.logged('child=frail.watch reason="missed a heartbeat"')
        self.assertEqual(self.abandoned(), 0)
        self.others_are_served()

    def test_a_thread_that_cannot_be_stopped(self):
        """It is abandoned, another has its place, and the server goes on."""
        self.ask('freeze', "deaf='yes'")
        self.restarted('watch', 1)
        self.logged('what="abandoned what does not end" child=frail.watch kind=thread')
        self.assertEqual(self.abandoned(), 1)
        self.others_are_served()
        self.supervisor('restart', 'hosts/localhost')
        self.assertEqual(self.down(), [])

    def test_a_process_that_dies_again_and_again(self):
        """Its supervisor gives up, the next one up starts all of the host's modules anew; other
        hosts do not notice."""
        modules = 'hosts/localhost/modules'
        self.server.script('sleep 0.2; exit 3')
        self.server.control('supervisor', action='restart', path='%s/frail.script' % PROCESSES)
        self.romeo.wait_for_end()
        self.until(lambda: self.tree()[modules]['restarts'] == 1)
        self.server.script('exec sleep 1000')
        self.until(lambda: self.tree()[PROCESSES]['restarts'] == 1 and not self.down())
        self.logged('child=frail.script reason="exit status 3"')
        self.logged('what="gives up: too many restarts" child=frail.script')
        self.assertEqual(self.tree()['hosts/localhost']['restarts'], 0)
        self.others_are_served()
        self.server.login('romeo@localhost/b').close()

    def test_a_module_that_does_not_start(self):
        """Asked for: the operator is told; the host stays down, the others up."""
        self.server.broken(0)
        self.assertIn('not all of it has started',
                      self.refused(FAILED, 'supervisor', 'restart', 'hosts/localhost'))
        self.logged('frail did not start on localhost: Operation not permitted')
        self.assertEqual(self.down(), ['hosts/localhost'])
        self.others_are_served()
        self.server.mended()
        self.supervisor('start', 'hosts/localhost')
        self.server.login('romeo@localhost/b').close()

    def test_a_tree_that_cannot_mend_itself(self):
        """A module that does not start any more: supervisor by supervisor gives up, then the
        server, and the monitor starts another."""
        pid = self.server.serving_pid()
        self.server.allowed_errors += ['part=linnetd what="ends, as its parts do not stay up"',
                                       'the server died and was started again']
        self.server.broken(pid)
        self.server.script('exit 3')
        self.server.control('supervisor', action='restart', path='%s/frail.script' % PROCESSES)
        self.juliet.wait_for_end()
        self.server.script('exec sleep 1000')
        self.until(lambda: 'restarts=1' in self.server.log().partition('ended_by=')[2])
        self.assertIn('ended_by="status 1"', self.server.log())
        self.server._wait_until_up()
        self.assertNotEqual(self.server.serving_pid(), pid)
        self.assertEqual(self.down(), [])
        self.server.login('romeo@localhost/b').close()


class Starting(unittest.TestCase):
    def test_with_a_module_that_does_not_start(self):
        """It says why, and that is it."""
        server = frail.FrailServer()
        server.allowed_errors = ['part=supervisor what="a child did not start"']
        try:
            server.broken(0)
            with self.assertRaises(Failure) as raised:
                server.start()
            self.assertIn('status 1', str(raised.exception))
            self.assertRegex(server.log(), r'(?m)^linnetd: .*linnet\.yml:\d+:\d+: '
                                           r'frail did not start on localhost: Operation not')
            self.assertFalse(os.path.exists(server.path('control')))
            server.mended()
            server.start()
            server.stop()
        finally:
            server.kill()
            server.clean()


main()
