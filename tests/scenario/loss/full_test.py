#!/usr/bin/python3
"""The disk is full: what was acknowledged (XEP-0198) is stored, everything else is told to its sender,
and when there is room again the server goes on as if nothing had been."""

import os
import re
import subprocess
import tempfile
import time
import unittest

from harness.case import main
from harness.server import Server

SM = "xmlns='urn:xmpp:sm:3'"
BODY = 'x' * 30000
ROUND = 20              # messages between two looks at what the server says
ROUNDS_MAX = 60
DISK_BYTES = 32 << 20     # half of it the spool takes at its start
SETTINGS = '''
database: {path: '%s/linnet.db', synchronous: full}
modules: {mod_auth_internal: {}, mod_offline: {max_user_messages: 100000}, mod_ping: {}}
'''


class Disk:
    """A small file system of its own; where mounting is not allowed, a folder with a database that may
    not grow past the same size."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix='linnet-disk-')
        self.mounted = not subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', 'size=%d' % DISK_BYTES, 'tmpfs', self.path],
            check=False, stderr=subprocess.DEVNULL).returncode

    def settings(self, room=False):
        if self.mounted:
            return SETTINGS % self.path
        size = DISK_BYTES * (4 if room else 1)
        return SETTINGS.replace('full}', 'full, max_size: %d}' % size) % self.path

    def make_room(self):
        if self.mounted:
            subprocess.run(['mount', '-o', 'remount,size=%d' % (DISK_BYTES * 4), self.path], check=True)

    def end(self):
        if self.mounted:
            subprocess.run(['umount', self.path], check=True)
        subprocess.run(['rm', '-r', self.path], check=True)


class Sender:
    """Numbers its messages, and knows of each what the server has said."""

    def __init__(self, client):
        self.client = client
        self.sent = 0               # stanzas since <enable/>
        self.number_of = {}         # of the stanza: of the message
        self.acked = 0
        self.refused = set()        # numbers
        client.send('<enable %s/>' % SM)
        client.expect('<enabled %s/>' % SM)

    def send(self, count):
        for _ in range(count):
            number = len(self.number_of)
            self.sent += 1
            self.number_of[self.sent] = number
            self.client.send("<message type='chat' id='%d' to='juliet@localhost'><body>%s</body></message>"
                             % (number, BODY))

    def hear(self):
        """All that is said up to the answer to a ping that was sent last."""
        self.sent += 1
        self.client.send("<iq type='get' id='ping' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"
                         "<r %s/>" % SM)
        pong = False
        while not pong or self.acked < self.sent:
            s = self.client.stanza()
            if s.name == 'a':
                self.acked = int(s.get('h'))
            elif s.name == 'iq':
                pong = True
            elif s.name == 'message' and s.get('type') == 'error':
                self.refused.add(int(s.get('id')))

    def accepted(self):
        return sorted(n for stanza, n in self.number_of.items()
                      if stanza <= self.acked and n not in self.refused)


class Full(unittest.TestCase):
    def setUp(self):
        self.disk = Disk()
        self.addCleanup(self.disk.end)

    def test_nothing_is_acknowledged_that_is_not_stored(self):
        server = Server(self.disk.settings(), [('romeo@localhost', None), ('juliet@localhost', None)])
        server.allowed_errors = ['.*']      # it says so, and often
        with server:
            sender = Sender(server.login('romeo@localhost/r', tls='none'))
            for _ in range(ROUNDS_MAX):
                sender.send(ROUND)
                sender.hear()
                if sender.refused:
                    break
            self.assertTrue(sender.refused, 'the disk was never full')
            before = len(sender.refused)
            sender.send(ROUND)
            sender.hear()
            self.assertGreater(len(sender.refused), before, 'it is full still')
            self.disk.make_room()
            if not self.disk.mounted:
                server.write_settings(self.disk.settings(room=True))
                server.kill()
                server.again()
                sender_again = Sender(server.login('romeo@localhost/r', tls='none'))
            else:
                sender_again = sender
            served = len(sender_again.accepted())
            for _ in range(ROUNDS_MAX):     # it looks once a second
                sender_again.send(1)
                sender_again.hear()
                if len(sender_again.accepted()) > served:
                    break
                time.sleep(0.1)
            self.assertGreater(len(sender_again.accepted()), served, 'there is room again')
            want = sender.accepted() + (sender_again.accepted() if sender_again is not sender else [])
            juliet = server.login('juliet@localhost/j', tls='none')
            juliet.send('<presence/>')
            got = []
            while len(got) < len(want):
                s = juliet.stanza()
                if s.name == 'message':
                    got.append(int(s.get('id')))
            juliet.send("<iq type='get' id='last' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
            juliet.expect("<iq type='result' id='last'/>")
            self.assertEqual(got, want)
            juliet.close()


if __name__ == '__main__':
    main()
