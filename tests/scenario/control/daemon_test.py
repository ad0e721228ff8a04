#!/usr/bin/python3
"""How linnetd starts and ends, for shells, init scripts and systemd: docs/operations.md."""

import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.connection import Failure  # noqa: E402
from harness.console import NO_SERVER, Console, ConsoleCase, main  # noqa: E402
from harness.server import LINNETD, STOP_S, Server  # noqa: E402


def gone(pid):
    """Waits for the end of a process that is nobody's child here."""
    deadline = time.monotonic() + STOP_S
    while os.path.exists('/proc/%d' % pid):
        if time.monotonic() > deadline:
            raise Failure('process %d does not end' % pid)
        time.sleep(0.01)


class Background(ConsoleCase):
    """The server of ConsoleCase holds what a second one must not get."""

    def setUp(self):
        super().setUp()
        self.second = Server('log_file: ${dir}/linnet.log\npid_file: ${dir}/linnet.pid')
        self.second.write_settings(self.second.over)
        self.addCleanup(self.second.clean)

    def start(self, *options):
        return subprocess.run([LINNETD, '--config', self.second.path('linnet.yml'), *options],
                              cwd='/', capture_output=True, text=True, timeout=60, check=False)

    def pid(self, name='linnet.pid'):
        with open(self.second.path(name), encoding='ascii') as f:
            return int(f.read())

    def test_returns_when_it_is_up(self):
        started = self.start()
        self.assertEqual((started.returncode, started.stdout, started.stderr), (0, '', ''))
        pid = self.pid()
        self.addCleanup(lambda: os.path.exists('/proc/%d' % pid) and os.kill(pid, signal.SIGKILL))
        console = Console(self.second)
        self.assertEqual(console.json('status')['pid'], pid)
        self.assertEqual(os.getsid(pid) == os.getsid(0), False)
        console.json('stop')
        gone(pid)
        self.assertEqual(console.run('status').returncode, NO_SERVER)
        self.assertFalse(os.path.exists(self.second.path('linnet.pid')))

    def test_an_upgrade_stays_in_the_background(self):
        """As the same process, by the same pid file, from whatever folder."""
        self.assertEqual(self.start().returncode, 0)
        pid = self.pid()
        self.addCleanup(lambda: os.path.exists('/proc/%d' % pid) and os.kill(pid, signal.SIGKILL))
        console = Console(self.second)
        old = console.json('status')['server_pid']
        printed = console.run('upgrade')
        self.assertEqual(printed.returncode, 0, printed.stderr)
        self.assertIn('paused ms: ', printed.stdout)
        gone(old)
        status = console.json('status')
        self.assertEqual((status['pid'], self.pid()), (pid, pid))
        self.assertNotEqual(status['server_pid'], old)
        console.json('stop')
        gone(pid)
        self.assertFalse(os.path.exists(self.second.path('linnet.pid')))

    def test_option_wins_over_setting(self):
        self.assertEqual(self.start('--pid-file', self.second.path('other.pid')).returncode, 0)
        pid = self.pid('other.pid')
        self.assertFalse(os.path.exists(self.second.path('linnet.pid')))
        os.kill(pid, signal.SIGTERM)
        gone(pid)

    def fails(self, over, reason):
        self.second.write_settings(self.second.over + '\n' + over)
        started = self.start()
        self.assertEqual((started.returncode, started.stdout), (1, ''))
        self.assertIn(reason, started.stderr)
        self.assertFalse(os.path.exists(self.second.path('linnet.pid')))

    def test_says_why_it_did_not_start(self):
        self.fails('shards: many', 'linnet.yml:')
        self.fails('listen: [{port: %d, ip: 127.0.0.1, starttls: false}]' % self.server.port,
                   'port %d: Address already in use' % self.server.port)
        self.fails('control_socket: ' + self.server.path('control'), 'another server answers there')
        self.fails('database: none/linnet.db', 'none/linnet.db')


class Systemd(ConsoleCase):
    """Type=notify."""

    def setUp(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(STOP_S)
        self.socket.bind('\0linnet-test-%d' % os.getpid())
        self.addCleanup(self.socket.close)
        os.environ['NOTIFY_SOCKET'] = '@linnet-test-%d' % os.getpid()
        self.addCleanup(os.environ.pop, 'NOTIFY_SOCKET')
        super().setUp()

    def told(self):
        return self.socket.recv(1000).decode()

    def test_told_of_start_reload_and_end(self):
        self.assertEqual(self.told(), 'READY=1')
        os.kill(self.server.process.pid, signal.SIGHUP)
        self.assertRegex(self.told(), r'^RELOADING=1\nMONOTONIC_USEC=\d+$')
        self.assertEqual(self.told(), 'READY=1')
        self.server.stop()
        self.assertEqual(self.told(), 'STOPPING=1')
        self.server.start()


if __name__ == '__main__':
    main()
