#!/usr/bin/python3
"""A client that never reads what it is sent: the server's memory stays bounded, the client is
closed past the bound, and its messages go the way of an absent user's."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main   # noqa: E402

MIB = 1 << 20
BODY = 'x' * 50000
SLEEPERS = 20


class SlowReader(ServerCase):
    def flood(self, sender, to, total, stop):
        """Messages to a client that does not read, in step with the server; the bounces."""
        bounced, sent, n = 0, 0, 0
        while sent < total and not (stop and bounced):
            for _ in range(20):
                sender.send("<message to='%s' type='normal' id='m%d'><body>%s</body></message>"
                            % (to, n, BODY))
                n += 1
                sent += len(BODY)
            sender.send("<iq type='get' id='step%d' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>" % n)
            while True:
                element = sender.stanza()
                if element.get('id') == 'step%d' % n:
                    break
                self.assertEqual(element.get('type'), 'error')
                bounced += 1
        return sent, bounced

    def test_memory_is_bounded(self):
        """RFC 6120 §13.12: one that sleeps costs no more than the setting max_out_bytes."""
        reader = self.server.login('romeo@localhost/asleep')
        sender = self.server.login('juliet@localhost/awake')
        before = self.server.resident_bytes()
        sent, bounced = self.flood(sender, 'romeo@localhost/asleep', 400 * MIB, True)
        self.assertGreater(bounced, 0, '%d MiB were taken for a client that reads nothing'
                           % (sent // MIB))
        self.assertLess(self.server.resident_bytes() - before, 100 * MIB)
        self.assert_serves()
        # What the server still holds for it may be read; then comes the end.
        reader.wait_for_end()
        reader.close()
        sender.close()

    def test_many_that_sleep(self):
        """RFC 6120 §13.12: each for itself, whatever is sent to all of them."""
        sleepers = [self.server.login('romeo@localhost/%d' % n) for n in range(SLEEPERS)]
        sender = self.server.login('juliet@localhost/awake')
        before = self.server.resident_bytes()
        for sleeper in sleepers:
            sent, bounced = self.flood(sender, sleeper.jid, 40 * MIB, True)
            self.assertGreater(bounced, 0, '%d MiB were taken' % (sent // MIB))
        self.assertLess(self.server.resident_bytes() - before, 100 * MIB)
        self.assert_serves()
        for client in (sender, *sleepers):
            client.close()

    def test_answers_to_oneself_count_too(self):
        """RFC 6120 §13.12: a client that asks and asks and never reads the answers."""
        client = self.server.login('romeo@localhost/asker')
        client.sock.settimeout(5)
        asked = ("<iq type='get' id='x' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>" * 500).encode()
        before = self.server.resident_bytes()
        sent = 0
        try:
            while sent < 200 * MIB:
                client.sock.sendall(asked)
                sent += len(asked)
        except OSError:
            pass        # no longer read from, or closed: both are fine
        self.assertLess(sent, 200 * MIB)
        self.assertLess(self.server.resident_bytes() - before, 100 * MIB)
        self.assert_serves()
        client.close()


if __name__ == '__main__':
    main()
