"""linnetd (or a peer to compare with) in a folder of its own, for one test.

Ports are taken from below the kernel's range for outgoing connections, so that no client of
another test that runs at the same time can sit on one.
"""

import json
import os
import random
import re
import select
import shutil
import signal
import socket
import string
import subprocess
import tempfile
import time

from . import settings
from .connection import WAIT_S, Connection, Failure

SUPPORT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TREE = os.path.dirname(os.path.dirname(SUPPORT))
LINNETD = os.environ.get('LINNETD', os.path.join(TREE, 'build', 'linnetd'))
START_S = 30
STOP_S = 30
DOMAINS = ('localhost', 'other.example')


def password_of(jid):
    """The password of an account that no test gave another one."""
    return 'secret of ' + jid.partition('@')[0]


_taken = []     # one socket for each port of this process's, held until it ends


def _take(port):
    mine = socket.socket(socket.AF_UNIX)
    try:
        mine.bind('\0linnet-test-port-%d' % port)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(('127.0.0.1', port))
    except OSError:
        mine.close()
        return False
    _taken.append(mine)
    return True


def _watch(pid):
    """A descriptor that is readable once the process has ended; None when it is gone already."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def free_port(in_a_row=1):
    """Nobody listens there, and no other test that runs now has been given it. The first of so
    many in a row."""
    while True:
        port = random.randint(20000, 32000)
        if all(_take(port + n) for n in range(in_a_row)):
            return port


def make_certificate(path, domain, alternative='DNS:%s'):
    """Self-signed, so that it is its own authority; key and certificate in one file."""
    key = path + '.key'
    subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-sha256',
         '-nodes', '-days', '2', '-subj', '/CN=' + domain, '-addext', 'subjectAltName=' + alternative % domain,
         '-keyout', key, '-out', path],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with open(key, encoding='ascii') as k, open(path, 'a', encoding='ascii') as out:
        out.write(k.read())
    os.remove(key)


class Server:
    """settings: YAML laid over settings.yml. Use it as `with Server() as server`."""

    program, software = 'linnetd', 'Linnet'

    def __init__(self, over='', accounts=()):
        self.over = over
        self.accounts = list(accounts)  # (bare JID, password)
        self.allowed_errors = []        # regular expressions for log lines that may be errors
        self.process = None
        self.dir = tempfile.mkdtemp(prefix='linnet-test-')
        for domain in DOMAINS:
            make_certificate(self.path(domain + '.pem'), domain)
        with open(self.path('ca.pem'), 'w', encoding='ascii') as ca:
            for domain in DOMAINS:
                with open(self.path(domain + '.pem'), encoding='ascii') as pem:
                    ca.write(pem.read().partition('-----BEGIN PRIVATE')[0])
        self.port, self.tls_port, self.plain_port = free_port(), free_port(), free_port()
        self.component_port = free_port()   # for those whose settings listen there
        self.s2s_port, self.s2s_tls_port = free_port(), free_port()     # where a test's settings say

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.kill()
        else:
            self.stop()
        self.clean()

    def path(self, name):
        return os.path.join(self.dir, name)

    def fill_in(self, text):
        return string.Template(text).safe_substitute(
            dir=self.dir, port=self.port, tls_port=self.tls_port, plain_port=self.plain_port,
            component_port=self.component_port, s2s_port=self.s2s_port,
            s2s_tls_port=self.s2s_tls_port)

    # Life.

    def start(self):
        self.write_settings(self.over)
        self._spawn()
        self._wait_until_up()
        for jid, password in self.accounts:
            self.register(jid, password)

    def again(self):
        """The next server on what the last one has left behind."""
        self._spawn()
        self._wait_until_up()

    def write_settings(self, over):
        with open(os.path.join(SUPPORT, 'settings.yml'), encoding='utf-8') as f:
            base = f.read()
        with open(self.path('linnet.yml'), 'w', encoding='utf-8') as f:
            f.write(self.fill_in(settings.merge(base, over)) + '\n')

    def command(self):
        return [LINNETD, '--foreground', '--config', self.path('linnet.yml')]

    def _spawn(self):
        environ = dict(os.environ)
        environ.setdefault('ASAN_OPTIONS', 'exitcode=99:detect_leaks=1:quarantine_size_mb=16')
        environ.setdefault('UBSAN_OPTIONS', 'exitcode=99:print_stacktrace=1')
        with open(self.path('stderr'), 'ab') as stderr:
            self.process = subprocess.Popen(self.command(), cwd=self.dir, env=environ,
                                            stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)

    def _wait_until_up(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure('%s ended at its start with status %d:\n%s'
                              % (self.program, self.process.returncode, self.log()))
            if self.is_up():
                return
            time.sleep(0.01)
        raise Failure('%s did not come up in %d s:\n%s' % (self.program, START_S, self.log()))

    def is_up(self):
        """Asked again and again at the start. Commands are answered once all is there."""
        try:
            socket.create_connection(('127.0.0.1', self.port), timeout=WAIT_S).close()
            self.control('hosts')
            return True
        except (ConnectionError, FileNotFoundError, json.JSONDecodeError):
            return False

    def stop(self):
        """Stops it as an operator would, and fails if it did not live and end well."""
        died = self.process.poll()
        if died is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure('%s did not stop in %d s:\n%s' % (self.program, STOP_S, self.log())) from None
        if died is not None:
            raise Failure('%s ended by itself, status %d:\n%s' % (self.program, died, self.log()))
        if status:
            raise Failure('%s stopped with status %d:\n%s' % (self.program, status, self.log()))
        bad = self.bad_lines()
        if bad:
            raise Failure('%s complained:\n%s' % (self.program, '\n'.join(bad)))

    def kill(self):
        if self.process and self.process.poll() is None:
            below = self.children()
            ends = [end for end in map(_watch, below) if end is not None]
            # The monitor would start the server again, the server end well without its monitor.
            for pid, signo in [*((pid, signal.SIGSTOP) for pid in below),
                               *((pid, signal.SIGKILL) for pid in [self.process.pid, *below])]:
                try:
                    os.kill(pid, signo)
                except ProcessLookupError:
                    pass
            self.process.wait()
            for end in ends:        # its sockets are open until then, and reset who connects
                select.select([end], [], [])
                os.close(end)

    def clean(self):
        if os.environ.get('PLAY_KEEP'):
            print('kept:', self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    # What can be known from outside.

    def log(self):
        with open(self.path('stderr'), encoding='utf-8', errors='backslashreplace') as f:
            return f.read()

    def bad_lines(self):
        """Error lines and sanitizers' reports that no test allowed."""
        bad = re.compile(r'level=error|Sanitizer|runtime error:|Assertion')
        return [line for line in self.log().splitlines() if bad.search(line)
                and not any(re.search(allowed, line) for allowed in self.allowed_errors)]

    def children(self):
        """The process ids below the one that was started: the monitor runs the server as a child."""
        found = []
        for task in os.listdir('/proc/%d/task' % self.process.pid):
            with open('/proc/%d/task/%s/children' % (self.process.pid, task), encoding='ascii') as f:
                found += [int(pid) for pid in f.read().split()]
        return found

    def serving_pid(self):
        return (self.children() or [self.process.pid])[0]

    def resident_bytes(self):
        with open('/proc/%d/statm' % self.serving_pid(), encoding='ascii') as f:
            return int(f.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

    # The operator's side.

    def control(self, name, **args):
        """One command over the control socket; its result. Fails with the server's reason."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(START_S)
            s.connect(self.path('control'))
            s.sendall(json.dumps({'command': name, 'args': args}).encode() + b'\n')
            with s.makefile('rb') as lines:
                answer = json.loads(lines.readline())
        if 'error' in answer:
            raise Failure('the command %s failed: %s' % (name, answer['error']))
        return answer.get('result')

    def register(self, jid, password=None):
        user, _, host = jid.partition('@')
        self.control('register', user=user, host=host, password=password or password_of(jid))

    # Clients.

    def connect(self, name='client', port=None, source=None, record=None):
        return Connection(('127.0.0.1', port or self.port), name, source, self.path('ca.pem'), record)

    def login(self, jid, password=None, mechanism=None, tls='starttls', source=None, record=None):
        """A client with a resource."""
        bare, _, resource = jid.partition('/')
        port = {'direct': self.tls_port, 'starttls': self.port, 'none': self.plain_port}[tls]
        client = self.connect(resource or bare, port, source, record)
        client.login(jid, password or password_of(bare), mechanism, tls)
        return client
