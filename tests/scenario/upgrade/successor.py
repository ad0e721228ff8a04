#!/usr/bin/python3
"""A program that linnetctl upgrade may start: it stands between the old server and a real new one,
and spoils what it is told to by its name, successor-WHAT. core/handover.h and core/record.h have
the form of what passes."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time

LINNETD = '@LINNETD@'


def exactly(sock, n, fds):
    data = b''
    while len(data) < n:
        got, came, _, _ = socket.recv_fds(sock, n - len(data), 1)
        if not got:
            raise EOFError
        data += got
        fds.extend(came)
    return data


class Record:
    """name and version; fields is what follows, as bytes."""

    def __init__(self, data, fds):
        self.fds = fds
        n = struct.unpack_from('<I', data, 1)[0]
        self.name = data[5:5 + n].decode()
        self.version = struct.unpack_from('<Q', data, 5 + n + 2)[0]
        self.fields = data[5 + n + 10:]

    def bytes(self):
        name = self.name.encode()
        return (b'b' + struct.pack('<I', len(name)) + name + b'\0n' +
                struct.pack('<Q', self.version) + self.fields)

    @staticmethod
    def take(sock):
        fds = []
        n = struct.unpack('=I', exactly(sock, 4, fds))[0]
        return Record(exactly(sock, n, fds), fds)

    def give(self, sock):
        data = self.bytes()
        socket.send_fds(sock, [struct.pack('=I', len(data))], self.fds)
        sock.sendall(data)
        for fd in self.fds:
            os.close(fd)


class Relay:
    def __init__(self):
        _, _, channel, _ = os.environ.pop('LINNET_TAKES_OVER').split()
        self.old = socket.socket(fileno=int(channel))
        self.old.setblocking(True)
        self.new, theirs = socket.socketpair()
        self.keep, keep = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept = [int(line.split()[0]) for line in os.environ['LINNET_KEPT'].splitlines()]
        environ = dict(os.environ, LINNET_TAKES_OVER='%d %d %d 0' % (
            os.getpid(), keep.fileno(), theirs.fileno()))
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self.child = subprocess.Popen([LINNETD, *sys.argv[1:]], env=environ,
                                      pass_fds=[keep.fileno(), theirs.fileno(), *kept])
        theirs.close()

    def die(self):
        self.child.kill()
        self.child.wait()
        os._exit(1)

    def to_old(self):
        r = Record.take(self.new)
        r.give(self.old)
        return r.name

    def to_new(self, change=lambda r: None):
        r = Record.take(self.old)
        change(r)
        r.give(self.new)
        return r.name


def dies_early(relay):
    relay.die()


def dies_while_taking(relay):
    relay.to_old()
    for _ in range(5):
        relay.to_new()
    relay.die()


def dies_when_told_to_go(relay):
    """Just before the last step: nobody reads what the old server says then."""
    relay.to_old()
    while relay.to_new() != 'sent':
        pass
    r = Record.take(relay.new)
    relay.child.kill()
    relay.child.wait()
    relay.old.shutdown(socket.SHUT_RD)
    r.give(relay.old)
    os._exit(1)


def knows_no_version(relay):
    """In its first words."""
    r = Record.take(relay.new)
    at = r.fields.index(b'b\3\0\0\0c2s\0') + 9
    r.fields = r.fields[:at] + b'n' + struct.pack('<Q', 7) + b'n' + struct.pack('<Q', 9) + r.fields[at + 18:]
    r.give(relay.old)
    time.sleep(60)


def finds_an_unknown_version(relay):
    """What the real server says to a record of the future."""
    def change(r):
        if r.name == 'c2s':
            r.version = 99

    relay.to_old()
    relay.to_new(change)
    assert relay.to_old() == 'refused'
    time.sleep(60)


def cannot_make_one(relay):
    """The first stream's record is damaged: that one stays behind, the others go."""
    damaged = []

    def change(r):
        if r.name == 'c2s' and not damaged:
            damaged.append(r)
            r.fields = r.fields[:-8]

    relay.to_old()
    while relay.to_new(change) != 'sent':
        pass
    relay.to_old()          # taken
    relay.die()


def hangs(relay):
    time.sleep(60)


def hangs_while_taking(relay):
    relay.to_old()
    relay.to_new()
    time.sleep(60)


def main():
    what = os.path.basename(sys.argv[0]).partition('-')[2]
    if '--check' in sys.argv:
        if what == 'check':
            sys.exit('linnet.yml:1:1: not to its taste')
        return
    globals()[what](Relay())


main()
