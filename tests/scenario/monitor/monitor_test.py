#!/usr/bin/python3
"""The monitor: a server that is killed or crashes is there again, and nobody was refused meanwhile."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

from harness.case import main
from harness.connection import WAIT_S, Failure
from harness.server import LINNETD, Server, free_port

DIED = r'what="the server died and was started again"'
CLIENTS = 50
RESTARTS = 5        # of cmd/linnetd_monitor.h


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(is_so, seconds=WAIT_S):
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def freeze(pid):
    """Returns when no thread of it runs any more, so that none can accept what comes now."""
    def frozen():
        for task in os.listdir('/proc/%d/task' % pid):
            with open('/proc/%d/task/%s/stat' % (pid, task), encoding='ascii') as f:
                if f.read().rpartition(')')[2].split()[0] != 'T':
                    return False
        return True

    os.kill(pid, signal.SIGSTOP)
    if not until(frozen):
        raise Failure('process %d cannot be stopped' % pid)


class Monitored(Server):
    """Its server may die."""

    def __init__(self, over='', accounts=()):
        super().__init__(over, accounts)
        self.allowed_errors = [DIED]

    def end_server(self, signo=signal.SIGKILL):
        """Returns when the process is gone; another has its place, or will have."""
        pid = self.children()[0]
        os.kill(pid, signo)
        if not until(lambda: pid not in self.children()):
            raise Failure('the server lives on after signal %d' % signo)


class Killed(unittest.TestCase):
    def test_everybody_comes_back_and_talks(self):
        """SIGKILL while fifty clients talk: each connects once more, without a pause or a second
        attempt, is served and gets what it sends to itself."""
        jids = ['user%d@localhost' % n for n in range(CLIENTS)]
        with Monitored(accounts=[(jid, None) for jid in jids]) as server:
            clients = [server.login(jid + '/r', tls='none') for jid in jids]
            talking = threading.Event()

            def talk():
                while not talking.is_set():
                    for client, jid in zip(clients, jids):
                        try:
                            client.send("<message to='%s/r'/>" % jid)
                        except (OSError, Failure):
                            return

            talker = threading.Thread(target=talk)
            talker.start()
            server.end_server()
            killed = time.monotonic()
            talking.set()
            talker.join()
            first = None
            for client in clients:
                client.close()
            for jid in jids:
                client = server.login(jid + '/r', tls='none')
                first = first or time.monotonic() - killed
                client.send("<message to='%s/r' id='again'/>" % jid)
                client.expect("<message from='%s/r' id='again'/>" % jid)
                client.close()
            print('first login %.0f ms after the end of the server' % (first * 1000), flush=True)

    def test_who_connects_meanwhile_waits(self):
        """The port never refuses: connections made while no server is there are served by the
        next."""
        with Monitored(accounts=[('romeo@localhost', None)]) as server:
            pid = server.children()[0]
            freeze(pid)
            early = [socket.create_connection(('127.0.0.1', server.plain_port)) for _ in range(20)]
            os.kill(pid, signal.SIGKILL)
            late = [socket.create_connection(('127.0.0.1', server.plain_port)) for _ in range(20)]
            for s in early + late:
                s.settimeout(WAIT_S)
                s.sendall(b"<stream:stream xmlns='jabber:client' to='localhost' version='1.0' "
                          b"xmlns:stream='http://etherx.jabber.org/streams'>")
            for s in early + late:
                self.assertTrue(s.recv(65536).startswith(b'<?xml'))
                s.close()
            self.assertTrue(until(lambda: 'restarts=1' in server.log()), server.log())
            self.assertIn('ended_by="signal 9 (Killed)"', server.log())

    def test_more_often_than_it_may(self):
        """RESTARTS times it comes back, once more and the monitor gives up."""
        with Server() as server:
            server.allowed_errors = [DIED]
            for n in range(1, RESTARTS + 1):
                before = server.children()
                os.kill(before[0], signal.SIGKILL)
                self.assertTrue(until(lambda: 'restarts=%d' % n in server.log()), n)
                self.assertTrue(until(server.is_up))
            os.kill(server.children()[0], signal.SIGKILL)
            self.assertEqual(server.process.wait(WAIT_S), 128 + signal.SIGKILL)
            self.assertIn('giving up', server.log())
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(('127.0.0.1', server.port))
            with self.assertRaises(Failure):    # it has ended by itself
                server.stop()
            server.start()

    def test_the_monitor(self):
        """With nobody to hold its ports the server ends as if asked to."""
        with Server() as server:
            pid = server.children()[0]
            client = server.connect(port=server.plain_port)
            server.process.kill()
            server.process.wait()
            client.wait_for_end()
            self.assertTrue(until(lambda: not alive(pid)))
            server.start()


class Crashed(unittest.TestCase):
    @unittest.skipIf('asan' in LINNETD or 'tsan' in LINNETD, 'the sanitizer handles it')
    def test_calls_are_written_down(self):
        with Monitored('log_file: ${dir}/log') as server:
            server.end_server(signal.SIGSEGV)
            self.assertTrue(until(server.is_up))
            with open(server.path('log'), encoding='utf-8') as f:
                log = f.read()
            for text in log, server.log():
                self.assertRegex(text, r'linnetd: crash: signal 11 in thread linnetd, process \d+\n'
                                       r'(.*\(.*\)\[0x[0-9a-f]+\]\n){3}')
            self.assertTrue(until(lambda: re.search(DIED, open(server.path('log')).read())))
            self.assertIn('ended_by="signal 11 (Segmentation fault)"', open(server.path('log')).read())


class Lives(unittest.TestCase):
    def test_asked_to_end(self):
        """By whatever way, it is not started again."""
        for end in (lambda s: s.process.send_signal(signal.SIGTERM),
                    lambda s: s.process.send_signal(signal.SIGINT),
                    lambda s: os.kill(s.children()[0], signal.SIGTERM),
                    lambda s: s.control('stop')):
            with Server() as server:
                end(server)
                self.assertEqual(server.process.wait(WAIT_S), 0)
                self.assertEqual(server.bad_lines(), [])
                server.start()

    def test_asked_to_end_while_it_starts(self):
        """As soon as there is a server it can be told to end, and ends well."""
        with Server() as server:
            server.stop()
            for _ in range(20):
                server._spawn()
                self.assertTrue(until(server.children))
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(server.process.wait(WAIT_S), 0)
            server.start()

    def test_a_server_that_cannot_start(self):
        with Server() as server:
            done = subprocess.run(server.command(), cwd=server.dir, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  timeout=WAIT_S, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.count('cannot be opened'), 1, 'tried once')

    def test_signals_go_to_the_one_in_the_pid_file(self):
        with Monitored('pid_file: ${dir}/pid') as server:
            self.assertTrue(until(lambda: os.path.exists(server.path('pid'))))
            with open(server.path('pid'), encoding='ascii') as f:
                self.assertEqual(int(f.read()), server.process.pid)
            server.end_server()
            self.assertTrue(until(server.is_up))
            server.process.send_signal(signal.SIGHUP)
            self.assertTrue(until(lambda: 'what=reloaded' in server.log()), server.log())
            with open(server.path('pid'), encoding='ascii') as f:
                self.assertEqual(int(f.read()), server.process.pid)
        self.assertFalse(os.path.exists(server.path('pid')))

    def test_no_monitor(self):
        class Alone(Server):
            def command(self):
                return [*super().command(), '--no-monitor']

        with Alone() as server:
            self.assertEqual(server.children(), [])
            self.assertEqual(server.control('status')['pid'], server.process.pid)


class Ports(unittest.TestCase):
    def test_a_port_that_a_reload_closed_stays_closed(self):
        """And one that it opened is kept like those of the start."""
        more = free_port()
        entry = '''
listen:
  - {port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s, starttls: true}
  - {port: %d, ip: 127.0.0.1, module: ejabberd_c2s, starttls: true}
''' % more
        with Monitored() as server:
            old = server.plain_port
            server.write_settings(entry)
            server.control('reload')
            self.assertRaises(ConnectionRefusedError, socket.create_connection, ('127.0.0.1', old))
            pid = server.children()[0]
            freeze(pid)
            waiting = socket.create_connection(('127.0.0.1', more))
            os.kill(pid, signal.SIGKILL)
            waiting.settimeout(WAIT_S)
            waiting.sendall(b'no XML')
            self.assertTrue(waiting.recv(1000).startswith(b'<?xml'))
            waiting.close()
            self.assertRaises(ConnectionRefusedError, socket.create_connection, ('127.0.0.1', old))

    def test_a_port_that_the_settings_lost_meanwhile(self):
        """What the next server does not want is closed."""
        entry = '''
listen:
  - {port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s, starttls: true}
'''
        with Monitored() as server:
            old = server.plain_port
            server.write_settings(entry)
            server.end_server()
            self.assertTrue(until(server.is_up))
            def refused():
                try:
                    socket.create_connection(('127.0.0.1', old)).close()
                except ConnectionRefusedError:
                    return True
                return False
            self.assertTrue(until(refused))


main()
