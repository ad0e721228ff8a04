#!/usr/bin/python3
"""XEP-0313 over the end of the server's process: killed while messages are being archived. Of every
message that the server had acknowledged (XEP-0198), both sides' archives have it once and in order,
whether its receiver was there or not; of others, once or not at all."""

import os
import re
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import main                   # noqa: E402
from harness.connection import Failure          # noqa: E402
from harness.server import Server               # noqa: E402

import unittest                                 # noqa: E402

SM = 'urn:xmpp:sm:3'
SETTINGS = '''
modules:
    mod_mam: {max_page_size: 250}
    mod_offline: {max_user_messages: 100000}
'''
SENDERS = 4
BURST = 25
ROUNDS = 3


class Sender(threading.Thread):
    """Sends numbered messages until its connection ends; acked: so many the server has."""

    def __init__(self, server, number, first, to):
        super().__init__()
        self.user, self.to = 'sender%d' % number, to
        self.acked, self.first, self.next = 0, first, first
        self.client = server.login(self.user + '@localhost/s')
        self.client.send("<enable xmlns='%s'/>" % SM)
        self.client.expect("<enabled xmlns='%s'/>" % SM)
        self.enough = threading.Event()

    def run(self):
        try:
            while True:
                for _ in range(BURST):
                    self.client.send("<message to='%s' type='chat'><body>%s-%d</body></message>"
                                     % (self.to, self.user, self.next))
                    self.next += 1
                self.client.send("<r xmlns='%s'/>" % SM)
                element = self.client.stanza()
                while not element.is_('a', SM):
                    element = self.client.stanza()
                self.acked = int(element.get('h'))
                if self.acked >= 2 * BURST:
                    self.enough.set()
        except (Failure, OSError):
            self.enough.set()


def swallow(client):
    try:
        while True:
            client.stanza()
    except (Failure, OSError):
        pass


class Crash(unittest.TestCase):
    def archived(self, server, user):
        """The numbers in its archive by their sender, in order."""
        client = server.login(user + '@localhost/reader')
        found, after, complete = {}, '', False
        while not complete:
            client.send("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'>"
                        "<set xmlns='http://jabber.org/protocol/rsm'><max>250</max>%s</set></query></iq>" % after)
            while True:
                element = client.stanza()
                if element.name == 'iq':
                    break
                message = element.child('result').child('forwarded').child('message')
                sender, number = re.fullmatch(r'(\w+)-(\d+)', message.child('body').text()).groups()
                found.setdefault(sender, []).append(int(number))
            fin = element.child('fin')
            complete = fin.get('complete') == 'true'
            if not complete:
                after = '<after>%s</after>' % fin.child('set').child('last').text()
        client.close()
        return found

    def test_killed(self):
        accounts = ['sender%d@localhost' % i for i in range(SENDERS)] + ['here@localhost', 'away@localhost']
        with Server(SETTINGS, accounts=[(a, None) for a in accounts]) as server:
            must = {'sender%d' % i: [] for i in range(SENDERS)}     # acknowledged
            first = 0
            for _ in range(ROUNDS):
                here = server.login('here@localhost/h')
                here.send('<presence><priority>1</priority></presence>')
                reader = threading.Thread(target=swallow, args=(here,))
                senders = [Sender(server, i, first, ('here', 'away')[i % 2] + '@localhost')
                           for i in range(SENDERS)]
                for thread in [reader, *senders]:
                    thread.start()
                for sender in senders:
                    sender.enough.wait()
                server.kill()
                for thread in [reader, *senders]:
                    thread.join()
                for sender in senders:
                    self.assertGreaterEqual(sender.acked, 2 * BURST)
                    must[sender.user] += range(first, first + sender.acked)
                first = max(sender.next for sender in senders)
                server.again()
            received = {'here': self.archived(server, 'here'), 'away': self.archived(server, 'away')}
            for i in range(SENDERS):
                user = 'sender%d' % i
                for where in (self.archived(server, user), received[('here', 'away')[i % 2]]):
                    numbers = where[user]
                    self.assertEqual(numbers, sorted(set(numbers)))
                    self.assertEqual(sorted(set(must[user]) - set(numbers)), [])


if __name__ == '__main__':
    main()
