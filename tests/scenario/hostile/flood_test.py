#!/usr/bin/python3
"""A client that sends faster than its shaper allows is not read from until the bucket has
refilled; everybody else is served as if nothing were (RFC 6120 §13.12; docs/architecture.md §6)."""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main   # noqa: E402

MIB = 1 << 20
ROUNDS = 200


class Flood(ServerCase):
    settings = '''
shaper:
    slow: 50000
shards: 1
listen:
    - {port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s, shaper: slow}
    - {port: ${tls_port}, ip: 127.0.0.1, module: ejabberd_c2s, tls: true}
    - {port: ${plain_port}, ip: 127.0.0.1, module: ejabberd_c2s, starttls: false, starttls_required: false}
'''

    def test_the_flooder_waits_and_the_others_do_not(self):
        flooder = self.server.login('romeo@localhost/flooder')
        calm = self.server.login('juliet@localhost/calm', tls='none')
        calm.send('<presence/>')
        calm.expect('<presence/>')
        message = ("<message to='romeo@localhost/flooder' type='headline'><body>%s</body></message>"
                   % ('x' * 1000)).encode() * 50
        sent = [0]
        over = threading.Event()

        def flood():
            flooder.sock.settimeout(1)
            while not over.is_set() and sent[0] < 200 * MIB:
                try:
                    sent[0] += flooder.sock.send(message[:16384])
                except OSError:
                    continue

        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            for n in range(ROUNDS):
                calm.send("<iq type='get' id='p%d' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>" % n)
                calm.expect("<iq type='result' id='p%d'/>" % n)
            self.assert_serves_beside()
        finally:
            over.set()
            flooding.join()
        # What the kernel holds for a socket that nobody reads is a few MiB at most.
        self.assertLess(sent[0], 32 * MIB)
        flooder.close()
        calm.close()

    def assert_serves_beside(self):
        client = self.server.login('juliet@localhost/witness', tls='direct')
        client.send("<message to='juliet@localhost/witness' id='here'/>")
        client.expect("<message id='here'/>")
        client.close()


if __name__ == '__main__':
    main()
