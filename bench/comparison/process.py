"""A program in a process group of its own, started, waited for and stopped by its id."""

import ctypes
import os
import signal
import socket
import subprocess
import time

from . import Failure

START_S = 60
STOP_S = 15
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _end_with_parent():
    """Also when the comparison is killed, nothing that it started stays behind."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def port_is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(('127.0.0.1', port))
        except OSError:
            return False
    return True


def port_listens(port):
    """Without connecting: the relay would take us for a client."""
    with open('/proc/net/tcp', encoding='ascii') as f:
        sockets = [line.split() for line in f]
    return any(s[1].endswith(':%04X' % port) and s[3] == '0A' for s in sockets[1:])


class Process:
    """What it says goes to the file `output`."""

    def __init__(self, name, command, output, environ=None, cwd=None):
        self.name, self.output = name, output
        with open(output, 'ab') as out:
            self.popen = subprocess.Popen(
                command, cwd=cwd, env=dict(os.environ, **(environ or {})), stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True, preexec_fn=_end_with_parent)

    @property
    def pid(self):
        return self.popen.pid

    def wait_until(self, is_ready):
        deadline = time.monotonic() + START_S
        while not is_ready():
            if self.popen.poll() is not None:
                raise Failure('%s ended at its start with status %d:\n%s'
                              % (self.name, self.popen.returncode, self.said()))
            if time.monotonic() > deadline:
                raise Failure('%s did not start within %d s:\n%s'
                              % (self.name, START_S, self.said()))
            time.sleep(0.05)

    def said(self):
        with open(self.output, encoding='utf-8', errors='replace') as f:
            return f.read()[-2000:]

    def stop(self):
        """SIGTERM, and SIGKILL for it and what it started when that does not help."""
        self.popen.terminate()
        try:
            self.popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()
