#!/usr/bin/python3
"""Two Linnets under a link that is cut again and again: what one's users say to the other's is delivered
once, in order for each pair, or comes back once; nothing is lost in silence."""

import random
import threading
import time
import unittest

from harness.cable import Cable
from harness.case import main
from harness.connection import Failure
from harness.federation import Linnet, World

MESSAGES = 10000        # each way
PAIRS = 10
CUT_S = 0.5
SETTINGS = '''
s2s_max_retry_delay: 1 s
'''


class Person:
    """Says its messages to one other, and keeps what it hears."""

    def __init__(self, client, to, count):
        self.client, self.to, self.count = client, to, count
        self.heard, self.bounced = [], []
        self.thread = threading.Thread(target=self._listen)
        self.done = False
        self.failure = None

    def talk(self):
        try:
            for n in range(self.count):
                self.client.send("<message id='%d' to='%s' type='chat'><body>%d</body></message>" % (n, self.to, n))
                time.sleep(random.random() * 0.01)
        except Exception as e:      # pylint: disable=broad-except
            self.failure = 'it could not say all: %r' % e

    def _listen(self):
        try:
            while not self.done:
                try:
                    kind, element = self.client.event(0.5)
                except Failure as e:
                    if 'nothing came' in str(e):
                        continue
                    raise
                if kind != 'stanza':
                    self.failure = 'the stream ended: %s' % kind
                    return
                if element.name != 'message':
                    continue
                n = int(element.get('id'))
                (self.bounced if element.get('type') == 'error' else self.heard).append(n)
        except Exception as e:      # pylint: disable=broad-except
            self.failure = repr(e)


class Cut(unittest.TestCase):
    def test_cut(self):
        with World() as world:
            servers = [world.add(Linnet, name + '.example', settings=SETTINGS) for name in ('one', 'two')]
            cables = [Cable((s.address, s.s2s_port)) for s in servers]
            for server, cable in zip(servers, cables):
                self.addCleanup(cable.close)
                world.dns.zones[server.domain] = ('_xmpp-server._tcp SRV 10 5 %d host\nhost A 127.0.0.1'
                                                  % cable.port)
            world.start()
            pairs = [self.pair(servers, n) for n in range(PAIRS)]
            people = [p for pair in pairs for p in pair]
            threads = [threading.Thread(target=p.talk) for p in people]
            for thread in threads + [p.thread for p in people]:
                thread.start()
            cuts = 0
            while any(t.is_alive() for t in threads):
                time.sleep(CUT_S)
                cuts += sum(cable.cut() for cable in cables)
            for thread in threads:
                thread.join()
            self.settle(people)
            for p in people:
                p.done = True
            for p in people:
                p.thread.join()
            self.assertEqual([p.failure for p in people if p.failure], [])
            self.assertGreater(cuts, 0)
            self.each_once(pairs)
            print('%d messages each way, %d connections cut: %d delivered, %d came back'
                  % (MESSAGES, cuts, sum(len(p.heard) for p in people),
                     sum(len(p.bounced) for p in people)))

    def pair(self, servers, n):
        clients = []
        for server, user in zip(servers, ('romeo%d' % n, 'juliet%d' % n)):
            server.register(user)
            client = server.login(user, tls='none')     # read and written by two threads
            self.addCleanup(client.close)
            client.send('<presence/>')
            client.expect('<presence/>')
            clients.append(client)
        return [Person(clients[0], clients[1].jid, MESSAGES // PAIRS),
                Person(clients[1], clients[0].jid, MESSAGES // PAIRS)]

    def settle(self, people):
        """Until all has come, or come back."""
        wanted = sum(p.count for p in people)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if sum(len(p.heard) + len(p.bounced) for p in people) >= wanted:
                break
            time.sleep(0.1)
        time.sleep(1)       # what comes twice comes now

    def each_once(self, pairs):
        for one, other in pairs:
            for speaker, listener in (one, other), (other, one):
                self.assertEqual(listener.heard, sorted(listener.heard), 'out of order')
                self.assertEqual(sorted(listener.heard + speaker.bounced), list(range(speaker.count)))


if __name__ == '__main__':
    main()
