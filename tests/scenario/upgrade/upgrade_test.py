#!/usr/bin/python3
"""linnetctl upgrade: another process takes the server's place, and who has no TLS does not notice."""

import os
import random
import re
import socket
import threading
import time
import unittest

from harness.case import main
from harness.connection import WAIT_S, Failure
from harness.server import LINNETD, Server

SESSIONS = 200          # half of them plain, half TLS
PIECE_MAX = 90          # bytes of one send: stanzas are cut anywhere


def until(is_so, seconds=WAIT_S):
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def gone(pid):
    try:
        with open('/proc/%d/stat' % pid, encoding='ascii') as f:
            return f.read().rpartition(')')[2].split()[0] == 'Z'
    except FileNotFoundError:
        return True


class Talker:
    """A plain session that sends numbered messages to another one, in pieces, and reads all the
    time."""

    MESSAGE = re.compile(rb"<message [^>]*from='([^']*)'[^>]*>.*?</message>")
    NUMBER = re.compile(rb"<body>(\d+)</body>")

    def __init__(self, server, jid, to):
        self.client = server.login(jid, tls='none')
        self.sock = self.client.sock
        self.sock.setblocking(False)
        self.jid, self.to = jid, to
        self.sent = 0
        self.out = b''
        self.inbox = b''
        self.heard = {}         # by sender: the numbers in the order they came
        self.errors = []
        self.ended = False

    def say(self):
        """One piece of what is to be said, if the socket takes it."""
        if not self.out:
            self.out = ("<message to='%s' type='chat'><body>%d</body><x xmlns='x'>&amp;%s</x></message>"
                        % (self.to, self.sent, 'é' * random.randint(0, 40))).encode()
            self.sent += 1
        try:
            n = self.sock.send(self.out[:random.randint(1, PIECE_MAX)])
            self.out = self.out[n:]
        except BlockingIOError:
            pass

    def finish(self):
        while self.out:
            try:
                self.out = self.out[self.sock.send(self.out):]
            except BlockingIOError:
                time.sleep(0.001)

    def hear(self):
        try:
            while True:
                data = self.sock.recv(65536)
                if not data:
                    self.ended = True
                    return
                self.inbox += data
        except BlockingIOError:
            pass
        at = 0
        for m in self.MESSAGE.finditer(self.inbox):
            at = m.end()
            if b"type='error'" in m.group():
                self.errors.append(m.group())
                continue
            sender = m.group(1).decode()
            self.heard.setdefault(sender, []).append(int(self.NUMBER.search(m.group()).group(1)))
        self.inbox = self.inbox[at:]


class Crowd:
    """Talkers in a ring, driven by a thread of its own."""

    def __init__(self, server, jids):
        self.talkers = [Talker(server, jid, to) for jid, to in zip(jids, jids[1:] + jids[:1])]
        self.talking = True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while self.talking:
            for t in self.talkers:
                t.say()
                t.hear()

    def end(self, case):
        """All that was said has been heard, once and in order, and nobody was disconnected."""
        self.talking = False
        self.thread.join()
        by_jid = {t.jid: t for t in self.talkers}
        for t in self.talkers:
            t.finish()

        def all_heard():
            for t in self.talkers:
                t.hear()
            return all(len(by_jid[t.to].heard.get(t.jid, [])) >= t.sent for t in self.talkers)

        until(all_heard)
        for t in self.talkers:
            case.assertFalse(t.ended, '%s was disconnected' % t.jid)
            case.assertEqual(by_jid[t.to].heard.get(t.jid), list(range(t.sent)), t.jid)
            case.assertEqual(t.errors, [])
        return sum(t.sent for t in self.talkers)

    def close(self):
        for t in self.talkers:
            t.sock.close()


def accounts(prefix, n):
    return ['%s%d@localhost' % (prefix, i) for i in range(n)]


class UnderLoad(unittest.TestCase):
    def test_plain_sessions_go_over_and_tls_sessions_come_back(self):
        plain, secure = accounts('plain', SESSIONS // 2), accounts('secure', SESSIONS // 2)
        with Server(accounts=[(jid, None) for jid in plain + secure]) as server:
            crowd = Crowd(server, [jid + '/r' for jid in plain])
            clients = [server.login(jid + '/r', tls='direct' if i % 2 else 'starttls')
                       for i, jid in enumerate(secure)]
            for client, jid in zip(clients, plain):     # owed to a client when its stream ends
                client.send("<presence/><message to='%s/r' type='chat' id='s'><body>0</body>"
                            "</message>" % client.jid.partition('/')[0])
            old = server.children()[0]
            answer = server.control('upgrade')
            print(answer, flush=True)
            self.assertEqual((answer['moved'], answer['ended']), (len(plain), len(secure)))
            self.assertTrue(until(lambda: server.children() and server.children()[0] != old))
            for client, jid in zip(clients, secure):
                came = client.wait_for_end()
                self.assertEqual(len([e for e in came if e.name == 'message']), 1, jid)
                error = came[-1]
                self.assertEqual((error.name, error.elements()[0].name), ('error', 'reset'))
                client.close()
            again = [server.login(jid + '/r') for jid in secure]
            for client in again:
                client.send("<message to='%s' id='again'/>" % client.jid)
            for client in again:
                client.expect("<message id='again'/>")
            said = crowd.end(self)
            self.assertGreater(said, SESSIONS)
            self.assertTrue(until(lambda: gone(old)))
            self.assertEqual(server.control('status')['server_pid'], server.children()[0])
            self.assertEqual(server.control('status')['sessions'], SESSIONS)
            crowd.close()
            for client in again:
                client.close()


main()
