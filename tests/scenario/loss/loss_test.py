#!/usr/bin/python3
"""Nothing is lost, doubled or out of order. A hundred clients send numbered messages under stream
management (XEP-0198), half of them to somebody who is there, half to somebody who comes back in the
end; meanwhile the server is killed, or connections are cut, at random moments. Whoever is cut comes
back, resumes and sends again what the server says it has not got. In the end each receiver has every
message of its sender once, in order."""

import asyncio
import logging
import os
import random
import re
import socket
import struct
import unittest

from harness.case import main
from harness.sasl import Scram
from harness.server import Server

PAIRS = int(os.environ.get('LOSS_PAIRS', '100'))
MESSAGES = int(os.environ.get('LOSS_MESSAGES', '200'))     # of each sender
KILLS = int(os.environ.get('LOSS_KILLS', '6'))
CUTS = int(os.environ.get('LOSS_CUTS', '400'))
AHEAD = 12              # messages that a sender does not wait for
WAIT_S = 60
HEADER = ("<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='localhost' version='1.0'"
          " xmlns:stream='http://etherx.jabber.org/streams'>")
SM = "xmlns='urn:xmpp:sm:3'"
ELEMENT = re.compile(r'<(message|presence|iq|challenge|success|failure|stream:features|stream:error|failed)\b'
                     r'(?:[^>]*/>|.*?</\1>)|<(?:a|r|enabled|resumed)\b[^>]*/>', re.S)
NUMBER = re.compile(r'<body>(\d+)</body>')
SETTINGS = '''
scram_iterations: 4096
stream_management: {resume_timeout: 2 min}
shards: 3
modules:
    mod_auth_internal: {}
    mod_offline: {max_user_messages: 100000}
    mod_disco: {}
'''


def attribute(element, name):
    return re.search(r"\b%s='([^']*)'" % name, element[:element.index('>')]).group(1)


logging.getLogger('asyncio').setLevel(logging.ERROR)    # what it says of sockets that are gone


class Cut(Exception):
    """The connection is gone."""


class Client:
    """One that resumes for ever."""

    def __init__(self, server, user):
        self.server, self.user = server, user
        self.reader = self.writer = None
        self.text = ''
        self.previd = None
        self.handled = 0        # of the server's stanzas
        self.acked = 0          # of ours
        self.unacked = []       # text of stanzas behind that
        self.resumed = 0
        self.history = []       # of its sessions
        self.task = None
        self.failed = None

    async def element(self):
        while True:
            found = ELEMENT.search(self.text)
            if found:
                self.text = self.text[found.end():]
                return found.group()
            data = await self.reader.read(65536)
            if not data:
                raise Cut
            self.text += data.decode()

    async def soon(self):
        """The next one, which must come."""
        try:
            return await asyncio.wait_for(self.element(), WAIT_S)
        except asyncio.TimeoutError:
            raise AssertionError('%s: nothing comes; %s' % (self.user, self.state())) from None

    def state(self):
        """For who looks why it failed."""
        return 'handled %d, acked %d, not acked %s; %s' % (
            self.handled, self.acked, self.unacked, self.history)

    async def until(self, *names):
        """The next of these; others do not come here."""
        element = await self.soon()
        if not element.startswith(tuple('<' + n for n in names)):
            raise AssertionError('%s: %s instead of %s' % (self.user, element, names))
        return element

    def send(self, text):
        self.writer.write(text.encode())

    async def open(self):
        self.text = ''
        self.send(HEADER)
        await self.until('stream:features')

    async def login(self):
        self.reader, self.writer = await asyncio.open_connection('127.0.0.1', self.server.plain_port)
        await self.open()
        scram = Scram('SCRAM-SHA-256', self.user, 'secret')
        self.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>%s</auth>"
                  % scram.first())
        challenge = await self.until('challenge')
        self.send("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>"
                  % scram.final(challenge.partition('>')[2].partition('<')[0]))
        await self.until('success')
        await self.open()

    async def begin(self):
        self.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                  "<resource>x</resource></bind></iq>")
        await self.until('iq')
        self.send("<enable %s resume='true'/>" % SM)
        self.previd = attribute(await self.until('enabled'), 'id')
        self.history.append('enabled')

    async def resume(self):
        self.send("<resume %s previd='%s' h='%d'/>" % (SM, self.previd, self.handled))
        answer = await self.until('resumed', 'failed')
        if answer.startswith('<failed'):
            raise AssertionError('%s: %s' % (self.user, answer))
        self.history.append('%s behind %d' % (answer, self.acked))
        self.take_ack(int(attribute(answer, 'h')))
        for stanza in self.unacked:
            self.send(stanza)
        self.resumed += 1

    def take_ack(self, h):
        if not self.acked <= h <= self.acked + len(self.unacked):
            raise AssertionError('%s: h is %d, not between %d and %d; %s'
                                 % (self.user, h, self.acked, self.acked + len(self.unacked), self.history))
        del self.unacked[:h - self.acked]
        self.acked = h

    def stanza(self, text):
        self.unacked.append(text)
        self.send(text)

    async def connect(self):
        """Until it stands."""
        while True:
            try:
                await self.login()
                await (self.resume() if self.previd else self.begin())
                return
            except (Cut, OSError):
                self.cut()
                await asyncio.sleep(0.02)

    def cut(self, reset=True):
        """As a network would: without a word."""
        if not self.writer or self.writer.is_closing():
            return
        if reset:
            self.writer.get_extra_info('socket').setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.writer.transport.abort()

    async def run(self):
        await self.connect()
        self.standing()
        while not self.done():
            try:
                await self.turn()
            except (Cut, OSError):
                self.cut()
                await self.connect()

    def standing(self):
        """It has a session."""

    def done(self):
        raise NotImplementedError

    async def turn(self):
        raise NotImplementedError

    def take(self, element):
        """What comes: an answer to our requests, or something to count."""
        if element.startswith('<a'):
            self.take_ack(int(attribute(element, 'h')))
        elif element.startswith('<r'):
            self.send("<a %s h='%d'/>" % (SM, self.handled))
        else:
            self.handled += 1
            self.stanza_came(element)

    def stanza_came(self, element):
        """One that counts."""
        raise AssertionError('%s: %s' % (self.user, element))


class Sender(Client):
    def __init__(self, server, user, to):
        super().__init__(server, user)
        self.to, self.sent = to, 0

    def done(self):
        return self.sent == MESSAGES and not self.unacked

    async def turn(self):
        while self.sent < MESSAGES and len(self.unacked) < AHEAD:
            self.stanza("<message to='%s@localhost' type='chat' id='%s-%d'><body>%d</body></message>"
                        % (self.to, self.user, self.sent, self.sent))
            self.sent += 1
        self.send('<r %s/>' % SM)
        self.take(await self.soon())


class Receiver(Client):
    def __init__(self, server, user):
        super().__init__(server, user)
        self.got = []

    def standing(self):
        self.stanza('<presence/>')

    def state(self):
        return 'got %s; %s' % (self.got, super().state())

    def stanza_came(self, element):
        if element.startswith('<message'):
            self.got.append(int(NUMBER.search(element).group(1)))

    def done(self):
        return len(self.got) >= MESSAGES

    async def turn(self):
        self.take(await self.soon())

    async def end(self):
        """Nothing may come behind the last one."""
        while True:
            try:
                return await self.linger()
            except (Cut, OSError):
                self.cut()
                await self.connect()

    async def linger(self):
        self.send("<a %s h='%d'/><r %s/>" % (SM, self.handled, SM))
        while True:
            element = await self.soon()
            self.take(element)
            if element.startswith('<a'):
                break
        self.send('</stream:stream>')
        while await self.reader.read(65536):
            pass


class Loss(unittest.TestCase):
    settings = SETTINGS

    def setUp(self):
        self.random = random.Random()

    def check(self, receivers, senders):
        for r, s in zip(receivers, senders):
            if r.got == list(range(MESSAGES)):
                continue
            missing = sorted(set(range(MESSAGES)) - set(r.got))
            doubled = sorted(n for n in set(r.got) if r.got.count(n) > 1)
            self.fail('%s: missing %s, doubled %s, all %s; %s, %s'
                      % (r.user, missing, doubled, r.got, r.history, s.history))

    async def talk(self, server, trouble):
        there = [Receiver(server, 'there%d' % i) for i in range(PAIRS // 2)]
        away = [Receiver(server, 'away%d' % i) for i in range(PAIRS - len(there))]
        senders = [Sender(server, 'from%d' % i, r.user) for i, r in enumerate(there + away)]
        tasks = [asyncio.create_task(c.run()) for c in there + senders]
        troubled = asyncio.create_task(trouble(server, there + senders))
        try:
            await asyncio.gather(*tasks, troubled)
        finally:
            for t in [*tasks, troubled]:
                t.cancel()
        await asyncio.gather(*(c.run() for c in away))
        await asyncio.gather(*(c.end() for c in there + away))
        self.check(there + away, senders)
        return sum(c.resumed for c in there + senders)

    def begin(self, trouble):
        users = [name % i for name, n in (('there%d', PAIRS // 2), ('away%d', PAIRS - PAIRS // 2),
                                          ('from%d', PAIRS)) for i in range(n)]
        with Server(self.settings) as server:
            server.allowed_errors = ['were not stored yet']
            for user in users:
                server.register(user + '@localhost', 'secret')
            resumed = asyncio.run(self.talk(server, trouble))
        self.assertGreater(resumed, 0, 'no trouble came in time')
        print('%d sessions resumed ... ' % resumed, end='', flush=True)

    def test_the_server_is_killed(self):
        async def kills(server, clients):
            senders = [c for c in clients if isinstance(c, Sender)]
            for i in range(KILLS):
                goal = (i + self.random.random()) * MESSAGES * len(senders) / KILLS
                while sum(s.acked for s in senders) < goal:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.again)
        self.begin(kills)

    def test_connections_are_cut(self):
        async def cuts(_server, clients):
            senders = [c for c in clients if isinstance(c, Sender)]
            for i in range(CUTS):
                goal = (i + self.random.random()) * MESSAGES * len(senders) / CUTS
                while sum(s.acked for s in senders) < goal:
                    await asyncio.sleep(0.005)
                self.random.choice(clients).cut(reset=self.random.random() < 0.5)
        self.begin(cuts)


class WithArchives(Loss):
    """Each message is in the log of both, whether its receiver is there or not."""
    settings = SETTINGS + '    mod_mam: {default: always}\n'
    test_connections_are_cut = None     # nothing that a process would have to find again


if __name__ == '__main__':
    main()
